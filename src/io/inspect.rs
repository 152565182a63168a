//! A look into a shard: its schema and first rows as plain values.

use std::fmt::Write as _;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int32Type, Int64Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::columns::type_name;
use super::tables;
use crate::core::{FatalError, contain, visible_line};

/// Longest cell of the text table, in letters.
const MAX_LETTERS: usize = 100;

/// A column of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnView {
    /// Name.
    pub name: String,
    /// Type, such as `list<utf8>`.
    pub kind: String,
    /// Whether it may be null.
    pub nullable: bool,
}

/// What is in a shard.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShardView {
    /// The file.
    pub path: String,
    /// Size of the file.
    pub size_bytes: u64,
    /// Rows in all.
    pub num_rows: u64,
    /// Row groups in all.
    pub num_row_groups: usize,
    /// Who wrote it.
    pub created_by: Option<String>,
    /// Columns in order.
    pub columns: Vec<ColumnView>,
    /// First rows, by column. Images appear as `<n bytes>`.
    pub rows: Vec<Map<String, Value>>,
}

/// Reads schema and first rows of a shard or of a file of rejected items.
///
/// # Errors
/// Disk where the file cannot be read or is damaged.
pub fn inspect_shard(path: &Path, max_rows: usize) -> Result<ShardView, FatalError> {
    // The reader panics at some damaged files.
    contain(|| view(path, max_rows))
        .unwrap_or_else(|words| Err(FatalError::disk(path, format!("damaged ({words})"))))
}

fn view(path: &Path, max_rows: usize) -> Result<ShardView, FatalError> {
    let builder = tables::open(path)?;
    let metadata = builder.metadata().clone();
    let size = std::fs::metadata(path).map_err(|error| FatalError::disk(path, error))?;
    let fields = builder.schema().fields().iter();
    let column = |field: &std::sync::Arc<arrow_schema::Field>| ColumnView {
        name: field.name().clone(),
        kind: type_name(field.data_type()),
        nullable: field.is_nullable(),
    };
    let columns = fields.map(column).collect();
    let reader = builder.with_batch_size(1).with_limit(max_rows).build();
    let mut rows = Vec::new();
    for batch in reader.map_err(|error| FatalError::disk(path, error))? {
        let batch = batch.map_err(|error| FatalError::disk(path, error))?;
        let schema = batch.schema();
        for row in 0..batch.num_rows() {
            let cells = schema.fields().iter().zip(batch.columns());
            rows.push(
                cells
                    .map(|(f, c)| (f.name().clone(), value(c, row)))
                    .collect(),
            );
        }
    }
    Ok(ShardView {
        path: path.display().to_string(),
        size_bytes: size.len(),
        num_rows: u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0),
        num_row_groups: metadata.num_row_groups(),
        created_by: metadata.file_metadata().created_by().map(str::to_owned),
        columns,
        rows,
    })
}

impl ShardView {
    /// Schema and rows as text for a terminal; control characters become visible.
    pub fn to_table(&self) -> String {
        let mut text = format!(
            "{}: {} rows, {} row groups, {} bytes, by {}\n\n",
            visible_line(&self.path),
            self.num_rows,
            self.num_row_groups,
            self.size_bytes,
            visible_line(self.created_by.as_deref().unwrap_or("unknown"))
        );
        let width = self.columns.iter().map(|c| c.name.len()).max().unwrap_or(0);
        for column in &self.columns {
            let null = if column.nullable { "" } else { "  not null" };
            let (name, kind) = (visible_line(&column.name), visible_line(&column.kind));
            let _ = writeln!(text, "{name:width$}  {kind}{null}");
        }
        for (number, row) in self.rows.iter().enumerate() {
            let _ = write!(text, "\nrow {number}\n");
            for column in &self.columns {
                let cell = row.get(&column.name).filter(|value| !value.is_null());
                if let Some(cell) = cell {
                    let name = visible_line(&column.name);
                    let _ = writeln!(text, "  {name:width$}  {}", short(cell));
                }
            }
        }
        text
    }
}

/// A value in one line, without what could steer a terminal.
fn short(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let clean = visible_line(&text);
    let mut kept: String = clean.chars().take(MAX_LETTERS + 1).collect();
    if kept.chars().count() > MAX_LETTERS {
        kept.pop();
        kept.push('…');
    }
    kept
}

fn values(array: &ArrayRef) -> Value {
    (0..array.len()).map(|row| value(array, row)).collect()
}

