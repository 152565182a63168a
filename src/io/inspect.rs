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
use crate::core::FatalError;

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
pub fn inspect_shard(path: &Path, max_rows: usize) -> Result<ShardView, FatalError> {
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
    /// Schema and rows as text for a terminal; control characters are taken out.
    pub fn to_table(&self) -> String {
        let mut text = format!(
            "{}: {} rows, {} row groups, {} bytes, by {}\n\n",
            self.path,
            self.num_rows,
            self.num_row_groups,
            self.size_bytes,
            self.created_by.as_deref().unwrap_or("unknown")
        );
        let width = self.columns.iter().map(|c| c.name.len()).max().unwrap_or(0);
        for column in &self.columns {
            let null = if column.nullable { "" } else { "  not null" };
            let _ = writeln!(text, "{:width$}  {}{null}", column.name, column.kind);
        }
        for (number, row) in self.rows.iter().enumerate() {
            let _ = write!(text, "\nrow {number}\n");
            for column in &self.columns {
                let cell = row.get(&column.name).filter(|value| !value.is_null());
                if let Some(cell) = cell {
                    let _ = writeln!(text, "  {:width$}  {}", column.name, short(cell));
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
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut kept: String = clean.take(MAX_LETTERS + 1).collect();
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
        assert_eq!(short(&json!("a\u{1b}[2Jb")), "a [2Jb");
    }
}
