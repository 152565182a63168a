//! `docs/config.md` and `docs/row-schema.md` say what the code does. `make docs` writes them.

use std::path::Path;

use framewright::config::{Config, config_markdown};
use framewright::core::Range;
use framewright::io::{ScoreColumn, row_schema_markdown};
use framewright::models::JUDGE_AXES;
use framewright::pipelines::filter_infos;
use framewright::store::publish_bytes;

fn compare_or_write(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("FRAMEWRIGHT_BLESS").is_some() {
        publish_bytes(&path, text.as_bytes()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == text,
        "{name} is out of date; `make docs` writes it anew"
    );
}

fn words(range: Range) -> String {
    match (range.min, range.max) {
        (None, None) => "all".into(),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (Some(min), Some(max)) => format!("{min} to {max}"),
    }
}

#[test]
fn the_configuration_reference_is_up_to_date() {
    let filters: Vec<_> = filter_infos(&Config::default())
        .into_iter()
        .map(|info| {
            let (name, unit, about) = (info.name, info.unit, info.about);
            (
                name.to_owned(),
                unit.to_owned(),
                about.to_owned(),
                words(info.range),
            )
        })
        .collect();
    compare_or_write("docs/config.md", &config_markdown(&filters));
}

#[test]
fn the_row_schema_is_up_to_date() {
    let scores: Vec<ScoreColumn> = filter_infos(&Config::default())
        .into_iter()
        .map(|info| ScoreColumn::new(info.name, info.unit, info.about))
        .collect();
    compare_or_write(
        "docs/row-schema.md",
        &row_schema_markdown(&scores, JUDGE_AXES),
    );
}
