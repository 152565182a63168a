//! Lists of inputs: JSON lines, CSV, Parquet, a folder, a pattern or one video.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use serde_json::Value;

use super::{arrays, footer};
use crate::core::{ConfigError, ManifestEntry, Place, Problem, WebAddress, contain};

const URI_NAMES: [&str; 4] = ["uri", "path", "url", "file_name"];
const LICENSE_NAMES: [&str; 2] = ["license", "licence"];
const SOURCE_NAMES: [&str; 2] = ["source", "origin"];

/// What a folder or pattern takes: endings of files that may hold video.
const MEDIA: [&str; 29] = [
    "3g2", "3gp", "asf", "avi", "divx", "dv", "f4v", "flv", "gif", "h264", "hevc", "m2ts", "m4v",
    "mjpeg", "mkv", "mov", "mp3", "mp4", "mpeg", "mpg", "mts", "mxf", "ogv", "rm", "ts", "vob",
    "webm", "wmv", "y4m",
];

/// Inputs in order, and what is wrong with the lines that gave none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// Usable inputs; local ones lie under the manifest's folder.
    pub entries: Vec<ManifestEntry>,
    /// Lines that could not be used, all of them, each with file and line.
    pub problems: Vec<Problem>,
}

/// Reads a manifest (`.jsonl`, `.csv`, `.parquet`), lists a folder or pattern, or takes one video.
///
/// A missing video is no problem here: it fails as an item, so that it is counted.
///
/// # Errors
/// When there is nothing to read at all, or nothing in it.
pub fn read_manifest(path_or_pattern: &str) -> Result<Manifest, ConfigError> {
    let path = Path::new(path_or_pattern);
    let mut gathered = Gathered::new(path);
    if scheme(path_or_pattern).is_some() {
        gathered.file = WebAddress::new(path_or_pattern).shown().into();
        gathered.add(None, fields(Some(path_or_pattern), None, None));
    } else if path.is_dir() {
        list_folder(path, &mut gathered)?;
    } else if path.is_file() {
        read_file(path, &mut gathered)?;
    } else if path_or_pattern.contains(['*', '?', '[']) {
        list_pattern(path_or_pattern, &mut gathered)?;
    } else {
        return Err(ConfigError::one(
            path_or_pattern,
            "no such file or folder; give a .jsonl, .csv or .parquet manifest, a folder, a \
             pattern in quotes or a video",
        ));
    }
    let manifest = gathered.manifest;
    if manifest.entries.is_empty() && manifest.problems.is_empty() {
        return Err(ConfigError::one(path_or_pattern, "no videos in there"));
    }
    Ok(manifest)
}

fn read_file(path: &Path, gathered: &mut Gathered) -> Result<(), ConfigError> {
    let ending = ending(path);
    match ending.as_str() {
        "jsonl" | "ndjson" => read_json_lines(path, gathered),
        "csv" => read_csv(path, gathered),
        "parquet" => read_parquet(path, gathered),
        "json" | "txt" | "md" | "tsv" | "toml" | "yaml" => Err(ConfigError::one(
            path.display().to_string(),
            format!("a .{ending} file is no manifest; use .jsonl, .csv or .parquet"),
        )),
        _ => {
            gathered.add_path(path);
            Ok(())
        }
    }
}

struct Fields {
    uri: Option<String>,
    license: Option<String>,
    source: Option<String>,
}

fn fields(uri: Option<&str>, license: Option<&str>, source: Option<&str>) -> Fields {
    let owned = |text: Option<&str>| {
        let text = text.map(str::trim).filter(|text| !text.is_empty());
        text.map(str::to_owned)
    };
    Fields {
        uri: owned(uri),
        license: owned(license),
        source: owned(source),
    }
}

struct Gathered {
    file: PathBuf,
    /// The folder that paths in lines of the file start from.
    folder: Arc<Path>,
    /// The folder that files found by a search are named from.
    searched: Arc<Path>,
    manifest: Manifest,
    /// The line where each place was seen first, by the place's hash: a million places are much.
    seen: BTreeMap<u128, Option<u64>>,
    /// Licences and sources, which repeat.
    texts: BTreeSet<Arc<str>>,
}

