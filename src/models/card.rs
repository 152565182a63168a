//! Reads `models/<name>/card.toml`: where a network is from, its weights, inputs and outputs.

use serde::{Deserialize, Serialize};

use crate::core::{ConfigError, FatalError};
use crate::runtime::TensorSpec;

/// A network as its card describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Name of the card's folder and of the file below `src/models`.
    pub name: String,
    /// `scene_detector`, `embedder` …
    pub role: String,
    /// Address of the original project.
    pub source: String,
    /// Commit or release of the original project.
    pub revision: String,
    /// SPDX licence of the weights.
    pub license: String,
    /// Whether that licence allows commercial use.
    pub commercial_use: bool,
    /// Paper, as `arXiv:…`.
    pub paper: String,
    /// File name of the graph beside the card.
    pub graph: String,
    /// Files with weights, which users pull.
    #[serde(rename = "file")]
    pub files: Vec<WeightsFile>,
    /// Inputs of the graph.
    #[serde(rename = "input")]
    pub inputs: Vec<TensorSpec>,
    /// Outputs of the graph.
    #[serde(rename = "output")]
    pub outputs: Vec<TensorSpec>,
    /// How near the golden outputs must be.
    pub golden: Golden,
}

/// A file of weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsFile {
    /// File name; the graph's initializers point into it by this name.
    pub path: String,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
    /// Length of the file.
    pub bytes: u64,
    /// The Python package that carries it.
    #[serde(default)]
    pub pypi: Option<PackageMember>,
}

/// A file inside a wheel of the Python package index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageMember {
    /// Package name.
    pub package: String,
    /// Exact version.
    pub version: String,
    /// SHA-256 of the wheel, hexadecimal.
    pub wheel_sha256: String,
    /// Path inside the wheel.
    pub member: String,
}

/// Agreement with the golden outputs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// Largest difference of any element.
    pub abs_tol: f32,
}

impl Card {
    /// Parses a card.
    ///
    /// # Errors
    /// When the text is no card, or a file name of it would leave its folder.
    pub fn parse(text: &str, place: &str) -> Result<Self, ConfigError> {
        let card: Self = toml::from_str(text)
            .map_err(|error| ConfigError::one(place, error.to_string().trim_end()))?;
        let plain = |name: &str| !name.is_empty() && !name.contains(['/', '\\']) && name != "..";
        for file in &card.files {
            let hash_ok = file.sha256.len() == 64
                && file
                    .sha256
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            if !plain(&file.path) || !hash_ok {
                return Err(ConfigError::one(
                    place,
                    format!(
                        "file {:?} needs a plain name and a sha256 in lower case",
                        file.path
                    ),
                ));
            }
        }
        if card.files.is_empty() || !plain(&card.name) {
            return Err(ConfigError::one(
                place,
                "a card needs a plain name and a [[file]]",
            ));
        }
        Ok(card)
    }

    /// `name@sha256:12` with the first 12 digits of the weights' hash, for rows.
    pub fn digest(&self) -> String {
        let hash = self.files.first().map_or("", |file| file.sha256.as_str());
        format!("{}@{}", self.name, hash.get(..12).unwrap_or(hash))
    }
}

/// A network this build knows: its card and its graph without weights.
#[derive(Clone, Copy, Debug)]
pub struct ModelDef {
    /// Name of card, folder and config value.
    pub name: &'static str,
    /// Text of `card.toml`.
    pub card: &'static str,
    /// Bytes of the graph.
    pub graph: &'static [u8],
}

macro_rules! model {
    ($name:literal) => {
        ModelDef {
            name: $name,
            card: include_str!(concat!("../../models/", $name, "/card.toml")),
            graph: include_bytes!(concat!("../../models/", $name, "/", $name, ".onnx")),
        }
    };
}

/// All networks, by name. A new one is one line here.
pub const MODELS: &[ModelDef] = &[model!("efficientnet_lite0"), model!("transnet_v2")];

impl ModelDef {
    /// The network of that name.
    ///
    /// # Errors
    /// A [`ConfigError`] that lists the known names.
    pub fn find(name: &str) -> Result<&'static Self, ConfigError> {
        MODELS.iter().find(|def| def.name == name).ok_or_else(|| {
            let known: Vec<&str> = MODELS.iter().map(|def| def.name).collect();
            ConfigError::one(
                "model",
                format!("no model {name}; known: {}", known.join(", ")),
            )
        })
    }

    /// The parsed card.
    ///
    /// # Errors
    /// When the card of this build is broken, which its tests rule out.
    pub fn card(&self) -> Result<Card, FatalError> {
        let place = format!("models/{}/card.toml", self.name);
        Ok(Card::parse(self.card, &place)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_card_is_whole_and_in_order() {
        for pair in MODELS.windows(2) {
            assert!(pair[0].name < pair[1].name);
        }
        for def in MODELS {
            let card = def.card().unwrap();
            assert_eq!(card.name, def.name);
            assert_eq!(card.graph, format!("{}.onnx", def.name));
            assert!(
                card.files
                    .iter()
                    .all(|file| file.pypi.is_some() && file.bytes > 0)
            );
            assert_eq!(card.digest().len(), def.name.len() + 13);
        }
        assert!(
            ModelDef::find("nope")
                .unwrap_err()
                .to_string()
                .contains("transnet_v2")
        );
    }

    #[test]
    fn a_file_cannot_leave_its_folder() {
        let text = MODELS[0].card.replace("path = \"eff", "path = \"../eff");
        let error = Card::parse(&text, "card.toml").unwrap_err().to_string();
        assert!(error.contains("plain name"), "{error}");
    }

    /// Every value that follows the key `location` in a graph: the files its tensors point into.
    fn locations(graph: &[u8]) -> Vec<String> {
        // A string-string entry: key (field 1), value (field 2), each with its length.
        let key = b"\x0a\x08location\x12";
        let at = graph
            .windows(key.len())
            .enumerate()
            .filter(|(_, part)| part == key);
        at.map(|(at, _)| {
            let length = usize::from(graph[at + key.len()]);
            let start = at + key.len() + 1;
            String::from_utf8(graph[start..start + length].to_vec()).unwrap()
        })
        .collect()
    }

    #[test]
    fn graphs_point_into_the_files_of_their_card_and_nowhere_else() {
        for def in MODELS {
            let card = def.card().unwrap();
            let found = locations(def.graph);
            assert!(!found.is_empty(), "{}", def.name);
            for location in found {
                let is_known = card.files.iter().any(|file| file.path == location);
                assert!(is_known, "{}: {location}", def.name);
            }
        }
    }

    mod prop {
        use proptest::prelude::*;

        use super::*;
        use crate::core::testing::damaged_text;

        proptest! {
            #[test]
            fn a_damaged_card_is_refused_or_keeps_to_its_folder(text in damaged_text(MODELS[0].card)) {
                if let Ok(card) = Card::parse(&text, "card.toml") {
                    for name in card.files.iter().map(|file| &file.path).chain([&card.name]) {
                        let path = std::path::Path::new(name);
                        prop_assert_eq!(path.components().count(), 1, "{}", name);
                        prop_assert!(path.file_name().is_some(), "{}", name);
                    }
                    prop_assert!(!card.digest().is_empty());
                }
            }
        }
    }
}
