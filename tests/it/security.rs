//! What strangers give: playlists in disguise, names that steer, pipes, secrets in addresses.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::chat_server::{Asked, ChatServer, Reply};
use crate::clips::{clips, publish_text};
use crate::program::{Ran, call, program, run, run_command};
use crate::run_folder::{files, rejects, samples, text};

use framewright::store::publish_bytes;

fn folder() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// What `scenes` says of files, one object each.
fn scenes(paths: &[PathBuf]) -> Vec<Value> {
    let mut command = program();
    command
        .args(["scenes", "--json", "--detector", "content"])
        .args(paths);
    let ran: Ran = command.output().unwrap().into();
    let Value::Array(lists) = ran.json() else {
        panic!("{}", ran.out);
    };
    lists
}

#[test]
fn a_file_that_names_other_files_reads_none_of_them() {
    let Some(clips) = clips() else { return };
    let folder = folder();
    let secret = folder.path().join("secret.mp4");
    let bytes = std::fs::read(clips.join("move.mp4")).unwrap();
    publish_bytes(&secret, &bytes).unwrap();
    let shown = secret.display();
    let server = ChatServer::start(move |_: &Asked| Reply::new(200, bytes.clone()));
    let web = server.address();
    let hls = |target: &str| {
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n{target}\n#EXT-X-ENDLIST\n")
    };
    let dash = |target: &str| {
        format!(
            "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" \
             mediaPresentationDuration=\"PT6S\"><Period><AdaptationSet mimeType=\"video/mp4\">\
             <Representation id=\"1\" bandwidth=\"1\"><BaseURL>{target}</BaseURL>\
             </Representation></AdaptationSet></Period></MPD>"
        )
    };
    let texts = [
        ("hls_file.mp4", hls(&format!("file://{shown}"))),
        ("hls_path.mp4", hls("secret.mp4")),
        ("hls_web.mp4", hls(&format!("{web}/x.mp4"))),
        ("hls_etc.mp4", hls("/etc/passwd")),
        ("hls_crypto.mp4", hls(&format!("crypto:{shown}"))),
        ("hls_concat.mp4", hls(&format!("concat:{shown}|/etc/passwd"))),
        ("hls.m3u8", hls(&format!("file://{shown}"))),
        ("concat.mp4", format!("ffconcat version 1.0\nfile '{shown}'\n")),
        ("concat_web.mp4", format!("ffconcat version 1.0\nfile '{web}/x.mp4'\n")),
        ("list.ffconcat", "ffconcat version 1.0\nfile secret.mp4\n".to_owned()),
        ("dash_file.mp4", dash(&format!("file://{shown}"))),
        ("dash_web.mpd", dash(&format!("{web}/x.mp4"))),
        (
            "session.sdp",
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n\
             a=rtpmap:96 H264/90000\n"
                .to_owned(),
        ),
        ("script.avs", format!("FFmpegSource2(\"{shown}\")\n")),
        ("script.vpy", format!("import vapoursynth\nopen('{shown}')\n")),
        (
            "package.mp4",
            format!(
                "<?xml version=\"1.0\"?><CompositionPlaylist \
                 xmlns=\"http://www.smpte-ra.org/schemas/2067-3/2016\"><Id>{shown}</Id>\
                 </CompositionPlaylist>"
            ),
        ),
        ("meta.mp4", format!(";FFMETADATA1\ntitle={shown}\n")),
        ("reference.mov", format!("RTSPtext\n{web}/x.mp4\n")),
    ];
    let paths: Vec<PathBuf> = texts
        .iter()
        .map(|(name, text)| publish_text(folder.path(), name, text))
        .collect();
    for (list, path) in scenes(&paths).iter().zip(&paths) {
        assert_eq!(list["scenes"], json!([]), "{list}");
        let kind = list["error"]["kind"].as_str().unwrap();
        assert!(["unsupported", "corrupt"].contains(&kind), "{list}");
        assert_eq!(list["error"]["reason"], "not_a_video", "{}", path.display());
    }
    // Names with a meaning of their own are names of files that are not there.
    for name in [
        format!("concat:{shown}|{shown}"),
        format!("subfile,,start,0,end,99999,,:{shown}"),
        format!("crypto:{shown}"),
        format!("cache:{shown}"),
        format!("{web}/x.mp4"),
        "data:video/mp4;base64,AAAA".to_owned(),
        "pipe:0".to_owned(),
        "tee:x.mp4|y.mp4".to_owned(),
    ] {
        let list = &scenes(&[PathBuf::from(&name)])[0];
        assert_eq!(list["error"]["kind"], "missing", "{list}");
    }
    assert!(server.asked().is_empty(), "{:?}", server.asked());
    // The same video under its own name is one.
    assert_eq!(scenes(&[secret])[0]["error"], Value::Null);
}

