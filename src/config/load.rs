//! Layers of configuration: built-in defaults, pipeline file, `--set`.

use std::collections::BTreeMap;

use serde::Serialize;
use toml::de::DeTable;
use toml::{Table, Value};

use super::check::check_document;
use super::schema::json_schema;
use super::sections::{Config, InstructionWriter, JudgeBackend};
use crate::core::{ConfigError, Problem};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Nobody said otherwise.
    Default,
    /// The pipeline file.
    File,
    /// `--set` on the command line.
    Set,
}

/// A checked configuration and where its values came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Every leaf with its value as TOML text and its origin, sorted by key path.
    pub origins: BTreeMap<String, (String, Source)>,
}

/// Reads a pipeline file's text and `--set key=value` assignments.
///
/// `file_name` appears in messages; `known_filters` are the names that `[filters]` may hold.
///
/// # Errors
/// Every problem at once: syntax, unknown keys, wrong types, values out of bounds.
pub fn load(
    text: &str,
    file_name: &str,
    sets: &[String],
    known_filters: &[&str],
) -> Result<Loaded, ConfigError> {
    match load_leniently(text, file_name, sets, known_filters) {
        (Some(loaded), problems) if problems.is_empty() => Ok(loaded),
        (_, problems) => Err(ConfigError(problems)),
    }
}

/// Like [`load`], but leaves out what is wrong and goes on, so that the rest can be checked too.
pub fn load_leniently(
    text: &str,
    file_name: &str,
    sets: &[String],
    known_filters: &[&str],
) -> (Option<Loaded>, Vec<Problem>) {
    let schema = json_schema();
    let mut problems = Vec::new();
    let mut merged = Table::new();
    let mut from_file = BTreeMap::new();
    let mut from_set = BTreeMap::new();

    match parse(text) {
        Ok((document, mut table)) => {
            let place = |at: usize, path: &str| {
                let line = line_of(text, at);
                format!("{file_name}:{line}: {path}")
            };
            for (path, problem) in check_document(&schema, &document, known_filters, &place) {
                problems.push(problem);
                remove(&mut table, &path);
            }
            leaves(&table, "", &mut from_file);
            merge(&mut merged, table);
        }
        Err(error) => {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            problems.push(Problem::new(
                format!("{file_name}:{line}"),
                error.message().trim(),
            ));
        }
    }

    for assignment in sets {
        let Some((key, value)) = assignment.split_once('=') else {
            problems.push(Problem::new(
                format!("--set {assignment}"),
                "expected KEY=VALUE",
            ));
            continue;
        };
        let (key, value) = (key.trim(), value.trim());
        // A bare word is taken as text, so that `--set split.detector=content` needs no quotes.
        let candidates = [
            format!("{key} = {value}"),
            format!("{key} = {}", quote(value)),
        ];
        let Some(line) = candidates.iter().find(|line| parse(line).is_ok()) else {
            problems.push(Problem::new(
                format!("--set {assignment}"),
                "not a key path",
            ));
            continue;
        };
        if let Ok((document, mut table)) = parse(line) {
            let place = |_: usize, path: &str| format!("--set {path}");
            for (path, problem) in check_document(&schema, &document, known_filters, &place) {
                problems.push(problem);
                remove(&mut table, &path);
            }
            leaves(&table, "", &mut from_set);
            merge(&mut merged, table);
        }
    }

    let config: Config = match merged.try_into() {
        Ok(config) => config,
        Err(error) => {
            let error: toml::de::Error = error;
            problems.push(Problem::new(file_name, error.message().trim()));
            return (None, problems);
        }
    };
    check_together(&config, file_name, &mut problems);

    let mut values = BTreeMap::new();
    match Table::try_from(&config) {
        Ok(all) => leaves(&all, "", &mut values),
        Err(error) => problems.push(Problem::new(file_name, error.to_string())),
    }
    let origins = values
        .into_iter()
        .map(|(path, value)| {
            let source = if from_set.contains_key(&path) {
                Source::Set
            } else if from_file.contains_key(&path) {
                Source::File
            } else {
                Source::Default
            };
            (path, (value, source))
        })
        .collect();
    (Some(Loaded { config, origins }), problems)
}

