//! Whether a file is still the one that was hashed.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::core::{ErrorKind, FileStamp, ItemError, LocalFile};

/// What the file system says of a file now; none if it is gone.
pub(super) fn stamp_of(path: &Path) -> Option<FileStamp> {
    let found = std::fs::metadata(path).ok()?;
    Some(FileStamp {
        bytes: found.len(),
        modified: (found.mtime(), found.mtime_nsec()),
        inode: found.ino(),
    })
}

/// Fails for a file that was changed, replaced or removed since its stamp was taken: what was read
/// since then may not belong to its hash.
pub(super) fn check_unchanged(file: &LocalFile) -> Result<(), ItemError> {
    let Some(before) = file.stamp else {
        return Ok(());
    };
    match stamp_of(file.path()) {
        Some(now) if now == before => Ok(()),
        Some(_) => Err(ItemError::new(
            ErrorKind::Unreadable,
            "the file was changed while it was worked on; let it come to rest, then do this video \
             again",
        )),
        None => Err(ItemError::new(
            ErrorKind::Missing,
            "the file was removed while it was worked on",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(path: &Path) {
        use std::io::Write as _;
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path);
        file.unwrap().write_all(b"one").unwrap();
    }

    #[test]
    fn a_change_and_a_removal_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp4");
        append(&path);
        let mut file = LocalFile::kept(path.clone());
        check_unchanged(&file).unwrap();
        file.stamp = stamp_of(&path);
        check_unchanged(&file).unwrap();
        append(&path);
        let error = check_unchanged(&file).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unreadable);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(check_unchanged(&file).unwrap_err().kind, ErrorKind::Missing);
    }
}
