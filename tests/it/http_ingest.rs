//! Videos that are fetched by http.

use std::fmt::Write as _;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::chat_server::{Asked, ChatServer, Reply};
use crate::clips::{clips, publish_text};
use crate::program::run;
use crate::run_folder::{files, rejects, samples, text};

const PRIVATE: [&str; 2] = ["--set", "ingest.allow_private_addresses=true"];

struct Setting {
    server: ChatServer,
    folder: TempDir,
    manifest: PathBuf,
}

impl Setting {
    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }
}

/// A server of the made clips, and a manifest of those names on it.
fn setting(names: &[&str]) -> Option<Setting> {
    let clips = clips()?;
    let server = ChatServer::start(move |asked: &Asked| {
        let name = asked.path.trim_start_matches('/');
        match std::fs::read(clips.join(name)) {
            Ok(bytes) => Reply::new(200, bytes),
            Err(_) => Reply::new(404, "no such clip"),
        }
    });
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut lines = String::new();
    for name in names {
        let uri = format!("{}/{name}", server.address());
        writeln!(
            lines,
            "{}",
            serde_json::json!({ "uri": uri, "license": "cc0" })
        )
        .unwrap();
    }
    let manifest = publish_text(folder.path(), "web.jsonl", &lines);
    Some(Setting {
        server,
        folder,
        manifest,
    })
}

#[test]
fn fetched_videos_give_the_rows_of_local_ones() {
    let Some(setting) = setting(&["move.mp4", "appear.mp4"]) else {
        return;
    };
    let out = setting.out();
    run(&setting.manifest, &out, &PRIVATE).expect(0);
    let rows = samples(&out);
    assert!(!rows.is_empty());
    assert!(
        rows.iter()
            .all(|row| text(row, "video_uri").starts_with("http://127.0.0.1:"))
    );
    assert_eq!(
        setting.server.asked().len(),
        2,
        "each video is fetched once"
    );
    let downloads = files(&out.join("tmp"));
    let left: Vec<_> = downloads
        .iter()
        .filter(|path| !path.display().to_string().contains("/in_flight-"))
        .collect();
    assert!(left.is_empty(), "downloads are left: {left:?}");

    let local = setting.folder.path().join("local");
    let folder = clips().unwrap().display().to_string();
    let lines = ["move.mp4", "appear.mp4"].map(|name| format!("{folder}/{name}"));
    let lines = lines
        .map(|uri| serde_json::json!({ "uri": uri }).to_string())
        .join("\n");
    let manifest = publish_text(setting.folder.path(), "local.jsonl", &lines);
    run(&manifest, &local, &[]).expect(0);
    let ids = |rows: &[crate::run_folder::Row]| -> Vec<String> {
        rows.iter()
            .map(|row| text(row, "sample_id").to_owned())
            .collect()
    };
    assert_eq!(ids(&rows), ids(&samples(&local)));
}

#[test]
fn private_addresses_are_refused_unless_allowed() {
    let Some(setting) = setting(&["move.mp4"]) else {
        return;
    };
    let out = setting.out();
    run(&setting.manifest, &out, &[]).expect(3);
    let left = rejects(&out);
    assert_eq!((left.len(), text(&left[0], "stage")), (1, "ingest"));
    assert_eq!(text(&left[0], "reason"), "unsupported");
    let message = text(&left[0], "message");
    assert!(message.contains("allow_private_addresses"), "{message}");
    assert!(setting.server.asked().is_empty(), "the server was asked");
}

#[test]
fn what_is_not_there_and_what_is_too_large_fails_alone() {
    let Some(setting) = setting(&["gone.mp4", "move.mp4", "text.mp4"]) else {
        return;
    };
    let out = setting.out();
    let limit = [&PRIVATE[..], &["--set", "ingest.download_max_bytes=64KiB"]].concat();
    run(&setting.manifest, &out, &limit).expect(3);
    let left = rejects(&out);
    let reason = |name: &str| {
        let row = left
            .iter()
            .find(|row| text(row, "video_uri").ends_with(name))
            .unwrap();
        (text(row, "stage"), text(row, "reason"))
    };
    assert_eq!(reason("gone.mp4"), ("ingest", "missing"));
    assert_eq!(reason("move.mp4"), ("ingest", "unsupported"));
    assert_eq!(reason("text.mp4"), ("ingest", "corrupt"));
    assert!(samples(&out).is_empty());
}
