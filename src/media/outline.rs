//! What a file's first and top-level bytes say: which container, whether its end is missing,
//! whether an mp4 has its index.
//!
//! `is_cut_short` is evidence, not a guess: an mp4 or mov box, the one Matroska segment or the AVI
//! list says that it is longer than the file, or a transport stream ends inside a packet. Stated
//! durations are no evidence, since many of them are wrong.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Boxes looked at before the search for the end is given up.
const MAX_BOXES: usize = 1 << 20;
/// Box types that an mp4 or mov file may begin with.
const FIRST_BOXES: [&[u8; 4]; 9] = [
    b"ftyp", b"styp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"pnot",
];
/// Box types whose length is believed beyond the end of the file.
const LONG_BOXES: [&[u8; 4]; 3] = [b"mdat", b"moov", b"moof"];
/// Packet sizes of transport streams, bytes: plain, with time codes, with error correction.
const PACKET_BYTES: [u64; 3] = [188, 192, 204];

/// What is known of a file from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outline {
    /// Whether the container states more bytes than there are.
    pub(super) is_cut_short: bool,
    /// Whether it is an mp4 or mov file without a whole index.
    pub(super) is_without_index: bool,
}

/// Looks at a file; none where it is no container that is known here.
pub(super) fn read(path: &Path) -> io::Result<Option<Outline>> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut head = [0_u8; 64];
    let head = {
        let got = read_some(&file, &mut head, 0)?;
        &head[..got]
    };
    if head.len() >= 8 && FIRST_BOXES.iter().any(|kind| head[4..8] == kind[..]) {
        return walk_boxes(&file, bytes).map(Some);
    }
    let cut = |is_cut_short| {
        Some(Outline {
            is_cut_short,
            is_without_index: false,
        })
    };
    Ok(if head.starts_with(&[0x1A, 0x45, 0xDF, 0xA3]) {
        cut(segment_end(head).is_some_and(|end| end > bytes))
    } else if head.len() >= 12 && head.starts_with(b"RIFF") && &head[8..11] == b"AVI" {
        let stated = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        cut(stated != u32::MAX && u64::from(stated) + 8 > bytes)
    } else if let Some(packet) = packet_bytes(&file, head)? {
        cut(bytes % packet != 0)
    } else {
        None
    })
}

/// Reads what is there, up to the buffer's size.
fn read_some(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read_at(&mut buffer[got..], at + got as u64)? {
            0 => break,
            n => got += n,
        }
    }
    Ok(got)
}

fn walk_boxes(file: &File, bytes: u64) -> io::Result<Outline> {
    let mut outline = Outline {
        is_cut_short: false,
        is_without_index: true,
    };
    let mut at = 0_u64;
    for _ in 0..MAX_BOXES {
        let mut header = [0_u8; 16];
        if read_some(file, &mut header, at)? < 8 {
            break;
        }
        let short = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
        let [_, _, _, _, _, _, _, _, long @ ..] = header;
        let size = match short {
            0 => break, // up to the end of the file
            1 => u64::from_be_bytes(long),
            _ => u64::from(short),
        };
        let is = |kind: &[u8; 4]| header[4..8] == kind[..];
        let Some(end) = at.checked_add(size).filter(|_| size >= 8) else {
            break;
        };
        if end > bytes {
            outline.is_cut_short = LONG_BOXES.into_iter().any(is);
            break;
        }
        if is(b"moov") {
            outline.is_without_index = false;
        }
        at = end;
    }
    Ok(outline)
}

/// Where the segment of a Matroska file ends; none when it does not say.
fn segment_end(head: &[u8]) -> Option<u64> {
    let (header_bytes, at) = ebml_size(head, 4)?;
    let segment = at.checked_add(usize::try_from(header_bytes?).ok()?)?;
    if head.get(segment..segment.checked_add(4)?)? != [0x18, 0x53, 0x80, 0x67] {
        return None;
    }
    let (size, at) = ebml_size(head, segment + 4)?;
    (at as u64).checked_add(size?)
}

/// A length in Matroska's coding and the place behind it; the length is none when unknown.
fn ebml_size(head: &[u8], at: usize) -> Option<(Option<u64>, usize)> {
    let first = *head.get(at)?;
    let more = first.leading_zeros() as usize;
    if more > 7 {
        return None;
    }
    let mask = 0xFF_u8.checked_shr(more as u32 + 1).unwrap_or(0);
    let mut size = u64::from(first & mask);
    let mut is_unknown = first & mask == mask;
    for byte in head.get(at + 1..at + 1 + more)? {
        size = size << 8 | u64::from(*byte);
        is_unknown &= *byte == 0xFF;
    }
    Some(((!is_unknown).then_some(size), at + 1 + more))
}

