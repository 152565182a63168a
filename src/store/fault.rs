//! Faults on purpose, for tests of the program: what is planned, and dying around a write.
//!
//! Compiled in only with the feature `fault-injection`, which no release has; without it every
//! function here is empty. `FRAMEWRIGHT_FAULT` is `place:what:part`, several with commas between
//! them. Places are the stages and the points of this module; `part` is looked for in the root's uri,
//! or in the path and the bytes of a write. With `FRAMEWRIGHT_FAULT_ONCE`, a folder, each fault
//! happens once and leaves a file there.

#[cfg(feature = "fault-injection")]
pub use on::planned;
#[cfg(feature = "fault-injection")]
pub(super) use on::{point, tear};

#[cfg(not(feature = "fault-injection"))]
pub(super) fn point(_: &str, _: &std::path::Path, _: &[u8]) {}

#[cfg(not(feature = "fault-injection"))]
pub(super) fn tear(_: &mut std::fs::File, _: &std::path::Path, _: &[u8]) {}

#[cfg(feature = "fault-injection")]
mod on {
    use std::fs::{File, OpenOptions};
    use std::io::Write as _;
    use std::path::Path;

    /// What is to happen now at that place, if anything is.
    pub fn planned(place: &str, name: &str, content: &[u8]) -> Option<String> {
        let plan = std::env::var("FRAMEWRIGHT_FAULT").ok()?;
        plan.split(',').enumerate().find_map(|(number, fault)| {
            let mut parts = fault.splitn(3, ':');
            let (at, what, part) = (parts.next()?, parts.next()?, parts.next()?);
            let is_part = |text: &[u8]| text.windows(part.len()).any(|w| w == part.as_bytes());
            let is_here = at == place && (is_part(name.as_bytes()) || is_part(content));
            (is_here && is_due(number)).then(|| what.to_owned())
        })
    }

    fn is_due(number: usize) -> bool {
        let Some(folder) = std::env::var_os("FRAMEWRIGHT_FAULT_ONCE") else {
            return true;
        };
        let mark = Path::new(&folder).join(number.to_string());
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(mark)
            .is_ok()
    }

    /// Dies here if that is planned.
    pub(in crate::store) fn point(place: &str, path: &Path, content: &[u8]) {
        if planned(place, &path.to_string_lossy(), content).is_some() {
            std::process::abort();
        }
    }

    /// Writes a part of the bytes and dies if that is planned.
    pub(in crate::store) fn tear(file: &mut File, path: &Path, bytes: &[u8]) {
        if planned("tear", &path.to_string_lossy(), bytes).is_some() {
            let part = bytes.get(..bytes.len() / 2).unwrap_or_default();
            let _ = file.write_all(part).and_then(|()| file.sync_all());
            std::process::abort();
        }
    }
}
