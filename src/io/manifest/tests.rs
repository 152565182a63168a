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
