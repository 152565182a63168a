//! Which numbers can be decided again from stored scores, and the command for all others.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::config::{Config, JudgeBackend, Loaded, Mode, load};
use crate::core::{ConfigError, FatalError, Problem};
use crate::pipelines::run_dir::RunInfo;
use crate::pipelines::{PIPELINES, filter_infos, filter_names, load_pipeline};

/// What differs: key path, then the value before and after.
type Changes = BTreeMap<String, [Option<String>; 2]>;

/// The config of a selection, and what differs from the run's.
///
/// # Errors
/// Every assignment that cannot be decided from stored scores, with the command that can.
pub(super) fn apply(info: &RunInfo, sets: &[String]) -> Result<(Config, Changes), FatalError> {
    let mut problems: Vec<Problem> = sets.iter().filter_map(|set| refused(info, set)).collect();
    let mut config = match loaded(&info.config, sets) {
        Ok(loaded) if problems.is_empty() => loaded.config,
        Err(FatalError::Config(ConfigError(more))) => {
            problems.extend(more);
            return Err(ConfigError(problems).into());
        }
        Ok(_) => return Err(ConfigError(problems).into()),
        Err(error) => return Err(error),
    };
    config
        .endpoint
        .key_env
        .clone_from(&info.config.endpoint.key_env);
    let mut changes = Changes::new();
    let mut note = |key: String, before: Option<String>, after: Option<String>| {
        if before != after {
            changes.insert(key, [before, after]);
        }
    };
    let old = filter_infos(&info.config);
    for (before, after) in old.iter().zip(filter_infos(&config)) {
        let text = |side: Option<f32>| side.map(|side| side.to_string());
        let key = |side: &str| format!("filters.{}.{side}", after.name);
        note(key("min"), text(before.range.min), text(after.range.min));
        note(key("max"), text(before.range.max), text(after.range.max));
    }
    let mut number = |key: &str, before: String, after: String| {
        note(key.to_owned(), Some(before), Some(after));
    };
    let (before, after) = (&info.config, &config);
    number(
        "judge.min",
        before.judge.min.to_string(),
        after.judge.min.to_string(),
    );
    number(
        "duplicate.max_distance_bits",
        before.duplicate.max_distance_bits.to_string(),
        after.duplicate.max_distance_bits.to_string(),
    );
    if before.output.mode == Mode::Score {
        number("output.mode", "score".to_owned(), "drop".to_owned());
    }
    // The ranges decide from now on.
    config.output.mode = Mode::Drop;
    Ok((config, changes))
}

/// A config with assignments, checked as a pipeline file is. The endpoint is not asked, so its key
/// need not be there.
fn loaded(config: &Config, sets: &[String]) -> Result<Loaded, FatalError> {
    let mut config = config.clone();
    config.endpoint.key_env = None;
    let text = toml::to_string(&config).map_err(|error| {
        FatalError::Refused(format!("run.json: its config cannot be read: {error}"))
    })?;
    Ok(load(&text, "run.json", sets, &filter_names())?)
}

/// Why an assignment cannot be decided from stored scores.
fn refused(info: &RunInfo, set: &str) -> Option<Problem> {
    let key = set.split('=').next().unwrap_or_default().trim();
    let parts: Vec<&str> = key.split('.').collect();
    let place = format!("--set {key}");
    match parts[..] {
        ["filters", name, "min" | "max"] => {
            let known = filter_infos(&info.config);
            let known = known.iter().find(|known| known.name == name)?;
            (!known.is_enabled).then(|| {
                let what = format!(
                    "{name} was not measured in this run; `framewright run --set \
                     filters.{name}.enabled=true` measures it"
                );
                Problem::new(place, what)
            })
        }
        ["duplicate", "max_distance_bits"] => None,
        ["judge", "min"] => (info.config.judge.backend == JudgeBackend::None)
            .then(|| Problem::new(place, "nobody gave points in this run")),
        _ => {
            let what = format!(
                "stored scores cannot decide that; only filters.<name>.min and .max, judge.min and \
                 duplicate.max_distance_bits can be set here; use `framewright run --manifest {} \
                 --set {} --out NEW`",
                quoted(&info.manifest),
                quoted(set)
            );
            Some(Problem::new(place, what))
        }
    }
}

/// The command that runs with the config of a selection in the folder it was selected from, where
/// cuts, measurements and answers are remembered.
pub(super) fn run_command(info: &RunInfo, from: &Path) -> String {
    let def = PIPELINES.iter().find(|def| def.name == info.pipeline);
    let name = def.map_or(info.pipeline.as_str(), |def| def.alias);
    let mut text = format!(
        "framewright run {name} --manifest {} --out {}",
        quoted(&info.manifest),
        quoted(&from.display().to_string())
    );
    let recipe = load_pipeline(name, &[]).map(|loaded| loaded.origins);
    let recipe = recipe.unwrap_or_default();
    let values = loaded(&info.config, &[]).map(|loaded| loaded.origins);
    let mut values = values.unwrap_or_default();
    if let Some(name) = &info.config.endpoint.key_env {
        let key = ("endpoint.key_env".to_owned(), format!("\"{name}\""));
        values.insert(key.0, (key.1, crate::config::Source::Set));
    }
    for (key, (value, _)) in &values {
        if recipe.get(key).map(|(value, _)| value) != Some(value) {
            let value = value.trim_matches('"');
            let _ = write!(text, " --set {}", quoted(&format!("{key}={value}")));
        }
    }
    text
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("a/b.mp4"), "a/b.mp4");
        assert_eq!(quoted("it's [1]"), "'it'\\''s [1]'");
    }
}
