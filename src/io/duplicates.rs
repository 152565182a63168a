//! Near-duplicates across a run, found by the perceptual hashes of both images.

use crate::core::ItemPath;

/// Distances up to this are always found: eight bands differ in at most seven of them.
const GUARANTEED_BITS: u32 = 7;
const BANDS: usize = 8;
const BUCKETS: usize = 256;

/// Hashes of a kept sample and the manifest row it is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptHash {
    /// Perceptual hash of the first input.
    pub from: u64,
    /// Perceptual hash of the output.
    pub to: u64,
    /// Manifest row.
    pub row: u32,
}

impl std::fmt::Display for KeptHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}-{:016x}-{}", self.from, self.to, self.row)
    }
}

impl KeptHash {
    /// Reads what `Display` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut hash = || u64::from_str_radix(parts.next()?, 16).ok();
        let (from, to) = (hash()?, hash()?);
        let row = parts.next()?.parse().ok()?;
        Some(Self { from, to, row })
    }

    /// Differing bits: the larger distance of the two images.
    pub fn distance_bits(&self, other: &Self) -> u32 {
        let from = (self.from ^ other.from).count_ones();
        from.max((self.to ^ other.to).count_ones())
    }
}

/// What the index says of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DuplicateVerdict {
    /// Kept and remembered; distance to the nearest earlier sample, none above 7 bits.
    Kept {
        /// Differing bits.
        nearest_bits: Option<u32>,
    },
    /// Too near to an earlier sample.
    Duplicate {
        /// Differing bits.
        distance_bits: u32,
        /// `inside_video` when the nearest one is of the same manifest row, else `across_run`.
        reason: &'static str,
    },
}

const INSIDE_VIDEO: &str = "inside_video";
const ACROSS_RUN: &str = "across_run";

/// A sample and its verdict, as a finished chunk remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The sample.
    pub path: ItemPath,
    /// Its hashes.
    pub hash: KeptHash,
    /// What the index said of it.
    pub verdict: DuplicateVerdict,
}

impl Judged {
    /// Whether it became a row.
    pub fn is_kept(&self) -> bool {
        matches!(self.verdict, DuplicateVerdict::Kept { .. })
    }

    /// Reads what `Display` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let path = ItemPath::parse(parts.next()?)?;
        let mut hash = || u64::from_str_radix(parts.next()?, 16).ok();
        let (from, to) = (hash()?, hash()?);
        let row = path.row();
        let verdict = parts.next()?;
        let (kind, bits) = verdict.split_at_checked(1)?;
        let duplicate = |reason| {
            let distance_bits = bits.parse().ok()?;
            Some(DuplicateVerdict::Duplicate {
                distance_bits,
                reason,
            })
        };
        let verdict = match (kind, bits) {
            ("k", "") => DuplicateVerdict::Kept { nearest_bits: None },
            ("k", bits) => DuplicateVerdict::Kept {
                nearest_bits: Some(bits.parse().ok()?),
            },
            ("i", _) => duplicate(INSIDE_VIDEO)?,
            ("a", _) => duplicate(ACROSS_RUN)?,
            _ => return None,
        };
        let hash = KeptHash { from, to, row };
        Some(Self {
            path,
            hash,
            verdict,
        })
    }
}

impl std::fmt::Display for Judged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let KeptHash { from, to, .. } = self.hash;
        write!(f, "{} {from:x} {to:x} ", self.path)?;
        match self.verdict {
            DuplicateVerdict::Kept { nearest_bits: None } => write!(f, "k"),
            DuplicateVerdict::Kept {
                nearest_bits: Some(bits),
            } => write!(f, "k{bits}"),
            DuplicateVerdict::Duplicate {
                distance_bits,
                reason,
            } => {
                let kind = if reason == INSIDE_VIDEO { 'i' } else { 'a' };
                write!(f, "{kind}{distance_bits}")
            }
        }
    }
}

/// Kept samples of a run, fed in manifest order, so that its answers do not depend on arrival.
pub struct DuplicateIndex {
    max_distance_bits: Option<u32>,
    kept: Vec<KeptHash>,
    /// `band * 256 + byte` → positions in `kept`.
    buckets: Vec<Vec<u32>>,
}

