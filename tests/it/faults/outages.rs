//! Endpoints that are dead, die, recover, fall silent or never end.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::json;

use super::*;
use crate::chat_server::{Asked, ChatServer, Reply};

fn instruction(asked: &Asked) -> Reply {
    let words = json!({
        "before": "one", "after": "another", "differences": [], "clear": true, "reason": "",
        "instruction": format!("Move the square by {} steps.", asked.number()),
    });
    Reply::says(&words.to_string())
}

fn ask(address: &str, out: &Path, more: &[&str]) -> Ran {
    let base_url = format!("endpoint.base_url=http://{address}/v1");
    let mut settings = SETTINGS.to_vec();
    settings.extend(["--set", "instruct.writer=endpoint", "--set", &base_url]);
    settings.extend([
        "--set",
        "endpoint.model=test",
        "--set",
        "endpoint.max_retries=0",
    ]);
    settings.extend(more);
    run(&long().unwrap().manifest, out, &settings)
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn an_endpoint_that_is_dead_at_the_start_fails_no_video() {
    if long().is_none() {
        return;
    }
    let folder = temporary();
    let (out, other) = (folder.path().join("out"), folder.path().join("other"));
    let address = free_address();
    let ran = ask(&address, &out, &[]).expect(1);
    says(
        &ran,
        &[
            &format!("the endpoint http://{address}/v1"),
            "Connection refused",
        ],
    );
    says(
        &ran,
        &["see to the service, then run the same command again"],
    );
    let server = ChatServer::start_at(&address, instruction);
    ask(&address, &out, &[]).expect(0);
    ask(&address, &other, &[]).expect(0);
    drop(server);
    assert_eq!(digests(&out), digests(&other));
}

#[test]
fn an_endpoint_that_dies_in_the_middle_stops_the_run_and_fails_no_video() {
    if long().is_none() {
        return;
    }
    let folder = temporary();
    let (out, other) = (folder.path().join("out"), folder.path().join("other"));
    let answered = Arc::new(AtomicU64::new(0));
    let is_well = Arc::new(AtomicBool::new(false));
    let (count, well) = (Arc::clone(&answered), Arc::clone(&is_well));
    let server = ChatServer::start(move |asked| {
        if well.load(Ordering::SeqCst) || count.fetch_add(1, Ordering::SeqCst) < 3 {
            return instruction(asked);
        }
        Reply::new(200, "<html>we are moving to another data centre</html>")
    });
    let address = server.address().trim_start_matches("http://").to_owned();
    let one = ["--set", "workers.instruct=1"];
    let ran = ask(&address, &out, &one).expect(1);
    says(
        &ran,
        &[
            &format!("the endpoint http://{address}/v1"),
            "failures in a row",
        ],
    );
    let asked = server.asked().len();
    assert!(asked < 20, "{asked} questions to a dead service");
    is_well.store(true, Ordering::SeqCst);
    ask(&address, &out, &one).expect(0);
    ask(&address, &other, &one).expect(0);
    assert_eq!(digests(&out), digests(&other));
}

#[test]
fn an_endpoint_that_recovers_in_time_is_asked_again() {
    if long().is_none() {
        return;
    }
    let folder = temporary();
    let count = AtomicU64::new(0);
    let server = ChatServer::start(move |asked| {
        if count.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            return Reply::new(503, "loading");
        }
        instruction(asked)
    });
    let address = server.address().trim_start_matches("http://").to_owned();
    let more = [
        "--set",
        "endpoint.max_retries=6",
        "--set",
        "workers.instruct=1",
    ];
    ask(&address, &folder.path().join("out"), &more).expect(0);
}

/// A server that does with each connection what `serve` says.
fn raw_server(serve: impl Fn(std::net::TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serve = Arc::new(serve);
    // It ends with the process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

#[test]
fn an_endpoint_that_never_answers_or_never_ends() {
    if long().is_none() {
        return;
    }
    let silent = raw_server(|mut stream| {
        let mut buffer = [0; 4096];
        while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
    });
    let folder = temporary();
    let more = ["--set", "endpoint.timeout_secs=1"];
    let ran = ask(&silent, &folder.path().join("silent"), &more).expect(1);
    says(&ran, &["no answer within 1 s", "see to the service"]);

    let endless = raw_server(|mut stream| {
        let mut buffer = [0; 8192];
        let _ = stream.read(&mut buffer);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        while stream.write_all(&buffer).is_ok() {}
    });
    let ran = ask(&endless, &folder.path().join("endless"), &[]).expect(1);
    says(&ran, &["the reply is longer than", "see to the service"]);
}