impl Gathered {
    fn new(file: &Path) -> Self {
        Self {
            file: file.to_path_buf(),
            folder: file.parent().unwrap_or(Path::new("")).into(),
            searched: searched(file).into(),
            manifest: Manifest::default(),
            seen: BTreeMap::new(),
            texts: BTreeSet::new(),
        }
    }

    fn place(&self, line: Option<u64>) -> String {
        let file = self.file.display();
        line.map_or_else(|| file.to_string(), |line| format!("{file}:{line}"))
    }

    fn problem(&mut self, line: Option<u64>, what: impl Into<String>) {
        let problem = Problem::new(self.place(line), what);
        self.manifest.problems.push(problem);
    }

    fn add(&mut self, line: Option<u64>, fields: Fields) {
        let Some(uri) = fields.uri else {
            let what = "no uri; each line needs one of uri, path, url or file_name";
            return self.problem(line, what);
        };
        let place = match resolve(&uri, &self.folder) {
            Ok(path) => path,
            Err(what) => return self.problem(line, what),
        };
        // From here on an address has no secrets.
        let uri = match &place {
            Place::Web(address) => address.shown(),
            _ => uri,
        };
        let license = fields.license.map(|text| self.shared(text));
        let source = fields.source.map(|text| self.shared(text));
        let entry = ManifestEntry {
            uri,
            license,
            source,
            place,
        };
        let seen_as = match entry.local_path() {
            Some(path) => blake3::hash(path.as_os_str().as_encoded_bytes()),
            None => blake3::hash(entry.uri.as_bytes()),
        };
        let seen_as = u128::from_le_bytes(*seen_as.as_bytes().first_chunk().unwrap_or(&[0; 16]));
        if let Some(first) = self.seen.get(&seen_as) {
            let (uri, first) = (&entry.uri, self.place(*first));
            let what = format!("{uri} was already named at {first}; remove one of them");
            return self.problem(line, what);
        }
        self.seen.insert(seen_as, line);
        self.manifest.entries.push(entry);
    }

    /// One copy of a text that many rows have.
    fn shared(&mut self, text: String) -> Arc<str> {
        if let Some(known) = self.texts.get(text.as_str()) {
            return Arc::clone(known);
        }
        let made: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&made));
        made
    }

    fn add_path(&mut self, path: &Path) {
        // A file that was found is named from the folder that was searched, so that rows do not
        // depend on the machine.
        let (named, place) = match path.strip_prefix(&self.searched) {
            Ok(named) => (named, Place::Under(Arc::clone(&self.searched))),
            Err(_) => (path, Place::At(path.into())),
        };
        let Some(uri) = named.to_str() else {
            let place = path.display().to_string();
            let what = "the file's name is not UTF-8; rename it";
            return self.manifest.problems.push(Problem::new(place, what));
        };
        self.manifest.entries.push(ManifestEntry {
            uri: uri.to_owned(),
            license: None,
            source: None,
            place,
        });
    }
}

/// The folder that a folder, a pattern or a single video names.
fn searched(given: &Path) -> &Path {
    if given.is_dir() {
        return given;
    }
    let has_wildcard = |path: &Path| path.to_string_lossy().contains(['*', '?', '[']);
    let mut folder = given.parent().unwrap_or(given);
    while !given.is_file() && has_wildcard(folder) {
        folder = folder.parent().unwrap_or(Path::new(""));
    }
    folder
}

/// The scheme of `scheme://…`, lower case.
fn scheme(uri: &str) -> Option<String> {
    let (scheme, _) = uri.split_once("://")?;
    let mut letters = scheme.chars();
    let fits = letters.next().is_some_and(|c| c.is_ascii_alphabetic())
        && letters.all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    fits.then(|| scheme.to_ascii_lowercase())
}

/// Where the bytes of a uri are; paths start from `folder`.
fn resolve(uri: &str, folder: &Arc<Path>) -> Result<Place, String> {
    match scheme(uri).as_deref() {
        None => Ok(Place::Under(Arc::clone(folder))),
        Some("http" | "https") => {
            let address = WebAddress::new(uri);
            let has_secrets = address.shown() != uri;
            Ok(if has_secrets {
                Place::Web(address)
            } else {
                Place::Remote
            })
        }
        Some("file") => Ok(Place::At(Path::new(&decode_file_url(uri)?).into())),
        Some(other) => Err(format!(
            "scheme {other}:// is not supported; use a local path, file:// or http(s)://"
        )),
    }
}

