use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};
use tiny_http::{Header, Server};

use super::*;

/// What a test server is asked.
struct Asked {
    authorization: Option<String>,
    path: String,
    body: Value,
}

/// One reply: status, body, headers, seconds before it.
struct Reply(u16, String, Vec<(&'static str, &'static str)>, f64);

fn reply(status: u16, body: &Value) -> Reply {
    Reply(status, body.to_string(), Vec::new(), 0.0)
}

fn said(text: &str) -> Value {
    json!({
        "choices": [{"message": {"content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 3},
    })
}

/// A server that gives these replies in order; what it was asked comes through the channel.
fn serve(replies: Vec<Reply>) -> (String, Receiver<Asked>) {
    let server = Server::http("127.0.0.1:0").unwrap();
    let address = format!("http://{}/v1", server.server_addr());
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for Reply(status, body, headers, delay_secs) in replies {
            let Ok(mut request) = server.recv() else {
                return;
            };
            let mut text = String::new();
            let _ = request.as_reader().read_to_string(&mut text);
            let authorization = request
                .headers()
                .iter()
                .find(|header| header.field.equiv("Authorization"))
                .map(|header| header.value.to_string());
            let _ = sender.send(Asked {
                authorization,
                path: request.url().to_owned(),
                body: serde_json::from_str(&text).unwrap_or_default(),
            });
            thread::sleep(Duration::from_secs_f64(delay_secs));
            let mut response = tiny_http::Response::from_string(body).with_status_code(status);
            for (name, value) in headers {
                response.add_header(Header::from_bytes(name, value).unwrap());
            }
            let _ = request.respond(response);
        }
    });
    (address, receiver)
}

fn endpoint(base_url: String) -> Endpoint {
    let options = EndpointOptions {
        base_url,
        model: "demo".to_owned(),
        max_retries: 2,
        timeout_secs: 20.0,
        ..EndpointOptions::default()
    };
    quick(options)
}

fn quick(options: EndpointOptions) -> Endpoint {
    let mut endpoint = Endpoint::new(options).unwrap();
    endpoint.first_backoff = Duration::from_millis(5);
    endpoint
}

fn question() -> Prompt {
    Prompt {
        system: "Be brief.".to_owned(),
        text: "What changed?".to_owned(),
        answer_schema: None,
    }
}

#[test]
fn two_pictures_and_a_schema_are_sent_and_the_answer_comes_back() {
    let (address, asked) = serve(vec![reply(
        200,
        &said("```json\n{\"changed\": \"hat\"}\n```"),
    )]);
    let mut endpoint = endpoint(address);
    let schema = json!({"type": "object", "properties": {"changed": {"type": "string"}}});
    let prompt = Prompt {
        answer_schema: Some(schema.clone()),
        ..question()
    };
    let images = [64, 2000].map(|width| Rgb8::from_fn(width, 40, |x, _| [x as u8, 9, 9]));
    let answer = endpoint.answer(&prompt, &images).unwrap();
    assert_eq!(answer.text, r#"{"changed": "hat"}"#);
    assert_eq!((answer.prompt_tokens, answer.answer_tokens), (12, 3));
    assert_eq!(
        (answer.refusal, endpoint.label().as_str()),
        (None, "endpoint:demo")
    );

    let asked = asked.recv().unwrap();
    assert_eq!(
        (asked.path.as_str(), &asked.authorization),
        ("/v1/chat/completions", &None)
    );
    assert_eq!(asked.body["temperature"], 0);
    assert_eq!(
        asked.body["response_format"]["json_schema"]["schema"],
        schema
    );
    assert_eq!(asked.body["messages"][0]["content"], "Be brief.");
    let content = &asked.body["messages"][1]["content"];
    assert_eq!(content[2]["text"], "What changed?");
    let sizes = [0, 1].map(|n| {
        use base64::Engine as _;
        let url = content[n]["image_url"]["url"].as_str().unwrap();
        let data = url.strip_prefix("data:image/jpeg;base64,").unwrap();
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(data)
            .unwrap();
        let picture = image::load_from_memory(&bytes).unwrap();
        (picture.width(), picture.height())
    });
    assert_eq!(sizes, [(64, 40), (1024, 20)]);
}

#[test]
fn the_key_is_sent_and_never_shown() {
    // PATH is set wherever tests run; `read_key` refuses only what no header can hold.
    let key = std::env::var("CARGO_PKG_NAME").unwrap_or_default();
    if key.is_empty() {
        println!("skipped: CARGO_PKG_NAME is not set");
        return;
    }
    let echo = json!({"error": {"message": format!("bad key {key}")}});
    let (address, asked) = serve(vec![reply(401, &echo)]);
    let mut endpoint = quick(EndpointOptions {
        base_url: address,
        key_env: Some("CARGO_PKG_NAME".to_owned()),
        ..EndpointOptions::default()
    });
    let error = endpoint.answer(&question(), &[]).unwrap_err();
    assert_eq!(
        asked.recv().unwrap().authorization,
        Some(format!("Bearer {key}"))
    );
    assert_eq!(error.kind, ErrorKind::Remote);
    assert!(error.what.contains("401: bad key [key]"), "{error}");
    assert!(!format!("{error} {endpoint:?}").contains(&key));
}

#[test]
fn a_refusal_is_an_answer() {
    let refused = json!({"choices": [{"message": {"refusal": "I cannot"}}]});
    let filtered = json!({"choices": [{"message": {"content": ""},
        "finish_reason": "content_filter"}]});
    let (address, _asked) = serve(vec![reply(200, &refused), reply(200, &filtered)]);
    let mut endpoint = endpoint(address);
    let answer = endpoint.answer(&question(), &[]).unwrap();
    assert_eq!(
        (answer.refusal.as_deref(), answer.text.as_str()),
        (Some("I cannot"), "")
    );
    let answer = endpoint.answer(&question(), &[]).unwrap();
    assert_eq!(answer.refusal.as_deref(), Some("content filter"));
}

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    let busy = Reply(429, "slow down".to_owned(), vec![("Retry-After", "1")], 0.0);
    let (address, asked) = serve(vec![busy, reply(200, &said("a hat"))]);
    let start = Instant::now();
    assert_eq!(
        endpoint(address).answer(&question(), &[]).unwrap().text,
        "a hat"
    );
    assert!(start.elapsed() >= Duration::from_secs(1));
    let (first, second) = (asked.recv().unwrap(), asked.recv().unwrap());
    assert_eq!(first.body, second.body);
}

#[test]
fn a_broken_server_is_given_up_after_the_retries() {
    let broken = || reply(500, &json!({"error": {"message": "out of luck"}}));
    let (address, asked) = serve(vec![broken(), broken(), broken(), broken()]);
    let error = endpoint(address.clone())
        .answer(&question(), &[])
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Remote);
    assert!(error.what.contains("500: out of luck (3 tries)"), "{error}");
    assert!(error.what.contains(&address), "{error}");
    assert_eq!(asked.try_iter().count(), 3);
}

