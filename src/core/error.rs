//! What can go wrong: with one item, with the configuration, with the run.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::damage::DamageReason;
use super::text::visible_line;

/// Why an item could not be processed. Not meeting a range is a rejection, not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The bytes could not be read or fetched.
    Unreadable,
    /// The bytes contradict their format.
    Corrupt,
    /// The format, codec or size is not handled.
    Unsupported,
    /// Nothing is there: no such file, no video stream, no frame.
    Missing,
    /// The item took longer than its deadline.
    Timeout,
    /// A model refused its input or gave nonsense.
    Model,
    /// A remote service failed.
    Remote,
    /// Memory ran out.
    OutOfMemory,
    /// Native code died on this item, twice.
    Crash,
    /// Our mistake.
    Bug,
}

impl ErrorKind {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::Unreadable,
        Self::Corrupt,
        Self::Unsupported,
        Self::Missing,
        Self::Timeout,
        Self::Model,
        Self::Remote,
        Self::OutOfMemory,
        Self::Crash,
        Self::Bug,
    ];

    /// Whether trying again may help.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Timeout | Self::Remote | Self::OutOfMemory)
    }
    /// The name used in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Corrupt => "corrupt",
            Self::Unsupported => "unsupported",
            Self::Missing => "missing",
            Self::Timeout => "timeout",
            Self::Model => "model",
            Self::Remote => "remote",
            Self::OutOfMemory => "out_of_memory",
            Self::Crash => "crash",
            Self::Bug => "bug",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One item failed; the run goes on. Stage and item path are added by the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{kind}: {what}")]
pub struct ItemError {
    /// The kind, for counting and retrying.
    pub kind: ErrorKind,
    /// What is wrong with the file, where that is known more closely than by the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<DamageReason>,
    /// One sentence without a full stop: what was wrong, where, what helps.
    pub what: String,
}

impl ItemError {
    /// An error of that kind.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self {
            kind,
            reason: None,
            what: what.into(),
        }
    }
    /// The same error with a reason that programs can rely on.
    #[must_use]
    pub fn because(self, reason: DamageReason) -> Self {
        Self {
            reason: Some(reason),
            ..self
        }
    }
    /// The same error with words in front: `context: what`.
    #[must_use]
    pub fn context(self, context: impl fmt::Display) -> Self {
        Self {
            what: format!("{context}: {}", self.what),
            ..self
        }
    }
    /// The same error without a machine's path in its words: rows and tables name the uri instead.
    #[must_use]
    pub fn without_path(self, path: &std::path::Path) -> Self {
        let prefix = format!("{}: ", path.display());
        Self {
            what: self.what.replace(&prefix, ""),
            ..self
        }
    }
}

/// One thing wrong with what the user wrote, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// File and line, key path or line of a manifest, such as `edit-pairs.toml:12: split.treshold`.
    pub place: String,
    /// What is wrong and what helps, lower case, no full stop.
    pub what: String,
}

impl Problem {
    /// A problem at a place. What users wrote is quoted with its control letters visible.
    pub fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            place: visible_line(&place.into()).into_owned(),
            what: visible_line(&what.into()).into_owned(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Everything wrong with a configuration, at once.
#[derive(Clone, Debug, Default, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError(pub Vec<Problem>);

impl ConfigError {
    /// An error with one problem.
    pub fn one(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self(vec![Problem::new(place, what)])
    }
}

/// The run cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum FatalError {
    /// The configuration or manifest is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A model's weights are not there.
    #[error("model {name}: {what}; run `framewright models pull {name}`")]
    ModelMissing {
        /// Card name.
        name: String,
        /// Which file, where it was looked for.
        what: String,
    },
    /// A card and its graph disagree.
    #[error("{}: expected {expected}, got {got}", file.display())]
    SpecMismatch {
        /// What the card says.
        expected: String,
        /// What the graph says.
        got: String,
        /// The model file.
        file: PathBuf,
    },
    /// A library the run needs is not there or does not load.
    #[error("{what}")]
    Library {
        /// Which one, why, and what helps.
        what: String,
    },
    /// A file of the run could not be written or read.
    #[error("{}: {what}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// The reason.
        what: String,
    },
    /// The run's folder belongs to another run, or a counted item is gone.
    #[error("{0}")]
    Refused(String),
}

impl FatalError {
    /// A failed file operation. What helps is added where the system's error says enough; libraries
    /// hand it on as text only.
    pub fn disk(path: impl Into<PathBuf>, error: impl fmt::Display) -> Self {
        let mut what = error.to_string();
        let known = REMEDIES.iter().find(|(code, _)| what.contains(code));
        if let Some((_, remedy)) = known {
            what = format!("{what}; {remedy}");
        }
        Self::Disk {
            path: path.into(),
            what,
        }
    }
}

/// Errors of the system that a user can do something about.
const REMEDIES: [(&str, &str); 6] = [
    (
        "(os error 28)",
        "free some space, then run the same command again",
    ),
    (
        "(os error 122)",
        "free some of your quota, then run the same command again",
    ),
    (
        "(os error 30)",
        "mount it for writing or choose another folder",
    ),
    (
        "(os error 13)",
        "see to its owner and permissions or choose another folder",
    ),
    ("(os error 24)", "raise `ulimit -n` or give fewer --jobs"),
    (
        "(os error 5)",
        "see to the disk, then run the same command again",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_says_what_helps() {
        let full = std::io::Error::from_raw_os_error(28);
        let error = FatalError::disk("a/b.parquet", full).to_string();
        assert!(error.starts_with("a/b.parquet: ") && error.ends_with("same command again"));
        assert_eq!(FatalError::disk("a", "torn").to_string(), "a: torn");
    }

    #[test]
    fn paths_of_a_machine_leave_the_message() {
        let path = std::path::Path::new("/a/b.mp4");
        let error = ItemError::new(ErrorKind::Corrupt, "no frame").context(path.display());
        assert_eq!(error.without_path(path).what, "no frame");
    }
}