/// The packet size of a transport stream, by the mark at the start of its first packets.
fn packet_bytes(file: &File, head: &[u8]) -> io::Result<Option<u64>> {
    for size in PACKET_BYTES {
        // Packets with a time code have it in front of the mark.
        let mark = if size == 192 { 4 } else { 0 };
        let mut is_marked = head.get(mark) == Some(&0x47);
        for number in 1..4 {
            let mut byte = [0];
            let got = read_some(file, &mut byte, mark as u64 + number * size)?;
            is_marked &= got == 1 && byte[0] == 0x47;
        }
        if is_marked {
            return Ok(Some(size));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(bytes: &[u8]) -> Option<Outline> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut file = File::options()
            .create_new(true)
            .write(true)
            .open(&path)
            .unwrap();
        io::Write::write_all(&mut file, bytes).unwrap();
        read(&path).unwrap()
    }

    fn boxed(kind: [u8; 4], body: usize) -> Vec<u8> {
        let mut bytes = (body as u32 + 8).to_be_bytes().to_vec();
        bytes.extend(kind);
        bytes.resize(body + 8, 7);
        bytes
    }

    fn known(is_cut_short: bool, is_without_index: bool) -> Outline {
        Outline {
            is_cut_short,
            is_without_index,
        }
    }

    #[test]
    fn a_box_that_is_longer_than_the_file_is_evidence() {
        let mut file = [
            boxed(*b"ftyp", 8),
            boxed(*b"moov", 40),
            boxed(*b"mdat", 100),
        ]
        .concat();
        assert_eq!(outline(&file), Some(known(false, false)));
        file.extend(b"junk at the end of it");
        assert_eq!(outline(&file), Some(known(false, false)));
        assert_eq!(outline(&file[..120]), Some(known(true, false)));
        assert_eq!(outline(&file[..50]), Some(known(true, true)));
        let without = [boxed(*b"ftyp", 8), boxed(*b"mdat", 100)].concat();
        assert_eq!(outline(&without), Some(known(false, true)));
    }

    #[test]
    fn a_segment_may_state_its_size_or_not() {
        let mut file = vec![0x1A, 0x45, 0xDF, 0xA3, 0x82, 1, 2, 0x18, 0x53, 0x80, 0x67];
        let known_size = [&file[..], &[0x40, 10], &[0; 10]].concat();
        assert_eq!(outline(&known_size), Some(known(false, false)));
        assert_eq!(outline(&known_size[..20]), Some(known(true, false)));
        file.extend([0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
        assert_eq!(outline(&file), Some(known(false, false)));
    }

    #[test]
    fn an_avi_list_and_a_transport_stream_end_where_they_say() {
        let mut avi = b"RIFF\x0c\0\0\0AVI LIST0123".to_vec();
        assert_eq!(outline(&avi), Some(known(false, false)));
        avi.truncate(17);
        assert_eq!(outline(&avi), Some(known(true, false)));
        let mut packet = vec![0x47];
        packet.resize(188, 0);
        let stream = packet.repeat(5);
        assert_eq!(outline(&stream), Some(known(false, false)));
        assert_eq!(outline(&stream[..900]), Some(known(true, false)));
    }

    #[test]
    fn text_is_no_container() {
        assert_eq!(outline(b"this is no video\n"), None);
        assert_eq!(outline(b""), None);
    }

    mod prop {
        use proptest::prelude::*;

        use super::*;
        use crate::core::testing::damaged;

        fn documents() -> impl Strategy<Value = Vec<u8>> {
            let mp4 = [
                boxed(*b"ftyp", 8),
                boxed(*b"moov", 40),
                boxed(*b"mdat", 100),
            ]
            .concat();
            let mkv = [
                &[
                    0x1A, 0x45, 0xDF, 0xA3, 0x82, 1, 2, 0x18, 0x53, 0x80, 0x67, 0x40, 10,
                ][..],
                &[0; 10],
            ]
            .concat();
            let mut packet = vec![0x47];
            packet.resize(188, 0);
            prop_oneof![
                damaged(mp4),
                damaged(mkv),
                damaged(b"RIFF\x0c\0\0\0AVI LIST0123".to_vec()),
                damaged(packet.repeat(5)),
            ]
        }

        proptest! {
            #[test]
            fn any_bytes_have_an_outline_or_none(bytes in documents()) {
                if let Some(outline) = outline(&bytes) {
                    prop_assert!(!bytes.is_empty());
                    let _ = outline;
                }
            }
        }
    }
}
