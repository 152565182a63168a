//! One-row Arrow arrays and typed looks into a batch.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int32Type, Int64Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    new_empty_array, new_null_array,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, FieldRef, Fields};

use super::rows::RowImage;

/// Name of the one field inside a list, as the Parquet format recommends.
pub(super) const ELEMENT: &str = "element";

pub(super) fn list_of(item: DataType, nullable: bool) -> DataType {
    DataType::List(Arc::new(Field::new(ELEMENT, item, nullable)))
}

pub(super) fn struct_of(fields: &[(&str, DataType)]) -> DataType {
    DataType::Struct(
        fields
            .iter()
            .map(|(name, kind)| Field::new(*name, kind.clone(), false))
            .collect(),
    )
}

/// An image file. Every part may be null, because `datasets` takes only such a type for an image;
/// the writer never leaves one out.
pub(super) fn image_type() -> DataType {
    let bytes = Field::new("bytes", DataType::Binary, true);
    DataType::Struct(vec![bytes, Field::new("path", DataType::Utf8, true)].into())
}

pub(super) fn text(value: &str) -> ArrayRef {
    Arc::new(StringArray::from(vec![value]))
}

pub(super) fn text_or_null(value: Option<&str>) -> ArrayRef {
    Arc::new(StringArray::from(vec![value]))
}

fn list(item: &FieldRef, values: ArrayRef) -> ArrayRef {
    let offsets = OffsetBuffer::from_lengths([values.len()]);
    Arc::new(ListArray::new(Arc::clone(item), offsets, values, None))
}

fn element(kind: DataType, nullable: bool) -> FieldRef {
    Arc::new(Field::new(ELEMENT, kind, nullable))
}

/// A list of texts; null when there is none.
pub(super) fn texts_or_null(values: &[&str]) -> ArrayRef {
    let item = element(DataType::Utf8, false);
    if values.is_empty() {
        return new_null_array(&DataType::List(item), 1);
    }
    list(&item, Arc::new(StringArray::from(values.to_vec())))
}

/// A list of numbers, some of them absent.
pub(super) fn numbers(values: &[Option<i64>]) -> ArrayRef {
    list(
        &element(DataType::Int64, true),
        Arc::new(Int64Array::from(values.to_vec())),
    )
}

/// A list of structs of two texts.
pub(super) fn text_pairs(names: [&str; 2], values: &[(&str, &str)]) -> ArrayRef {
    let kind = struct_of(&[(names[0], DataType::Utf8), (names[1], DataType::Utf8)]);
    let DataType::Struct(fields) = &kind else {
        return new_empty_array(&kind);
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(
            values
                .iter()
                .map(|(a, _)| Some(*a))
                .collect::<StringArray>(),
        ),
        Arc::new(
            values
                .iter()
                .map(|(_, b)| Some(*b))
                .collect::<StringArray>(),
        ),
    ];
    let structs = StructArray::new(fields.clone(), columns, None);
    list(&element(kind.clone(), false), Arc::new(structs))
}

fn image_structs(images: &[(&[u8], String)]) -> StructArray {
    let fields: Fields = match image_type() {
        DataType::Struct(fields) => fields,
        _ => Fields::empty(),
    };
    let bytes: BinaryArray = images.iter().map(|(bytes, _)| Some(*bytes)).collect();
    let paths: StringArray = images.iter().map(|(_, path)| Some(path.as_str())).collect();
    StructArray::new(fields, vec![Arc::new(bytes), Arc::new(paths)], None)
}

/// One image.
pub(super) fn image(bytes: &[u8], path: String) -> ArrayRef {
    Arc::new(image_structs(&[(bytes, path)]))
}

/// A list of images.
pub(super) fn images(images: &[(&[u8], String)]) -> ArrayRef {
    list(
        &element(image_type(), true),
        Arc::new(image_structs(images)),
    )
}

/// An empty list.
pub(super) fn empty_list(kind: &DataType) -> ArrayRef {
    match kind {
        DataType::List(item) => list(item, new_empty_array(item.data_type())),
        other => new_null_array(other, 1),
    }
}

/// Text of a plain or dictionary column.
pub(super) fn get_text<'a>(batch: &'a RecordBatch, name: &str, row: usize) -> Option<&'a str> {
    let column = batch.column_by_name(name)?;
    if column.is_null(row) {
        return None;
    }
    if let Some(texts) = column.as_string_opt::<i32>() {
        return Some(texts.value(row));
    }
    let dictionary = column.as_dictionary_opt::<Int32Type>()?;
    let key = usize::try_from(dictionary.keys().value(row)).ok()?;
    Some(dictionary.values().as_string_opt::<i32>()?.value(key))
}

