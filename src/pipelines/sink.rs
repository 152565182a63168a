//! Where results of the chain go: each root's spool, then the commit log, then its chunk.

use std::collections::BTreeMap;

use super::shards::{Chunks, spool_key};
use crate::core::{FatalError, Fingerprint, ItemError, ItemPath, RootCounts, Sample, VideoId};
use crate::engine::{LEDGER_VERSION, Ledger, LedgerLine, Rejection, RootLine, RootRef, Sink};
use crate::io::{RowColumns, RowContext, SpoolError, SpoolWriter};
use crate::store::RunLock;

/// The sink of a run.
pub(super) struct RunSink<'a> {
    pub(super) columns: &'a RowColumns,
    pub(super) context: &'a RowContext,
    pub(super) fingerprint: &'a Fingerprint,
    pub(super) ledger: &'a mut Ledger,
    pub(super) chunks: &'a mut Chunks,
    pub(super) lock: &'a RunLock,
    pub(super) open: BTreeMap<u32, OpenRoot>,
}

/// A root whose end has not come yet.
pub(super) struct OpenRoot {
    spool: SpoolWriter,
    video_id: Option<VideoId>,
    /// Samples that the writer refused; they count as failed.
    refused: u64,
}

impl RunSink<'_> {
    fn open(&mut self, root: &RootRef) -> Result<&mut OpenRoot, FatalError> {
        match self.open.entry(root.row) {
            std::collections::btree_map::Entry::Occupied(known) => Ok(known.into_mut()),
            std::collections::btree_map::Entry::Vacant(free) => {
                self.lock.check()?;
                let key = spool_key(self.fingerprint, &root.key);
                let spool = SpoolWriter::create(&self.chunks.spool_dir(), root.row, &key)?;
                Ok(free.insert(OpenRoot {
                    spool,
                    video_id: None,
                    refused: 0,
                }))
            }
        }
    }
}

impl Sink<Sample> for RunSink<'_> {
    fn sample(
        &mut self,
        root: &RootRef,
        path: &ItemPath,
        sample: Sample,
    ) -> Result<(), FatalError> {
        let (columns, context) = (self.columns, self.context);
        let open = self.open(root)?;
        open.video_id
            .get_or_insert_with(|| sample.scene.video.id.clone());
        match open.spool.sample(path, &sample, columns, context) {
            Ok(()) => Ok(()),
            Err(SpoolError::Fatal(error)) => Err(error),
            Err(SpoolError::Item(error)) => {
                tracing::error!("{}: row refused: {}", root.label, error.what);
                open.refused += 1;
                open.spool.refuse(path, &sample, &error)
            }
        }
    }

    fn rejected(
        &mut self,
        root: &RootRef,
        path: &ItemPath,
        stage: &str,
        rejection: &Rejection,
    ) -> Result<(), FatalError> {
        let (reason, score, detail) = (&rejection.reason, rejection.score, &rejection.detail);
        let open = self.open(root)?;
        if let (None, Some(id)) = (&open.video_id, detail.get("video_id")) {
            open.video_id = serde_json::from_value(id.clone()).ok();
        }
        open.spool.reject(path, stage, reason, score, detail)
    }

    fn failed(
        &mut self,
        root: &RootRef,
        path: &ItemPath,
        stage: &str,
        error: &ItemError,
    ) -> Result<(), FatalError> {
        tracing::info!("{}: {stage} failed: {error}", root.label);
        self.open(root)?.spool.fail(path, stage, error)
    }

    fn root_done(&mut self, root: &RootRef, mut counts: RootCounts) -> Result<(), FatalError> {
        self.open(root)?;
        let Some(open) = self.open.remove(&root.row) else {
            return Ok(());
        };
        self.lock.check()?;
        let files = open.spool.finish()?;
        let made = counts.emitted();
        let write = counts.stage_mut("write");
        write.received = made;
        write.emitted = made - open.refused;
        write.passed = write.emitted;
        if open.refused > 0 {
            write.failed.insert("bug".into(), open.refused);
        }
        let mut extra = serde_json::Map::new();
        extra.insert(
            "files".into(),
            serde_json::to_value(&files).unwrap_or_default(),
        );
        let line = RootLine {
            v: LEDGER_VERSION,
            root: root.key.clone(),
            row: root.row,
            chunk: self.chunks.chunk_of(root.row),
            fp: self.fingerprint.clone(),
            video_id: open.video_id,
            funnel: counts.clone(),
            extra,
        };
        self.ledger.append(&LedgerLine::Root(line))?;
        self.chunks.commit(root.row, files, counts);
        self.chunks.assemble_ready(self.ledger)
    }

    fn root_poisoned(&mut self, root: &RootRef) {
        // Dropping the writer deletes what it had; the root is done again next time.
        self.open.remove(&root.row);
    }
}
