//! Rows of one manifest row as they arrive, on disk; read back in the order of their paths.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_ipc::reader::FileReader;
use arrow_ipc::writer::FileWriter;
use arrow_schema::Schema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::columns::{RowColumns, RowContext};
use super::duplicates::KeptHash;
use crate::core::{End, EndKind, FatalError, ItemError, ItemPath, Sample, Score, contain};

const INDEX_KEY: &str = "framewright.index";

/// What a finished spool consists of; file names are relative to the spool's folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolFiles {
    /// Arrow file with the samples; none when there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<String>,
    /// JSON lines with rejections and failures; none when there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejects: Option<String>,
    /// Number of samples.
    pub num_samples: u32,
    /// Number of rejections and failures.
    pub num_rejects: u32,
}

/// Whether an item was judged or broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leave {
    /// Did not meet a range.
    Rejected,
    /// Could not be processed.
    Failed,
}

impl Leave {
    /// The name used in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }
}

/// An item that did not become a sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RejectLine {
    /// Where it descends from.
    pub path: ItemPath,
    /// Rejected or failed.
    pub outcome: Leave,
    /// Stage that turned it away.
    pub stage: String,
    /// Reason of a rejection, kind of a failure.
    pub reason: String,
    /// The number that was out of range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Score>,
    /// What a failure said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What was kept about it. Known keys: `scene_start_pts`, `scene_end_pts`, `from_pts`,
    /// `to_pts`, `video_id`, `scores` (filter name → number) and `reason` (what is wrong with the
    /// file of a failure).
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub detail: Value,
}