#[test]
fn a_wrong_request_is_not_sent_again() {
    let (address, asked) = serve(vec![reply(400, &json!({"error": "no such model"}))]);
    let error = endpoint(address).answer(&question(), &[]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Model);
    assert!(error.what.contains("400: no such model"), "{error}");
    assert_eq!(asked.try_iter().count(), 1);
}

#[test]
fn nonsense_is_a_model_error() {
    let bodies = ["<html>", "{}", r#"{"choices": []}"#];
    let (address, _asked) = serve(
        bodies
            .map(|body| Reply(200, body.to_owned(), Vec::new(), 0.0))
            .into(),
    );
    let mut endpoint = endpoint(address);
    for body in bodies {
        let error = endpoint.answer(&question(), &[]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Model, "{body}: {error}");
    }
}

#[test]
fn an_answer_that_is_cut_off_says_so() {
    let cut =
        json!({"choices": [{"message": {"content": "{\"a\": 1"}, "finish_reason": "length"}]});
    let (address, _asked) = serve(vec![reply(200, &cut)]);
    let prompt = Prompt {
        answer_schema: Some(json!({})),
        ..question()
    };
    let error = endpoint(address).answer(&prompt, &[]).unwrap_err();
    assert!(error.what.contains("max_answer_tokens"), "{error}");
}

#[test]
fn a_slow_server_is_a_timeout() {
    let slow = Reply(200, said("late").to_string(), Vec::new(), 1.5);
    let (address, _asked) = serve(vec![slow]);
    let mut endpoint = quick(EndpointOptions {
        base_url: address,
        timeout_secs: 0.3,
        max_retries: 0,
        ..EndpointOptions::default()
    });
    let error = endpoint.answer(&question(), &[]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert!(error.what.contains("within 0.3 s"), "{error}");
}

#[test]
fn clones_share_the_rate_limit() {
    let (address, _asked) = serve((0..4).map(|_| reply(200, &said("x"))).collect());
    let endpoint = quick(EndpointOptions {
        base_url: address,
        requests_per_sec: Some(10.0),
        ..EndpointOptions::default()
    });
    let start = Instant::now();
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let mut worker = endpoint.clone();
            thread::spawn(move || worker.answer(&question(), &[]).unwrap())
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    assert!(start.elapsed() >= Duration::from_millis(290));
}

#[test]
fn wrong_settings_are_refused_before_anything_is_asked() {
    let with = |change: fn(&mut EndpointOptions)| {
        let mut options = EndpointOptions {
            base_url: "http://localhost:1/v1".to_owned(),
            ..EndpointOptions::default()
        };
        change(&mut options);
        Endpoint::new(options).unwrap_err().to_string()
    };
    assert!(with(|o| o.base_url = "localhost".to_owned()).contains("endpoint.base_url"));
    assert!(with(|o| o.base_url = "ftp://x/".to_owned()).contains("http://"));
    assert!(with(|o| o.timeout_secs = f64::NAN).contains("timeout_secs"));
    assert!(with(|o| o.requests_per_sec = Some(0.0)).contains("requests_per_sec"));
    let unset = with(|o| o.key_env = Some("FRAMEWRIGHT_TEST_UNSET".to_owned()));
    assert!(
        unset.contains("FRAMEWRIGHT_TEST_UNSET is not set"),
        "{unset}"
    );
}
