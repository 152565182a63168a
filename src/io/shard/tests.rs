use std::fs;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Encoding;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::json;

use super::super::spool::SpoolWriter;
use super::super::{arrays, fixtures};
use super::*;
use crate::core::{ErrorKind, ItemError};

struct Chunk {
    folder: tempfile::TempDir,
    columns: RowColumns,
}

impl Chunk {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            columns: fixtures::columns(),
        }
    }

    /// A spool of `row` holding the samples of these numbers, in this order of arrival.
    fn spool(&self, row: u32, numbers: &[u32]) -> SpooledRow {
        let scene = fixtures::scene(&format!("video{row}"));
        let mut spool = SpoolWriter::create(self.folder.path(), row, "abc").unwrap();
        for number in numbers {
            let path = ItemPath::root(row).child(*number);
            let sample = fixtures::sample(&scene, *number);
            let context = fixtures::context();
            spool
                .sample(&path, &sample, &self.columns, &context)
                .unwrap();
            let detail = json!({"from_pts": 7, "to_pts": number, "scores": {"motion": 0.5}});
            let child = path.child(9);
            spool
                .reject(&child, "screen_pairs", "motion", Some(0.5), &detail)
                .unwrap();
        }
        let error = ItemError::new(ErrorKind::Corrupt, "damage <b> at 3 s");
        spool
            .fail(&ItemPath::root(row).child(99), "split", &error)
            .unwrap();
        SpooledRow {
            row,
            uri: format!("videos/video{row}.mp4"),
            files: spool.finish().unwrap(),
        }
    }

    fn assemble(&self, spools: &[SpooledRow], index: &mut DuplicateIndex) -> ChunkReport {
        self.try_assemble(spools, index).unwrap()
    }

    fn try_assemble(
        &self,
        spools: &[SpooledRow],
        index: &mut DuplicateIndex,
    ) -> Result<ChunkReport, FatalError> {
        let job = ChunkJob {
            columns: &self.columns,
            spool_dir: self.folder.path(),
            shard: &self.folder.path().join("shards/edit_pairs-00000.parquet"),
            rejects: &self.folder.path().join("rejects/00000.parquet"),
            dropped: "dropped-00000.arrow",
        };
        assemble_chunk(&job, spools, index)
    }
}

fn column(path: &Path, name: &str) -> Vec<String> {
    let file = fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    let batches = reader.map(Result::unwrap);
    let texts = |batch: RecordBatch| -> Vec<String> {
        let rows = 0..batch.num_rows();
        rows.map(|row| arrays::get_text(&batch, name, row).unwrap_or("").to_owned())
            .collect()
    };
    batches.flat_map(texts).collect()
}

