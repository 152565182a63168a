//! retry: the failed videos of a run are marked as to be done again; the run then continues.

use super::runner::{LEDGER_WRITER, RunRequest, prepare};
use super::shards::Chunks;
use crate::core::{ErrorKind, FatalError};
use crate::engine::{Ledger, forgive};
use crate::store;

/// Opens the rows of a run that have failures of these kinds, of any kind if there are none named,
/// and gives the uris of their videos. Everything else stays as it is, and rows without results stay
/// open. With `is_dry` nothing is changed.
///
/// Cost: the commit lines of all chunks that have failures.
///
/// # Errors
/// When the folder holds no run, another process works on it, or the request has other settings than
/// its run.
pub fn reopen_failed(
    request: &RunRequest,
    kinds: &[ErrorKind],
    is_dry: bool,
) -> Result<Vec<String>, FatalError> {
    let prepared = prepare(request)?;
    let dir = &prepared.dir;
    let _lock = store::lock_dir(dir.root())?;
    let info = dir.known_info()?;
    if info.fingerprint != prepared.info.fingerprint {
        return Err(FatalError::Refused(format!(
            "{}: was made by another version of the program or with other weights; `framewright \
             run` with its pipeline file and manifest does it again, with everything remembered \
             that still holds",
            dir.root().display()
        )));
    }
    let chunks = prepared.chunks(Some(&info))?;
    let failed = chunks.failed_roots(kinds)?;
    let uris = failed.values().flatten();
    let uris = uris.map(|(row, _)| prepared.entries[*row as usize].uri.clone());
    let uris = uris.collect();
    if !is_dry {
        let mut ledger = Ledger::open(&dir.ledger(), LEDGER_WRITER)?;
        let keys = Chunks::reopen(failed, &mut ledger)?;
        forgive(dir.root(), &keys)?;
    }
    Ok(uris)
}
