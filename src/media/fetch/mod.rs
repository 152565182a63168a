//! Downloading one file over http or https: resumable, limited in size and time, never from inside.

mod address;

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::blocking::{Client, Response};
use reqwest::header::{
    CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, LAST_MODIFIED, LOCATION, RANGE,
};
use reqwest::{StatusCode, Url, redirect};

use crate::core::{ErrorKind, Hasher, ItemError, Key, WebAddress};

/// Redirects that are followed.
const MAX_REDIRECTS: u32 = 5;
/// Tries in all, the first included.
const MAX_TRIES: u32 = 4;
/// Wait before the second try; it doubles. Servers of tests need no rest.
const FIRST_WAIT: Duration = Duration::from_millis(if cfg!(test) { 5 } else { 500 });
/// Longest extension that is taken over from the address.
const MAX_EXTENSION_LEN: usize = 5;

/// Limits of a download.
#[derive(Clone, Copy, Debug)]
pub struct FetchOptions {
    /// Largest file, bytes.
    pub max_bytes: u64,
    /// Longest time for everything together, seconds.
    pub timeout_secs: u64,
    /// Whether loopback, private and link-local addresses may be asked.
    pub allow_private_addresses: bool,
}

/// Downloads `url` into `dest_dir`, which must exist, under a name made from a hash of the address.
/// A file that is already there is returned as it is; a part left by an earlier try is continued
/// where the server vouches that the file is still the same.
///
/// # Errors
/// Unsupported for other schemes, forbidden addresses and files above the limit; Missing for 404
/// and 410; Unreadable for other refusals and local disk trouble; Remote, after some tries, for
/// server and network trouble; Timeout when the time is up.
pub fn fetch(
    address: &WebAddress,
    dest_dir: &Path,
    options: &FetchOptions,
) -> Result<PathBuf, ItemError> {
    let parsed = Url::parse(address.full()).map_err(|error| {
        ItemError::new(
            ErrorKind::Unsupported,
            format!("{address}: not an address: {error}"),
        )
    })?;
    let target = dest_dir.join(file_name(&parsed, address));
    if target.is_file() {
        return Ok(target);
    }
    let download = Download {
        url: parsed,
        part: with_suffix(&target, ".part"),
        validator: with_suffix(&target, ".part.tag"),
        deadline: Instant::now() + Duration::from_secs(options.timeout_secs),
        options,
    };
    download
        .run()
        .and_then(|()| download.finish(&target))
        .map_err(|error| error.context(address))?;
    Ok(target)
}

