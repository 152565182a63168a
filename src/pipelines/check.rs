//! Everything that would stop a run, found before it is started.

use std::sync::Arc;

use super::{Models, filter_infos, load_pipeline};
use crate::core::Problem;
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
    match load_pipeline(pipeline, sets) {
        Err(error) => found.problems.extend(error.0),
        Ok(loaded) => {
            let config = Arc::new(loaded.config);
            let filters = filter_infos(&config);
            let embeds = filters
                .iter()
                .any(|info| info.name == "similarity_window" && info.is_enabled);
            check_models(&Models::weights_needed(&config, embeds), &mut found);
            match Models::new(Arc::clone(&config), Arc::new(ModelStore::default())) {
                Err(error) => found.problems.extend(error.0),
                Ok(models) => {
                    let prompts = [models.writer().err(), models.judge().err()];
                    found
                        .problems
                        .extend(prompts.into_iter().flatten().flat_map(|error| error.0));
                }
            }
        }
    }
    if let Some(manifest) = manifest {
        match read_manifest(manifest) {
            Err(error) => found.problems.extend(error.0),
            Ok(read) => {
                found
                    .notes
                    .push(format!("{manifest}: {} videos", read.entries.len()));
                found.problems.extend(read.problems);
                let local = read
                    .entries
                    .iter()
                    .filter_map(|entry| entry.local_path.as_ref());
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
