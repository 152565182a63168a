//! The rules of `ARCHITECTURE.md`: who may name whom, what a file looks like, what is kept out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use framewright::filters::{PAIR_FILTERS, SCENE_FILTERS};
use framewright::models::MODELS;

/// Longest source file, lines.
const MAX_LINES: usize = 600;

/// Module, and the modules it may name besides itself.
const MAY_NAME: [(&str, &[&str]); 13] = [
    ("core", &[]),
    ("store", &["core"]),
    ("engine", &["core", "store"]),
    ("config", &["core"]),
    ("media", &["core"]),
    ("vision", &["core"]),
    ("runtime", &["core"]),
    ("models", &["core", "store", "runtime", "vision"]),
    ("filters", &["core", "models", "vision"]),
    (
        "stages",
        &["core", "engine", "media", "models", "filters", "vision"],
    ),
    ("io", &["core", "store", "vision"]),
    (
        "pipelines",
        &[
            "core", "store", "engine", "config", "media", "vision", "runtime", "models", "filters",
            "stages", "io",
        ],
    ),
    (
        "cli",
        &[
            "pipelines",
            "config",
            "io",
            "store",
            "core",
            "models",
            "engine",
            "media",
        ],
    ),
];

/// Modules that may name only the traits of `models`, not the networks below it.
const TRAITS_ONLY: [&str; 2] = ["filters", "stages"];

/// External crate, and the files or folders that may name it.
const FENCES: [(&str, &[&str]); 15] = [
    ("ffmpeg_next", &["media/"]),
    ("opencv", &["vision/"]),
    ("image_hasher", &["vision/"]),
    ("ort", &["runtime/"]),
    ("arrow_array", &["io/"]),
    ("arrow_buffer", &["io/"]),
    ("arrow_ipc", &["io/"]),
    ("arrow_schema", &["io/"]),
    ("parquet", &["io/"]),
    ("minijinja", &["io/"]),
    ("reqwest", &["models/caption/endpoint.rs", "media/fetch/"]),
    ("signal_hook", &["engine/"]),
    ("crossbeam_channel", &["engine/"]),
    ("clap", &["cli/", "main.rs"]),
    ("indicatif", &["cli/"]),
];

/// Parts of the standard library that results must not depend on, and who may use them.
const STD_FENCES: [(&str, &[&str]); 4] = [
    (
        "std::process::Command",
        &["engine/", "cli/", "models/pull.rs"],
    ),
    ("std::time::SystemTime", &[]),
    (
        "std::time::Instant",
        &["engine/", "cli/", "media/", "models/caption/", "pipelines/"],
    ),
    ("std::net", &["media/"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A source file without its tests and comments.
struct Source {
    /// Below `src/`, with `/`.
    name: String,
    text: String,
    code: String,
}

impl Source {
    /// `models` for `models/scene/adaptive.rs`.
    fn module(&self) -> &str {
        self.name.split(['/', '.']).next().unwrap()
    }

    fn is_test(&self) -> bool {
        let file = self.name.rsplit('/').next().unwrap();
        ["tests.rs", "testing.rs", "fixtures.rs"].contains(&file)
    }

    /// Every path that starts with this word, groups spelled out.
    fn paths(&self, start: &str) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        for (at, _) in self.code.match_indices(start) {
            let before = self.code[..at].chars().next_back().unwrap_or(' ');
            let after = &self.code[at + start.len()..];
            let is_word = !before.is_alphanumeric() && !['_', ':', '$'].contains(&before);
            if is_word && after.starts_with("::") {
                expand(&after[2..], &[start.to_owned()], &mut found);
            }
        }
        found
    }
}

/// Adds the paths of a use tree, or of a path in an expression; gives what follows it.
fn expand<'a>(text: &'a str, before: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let mut text = text.trim_start();
    if let Some(mut inner) = text.strip_prefix('{') {
        loop {
            inner = inner.trim_start();
            if let Some(rest) = inner.strip_prefix('}') {
                return rest;
            }
            if inner.is_empty() {
                return inner;
            }
            let rest = expand(inner, before, found);
            let end = rest.find([',', '}']).unwrap_or(rest.len());
            inner = rest[end..].strip_prefix(',').unwrap_or(&rest[end..]);
        }
    }
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    let mut path = before.to_vec();
    path.push(text[..end].to_owned());
    text = &text[end..];
    if let Some(rest) = text.strip_prefix("::") {
        return expand(rest, &path, found);
    }
    found.push(path);
    text
}

/// Code up to the tests, without lines of comments.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let next = lines.peek().map_or("", |next| next.trim());
        if line.trim() == "#[cfg(test)]" && next.contains("mod ") && next.ends_with('{') {
            break;
        }
        if !line.trim_start().starts_with("//") {
            code.push_str(line);
            code.push('\n');
        }
    }
    code
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut paths = Vec::new();
    rust_files(&src, &mut paths);
    let source = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        Source {
            name: path
                .strip_prefix(&src)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned(),
            code: code_of(&text),
            text,
        }
    };
    paths.iter().map(source).collect()
}