fn decode_file_url(uri: &str) -> Result<String, String> {
    let rest = uri.get("file://".len()..).unwrap_or_default();
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') {
        return Err(format!("{uri} names a host; write file:///absolute/path"));
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(path.len()), path.as_bytes());
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = tail.get(..2).and_then(|d| std::str::from_utf8(d).ok());
        let byte = digits.and_then(|d| u8::from_str_radix(d, 16).ok());
        bytes.push(byte.ok_or_else(|| format!("{uri} has a % without two hexadecimal digits"))?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|_not_utf8| format!("{uri} is not UTF-8 once decoded"))
}

fn unreadable(path: &Path, error: impl std::fmt::Display) -> ConfigError {
    ConfigError::one(
        path.display().to_string(),
        format!("cannot be read: {error}"),
    )
}

fn read_json_lines(path: &Path, gathered: &mut Gathered) -> Result<(), ConfigError> {
    let file = File::open(path).map_err(|error| unreadable(path, error))?;
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = file.read_until(b'\n', &mut line);
        if read.map_err(|error| unreadable(path, error))? == 0 {
            break;
        }
        let line = match number {
            1 => line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line),
            _ => &line,
        };
        if line.trim_ascii().is_empty() {
            continue;
        }
        let value: Value = match serde_json::from_slice(line.trim_ascii()) {
            Ok(value) => value,
            Err(error) => {
                gathered.problem(Some(number), format!("no valid JSON: {error}"));
                continue;
            }
        };
        let first = |names: &[&str]| names.iter().find_map(|name| value.get(name)?.as_str());
        match &value {
            Value::String(uri) => gathered.add(Some(number), fields(Some(uri), None, None)),
            Value::Object(_) => {
                let (license, source) = (first(&LICENSE_NAMES), first(&SOURCE_NAMES));
                gathered.add(Some(number), fields(first(&URI_NAMES), license, source));
            }
            _ => gathered.problem(Some(number), "neither a JSON object nor a text"),
        }
    }
    Ok(())
}

fn read_csv(path: &Path, gathered: &mut Gathered) -> Result<(), ConfigError> {
    let bytes = fs::read(path).map_err(|error| unreadable(path, error))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(bytes);
    let headers = reader.headers().map_err(|error| unreadable(path, error))?;
    let headers: Vec<String> = headers.iter().map(str::to_ascii_lowercase).collect();
    let column = |names: &[&str]| {
        names
            .iter()
            .find_map(|n| headers.iter().position(|h| h == n))
    };
    let Some(uri) = column(&URI_NAMES) else {
        return Err(ConfigError::one(
            gathered.place(Some(1)),
            "no column named uri, path, url or file_name in the header",
        ));
    };
    let (license, source) = (column(&LICENSE_NAMES), column(&SOURCE_NAMES));
    let mut lines = LineCounter::new(bytes);
    for record in reader.records() {
        match record {
            Ok(record) => {
                let line = lines.line(record.position());
                let cell = |at: Option<usize>| record.get(at?);
                let row = fields(record.get(uri), cell(license), cell(source));
                gathered.add(Some(line), row);
            }
            Err(error) => {
                let line = lines.line(error.position());
                gathered.problem(Some(line), format!("no valid CSV row: {error}"));
            }
        }
    }
    Ok(())
}

/// Line numbers of records, as an editor shows them: the reader's own leave out blank lines.
struct LineCounter<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
}

impl<'a> LineCounter<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            line: 1,
        }
    }

    /// The line of the first byte of a record; positions must not go back.
    fn line(&mut self, position: Option<&csv::Position>) -> u64 {
        let start = position.map_or(0, |position| position.byte() as usize);
        while let Some(byte) = self.bytes.get(self.at) {
            if self.at >= start && !b"\r\n".contains(byte) {
                break;
            }
            self.line += u64::from(*byte == b'\n');
            self.at += 1;
        }
        self.line
    }
}

