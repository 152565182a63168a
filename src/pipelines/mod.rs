//! The chains: read one to understand a product. Also what every product's run has in common.

mod check;
pub mod edit_pairs;
mod factories;
mod finished;
mod plan;
mod retry;
mod run_dir;
mod runner;
mod scene_plot;
mod scene_split;
mod scenes;
mod select;
mod shards;
mod sink;
mod status;
mod verify;

pub use check::{CheckResult, check};
pub use factories::{EndpointUsage, Models, detector_factory};
pub use plan::{Plan, PlanStage, plan};
pub use retry::reopen_failed;
pub use run_dir::{RunDir, RunInfo, SelectedFrom};
pub use runner::{RunRequest, RunResult, run};
pub use scene_plot::{plot_file, publish_plot};
pub use scene_split::{SceneSplitter, WrittenClip};
pub use scenes::{SceneRequest, find_scenes};
pub use select::{Moves, SelectRequest, Selected, select};
pub use status::{Status, status};
pub use verify::{Fault, SkippedSource, Verified, VerifyRequest, verify};

use crate::config::{Config, FilterChoice, Loaded, Source, load_leniently};
use crate::core::{ConfigError, Problem, Range};
use crate::filters::{FilterDef, PAIR_FILTERS, SCENE_FILTERS};

/// A product: its name in files and the recipe that is built in.
#[derive(Clone, Copy, Debug)]
pub struct PipelineDef {
    /// `pipeline = "…"` and the name of shards.
    pub name: &'static str,
    /// Name on the command line.
    pub alias: &'static str,
    /// The recipe with every key.
    pub recipe: &'static str,
    /// One line for help.
    pub about: &'static str,
}

/// All products.
pub const PIPELINES: &[PipelineDef] = &[PipelineDef {
    name: "edit_pairs",
    alias: "edit-pairs",
    recipe: include_str!("../../pipelines/edit-pairs.toml"),
    about: "two real frames of one scene that differ by one describable change",
}];

/// A filter as the reports see it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct FilterInfo {
    /// Config key; the column is `score_<name>`.
    pub name: &'static str,
    /// Unit of the score.
    pub unit: &'static str,
    /// What it measures.
    pub about: &'static str,
    /// Scores inside are kept.
    pub range: Range,
    /// Whether it measures at all.
    pub is_enabled: bool,
}

/// Names that `[filters]` may hold.
pub fn filter_names() -> Vec<&'static str> {
    let scene = SCENE_FILTERS.iter().map(|def| def.name);
    scene
        .chain(PAIR_FILTERS.iter().map(|def| def.name))
        .collect()
}

/// Every filter with the range that a config gives it, in table order.
pub fn filter_infos(config: &Config) -> Vec<FilterInfo> {
    let mut infos: Vec<FilterInfo> = SCENE_FILTERS.iter().map(|def| info(config, def)).collect();
    infos.extend(PAIR_FILTERS.iter().map(|def| info(config, def)));
    infos
}

fn info<T>(config: &Config, def: &FilterDef<T>) -> FilterInfo {
    let choice = config.filters.get(def.name);
    FilterInfo {
        name: def.name,
        unit: def.unit,
        about: def.about,
        range: range(def.default, choice),
        is_enabled: choice.and_then(|choice| choice.enabled).unwrap_or(true),
    }
}

/// A filter's default range with the sides that the config sets.
fn range(default: Range, choice: Option<&FilterChoice>) -> Range {
    let (min, max) = choice.map_or((None, None), |choice| (choice.min, choice.max));
    Range {
        min: min.or(default.min),
        max: max.or(default.max),
    }
}

/// Reads a pipeline by file name or by the name of a built-in recipe.
///
/// # Errors
/// Every problem at once.
pub fn load_pipeline(pipeline: &str, sets: &[String]) -> Result<Loaded, ConfigError> {
    match load_pipeline_leniently(pipeline, sets) {
        (Some(loaded), problems) if problems.is_empty() => Ok(loaded),
        (_, problems) => Err(ConfigError(problems)),
    }
}

/// Like [`load_pipeline`], but leaves out what is wrong, so that the rest can be checked too.
pub fn load_pipeline_leniently(pipeline: &str, sets: &[String]) -> (Option<Loaded>, Vec<Problem>) {
    let aliases: Vec<&str> = PIPELINES.iter().map(|def| def.alias).collect();
    let built_in = PIPELINES
        .iter()
        .find(|def| def.alias == pipeline || def.name == pipeline);
    let text = match built_in {
        Some(def) => def.recipe.to_owned(),
        None => match std::fs::read_to_string(pipeline) {
            Ok(text) => text,
            Err(error) => {
                let known = aliases.join(", ");
                let what = format!("{error}; a pipeline is a file or one of: {known}");
                return (None, vec![Problem::new(pipeline, what)]);
            }
        },
    };
    let (mut loaded, mut problems) = load_leniently(&text, pipeline, sets, &filter_names());
    if let Some(loaded) = &mut loaded {
        if built_in.is_some() {
            // The recipe that is built in is the default, spelled out.
            let stated = loaded
                .origins
                .values_mut()
                .filter(|(_, source)| *source == Source::File);
            stated.for_each(|(_, source)| *source = Source::Default);
        }
        let name = &loaded.config.pipeline;
        if PIPELINES.iter().all(|def| def.name != name) {
            let known: Vec<&str> = PIPELINES.iter().map(|def| def.name).collect();
            let what = format!(
                "unknown pipeline `{name}`, expected one of: {}",
                known.join(", ")
            );
            problems.push(Problem::new(format!("{pipeline}: pipeline"), what));
        }
    }
    (loaded, problems)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    #[test]
    fn the_recipe_states_every_default() {
        for def in PIPELINES {
            let loaded = load(def.recipe, def.alias, &[], &filter_names()).unwrap();
            let mut config = loaded.config;
            // Ranges stand in the filter table and in the recipe; both must say the same.
            for info in filter_infos(&Config::default()) {
                let choice = config.filters.remove(info.name);
                let choice = choice.unwrap_or_else(|| panic!("filters.{} is missing", info.name));
                assert_eq!(
                    (choice.min, choice.max),
                    (info.range.min, info.range.max),
                    "{}",
                    info.name
                );
            }
            assert_eq!(config, Config::default());
        }
    }

    #[test]
    fn the_recipe_mentions_every_key() {
        let markdown = crate::config::config_markdown(&[]);
        for line in markdown.lines().filter(|line| line.starts_with("| `")) {
            let path = line.split('`').nth(1).unwrap();
            let key = path.rsplit('.').next().unwrap();
            if key != "<name>" {
                assert!(
                    PIPELINES[0].recipe.contains(key),
                    "{path} is not in the recipe"
                );
            }
        }
    }
}