fn value(array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Utf8 => json!(array.as_string::<i32>().value(row)),
        DataType::Binary => json!(format!(
            "<{} bytes>",
            array.as_binary::<i32>().value(row).len()
        )),
        DataType::Boolean => json!(array.as_boolean().value(row)),
        DataType::Float32 => json!(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => json!(array.as_primitive::<Float64Type>().value(row)),
        DataType::Int8 => json!(array.as_primitive::<Int8Type>().value(row)),
        DataType::Int32 => json!(array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt16 => json!(array.as_primitive::<UInt16Type>().value(row)),
        DataType::UInt32 => json!(array.as_primitive::<UInt32Type>().value(row)),
        DataType::UInt64 => json!(array.as_primitive::<UInt64Type>().value(row)),
        DataType::List(_) => values(&array.as_list::<i32>().value(row)),
        DataType::FixedSizeList(_, _) => values(&array.as_fixed_size_list().value(row)),
        DataType::Struct(fields) => {
            let parts = fields.iter().zip(array.as_struct().columns());
            let parts = parts.map(|(field, part)| (field.name().clone(), value(part, row)));
            Value::Object(parts.collect())
        }
        DataType::Dictionary(_, _) => {
            array
                .as_dictionary_opt::<Int32Type>()
                .map_or(Value::Null, |dictionary| {
                    let key = dictionary.keys().value(row);
                    value(dictionary.values(), usize::try_from(key).unwrap_or(0))
                })
        }
        other => json!(format!("<{}>", type_name(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::run_in;
    use super::*;

    #[test]
    fn a_shard_shows_schema_and_first_rows() {
        let folder = tempfile::tempdir().unwrap();
        let (_, shards, rejects) = run_in(folder.path());
        let view = inspect_shard(&shards[0], 2).unwrap();
        assert_eq!((view.num_rows, view.rows.len()), (15, 2));
        assert_eq!(view.rows[0]["task"], "edit");
        assert_eq!(view.rows[0]["input_pts"], json!([0]));
        let image = view.rows[0]["output_image"]["bytes"].as_str().unwrap();
        assert!(image.ends_with(" bytes>"), "{image}");
        let table = view.to_table();
        assert!(
            table.contains("score_duplicate") && table.contains("row 1"),
            "{table}"
        );
        assert!(inspect_shard(&rejects[0], 1).unwrap().num_rows > 0);
        assert!(inspect_shard(Path::new("/none"), 1).is_err());
    }

    #[test]
    fn terminals_are_not_steered() {
        assert_eq!(short(&json!("a\u{1b}[2Jb")), "a\\u{1b}[2Jb");
    }

    #[test]
    fn a_deep_schema_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep.parquet");
        for (depth, is_read) in [(3, true), (90, true), (10_000, false), (300_000, false)] {
            let footer = super::super::footer::tests::nested(depth);
            let length = footer.len() as u32;
            let file = [b"PAR1", &footer[..], &length.to_le_bytes(), b"PAR1"].concat();
            crate::store::publish_bytes(&path, &file).unwrap();
            let view = inspect_shard(&path, 1).map_err(|error| error.to_string());
            let manifest = crate::io::read_manifest(path.to_str().unwrap());
            assert_eq!(view.is_ok(), is_read, "{depth}: {view:?}");
            let words = format!("{:?}{:?}", view.err(), manifest.unwrap_err());
            assert_eq!(
                words.matches("groups inside each other").count(),
                if is_read { 0 } else { 2 },
                "{words}"
            );
        }
    }

    mod prop {
        use proptest::prelude::*;

        use super::*;
        use crate::core::testing::{damaged, one_in, peak_memory_bytes};

        fn tables() -> (Vec<u8>, Vec<u8>) {
            let folder = tempfile::tempdir().unwrap();
            let (_, shards, rejects) = run_in(folder.path());
            (
                std::fs::read(&shards[0]).unwrap(),
                std::fs::read(&rejects[0]).unwrap(),
            )
        }

        proptest! {
            #![proptest_config(one_in(8))]

            #[test]
            fn a_damaged_table_is_shown_or_an_error_names_it(
                (shard, rejects) in Just(tables()).prop_flat_map(|(a, b)| (damaged(a), damaged(b))),
            ) {
                let folder = tempfile::tempdir().unwrap();
                for bytes in [shard, rejects] {
                    let path = folder.path().join("a.parquet");
                    crate::store::publish_bytes(&path, &bytes).unwrap();
                    let named = |error: FatalError| {
                        prop_assert!(error.to_string().contains("a.parquet: "), "{}", error);
                        Ok(())
                    };
                    match inspect_shard(&path, 3) {
                        Ok(view) => prop_assert!(view.rows.len() <= 3 && !view.to_table().is_empty()),
                        Err(error) => named(error)?,
                    }
                    tables::num_rows(&path).map(drop).or_else(named)?;
                    tables::scan(&path, |name| name.len() % 2 == 0, |_| ()).or_else(named)?;
                    tables::pick(&path, &[0, 2], |_| true, |_| Ok(())).or_else(named)?;
                }
                prop_assert!(peak_memory_bytes() < 4 << 30);
            }
        }
    }
}