#[track_caller]
fn none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn modules_name_only_what_the_table_allows() {
    let table: BTreeMap<&str, &[&str]> = MAY_NAME.into();
    let mut problems = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let module = source.module();
        if ["lib", "main"].contains(&module) {
            continue;
        }
        let allowed = table.get(module);
        let allowed = allowed.unwrap_or_else(|| panic!("{module} is not in the table"));
        for path in source.paths("crate") {
            let named = path[1].as_str();
            let is_type = |name: &String| name.starts_with(char::is_uppercase);
            if named != module && !allowed.contains(&named) {
                problems.push(format!("{} names {}", source.name, path.join("::")));
            } else if TRAITS_ONLY.contains(&module)
                && named == "models"
                && !path.get(2).is_some_and(is_type)
            {
                problems.push(format!(
                    "{} names the network {}",
                    source.name,
                    path.join("::")
                ));
            }
        }
    }
    none(&problems);
}

#[test]
fn nobody_reaches_another_module_by_super() {
    let mut problems = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let depth = source.name.split('/').count() - usize::from(source.name.ends_with("mod.rs"));
        for path in source.paths("super") {
            let ups = path.iter().take_while(|part| *part == "super").count();
            if ups >= depth {
                problems.push(format!("{} names {}", source.name, path.join("::")));
            }
        }
    }
    none(&problems);
}

#[test]
fn external_crates_stay_behind_their_fences() {
    let mut problems = Vec::new();
    for source in sources() {
        for (name, places) in FENCES.iter().chain(&STD_FENCES) {
            let allowed = places.iter().any(|place| source.name.starts_with(place));
            if allowed || source.is_test() {
                continue;
            }
            let start = name.split("::").next().unwrap();
            let inside = source.paths(start).into_iter().map(|path| path.join("::"));
            let inside: Vec<String> = inside.filter(|path| path.starts_with(name)).collect();
            for path in inside {
                problems.push(format!("{} names {path}", source.name));
            }
        }
    }
    none(&problems);
}

#[test]
fn paths_are_spelled_out() {
    let source = Source {
        name: "io/x.rs".into(),
        text: String::new(),
        code: "use crate::{core::{A, b::C}, store};\nlet x = crate::engine::run(1);".into(),
    };
    let paths: Vec<String> = source
        .paths("crate")
        .iter()
        .map(|path| path.join("::"))
        .collect();
    let expected = [
        "crate::core::A",
        "crate::core::b::C",
        "crate::store",
        "crate::engine::run",
    ];
    assert_eq!(paths, expected);
    assert_eq!(code_of("a\n#[cfg(test)]\nmod tests {\nb"), "a\n");
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut problems = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > MAX_LINES {
            problems.push(format!(
                "{} has {lines} lines, most are {MAX_LINES}",
                source.name
            ));
        }
        if !source.is_test() && !source.text.starts_with("//! ") {
            problems.push(format!("{} does not begin with what it is", source.name));
        }
    }
    none(&problems);
}

