//! What a run left in its folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use arrow_array::cast::AsArray as _;
use framewright::io::inspect_shard;
use framewright::store::create_dir;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value};

/// A folder for what several tests of this process share; emptied at the first call, and kept from
/// other processes until this one ends.
pub(crate) fn shared_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let lock = folder.with_extension("lock");
    let lock = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(lock)
        .unwrap();
    lock.lock().unwrap();
    // The lock ends with the process.
    std::mem::forget(lock);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    create_dir(&folder).unwrap();
    folder
}

/// A row by column.
pub(crate) type Row = Map<String, Value>;

/// Hash of every shard, reject table and report, by name.
pub(crate) fn digests(out: &Path) -> BTreeMap<String, String> {
    let mut paths = list(&out.join("shards"));
    paths.extend(list(&out.join("rejects")));
    paths.extend(
        ["report.json", "report.md", "report.html", "dataset_card.md"].map(|n| out.join(n)),
    );
    paths
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(out).unwrap().display().to_string();
            let hash = blake3::hash(&std::fs::read(&path).unwrap());
            (name, hash.to_hex().to_string())
        })
        .collect()
}

/// Spools that are left though every chunk is finished; samples left out as duplicates may be.
pub(crate) fn left_spools(out: &Path) -> Vec<PathBuf> {
    let spools = files(&out.join("spool"));
    let is_dropped = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("dropped-")
    };
    spools
        .into_iter()
        .filter(|path| !is_dropped(path))
        .collect()
}

/// Time of the last change of every file below a folder.
pub(crate) fn changed_at(folder: &Path) -> BTreeMap<PathBuf, SystemTime> {
    files(folder)
        .into_iter()
        .map(|path| {
            let time = path.metadata().unwrap().modified().unwrap();
            (path, time)
        })
        .collect()
}

/// Every file below a folder, sorted.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in list(folder) {
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn rows_of(folder: &Path) -> Vec<Row> {
    let tables = list(folder);
    let rows = tables
        .iter()
        .map(|path| inspect_shard(path, usize::MAX).unwrap().rows);
    rows.flatten().collect()
}

/// All rows of all shards, in order.
pub(crate) fn samples(out: &Path) -> Vec<Row> {
    rows_of(&out.join("shards"))
}

/// All rejected and failed items, in order.
pub(crate) fn rejects(out: &Path) -> Vec<Row> {
    rows_of(&out.join("rejects"))
}

/// How often each `stage/reason` was given, of one outcome (`rejected` or `failed`).
pub(crate) fn reasons(out: &Path, outcome: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for row in rejects(out).iter().filter(|row| row["outcome"] == outcome) {
        let (stage, reason) = (text(row, "stage"), text(row, "reason"));
        // Reasons of rejections begin with their stage; kinds of failures do not.
        let name = match reason.strip_prefix(stage) {
            Some(_) => reason.to_owned(),
            None => format!("{stage}/{reason}"),
        };
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// A text column, empty if it is null.
pub(crate) fn text<'a>(row: &'a Row, column: &str) -> &'a str {
    row[column].as_str().unwrap_or_default()
}

/// `report.json`.
pub(crate) fn report(out: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap()
}

/// The image files in the column `output_image` of a run.
pub(crate) fn output_images(out: &Path) -> Vec<Vec<u8>> {
    let mut images = Vec::new();
    for path in list(&out.join("shards")) {
        let file = std::fs::File::open(path).unwrap();
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        for batch in builder.build().unwrap() {
            let batch = batch.unwrap();
            let column = batch.column_by_name("output_image").unwrap().as_struct();
            let bytes = column.column_by_name("bytes").unwrap();
            let bytes = bytes.as_binary::<i32>().iter();
            images.extend(bytes.map(|image| image.unwrap().to_vec()));
        }
    }
    images
}
