use std::fs;

use serde_json::json;

use super::*;
use crate::core::{ErrorKind, ItemPath};
use crate::io::fixtures;
use crate::io::{ChunkJob, DuplicateIndex, SpoolWriter, SpooledRow, assemble_chunk};

fn decoded(path: &Path) -> Rgb8 {
    let image = image::open(path).unwrap().into_rgb8();
    let (width, height) = image.dimensions();
    Rgb8::new(width, height, image.into_raw()).unwrap()
}

/// Pairs of pictures named `0a.png`, `0b.png` … in `FRAMEWRIGHT_REPORT_FRAMES`, or made-up ones.
fn pictures() -> Vec<(Rgb8, Rgb8)> {
    let folder = std::env::var_os("FRAMEWRIGHT_REPORT_FRAMES").map(PathBuf::from);
    let read = |n: usize| {
        let name = |side: &str| folder.as_ref().map(|f| f.join(format!("{n}{side}.png")));
        let (from, to) = (name("a")?, name("b")?);
        (from.exists() && to.exists()).then(|| (decoded(&from), decoded(&to)))
    };
    let read: Vec<(Rgb8, Rgb8)> = (0..20).map_while(read).collect();
    if !read.is_empty() {
        return read;
    }
    let made = |n: u32| {
        let from = Rgb8::from_fn(64, 36, |x, y| [x as u8, y as u8, n as u8]);
        (
            from,
            Rgb8::from_fn(64, 36, |x, y| [y as u8, x as u8, n as u8]),
        )
    };
    (0..5).map(made).collect()
}

/// A small run in a folder: one shard, rejects, and its funnel.
pub(in crate::io) fn run_in(folder: &Path) -> (Funnel, Vec<PathBuf>, Vec<PathBuf>) {
    let columns = fixtures::columns();
    let mut spools = Vec::new();
    for (row, (from, to)) in (0_u32..).zip(pictures()) {
        let scene = fixtures::scene(&format!("video{row}"));
        let mut spool = SpoolWriter::create(&folder.join("spool"), row, "k").unwrap();
        let root = ItemPath::root(row);
        for n in 0..3 {
            let mut sample = fixtures::sample_of(&scene, &from, &to, row * 3 + n);
            if row == 1 {
                sample.instruction.text = format!("<script>alert(1)</script> & \"{n}\"");
                sample.instruction.writer = "endpoint:qwen25_vl".into();
            }
            let text = &sample.instruction.text;
            sample.id = crate::core::Sample::id_of("edit", &sample.inputs, &sample.output, text);
            let context = fixtures::context();
            spool
                .sample(&root.child(n), &sample, &columns, &context)
                .unwrap();
            let score = 0.03 + n as f32 * 0.01;
            let detail = json!({"scores": {"motion": score, "sharpness": 0.2}});
            let path = root.child(50 + n);
            spool
                .reject(&path, "screen_pairs", "motion", Some(score), &detail)
                .unwrap();
        }
        let error = ItemError::new(ErrorKind::Corrupt, "damaged <img src=x> | after 3.2 s");
        spool.fail(&root.child(99), "split", &error).unwrap();
        let files = spool.finish().unwrap();
        let uri = scene.video.entry.uri.clone();
        spools.push(SpooledRow { row, uri, files });
    }
    let job = ChunkJob {
        columns: &columns,
        spool_dir: &folder.join("spool"),
        shard: &folder.join("shards/edit_pairs-00000.parquet"),
        rejects: &folder.join("rejects/00000.parquet"),
        dropped: "dropped-00000.arrow",
    };
    let chunk = assemble_chunk(&job, &spools, &mut DuplicateIndex::new(Some(4))).unwrap();
    let rows = spools.len() as u64;
    let mut funnel = Funnel::default();
    let split = funnel.stage_mut("split");
    (split.received, split.emitted) = (rows, rows * 6);
    split.failed.insert("corrupt".into(), rows);
    let screen = funnel.stage_mut("screen_pairs");
    (screen.received, screen.emitted) = (rows * 6, rows * 3);
    screen
        .rejected
        .insert("screen_pairs/motion".into(), rows * 3);
    (
        funnel,
        chunk.shard.into_iter().collect(),
        chunk.rejects.into_iter().collect(),
    )
}

#[expect(clippy::unnecessary_wraps, reason = "a heat map may fail")]
fn difference(from: &Rgb8, to: &Rgb8) -> Result<Rgb8, ItemError> {
    Ok(Rgb8::from_fn(from.width(), from.height(), |x, y| {
        let (a, b) = (from.pixel(x, y), to.pixel(x, y));
        [
            a[0].abs_diff(b[0]),
            a[1].abs_diff(b[1]),
            a[2].abs_diff(b[2]),
        ]
    }))
}

fn report_in(folder: &Path) -> Report {
    let (funnel, shards, rejects) = run_in(folder);
    let filter = |name: &str, about: &str, range| ReportFilter {
        name: name.into(),
        unit: "ratio".into(),
        about: about.into(),
        range,
    };
    let filters = [
        filter(
            "motion",
            "mean flow a frame over the diagonal",
            Range::within(0.002, 0.03),
        ),
        filter("sharpness", "share of sharp blocks", Range::at_least(0.4)),
        filter("never_measured", "", Range::OPEN),
    ];
    build_report(&ReportInput {
        run_dir: folder,
        title: "edit_pairs",
        facts: vec![
            ("version".into(), "0.1.0".into()),
            ("config".into(), "c0ffee".into()),
        ],
        funnel: &funnel,
        filters: &filters,
        shards: &shards,
        rejects: &rejects,
        heat_map: &difference,
    })
    .unwrap()
}

#[test]
fn a_report_counts_lists_and_escapes() {
    let kept = std::env::var_os("FRAMEWRIGHT_REPORT_OUT").map(PathBuf::from);
    let folder = tempfile::tempdir().unwrap();
    let folder = kept.unwrap_or_else(|| folder.path().to_path_buf());
    let report = report_in(&folder);
    let rows = report.samples / 3;
    assert_eq!(report.failures_by_kind["corrupt"], rows);
    assert_eq!(report.histograms.len(), 2);
    let motion = &report.histograms[0];
    assert_eq!(motion.kept.iter().sum::<u64>(), report.samples);
    assert_eq!(motion.rejected.iter().sum::<u64>(), report.rejected);
    let html = fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(!html.contains("<script") && !html.contains("<img src=x"));
    assert!(html.contains("&lt;script&gt;alert(1)"));
    assert!(html.contains("instruction by template") && html.contains("endpoint:qwen25_vl"));
    assert_eq!(
        html.matches("alt=\"difference\"").count() as u64,
        report.samples.min(60)
    );
    assert!(
        !html.contains("http://") && !html.contains("https://"),
        "needs no network"
    );
    let markdown = fs::read_to_string(folder.join("report.md")).unwrap();
    assert!(
        markdown.contains("&lt;img src=x&gt; \\| after"),
        "{markdown}"
    );
    let json: Report =
        serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap();
    assert_eq!(json, report);
}
