//! Files on a local (or mounted) file system.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::fault;
use crate::core::FatalError;

/// Tells temporary names of one process apart: two threads may publish the same file.
static NEXT_TEMPORARY: AtomicU64 = AtomicU64::new(0);

/// How often a folder that is in use is tried again, and how long it takes until then.
const LOCK_TRIES: u32 = 5;
const LOCK_WAIT: Duration = Duration::from_millis(50);

/// Large enough that a Parquet page or a picture goes out in few system calls.
const WRITE_BUFFER_BYTES: usize = 1 << 20;

pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

pub(super) fn temporary_beside(path: &Path) -> PathBuf {
    let name = path
        .file_name()
        .map_or("file".into(), OsStr::to_string_lossy);
    let number = NEXT_TEMPORARY.fetch_add(1, Ordering::Relaxed);
    folder_of(path).join(format!(".{name}.{}-{number}.tmp", std::process::id()))
}

/// Makes the entry of a file in its folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), FatalError> {
    File::open(folder)
        .and_then(|open| open.sync_all())
        .map_err(|e| FatalError::disk(folder, e))
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that creates files; the caller sees only the renamed result"
)]
fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(WRITE_BUFFER_BYTES, File::create(path)?);
    write(&mut file)?;
    file.flush()?;
    file.get_ref().sync_all()
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that renames files, after they were made durable"
)]
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fault::point("rename", to, &[]);
    fs::rename(from, to)?;
    fault::point("renamed", to, &[]);
    Ok(())
}

/// Writes a file so that it is either whole and durable, or not there: a temporary file in the
/// same folder, fsync, rename, fsync of the folder. An old file of that name is replaced.
///
/// # Errors
/// [`FatalError::Disk`] with the final path; the temporary file is removed.
pub fn publish(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), FatalError> {
    create_dir(folder_of(path))?;
    let temporary = temporary_beside(path);
    if let Err(error) = write_whole(&temporary, write).and_then(|()| rename(&temporary, path)) {
        // The write error is the one to report; a left-over is recognisable by its suffix.
        let _ = fs::remove_file(&temporary);
        return Err(FatalError::disk(path, error));
    }
    sync_folder(folder_of(path))
}

/// [`publish`] for bytes in memory.
///
/// # Errors
/// [`FatalError::Disk`] with the path.
pub fn publish_bytes(path: &Path, bytes: &[u8]) -> Result<(), FatalError> {
    publish(path, |file| file.write_all(bytes))
}

/// Makes a folder and its parents; one that is there already is fine.
///
/// # Errors
/// [`FatalError::Disk`] with the path.
pub fn create_dir(path: &Path) -> Result<(), FatalError> {
    fs::create_dir_all(path).map_err(|e| FatalError::disk(path, e))
}

/// The bytes of a file; none if there is no such file.
///
/// # Errors
/// [`FatalError::Disk`] with the path, for anything but a missing file.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, FatalError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FatalError::disk(path, error)),
    }
}

/// BLAKE3 of a file, hexadecimal, and its length; it is streamed.
///
/// # Errors
/// [`FatalError::Disk`] with the path.
pub fn hash(path: &Path) -> Result<(String, u64), FatalError> {
    let mut hasher = blake3::Hasher::new();
    File::open(path)
        .and_then(|file| hasher.update_reader(file).map(drop))
        .map_err(|error| FatalError::disk(path, error))?;
    Ok((hasher.finalize().to_hex().to_string(), hasher.count()))
}

/// Deletes a file; a missing one is fine.
///
/// # Errors
/// [`FatalError::Disk`] with the path.
pub fn remove(path: &Path) -> Result<(), FatalError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FatalError::disk(path, error)),
        _ => Ok(()),
    }
}

/// Moves a file to another place of the same run, durably; the folder is made if it is missing.
///
/// # Errors
/// [`FatalError::Disk`] with the path.
pub fn move_file(from: &Path, to: &Path) -> Result<(), FatalError> {
    let folder = folder_of(to);
    create_dir(folder)?;
    rename(from, to).map_err(|error| FatalError::disk(from, error))?;
    sync_folder(folder)
}

/// The paths in a folder, sorted, without temporary files; none if there is no such folder.
///
/// # Errors
/// [`FatalError::Disk`] with the path.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, FatalError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(FatalError::disk(folder, error)),
    };
    let mut paths = entries
        .map(|entry| entry.map(|found| found.path()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(|e| FatalError::disk(folder, e))?;
    paths.retain(|path| path.extension() != Some(OsStr::new("tmp")));
    paths.sort();
    Ok(paths)
}

/// Deletes what a killed process left half written in a folder; only for who holds its lock.
///
/// # Errors
/// [`FatalError::Disk`] with the path.
pub fn remove_temporaries(folder: &Path) -> Result<(), FatalError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(FatalError::disk(folder, error)),
    };
    for entry in entries {
        let path = entry.map_err(|e| FatalError::disk(folder, e))?.path();
        if path.extension() == Some(OsStr::new("tmp")) && path.is_file() {
            remove(&path)?;
        }
    }
    Ok(())
}

/// An append-only file whose appends are durable one by one.
#[derive(Debug)]
pub struct Appender {
    file: File,
    path: PathBuf,
}