/// Hash of the address without its secrets, so that a part is continued when the address was signed
/// anew, and its extension where that is a plain one.
fn file_name(url: &Url, address: &WebAddress) -> String {
    let key = Key::from_hash(Hasher::new("fetch").str(&address.shown()).finish());
    let extension = Path::new(url.path())
        .extension()
        .and_then(|extension| extension.to_str())
        .filter(|text| text.len() <= MAX_EXTENSION_LEN)
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    match extension {
        Some(extension) => format!("{}.{}", key.as_str(), extension.to_ascii_lowercase()),
        None => key.as_str().to_owned(),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

struct Download<'a> {
    url: Url,
    part: PathBuf,
    validator: PathBuf,
    deadline: Instant,
    options: &'a FetchOptions,
}

impl Download<'_> {
    fn run(&self) -> Result<(), ItemError> {
        let mut wait = FIRST_WAIT;
        let mut tries = 1;
        loop {
            match self.attempt() {
                Err(error) if error.kind == ErrorKind::Remote && tries < MAX_TRIES => {
                    if Instant::now() + wait >= self.deadline {
                        return Err(error);
                    }
                    std::thread::sleep(wait);
                    wait *= 2;
                    tries += 1;
                }
                result => return result,
            }
        }
    }

    fn attempt(&self) -> Result<(), ItemError> {
        let have_bytes = std::fs::metadata(&self.part).map_or(0, |meta| meta.len());
        // What does not fit into a header is a damaged file: the download starts anew.
        let validator = std::fs::read(&self.validator).ok();
        let validator = validator.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok());
        let resume = validator.filter(|value| have_bytes > 0 && !value.is_empty());
        let response = self.ask(have_bytes, resume.as_ref())?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT
                if resume.is_some() && range_start(response.headers()) == Some(have_bytes) =>
            {
                self.receive(response, have_bytes)
            }
            StatusCode::OK => {
                self.note_validator(response.headers())?;
                self.receive(response, 0)
            }
            StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PARTIAL_CONTENT => {
                self.forget();
                Err(remote("the server did not continue the file"))
            }
            status => Err(refusal(status)),
        }
    }

    /// Sends the request and follows redirects, checking the address of each.
    fn ask(&self, have_bytes: u64, resume: Option<&HeaderValue>) -> Result<Response, ItemError> {
        let mut url = self.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let client = self.client_for(&url)?;
            let mut request = client.get(url.clone());
            if let Some(validator) = resume {
                request = request
                    .header(RANGE, format!("bytes={have_bytes}-"))
                    .header(IF_RANGE, validator);
            }
            let response = request.send().map_err(|error| self.network(error))?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            url = redirected(&url, response.headers())?;
        }
        Err(ItemError::new(
            ErrorKind::Unreadable,
            format!("more than {MAX_REDIRECTS} redirects"),
        ))
    }

    /// A client that can reach only the addresses that were checked.
    fn client_for(&self, url: &Url) -> Result<Client, ItemError> {
        let (host, addresses) = address::resolve(url, self.options.allow_private_addresses)?;
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.too_slow());
        }
        Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(left)
            .resolve_to_addrs(&host, &addresses)
            .build()
            .map_err(|error| self.network(error))
    }

    fn receive(&self, mut response: Response, have_bytes: u64) -> Result<(), ItemError> {
        let max = self.options.max_bytes;
        let announced = response.content_length();
        if announced.is_some_and(|more| have_bytes.saturating_add(more) > max) {
            return Err(self.too_large());
        }
        let mut file = open_part(&self.part, have_bytes == 0).map_err(|error| disk(&error))?;
        let mut total = have_bytes;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = match response.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) if is_timeout(&error) => return Err(self.too_slow()),
                Err(error) => return Err(remote(format!("the connection broke: {error}"))),
            };
            total += read as u64;
            if total > max {
                return Err(self.too_large());
            }
            file.write_all(&buffer[..read])
                .map_err(|error| disk(&error))?;
            if Instant::now() >= self.deadline {
                return Err(self.too_slow());
            }
        }
        if announced.is_some_and(|more| total < have_bytes + more) {
            return Err(remote(format!("the connection broke after {total} bytes")));
        }
        file.sync_all().map_err(|error| disk(&error))
    }

    /// Remembers what proves that a later answer continues the same file. A weak tag does not.
    fn note_validator(&self, headers: &HeaderMap) -> Result<(), ItemError> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let tag = text(ETAG).filter(|tag| !tag.starts_with("W/"));
        self.forget();
        if let Some(validator) = tag.or_else(|| text(LAST_MODIFIED)) {
            open_part(&self.validator, true)
                .and_then(|mut file| file.write_all(validator.as_bytes()))
                .map_err(|error| disk(&error))?;
        }
        Ok(())
    }

    fn forget(&self) {
        for path in [&self.part, &self.validator] {
            // What is not there need not go.
            let _ = std::fs::remove_file(path);
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the whole, synced part becomes the file in its own folder"
    )]
    fn finish(&self, target: &Path) -> Result<(), ItemError> {
        std::fs::rename(&self.part, target).map_err(|error| disk(&error))?;
        self.forget();
        Ok(())
    }

    fn too_large(&self) -> ItemError {
        self.forget();
        ItemError::new(
            ErrorKind::Unsupported,
            format!("larger than the limit of {} bytes", self.options.max_bytes),
        )
    }

    fn too_slow(&self) -> ItemError {
        ItemError::new(
            ErrorKind::Timeout,
            format!("not fetched within {} seconds", self.options.timeout_secs),
        )
    }

    fn network(&self, error: reqwest::Error) -> ItemError {
        // The client's only limit is the deadline.
        if error.is_timeout() {
            return self.too_slow();
        }
        // The address may hold secrets; it is named without them further up.
        let error = error.without_url();
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        remote(text)
    }
}

/// Where an answer sends the client. The way from https to http is not taken: what was asked for
/// with a certificate must not come without one.
fn redirected(from: &Url, headers: &HeaderMap) -> Result<Url, ItemError> {
    let location = headers.get(LOCATION).and_then(|to| to.to_str().ok());
    let to = location
        .and_then(|location| from.join(location).ok())
        .ok_or_else(|| remote("a redirect leads nowhere"))?;
    if from.scheme() == "https" && to.scheme() != "https" {
        let host = to.host_str().unwrap_or_default();
        return Err(ItemError::new(
            ErrorKind::Unsupported,
            format!(
                "the server redirects from https to {}, host {host}; name that address if you \
                 trust it",
                to.scheme()
            ),
        ));
    }
    Ok(to)
}

/// Whether the client's time was over while a body was read.
fn is_timeout(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    error.kind() == std::io::ErrorKind::TimedOut || inner.is_some_and(reqwest::Error::is_timeout)
}

fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    range
        .strip_prefix("bytes ")?
        .split('-')
        .next()?
        .parse()
        .ok()
}

fn open_part(path: &Path, anew: bool) -> std::io::Result<File> {
    OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(anew)
        .append(!anew)
        .open(path)
}

fn refusal(status: StatusCode) -> ItemError {
    let kind = match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => ErrorKind::Missing,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => ErrorKind::Remote,
        _ if status.is_server_error() => ErrorKind::Remote,
        _ => ErrorKind::Unreadable,
    };
    ItemError::new(kind, format!("the server answered {status}"))
}

fn remote(what: impl Into<String>) -> ItemError {
    ItemError::new(ErrorKind::Remote, what)
}

fn disk(error: &std::io::Error) -> ItemError {
    ItemError::new(
        ErrorKind::Unreadable,
        format!("the download could not be stored: {error}"),
    )
}

#[cfg(test)]
mod tests;
