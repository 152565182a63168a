//! Addresses of files on the web, and what of them may be shown or written.

use std::fmt;

/// What stands for a part that is not shown.
const HIDDEN: &str = "hidden";

/// An `http://` or `https://` address. What is shown, logged and written to rows leaves out names
/// and passwords before the host, and values of the query that prove a right: signatures, tokens,
/// keys and their times. So one file keeps one name however often its address is signed anew.
#[derive(Clone, PartialEq, Eq)]
pub struct WebAddress(String);

impl WebAddress {
    /// An address as typed.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Everything, for the request alone.
    pub fn full(&self) -> &str {
        &self.0
    }

    /// What may be shown.
    pub fn shown(&self) -> String {
        let Some((scheme, rest)) = self.0.split_once("://") else {
            return self.0.clone();
        };
        let rest = rest
            .get(secret_bytes(rest)..)
            .map_or_else(String::new, |tail| {
                if tail.len() == rest.len() {
                    tail.to_owned()
                } else {
                    format!("{HIDDEN}@{tail}")
                }
            });
        let Some((place, query)) = rest.split_once('?') else {
            return format!("{scheme}://{rest}");
        };
        let (query, fragment) = match query.split_once('#') {
            Some((query, fragment)) => (query, Some(fragment)),
            None => (query, None),
        };
        let is_azure = query.split('&').any(|pair| name_of(pair) == "sig");
        let pairs: Vec<String> = query
            .split('&')
            .map(|pair| match pair.split_once('=') {
                Some((name, value)) if !value.is_empty() && proves(&name_of(pair), is_azure) => {
                    format!("{name}={HIDDEN}")
                }
                _ => pair.to_owned(),
            })
            .collect();
        let fragment = fragment.map_or_else(String::new, |fragment| format!("#{fragment}"));
        format!("{scheme}://{place}?{}{fragment}", pairs.join("&"))
    }
}

impl fmt::Display for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl fmt::Debug for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebAddress({})", self.shown())
    }
}

/// Length of the name and password in front of the host, with their `@`.
fn secret_bytes(rest: &str) -> usize {
    // Slashes too many in front of the host are passed over by whoever asks for it.
    let start = rest.len() - rest.trim_start_matches(['/', '\\']).len();
    let end = rest[start..].find(['/', '\\', '?', '#']);
    let end = end.map_or(rest.len(), |end| start + end);
    let (host, behind) = rest.split_at(end);
    if let Some(at) = host.rfind('@') {
        return at + 1;
    }
    // A password with a slash that should have been written as %2F: it is no port.
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    let is_port = host.ends_with(']') || port.bytes().all(|byte| byte.is_ascii_digit());
    match behind.rfind('@') {
        Some(at) if !is_port => end + at + 1,
        _ => 0,
    }
}

fn name_of(pair: &str) -> String {
    let name = pair.split('=').next().unwrap_or_default();
    name.to_ascii_lowercase()
}

/// Whether a value of the query proves a right, by its name.
fn proves(name: &str, is_azure: bool) -> bool {
    const WHOLE: [&str; 10] = [
        "auth",
        "authorization",
        "expires",
        "hmac",
        "jwt",
        "key-pair-id",
        "policy",
        "pwd",
        "sid",
        "sig",
    ];
    const PARTS: [&str; 11] = [
        "accesskey",
        "access_key",
        "apikey",
        "api_key",
        "api-key",
        "credential",
        "googleaccessid",
        "passw",
        "secret",
        "signature",
        "token",
    ];
    WHOLE.contains(&name)
        || PARTS.iter().any(|part| name.contains(part))
        || name.starts_with("x-amz-")
        || name.starts_with("x-goog-")
        || (is_azure && ["se", "st", "ske", "skt"].contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        WebAddress::new(text).shown()
    }

    #[test]
    fn names_passwords_and_signatures_are_hidden() {
        for (full, expected) in [
            ("https://a.org/v.mp4", "https://a.org/v.mp4"),
            (
                "https://u:p@a.org:8443/@x/v.mp4",
                "https://hidden@a.org:8443/@x/v.mp4",
            ),
            ("https://u:p@q@a.org", "https://hidden@a.org"),
            ("https:///u:p@a.org/v", "https://hidden@a.org/v"),
            ("https://u:p/w@a.org/v", "https://hidden@a.org/v"),
            ("https://a.org:80/@u/v", "https://a.org:80/@u/v"),
            ("https://[::1]/@u/v", "https://[::1]/@u/v"),
            (
                "https://a.org/v?id=7&token=abc#t=1",
                "https://a.org/v?id=7&token=hidden#t=1",
            ),
            (
                "https://b.org/k?X-Amz-Date=1&X-Amz-Signature=ab&versionId=2",
                "https://b.org/k?X-Amz-Date=hidden&X-Amz-Signature=hidden&versionId=2",
            ),
            (
                "https://c.org/k?sv=1&se=2&sig=x%3D",
                "https://c.org/k?sv=1&se=hidden&sig=hidden",
            ),
            (
                "https://c.org/k?se=2&author=me&sig=",
                "https://c.org/k?se=hidden&author=me&sig=",
            ),
            ("no address", "no address"),
        ] {
            assert_eq!(shown(full), expected);
            let debug = format!("{:?}", WebAddress::new(full));
            assert_eq!(debug, format!("WebAddress({expected})"));
        }
    }

    #[test]
    fn what_is_shown_stays_as_it_is_shown() {
        let once = shown("https://u:p@a.org/v?token=a&b=c");
        assert_eq!(shown(&once), once);
    }
}
