//! No video is done again for a change that does not touch it, and `retry` does the failed ones.
//!
//! Videos that must not be decoded again are overwritten with zeros of the same length first: were
//! one opened, it would fail.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use framewright::store::publish_bytes;
use tempfile::TempDir;

use crate::clips::{GOOD, clips, publish_text};
use crate::program::{call, run};
use crate::run_folder::{digests, files, left_spools, samples, text};

/// Small chunks, so that there are several.
const CHUNKS: [&str; 4] = ["-j", "2", "--set", "output.chunk_rows=3"];

/// A folder of videos, manifests of them, and output folders.
struct Corpus {
    folder: TempDir,
    videos: Vec<PathBuf>,
}

impl Corpus {
    /// So many videos; all differ in their bytes, and every third in its pictures.
    fn new(count: usize) -> Option<Self> {
        let clips = clips()?;
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let videos = (0..count).map(|row| {
            let name = GOOD[row % 3];
            let copy = folder.path().join(format!("{row:02}-{name}"));
            let mut bytes = std::fs::read(clips.join(name)).unwrap();
            // Bytes after the last box change the file's hash and nothing else.
            bytes.extend(format!("\0\0\0\x0cfree{row:04}").bytes());
            publish_bytes(&copy, &bytes).unwrap();
            copy
        });
        let videos = videos.collect();
        Some(Self { folder, videos })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A manifest of these videos in this order.
    fn manifest(&self, name: &str, rows: &[usize]) -> PathBuf {
        let mut text = String::new();
        for row in rows {
            let line = serde_json::json!({ "uri": self.videos[*row] });
            writeln!(text, "{line}").unwrap();
        }
        publish_text(self.folder.path(), name, &text)
    }

    /// Runs into a fresh folder and gives what a run that was never disturbed writes.
    fn reference(&self, name: &str, manifest: &Path, settings: &[&str]) -> PathBuf {
        let out = self.path(name);
        run(manifest, &out, settings).expect(0);
        out
    }

    /// Overwrites a video; gives what it held.
    fn blank(&self, row: usize) -> Vec<u8> {
        let bytes = std::fs::read(&self.videos[row]).unwrap();
        publish_bytes(&self.videos[row], &vec![0; bytes.len()]).unwrap();
        bytes
    }

    fn restore(&self, row: usize, bytes: &[u8]) {
        publish_bytes(&self.videos[row], bytes).unwrap();
    }
}

#[track_caller]
fn same(out: &Path, reference: &Path) {
    assert_eq!(digests(out), digests(reference));
    assert!(!out.join("superseded").exists(), "results were set aside");
    assert_eq!(left_spools(out), Vec::<PathBuf>::new());
}

#[test]
fn a_longer_manifest_a_new_first_row_and_other_chunks_redo_no_video() {
    let Some(corpus) = Corpus::new(8) else { return };
    let out = corpus.path("out");
    let first = corpus.manifest("first.jsonl", &[1, 2, 3, 4, 5]);
    run(&first, &out, &CHUNKS).expect(0);

    let longer = corpus.manifest("longer.jsonl", &[1, 2, 3, 4, 5, 6, 7]);
    let shifted = corpus.manifest("shifted.jsonl", &[0, 1, 2, 3, 4, 5, 6, 7]);
    let longer_alone = corpus.reference("longer", &longer, &CHUNKS);
    let shifted_alone = corpus.reference("shifted", &shifted, &CHUNKS);
    let other = ["-j", "1", "--set", "output.chunk_rows=4"];
    let other_alone = corpus.reference("other", &shifted, &other);

    for row in 1..=5 {
        corpus.blank(row);
    }
    let plan = ["--out", out.to_str().unwrap(), "--json", "--manifest"];
    let plan = |manifest: &PathBuf| {
        let mut arguments = vec!["plan", "--set", "output.chunk_rows=3"];
        arguments.extend(crate::program::NO_WEIGHTS);
        arguments.extend(plan);
        arguments.push(manifest.to_str().unwrap());
        let plan = call(arguments).expect(0).json();
        let number = |name: &str| plan[name].as_u64().unwrap();
        (number("videos_done"), number("videos_taken_over"))
    };
    assert_eq!(plan(&longer), (3, 2));
    run(&longer, &out, &CHUNKS).expect(0);
    same(&out, &longer_alone);
    for row in 6..=7 {
        corpus.blank(row);
    }
    assert_eq!(plan(&shifted), (0, 7));
    run(&shifted, &out, &CHUNKS).expect(0);
    same(&out, &shifted_alone);
    corpus.blank(0);
    run(&shifted, &out, &other).expect(0);
    same(&out, &other_alone);
}

#[test]
fn the_order_of_the_manifest_need_not_matter_nor_do_workers() {
    let Some(corpus) = Corpus::new(7) else { return };
    let sorted = [
        "--set",
        "ingest.sort_by_uri=true",
        "--set",
        "output.chunk_rows=3",
    ];
    let one = corpus.manifest("one.jsonl", &[0, 1, 2, 3, 4, 5, 6]);
    let alone = corpus.reference("one", &one, &[&sorted[..], &["-j", "1"]].concat());
    for (name, rows, jobs) in [
        ("two.jsonl", [6, 5, 4, 3, 2, 1, 0], "2"),
        ("four.jsonl", [3, 0, 6, 1, 5, 2, 4], "4"),
        ("eight.jsonl", [5, 6, 0, 4, 1, 3, 2], "8"),
    ] {
        let manifest = corpus.manifest(name, &rows);
        let out = corpus.reference(jobs, &manifest, &[&sorted[..], &["-j", jobs]].concat());
        assert_eq!(digests(&out), digests(&alone), "{name}");
    }
}

#[test]
fn rows_that_left_the_manifest_are_set_aside_and_not_lost() {
    let Some(corpus) = Corpus::new(5) else { return };
    let out = corpus.path("out");
    let all = corpus.manifest("all.jsonl", &[0, 1, 2, 3, 4]);
    run(&all, &out, &CHUNKS).expect(0);
    let fewer = corpus.manifest("fewer.jsonl", &[0, 2, 3, 4]);
    let alone = corpus.reference("fewer", &fewer, &CHUNKS);
    for row in 0..5 {
        corpus.blank(row);
    }
    run(&fewer, &out, &CHUNKS).expect(0);
    assert_eq!(digests(&out), digests(&alone));
    let aside = files(&out.join("superseded"));
    assert!(
        aside
            .iter()
            .any(|path| path.ends_with("edit_pairs-00000.parquet")),
        "{aside:?}"
    );
}

#[test]
fn retry_does_the_failed_videos_and_no_others() {
    let Some(corpus) = Corpus::new(8) else { return };
    let out = corpus.path("out");
    let rows: Vec<usize> = (0..8).collect();
    let manifest = corpus.manifest("all.jsonl", &rows);
    let whole = corpus.reference("whole", &manifest, &CHUNKS);
    // Row 0 has the pictures of rows 3 and 6: once it is there, theirs are duplicates.
    let (early, late) = (corpus.blank(0), corpus.blank(7));
    run(&manifest, &out, &CHUNKS).expect(3);
    let before = digests(&out);

    for row in 1..=6 {
        corpus.blank(row);
    }
    let dir = out.to_str().unwrap();
    let listed = call(["retry", dir, "--dry-run"]).expect(0);
    let uris: Vec<&str> = listed.out.lines().collect();
    let uri = |row: usize| corpus.videos[row].to_str().unwrap();
    assert_eq!(uris, [uri(0), uri(7)]);
    let none = call(["retry", dir, "--kind", "timeout"]).expect(0);
    assert!(none.out.starts_with("0 videos"), "{}", none.out);
    assert_eq!(digests(&out), before);
    let kind = call(["retry", dir, "-k", "nonsense"]).expect(2);
    assert!(kind.err.contains("possible values"), "{}", kind.err);

    // Still broken: the same result, and nothing else is touched.
    call(["retry", dir]).expect(3);
    assert_eq!(digests(&out), before);

    corpus.restore(0, &early);
    corpus.restore(7, &late);
    let again = call(["retry", dir, "-j", "2"]).expect(0);
    assert!(
        again.out.starts_with("2 videos are done again"),
        "{}",
        again.out
    );
    same(&out, &whole);
}

#[test]
fn a_retry_that_changes_no_duplicates_leaves_later_shards_alone() {
    let Some(corpus) = Corpus::new(9) else { return };
    let out = corpus.path("out");
    // The pictures of row 1 are in no other row.
    let rows = [0, 1, 3, 6, 2, 5, 8];
    let manifest = corpus.manifest("some.jsonl", &rows);
    let whole = corpus.reference("whole", &manifest, &CHUNKS);
    let bytes = corpus.blank(1);
    run(&manifest, &out, &CHUNKS).expect(3);
    let later = out.join("shards/edit_pairs-00001.parquet");
    let changed = |path: &Path| path.metadata().unwrap().modified().unwrap();
    let before = changed(&later);
    corpus.restore(1, &bytes);
    call(["retry", out.to_str().unwrap()]).expect(0);
    same(&out, &whole);
    assert_eq!(changed(&later), before, "a shard was written again");
    let rows = samples(&out);
    assert!(
        rows.iter()
            .any(|row| text(row, "video_uri") == corpus.videos[1].to_str().unwrap())
    );
}

#[test]
fn a_damaged_shard_is_made_again_from_its_videos() {
    let Some(corpus) = Corpus::new(5) else { return };
    let out = corpus.path("out");
    let manifest = corpus.manifest("all.jsonl", &[0, 1, 2, 3]);
    let longer = corpus.manifest("longer.jsonl", &[4, 0, 1, 2, 3]);
    let whole = corpus.reference("whole", &longer, &CHUNKS);
    run(&manifest, &out, &CHUNKS).expect(0);
    let shard = out.join("shards/edit_pairs-00000.parquet");
    let mut bytes = std::fs::read(&shard).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    publish_bytes(&shard, &bytes).unwrap();
    let ran = run(&longer, &out, &CHUNKS).expect(0);
    assert!(ran.err.contains("chunk 0 is damaged"), "{}", ran.err);
    assert_eq!(digests(&out), digests(&whole));
}