impl DuplicateIndex {
    /// An index that calls a sample a duplicate when both images lie within `max_distance_bits`
    /// (capped at 7) of an earlier sample's; none keeps everything and still measures.
    pub fn new(max_distance_bits: Option<u32>) -> Self {
        Self {
            max_distance_bits: max_distance_bits.map(|bits| bits.min(GUARANTEED_BITS)),
            kept: Vec::new(),
            buckets: vec![Vec::new(); BANDS * BUCKETS],
        }
    }

    /// Puts back what an earlier run kept, in the order it was kept.
    pub fn restore(&mut self, hashes: impl IntoIterator<Item = KeptHash>) {
        for hash in hashes {
            self.remember(hash);
        }
    }

    /// Judges samples again that were judged before, perhaps against other earlier ones: true if
    /// every verdict is the same. If one is not, the index is as it was.
    pub fn agrees(&mut self, judged: &[Judged]) -> bool {
        let before = self.kept.len();
        let agrees = judged
            .iter()
            .all(|sample| self.judge(sample.hash) == sample.verdict);
        if !agrees {
            self.forget_after(before);
        }
        agrees
    }

    fn forget_after(&mut self, len: usize) {
        self.kept.truncate(len);
        for bucket in &mut self.buckets {
            // Positions only rise.
            let keep = bucket.partition_point(|position| (*position as usize) < len);
            bucket.truncate(keep);
        }
    }

    /// Judges the next sample in manifest order.
    pub fn judge(&mut self, hash: KeptHash) -> DuplicateVerdict {
        let verdict = self.look(&hash);
        if matches!(verdict, DuplicateVerdict::Kept { .. }) {
            self.remember(hash);
        }
        verdict
    }

    /// What [`Self::judge`] would say; nothing is remembered.
    pub fn look(&self, hash: &KeptHash) -> DuplicateVerdict {
        let nearest = self.nearest(hash);
        if let (Some((distance_bits, row)), Some(max)) = (nearest, self.max_distance_bits)
            && distance_bits <= max
        {
            let reason = if row == hash.row {
                INSIDE_VIDEO
            } else {
                ACROSS_RUN
            };
            return DuplicateVerdict::Duplicate {
                distance_bits,
                reason,
            };
        }
        DuplicateVerdict::Kept {
            nearest_bits: nearest.map(|(bits, _)| bits),
        }
    }

    /// Distance and row of the nearest earlier sample within 7 bits; the earliest wins a tie.
    fn nearest(&self, hash: &KeptHash) -> Option<(u32, u32)> {
        let mut best: Option<(u32, u32)> = None;
        for bucket in buckets_of(hash.from) {
            for position in &self.buckets[bucket] {
                let distance = self.kept[*position as usize].distance_bits(hash);
                let candidate = (distance, *position);
                if distance <= GUARANTEED_BITS && best.is_none_or(|best| candidate < best) {
                    best = Some(candidate);
                }
            }
        }
        best.map(|(distance, position)| (distance, self.kept[position as usize].row))
    }

    fn remember(&mut self, hash: KeptHash) {
        let position = self.kept.len() as u32;
        self.kept.push(hash);
        for bucket in buckets_of(hash.from) {
            self.buckets[bucket].push(position);
        }
    }
}

