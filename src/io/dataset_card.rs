//! `dataset_card.md`: what is in the shards, from whom, under which licences, and how to load it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::arrays;
use super::report::escape_markdown;
use super::tables;
use crate::core::FatalError;
use crate::store;

/// Sources listed by name; the rest is counted.
const MAX_SOURCES: usize = 50;

/// What a card is made from.
pub struct CardInput<'a> {
    /// Where the card is written.
    pub run_dir: &'a Path,
    /// Heading, such as the pipeline's name.
    pub title: &'a str,
    /// One paragraph on what the samples are for.
    pub about: &'a str,
    /// All shards, in order.
    pub shards: &'a [PathBuf],
}

#[derive(Default)]
struct Counts {
    samples: u64,
    videos: BTreeMap<String, u64>,
    tasks: BTreeMap<String, u64>,
    writers: BTreeMap<String, u64>,
    licenses: BTreeMap<String, u64>,
    sources: BTreeMap<String, u64>,
    models: BTreeMap<String, u64>,
    prompts: BTreeMap<String, u64>,
}

/// Counts the rows of all shards and writes `dataset_card.md`; gives its text.
pub fn write_dataset_card(input: &CardInput<'_>) -> Result<String, FatalError> {
    const TEXTS: [&str; 7] = [
        "video_id",
        "task",
        "instruction_writer",
        "license",
        "source",
        "models",
        "prompts",
    ];
    let mut counts = Counts::default();
    for shard in input.shards {
        tables::scan(
            shard,
            |name| TEXTS.contains(&name),
            |batch| {
                for row in 0..batch.num_rows() {
                    counts.samples += 1;
                    let text = |name| arrays::get_text(batch, name, row).unwrap_or("not stated");
                    let pairs = |name| arrays::get_text_pairs(batch, name, row).unwrap_or_default();
                    count(&mut counts.videos, text("video_id"));
                    count(&mut counts.tasks, text("task"));
                    count(&mut counts.writers, text("instruction_writer"));
                    count(&mut counts.licenses, text("license"));
                    count(&mut counts.sources, text("source"));
                    for (role, model) in pairs("models") {
                        count(&mut counts.models, &format!("{role}: {model}"));
                    }
                    for (stage, prompt) in pairs("prompts") {
                        count(&mut counts.prompts, &format!("{stage}: {prompt}"));
                    }
                }
            },
        )?;
    }
    let text = card(input, &counts);
    store::publish_bytes(&input.run_dir.join("dataset_card.md"), text.as_bytes())?;
    Ok(text)
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    if let Some(n) = counts.get_mut(name) {
        *n += 1;
    } else {
        counts.insert(name.to_owned(), 1);
    }
}

fn card(input: &CardInput<'_>, counts: &Counts) -> String {
    let mut text = format!(
        "# {}\n\n{}\n\n{} samples from {} videos in {} shards.\n",
        escape_markdown(input.title),
        input.about,
        counts.samples,
        counts.videos.len(),
        input.shards.len()
    );
    table(&mut text, "Tasks", "task", &counts.tasks);
    table(&mut text, "Licences", "licence", &counts.licenses);
    text.push_str(
        "\nLicences are copied from the manifest, not checked. Samples under `not stated` came \
         without one: clear them before you publish.\n",
    );
    table(&mut text, "Sources", "source", &counts.sources);
    table(
        &mut text,
        "Who wrote the instructions",
        "writer",
        &counts.writers,
    );
    text.push_str(
        "\nA `template` instruction puts measured changes into words; all others are a model's.\n",
    );
    table(&mut text, "Models", "role and model", &counts.models);
    table(&mut text, "Prompts", "stage and prompt", &counts.prompts);
    text.push_str(
        "\n## Loading\n\n```python\nimport datasets\n\ndata = datasets.load_dataset(\"parquet\", \
         data_files=\"shards/*.parquet\", split=\"train\")\nrow = data[0]\nrow[\"input_images\"][0]\
         .show()\nprint(row[\"instruction\"])\nrow[\"output_image\"].show()\n```\n\nEvery column \
         is explained in `docs/row-schema.md` of framewright.\n",
    );
    text
}

fn table(text: &mut String, title: &str, column: &str, counts: &BTreeMap<String, u64>) {
    if counts.is_empty() {
        return;
    }
    let mut rows: Vec<(&String, &u64)> = counts.iter().collect();
    rows.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    let _ = write!(text, "\n## {title}\n\n| {column} | samples |\n|---|---:|\n");
    for (name, n) in rows.iter().take(MAX_SOURCES) {
        let _ = writeln!(text, "| {} | {n} |", escape_markdown(name));
    }
    if let Some(rest) = rows.get(MAX_SOURCES..).filter(|rest| !rest.is_empty()) {
        let sum: u64 = rest.iter().map(|(_, n)| **n).sum();
        let _ = writeln!(text, "| and {} more | {sum} |", rest.len());
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::run_in;
    use super::*;

    #[test]
    fn a_card_counts_licences_writers_and_models() {
        let folder = tempfile::tempdir().unwrap();
        let (_, shards, _) = run_in(folder.path());
        let card = write_dataset_card(&CardInput {
            run_dir: folder.path(),
            title: "edit_pairs",
            about: "Pairs of frames.",
            shards: &shards,
        })
        .unwrap();
        for part in [
            "15 samples from 5 videos in 1 shards",
            "| CC BY 4.0 | 15 |",
            "| not stated | 15 |",
            "| endpoint:qwen25\\_vl | 3 |",
            "embedder: dinov2\\_small@0123456789ab | 15 |",
        ] {
            assert!(card.contains(part), "{part} is not in\n{card}");
        }
    }
}
