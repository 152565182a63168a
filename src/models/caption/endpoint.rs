//! Any server that speaks the chat-completions protocol, local or remote.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::blocking::{Client, Response};
use reqwest::header::RETRY_AFTER;

use super::wire;
use crate::core::{ConfigError, ErrorKind, ItemError, Rgb8};
use crate::models::{Answer, Captioner, Prompt};

/// First wait before a retry; it doubles each time.
const BACKOFF_SECS: f64 = 0.5;
/// Longest wait before a retry, also when the server asks for more.
const MAX_BACKOFF_SECS: f64 = 60.0;
/// Longest reply that is read.
const MAX_REPLY_BYTES: u64 = 8 << 20;

/// Settings of an [`Endpoint`].
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointOptions {
    /// Address up to and with the version, such as `http://localhost:8000/v1`.
    pub base_url: String,
    /// Model name the server knows.
    pub model: String,
    /// Environment variable that holds the key; none for servers without one.
    pub key_env: Option<String>,
    /// Longest time for one try.
    pub timeout_secs: f64,
    /// Further tries after a failure that may pass.
    pub max_retries: u32,
    /// Requests that all workers together may start each second; none for no limit.
    pub requests_per_sec: Option<f64>,
    /// Longest answer.
    pub max_answer_tokens: u32,
    /// Pictures are scaled to this longest side.
    pub image_max_side_px: u32,
    /// JPEG quality 1–99; 100 sends PNG.
    pub image_jpeg_quality: u8,
    /// Seed sent with each request.
    pub seed: u64,
}

impl Default for EndpointOptions {
    fn default() -> Self {
        Self {
            base_url: String::new(),
            model: String::new(),
            key_env: None,
            timeout_secs: 120.0,
            max_retries: 4,
            requests_per_sec: None,
            max_answer_tokens: 512,
            image_max_side_px: 1024,
            image_jpeg_quality: 90,
            seed: 0,
        }
    }
}

/// What an endpoint has cost so far, over all clones.
#[derive(Debug, Default)]
pub struct Usage {
    requests: AtomicU64,
    prompt_tokens: AtomicU64,
    answer_tokens: AtomicU64,
}

impl Usage {
    /// Requests sent, tries that failed among them.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
    /// Tokens of questions, as the service counts them.
    pub fn prompt_tokens(&self) -> u64 {
        self.prompt_tokens.load(Ordering::Relaxed)
    }
    /// Tokens of answers, as the service counts them.
    pub fn answer_tokens(&self) -> u64 {
        self.answer_tokens.load(Ordering::Relaxed)
    }
}

/// A captioner behind an address. Clones share connections and the rate limit: one for each worker.
#[derive(Clone)]
pub struct Endpoint {
    options: Arc<EndpointOptions>,
    client: Client,
    key: Option<Arc<str>>,
    next_start: Arc<Mutex<Instant>>,
    first_backoff: Duration,
    usage: Arc<Usage>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key stays out of every log.
        f.debug_struct("Endpoint")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// A try that failed.
struct Failure {
    error: ItemError,
    retry: bool,
    wait: Option<Duration>,
}

impl Endpoint {
    /// An endpoint with these settings; asks nothing yet.
    ///
    /// # Errors
    /// When the address is none, a number is out of range, or the key's variable is not set.
    pub fn new(options: EndpointOptions) -> Result<Self, ConfigError> {
        let wrong = |key: &str, what: String| ConfigError::one(format!("endpoint.{key}"), what);
        let address = reqwest::Url::parse(&options.base_url)
            .map_err(|error| wrong("base_url", format!("not an address: {error}")))?;
        if !matches!(address.scheme(), "http" | "https") {
            return Err(wrong(
                "base_url",
                "must start with http:// or https://".to_owned(),
            ));
        }
        if !address.username().is_empty() || address.password().is_some() {
            return Err(wrong(
                "base_url",
                "must hold no password; use key_env".to_owned(),
            ));
        }
        if address.query().is_some() || address.fragment().is_some() {
            return Err(wrong(
                "base_url",
                "must end before ? and #; a key belongs into the variable that key_env names"
                    .to_owned(),
            ));
        }
        let timeout = Duration::try_from_secs_f64(options.timeout_secs)
            .ok()
            .filter(|timeout| !timeout.is_zero())
            .ok_or_else(|| wrong("timeout_secs", "must be above 0".to_owned()))?;
        if options
            .requests_per_sec
            .is_some_and(|rate| !(rate > 0.0 && rate.is_finite()))
        {
            return Err(wrong("requests_per_sec", "must be above 0".to_owned()));
        }
        let key = options.key_env.as_deref().map(read_key).transpose()?;
        let client = Client::builder()
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| wrong("base_url", format!("no http client: {error}")))?;
        Ok(Self {
            options: Arc::new(options),
            client,
            key,
            next_start: Arc::new(Mutex::new(Instant::now())),
            first_backoff: Duration::from_secs_f64(BACKOFF_SECS),
            usage: Arc::default(),
        })
    }