#[test]
fn modules_with_parts_are_folders_with_mod_rs() {
    let src = root().join("src");
    let mut problems = Vec::new();
    for source in sources() {
        let Some((folder, file)) = source.name.rsplit_once('/') else {
            continue;
        };
        // `foo/tests.rs` beside `foo.rs` only keeps long tests apart.
        if file != "tests.rs" && !src.join(folder).join("mod.rs").is_file() {
            problems.push(format!(
                "{}: move {folder}.rs to {folder}/mod.rs",
                source.name
            ));
        }
    }
    none(&problems);
}

#[test]
fn every_filter_is_explained_and_in_the_recipe() {
    let recipe = root().join("pipelines/edit-pairs.toml");
    let recipe = std::fs::read_to_string(recipe).unwrap();
    let scene = SCENE_FILTERS
        .iter()
        .map(|def| (def.name, def.unit, def.about));
    let pair = PAIR_FILTERS
        .iter()
        .map(|def| (def.name, def.unit, def.about));
    for (name, unit, about) in scene.chain(pair) {
        let file = root().join("src/filters").join(format!("{name}.rs"));
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            text.starts_with("//! "),
            "{name}: {} must say what it measures",
            file.display()
        );
        assert!(
            !unit.is_empty() && !about.is_empty(),
            "{name} has no unit or says nothing"
        );
        let section = format!("[filters.{name}]");
        assert!(
            recipe.contains(&section),
            "{section} is not in pipelines/edit-pairs.toml"
        );
    }
}

#[test]
fn every_network_states_its_source_and_its_tensors() {
    let sources = sources();
    for def in MODELS {
        let file = format!("/{}.rs", def.name);
        let source = sources
            .iter()
            .find(|source| source.name.starts_with("models/") && source.name.ends_with(&file));
        let source = source.unwrap_or_else(|| panic!("no file models/*{file}"));
        for line in ["//! Source ", "//! Input ", "//! Output "] {
            assert!(
                source.text.contains(line),
                "{} has no line `{line}`",
                source.name
            );
        }
        let card = root().join("models").join(def.name).join("card.toml");
        assert!(card.is_file(), "{} is missing", card.display());
    }
}

/// Text files that are part of the project.
fn tracked() -> Option<Vec<(String, String)>> {
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root())
        .output();
    let Ok(listed) = listed.map_err(drop).and_then(|output| {
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(())
        }
    }) else {
        println!("skipped: not a git checkout");
        return None;
    };
    let names = String::from_utf8(listed).unwrap();
    let text = |name: &str| {
        Some((
            name.to_owned(),
            std::fs::read_to_string(root().join(name)).ok()?,
        ))
    };
    Some(
        names
            .split('\0')
            .filter(|name| !name.is_empty())
            .filter_map(text)
            .collect(),
    )
}

#[test]
fn no_file_names_a_machine_or_a_registry() {
    let Some(files) = tracked() else { return };
    // Taken apart, so that this file does not hold them.
    let hosts = [
        ("pypi", ".org"),
        ("pythonhosted", ".org"),
        ("crates", ".io"),
        ("npmjs", ".com"),
    ];
    let more = [
        ("huggingface", ".co"),
        ("hf", ".co/"),
        ("/home", "/"),
        ("/root", "/"),
    ];
    let folders = [("/Users", "/"), ("/work", "/"), ("/tmp/", "wt/")];
    let words: Vec<String> = hosts
        .iter()
        .chain(&more)
        .chain(&folders)
        .map(|(a, b)| format!("{a}{b}"))
        .collect();
    let mut problems = Vec::new();
    for (name, text) in files.iter().filter(|(name, _)| name != "Cargo.lock") {
        for (number, line) in text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(word.as_str())) {
                problems.push(format!("{name}:{}: {word}", number + 1));
            }
        }
    }
    none(&problems);
}
