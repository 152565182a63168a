//! Durable bytes: the only place that creates or renames files of a run.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::core::FatalError;

/// Writes a file so that it is either whole or absent: temporary name, sync, rename, sync folder.
pub fn publish(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), FatalError> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary: PathBuf = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let attempt = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&temporary)?;
        let mut buffered = BufWriter::new(file);
        write(&mut buffered)?;
        buffered
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .sync_all()?;
        rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    };
    attempt().map_err(|error| {
        // What is left of a failed write is of no use; the error matters more.
        let _ = fs::remove_file(&temporary);
        FatalError::disk(path, error)
    })
}

/// Writes bytes as a whole file.
pub fn publish_bytes(path: &Path, bytes: &[u8]) -> Result<(), FatalError> {
    publish(path, |out| out.write_all(bytes))
}

#[expect(clippy::disallowed_methods, reason = "the one rename behind `publish`")]
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}
