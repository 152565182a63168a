//! Bytes out and in: manifests, rows, shards, reports.

mod arrays;
mod columns;
mod dataset_card;
mod duplicates;
#[cfg(test)]
mod fixtures;
mod footer;
mod inspect;
mod lineage;
mod manifest;
mod rejects;
mod report;
mod rows;
mod scene_list;
mod select;
mod shard;
mod spool;
mod tables;
mod unspool;

pub use columns::{
    PromptRef, RowColumns, RowContext, SCHEMA_VERSION, ScoreColumn, row_schema_markdown,
};
pub use dataset_card::{CardInput, write_dataset_card};
pub use duplicates::{DuplicateIndex, DuplicateVerdict, Judged, KeptHash};
pub use inspect::{ColumnView, ShardView, inspect_shard};
pub use lineage::{changes_are_inside, lineage_hash, verify_lineage, verify_sample};
pub use manifest::{Manifest, read_manifest};
pub use rejects::{RejectReader, RejectRow};
pub use report::{
    FailureRow, Histogram, Report, ReportFilter, ReportInput, StageRow, build_report,
};
pub use rows::{RowBatch, RowImage, RowRecord, ShardReader};
pub use scene_list::{
    CutPictures, ListedFile, PlotFile, SCORE_COLUMNS, plot_page, scenes_csv, scenes_edl,
    scenes_otio, scores_csv,
};
pub use select::{KeptRow, select_rows, write_reject_table};
pub use shard::{ChunkJob, ChunkReport, SpooledRow, assemble_chunk};
pub use spool::{Leave, RejectLine, SpoolError, SpoolFiles, SpoolWriter, sort_rejects};
pub use unspool::{FinishedChunk, Wanted, unspool};
