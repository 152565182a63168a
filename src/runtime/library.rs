//! Finds ONNX Runtime's shared library and loads it once, with its telemetry off.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use ort::environment::Environment;

use crate::core::FatalError;

const TELEMETRY_SWITCH: &str = "ORT_DISABLE_TELEMETRY";
const PATH_VARIABLE: &str = "ORT_DYLIB_PATH";
const FILE_STEM: &str = "libonnxruntime.so";

/// The loaded library.
pub struct Library {
    path: PathBuf,
    version: String,
    pub(super) environment: Environment,
}

impl Library {
    /// The file it came from; a bare file name when the system's loader found it.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// Its version, such as `1.32.0`; `unknown` when it does not say.
    pub fn version(&self) -> &str {
        &self.version
    }
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Library({}, {})", self.path.display(), self.version)
    }
}

/// The user's folder for libraries and weights: `$XDG_DATA_HOME/framewright`, else
/// `~/.local/share/framewright`; relative to the working folder when neither variable is set.
pub fn data_dir() -> PathBuf {
    data_dir_of(env::var_os("XDG_DATA_HOME"), env::var_os("HOME"))
}

fn data_dir_of(xdg: Option<OsString>, home: Option<OsString>) -> PathBuf {
    let set = |value: Option<OsString>| value.filter(|v| !v.is_empty()).map(PathBuf::from);
    set(xdg)
        .or_else(|| set(home).map(|home| home.join(".local/share")))
        .unwrap_or_default()
        .join("framewright")
}

/// Tells ONNX Runtime not to report anything, before it is loaded. Call it first thing in `main`.
///
/// The library reads the variable when it starts, so the switch in its interface would come late.
#[expect(
    unsafe_code,
    reason = "the library reads its switch from the environment only"
)]
pub fn disable_telemetry() {
    if env::var_os(TELEMETRY_SWITCH).is_some_and(|value| value == "1") {
        return;
    }
    // SAFETY: `main` calls this before it starts any thread, so nothing reads the environment at
    // the same time; later calls return above.
    unsafe { env::set_var(TELEMETRY_SWITCH, "1") };
}

/// The library, loaded at the first call. Looked for at `explicit`, `$ORT_DYLIB_PATH`, the data
/// folder's `lib/` (newest version), the folder of the executable, the system.
///
/// A place that was named (the first two) is not passed over when it does not work.
///
/// # Errors
/// [`FatalError::Library`] with every place that was tried and what to do.
pub fn load_library(explicit: Option<&Path>) -> Result<&'static Library, FatalError> {
    static LOADING: Mutex<()> = Mutex::new(());
    static LOADED: OnceLock<Library> = OnceLock::new();

    let _turn = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(library) = LOADED.get() {
        return Ok(library);
    }
    disable_telemetry();
    let named = explicit
        .map(Path::to_path_buf)
        .or_else(|| {
            env::var_os(PATH_VARIABLE)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        })
        .map(|path| {
            if path.is_dir() {
                newest_in(&path).unwrap_or(path)
            } else {
                path
            }
        });
    let candidates = named.map_or_else(unnamed_candidates, |path| vec![path]);
    let library = load_first(&candidates)?;
    Ok(LOADED.get_or_init(|| library))
}

fn unnamed_candidates() -> Vec<PathBuf> {
    let beside = env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().and_then(newest_in));
    [newest_in(&data_dir().join("lib")), beside]
        .into_iter()
        .flatten()
        .chain([PathBuf::from(FILE_STEM)])
        .collect()
}

/// The library of the highest version in a folder; versions compare by number, not by letter.
fn newest_in(folder: &Path) -> Option<PathBuf> {
    let version = |name: &str| -> Option<Vec<u32>> {
        let rest = name.strip_prefix(FILE_STEM)?;
        rest.split('.')
            .filter(|part| !part.is_empty())
            .map(|part| part.parse().ok())
            .collect()
    };
    std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version = version(path.file_name()?.to_str()?)?;
            Some((version, path))
        })
        .max()
        .map(|(_, path)| path)
}

