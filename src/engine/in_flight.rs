//! What each worker is busy with, kept in a small file that outlives a crash of the process.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::core::FatalError;
use crate::store;

/// One slot of the file: enough for a key, a stage, a path and the end of a uri.
const SLOT_BYTES: usize = 512;
/// A uri is cut so that the JSON of a slot always fits, even if every byte needs escaping.
const LABEL_MAX_CHARS: usize = 40;

/// A root that a worker was busy with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Busy {
    /// Key of the root.
    pub root: String,
    /// The stage it was in.
    pub stage: String,
    /// Path of the item.
    pub path: String,
    /// The end of the root's uri, for messages.
    pub label: String,
    /// Whether the watchdog gave it up.
    #[serde(default)]
    pub is_hung: bool,
}

/// The file: one slot per worker, rewritten in place. A write is one `pwrite` into the page cache,
/// about a microsecond; it survives the process, not a power cut, after which nobody asks.
#[derive(Debug)]
pub struct InFlight {
    file: File,
    path: PathBuf,
}

impl InFlight {
    /// Opens the file and forgets what it held.
    ///
    /// # Errors
    /// [`FatalError::Disk`] with the path.
    pub fn open(path: &Path) -> Result<Self, FatalError> {
        if let Some(folder) = path.parent() {
            store::create_dir(folder)?;
        }
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .open(path)
            .map_err(|e| FatalError::disk(path, e))?;
        let path = path.to_owned();
        Ok(Self { file, path })
    }

    /// Writes what a worker is busy with now; none when it is idle.
    pub fn set(&self, slot: usize, busy: Option<&Busy>) {
        let mut bytes = busy
            .and_then(|busy| serde_json::to_vec(&shortened(busy)).ok())
            .filter(|bytes| bytes.len() < SLOT_BYTES)
            .unwrap_or_default();
        bytes.resize(SLOT_BYTES - 1, b' ');
        bytes.push(b'\n');
        if let Err(error) = self.file.write_all_at(&bytes, (slot * SLOT_BYTES) as u64) {
            // Costs only the blame after a crash.
            tracing::warn!("{}: {error}", self.path.display());
        }
    }

    /// What workers were busy with when the file was last written; nothing if it is not there.
    ///
    /// # Errors
    /// [`FatalError::Disk`] with the path.
    pub fn read(path: &Path) -> Result<Vec<Busy>, FatalError> {
        let bytes = store::read(path)?.unwrap_or_default();
        Ok(bytes
            .chunks(SLOT_BYTES)
            .filter_map(|slot| serde_json::from_slice(slot.trim_ascii()).ok())
            .collect())
    }
}

fn shortened(busy: &Busy) -> Busy {
    let skip = busy.label.chars().count().saturating_sub(LABEL_MAX_CHARS);
    Busy {
        label: busy.label.chars().skip(skip).collect(),
        ..busy.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_read_back_and_idle_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tmp/in_flight");
        let file = InFlight::open(&path).unwrap();
        let busy = |root: &str| Busy {
            root: root.into(),
            stage: "split".into(),
            path: "3_1".into(),
            label: "\u{1}".repeat(4000),
            is_hung: false,
        };
        file.set(2, Some(&busy("c")));
        file.set(0, Some(&busy("a")));
        file.set(1, Some(&busy("b")));
        file.set(1, None);
        let roots: Vec<String> = InFlight::read(&path)
            .unwrap()
            .into_iter()
            .map(|b| b.root)
            .collect();
        assert_eq!(roots, ["a", "c"]);
        InFlight::open(&path).unwrap();
        assert!(InFlight::read(&path).unwrap().is_empty());
    }

    mod prop {
        use proptest::prelude::*;

        use super::*;
        use crate::core::testing::damaged;

        proptest! {
            #[test]
            fn any_label_is_kept_and_any_damage_is_survived(
                label in any::<String>(),
                stage in "\\PC{0,20}",
                slot in 0_usize..5,
            ) {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("in_flight");
                let file = InFlight::open(&path).unwrap();
                let busy = Busy {
                    root: "0".repeat(64),
                    stage,
                    path: "4294967295_4294967295_4294967295".into(),
                    label,
                    is_hung: true,
                };
                file.set(slot, Some(&busy));
                let read = InFlight::read(&path).unwrap();
                prop_assert_eq!(read, vec![shortened(&busy)]);
            }

            #[test]
            fn a_damaged_file_names_fewer_roots(bytes in damaged(
                format!("{:511}\n", r#"{"root":"a","stage":"s","path":"0","label":"l"}"#)
                    .repeat(3).into_bytes()
            )) {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("in_flight");
                store::publish_bytes(&path, &bytes).unwrap();
                prop_assert!(InFlight::read(&path).unwrap().len() <= bytes.len().div_ceil(SLOT_BYTES));
            }
        }
    }
}
