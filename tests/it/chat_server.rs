//! A real local server, with answers made up by the test.

use std::io::Cursor;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::{Value, json};
use tiny_http::{Header, Response, Server};

/// Requests answered at once.
const THREADS: usize = 4;

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    /// JSON, or null.
    pub(crate) body: Value,
}

impl Asked {
    /// Whether points are asked for, and not an instruction.
    pub(crate) fn is_judge(&self) -> bool {
        self.body["response_format"]
            .to_string()
            .contains("faithful")
    }

    /// A number that follows from the pictures alone.
    pub(crate) fn number(&self) -> u8 {
        blake3::hash(self.body["messages"].to_string().as_bytes()).as_bytes()[0]
    }
}

/// What the server says.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            body: body.into(),
            headers: Vec::new(),
        }
    }

    /// A chat answer with that text.
    pub(crate) fn says(text: &str) -> Self {
        let choice = json!({ "message": { "content": text }, "finish_reason": "stop" });
        Self::new(200, json!({ "choices": [choice] }).to_string())
    }

    /// A chat answer that declines.
    pub(crate) fn refuses(words: &str) -> Self {
        let choice = json!({ "message": { "refusal": words }, "finish_reason": "stop" });
        Self::new(200, json!({ "choices": [choice] }).to_string())
    }
}

/// A server on a free port of this machine; ends when it is dropped.
pub(crate) struct ChatServer {
    server: Arc<Server>,
    asked: Arc<Mutex<Vec<Asked>>>,
    threads: Vec<JoinHandle<()>>,
}

impl ChatServer {
    /// Starts a server that answers with what `reply` says.
    pub(crate) fn start(reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", reply)
    }

    /// The same at an address that was free a moment ago.
    pub(crate) fn start_at(
        address: &str,
        reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let server = Arc::new(Server::http(address).unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let reply = Arc::new(reply);
        let threads = (0..THREADS).map(|_| {
            let (server, asked, reply) = (server.clone(), asked.clone(), reply.clone());
            std::thread::spawn(move || serve(&server, &asked, &*reply))
        });
        let threads = threads.collect();
        Self {
            server,
            asked,
            threads,
        }
    }

    /// `http://127.0.0.1:<port>`
    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.server.server_addr())
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for ChatServer {
    fn drop(&mut self) {
        for _ in &self.threads {
            self.server.unblock();
        }
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

fn serve(server: &Server, asked: &Mutex<Vec<Asked>>, reply: &dyn Fn(&Asked) -> Reply) {
    while let Ok(mut request) = server.recv() {
        let mut body = String::new();
        if request.as_reader().read_to_string(&mut body).is_err() {
            // The client died in the middle.
            continue;
        }
        let header = |name: &'static str| {
            let mut headers = request.headers().iter();
            headers.find(|header| header.field.equiv(name))
        };
        let one = Asked {
            path: request.url().to_owned(),
            authorization: header("Authorization").map(|header| header.value.to_string()),
            body: serde_json::from_str(&body).unwrap_or_default(),
        };
        let answer = reply(&one);
        asked.lock().unwrap().push(one);
        let headers = answer.headers.iter();
        let headers =
            headers.map(|(name, value)| Header::from_bytes(*name, value.as_str()).unwrap());
        let length = answer.body.len();
        let response = Response::new(
            answer.status.into(),
            headers.collect(),
            Cursor::new(answer.body),
            Some(length),
            None,
        );
        // A client that went away is not this server's matter.
        let _ = request.respond(response);
    }
}
