//! `verify` on data sets that were damaged in one way each.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow_array::cast::AsArray as _;
use arrow_array::{ArrayRef, BinaryArray, RecordBatch, StringArray, StructArray, UInt32Array};
use framewright::store::{create_dir, publish_bytes, remove};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use tempfile::TempDir;

use crate::clips::{clip, long_manifest};
use crate::program::{Ran, call, run};
use crate::run_folder::{files, samples, shared_folder};

/// A run of several chunks over copies of clips, made once.
struct Whole {
    folder: PathBuf,
    manifest: PathBuf,
}

fn whole() -> Option<&'static Whole> {
    static RUN: OnceLock<Option<Whole>> = OnceLock::new();
    let made = RUN.get_or_init(|| {
        let folder = shared_folder("verify");
        let manifest = long_manifest(&folder, 4)?;
        run(&manifest, &folder.join("out"), &SMALL_CHUNKS).expect(0);
        Some(Whole { folder, manifest })
    });
    made.as_ref()
}

const SMALL_CHUNKS: [&str; 2] = ["--set", "output.chunk_rows=2"];
const FIRST_SHARD: &str = "shards/edit_pairs-00000.parquet";

impl Whole {
    /// A copy of the run that a test may damage.
    fn copy(&self) -> (TempDir, PathBuf) {
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let out = folder.path().join("out");
        copy_folder(&self.folder.join("out"), &out);
        (folder, out)
    }
}

/// Copies all files below a folder.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    for path in files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        create_dir(target.parent().unwrap()).unwrap();
        std::fs::copy(&path, target).unwrap();
    }
}

fn verify(out: &Path, more: &[&str]) -> Ran {
    let arguments = [&["verify", out.to_str().unwrap(), "--json"], more].concat();
    call(arguments)
}

/// Faults as `file column`, of a data set that is broken.
#[track_caller]
fn faults(out: &Path, more: &[&str]) -> Vec<String> {
    let found = verify(out, more).expect(1).json();
    assert_eq!(found["is_whole"], false);
    let faults = found["faults"].as_array().unwrap();
    assert_eq!(found["num_faults"], faults.len());
    for fault in faults {
        assert!(!fault["remedy"].as_str().unwrap().is_empty(), "{fault}");
    }
    let name = |fault: &Value| {
        let column = fault["column"].as_str().unwrap_or("-");
        format!("{} {column}", fault["file"].as_str().unwrap())
    };
    faults.iter().map(name).collect()
}

/// Writes a Parquet file anew with changed batches.
fn rewrite(path: &Path, change: impl Fn(RecordBatch) -> RecordBatch) {
    let file = std::fs::File::open(path).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let schema = Arc::clone(builder.schema());
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, None).unwrap();
    for batch in builder.with_batch_size(10_000).build().unwrap() {
        writer.write(&change(batch.unwrap())).unwrap();
    }
    publish_bytes(path, &writer.into_inner().unwrap()).unwrap();
}