    /// What it has cost so far.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    fn wait_for_turn(&self) {
        let Some(rate) = self.options.requests_per_sec else {
            return;
        };
        let gap = Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::ZERO);
        let start = {
            let mut next = self
                .next_start
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let start = (*next).max(Instant::now());
            *next = start + gap;
            start
        };
        thread::sleep(start.saturating_duration_since(Instant::now()));
    }

    fn ask(&self, body: &[u8], wants_json: bool) -> Result<Answer, Failure> {
        self.wait_for_turn();
        let url = format!(
            "{}/chat/completions",
            self.options.base_url.trim_end_matches('/')
        );
        let mut request = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .body(body.to_vec());
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        self.usage.requests.fetch_add(1, Ordering::Relaxed);
        let response = request.send().map_err(|error| self.transport(&error))?;
        let status = response.status();
        let wait = retry_after(&response);
        let text = read(response).map_err(|what| Failure {
            error: self.error(ErrorKind::Remote, &what),
            retry: true,
            wait: None,
        })?;
        // An answer may repeat the key, and would carry it into rows.
        let text = self.without_key(text);
        if status.is_success() {
            let answer = wire::answer(&text, wants_json).map_err(|error| Failure {
                error: self.error(error.kind, &error.what),
                retry: false,
                wait: None,
            })?;
            let (asked, answered) = (answer.prompt_tokens, answer.answer_tokens);
            self.usage.prompt_tokens.fetch_add(asked, Ordering::Relaxed);
            self.usage
                .answer_tokens
                .fetch_add(answered, Ordering::Relaxed);
            return Ok(answer);
        }
        let passing = status.is_server_error()
            || matches!(
                status,
                StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS | StatusCode::TOO_EARLY
            );
        let asks_wrongly = matches!(
            status,
            StatusCode::BAD_REQUEST
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::UNPROCESSABLE_ENTITY
        );
        let kind = if asks_wrongly {
            ErrorKind::Model
        } else {
            ErrorKind::Remote
        };
        let what = format!("{}: {}", status.as_u16(), wire::failure_words(&text));
        Err(Failure {
            error: self.error(kind, &what),
            retry: passing,
            wait,
        })
    }

    fn transport(&self, error: &reqwest::Error) -> Failure {
        let (kind, what) = if error.is_timeout() {
            let what = format!("no answer within {} s", self.options.timeout_secs);
            (ErrorKind::Timeout, what)
        } else {
            let mut cause: &dyn std::error::Error = error;
            while let Some(inner) = cause.source() {
                cause = inner;
            }
            (ErrorKind::Remote, format!("no connection: {cause}"))
        };
        Failure {
            error: self.error(kind, &what),
            retry: !error.is_builder(),
            wait: None,
        }
    }

    fn without_key(&self, text: String) -> String {
        match self.key.as_deref() {
            Some(key) if text.contains(key) => text.replace(key, "[key]"),
            _ => text,
        }
    }

    /// An error that names the address and never the key, even if the server repeats it.
    fn error(&self, kind: ErrorKind, what: &str) -> ItemError {
        let what = self.without_key(what.to_owned());
        ItemError::new(kind, format!("{}: {what}", self.options.base_url))
    }
}

impl Captioner for Endpoint {
    fn label(&self) -> String {
        format!("endpoint:{}", self.options.model)
    }

    fn answer(&mut self, prompt: &Prompt, images: &[Rgb8]) -> Result<Answer, ItemError> {
        let body = wire::request(&self.options, prompt, images)?.to_string();
        let wants_json = prompt.answer_schema.is_some();
        let longest = Duration::from_secs_f64(MAX_BACKOFF_SECS);
        let mut backoff = self.first_backoff;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.ask(body.as_bytes(), wants_json) {
                Ok(answer) => return Ok(answer),
                Err(failure) if failure.retry && tries <= self.options.max_retries => {
                    thread::sleep(failure.wait.unwrap_or(backoff).min(longest));
                    backoff = (backoff * 2).min(longest);
                }
                Err(failure) if tries > 1 => {
                    let ItemError { kind, what, .. } = failure.error;
                    return Err(ItemError::new(kind, format!("{what} ({tries} tries)")));
                }
                Err(failure) => return Err(failure.error),
            }
        }
    }
}

fn read_key(variable: &str) -> Result<Arc<str>, ConfigError> {
    let place = "endpoint.key_env";
    let key = std::env::var(variable).unwrap_or_default();
    let key = key.trim();
    if key.is_empty() {
        let what = format!("the environment variable {variable} is not set; put the key there");
        return Err(ConfigError::one(place, what));
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        let what = format!("the environment variable {variable} holds characters no key can have");
        return Err(ConfigError::one(place, what));
    }
    Ok(Arc::from(key))
}

/// Seconds the server asks to wait; a date is passed over.
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    Duration::try_from_secs_f64(text.trim().parse().ok()?).ok()
}

fn read(response: Response) -> Result<String, String> {
    use std::io::Read as _;

    let mut bytes = Vec::new();
    response
        .take(MAX_REPLY_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("the reply broke off: {error}"))?;
    if bytes.len() as u64 > MAX_REPLY_BYTES {
        return Err(format!("the reply is longer than {MAX_REPLY_BYTES} bytes"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
