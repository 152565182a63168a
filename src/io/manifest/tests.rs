use std::sync::Arc;

use arrow_array::{LargeStringArray, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;

use super::*;
use crate::store;

fn written(name: &str, bytes: &[u8]) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    store::publish_bytes(&path, bytes).unwrap();
    (folder, path.to_str().unwrap().to_owned())
}

fn uris(manifest: &Manifest) -> Vec<&str> {
    manifest.entries.iter().map(|e| e.uri.as_str()).collect()
}

#[test]
fn json_lines_name_every_bad_line() {
    let text = "\u{feff}{\"path\":\"a.mp4\",\"licence\":\"CC0\",\"origin\":\"me\"}\r\n\r\n\
        {\"uri\": \n{\"license\":\"x\"}\n{\"url\":\"s3://b/c.mp4\"}\n{\"uri\":\"a.mp4\"}\n\
        {\"uri\":\"https://example.com/a%20b.mp4\"}\n\"file:///v/%C3%A4%20b.mp4\"";
    let (folder, path) = written("m.jsonl", text.as_bytes());
    let manifest = read_manifest(&path).unwrap();
    assert_eq!(
        uris(&manifest),
        [
            "a.mp4",
            "https://example.com/a%20b.mp4",
            "file:///v/%C3%A4%20b.mp4"
        ]
    );
    let paths: Vec<_> = manifest
        .entries
        .iter()
        .map(ManifestEntry::local_path)
        .collect();
    let joined = folder.path().join("a.mp4");
    assert_eq!(paths, [Some(joined), None, Some("/v/ä b.mp4".into())]);
    assert_eq!(manifest.entries[0].license.as_deref(), Some("CC0"));
    assert_eq!(manifest.entries[0].source.as_deref(), Some("me"));
    let lines: Vec<String> = manifest.problems.iter().map(ToString::to_string).collect();
    let starts = [":3: no valid JSON", ":4: no uri", ":5: scheme s3", ":6: "];
    assert_eq!(lines.len(), starts.len());
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(&format!("{path}{start}")), "{line}");
    }
    assert!(lines[3].contains("already named at") && lines[3].contains("m.jsonl:1;"));
}

#[test]
fn csv_takes_other_names_and_counts_lines() {
    let text = "License,file_name\r\nCC BY,a.mp4\r\n\r\n,\"b, c.mp4\"\r\nCC0,\r\n1,2,3\r\n";
    let (_folder, path) = written("m.csv", text.as_bytes());
    let manifest = read_manifest(&path).unwrap();
    assert_eq!(uris(&manifest), ["a.mp4", "b, c.mp4"]);
    assert_eq!(manifest.entries[1].license, None);
    let places: Vec<&str> = manifest.problems.iter().map(|p| p.place.as_str()).collect();
    assert_eq!(places, [format!("{path}:5"), format!("{path}:6")]);
}

#[test]
fn parquet_of_any_text_type_is_read() {
    let schema = Arc::new(Schema::new(vec![Field::new(
        "url",
        DataType::LargeUtf8,
        true,
    )]));
    let texts = LargeStringArray::from(vec![Some("http://h/a.mp4"), None]);
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(texts)]).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, None).unwrap();
    writer.write(&batch).unwrap();
    let (_folder, path) = written("m.parquet", &writer.into_inner().unwrap());
    let manifest = read_manifest(&path).unwrap();
    assert_eq!(uris(&manifest), ["http://h/a.mp4"]);
    assert_eq!(manifest.problems[0].place, format!("{path}:2"));
}

#[test]
fn folders_and_patterns_take_videos_in_byte_order() {
    let folder = tempfile::tempdir().unwrap();
    let names = [
        "b.MP4",
        "a/z.webm",
        "B.mkv",
        "README.md",
        ".hidden.mp4",
        "a.json",
    ];
    for name in names {
        store::publish_bytes(&folder.path().join(name), b"x").unwrap();
    }
    let name = |n: &str| folder.path().join(n).to_str().unwrap().to_owned();
    let listed = read_manifest(folder.path().to_str().unwrap()).unwrap();
    assert_eq!(
        uris(&listed),
        ["B.mkv", "a/z.webm", "b.MP4"],
        "named from the folder, so that rows do not depend on the machine"
    );
    let matched = read_manifest(&name("*")).unwrap();
    assert_eq!(uris(&matched), ["B.mkv", "b.MP4"]);
    assert_eq!(uris(&read_manifest(&name("b.MP4")).unwrap()), ["b.MP4"]);
}