#[test]
fn any_order_of_arrival_gives_the_same_bytes() {
    let (a, b) = (Chunk::new(), Chunk::new());
    let first = a.assemble(
        &[a.spool(1, &[3, 1, 2]), a.spool(0, &[12, 11])],
        &mut DuplicateIndex::new(Some(4)),
    );
    let second = b.assemble(
        &[b.spool(0, &[11, 12]), b.spool(1, &[2, 3, 1])],
        &mut DuplicateIndex::new(Some(4)),
    );
    assert_eq!((first.rows, &first.blake3), (5, &second.blake3));
    let bytes = |path: &Option<PathBuf>| fs::read(path.as_ref().unwrap()).unwrap();
    assert_eq!(bytes(&first.shard), bytes(&second.shard));
    assert_eq!(bytes(&first.rejects), bytes(&second.rejects));
    let hash = blake3::hash(&bytes(&first.shard)).to_hex().to_string();
    assert_eq!(first.blake3, Some(hash));
    let takes: Vec<String> = column(&first.shard.unwrap(), "instruction")
        .iter()
        .map(|text| text.rsplit(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(takes, ["11.", "12.", "1.", "2.", "3."]);
}

#[test]
fn duplicates_are_counted_and_written_to_the_rejects() {
    let chunk = Chunk::new();
    let mut index = DuplicateIndex::new(Some(4));
    let report = chunk.assemble(&[chunk.spool(0, &[5]), chunk.spool(1, &[5, 6])], &mut index);
    assert_eq!((report.rows, report.num_duplicates()), (2, 1));
    assert_eq!(report.duplicates["duplicate/across_run"], 1);
    let rejects = report.rejects.unwrap();
    assert_eq!(
        column(&rejects, "reason"),
        [
            "motion",
            "corrupt",
            "duplicate/across_run",
            "motion",
            "motion",
            "corrupt"
        ]
    );
    assert_eq!(column(&rejects, "message")[1], "damage <b> at 3 s");
    assert_eq!(column(&rejects, "item_path")[2], "1_5");
    assert_eq!(column(&rejects, "video_uri")[2], "videos/video1.mp4");
}

#[test]
fn images_are_plain_and_uncompressed() {
    let chunk = Chunk::new();
    let report = chunk.assemble(&[chunk.spool(0, &[1])], &mut DuplicateIndex::new(None));
    let file = fs::File::open(report.shard.unwrap()).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let mut num_images = 0;
    for column in reader.metadata().row_group(0).columns() {
        let path = column.column_path().string();
        if column
            .column_path()
            .parts()
            .last()
            .is_some_and(|part| part == "bytes")
        {
            num_images += 1;
            assert_eq!(column.compression(), Compression::UNCOMPRESSED, "{path}");
            assert!(column.statistics().is_none(), "{path}");
            assert!(column.dictionary_page_offset().is_none(), "{path}");
            assert!(column.encodings().any(|e| e == Encoding::PLAIN), "{path}");
        } else {
            assert!(
                matches!(column.compression(), Compression::ZSTD(_)),
                "{path}"
            );
        }
    }
    assert_eq!(num_images, 2);
}

#[test]
fn a_changed_pixel_is_refused() {
    let chunk = Chunk::new();
    let spool = chunk.spool(0, &[1]);
    let path = chunk
        .folder
        .path()
        .join(spool.files.samples.as_ref().unwrap());
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(4).position(|w| w == b"IDAT").unwrap();
    bytes[at + 8] ^= 1;
    store::publish_bytes(&path, &bytes).unwrap();
    let error = chunk
        .try_assemble(&[spool], &mut DuplicateIndex::new(None))
        .unwrap_err();
    assert!(error.to_string().contains("broken lineage"), "{error}");
    assert!(
        !chunk
            .folder
            .path()
            .join("shards/edit_pairs-00000.parquet")
            .exists()
    );
}

#[test]
fn a_chunk_without_rows_has_no_shard_and_an_unfinished_spool_no_files() {
    let chunk = Chunk::new();
    let mut index = DuplicateIndex::new(None);
    let report = chunk.assemble(&[chunk.spool(0, &[])], &mut index);
    assert_eq!((report.rows, report.shard), (0, None));
    let before = fs::read_dir(chunk.folder.path()).unwrap().count();
    let mut spool = SpoolWriter::create(chunk.folder.path(), 7, "k").unwrap();
    let sample = fixtures::sample(&fixtures::scene("v"), 1);
    let path = ItemPath::root(7);
    spool
        .sample(&path, &sample, &chunk.columns, &fixtures::context())
        .unwrap();
    drop(spool);
    assert_eq!(fs::read_dir(chunk.folder.path()).unwrap().count(), before);
}

#[test]
fn a_sample_with_a_foreign_frame_is_refused() {
    let mut sample = fixtures::sample(&fixtures::scene("v"), 1);
    sample.output.pts = Some(crate::core::Pts(99_000));
    let error = fixtures::columns()
        .row(&ItemPath::root(0), &sample, &fixtures::context())
        .unwrap_err();
    assert!(error.what.contains("outside its scene"), "{error}");
    let mut sample = fixtures::sample(&fixtures::scene("v"), 1);
    sample.instruction.text.push('!');
    assert!(
        fixtures::columns()
            .row(&ItemPath::root(0), &sample, &fixtures::context())
            .is_err()
    );
}

#[test]
fn row_groups_end_by_bytes() {
    let chunk = Chunk::new();
    let scene = fixtures::scene("v");
    let mut spool = SpoolWriter::create(chunk.folder.path(), 0, "k").unwrap();
    for number in 0..3 {
        let mut sample = fixtures::sample(&scene, number);
        sample.output.bytes = std::sync::Arc::new(vec![number as u8; 40 << 20]);
        let text = &sample.instruction.text;
        sample.id = crate::core::Sample::id_of("edit", &sample.inputs, &sample.output, text);
        let path = ItemPath::root(0).child(number);
        spool
            .sample(&path, &sample, &chunk.columns, &fixtures::context())
            .unwrap();
    }
    let spooled = SpooledRow {
        row: 0,
        uri: "v".into(),
        files: spool.finish().unwrap(),
    };
    let report = chunk.assemble(&[spooled], &mut DuplicateIndex::new(None));
    let path = report.shard.unwrap();
    let reader = SerializedFileReader::new(fs::File::open(&path).unwrap()).unwrap();
    let groups = reader.metadata().row_groups();
    assert_eq!(
        groups
            .iter()
            .map(RowGroupMetaData::num_rows)
            .collect::<Vec<_>>(),
        [2, 1]
    );
    assert_eq!(column(&path, "task"), ["edit"; 3]);
}

#[test]
fn a_reader_of_the_shard_can_follow_every_chain() {
    let chunk = Chunk::new();
    let report = chunk.assemble(&[chunk.spool(0, &[1, 2])], &mut DuplicateIndex::new(None));
    let file = fs::File::open(report.shard.unwrap()).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    let mut rows = 0;
    for batch in reader.map(Result::unwrap) {
        for row in 0..batch.num_rows() {
            verify_lineage(&batch, row).unwrap();
            rows += 1;
        }
    }
    assert_eq!(rows, 2);
}