fn buckets_of(hash: u64) -> impl Iterator<Item = usize> {
    let bytes = hash.to_le_bytes();
    (0..BANDS).map(move |band| band * BUCKETS + usize::from(bytes[band]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept(from: u64, to: u64, row: u32) -> KeptHash {
        KeptHash { from, to, row }
    }

    #[test]
    fn both_images_must_be_near() {
        let mut index = DuplicateIndex::new(Some(4));
        index.judge(kept(0, 0, 0));
        let far_output = index.judge(kept(0, u64::MAX, 0));
        assert_eq!(far_output, DuplicateVerdict::Kept { nearest_bits: None });
        let inside = DuplicateVerdict::Duplicate {
            distance_bits: 3,
            reason: "inside_video",
        };
        assert_eq!(index.judge(kept(0b111, 0, 0)), inside);
        let across = DuplicateVerdict::Duplicate {
            distance_bits: 4,
            reason: "across_run",
        };
        assert_eq!(index.judge(kept(0b1111, 1, 9)), across);
        let beyond = index.judge(kept(0b1_1111, 0, 9));
        assert_eq!(
            beyond,
            DuplicateVerdict::Kept {
                nearest_bits: Some(5)
            }
        );
    }

    #[test]
    fn a_restored_index_judges_alike() {
        let mut first = DuplicateIndex::new(Some(4));
        first.judge(kept(1, 2, 3));
        let mut second = DuplicateIndex::new(Some(4));
        second.restore([kept(1, 2, 3)]);
        assert_eq!(second.judge(kept(1, 2, 4)), first.judge(kept(1, 2, 4)));
    }

    #[test]
    fn samples_judged_against_others_disagree_and_leave_no_trace() {
        let judge = |index: &mut DuplicateIndex, hash: KeptHash| Judged {
            path: ItemPath::root(hash.row),
            hash,
            verdict: index.judge(hash),
        };
        let mut alone = DuplicateIndex::new(Some(4));
        let judged: Vec<Judged> = [kept(0, 0, 5), kept(1, 0, 5), kept(u64::MAX, 0, 6)]
            .map(|hash| judge(&mut alone, hash))
            .to_vec();
        let mut far = DuplicateIndex::new(Some(4));
        far.judge(kept(0xffff_0000, 7, 1));
        assert!(far.agrees(&judged));
        let mut near = DuplicateIndex::new(Some(4));
        near.judge(kept(0b11111, 0, 1));
        assert!(!near.agrees(&judged), "the first has a neighbour now");
        let unchanged = DuplicateVerdict::Kept { nearest_bits: None };
        assert_eq!(near.judge(kept(u64::MAX, 0, 6)), unchanged);
    }

    proptest! {
        #[test]
        fn what_was_judged_is_read_back(
            path in proptest::collection::vec(any::<u32>(), 1..6),
            from in any::<u64>(),
            to in any::<u64>(),
            bits in proptest::option::of(0_u32..8),
            kind in 0..3,
        ) {
            let path = path[1..].iter().fold(ItemPath::root(path[0]), |p, n| p.child(*n));
            let duplicate = |reason| DuplicateVerdict::Duplicate {
                distance_bits: bits.unwrap_or(0),
                reason,
            };
            let verdict = match kind {
                0 => DuplicateVerdict::Kept { nearest_bits: bits },
                1 => duplicate(INSIDE_VIDEO),
                _ => duplicate(ACROSS_RUN),
            };
            let hash = KeptHash { from, to, row: path.row() };
            let judged = Judged { path, hash, verdict };
            prop_assert_eq!(Judged::parse(&judged.to_string()), Some(judged));
        }

        #[test]
        fn no_text_confuses_the_reader(text in "\\PC{0,60}") {
            let _ = Judged::parse(&text);
        }

        /// Banded look-up finds what a comparison with every kept sample finds.
        #[test]
        fn nothing_within_seven_bits_is_missed(
            base in any::<u64>(),
            flips in proptest::collection::vec((0_u32..64, 0_u32..64), 0..10),
        ) {
            let mut index = DuplicateIndex::new(None);
            index.judge(kept(base, base, 0));
            let (mut from, mut to) = (base, base);
            for (a, b) in flips {
                from ^= 1 << a;
                to ^= 1 << b;
            }
            let other = kept(from, to, 1);
            let distance = other.distance_bits(&kept(base, base, 0));
            let expected = (distance <= 7).then_some(distance);
            let verdict = index.judge(other);
            prop_assert_eq!(verdict, DuplicateVerdict::Kept { nearest_bits: expected });
        }
    }

    mod prop {
        use proptest::prelude::*;

        use super::*;
        use crate::core::testing::damaged_text;

        proptest! {
            #[test]
            fn a_hash_is_read_back_and_other_text_is_not(
                (from, to, row) in any::<(u64, u64, u32)>(),
                text in damaged_text("00000000000000ff-ffffffffffffffff-12"),
            ) {
                let hash = KeptHash { from, to, row };
                prop_assert_eq!(KeptHash::parse(&hash.to_string()), Some(hash));
                if let Some(read) = KeptHash::parse(&text) {
                    prop_assert_eq!(KeptHash::parse(&read.to_string()), Some(read));
                }
            }
        }
    }
}
