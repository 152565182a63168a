//! Damaged documents for property tests of parsers. `PROPTEST_CASES` says how many.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Pieces that parsers stumble over.
const PIECES: [&[u8]; 16] = [
    b"\0",
    b"\xff\xfe",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"\r\n",
    b"\n\n",
    b"\"",
    b"\\u0000",
    b"1e999",
    b"-9223372036854775809",
    b"18446744073709551616",
    b"NaN",
    b"[[[[[[[[",
    b"{\"a\":",
    b"=",
    b"\x1b[2J",
];

/// One change of a document.
#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Cut(Index),
    Remove(Index, Index),
    Repeat(Index, Index, u8),
    Insert(Index, &'static [u8]),
    Noise(Index, Vec<u8>),
    Zero(Index, Index),
    Nest(Index, u8, u16),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, bits)| Change::Flip(at, bits)),
        1 => at().prop_map(Change::Cut),
        1 => (at(), at()).prop_map(|(a, b)| Change::Remove(a, b)),
        1 => (at(), at(), 1_u8..8).prop_map(|(a, b, n)| Change::Repeat(a, b, n)),
        2 => (at(), select(&PIECES[..])).prop_map(|(at, piece)| Change::Insert(at, piece)),
        1 => (at(), vec(any::<u8>(), 0..64)).prop_map(|(at, noise)| Change::Noise(at, noise)),
        1 => (at(), at()).prop_map(|(a, b)| Change::Zero(a, b)),
        1 => (at(), select(&b"[{(\"a."[..]), any::<u16>())
            .prop_map(|(at, byte, n)| Change::Nest(at, byte, n)),
    ]
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let place = |at: &Index, length: usize| at.index(length + 1);
        let range = |a: &Index, b: &Index, length: usize| {
            let (a, b) = (place(a, length), place(b, length));
            a.min(b)..a.max(b)
        };
        match self {
            Self::Flip(at, bits) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] ^= bits;
            }
            Self::Flip(..) => {}
            Self::Cut(at) => bytes.truncate(place(at, bytes.len())),
            Self::Remove(a, b) => drop(bytes.drain(range(a, b, bytes.len()))),
            Self::Repeat(a, b, n) => {
                let range = range(a, b, bytes.len());
                let again = bytes[range.clone()].repeat(usize::from(*n));
                bytes.splice(range.end..range.end, again);
            }
            Self::Insert(at, piece) => {
                let at = place(at, bytes.len());
                bytes.splice(at..at, piece.iter().copied());
            }
            Self::Noise(at, noise) => {
                let at = place(at, bytes.len());
                bytes.splice(at..at, noise.iter().copied());
            }
            Self::Zero(a, b) => {
                let range = range(a, b, bytes.len());
                bytes[range].fill(0);
            }
            Self::Nest(at, byte, n) => {
                let at = place(at, bytes.len());
                bytes.splice(at..at, std::iter::repeat_n(*byte, usize::from(*n)));
            }
        }
    }
}

/// A valid document with a few changes, or, seldom, bytes that have nothing to do with it.
pub(crate) fn damaged(valid: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let changed = vec(change(), 0..6).prop_map(move |changes| {
        let mut bytes = valid.clone();
        for change in changes {
            change.apply(&mut bytes);
        }
        bytes
    });
    prop_oneof![9 => changed, 1 => vec(any::<u8>(), 0..512)]
}

/// The most memory that this process has taken so far, bytes.
pub(crate) fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

/// One of so many cases where `PROPTEST_CASES` does not say how many, for properties that take long.
pub(crate) fn one_in(share: u32) -> ProptestConfig {
    ProptestConfig::with_cases(ProptestConfig::default().cases.div_ceil(share))
}

/// As [`damaged`], for parsers of text.
pub(crate) fn damaged_text(valid: &str) -> impl Strategy<Value = String> + use<> {
    damaged(valid.into()).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