#[test]
fn a_pattern_in_a_name_is_a_name() {
    let Some(clips) = clips() else { return };
    let folder = folder();
    let bytes = std::fs::read(clips.join("cut.mp4")).unwrap();
    let still = std::fs::read(clips.join("ground.png")).unwrap();
    for name in ["img001.png", "img002.png"] {
        publish_bytes(&folder.path().join(name), &still).unwrap();
    }
    let patterns = ["img%03d.png", "img*.png", "img[0-9].png"].map(|n| folder.path().join(n));
    for list in scenes(&patterns) {
        assert_eq!(list["error"]["kind"], "missing", "{list}");
    }
    let odd = [
        "a%03d.mp4",
        "a[0-9].mp4",
        "-rf.mp4",
        "concat:a|b.mp4",
        "http:b.mp4",
        "a\nb.mp4",
    ];
    let paths: Vec<PathBuf> = odd.iter().map(|name| folder.path().join(name)).collect();
    for path in &paths {
        publish_bytes(path, &bytes).unwrap();
    }
    for list in scenes(&paths) {
        assert_eq!(list["scenes"].as_array().map(Vec::len), Some(2), "{list}");
    }
}

/// The place and size of a box below `path`, and of all boxes around it.
fn boxes(bytes: &[u8], path: &[&[u8; 4]]) -> Vec<(usize, usize)> {
    let (mut start, mut end, mut found) = (0, bytes.len(), Vec::new());
    for kind in path {
        let mut at = start;
        loop {
            assert!(at + 8 <= end, "no box {kind:?}");
            let size = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
            if &bytes[at + 4..at + 8] == *kind {
                found.push((at, size));
                (start, end) = (at + 8, at + size);
                break;
            }
            at += size;
        }
    }
    found
}

/// A mov file whose frames lie, as it says, in another file.
fn referring(whole: &[u8], target: &Path) -> Vec<u8> {
    let path = target.to_str().unwrap().as_bytes();
    // An alias record: what libav reads of it is its absolute path, entry 2.
    let mut alias = vec![0; 10];
    alias.push(0);
    alias.extend([0; 27 + 12]);
    alias.push(0);
    alias.extend([0; 63 + 16]);
    alias.extend(0xFFFF_u16.to_be_bytes());
    alias.extend(0xFFFF_u16.to_be_bytes());
    alias.extend([0; 16]);
    alias.extend(2_u16.to_be_bytes());
    alias.extend((path.len() as u16).to_be_bytes());
    alias.extend(path);
    if path.len() % 2 == 1 {
        alias.push(0);
    }
    alias.extend([0xFF, 0xFF, 0, 0]);
    let entry_size = alias.len() as u32 + 12;
    let mut entry = entry_size.to_be_bytes().to_vec();
    entry.extend(b"alis\0\0\0\0");
    entry.extend(&alias);

    let around = boxes(
        whole,
        &[b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"],
    );
    let (dref, size) = around[around.len() - 1];
    let mut bytes = whole.to_vec();
    bytes.splice(dref + 16..dref + size, entry.iter().copied());
    let more = entry.len() - (size - 16);
    for (at, size) in around {
        bytes[at..at + 4].copy_from_slice(&((size + more) as u32).to_be_bytes());
    }
    let (mdat, size) = boxes(&bytes, &[b"mdat"])[0];
    bytes[mdat + 8..mdat + size].fill(0);
    bytes
}

#[test]
fn a_mov_file_whose_frames_lie_in_another_file_has_none() {
    let Some(clips) = clips() else { return };
    let folder = folder();
    let whole = std::fs::read(clips.join("move.mp4")).unwrap();
    let target = folder.path().join("target.mp4");
    publish_bytes(&target, &whole).unwrap();
    let path = folder.path().join("refers.mov");
    publish_bytes(&path, &referring(&whole, &target)).unwrap();
    // With the options that follow such references there are frames: the file is what it claims.
    let followed = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-nostdin",
            "-enable_drefs",
            "1",
            "-use_absolute_path",
            "1",
            "-i",
        ])
        .arg(&path)
        .args(["-frames:v", "1", "-f", "framehash", "-"])
        .output()
        .unwrap();
    let hashes = String::from_utf8_lossy(&followed.stdout);
    assert!(
        hashes.lines().any(|line| !line.starts_with('#')),
        "the reference does not work: {}",
        String::from_utf8_lossy(&followed.stderr)
    );
    let list = &scenes(&[path])[0];
    assert_eq!(
        (&list["scenes"], &list["error"]["kind"]),
        (&json!([]), &json!("corrupt")),
        "{list}"
    );
}