impl Appender {
    /// Opens a file for appending; makes it and its folder if they are missing.
    ///
    /// # Errors
    /// [`FatalError::Disk`] with the path.
    pub fn open(path: &Path) -> Result<Self, FatalError> {
        let folder = folder_of(path);
        create_dir(folder)?;
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|e| FatalError::disk(path, e))?;
        sync_folder(folder)?;
        let path = path.to_owned();
        Ok(Self { file, path })
    }

    /// [`Appender::open`] for a file of lines: a last line that was cut short is ended first, so
    /// that the next one is not glued to it.
    ///
    /// # Errors
    /// [`FatalError::Disk`] with the path.
    pub fn open_lines(path: &Path) -> Result<Self, FatalError> {
        let mut file = Self::open(path)?;
        if is_torn(path).map_err(|e| FatalError::disk(path, e))? {
            file.append(b"\n")?;
        }
        Ok(file)
    }

    /// Adds bytes with one write and returns when they are on the disk.
    ///
    /// # Errors
    /// [`FatalError::Disk`] with the path; a part may have been written.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), FatalError> {
        fault::point("append", &self.path, bytes);
        fault::tear(&mut self.file, &self.path, bytes);
        self.file
            .write_all(bytes)
            .and_then(|()| self.file.sync_data())
            .map_err(|e| FatalError::disk(&self.path, e))?;
        fault::point("appended", &self.path, bytes);
        Ok(())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether the last line of a file lacks its end.
fn is_torn(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// The right to write into a run's folder; dropping gives it back, and so does the process's end.
#[derive(Debug)]
pub struct RunLock {
    file: File,
    path: PathBuf,
}

impl RunLock {
    /// Whether the folder is still the one that was locked: who deletes or moves it during a run
    /// must not get half a run in its place.
    ///
    /// # Errors
    /// [`FatalError::Disk`] with the folder.
    pub fn check(&self) -> Result<(), FatalError> {
        let is_ours = |(ours, now): (fs::Metadata, fs::Metadata)| {
            (ours.dev(), ours.ino()) == (now.dev(), now.ino())
        };
        let found = self.file.metadata().ok().zip(fs::metadata(&self.path).ok());
        if found.is_some_and(is_ours) {
            return Ok(());
        }
        Err(FatalError::disk(
            folder_of(&self.path),
            "this folder was deleted or moved while the run wrote to it; put it back or begin anew \
             with the same command",
        ))
    }
}

/// Takes the folder for this process by an advisory lock on `<folder>/.lock`.
///
/// # Errors
/// [`FatalError::Disk`] with the lock file, also when another process holds it.
pub fn lock_dir(folder: &Path) -> Result<RunLock, FatalError> {
    create_dir(folder)?;
    let path = folder.join(".lock");
    let mut file = OpenOptions::new()
        .create(true)
        .read(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .map_err(|e| FatalError::disk(&path, e))?;
    // Who asks for a run's state holds the lock for a moment.
    let mut result = file.try_lock();
    for _ in 0..LOCK_TRIES {
        if !matches!(result, Err(TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(LOCK_WAIT);
        result = file.try_lock();
    }
    match result {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            // Only decorates the message.
            let _ = file.read_to_string(&mut owner);
            let owner = owner.trim();
            let who = if owner.is_empty() {
                String::new()
            } else {
                format!(" (process {owner})")
            };
            return Err(FatalError::disk(
                path,
                format!(
                    "another run{who} is using this folder; wait for it or choose another --out"
                ),
            ));
        }
        Err(TryLockError::Error(error)) => return Err(FatalError::disk(path, error)),
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(|e| FatalError::disk(&path, e))?;
    Ok(RunLock { file, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_written_files_of_dead_processes_go() {
        let folder = tempfile::tempdir().unwrap();
        publish_bytes(&folder.path().join("a.parquet"), b"whole").unwrap();
        let half = temporary_beside(&folder.path().join("b.parquet"));
        publish_bytes(&half, b"half").unwrap();
        remove_temporaries(folder.path()).unwrap();
        assert!(folder.path().join("a.parquet").is_file() && !half.exists());
        remove_temporaries(&folder.path().join("none")).unwrap();
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_temporary() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        publish_bytes(&path, b"old").unwrap();
        let error = publish(&path, |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("disk full"))
        })
        .unwrap_err();
        assert!(
            error.to_string().ends_with("report.json: disk full"),
            "{error}"
        );
        assert_eq!(read(&path).unwrap().unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn appends_survive_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log/a.jsonl");
        Appender::open(&path).unwrap().append(b"1\n").unwrap();
        Appender::open(&path).unwrap().append(b"2\n").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"1\n2\n");
    }

    #[test]
    fn a_folder_has_one_user() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock_dir(folder.path()).unwrap();
        let error = lock_dir(folder.path()).unwrap_err().to_string();
        let who = format!("another run (process {})", std::process::id());
        assert!(error.contains(&who), "{error}");
        first.check().unwrap();
        fs::remove_file(folder.path().join(".lock")).unwrap();
        let second = lock_dir(folder.path()).unwrap();
        let error = first.check().unwrap_err().to_string();
        assert!(error.contains("was deleted or moved"), "{error}");
        drop((first, second));
        lock_dir(folder.path()).unwrap();
    }

    #[test]
    fn missing_things_are_not_errors() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        assert!(read(&missing).unwrap().is_none());
        assert!(list(&missing).unwrap().is_empty());
        remove(&missing).unwrap();
    }
}
