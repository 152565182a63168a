//! Looks at the schema of a Parquet file before its reader does, which would overflow the stack at
//! one with thousands of groups inside each other.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// Groups inside each other that are read.
const MAX_DEPTH: usize = 100;
/// Values inside each other of one field that is passed over.
const MAX_SKIP_DEPTH: u32 = 32;
/// Length of the footer and the mark behind it, bytes.
const TAIL_BYTES: u64 = 8;

/// Refuses a file whose schema is too deep. Anything else that is wrong is left to the reader.
///
/// # Errors
/// A sentence that says so.
pub(super) fn check_depth(file: &File) -> Result<(), String> {
    match footer_of(file).and_then(|footer| depth_of(&footer)) {
        Some(depth) if depth > MAX_DEPTH => Err(format!(
            "the schema has more than {MAX_DEPTH} groups inside each other"
        )),
        _ => Ok(()),
    }
}

fn footer_of(file: &File) -> Option<Vec<u8>> {
    let end = file.metadata().ok()?.len().checked_sub(TAIL_BYTES)?;
    let mut tail = [0; TAIL_BYTES as usize];
    file.read_exact_at(&mut tail, end).ok()?;
    let [a, b, c, d, ..] = tail;
    let length = u32::from_le_bytes([a, b, c, d]);
    let start = end.checked_sub(u64::from(length))?;
    let mut footer = vec![0; length as usize];
    file.read_exact_at(&mut footer, start).ok()?;
    Some(footer)
}

/// The most groups inside each other; none where the bytes are no footer.
fn depth_of(footer: &[u8]) -> Option<usize> {
    let mut bytes = Compact(footer);
    let mut field = 0;
    loop {
        let kind = bytes.field(&mut field)?;
        if field == 2 && kind == LIST {
            break;
        }
        bytes.skip(kind, 0)?;
    }
    let (count, kind) = bytes.list()?;
    if kind != STRUCT {
        return None;
    }
    // Children that each open group still waits for.
    let (mut open, mut deepest) = (Vec::new(), 0);
    for _ in 0..count {
        let children = bytes.children()?;
        if let Some(left) = open.last_mut() {
            *left -= 1;
        }
        open.push(children);
        deepest = deepest.max(open.len());
        if deepest > MAX_DEPTH {
            return Some(deepest);
        }
        while open.last() == Some(&0) {
            open.pop();
        }
    }
    Some(deepest)
}

const STOP: u8 = 0;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// Bytes in the compact form of Thrift.
struct Compact<'a>(&'a [u8]);

impl Compact<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn pass(&mut self, count: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(count).ok()?..)?;
        Some(())
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// The kind of the next field; its number goes to `last`, which holds that of the one before.
    fn field(&mut self, last: &mut u64) -> Option<u8> {
        let byte = self.byte()?;
        let (step, kind) = (u64::from(byte >> 4), byte & 0x0F);
        if kind != STOP {
            *last = match step {
                0 => self.number()? >> 1,
                step => last.wrapping_add(step),
            };
        }
        Some(kind)
    }

    /// Length of a list and the kind of its values.
    fn list(&mut self) -> Option<(u64, u8)> {
        let byte = self.byte()?;
        let count = match byte >> 4 {
            15 => self.number()?,
            count => u64::from(count),
        };
        Some((count, byte & 0x0F))
    }

    /// Reads one element of the schema: how many children it says it has.
    fn children(&mut self) -> Option<u64> {
        let (mut field, mut children) = (0, 0);
        loop {
            match self.field(&mut field)? {
                STOP => return Some(children),
                5 if field == 5 => children = self.number()? >> 1,
                kind => self.skip(kind, 0)?,
            }
        }
    }

    fn skip(&mut self, kind: u8, depth: u32) -> Option<()> {
        if depth > MAX_SKIP_DEPTH {
            return None;
        }
        match kind {
            1 | 2 => Some(()),
            3 => self.pass(1),
            4..=6 => self.number().map(drop),
            7 => self.pass(8),
            8 => {
                let length = self.number()?;
                self.pass(length)
            }
            LIST | 10 => {
                let (count, kind) = self.list()?;
                (0..count).try_for_each(|_| match kind {
                    1 | 2 => self.pass(1),
                    kind => self.skip(kind, depth + 1),
                })
            }
            STRUCT => {
                let mut field = 0;
                loop {
                    match self.field(&mut field)? {
                        STOP => return Some(()),
                        kind => self.skip(kind, depth + 1)?,
                    }
                }
            }
            _ => None,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::testing::damaged;

    /// A footer with groups inside each other and one column.
    pub(in crate::io) fn nested(depth: usize) -> Vec<u8> {
        let mut footer = vec![0x15, 0x02, 0x19, 0xFC];
        let mut count = depth + 2;
        while count > 0x7F {
            footer.push((count & 0x7F) as u8 | 0x80);
            count >>= 7;
        }
        footer.push(count as u8);
        footer.extend([0x48, 1, b'r', 0x15, 0x02, 0x00]);
        for _ in 0..depth {
            footer.extend([0x35, 0x00, 0x18, 1, b'a', 0x15, 0x02, 0x00]);
        }
        footer.extend([0x15, 0x0C, 0x25, 0x00, 0x18, 1, b'u', 0x00]);
        footer.extend([0x16, 0x00, 0x19, 0x0C, 0x00]);
        footer
    }

    #[test]
    fn depth_is_counted() {
        assert_eq!(depth_of(&nested(0)), Some(2));
        assert_eq!(depth_of(&nested(60)), Some(62));
        assert_eq!(depth_of(&nested(300_000)), Some(MAX_DEPTH + 1));
        assert_eq!(depth_of(b""), None);
    }

    mod prop {
        use super::*;

        proptest! {
            #[test]
            fn any_footer_has_a_depth_or_none(footer in damaged(nested(5))) {
                let _ = depth_of(&footer);
            }
        }
    }
}