#[test]
fn pipes_devices_and_folders_are_refused_at_once() {
    let folder = folder();
    let pipe = folder.path().join("pipe.mp4");
    let made = Command::new("mkfifo").arg(&pipe).status();
    if !made.is_ok_and(|status| status.success()) {
        println!("skipped: no mkfifo");
        return;
    }
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket.mp4"));
    for (name, target) in [("zero.mp4", "/dev/zero"), ("kernel.mp4", "/proc/self/mem")] {
        symlink(target, folder.path().join(name)).unwrap();
    }
    std::fs::create_dir(folder.path().join("folder.mp4")).unwrap();
    let names = [
        "pipe.mp4",
        "socket.mp4",
        "zero.mp4",
        "kernel.mp4",
        "folder.mp4",
    ];
    let lines = names.map(|name| json!({ "uri": name }).to_string());
    let manifest = publish_text(folder.path(), "m.jsonl", &lines.join("\n"));
    let out = folder.path().join("out");
    let begin = Instant::now();
    run(&manifest, &out, &["--set", "limits.max_failed_ratio=1.0"]).expect(3);
    let lists = scenes(&names.map(|name| folder.path().join(name)));
    assert!(
        begin.elapsed() < Duration::from_mins(1),
        "{:?}",
        begin.elapsed()
    );
    let left = rejects(&out);
    assert_eq!((left.len(), lists.len()), (names.len(), names.len()));
    for row in &left {
        assert!(
            ["unsupported", "corrupt"].contains(&text(row, "reason")),
            "{row:?}"
        );
    }
    for list in &lists {
        let kind = list["error"]["kind"].as_str().unwrap();
        assert!(["unsupported", "corrupt"].contains(&kind), "{list}");
    }
}

/// Whether a text has letters that steer a terminal.
fn steers(text: &str) -> bool {
    text.chars()
        .any(|letter| letter.is_control() && letter != '\n')
}