/// Takes a key out of a table.
fn remove(table: &mut Table, path: &str) {
    match path.split_once('.') {
        None => {
            table.remove(path);
        }
        Some((section, rest)) => {
            if let Some(Value::Table(inner)) = table.get_mut(section) {
                remove(inner, rest);
            }
        }
    }
}

/// What no single key can show.
fn check_together(config: &Config, file_name: &str, problems: &mut Vec<Problem>) {
    let mut problem = |key: &str, what: String| {
        problems.push(Problem::new(format!("{file_name}: {key}"), what));
    };
    let gap = config.propose_pairs.gap_secs;
    if gap.min > gap.max {
        problem(
            "propose_pairs.gap_secs",
            format!("min {} is above max {}", gap.min, gap.max),
        );
    }
    for (name, choice) in &config.filters {
        if let (Some(min), Some(max)) = (choice.min, choice.max)
            && min > max
        {
            problem(
                &format!("filters.{name}"),
                format!("min {min} is above max {max}"),
            );
        }
    }
    let needs_endpoint = config.instruct.writer == InstructionWriter::Endpoint
        || config.judge.backend == JudgeBackend::Endpoint;
    if needs_endpoint {
        if config.endpoint.base_url.is_empty() {
            problem(
                "endpoint.base_url",
                "is needed because a stage uses \"endpoint\"".into(),
            );
        }
        if config.endpoint.model.is_empty() {
            problem(
                "endpoint.model",
                "is needed because a stage uses \"endpoint\"".into(),
            );
        }
        if let Some(name) = &config.endpoint.key_env
            && std::env::var_os(name).is_none()
        {
            problem(
                "endpoint.key_env",
                format!("environment variable {name} is not set"),
            );
        }
    }
}

fn parse(text: &str) -> Result<(DeTable<'_>, Table), toml::de::Error> {
    Ok((DeTable::parse(text)?.into_inner(), text.parse::<Table>()?))
}

/// The line, from 1, of a byte position.
fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

fn quote(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(mine)), Value::Table(theirs)) => merge(mine, theirs),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

fn leaves(table: &Table, prefix: &str, out: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let path = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            Value::Table(inner) => leaves(inner, &path, out),
            value => {
                out.insert(path, text_of(value));
            }
        }
    }
}

