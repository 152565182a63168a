//! The turn for display in a finished MP4 file.
//!
//! Some versions of libav cannot be told of it before the file is written, so it is put in
//! afterwards: nine numbers in the head of the video track, which are there anyway.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// Nine numbers as MP4 has them, most significant byte first.
pub(super) type Matrix = [u8; 36];

/// Boxes that are looked into.
const FOLDERS: [&[u8; 4]; 2] = [b"moov", b"trak"];

/// The matrix of a stream's side data, in which numbers are in the machine's order.
pub(super) fn matrix_of(side_data: &[u8]) -> Option<Matrix> {
    let mut matrix = [0; 36];
    for (to, from) in matrix.chunks_exact_mut(4).zip(side_data.chunks_exact(4)) {
        let number = i32::from_ne_bytes([from[0], from[1], from[2], from[3]]);
        to.copy_from_slice(&number.to_be_bytes());
    }
    (side_data.len() >= matrix.len()).then_some(matrix)
}

/// Sets the matrix of every track that has pictures.
pub(super) fn set(file: &mut File, matrix: &Matrix) -> io::Result<()> {
    let end = file.seek(SeekFrom::End(0))?;
    set_between(file, 0, end, matrix)?;
    file.seek(SeekFrom::End(0)).map(drop)
}

fn set_between(file: &mut File, start: u64, end: u64, matrix: &Matrix) -> io::Result<()> {
    let mut at = start;
    while at + 8 <= end {
        file.seek(SeekFrom::Start(at))?;
        let mut head = [0; 8];
        file.read_exact(&mut head)?;
        let [a, b, c, d, name @ ..] = head;
        let (mut head_bytes, mut bytes) = (8, u64::from(u32::from_be_bytes([a, b, c, d])));
        if bytes == 1 {
            let mut large = [0; 8];
            file.read_exact(&mut large)?;
            (head_bytes, bytes) = (16, u64::from_be_bytes(large));
        } else if bytes == 0 {
            bytes = end - at;
        }
        if bytes < head_bytes || bytes > end - at {
            return Err(io::Error::other("the written file has a box of no size"));
        }
        if FOLDERS.contains(&&name) {
            set_between(file, at + head_bytes, at + bytes, matrix)?;
        } else if &name == b"tkhd" {
            set_in_head(file, at + head_bytes, matrix)?;
        }
        at += bytes;
    }
    Ok(())
}

/// `at` is the start of a track head's content.
fn set_in_head(file: &mut File, at: u64, matrix: &Matrix) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    let mut version = [0];
    file.read_exact(&mut version)?;
    // Times take four bytes in version 0 and eight in version 1.
    let matrix_at = at + if version[0] == 1 { 52 } else { 40 };
    file.seek(SeekFrom::Start(matrix_at + 36))?;
    let mut size = [0; 8];
    file.read_exact(&mut size)?;
    if size != [0; 8] {
        file.seek(SeekFrom::Start(matrix_at))?;
        file.write_all(matrix)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(name: [u8; 4], content: &[u8]) -> Vec<u8> {
        let mut bytes = (content.len() as u32 + 8).to_be_bytes().to_vec();
        bytes.extend(name);
        bytes.extend(content);
        bytes
    }

    fn track(version: u8, width: u32) -> Vec<u8> {
        let mut head = vec![0; if version == 1 { 52 } else { 40 }];
        head[0] = version;
        head.extend([7; 36]);
        head.extend((width << 16).to_be_bytes());
        head.extend((width << 16).to_be_bytes());
        boxed(*b"trak", &boxed(*b"tkhd", &head))
    }

    #[test]
    fn only_tracks_with_pictures_are_turned() {
        let moov = [track(0, 64), track(0, 0), track(1, 64)].concat();
        let whole = [boxed(*b"mdat", &[9; 50]), boxed(*b"moov", &moov)].concat();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&whole).unwrap();
        set(&mut file, &[3; 36]).unwrap();
        let mut after = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut after).unwrap();
        assert_eq!(after.len(), whole.len());
        let mut counts = [0; 256];
        for byte in &after {
            counts[usize::from(*byte)] += 1;
        }
        assert_eq!([3, 7, 9].map(|byte: usize| counts[byte]), [72, 36, 50]);
    }

    #[test]
    fn numbers_change_their_order() {
        let side_data: Vec<u8> = (1..=9).flat_map(|n: i32| n.to_ne_bytes()).collect();
        let matrix = matrix_of(&side_data).unwrap();
        assert_eq!(&matrix[..8], [0, 0, 0, 1, 0, 0, 0, 2]);
        assert!(matrix_of(&side_data[..35]).is_none());
    }
}
