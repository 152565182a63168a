//! Everything that would stop a run, found before it is started.

use std::sync::Arc;

use super::{Models, filter_infos, load_pipeline_leniently};
use crate::core::{ConfigError, ManifestEntry, Problem, WebAddress};
use crate::io::read_manifest;
use crate::models::{ModelStatus, ModelStore};
use crate::runtime::load_library;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct CheckResult {
    /// What would stop the run or an input.
    pub problems: Vec<Problem>,
    /// What is fine.
    pub notes: Vec<String>,
}

/// Checks a pipeline file, its models and libraries and, if given, a manifest.
pub fn check(pipeline: &str, sets: &[String], manifest: Option<&str>) -> CheckResult {
    let mut found = CheckResult::default();
    let (loaded, problems) = load_pipeline_leniently(pipeline, sets);
    found.problems.extend(problems);
    if let Some(loaded) = loaded {
        let config = Arc::new(loaded.config);
        let filters = filter_infos(&config);
        let embeds = filters
            .iter()
            .any(|info| info.name == "similarity_window" && info.is_enabled);
        let named = |error: ConfigError| {
            error
                .0
                .into_iter()
                .map(|problem| Problem::new(format!("{pipeline}: {}", problem.place), problem.what))
        };
        match Models::new(Arc::clone(&config), Arc::new(ModelStore::default())) {
            // Without an address there is no endpoint to look at, which was said above.
            Err(_) if config.endpoint.base_url.is_empty() && !found.problems.is_empty() => {}
            Err(error) => found.problems.extend(named(error)),
            Ok(models) => {
                check_models(&Models::weights_needed(&config, embeds), &mut found);
                let errors = [models.writer().err(), models.judge().err()];
                found
                    .problems
                    .extend(errors.into_iter().flatten().flat_map(named));
            }
        }
    }
    if let Some(manifest) = manifest {
        match read_manifest(manifest) {
            Err(error) => found.problems.extend(error.0),
            Ok(read) => {
                let shown = WebAddress::new(manifest).shown();
                found
                    .notes
                    .push(format!("{shown}: {} videos", read.entries.len()));
                found.problems.extend(read.problems);
                let local = read.entries.iter().filter_map(ManifestEntry::local_path);
                for path in local.filter(|path| !path.is_file()) {
                    let what = format!("no such file: {}", path.display());
                    found.problems.push(Problem::new(manifest, what));
                }
            }
        }
    }
    found
}

fn check_models(needed: &[(&'static str, String)], found: &mut CheckResult) {
    if needed.is_empty() {
        return;
    }
    match load_library(None) {
        Err(error) => found
            .problems
            .push(Problem::new("ONNX Runtime", error.to_string())),
        Ok(library) => found.notes.push(format!(
            "ONNX Runtime {} at {}",
            library.version(),
            library.path().display()
        )),
    }
    let store = ModelStore::default();
    for (role, name) in needed {
        match store.status(name) {
            Err(error) => found
                .problems
                .push(Problem::new(format!("models: {role}"), error.to_string())),
            Ok(ModelStatus::Present) => found
                .notes
                .push(format!("{role} {name}: weights are there")),
            Ok(ModelStatus::Missing(path)) => found.problems.push(Problem::new(
                format!("models: {role}"),
                format!(
                    "{} is missing; run `framewright models pull {name}`",
                    path.display()
                ),
            )),
            Ok(ModelStatus::Corrupt(path)) => found.problems.push(Problem::new(
                format!("models: {role}"),
                format!(
                    "{} is not the file its card names; remove it and run `framewright models \
                     pull {name}`",
                    path.display()
                ),
            )),
        }
    }
}