#[test]
fn names_and_texts_of_strangers_steer_nothing_and_leave_no_folder() {
    let Some(clips) = clips() else { return };
    let folder = folder();
    let videos = folder.path().join("videos");
    let bytes = std::fs::read(clips.join("move.mp4")).unwrap();
    let names = [
        "\u{1b}[2J<b>&.mp4",
        "\u{1b}]0;x\u{7}.mp4",
        "=1+1.mp4",
        "-x.mp4",
        "a\nb.mp4",
    ];
    let mut lines = Vec::new();
    for (n, name) in names.iter().enumerate() {
        // Bytes after the last box change the file's hash and nothing else.
        let bytes = [&bytes[..], format!("\0\0\0\x0cfree{n:04}").as_bytes()].concat();
        publish_bytes(&videos.join(name), &bytes).unwrap();
        let source = "---\nlicense: mine\n---\n<script>alert(1)</script> | x | [y](z) \u{1b}[31m";
        lines.push(
            json!({ "uri": name, "license": "<img src=x onerror=y> $x$ `z`", "source": source }),
        );
    }
    lines.push(json!({ "uri": "gone\u{1b}[2J\nframewright: all is well.mp4" }));
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    let manifest = publish_text(&videos, "m.jsonl", &lines.join("\n"));
    let out = folder.path().join("out");
    let mut command = run_command(&manifest, &out, &["-vv"]);
    command.env("FRAMEWRIGHT_LOG", "trace");
    let ran: Ran = command.output().unwrap().into();
    let ran = ran.expect(3);
    assert!(!steers(&ran.err) && !steers(&ran.out), "{:?}", ran.err);
    assert!(
        !ran.err.contains("\nframewright: all is well"),
        "{}",
        ran.err
    );
    assert!(samples(&out).len() + rejects(&out).len() > names.len());

    for name in ["report.html", "report.md", "dataset_card.md"] {
        let page = std::fs::read_to_string(out.join(name)).unwrap();
        for raw in ["<script>alert", "<img src=x"] {
            assert!(!page.contains(raw), "{name} holds {raw}");
        }
        if name != "report.html" {
            assert!(!steers(&page), "{name}");
            let is_front = |line: &str| line == "---" || line == "license: mine";
            assert!(!page.lines().any(is_front), "{name}");
        }
    }
    let card = std::fs::read_to_string(out.join("dataset_card.md")).unwrap();
    assert!(
        card.contains("\\| x \\|") && card.contains("\\[y\\]"),
        "{card}"
    );

    let mut paths: Vec<PathBuf> = names.iter().map(|name| videos.join(name)).collect();
    paths.push(videos.join("gone\u{1b}[2J.mp4"));
    let split = folder.path().join("clips");
    let (plot, scores) = (
        folder.path().join("plot.html"),
        folder.path().join("scores.csv"),
    );
    for format in ["--json", "--csv", "--otio", "--edl", ""] {
        let mut command = program();
        command
            .current_dir(&videos)
            .args(["scenes", "--detector", "content", "--overwrite"]);
        command
            .arg("--split")
            .arg(&split)
            .arg("--plot")
            .arg(&plot)
            .arg("--scores")
            .arg(&scores);
        command
            .args([format].iter().filter(|format| !format.is_empty()))
            .args(&paths);
        let ran: Ran = command.output().unwrap().into();
        let ran = ran.expect(3);
        assert!(!steers(&ran.err), "{:?}", ran.err);
        if format == "--csv" {
            // For programs: names as they are, quoted.
            assert!(ran.out.contains("a\nb.mp4\""), "{}", ran.out);
        } else {
            assert!(!steers(&ran.out), "{format}: {:?}", ran.out);
        }
    }
    let page = std::fs::read_to_string(&plot).unwrap();
    assert!(
        !page.contains("<b>&.mp4") && page.contains("&lt;b&gt;"),
        "no escaping"
    );
    let made = files(&split);
    assert_eq!(made.len(), names.len());
    for clip in made {
        assert_eq!(clip.parent(), Some(split.as_path()));
        assert!(
            !steers(clip.to_str().unwrap()) && !clip.to_str().unwrap().contains('\n'),
            "{clip:?}"
        );
    }

    let shard = files(&out.join("rejects")).remove(0);
    let shown = call(["inspect", shard.to_str().unwrap(), "50"]).expect(0);
    assert!(!steers(&shown.out), "{:?}", shown.out);
    let there: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(there.len(), 5, "{there:?}");
}

