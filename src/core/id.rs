//! Content hashes and the readable path of an item.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A BLAKE3 hash that says what its fields are, so that `("ab","c")` and `("a","bc")` differ.
#[derive(Default, Clone)]
pub struct Hasher(blake3::Hasher);

impl Hasher {
    /// Starts a hash for one purpose; the purpose keeps equal contents of different kinds apart.
    pub fn new(purpose: &str) -> Self {
        Self::default().str(purpose)
    }

    /// Adds length-prefixed bytes.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds text.
    #[must_use]
    pub fn str(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    /// Adds a number.
    #[must_use]
    pub fn int(self, number: i64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    /// Adds anything serialisable by its JSON form (maps of `serde_json` are sorted).
    #[must_use]
    pub fn json<T: Serialize>(self, value: &T) -> Self {
        let text = serde_json::to_value(value).map_or_else(|e| e.to_string(), |v| v.to_string());
        self.str(&text)
    }

    /// The 32 bytes.
    pub fn finish(self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

macro_rules! hash_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// From 32 hash bytes; kept as 64 hexadecimal digits.
            pub fn from_hash(hash: [u8; 32]) -> Self {
                Self(hex(&hash))
            }
            /// All 64 hexadecimal digits.
            pub fn as_str(&self) -> &str {
                &self.0
            }
            /// The first 12 digits, for people.
            pub fn short(&self) -> &str {
                self.0.get(..12).unwrap_or(&self.0)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }
    };
}

hash_id! {
    /// Hash of a video file's bytes.
    VideoId
}
hash_id! {
    /// Hash of a video id and a span in pts.
    SceneId
}
hash_id! {
    /// Hash of task, images and instruction.
    SampleId
}
hash_id! {
    /// What a stage's output depends on besides its input: config, models, prompts, logic version.
    Fingerprint
}
hash_id! {
    /// Address of a memoised value: fingerprint and content of the input.
    Key
}

/// Where an item descends from: root (manifest row), then child numbers in emission order.
///
/// Sorting by path restores the order a single worker would have produced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ItemPath(Vec<u32>);

impl ItemPath {
    /// The path of a manifest row.
    pub fn root(row: u32) -> Self {
        Self(vec![row])
    }
    /// The path of this item's `number`-th child.
    #[must_use]
    pub fn child(&self, number: u32) -> Self {
        let mut path = self.0.clone();
        path.push(number);
        Self(path)
    }
    /// The manifest row it descends from.
    pub fn row(&self) -> u32 {
        self.0.first().copied().unwrap_or(0)
    }
    /// The same descendant of another manifest row, for a video that moved in the manifest.
    #[must_use]
    pub fn moved_to(&self, row: u32) -> Self {
        let mut path = self.0.clone();
        if let Some(first) = path.first_mut() {
            *first = row;
        }
        Self(path)
    }
    /// The manifest row, then the child numbers.
    pub fn numbers(&self) -> &[u32] {
        &self.0
    }
    /// The ancestor of that many numbers; the item itself when it has no more.
    #[must_use]
    pub fn ancestor(&self, numbers: usize) -> Self {
        Self(self.0.iter().take(numbers).copied().collect())
    }
    /// Reads what `Display` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let numbers = text.split('_').map(|number| number.parse().ok());
        numbers.collect::<Option<Vec<u32>>>().map(Self)
    }
}

impl fmt::Display for ItemPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&parts.join("_"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_borders_change_the_hash() {
        let a = Hasher::new("t").str("ab").str("c").finish();
        let b = Hasher::new("t").str("a").str("bc").finish();
        assert_ne!(a, b);
    }

    #[test]
    fn paths_sort_like_one_worker_would_emit() {
        let mut paths = [
            ItemPath::root(2),
            ItemPath::root(1).child(10),
            ItemPath::root(1).child(9),
        ];
        paths.sort();
        assert_eq!(
            paths.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["1_9", "1_10", "2"]
        );
        for path in &paths {
            assert_eq!(ItemPath::parse(&path.to_string()).as_ref(), Some(path));
        }
        for wrong in ["1_x", "1__2", ""] {
            assert_eq!(ItemPath::parse(wrong), None);
        }
    }
}