fn get_number<T: ArrowPrimitiveType>(
    batch: &RecordBatch,
    name: &str,
    row: usize,
) -> Option<T::Native> {
    let column = batch.column_by_name(name)?.as_primitive_opt::<T>()?;
    column.is_valid(row).then(|| column.value(row))
}

pub(super) fn get_f32(batch: &RecordBatch, name: &str, row: usize) -> Option<f32> {
    get_number::<Float32Type>(batch, name, row)
}
pub(super) fn get_f64(batch: &RecordBatch, name: &str, row: usize) -> Option<f64> {
    get_number::<Float64Type>(batch, name, row)
}
pub(super) fn get_i64(batch: &RecordBatch, name: &str, row: usize) -> Option<i64> {
    get_number::<Int64Type>(batch, name, row)
}
pub(super) fn get_i32(batch: &RecordBatch, name: &str, row: usize) -> Option<i32> {
    get_number::<Int32Type>(batch, name, row)
}
pub(super) fn get_u32(batch: &RecordBatch, name: &str, row: usize) -> Option<u32> {
    get_number::<UInt32Type>(batch, name, row)
}
pub(super) fn get_u64(batch: &RecordBatch, name: &str, row: usize) -> Option<u64> {
    get_number::<UInt64Type>(batch, name, row)
}

/// The values of a list cell; none when the cell is null or no list.
pub(super) fn get_list(batch: &RecordBatch, name: &str, row: usize) -> Option<ArrayRef> {
    let column = batch.column_by_name(name)?.as_list_opt::<i32>()?;
    column.is_valid(row).then(|| column.value(row))
}

/// A list of numbers, some of them absent.
pub(super) fn get_numbers(batch: &RecordBatch, name: &str, row: usize) -> Option<Vec<Option<i64>>> {
    let values = get_list(batch, name, row)?;
    Some(values.as_primitive_opt::<Int64Type>()?.iter().collect())
}

/// A list of structs of two texts.
pub(super) fn get_text_pairs(
    batch: &RecordBatch,
    name: &str,
    row: usize,
) -> Option<Vec<(String, String)>> {
    let values = get_list(batch, name, row)?;
    let structs = values.as_struct_opt()?;
    let first = structs.columns().first()?.as_string_opt::<i32>()?;
    let second = structs.columns().get(1)?.as_string_opt::<i32>()?;
    let pairs = first.iter().zip(second.iter());
    Some(
        pairs
            .map(|(a, b)| (a.unwrap_or("").to_owned(), b.unwrap_or("").to_owned()))
            .collect(),
    )
}

/// Bytes of one image cell.
pub(super) fn get_image<'a>(batch: &'a RecordBatch, name: &str, row: usize) -> Option<&'a [u8]> {
    let column = batch.column_by_name(name)?.as_struct_opt()?;
    let bytes = column.column_by_name("bytes")?.as_binary_opt::<i32>()?;
    bytes.is_valid(row).then(|| bytes.value(row))
}

/// The image of a cell, or all of its list, with their names; none when the cell is no image.
pub(super) fn get_image_slices<'a>(
    batch: &'a RecordBatch,
    name: &str,
    row: usize,
) -> Option<Vec<RowImage<'a>>> {
    let column = batch.column_by_name(name)?;
    if column.is_null(row) {
        return None;
    }
    let (images, rows) = match column.as_list_opt::<i32>() {
        Some(list) => {
            let at = list.value_offsets();
            let (start, end) = (*at.get(row)?, *at.get(row + 1)?);
            let rows = usize::try_from(start).ok()?..usize::try_from(end).ok()?;
            (list.values().as_struct_opt()?, rows)
        }
        None => (column.as_struct_opt()?, row..row + 1),
    };
    let bytes = images.column_by_name("bytes")?.as_binary_opt::<i32>()?;
    let paths = images.column_by_name("path")?.as_string_opt::<i32>()?;
    rows.map(|at| {
        bytes.is_valid(at).then(|| RowImage {
            bytes: bytes.value(at),
            path: if paths.is_valid(at) {
                paths.value(at)
            } else {
                ""
            },
        })
    })
    .collect()
}

/// Bytes of a list of images, in order.
pub(super) fn get_images(batch: &RecordBatch, name: &str, row: usize) -> Option<Vec<Vec<u8>>> {
    let values = get_list(batch, name, row)?;
    let bytes = values.as_struct_opt()?.column_by_name("bytes")?;
    Some(
        bytes
            .as_binary_opt::<i32>()?
            .iter()
            .map(|image| image.unwrap_or_default().to_vec())
            .collect(),
    )
}
