//! Rows and rejects of made-up scenes under other ranges.

use super::*;

const STAGES: [&str; 11] = [
    "ingest",
    "split",
    SCENES,
    "propose_pairs",
    PAIRS,
    "fetch_frames",
    "instruct",
    JUDGE,
    "encode",
    "write",
    DUPLICATE,
];

fn rules(gap_max: Score, min_points: Score) -> Rules {
    Rules {
        scene: vec![("motion", Range::at_most(0.5))],
        pair: vec![("gap", Range::at_most(gap_max))],
        min_points: Some(min_points),
    }
}

/// A row of pair `number`, with this gap and these points.
fn row(number: u32, gap: Score, points: Score) -> RowIn {
    let path = ItemPath::parse(&format!("0_0_0_0_{number}_0_0_0_0_0")).unwrap();
    let mut record = RowRecord {
        item_path: Some(path.clone()),
        points: vec![("faithful".into(), points), ("complete".into(), 5.0)],
        ..RowRecord::default()
    };
    record.scores.set("motion", 0.1);
    record.scores.set("gap", gap);
    let far = u64::from(number) * 0x0101_0101_0101_0101;
    let hash = KeptHash {
        from: far,
        to: far,
        row: 0,
    };
    let row = u64::from(number);
    RowIn {
        row,
        path,
        record,
        hash,
    }
}

fn reject(text: &str, stage: &str, name: &str, detail: Value) -> RejectRow {
    let path = ItemPath::parse(text).unwrap();
    let uri = "v.mp4".to_owned();
    let line = rejection(path, stage, format!("{stage}/{name}"), 1.0, detail);
    RejectRow { uri, line }
}

fn ends(decided: &Decided) -> Vec<(String, &str)> {
    let lines = decided.rejects.iter().map(|row| &row.line);
    lines
        .map(|line| (line.path.to_string(), line.reason.as_str()))
        .collect()
}

#[test]
fn filters_come_before_points_and_paths_end_at_their_stage() {
    let mut index = DuplicateIndex::new(Some(2));
    let rows = vec![row(0, 1.0, 4.0), row(1, 3.0, 1.0), row(2, 1.0, 3.0)];
    let decided = rules(2.0, 3.5)
        .root(&STAGES, rows, vec![], &mut index)
        .unwrap();
    assert_eq!(
        decided.kept.iter().map(|kept| kept.row).collect::<Vec<_>>(),
        [0]
    );
    assert_eq!(
        ends(&decided),
        [
            ("0_0_0_0_1_0".to_owned(), "screen_pairs/gap"),
            ("0_0_0_0_2_0_0_0_0".to_owned(), "judge/faithful"),
        ]
    );
    decided.funnel.check().unwrap();
    assert_eq!(
        (decided.funnel.emitted(), decided.funnel.rejected()),
        (1, 2)
    );
    let judgement = &decided.rejects[1].line.detail["judgement"]["points"];
    assert_eq!(judgement[0], json!(["faithful", 3.0]));
}

#[test]
fn what_was_never_measured_stays_and_is_counted() {
    let judged = json!({"scores": {"motion": 0.1, "gap": 1.0},
                        "judgement": {"points": [["faithful", 2.0]]}});
    let lines = || {
        vec![
            reject(
                "0_0_0_0_0_0",
                PAIRS,
                "gap",
                json!({"scores": {"motion": 0.1, "gap": 3.0}}),
            ),
            reject("0_0_0_0_1_0_0_0_0", JUDGE, "faithful", judged.clone()),
            reject(
                "0_0_1_0",
                SCENES,
                "motion",
                json!({"scores": {"motion": null}}),
            ),
        ]
    };
    let mut index = DuplicateIndex::new(Some(2));
    let decided = rules(4.0, 1.0)
        .root(&STAGES, vec![], lines(), &mut index)
        .unwrap();
    assert_eq!(decided.rejects, lines());
    let counted = [("gap".to_owned(), 1), ("judge".to_owned(), 1)];
    assert_eq!(decided.moves.undecided, counted.into());
}

#[test]
fn a_rejected_scene_takes_all_its_pairs_along() {
    let mut index = DuplicateIndex::new(Some(2));
    let mut moving = row(0, 1.0, 5.0);
    moving.record.scores.set("motion", 0.9);
    let scores = json!({"scores": {"motion": 0.9, "gap": 3.0}});
    let lines = vec![reject("0_0_0_0_1_0", PAIRS, "gap", scores)];
    let decided = rules(2.0, 1.0)
        .root(&STAGES, vec![moving], lines, &mut index)
        .unwrap();
    assert_eq!(
        ends(&decided),
        [("0_0_0_0".to_owned(), "screen_scenes/motion")]
    );
    let scores = &decided.rejects[0].line.detail["scores"];
    assert_eq!(scores.as_object().unwrap().len(), 1, "{scores}");
}

#[test]
fn a_duplicate_of_a_rejected_row_is_counted_and_stays_rejected() {
    let (first, second) = (row(0, 3.0, 5.0), row(0, 1.0, 5.0));
    let detail = second.record.duplicate_detail(0, &second.hash);
    let line = reject("0_0_0_0_1_0_0_0_0_0", DUPLICATE, "inside_video", detail);
    let decide = |gap_max| {
        let mut index = DuplicateIndex::new(Some(2));
        let rows = vec![row(0, first.record.scores.get("gap").unwrap(), 5.0)];
        rules(gap_max, 1.0)
            .root(&STAGES, rows, vec![line.clone()], &mut index)
            .unwrap()
    };
    assert_eq!(decide(4.0).moves.freed_duplicates, 0);
    let freed = decide(2.0);
    assert_eq!(freed.moves.freed_duplicates, 1);
    assert!(freed.kept.is_empty());
    assert_eq!(freed.rejects.len(), 2);
}