fn read_parquet(path: &Path, gathered: &mut Gathered) -> Result<(), ConfigError> {
    // The reader panics at some damaged files.
    contain(|| read_parquet_rows(path, gathered))
        .unwrap_or_else(|words| Err(unreadable(path, format!("damaged ({words})"))))
}

fn read_parquet_rows(path: &Path, gathered: &mut Gathered) -> Result<(), ConfigError> {
    let file = File::open(path).map_err(|error| unreadable(path, error))?;
    footer::check_depth(&file).map_err(|error| unreadable(path, error))?;
    // Without the writer's Arrow hints every text column reads as plain UTF-8.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
        .map_err(|error| unreadable(path, error))?;
    let has = |name: &str| builder.schema().field_with_name(name).is_ok();
    let pick = |names: &[&'static str]| names.iter().copied().find(|name| has(name));
    let Some(uri) = pick(&URI_NAMES) else {
        let what = "no column named uri, path, url or file_name";
        return Err(ConfigError::one(path.display().to_string(), what));
    };
    let (license, source) = (pick(&LICENSE_NAMES), pick(&SOURCE_NAMES));
    let names = [Some(uri), license, source].into_iter().flatten();
    let mask = ProjectionMask::columns(builder.parquet_schema(), names);
    let reader = builder.with_projection(mask).build();
    let mut number = 0;
    for batch in reader.map_err(|error| unreadable(path, error))? {
        let batch = batch.map_err(|error| unreadable(path, error))?;
        for row in 0..batch.num_rows() {
            number += 1;
            let cell = |name: Option<&str>| arrays::get_text(&batch, name?, row);
            gathered.add(
                Some(number),
                fields(cell(Some(uri)), cell(license), cell(source)),
            );
        }
    }
    Ok(())
}

fn ending(path: &Path) -> String {
    let ending = path.extension().unwrap_or_default();
    ending.to_string_lossy().to_ascii_lowercase()
}

fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().first() == Some(&b'.')
}

fn add_sorted(mut paths: Vec<PathBuf>, gathered: &mut Gathered) {
    paths.sort_by(|a, b| {
        let bytes = |path: &PathBuf| path.as_os_str().as_encoded_bytes().to_vec();
        bytes(a).cmp(&bytes(b))
    });
    for path in paths {
        gathered.add_path(&path);
    }
}

/// Whether a link ends outside of a folder.
fn leads_out(link: &Path, folder: &Path) -> bool {
    let ends = link.canonicalize().ok().zip(folder.canonicalize().ok());
    !ends.is_some_and(|(end, folder)| end.starts_with(folder))
}

fn list_folder(top: &Path, gathered: &mut Gathered) -> Result<(), ConfigError> {
    let (mut open, mut found) = (vec![top.to_path_buf()], Vec::new());
    while let Some(folder) = open.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| unreadable(&folder, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(&folder, error))?;
            let (path, kind) = (entry.path(), entry.file_type());
            if is_hidden(&path) {
                continue;
            }
            let is_link = kind.as_ref().is_ok_and(fs::FileType::is_symlink);
            // Links to folders are not followed: they may lead in circles.
            if kind.is_ok_and(|kind| kind.is_dir()) {
                open.push(path);
            } else if path.is_file() && MEDIA.contains(&ending(&path).as_str()) {
                if is_link && leads_out(&path, top) {
                    let what = "a link out of the folder; name it in a manifest or by a pattern";
                    let place = path.display().to_string();
                    gathered.manifest.problems.push(Problem::new(place, what));
                } else {
                    found.push(path);
                }
            }
        }
    }
    add_sorted(found, gathered);
    Ok(())
}

fn list_pattern(pattern: &str, gathered: &mut Gathered) -> Result<(), ConfigError> {
    let paths = glob::glob(pattern)
        .map_err(|error| ConfigError::one(pattern, format!("no valid pattern: {error}")))?;
    let mut found = Vec::new();
    for path in paths {
        match path {
            Ok(path)
                if !is_hidden(&path)
                    && path.is_file()
                    && MEDIA.contains(&ending(&path).as_str()) =>
            {
                found.push(path);
            }
            Ok(_) => {}
            Err(error) => gathered.problem(None, format!("cannot be listed: {error}")),
        }
    }
    add_sorted(found, gathered);
    Ok(())
}

#[cfg(test)]
mod tests;
