//! The report of a run: `report.json` for programs, `report.md` for terminals, and a page with the
//! funnel, histograms and a gallery that needs no network.

mod gallery;
mod histogram;
mod page;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use histogram::Histogram;
pub(super) use page::escape_markdown;

use super::{arrays, tables};
use crate::core::{FatalError, Funnel, ItemError, Range, Rgb8};
use crate::store;

/// Failed items listed in full; the rest is counted.
const MAX_FAILURES: usize = 200;
const MAX_PAIRS: usize = 60;

/// A filter as the report shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportFilter {
    /// Filter name; its scores are in the column `score_<name>`.
    pub name: String,
    /// Unit of the score.
    pub unit: String,
    /// One line about it.
    pub about: String,
    /// What is kept.
    pub range: Range,
}

/// What a report is made from.
pub struct ReportInput<'a> {
    /// Where the report is written.
    pub run_dir: &'a Path,
    /// Heading, such as the pipeline's name.
    pub title: &'a str,
    /// Label and value of everything worth knowing about the run: versions, hashes, durations.
    pub facts: Vec<(String, String)>,
    /// Counts of all stages.
    pub funnel: &'a Funnel,
    /// Filters in the order of the chain.
    pub filters: &'a [ReportFilter],
    /// All shards, in order.
    pub shards: &'a [PathBuf],
    /// All files of rejected and failed items, in order.
    pub rejects: &'a [PathBuf],
    /// Where two pictures of one size differ, as a picture.
    pub heat_map: &'a dyn Fn(&Rgb8, &Rgb8) -> Result<Rgb8, ItemError>,
}

/// One stage of the funnel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageRow {
    /// Stage name.
    pub stage: String,
    /// Items taken in.
    pub received: u64,
    /// Items handed on.
    pub emitted: u64,
    /// Rejections by reason, most frequent first.
    pub rejected: Vec<(String, u64)>,
    /// Failures by kind, most frequent first.
    pub failed: Vec<(String, u64)>,
}

/// A failed item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureRow {
    /// Kind of the failure.
    pub kind: String,
    /// What is wrong with the file, such as `truncated_tail`, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Stage it happened in.
    pub stage: String,
    /// The video as the manifest names it.
    pub video_uri: String,
    /// What was wrong.
    pub message: String,
}

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Heading.
    pub title: String,
    /// Label and value of what is known about the run.
    pub facts: Vec<(String, String)>,
    /// Rows in all shards.
    pub samples: u64,
    /// Rejections of all stages.
    pub rejected: u64,
    /// Failures of all stages.
    pub failed: u64,
    /// Stages in chain order.
    pub stages: Vec<StageRow>,
    /// Failures by kind.
    pub failures_by_kind: BTreeMap<String, u64>,
    /// The first 200 failed items.
    pub failures: Vec<FailureRow>,
    /// Scores by filter, of filters that measured anything.
    pub histograms: Vec<Histogram>,
}

/// Reads shards and rejects once for the counts and once for each picture of the gallery, and
/// writes `report.json`, `report.md` and `report.html`. Holds one batch in memory, and the page.
pub fn build_report(input: &ReportInput<'_>) -> Result<Report, FatalError> {
    let mut samples = 0;
    for shard in input.shards {
        samples += tables::num_rows(shard)?;
    }
    let (failures_by_kind, failures) = failures(input.rejects)?;
    let report = Report {
        title: input.title.to_owned(),
        facts: input.facts.clone(),
        samples,
        rejected: input.funnel.rejected(),
        failed: input.funnel.failed(),
        stages: stages(input.funnel),
        failures_by_kind,
        failures,
        histograms: histogram::histograms(input)?,
    };
    let json_path = input.run_dir.join("report.json");
    let mut json =
        serde_json::to_vec_pretty(&report).map_err(|error| FatalError::disk(&json_path, error))?;
    json.push(b'\n');
    store::publish_bytes(&json_path, &json)?;
    let markdown = page::markdown(&report);
    store::publish_bytes(&input.run_dir.join("report.md"), markdown.as_bytes())?;
    let pairs = gallery::pairs(input, samples, MAX_PAIRS)?;
    let html_path = input.run_dir.join("report.html");
    let html = page::html(&report, &pairs).map_err(|error| FatalError::disk(&html_path, error))?;
    store::publish_bytes(&html_path, html.as_bytes())?;
    Ok(report)
}

fn by_count(counts: &BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let mut rows: Vec<(String, u64)> = counts.iter().map(|(k, n)| (k.clone(), *n)).collect();
    rows.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    rows
}

fn stages(funnel: &Funnel) -> Vec<StageRow> {
    let row = |(stage, counts): &(String, crate::core::StageCounts)| StageRow {
        stage: stage.clone(),
        received: counts.received,
        emitted: counts.emitted,
        rejected: by_count(&counts.rejected),
        failed: by_count(&counts.failed),
    };
    funnel.stages.iter().map(row).collect()
}

type Failures = (BTreeMap<String, u64>, Vec<FailureRow>);

fn failures(rejects: &[PathBuf]) -> Result<Failures, FatalError> {
    let wanted = [
        "outcome",
        "reason",
        "stage",
        "video_uri",
        "message",
        "detail",
    ];
    let (mut by_kind, mut rows) = (BTreeMap::new(), Vec::new());
    for path in rejects {
        tables::scan(
            path,
            |name| wanted.contains(&name),
            |batch| {
                for row in 0..batch.num_rows() {
                    let text = |name| arrays::get_text(batch, name, row).unwrap_or("").to_owned();
                    if text("outcome") != "failed" {
                        continue;
                    }
                    *by_kind.entry(text("reason")).or_default() += 1;
                    if rows.len() < MAX_FAILURES {
                        rows.push(FailureRow {
                            kind: text("reason"),
                            reason: damage_reason(&text("detail")),
                            stage: text("stage"),
                            video_uri: text("video_uri"),
                            message: text("message"),
                        });
                    }
                }
            },
        )?;
    }
    Ok((by_kind, rows))
}

/// The reason that a failure's details name.
fn damage_reason(detail: &str) -> Option<String> {
    let detail: serde_json::Value = serde_json::from_str(detail).ok()?;
    Some(detail.get("reason")?.as_str()?.to_owned())
}

#[cfg(test)]
pub(super) mod tests;
