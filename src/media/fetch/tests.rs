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
    let path = fetch(&format!("{base}/v.MP4?x=1"), folder.path(), &options()).unwrap();
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
    let path = fetch(&format!("{base}/v"), folder.path(), &options()).unwrap();
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
    let get = |name: &str| fetch(&format!("{base}/{name}"), folder.path(), &options());
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
        let error = fetch(&format!("{base}/{name}"), folder.path(), &small).unwrap_err();
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
    let path = fetch(&format!("{base}/here"), folder.path(), &options()).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), b"ok");
    let public = FetchOptions {
        allow_private_addresses: false,
        ..options()
    };
    let error = fetch(&format!("{base}/other"), folder.path(), &public).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
}