#[test]
fn nothing_to_read_says_what_helps() {
    let error = read_manifest("/no/such/file.jsonl")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("/no/such/file.jsonl: no such file"),
        "{error}"
    );
    let (_folder, path) = written("m.csv", b"a,b\n1,2\n");
    assert!(
        read_manifest(&path)
            .unwrap_err()
            .to_string()
            .contains("m.csv:1: no column")
    );
}

#[test]
fn every_clip_of_the_shared_folder_is_listed() {
    let shared = std::env::var_os("FRAMEWRIGHT_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let folder = shared.join("videos");
    if !folder.is_dir() {
        println!("no shared clips; not run");
        return;
    }
    let manifest = read_manifest(folder.to_str().unwrap()).unwrap();
    assert!(manifest.problems.is_empty());
    assert!(manifest.entries.len() >= 104, "{}", manifest.entries.len());
    let is_side_file = |e: &&ManifestEntry| {
        let ending = ending(Path::new(&e.uri));
        ["json", "md"].contains(&ending.as_str())
    };
    assert_eq!(manifest.entries.iter().filter(is_side_file).count(), 0);
}

/// Bytes of a Parquet file with these texts in the column `uri`.
fn parquet(texts: &[&str]) -> Vec<u8> {
    let schema = Arc::new(Schema::new(vec![Field::new("uri", DataType::Utf8, true)]));
    let texts = arrow_array::StringArray::from(texts.to_vec());
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(texts)]).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn secrets_of_addresses_are_kept_for_the_request_alone() {
    let text = "\"https://me:pa55@a.org/v.mp4?X-Amz-Signature=s1gn\"\n\
                \"https://a.org/v.mp4?X-Amz-Signature=other\"\n\
                {\"uri\":\"https://you:pa66@a.org/v.mp4?X-Amz-Signature=s2gn\"}\n";
    let (_folder, path) = written("m.jsonl", text.as_bytes());
    let manifest = read_manifest(&path).unwrap();
    assert_eq!(
        uris(&manifest),
        [
            "https://hidden@a.org/v.mp4?X-Amz-Signature=hidden",
            "https://a.org/v.mp4?X-Amz-Signature=hidden"
        ]
    );
    let first = manifest.entries[0].address();
    assert!(first.full().contains("pa55@") && first.full().ends_with("s1gn"));
    // The same file under another name and signature: its key would be the same.
    assert!(
        manifest.problems[0].what.contains("already named"),
        "{:?}",
        manifest.problems
    );
    let shown = format!("{manifest:?}") + &serde_json::to_string(&manifest.entries).unwrap();
    for secret in ["pa55", "s1gn", "pa66", "s2gn", "other"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn strange_names_are_local_files_or_problems_with_visible_letters() {
    let uris_in = [
        "-rf.mp4",
        "a\nb.mp4",
        "concat:a.mp4|b.mp4",
        "data:video/mp4;base64,AAAA",
        "../up.mp4",
        "file:///etc/x%2e%2e/../y.mp4",
        "subfile,,start,0,end,9,,:/etc/passwd",
        "\u{1b}]0;x\u{7}://x",
        "file://host/x.mp4",
        "file://localhostile/x.mp4",
        "pipe://0",
        "ftp://x/\u{1b}[2J\n.mp4",
    ];
    let lines: Vec<String> = uris_in
        .iter()
        .map(|uri| serde_json::json!(uri).to_string())
        .collect();
    let (folder, path) = written("m.jsonl", lines.join("\n").as_bytes());
    let manifest = read_manifest(&path).unwrap();
    for (entry, uri) in manifest.entries.iter().zip(uris_in) {
        assert_eq!(entry.uri, uri);
        let path = entry.local_path().unwrap();
        assert!(
            path.starts_with(folder.path()) || path.starts_with("/etc/x.."),
            "{path:?}"
        );
    }
    assert_eq!(manifest.entries.len(), 8, "{:?}", uris(&manifest));
    assert_eq!(manifest.problems.len(), 4);
    for problem in &manifest.problems {
        assert!(
            !problem.to_string().contains(char::is_control),
            "{problem:?}"
        );
    }
}

#[test]
fn links_in_a_folder_are_followed_inside_of_it_only() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("secret.mp4");
    store::publish_bytes(&target, b"x").unwrap();
    store::publish_bytes(&folder.path().join("videos/a.mp4"), b"x").unwrap();
    let videos = folder.path().join("videos");
    std::os::unix::fs::symlink("a.mp4", videos.join("inside.mp4")).unwrap();
    std::os::unix::fs::symlink(&target, videos.join("out.mp4")).unwrap();
    std::os::unix::fs::symlink(outside.path(), videos.join("folder")).unwrap();
    let listed = read_manifest(videos.to_str().unwrap()).unwrap();
    assert_eq!(uris(&listed), ["a.mp4", "inside.mp4"]);
    assert_eq!(listed.problems.len(), 1);
    assert!(
        listed.problems[0]
            .to_string()
            .contains("out.mp4: a link out of the folder")
    );
    // A pattern names the link itself.
    let matched = read_manifest(&format!("{}/*.mp4", videos.display())).unwrap();
    assert_eq!(uris(&matched), ["a.mp4", "inside.mp4", "out.mp4"]);
}

#[test]
fn deep_nesting_and_long_lines_are_lines_like_others() {
    let deep = "[".repeat(200_000);
    let objects = "{\"uri\":".repeat(100_000);
    let long = serde_json::json!({ "uri": "x".repeat(2 << 20) });
    let text = format!("{deep}\n{objects}\n{long}\n\"a.mp4\"\n");
    let (_folder, path) = written("m.jsonl", text.as_bytes());
    let manifest = read_manifest(&path).unwrap();
    assert_eq!((manifest.entries.len(), manifest.problems.len()), (2, 2));
    for problem in manifest.problems {
        assert!(problem.what.contains("no valid JSON"), "{problem}");
        assert!(problem.what.len() < 500, "{} bytes", problem.what.len());
    }
}

mod prop {
    use proptest::prelude::*;

    use super::*;
    use crate::core::testing::{damaged, damaged_text, peak_memory_bytes};

    const LINES: &str = "{\"uri\":\"a.mp4\",\"license\":\"CC0\"}\n\"b \\u00e4.mp4\"\r\n\
        {\"path\":\"file:///v/%C3%A4.mp4\",\"source\":null}\n{\"url\":\"https://h/x?y=1\"}\n";
    const TABLE: &str = "license,file_name,source\nCC0,a.mp4,me\n,\"b, \"\"c.mp4\",\n1,2,3\n";

    fn check(name: &str, bytes: &[u8]) -> Result<(), TestCaseError> {
        let (_folder, path) = written(name, bytes);
        match read_manifest(&path) {
            Ok(manifest) => {
                for entry in &manifest.entries {
                    prop_assert!(!entry.uri.is_empty());
                    let is_remote = matches!(entry.place, Place::Remote | Place::Web(_));
                    prop_assert!(entry.local_path().is_some() != is_remote);
                }
                for problem in &manifest.problems {
                    prop_assert!(problem.place.starts_with(&path), "{problem}");
                }
                let count = manifest.entries.len() + manifest.problems.len();
                prop_assert!(name.ends_with("parquet") || count <= bytes.len());
            }
            Err(error) => prop_assert!(error.to_string().starts_with(&path), "{}", error),
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn any_json_lines_are_entries_or_problems_with_a_place(bytes in damaged(LINES.into())) {
            check("m.jsonl", &bytes)?;
        }

        #[test]
        fn any_csv_is_entries_or_problems_with_a_place(bytes in damaged(TABLE.into())) {
            check("m.csv", &bytes)?;
        }

        #[test]
        fn any_parquet_is_entries_or_an_error_with_a_place(
            bytes in damaged(parquet(&["a.mp4", "https://h/b.mp4", "c.mp4"]))
        ) {
            check("m.parquet", &bytes)?;
            prop_assert!(peak_memory_bytes() < 4 << 30);
        }

        #[test]
        fn any_pattern_is_listed_or_refused(pattern in damaged_text("none-[a-z]/**/x{1,2}?*.mp4")) {
            if pattern.len() < 300 {
                let _ = read_manifest(&format!("/nonexistent/{pattern}"));
            }
        }
    }
}