/// A value as TOML text; a number that was kept in 32 bits is written with their digits.
fn text_of(value: &Value) -> String {
    match value {
        Value::Float(number) if f64::from(*number as f32) == *number => {
            Value::Float((*number as f32).to_string().parse().unwrap_or(*number)).to_string()
        }
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILTERS: &[&str] = &["motion", "viewpoint_blocks_8"];

    fn problems(text: &str, sets: &[&str]) -> Vec<String> {
        let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
        match load(text, "p.toml", &sets, FILTERS) {
            Ok(_) => vec![],
            Err(error) => error.0.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn an_empty_file_is_the_default() {
        let loaded = load("", "p.toml", &[], FILTERS).unwrap();
        assert_eq!(loaded.config, Config::default());
    }

    #[test]
    fn all_problems_come_at_once_with_lines() {
        let text = "pipelin = 'x'\n[split]\ndetector = 'transnet'\nmin_scene_secs = -1.0\n\
                    [limits]\nitem_secs = 'long'\n[filters.motoin]\nmin = 0.1\n";
        assert_eq!(
            problems(text, &["seed=x"]),
            [
                "p.toml:1: pipelin: unknown key `pipelin`, did you mean `pipeline`?",
                "p.toml:3: split.detector: unknown value `transnet`, did you mean `transnet_v2`?",
                "p.toml:4: split.min_scene_secs: must be at least 0, got -1",
                "p.toml:6: limits.item_secs: expected number, got string",
                "p.toml:7: filters.motoin: unknown filter `motoin`, did you mean `motion`?",
                "--set seed: expected integer, got string",
            ]
        );
    }

    #[test]
    fn set_wins_over_the_file_and_origins_tell() {
        let sets = [
            "split.detector=content".to_owned(),
            "filters.motion.max=0.5".to_owned(),
        ];
        let loaded = load(
            "seed = 9\n[split]\ndetector='adaptive'",
            "p",
            &sets,
            FILTERS,
        )
        .unwrap();
        assert_eq!(loaded.config.split.detector.name(), "content");
        assert_eq!(loaded.origins["split.detector"].1, Source::Set);
        assert_eq!(loaded.origins["seed"], ("9".into(), Source::File));
        assert_eq!(loaded.origins["split.trim_secs"].1, Source::Default);
    }

    #[test]
    fn sizes_may_have_units() {
        let loaded = load("[limits]\nmemory_bytes = '2GiB'", "p", &[], FILTERS).unwrap();
        assert_eq!(loaded.config.limits.memory_bytes.as_u64(), 2 << 30);
    }

    #[test]
    fn syntax_errors_name_the_line() {
        assert!(problems("seed = 1\n[split\n", &[])[0].starts_with("p.toml:2: "));
    }

    #[test]
    fn an_endpoint_writer_needs_an_address() {
        let found = problems("[instruct]\nwriter = 'endpoint'", &[]);
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn reversed_ranges_are_found() {
        let found = problems("[filters.motion]\nmin = 2.0\nmax = 1.0", &[]);
        assert_eq!(found, ["p.toml: filters.motion: min 2 is above max 1"]);
    }

    mod prop {
        use proptest::prelude::*;

        use super::*;
        use crate::core::testing::damaged_text;

        const VALID: &str = "# comment\nseed = 9\n[limits]\nmemory_bytes = \"2GiB\"\nitem_secs = 5.5\n\
            [split]\ndetector = 'adaptive'\nmin_scene_secs = 0.5\n[output]\nmode = \"score\"\n\
            [filters.motion]\nmin = 0.1\nmax = 1e3\n[sample_frames]\nmax_per_scene = 9\n";

        proptest! {
            #[test]
            fn any_text_is_a_config_or_problems_that_name_it(
                text in damaged_text(VALID),
                set in prop_oneof![
                    damaged_text("split.detector=content"),
                    damaged_text("filters.motion.max=0.5"),
                    damaged_text("limits.memory_bytes=9e99"),
                ],
            ) {
                match load(&text, "p.toml", std::slice::from_ref(&set), FILTERS) {
                    Ok(loaded) => {
                        // What is accepted can be written and read again.
                        let again = toml::to_string(&loaded.config).unwrap();
                        let again = load(&again, "again.toml", &[], FILTERS).unwrap();
                        let mut again = again.config;
                        // Sizes are written with few digits, as people read them.
                        again.limits.memory_bytes = loaded.config.limits.memory_bytes;
                        again.ingest.download_max_bytes = loaded.config.ingest.download_max_bytes;
                        prop_assert_eq!(again, loaded.config);
                    }
                    Err(error) => {
                        prop_assert!(!error.0.is_empty());
                        for problem in &error.0 {
                            let place = &problem.place;
                            prop_assert!(place.starts_with("p.toml") || place.starts_with("--set"), "{place}");
                            prop_assert!(!problem.what.is_empty());
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn deep_nesting_is_refused_and_does_no_harm() {
        let deep = 100_000;
        for text in [
            format!("a = {}", "[".repeat(deep)),
            format!("a = {}1{}", "[".repeat(deep), "]".repeat(deep)),
            format!("a = {}", "{a=".repeat(deep)),
            format!("{}a = 1", "a.".repeat(deep)),
            format!("[{}a]", "a.".repeat(deep)),
            format!("[[{}a]]", "a.".repeat(deep)),
            format!("seed = {}", "9".repeat(deep)),
        ] {
            assert!(!problems(&text, &[]).is_empty(), "{}", &text[..20]);
            assert!(!problems("", &[&text]).is_empty(), "{}", &text[..20]);
        }
    }
}
