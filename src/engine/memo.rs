//! Values of costly computations, kept on disk under a hash of everything they depend on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::core::{FatalError, Key};
use crate::store;

/// A folder of values: `<folder>/<stage>/<2 hex>/<key>`. A file is the value as JSON and, in a
/// second line, its CRC-32. Cheap to clone; clones share the counters.
#[derive(Clone, Debug)]
pub struct Memo(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    /// How often a value was found, by stage.
    found: Mutex<BTreeMap<String, u64>>,
}

impl Memo {
    /// A memo in that folder, which is made with the first value.
    pub fn open(folder: &Path) -> Self {
        Self(Arc::new(Inner {
            folder: folder.to_owned(),
            found: Mutex::default(),
        }))
    }

    /// The value of a key; none if there is none, or a damaged one, or one of another shape.
    pub fn get<V: DeserializeOwned>(&self, stage: &str, key: &Key) -> Option<V> {
        self.get_if(stage, key, |_| true)
    }

    /// [`Memo::get`] for a value that serves only if `suits` says so.
    pub fn get_if<V: DeserializeOwned>(
        &self,
        stage: &str,
        key: &Key,
        suits: impl FnOnce(&V) -> bool,
    ) -> Option<V> {
        let value = self.peek(stage, key).filter(suits)?;
        let mut found = self.0.found.lock().unwrap_or_else(PoisonError::into_inner);
        *found.entry(stage.to_owned()).or_default() += 1;
        Some(value)
    }

    /// The same as [`Memo::get`], for looking ahead: it does not count as used.
    pub fn peek<V: DeserializeOwned>(&self, stage: &str, key: &Key) -> Option<V> {
        let path = self.path(stage, key);
        match store::read(&path) {
            Ok(bytes) => bytes.and_then(|bytes| unsealed(&bytes, &path)),
            Err(error) => {
                tracing::warn!("{error}; the value is computed again");
                None
            }
        }
    }

    /// Keeps the value of a key, whole and durable.
    ///
    /// # Errors
    /// [`FatalError::Disk`] with the path.
    pub fn put<V: Serialize>(&self, stage: &str, key: &Key, value: &V) -> Result<(), FatalError> {
        let path = self.path(stage, key);
        let json = serde_json::to_vec(value).map_err(|e| FatalError::disk(&path, e))?;
        if let Some(folder) = path.parent() {
            store::create_dir(folder)?;
        }
        store::publish(&path, |file| {
            file.write_all(&json)?;
            writeln!(file, "\n{:08x}", crc32fast::hash(&json))
        })
    }

    /// How often a value was used since [`Memo::open`], by stage.
    pub fn used(&self) -> BTreeMap<String, u64> {
        let found = self.0.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.clone()
    }

    fn path(&self, stage: &str, key: &Key) -> PathBuf {
        let name = key.as_str();
        let prefix = name.get(..2).unwrap_or("00");
        self.0.folder.join(stage).join(prefix).join(name)
    }
}

fn unsealed<V: DeserializeOwned>(bytes: &[u8], path: &Path) -> Option<V> {
    let text = bytes.trim_ascii_end();
    let value = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map(|at| text.split_at(at))
        .filter(|(json, crc)| format!("\n{:08x}", crc32fast::hash(json)).as_bytes() == *crc)
        .and_then(|(json, _)| serde_json::from_slice(json).ok());
    if value.is_none() {
        tracing::warn!("{}: damaged; the value is computed again", path.display());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_after_reopening_and_damaged_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::from_hash([7; 32]);
        let memo = Memo::open(folder.path());
        assert_eq!(memo.get::<Vec<u32>>("split", &key), None);
        memo.put("split", &key, &vec![1_u32, 2]).unwrap();

        let memo = Memo::open(folder.path());
        assert_eq!(memo.get("split", &key), Some(vec![1_u32, 2]));
        assert_eq!(memo.get::<Vec<u32>>("judge", &key), None);
        let nothing = memo.get_if("split", &key, |value: &Vec<u32>| value.is_empty());
        assert_eq!(nothing, None);
        assert_eq!(memo.used(), BTreeMap::from([("split".to_owned(), 1)]));

        let path = memo.path("split", &key);
        let text = String::from_utf8(store::read(&path).unwrap().unwrap()).unwrap();
        store::publish_bytes(&path, text.replace("[1,2]", "[1,3]").as_bytes()).unwrap();
        assert_eq!(memo.get::<Vec<u32>>("split", &key), None);
        memo.put("split", &key, &"other shape").unwrap();
        assert_eq!(memo.get::<Vec<u32>>("split", &key), None);
    }

    mod prop {
        use proptest::prelude::*;

        use super::*;
        use crate::core::testing::damaged;

        proptest! {
            #[test]
            fn a_damaged_value_is_the_right_one_or_none(
                bytes in damaged(b"[1,22,333]\n6a9e0d5f\n".to_vec()),
                seals in any::<bool>(),
            ) {
                let sealed = format!("\n{:08x}\n", crc32fast::hash(&bytes));
                let bytes = if seals { [&bytes[..], sealed.as_bytes()].concat() } else { bytes };
                let value: Option<serde_json::Value> = unsealed(&bytes, Path::new("a"));
                prop_assert!(seals || value.is_none());
            }
        }
    }
}