fn load_first(candidates: &[PathBuf]) -> Result<Library, FatalError> {
    let mut tried = Vec::new();
    for path in candidates {
        match open(path) {
            Ok(library) => return Ok(library),
            Err(reason) => tried.push(format!("{}: {reason}", path.display())),
        }
    }
    Err(FatalError::Library {
        what: format!(
            "onnx runtime (version 1.{} or later) could not be loaded ({}); also looked into {}; \
             run `make setup`, or set {PATH_VARIABLE} to the file",
            ort::MINOR_VERSION,
            tried.join("; "),
            data_dir().join("lib").display(),
        ),
    })
}

fn open(path: &Path) -> Result<Library, String> {
    if path.components().count() > 1 && !path.is_file() {
        return Err("no such file".to_owned());
    }
    let environment = ort::init_from(path)
        .map_err(|error| error.to_string())?
        .with_name("framewright")
        .with_telemetry(false)
        .build()
        .map_err(|error| error.to_string())?;
    environment.set_log_level(ort::logging::LogLevel::Error);
    Ok(Library {
        path: path.to_path_buf(),
        version: version_in(ort::info(), path),
        environment,
    })
}

/// The version from the build's description (`git-branch=rel-1.32.0`), else from the file's name.
fn version_in(info: &str, path: &Path) -> String {
    let is_version = |text: &&str| {
        text.starts_with(|c: char| c.is_ascii_digit())
            && text.chars().all(|c| c.is_ascii_digit() || c == '.')
    };
    let branch = info
        .split(['=', ',', ' '])
        .filter_map(|word| word.strip_prefix("rel-"))
        .find(is_version);
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("");
    let suffix = name
        .strip_prefix(FILE_STEM)
        .map(|rest| rest.trim_start_matches('.'))
        .filter(is_version);
    branch.or(suffix).unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_folder_follows_the_variables() {
        let some = |text: &str| Some(OsString::from(text));
        assert_eq!(
            data_dir_of(some("/x"), some("/h")),
            Path::new("/x/framewright")
        );
        assert_eq!(
            data_dir_of(some(""), some("/h")),
            Path::new("/h/.local/share/framewright")
        );
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "empty files of a test")]
    fn version_10_is_newer_than_9() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "libonnxruntime.so.1.9.1",
            "libonnxruntime.so.1.10.0",
            "libonnxruntime.so.x",
        ] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        let newest = newest_in(folder.path()).unwrap();
        assert!(newest.ends_with("libonnxruntime.so.1.10.0"));
        assert_eq!(newest_in(&folder.path().join("absent")), None);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a broken library of a test")]
    fn a_wrong_library_says_where_and_what_helps() {
        let folder = tempfile::tempdir().unwrap();
        let broken = folder.path().join("libonnxruntime.so.1.99.0");
        std::fs::write(&broken, b"not a library").unwrap();
        let absent = folder.path().join("absent.so");
        let error = load_first(&[broken.clone(), absent])
            .unwrap_err()
            .to_string();
        assert!(error.contains(&broken.display().to_string()), "{error}");
        assert!(error.contains("absent.so: no such file"), "{error}");
        assert!(
            error.contains("make setup") && error.contains(PATH_VARIABLE),
            "{error}"
        );
    }

    #[test]
    fn loading_leaves_nothing_in_the_home_folder() {
        const CHILD: &str = "FRAMEWRIGHT_TEST_CHILD";
        if env::var_os(CHILD).is_some() {
            load_library(None).unwrap();
            return;
        }
        let Ok(library) = load_library(None) else {
            println!("skipped: no onnx runtime here");
            return;
        };
        let home = tempfile::tempdir().unwrap();
        let status = std::process::Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "runtime::library::tests::loading_leaves_nothing_in_the_home_folder",
            ])
            .env_remove(TELEMETRY_SWITCH)
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_CACHE_HOME")
            .env(CHILD, "1")
            .env("HOME", home.path())
            .env("TMPDIR", home.path())
            .env(PATH_VARIABLE, library.path())
            .status()
            .unwrap();
        assert!(status.success());
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_version_is_read_from_the_build_or_the_name() {
        let named = Path::new("/lib/libonnxruntime.so.1.26.0");
        assert_eq!(
            version_in("ORT Build Info: git-branch=rel-1.32.0, x=y", named),
            "1.32.0"
        );
        assert_eq!(version_in("git-branch=HEAD", named), "1.26.0");
        assert_eq!(version_in("", Path::new("libonnxruntime.so")), "unknown");
    }
}