/// A batch with another column of that name.
fn with_column(batch: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let mut columns = batch.columns().to_vec();
    columns[batch.schema().index_of(name).unwrap()] = column;
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

/// A column of images with the bytes of its rows in reverse.
fn reversed(column: &ArrayRef) -> ArrayRef {
    let images = column.as_struct();
    let bytes = images.column_by_name("bytes").unwrap().as_binary::<i32>();
    let bytes: BinaryArray = bytes.iter().rev().collect();
    let paths = Arc::clone(images.column_by_name("path").unwrap());
    let columns: Vec<ArrayRef> = vec![Arc::new(bytes), paths];
    Arc::new(StructArray::new(images.fields().clone(), columns, None))
}

#[test]
fn a_finished_run_is_whole_and_its_frames_are_those_of_the_videos() {
    let Some(whole) = whole() else { return };
    let out = whole.folder.join("out");
    let found = verify(&out, &["--frames"]).expect(0).json();
    let rows = samples(&out).len();
    assert!(rows > 0);
    assert_eq!(found["rows"], rows);
    assert_eq!(found["is_whole"], true);
    assert_eq!(found["chunks"], serde_json::json!([2, 2]));
    assert_eq!(found["skipped"], serde_json::json!([]));
    assert!(found["frames"].as_u64().unwrap() as usize > rows);
    let text = call(["verify", out.to_str().unwrap()]).expect(0).out;
    assert!(text.ends_with("whole    nothing is wrong\n"), "{text}");
}

#[test]
fn frames_in_jpeg_and_smaller_are_made_again_alike() {
    let Some(clip) = clip("move.mp4") else { return };
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let out = folder.path().join("out");
    let small = [
        "--set",
        "output.image_format=jpeg",
        "--set",
        "output.image_max_px=36864",
    ];
    run(&clip, &out, &small).expect(0);
    let found = verify(&out, &["--frames=1.0"]).expect(0).json();
    assert!(found["frames"].as_u64().unwrap() > 0);
}

#[test]
fn a_flipped_byte_in_a_picture_names_shard_and_row() {
    let Some(whole) = whole() else { return };
    let (_folder, out) = whole.copy();
    let path = out.join(FIRST_SHARD);
    let mut bytes = std::fs::read(&path).unwrap();
    let picture = bytes.windows(4).position(|w| w == b"\x89PNG").unwrap();
    bytes[picture + 2000] ^= 1;
    publish_bytes(&path, &bytes).unwrap();
    let found = verify(&out, &[]).expect(1).json();
    let fault = |column: &str| {
        let all = found["faults"].as_array().unwrap();
        let found = all.iter().find(|fault| fault["column"] == column).cloned();
        found.unwrap_or_else(|| panic!("no fault of {column} in {all:?}"))
    };
    assert_eq!(fault("lineage_hash")["row"], 0);
    assert_eq!(fault("sample_id")["row"], 0);
    let all = found["faults"].as_array().unwrap();
    let is_of_file = |fault: &Value| fault["what"] == "BLAKE3 of the file";
    assert!(all.iter().any(is_of_file), "{all:?}");
    let text = call(["verify", out.to_str().unwrap()]).expect(1).out;
    let line = format!("broken   {FIRST_SHARD} row 0 lineage_hash: ");
    assert!(text.contains(&line), "{text}");
}

#[test]
fn a_swapped_picture_is_found() {
    let Some(whole) = whole() else { return };
    let (_folder, out) = whole.copy();
    rewrite(&out.join(FIRST_SHARD), |batch| {
        let column = batch.column_by_name("output_image").unwrap();
        with_column(&batch, "output_image", reversed(column))
    });
    let found = faults(&out, &[]);
    for column in ["lineage_hash", "sample_id", "-"] {
        let fault = format!("{FIRST_SHARD} {column}");
        assert!(found.contains(&fault), "{fault} is not in {found:?}");
    }
}

#[test]
fn a_changed_instruction_is_found() {
    let Some(whole) = whole() else { return };
    let (_folder, out) = whole.copy();
    rewrite(&out.join(FIRST_SHARD), |batch| {
        let texts = vec!["Do nothing."; batch.num_rows()];
        with_column(&batch, "instruction", Arc::new(StringArray::from(texts)))
    });
    let found = faults(&out, &[]);
    assert!(
        found.contains(&format!("{FIRST_SHARD} sample_id")),
        "{found:?}"
    );
    // The chain holds the sample's id, and the id is the one that is wrong now.
    assert!(
        !found.contains(&format!("{FIRST_SHARD} lineage_hash")),
        "{found:?}"
    );
}

#[test]
fn changed_evidence_times_and_sizes_are_found() {
    let Some(whole) = whole() else { return };
    let (_folder, out) = whole.copy();
    rewrite(&out.join(FIRST_SHARD), |batch| {
        let texts = vec!["[]"; batch.num_rows()];
        let batch = with_column(
            &batch,
            "instruction_evidence",
            Arc::new(StringArray::from(texts)),
        );
        let sizes = vec![500; batch.num_rows()];
        with_column(&batch, "width", Arc::new(UInt32Array::from(sizes)))
    });
    let found = faults(&out, &[]);
    assert!(
        found.contains(&format!("{FIRST_SHARD} lineage_hash")),
        "{found:?}"
    );
    assert!(
        found.contains(&format!("{FIRST_SHARD} output_image")),
        "{found:?}"
    );
}

#[test]
fn missing_files_are_found() {
    let Some(whole) = whole() else { return };
    let (_folder, out) = whole.copy();
    remove(&out.join(FIRST_SHARD)).unwrap();
    let table = files(&out.join("rejects")).remove(0);
    remove(&table).unwrap();
    let found = faults(&out, &[]);
    assert!(found.contains(&format!("{FIRST_SHARD} -")), "{found:?}");
    let table = table.strip_prefix(&out).unwrap().display();
    assert!(found.contains(&format!("{table} -")), "{found:?}");
    assert_eq!(found.len(), 2, "one fault for each file: {found:?}");
}

#[test]
fn a_deleted_reject_is_found() {
    let Some(whole) = whole() else { return };
    let (_folder, out) = whole.copy();
    let table = files(&out.join("rejects")).remove(0);
    rewrite(&table, |batch| batch.slice(1, batch.num_rows() - 1));
    let found = verify(&out, &[]).expect(1).json();
    let fault = &found["faults"][0];
    assert!(table.ends_with(fault["file"].as_str().unwrap()), "{fault}");
    let (expected, got) = (&fault["expected"], &fault["got"]);
    let number = |text: &Value| text.as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(number(expected), number(got) + 1, "{fault}");
    assert_eq!(found["num_faults"], 1, "{found}");
}

#[test]
fn a_foreign_shard_and_a_wrong_run_file_are_found() {
    let Some(whole) = whole() else { return };
    let (_folder, out) = whole.copy();
    std::fs::copy(
        out.join(FIRST_SHARD),
        out.join("shards/edit_pairs-00009.parquet"),
    )
    .unwrap();
    let path = out.join("run.json");
    let mut info: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    info["config_hash"] = "000000000000".into();
    publish_bytes(&path, info.to_string().as_bytes()).unwrap();
    let found = faults(&out, &["--max-faults", "1000"]);
    assert!(
        found.contains(&"shards/edit_pairs-00009.parquet -".to_owned()),
        "{found:?}"
    );
    assert!(
        found.contains(&format!("{FIRST_SHARD} config_hash")),
        "{found:?}"
    );
}

#[test]
fn faults_beyond_the_limit_are_counted() {
    let Some(whole) = whole() else { return };
    let (_folder, out) = whole.copy();
    rewrite(&out.join(FIRST_SHARD), |batch| {
        let texts = vec!["x"; batch.num_rows()];
        with_column(&batch, "scene_id", Arc::new(StringArray::from(texts)))
    });
    let found = verify(&out, &["--max-faults", "2"]).expect(1).json();
    assert_eq!(found["faults"].as_array().unwrap().len(), 2);
    assert!(found["num_faults"].as_u64().unwrap() > 2, "{found}");
    let text = call(["verify", out.to_str().unwrap(), "--max-faults", "2"]);
    assert!(
        text.expect(1)
            .out
            .contains(" more; --max-faults lists them")
    );
}

#[test]
fn a_replaced_video_is_found_and_a_missing_one_is_said() {
    let Some(clip) = clip("other.mp4") else {
        return;
    };
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let Some(manifest) = long_manifest(folder.path(), 2) else {
        return;
    };
    let out = folder.path().join("out");
    run(&manifest, &out, &[]).expect(0);
    let video = |row: &str| {
        let found = files(folder.path()).into_iter();
        let mut found = found.filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(row)
        });
        found.next().unwrap()
    };
    remove(&video("00-")).unwrap();
    let found = verify(&out, &["--frames"]).expect(3).json();
    assert_eq!(found["is_whole"], true);
    assert_eq!(found["skipped"].as_array().unwrap().len(), 1, "{found}");

    publish_bytes(&video("01-"), &std::fs::read(clip).unwrap()).unwrap();
    verify(&out, &[]).expect(0);
    let found = verify(&out, &["--frames"]).expect(1).json();
    assert_eq!(found["num_faults"], 1, "{found}");
    let fault = &found["faults"][0];
    assert_eq!(fault["column"], "video_id");
    assert_ne!(fault["expected"], fault["got"]);
    assert!(fault["what"].as_str().unwrap().contains("01-"), "{fault}");
}

#[test]
fn a_folder_without_a_run_and_a_wrong_share_are_refused() {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let out = folder.path().to_str().unwrap();
    let ran = call(["verify", out]).expect(1);
    assert!(ran.err.contains("holds no run"), "{}", ran.err);
    call(["verify", out, "--frames=2"]).expect(2);
}

#[test]
fn the_manifest_of_the_run_may_have_moved() {
    let Some(whole) = whole() else { return };
    let (_folder, out) = whole.copy();
    let path = out.join("run.json");
    let mut info: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    info["manifest"] = "gone.jsonl".into();
    publish_bytes(&path, info.to_string().as_bytes()).unwrap();
    let skipped = verify(&out, &["--frames"]).expect(3).json();
    let why = skipped["skipped"][0]["why"].as_str().unwrap();
    assert!(why.contains("--manifest"), "{why}");
    let manifest = whole.manifest.to_str().unwrap();
    verify(&out, &["--frames", "--manifest", manifest]).expect(0);
}