#[test]
fn problems_with_a_manifest_steer_nothing() {
    let folder = folder();
    let lines = [
        "\"ftp://x/\\u001b[2J\\nframewright: fine\"",
        "{\"uri\": \u{1b}[31m",
        "\"a.mp4\"",
        "\"a.mp4\"",
    ];
    let manifest = publish_text(folder.path(), "\u{1b}[2Jm.jsonl", &lines.join("\n"));
    for verb in ["check", "plan", "run"] {
        let out = folder.path().join("out");
        let mut command = program();
        command.arg(verb).arg("--manifest").arg(&manifest);
        if verb != "check" {
            command.arg("--out").arg(out);
        }
        let ran: Ran = command.output().unwrap().into();
        assert_eq!(ran.code, Some(1), "{}", ran.err);
        assert!(!steers(&ran.err) && !steers(&ran.out), "{:?}", ran.err);
        assert!(
            ran.err.contains("\\u{1b}[2J") && !ran.err.contains("\nframewright: fine"),
            "{}",
            ran.err
        );
    }
}

#[test]
fn secrets_of_addresses_are_sent_and_written_nowhere() {
    let Some(clips) = clips() else { return };
    let (password, signature) = ("pa55-w0rd", "s1gnature");
    let server = ChatServer::start(move |asked: &Asked| {
        if asked.path.starts_with("/move.mp4") {
            Reply::new(200, std::fs::read(clips.join("move.mp4")).unwrap())
        } else {
            Reply::new(403, format!("no {}", asked.path))
        }
    });
    let folder = folder();
    let host = server.address().replace("http://", "");
    let uri =
        |name: &str| format!("http://me:{password}@{host}/{name}?id=7&X-Amz-Signature={signature}");
    let lines = ["move.mp4", "refused.mp4"].map(|name| json!({ "uri": uri(name) }).to_string());
    // Nobody listens at the last one.
    let dead = format!("http://me:{password}@127.0.0.1:9/v.mp4?token={signature}");
    let dead = json!({ "uri": dead }).to_string();
    let lines = [&lines[..], &[dead]].concat();
    let manifest = publish_text(folder.path(), "m.jsonl", &lines.join("\n"));
    let out = folder.path().join("out");
    let more = [
        "-vv",
        "--json",
        "--set",
        "ingest.allow_private_addresses=true",
        "--set",
        "limits.max_failed_ratio=1.0",
    ];
    let mut command = run_command(&manifest, &out, &more);
    // Even who asks for everything gets no headers and no addresses of requests.
    command.env(
        "FRAMEWRIGHT_LOG",
        "trace,hyper=trace,hyper_util=trace,reqwest=trace",
    );
    let ran: Ran = command.output().unwrap().into();
    let ran = ran.expect(3);
    let asked = server.asked();
    assert!(
        asked.iter().all(|asked| asked.path.contains(signature)),
        "{asked:?}"
    );
    assert!(
        asked
            .iter()
            .all(|asked| asked.authorization.as_deref() == Some("Basic bWU6cGE1NS13MHJk")),
        "{asked:?}"
    );
    let rows = samples(&out);
    assert_eq!(
        text(&rows[0], "video_uri"),
        format!("http://hidden@{host}/move.mp4?id=7&X-Amz-Signature=hidden")
    );
    let secrets = [password, signature, "bWU6cGE1NS13MHJk"];
    let alone = folder.path().join("out/alone");
    let mine = run_command(Path::new(&uri("move.mp4")), &alone, &more).output();
    let mine: Ran = mine.unwrap().into();
    let checked = program()
        .args(["check", "--manifest", &uri("move.mp4")])
        .output();
    let checked: Ran = checked.unwrap().into();
    for said in [mine.expect(0), checked] {
        let all = said.out + &said.err;
        assert!(all.contains("move.mp4") || all.contains("funnel"), "{all}");
        assert!(!secrets.iter().any(|secret| all.contains(secret)), "{all}");
    }
    for secret in secrets {
        assert!(
            !ran.out.contains(secret) && !ran.err.contains(secret),
            "{secret}: {}",
            ran.err
        );
    }
    for path in files(&out) {
        let bytes = std::fs::read(&path).unwrap();
        for secret in secrets {
            let found = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!found, "{secret} is in {}", path.display());
        }
    }
}
