//! Against a server on this machine.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;

use super::*;

/// One request as the server saw it: path and the `range` header.
type Seen = (String, Option<String>);

/// Serves one connection per answer, in order; an answer is raw bytes, so it can be cut short.
fn serve(answers: Vec<Vec<u8>>) -> (String, mpsc::Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let path = lines.next().unwrap().unwrap();
            let range = lines
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .find(|line| line.to_lowercase().starts_with("range:"));
            sender.send((path, range)).unwrap();
            stream.write_all(&answer).unwrap();
        }
    });
    (base, receiver)
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn at(url: &str) -> WebAddress {
    WebAddress::new(url)
}

fn options() -> FetchOptions {
    FetchOptions {
        max_bytes: 1 << 20,
        timeout_secs: 20,
        allow_private_addresses: true,
    }
}

#[test]
fn a_cut_connection_is_continued() {
    let body: Vec<u8> = (0..5000_u32).map(|n| (n % 251) as u8).collect();
    let (base, seen) = serve(vec![
        answer(
            "200 OK\r\nETag: \"a\"\r\nContent-Length: 5000",
            &body[..2000],
        ),
        answer(
            "206 Partial Content\r\nETag: \"a\"\r\nContent-Range: bytes 2000-4999/5000\r\n\
             Content-Length: 3000",
            &body[2000..],
        ),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let path = fetch(&at(&format!("{base}/v.MP4?x=1")), folder.path(), &options()).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), body);
    assert_eq!(path.extension().unwrap(), "mp4");
    assert_eq!(seen.recv().unwrap().1, None);
    let range = seen.recv().unwrap().1.unwrap().to_lowercase();
    assert_eq!(range, "range: bytes=2000-");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_changed_file_starts_anew() {
    let (base, _seen) = serve(vec![
        answer("200 OK\r\nETag: \"a\"\r\nContent-Length: 10", b"old"),
        answer("200 OK\r\nETag: \"b\"\r\nContent-Length: 6", b"newest"),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let path = fetch(&at(&format!("{base}/v")), folder.path(), &options()).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), b"newest");
}

#[test]
fn server_trouble_is_tried_again_and_refusals_are_not() {
    let (base, _seen) = serve(vec![
        answer("503 Service Unavailable\r\nContent-Length: 0", b""),
        answer("200 OK\r\nContent-Length: 2", b"ok"),
        answer("404 Not Found\r\nContent-Length: 0", b""),
        answer("403 Forbidden\r\nContent-Length: 0", b""),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let get = |name: &str| fetch(&at(&format!("{base}/{name}")), folder.path(), &options());
    assert_eq!(std::fs::read(get("a").unwrap()).unwrap(), b"ok");
    assert_eq!(get("b").unwrap_err().kind, ErrorKind::Missing);
    assert_eq!(get("c").unwrap_err().kind, ErrorKind::Unreadable);
}

#[test]
fn the_size_limit_holds_with_and_without_a_stated_length() {
    let (base, _seen) = serve(vec![
        answer("200 OK\r\nContent-Length: 50", &[1; 50]),
        answer("200 OK", &[1; 50]),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let small = FetchOptions {
        max_bytes: 20,
        ..options()
    };
    for name in ["a", "b"] {
        let error = fetch(&at(&format!("{base}/{name}")), folder.path(), &small).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn redirects_are_followed_and_private_addresses_refused() {
    let (base, _seen) = serve(vec![
        answer("302 Found\r\nLocation: /there\r\nContent-Length: 0", b""),
        answer("200 OK\r\nContent-Length: 2", b"ok"),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let path = fetch(&at(&format!("{base}/here")), folder.path(), &options()).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), b"ok");
    let public = FetchOptions {
        allow_private_addresses: false,
        ..options()
    };
    let error = fetch(&at(&format!("{base}/other")), folder.path(), &public).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
}

#[test]
fn a_server_that_drips_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // An answer before the question is no answer.
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let hasty = FetchOptions {
        timeout_secs: 1,
        ..options()
    };
    let begin = Instant::now();
    let error = fetch(&at(&format!("{base}/v")), folder.path(), &hasty).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout, "{error}");
    assert!(
        begin.elapsed() < Duration::from_secs(3),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn endless_headers_are_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        // Each try gets a new connection.
        while let Ok((mut stream, _)) = listener.accept() {
            // An answer before the question is no answer.
            assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
            while stream.write_all(b"X-More: 0123456789abcdef\r\n").is_ok() {}
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let error = fetch(&at(&format!("{base}/v")), folder.path(), &options()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Remote, "{error}");
}

#[test]
fn redirects_are_counted_and_never_leave_https() {
    let hop = || answer("302 Found\r\nLocation: /more\r\nContent-Length: 0", b"");
    let (base, seen) = serve((0..20).map(|_| hop()).collect());
    let folder = tempfile::tempdir().unwrap();
    let error = fetch(&at(&format!("{base}/v")), folder.path(), &options()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreadable, "{error}");
    assert_eq!(seen.try_iter().count() as u32, MAX_REDIRECTS + 1);

    let (base, seen) = serve(vec![answer(
        "302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0",
        b"",
    )]);
    let error = fetch(&at(&format!("{base}/v")), folder.path(), &options()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
    assert_eq!(seen.try_iter().count(), 1);

    let secure = Url::parse("https://a.org/v?token=s3").unwrap();
    let to = |location: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::from_static(location));
        redirected(&secure, &headers)
    };
    assert_eq!(to("//b.org/w").unwrap().as_str(), "https://b.org/w");
    for insecure in ["http://a.org/v?token=s3", "ftp://a.org/", "data:,x"] {
        let error = to(insecure).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
        assert!(error.what.contains("from https to") && !error.what.contains("s3"));
    }
}

#[test]
fn secrets_of_an_address_are_sent_and_never_said() {
    let (base, seen) = serve(vec![answer("403 Forbidden\r\nContent-Length: 0", b"")]);
    let host = base.strip_prefix("http://").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let signed = format!("http://me:pa55@{host}/v.mp4?X-Amz-Signature=s1gn");
    let error = fetch(&at(&signed), folder.path(), &options()).unwrap_err();
    assert!(
        seen.recv().unwrap().0.contains("s1gn"),
        "the signature is sent"
    );
    let gone = fetch(
        &at("http://me:pa55@127.0.0.1:9/v?token=s1gn"),
        folder.path(),
        &FetchOptions {
            timeout_secs: 1,
            ..options()
        },
    );
    let strange = fetch(
        &at("https://me:pa55@[x/?token=s1gn"),
        folder.path(),
        &options(),
    );
    for error in [error, gone.unwrap_err(), strange.unwrap_err()] {
        assert!(
            !error.what.contains("pa55") && !error.what.contains("s1gn"),
            "{error}"
        );
        assert!(error.what.contains("hidden@"), "{error}");
    }
}

mod prop {
    use proptest::prelude::*;

    use super::*;
    use crate::core::testing::{damaged, one_in};

    proptest! {
        #![proptest_config(one_in(4))]

        #[test]
        fn whatever_is_left_of_an_earlier_try_the_file_is_whole_or_an_error(
            tag in damaged(b"\"a\"".to_vec()),
            part in damaged(b"01234".to_vec()),
            range in damaged(b"bytes 5-9/10".to_vec()),
        ) {
            let keep = |bytes: Vec<u8>| -> Vec<u8> {
                bytes.into_iter().filter(|byte| !b"\r\n\0".contains(byte)).take(200).collect()
            };
            let mut head = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nContent-Range: ".to_vec();
            head.extend(keep(range));
            head.extend(b"\r\nConnection: close\r\n\r\n56789");
            let whole = || answer("200 OK\r\nContent-Length: 10", b"0123456789");
            let (base, _seen) = serve(vec![head, whole(), whole()]);
            let address = at(&format!("{base}/v"));
            let folder = tempfile::tempdir().unwrap();
            let url = Url::parse(address.full()).unwrap();
            let target = folder.path().join(file_name(&url, &address));
            for (suffix, bytes) in [(".part", &part), (".part.tag", &tag)] {
                let mut file = open_part(&with_suffix(&target, suffix), true).unwrap();
                file.write_all(bytes).unwrap();
            }
            let patient = FetchOptions { timeout_secs: 2, ..options() };
            if let Ok(path) = fetch(&address, folder.path(), &patient) {
                let bytes = std::fs::read(path).unwrap();
                let continued = [&part[..], b"56789"].concat();
                prop_assert!(bytes == b"0123456789" || bytes == continued, "{:?}", bytes);
            }
        }

    }

    proptest! {
        #[test]
        fn any_address_is_fetched_nowhere_or_refused(text in damaged(
            b"http://user:pass@127.0.0.1:80/v.mp4?token=x#y".to_vec()
        )) {
            let text = String::from_utf8_lossy(&text).into_owned();
            // Only these are taken for addresses.
            if !text.starts_with("http://") && !text.starts_with("https://") {
                return Ok(());
            }
            let address = WebAddress::new(text.clone());
            let _ = address.shown();
            if let Ok(url) = Url::parse(&text)
                && url.host_str().is_some_and(|host| host.starts_with("127."))
            {
                prop_assert!(address::resolve(&url, false).is_err());
                let shown = Url::parse(&address.shown());
                let password = shown.as_ref().ok().and_then(Url::password);
                prop_assert!(password.is_none_or(str::is_empty), "{address}");
            }
        }
    }
}
