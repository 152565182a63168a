//! Compares a TOML document with the schema and names every problem with its line.

use bytesize::ByteSize;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::schema::{resolve, words};
use crate::core::Problem;

/// Checks a whole document; problems come in the order of the text, with their key paths.
pub(super) fn check_document(
    schema: &Value,
    document: &DeTable<'_>,
    known_filters: &[&str],
    place: &dyn Fn(usize, &str) -> String,
) -> Vec<(String, Problem)> {
    let mut problems = Vec::new();
    check_table(
        schema,
        schema,
        document,
        "",
        known_filters,
        place,
        &mut problems,
    );
    problems.sort_by_key(|(start, _, _)| *start);
    problems
        .into_iter()
        .map(|(_, path, problem)| (path, problem))
        .collect()
}

/// Checks keys, types, allowed words and bounds; adds what is wrong to `problems`.
///
/// Problems come with their byte position, for sorting. `place` turns a byte position and a key path into words.
fn check_table(
    root: &Value,
    node: &Value,
    table: &DeTable<'_>,
    prefix: &str,
    known_filters: &[&str],
    place: &dyn Fn(usize, &str) -> String,
    problems: &mut Vec<(usize, String, Problem)>,
) {
    let node = resolve(root, node);
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        let path = if prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{prefix}.{name}")
        };
        let start = key.span().start;
        let at = place(start, &path);
        let property = &node["properties"][name];
        let open = &node["additionalProperties"];
        let schema = if property.is_object() {
            property
        } else if open.is_object() {
            if !known_filters.contains(&name) {
                let what = unknown("filter", name, known_filters);
                problems.push((start, path, Problem::new(at, what)));
                continue;
            }
            open
        } else {
            let known: Vec<&str> = node["properties"]
                .as_object()
                .map(|map| map.keys().map(String::as_str).collect())
                .unwrap_or_default();
            let what = unknown("key", name, &known);
            problems.push((start, path, Problem::new(at, what)));
            continue;
        };
        check_value(root, schema, value, &path, known_filters, place, problems);
    }
}

fn check_value(
    root: &Value,
    schema: &Value,
    value: &Spanned<DeValue<'_>>,
    path: &str,
    known_filters: &[&str],
    place: &dyn Fn(usize, &str) -> String,
    problems: &mut Vec<(usize, String, Problem)>,
) {
    let node = resolve(root, schema);
    let start = value.span().start;
    let mut problem = |what: String| {
        problems.push((
            start,
            path.to_owned(),
            Problem::new(place(start, path), what),
        ));
    };
    let allowed = words(node);
    if !allowed.is_empty() {
        let given = value.get_ref().as_str();
        if !given.is_some_and(|word| allowed.contains(&word)) {
            let what = match given {
                Some(word) => unknown("value", word, &allowed),
                None => format!("expected one of {}", quoted(&allowed)),
            };
            problem(what);
        }
        return;
    }
    if node["properties"].is_object() || node["additionalProperties"].is_object() {
        match value.get_ref().as_table() {
            Some(table) => {
                check_table(root, node, table, path, known_filters, place, problems);
            }
            None => problem("expected a section with keys".into()),
        }
        return;
    }
    let types: Vec<&str> = match &node["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    let got = match value.get_ref() {
        DeValue::String(_) => "string",
        DeValue::Integer(_) => "integer",
        DeValue::Float(_) => "number",
        DeValue::Boolean(_) => "boolean",
        DeValue::Array(_) => "array",
        DeValue::Table(_) => "object",
        DeValue::Datetime(_) => "datetime",
    };
    let fits = types.contains(&got) || (got == "integer" && types.contains(&"number"));
    if !fits {
        let expected: Vec<&str> = types.into_iter().filter(|t| *t != "null").collect();
        problem(format!("expected {}, got {got}", expected.join(" or ")));
        return;
    }
    if node["format"] == "bytes"
        && let Some(text) = value.get_ref().as_str()
        && text.parse::<ByteSize>().is_err()
    {
        problem(format!(
            "`{text}` is no size; write a number of bytes or \"512MiB\""
        ));
        return;
    }
    if let Some(number) = number(value.get_ref()) {
        if !number.is_finite() {
            problem("must be a finite number; leave the key out for no limit".into());
            return;
        }
        let min = node["minimum"]
            .as_f64()
            .or_else(|| schema["minimum"].as_f64());
        let max = node["maximum"]
            .as_f64()
            .or_else(|| schema["maximum"].as_f64());
        if min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max) {
            let bounds = match (min, max) {
                (Some(min), Some(max)) => format!("between {min} and {max}"),
                (Some(min), None) => format!("at least {min}"),
                (_, max) => format!("at most {}", max.unwrap_or_default()),
            };
            problem(format!("must be {bounds}, got {number}"));
        }
    }
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Integer(number) => {
            i64::from_str_radix(&number.as_str().replace('_', ""), number.radix())
                .ok()
                .map(|n| n as f64)
        }
        DeValue::Float(number) => number.as_str().replace('_', "").parse().ok(),
        _ => None,
    }
}

fn unknown(kind: &str, name: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), *candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((likeness, candidate)) if likeness > 0.8 => {
            format!("unknown {kind} `{name}`, did you mean `{candidate}`?")
        }
        _ => format!("unknown {kind} `{name}`, expected one of {}", quoted(known)),
    }
}

fn quoted(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
