//! A file that is written piece by piece and gets its name once it is whole.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::local::{create_dir, folder_of, remove, rename, sync_folder, temporary_beside};
use crate::core::FatalError;

/// What happens to a file that has the name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and publishing fails.
    Keep,
    /// It is replaced.
    Replace,
}

/// A file under a temporary name beside its final one. Dropping it unpublished deletes it.
#[derive(Debug)]
pub struct PendingFile {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
    existing: Existing,
    is_published: bool,
}

impl PendingFile {
    /// Makes the temporary file, and the folder if it is missing.
    ///
    /// # Errors
    /// [`FatalError::Disk`] with the final path, also when a file that must stay has it.
    pub fn create(path: &Path, existing: Existing) -> Result<Self, FatalError> {
        if existing == Existing::Keep && path.symlink_metadata().is_ok() {
            return Err(taken(path));
        }
        create_dir(folder_of(path))?;
        let temporary = temporary_beside(path);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&temporary)
            .map_err(|error| FatalError::disk(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            temporary,
            file,
            existing,
            is_published: false,
        })
    }

    /// Another handle on the same file, for libraries that want one of their own.
    ///
    /// # Errors
    /// [`FatalError::Disk`] with the final path.
    pub fn handle(&self) -> Result<File, FatalError> {
        self.file
            .try_clone()
            .map_err(|error| FatalError::disk(&self.path, error))
    }

    /// Makes the file durable and gives it its name.
    ///
    /// # Errors
    /// [`FatalError::Disk`] with the final path, also when a file that must stay has got it in the
    /// meantime; the temporary file is deleted.
    pub fn publish(mut self) -> Result<(), FatalError> {
        self.file
            .sync_all()
            .map_err(|error| FatalError::disk(&self.path, error))?;
        if self.existing == Existing::Keep {
            // An empty file takes the name: of two who want it only one gets it.
            let reserved = OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&self.path);
            match reserved {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    return Err(taken(&self.path));
                }
                Err(error) => return Err(FatalError::disk(&self.path, error)),
            }
        }
        if let Err(error) = rename(&self.temporary, &self.path) {
            if self.existing == Existing::Keep {
                // Ours and empty; the error to report is the other one.
                let _ = remove(&self.path);
            }
            return Err(FatalError::disk(&self.path, error));
        }
        self.is_published = true;
        sync_folder(folder_of(&self.path))
    }
}

fn taken(path: &Path) -> FatalError {
    FatalError::disk(
        path,
        "there is a file of that name already; it is left alone",
    )
}

impl Write for PendingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        if !self.is_published {
            // A left-over is recognisable by its suffix.
            let _ = remove(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{publish_bytes, read};

    fn count(folder: &Path) -> usize {
        std::fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn the_name_is_there_once_the_file_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/a.mp4");
        let mut file = PendingFile::create(&path, Existing::Keep).unwrap();
        file.write_all(b"one").unwrap();
        file.handle().unwrap().write_all(b"two").unwrap();
        assert!(!path.exists());
        file.publish().unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"onetwo");
        assert_eq!(count(path.parent().unwrap()), 1);
    }

    #[test]
    fn what_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp4");
        drop(PendingFile::create(&path, Existing::Keep).unwrap());
        assert_eq!(count(folder.path()), 0);
    }

    #[test]
    fn a_file_that_is_there_is_replaced_only_where_that_was_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp4");
        // It comes between making and publishing.
        let late = PendingFile::create(&path, Existing::Keep).unwrap();
        publish_bytes(&path, b"old").unwrap();
        assert!(
            late.publish()
                .unwrap_err()
                .to_string()
                .contains("a.mp4: there is")
        );
        PendingFile::create(&path, Existing::Keep).unwrap_err();
        assert_eq!(read(&path).unwrap().unwrap(), b"old");
        assert_eq!(count(folder.path()), 1);

        let mut file = PendingFile::create(&path, Existing::Replace).unwrap();
        file.write_all(b"new").unwrap();
        file.publish().unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"new");
    }
}