impl RejectLine {
    /// Where it ended, for counting.
    pub fn end(&self) -> End<'_> {
        End {
            path: &self.path,
            stage: &self.stage,
            kind: match self.outcome {
                Leave::Rejected => EndKind::Rejected(&self.reason),
                Leave::Failed => EndKind::Failed(&self.reason),
            },
        }
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Index {
    /// Path and hashes of each sample, in order of arrival.
    samples: Vec<(ItemPath, u64, u64)>,
}

/// A file that is deleted unless it is kept.
struct Growing {
    temporary: PathBuf,
    name: String,
    folder: PathBuf,
    is_kept: bool,
}

impl Growing {
    fn create(folder: &Path, name: String) -> Result<(Self, BufWriter<File>), FatalError> {
        let temporary = folder.join(format!(".{name}.{}.tmp", std::process::id()));
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&temporary)
            .map_err(|error| FatalError::disk(&temporary, error))?;
        let growing = Self {
            temporary,
            name,
            folder: folder.to_path_buf(),
            is_kept: false,
        };
        Ok((growing, BufWriter::new(file)))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a spool grows row by row, so it cannot be written in one call of `publish`"
    )]
    fn keep(mut self, writer: BufWriter<File>) -> Result<String, FatalError> {
        let target = self.folder.join(&self.name);
        let attempt = || -> io::Result<()> {
            let file = writer
                .into_inner()
                .map_err(io::IntoInnerError::into_error)?;
            file.sync_all()?;
            fs::rename(&self.temporary, &target)?;
            self.is_kept = true;
            File::open(&self.folder)?.sync_all()
        };
        attempt().map_err(|error| FatalError::disk(&target, error))?;
        Ok(std::mem::take(&mut self.name))
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        if !self.is_kept {
            // Unfinished spools do not count; the next start overwrites what cannot be deleted.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// A growing Arrow file of samples with their paths and hashes.
pub(super) struct SampleFile {
    growing: Growing,
    writer: FileWriter<BufWriter<File>>,
    index: Index,
}

impl SampleFile {
    pub(super) fn create(folder: &Path, name: String, schema: &Schema) -> Result<Self, FatalError> {
        let (growing, file) = Growing::create(folder, name)?;
        let writer = FileWriter::try_new(file, schema)
            .map_err(|error| FatalError::disk(&growing.temporary, error))?;
        Ok(Self {
            growing,
            writer,
            index: Index::default(),
        })
    }

    pub(super) fn add(
        &mut self,
        path: ItemPath,
        [from, to]: [u64; 2],
        batch: &RecordBatch,
    ) -> Result<(), FatalError> {
        self.writer
            .write(batch)
            .map_err(|error| FatalError::disk(&self.growing.temporary, error))?;
        self.index.samples.push((path, from, to));
        Ok(())
    }

    /// Makes the file durable; gives its name and the number of samples.
    pub(super) fn finish(mut self) -> Result<(String, u32), FatalError> {
        let index = serde_json::to_string(&self.index)
            .map_err(|error| FatalError::disk(&self.growing.temporary, error))?;
        self.writer.write_metadata(INDEX_KEY, index);
        let file = self
            .writer
            .into_inner()
            .map_err(|error| FatalError::disk(&self.growing.temporary, error))?;
        let name = self.growing.keep(file)?;
        Ok((name, self.index.samples.len() as u32))
    }
}

/// Writes the rows of one manifest row as they arrive. Dropped without [`Self::finish`], it leaves
/// nothing behind.
pub struct SpoolWriter {
    folder: PathBuf,
    stem: String,
    samples: Option<SampleFile>,
    rejects: Option<(Growing, BufWriter<File>)>,
    num_rejects: u32,
}

impl SpoolWriter {
    /// A spool for manifest row `row` in `folder`, which is made. `key` keeps runs over changed
    /// inputs apart: the video id or the manifest entry's key.
    pub fn create(folder: &Path, row: u32, key: &str) -> Result<Self, FatalError> {
        fs::create_dir_all(folder).map_err(|error| FatalError::disk(folder, error))?;
        let key: String = key
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(16)
            .collect();
        Ok(Self {
            folder: folder.to_path_buf(),
            stem: format!("{row:08}-{key}"),
            samples: None,
            rejects: None,
            num_rejects: 0,
        })
    }

    /// Appends a sample. A row whose lineage is broken is refused as [`SpoolError::Item`].
    pub fn sample(
        &mut self,
        path: &ItemPath,
        sample: &Sample,
        columns: &RowColumns,
        context: &RowContext,
    ) -> Result<(), SpoolError> {
        let batch = columns.row(path, sample, context)?;
        Ok(self.row(path.clone(), sample.hashes, &batch)?)
    }

    /// Appends a sample that is in the spool's schema already.
    pub(super) fn row(
        &mut self,
        path: ItemPath,
        hashes: [u64; 2],
        batch: &RecordBatch,
    ) -> Result<(), FatalError> {
        let file = match &mut self.samples {
            Some(file) => file,
            none => {
                let name = format!("{}.arrow", self.stem);
                none.insert(SampleFile::create(&self.folder, name, &batch.schema())?)
            }
        };
        file.add(path, hashes, batch)
    }

    /// Appends a rejection; `reason` without the stage.
    pub fn reject(
        &mut self,
        path: &ItemPath,
        stage: &str,
        reason: &str,
        score: Option<Score>,
        detail: &Value,
    ) -> Result<(), FatalError> {
        self.line(&RejectLine {
            path: path.clone(),
            outcome: Leave::Rejected,
            stage: stage.to_owned(),
            reason: reason.to_owned(),
            score: score.filter(|score| score.is_finite()),
            message: String::new(),
            detail: detail.clone(),
        })
    }

    /// Appends a failure.
    pub fn fail(
        &mut self,
        path: &ItemPath,
        stage: &str,
        error: &ItemError,
    ) -> Result<(), FatalError> {
        self.line(&RejectLine {
            path: path.clone(),
            outcome: Leave::Failed,
            stage: stage.to_owned(),
            reason: error.kind.name().to_owned(),
            score: None,
            message: error.what.clone(),
            detail: error.reason.map_or(
                Value::Null,
                |reason| serde_json::json!({ "reason": reason }),
            ),
        })
    }

    /// Appends a sample that [`Self::sample`] refused, with all its scores.
    pub fn refuse(
        &mut self,
        path: &ItemPath,
        sample: &Sample,
        error: &ItemError,
    ) -> Result<(), FatalError> {
        let scene = &sample.scene;
        self.line(&RejectLine {
            path: path.clone(),
            outcome: Leave::Failed,
            stage: "write".to_owned(),
            reason: error.kind.name().to_owned(),
            score: None,
            message: error.what.clone(),
            detail: serde_json::json!({
                "sample_id": sample.id,
                "video_id": scene.video.id,
                "scene_id": scene.id,
                "scene_index": scene.index,
                "scene_start_pts": scene.pts.start().0,
                "scene_end_pts": scene.pts.end().0,
                "from_pts": sample.inputs.first().and_then(|image| image.pts),
                "to_pts": sample.output.pts,
                "scores": sample.scores,
                "judgement": sample.judgement,
            }),
        })
    }

    pub(super) fn line(&mut self, line: &RejectLine) -> Result<(), FatalError> {
        if self.rejects.is_none() {
            let name = format!("{}.rejects.jsonl", self.stem);
            self.rejects = Some(Growing::create(&self.folder, name)?);
        }
        if let Some((growing, writer)) = &mut self.rejects {
            let mut attempt = || -> io::Result<()> {
                serde_json::to_writer(&mut *writer, line)?;
                writer.write_all(b"\n")
            };
            attempt().map_err(|error| FatalError::disk(&growing.temporary, error))?;
            self.num_rejects += 1;
        }
        Ok(())
    }

    /// Makes the files durable and gives them their names.
    pub fn finish(self) -> Result<SpoolFiles, FatalError> {
        let mut files = SpoolFiles {
            num_rejects: self.num_rejects,
            ..SpoolFiles::default()
        };
        if let Some(samples) = self.samples {
            let (name, number) = samples.finish()?;
            (files.samples, files.num_samples) = (Some(name), number);
        }
        if let Some((growing, writer)) = self.rejects {
            files.rejects = Some(growing.keep(writer)?);
        }
        Ok(files)
    }
}

/// Why a sample could not be spooled.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The sample itself is wrong; the run goes on.
    #[error(transparent)]
    Item(#[from] ItemError),
    /// The disk is; the run ends.
    #[error(transparent)]
    Fatal(#[from] FatalError),
}

/// Random access to the samples of a finished spool.
pub(super) struct SpoolReader {
    path: PathBuf,
    reader: FileReader<BufReader<File>>,
    /// Path, hashes and place in the file, sorted by path.
    pub(super) order: Vec<(ItemPath, KeptHash, usize)>,
}

impl SpoolReader {
    pub(super) fn open(path: &Path) -> Result<Self, FatalError> {
        // The reader of Arrow files panics at some damaged ones.
        contain(|| Self::open_unguarded(path.to_owned()))
            .unwrap_or_else(|words| Err(damaged(path, &words)))
    }

    fn open_unguarded(path: PathBuf) -> Result<Self, FatalError> {
        let file = File::open(&path).map_err(|error| FatalError::disk(&path, error))?;
        let reader = FileReader::try_new(BufReader::new(file), None)
            .map_err(|error| FatalError::disk(&path, error))?;
        let index = reader.custom_metadata().get(INDEX_KEY);
        let index: Index = serde_json::from_str(index.map_or("", String::as_str))
            .map_err(|error| FatalError::disk(&path, format!("spool index: {error}")))?;
        if index.samples.len() != reader.num_batches() {
            return Err(FatalError::disk(&path, "spool index and rows differ"));
        }
        let samples = index.samples.into_iter().enumerate();
        let mut order: Vec<(ItemPath, KeptHash, usize)> = samples
            .map(|(at, (path, from, to))| {
                let row = path.row();
                (path, KeptHash { from, to, row }, at)
            })
            .collect();
        order.sort_by(|a, b| a.0.cmp(&b.0).then(a.2.cmp(&b.2)));
        Ok(Self {
            path,
            reader,
            order,
        })
    }

    /// The row at a place in the file.
    pub(super) fn read(&mut self, at: usize) -> Result<RecordBatch, FatalError> {
        let path = self.path.clone();
        contain(|| self.read_unguarded(at)).unwrap_or_else(|words| Err(damaged(&path, &words)))
    }

    fn read_unguarded(&mut self, at: usize) -> Result<RecordBatch, FatalError> {
        self.reader
            .set_index(at)
            .map_err(|error| FatalError::disk(&self.path, error))?;
        match self.reader.next() {
            Some(Ok(batch)) => Ok(batch),
            Some(Err(error)) => Err(FatalError::disk(&self.path, error)),
            None => Err(FatalError::disk(&self.path, format!("row {at} is missing"))),
        }
    }
}

fn damaged(path: &Path, words: &str) -> FatalError {
    FatalError::disk(
        path,
        format!("damaged ({words}); remove it, and its video is done again"),
    )
}

/// Rejections and failures of a finished spool, sorted by path.
pub(super) fn read_rejects(path: &Path) -> Result<Vec<RejectLine>, FatalError> {
    let file = File::open(path).map_err(|error| FatalError::disk(path, error))?;
    let mut lines = Vec::new();
    for line in BufReader::new(file).lines() {
        let line = line.map_err(|error| FatalError::disk(path, error))?;
        let line: RejectLine =
            serde_json::from_str(&line).map_err(|error| FatalError::disk(path, error))?;
        lines.push(line);
    }
    sort_rejects(&mut lines);
    Ok(lines)
}

/// Sorts by path, then by everything else, so that arrival does not matter.
pub fn sort_rejects(lines: &mut [RejectLine]) {
    lines.sort_by_cached_key(|line| {
        let rest = serde_json::to_string(line).unwrap_or_default();
        (line.path.clone(), rest)
    });
}

#[cfg(test)]
mod tests;
