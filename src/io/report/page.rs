//! The report as a page and as Markdown. Texts from videos, manifests and models are escaped.

use std::fmt::Write as _;

use minijinja::Environment;
use minijinja::value::Serde;
use serde::Serialize;

use super::gallery::{Pair, number};
use super::histogram::{BINS, Histogram};
use super::{Report, StageRow};

const TEMPLATE: &str = include_str!("report.html");
const WIDTH: f32 = 480.0;
const HEIGHT: f32 = 110.0;

#[derive(Serialize)]
struct Bar {
    x: f32,
    width: f32,
    kept_y: f32,
    kept_height: f32,
    rejected_y: f32,
    rejected_height: f32,
    title: String,
}

#[derive(Serialize)]
struct Threshold {
    x: f32,
    label: String,
    is_right: bool,
}

#[derive(Serialize)]
struct Chart {
    name: String,
    unit: String,
    about: String,
    low: String,
    high: String,
    kept: u64,
    rejected: u64,
    bars: Vec<Bar>,
    thresholds: Vec<Threshold>,
}

#[derive(Serialize)]
struct FunnelBar {
    label: String,
    kind: &'static str,
    count: u64,
    percent: f64,
}

#[derive(Serialize)]
struct FunnelStage {
    stage: String,
    received: u64,
    emitted: u64,
    bars: Vec<FunnelBar>,
}

#[derive(Serialize)]
struct Page<'a> {
    report: &'a Report,
    charts: Vec<Chart>,
    funnel: Vec<FunnelStage>,
    pairs: &'a [Pair],
    chart_width: f32,
    chart_height: f32,
}

/// The page, whole: styles and pictures are inside.
pub(super) fn html(report: &Report, pairs: &[Pair]) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    // The name's ending turns escaping on.
    environment.add_template("report.html", TEMPLATE)?;
    let page = Page {
        report,
        charts: report.histograms.iter().map(chart).collect(),
        funnel: report.stages.iter().map(funnel_stage).collect(),
        pairs,
        chart_width: WIDTH,
        chart_height: HEIGHT,
    };
    environment
        .get_template("report.html")?
        .render(Serde(&page))
}

fn funnel_stage(row: &StageRow) -> FunnelStage {
    let turned_away = row.rejected.iter().chain(&row.failed).map(|(_, n)| n);
    let whole = (row.emitted + turned_away.sum::<u64>()).max(1) as f64;
    let bar = |label: &str, kind, count: u64| FunnelBar {
        label: label.to_owned(),
        kind,
        count,
        percent: (count as f64 / whole * 1000.0).round() / 10.0,
    };
    let mut bars = vec![bar("handed on", "kept", row.emitted)];
    let short = |reason: &str| {
        let prefix = format!("{}/", row.stage);
        reason.strip_prefix(&prefix).unwrap_or(reason).to_owned()
    };
    let rejected = row.rejected.iter();
    bars.extend(rejected.map(|(reason, n)| bar(&short(reason), "rejected", *n)));
    let failed = row.failed.iter();
    bars.extend(failed.map(|(kind, n)| bar(&format!("failed: {kind}"), "failed", *n)));
    FunnelStage {
        stage: row.stage.clone(),
        received: row.received,
        emitted: row.emitted,
        bars,
    }
}

fn chart(histogram: &Histogram) -> Chart {
    let counts = histogram.kept.iter().zip(&histogram.rejected);
    let top = counts.clone().map(|(a, b)| a + b).max().unwrap_or(0).max(1) as f32;
    let step = WIDTH / BINS as f32;
    let width = histogram.high - histogram.low;
    let end = |n: usize| number(f64::from(histogram.low + width * n as f32 / BINS as f32));
    let bar = |(n, (kept, rejected)): (usize, (&u64, &u64))| {
        let kept_height = *kept as f32 / top * HEIGHT;
        let rejected_height = *rejected as f32 / top * HEIGHT;
        Bar {
            x: n as f32 * step + 1.0,
            width: step - 2.0,
            kept_y: HEIGHT - kept_height,
            kept_height,
            rejected_y: HEIGHT - kept_height - rejected_height,
            rejected_height,
            title: format!(
                "{} to {}: {kept} kept, {rejected} rejected",
                end(n),
                end(n + 1)
            ),
        }
    };
    let threshold = |value: Option<f32>, sign: &str| {
        value.map(|value| {
            let x = (value - histogram.low) / width * WIDTH;
            Threshold {
                x,
                label: format!("{sign} {}", number(f64::from(value))),
                is_right: x > WIDTH / 2.0,
            }
        })
    };
    let thresholds = [
        threshold(histogram.range.min, "≥"),
        threshold(histogram.range.max, "≤"),
    ];
    Chart {
        name: histogram.name.replace('_', " "),
        unit: histogram.unit.clone(),
        about: histogram.about.clone(),
        low: number(f64::from(histogram.low)),
        high: number(f64::from(histogram.high)),
        kept: histogram.kept.iter().sum(),
        rejected: histogram.rejected.iter().sum(),
        bars: counts.enumerate().map(bar).collect(),
        thresholds: thresholds.into_iter().flatten().collect(),
    }
}

/// Text that no Markdown reader takes for markup or for a table's border.
pub(in crate::io) fn escape_markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '#' | '!' | '~' | '$' => {
                escaped.push('\\');
                escaped.push(letter);
            }
            '\u{2028}' | '\u{2029}' => escaped.push(' '),
            letter if letter.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

/// `report.md`.
pub(super) fn markdown(report: &Report) -> String {
    let mut text = format!("# {}\n\n", escape_markdown(&report.title));
    let _ = writeln!(
        text,
        "**{}** samples · **{}** rejected · **{}** failed\n",
        report.samples, report.rejected, report.failed
    );
    for (label, value) in &report.facts {
        let (label, value) = (escape_markdown(label), escape_markdown(value));
        let _ = writeln!(text, "- {label}: {value}");
    }
    text.push_str("\n## Funnel\n\n| stage | received | handed on | rejected | failed |\n");
    text.push_str("|---|---:|---:|---|---|\n");
    for row in &report.stages {
        let list = |counts: &[(String, u64)]| {
            let parts: Vec<String> = counts
                .iter()
                .map(|(name, n)| format!("{} {n}", escape_markdown(name)))
                .collect();
            parts.join(", ")
        };
        let (stage, received, emitted) = (escape_markdown(&row.stage), row.received, row.emitted);
        let (rejected, failed) = (list(&row.rejected), list(&row.failed));
        let _ = writeln!(
            text,
            "| {stage} | {received} | {emitted} | {rejected} | {failed} |"
        );
    }
    if !report.failures.is_empty() {
        text.push_str("\n## Failures\n\n| kind | stage | video | message |\n|---|---|---|---|\n");
        for row in &report.failures {
            let cells = [&row.kind, &row.stage, &row.video_uri, &row.message];
            let cells: Vec<String> = cells.iter().map(|cell| escape_markdown(cell)).collect();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
    }
    text
}
