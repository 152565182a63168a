//! Which roots the worker process died with, and what follows: alone, then not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::in_flight::{Busy, InFlight};
use crate::core::{ErrorKind, FatalError};
use crate::store::{self, Appender};

/// Weight of a crash, of a hang and of memory running out.
pub(super) const FULL_WEIGHT: u32 = 10;
/// Weight of being killed from outside for no known reason.
pub(super) const KILL_WEIGHT: u32 = 1;
/// Weight from which a root runs alone.
const ALONE_WEIGHT: u32 = 3;
/// Weight from which a root is quarantined.
const MAX_WEIGHT: u32 = 2 * FULL_WEIGHT;

pub(super) fn strikes_path(out: &Path) -> PathBuf {
    out.join("strikes.jsonl")
}

/// One death of the process while it was busy with a root.
#[derive(Debug, Serialize, Deserialize)]
struct Strike {
    root: String,
    kind: ErrorKind,
    what: String,
    #[serde(default = "full_weight")]
    weight: u32,
    /// Instead: the strikes before this one do not count any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_forgiven: bool,
}

fn full_weight() -> u32 {
    FULL_WEIGHT
}

/// Writes a strike for each root that may be guilty; returns how many.
pub(super) fn strike(
    out: &Path,
    in_flight: &Path,
    death: &str,
    weight: u32,
) -> Result<usize, FatalError> {
    let busy = InFlight::read(in_flight)?;
    let has_hung = busy.iter().any(|busy| busy.is_hung);
    // The watchdog knows exactly who hangs; a crash may be anyone's who was at work.
    let guilty: BTreeMap<&str, &Busy> = busy
        .iter()
        .filter(|busy| busy.is_hung || !has_hung)
        .map(|busy| (busy.root.as_str(), busy))
        .collect();
    if guilty.is_empty() {
        return Ok(0);
    }
    let path = strikes_path(out);
    let mut file = Appender::open_lines(&path)?;
    for (root, busy) in &guilty {
        let kind = if busy.is_hung {
            ErrorKind::Timeout
        } else {
            ErrorKind::Crash
        };
        let strike = Strike {
            root: (*root).to_owned(),
            kind,
            what: format!(
                "the process {} in stage {} at item {}",
                death, busy.stage, busy.path
            ),
            weight,
            is_forgiven: false,
        };
        let mut text = serde_json::to_vec(&strike).map_err(|e| FatalError::disk(&path, e))?;
        text.push(b'\n');
        file.append(&text)?;
        tracing::warn!("{}: {}", busy.label, strike.what);
    }
    Ok(guilty.len())
}

/// Strikes by root, in the order they happened; torn lines are left out.
fn strikes(out: &Path) -> Result<BTreeMap<String, Vec<Strike>>, FatalError> {
    let bytes = store::read(&strikes_path(out))?.unwrap_or_default();
    let mut by_root: BTreeMap<String, Vec<Strike>> = BTreeMap::new();
    for strike in bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Strike>(line).ok())
    {
        let known = by_root.entry(strike.root.clone()).or_default();
        if strike.is_forgiven {
            known.clear();
        } else {
            known.push(strike);
        }
    }
    Ok(by_root)
}

/// Takes back the strikes of roots, so that they are processed again.
///
/// # Errors
/// [`FatalError::Disk`] with the path.
pub fn forgive(out: &Path, roots: &[String]) -> Result<(), FatalError> {
    let known = strikes(out)?;
    let path = strikes_path(out);
    for root in roots {
        let Some(last) = known.get(root).and_then(|strikes| strikes.last()) else {
            continue;
        };
        let forgiven = Strike {
            root: root.clone(),
            kind: last.kind,
            what: "to be tried again".to_owned(),
            weight: 0,
            is_forgiven: true,
        };
        let mut text = serde_json::to_vec(&forgiven).map_err(|e| FatalError::disk(&path, e))?;
        text.push(b'\n');
        Appender::open_lines(&path)?.append(&text)?;
    }
    Ok(())
}

fn weight(strikes: &[Strike]) -> u32 {
    strikes.iter().map(|strike| strike.weight).sum()
}

/// Keys of roots that are not to be processed any more, with kind and reason, for
/// [`super::RunOptions::quarantined`].
///
/// # Errors
/// [`FatalError::Disk`] with the path.
pub fn quarantined(out: &Path) -> Result<BTreeMap<String, (ErrorKind, String)>, FatalError> {
    let by_root = strikes(out)?.into_iter();
    Ok(by_root
        .filter(|(_, strikes)| weight(strikes) >= MAX_WEIGHT)
        .filter_map(|(root, mut strikes)| {
            let times = match strikes.len() {
                2 => "for the second time".to_owned(),
                more => format!("{more} times so far"),
            };
            let last = strikes.pop()?;
            Some((root, (last.kind, format!("{}, {times}", last.what))))
        })
        .collect())
}

/// Keys of roots that must run alone, for [`super::RunOptions::alone`].
///
/// # Errors
/// [`FatalError::Disk`] with the path.
pub fn suspects(out: &Path) -> Result<BTreeSet<String>, FatalError> {
    let by_root = strikes(out)?.into_iter();
    Ok(by_root
        .filter(|(_, strikes)| (ALONE_WEIGHT..MAX_WEIGHT).contains(&weight(strikes)))
        .map(|(root, _)| root)
        .collect())
}
