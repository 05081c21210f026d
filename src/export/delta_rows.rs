//! Actions of a Delta log between JSON and the columns of a checkpoint. Knows their shapes, not their meaning, and no file.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, ListArray, MapArray, OffsetSizeTrait, StringArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int32Type, Int64Type};
use arrow::error::ArrowError;
use serde_json::{Map, Value};

/// The columns of a checkpoint that is written: a struct an action, as the protocol has them.
pub(super) fn checkpoint_fields() -> Fields {
    let optional = |name: &str, kind: DataType| Field::new(name, kind, true);
    let required = |name: &str, kind: DataType| Field::new(name, kind, false);
    let group = |name: &str, fields: Vec<Field>| Field::new(name, DataType::Struct(fields.into()), true);
    let (text, long, int) = (DataType::Utf8, DataType::Int64, DataType::Int32);
    let format = vec![required("provider", text.clone()), required("options", map(false))];
    Fields::from(vec![
        group("protocol", vec![required("minReaderVersion", int.clone()), required("minWriterVersion", int)]),
        group(
            "metaData",
            vec![
                required("id", text.clone()),
                optional("name", text.clone()),
                optional("description", text.clone()),
                required("format", DataType::Struct(format.into())),
                required("schemaString", text.clone()),
                required("partitionColumns", DataType::List(Arc::new(required("element", text.clone())))),
                optional("createdTime", long.clone()),
                required("configuration", map(true)),
            ],
        ),
        group("txn", vec![required("appId", text.clone()), required("version", long.clone()), optional("lastUpdated", long.clone())]),
        group(
            "add",
            vec![
                required("path", text.clone()),
                required("partitionValues", map(true)),
                required("size", long.clone()),
                required("modificationTime", long.clone()),
                required("dataChange", DataType::Boolean),
                optional("stats", text.clone()),
                optional("tags", map(true)),
            ],
        ),
        group(
            "remove",
            vec![
                required("path", text),
                optional("deletionTimestamp", long.clone()),
                required("dataChange", DataType::Boolean),
                optional("extendedFileMetadata", DataType::Boolean),
                optional("partitionValues", map(true)),
                optional("size", long),
            ],
        ),
    ])
}

/// A map of text to text, named as the Parquet format wants it.
fn map(has_nulls: bool) -> DataType {
    let entry = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, has_nulls)];
    DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entry.into()), false)), false)
}

/// A column of such cells. What does not fit its type, or is not in it, is null there.
pub(super) fn array_of(kind: &DataType, cells: &[Option<&Value>]) -> Result<ArrayRef, ArrowError> {
    let long = |cell: &Option<&Value>| cell.and_then(Value::as_i64);
    Ok(match kind {
        DataType::Boolean => Arc::new(cells.iter().map(|cell| cell.and_then(Value::as_bool)).collect::<BooleanArray>()),
        DataType::Int32 => Arc::new(cells.iter().map(|cell| long(cell).and_then(|long| i32::try_from(long).ok())).collect::<Int32Array>()),
        DataType::Int64 => Arc::new(cells.iter().map(long).collect::<Int64Array>()),
        DataType::Utf8 => Arc::new(cells.iter().map(|cell| cell.and_then(Value::as_str)).collect::<StringArray>()),
        DataType::Struct(fields) => Arc::new(struct_of(fields, cells)?),
        DataType::List(item) => {
            let items: Vec<Option<&Value>> = cells.iter().flat_map(|cell| cell.and_then(Value::as_array).into_iter().flatten().map(Some)).collect();
            let ends = OffsetBuffer::from_lengths(cells.iter().map(|cell| cell.and_then(Value::as_array).map_or(0, Vec::len)));
            Arc::new(ListArray::try_new(item.clone(), ends, array_of(item.data_type(), &items)?, nulls_of(cells))?)
        }
        DataType::Map(entry, _) => Arc::new(map_of(entry, cells)?),
        other => return Err(ArrowError::NotYetImplemented(format!("a column of type {other}"))),
    })
}

fn struct_of(fields: &Fields, cells: &[Option<&Value>]) -> Result<StructArray, ArrowError> {
    let child = |field: &FieldRef| {
        let cells: Vec<Option<&Value>> =
            cells.iter().map(|cell| cell.and_then(|cell| cell.get(field.name())).filter(|cell| !cell.is_null())).collect();
        array_of(field.data_type(), &cells)
    };
    StructArray::try_new(fields.clone(), fields.iter().map(child).collect::<Result<_, _>>()?, nulls_of(cells))
}

fn map_of(entry: &FieldRef, cells: &[Option<&Value>]) -> Result<MapArray, ArrowError> {
    let pairs = || cells.iter().flat_map(|cell| cell.and_then(Value::as_object).into_iter().flatten());
    let (keys, values) =
        (StringArray::from_iter_values(pairs().map(|(key, _)| key)), pairs().map(|(_, value)| value.as_str()).collect::<StringArray>());
    let DataType::Struct(fields) = entry.data_type() else { return Err(ArrowError::SchemaError("a map is of key and value".to_owned())) };
    let entries = StructArray::try_new(fields.clone(), vec![Arc::new(keys), Arc::new(values)], None)?;
    let ends = OffsetBuffer::from_lengths(cells.iter().map(|cell| cell.and_then(Value::as_object).map_or(0, Map::len)));
    MapArray::try_new(entry.clone(), ends, entries, nulls_of(cells), false)
}

fn nulls_of(cells: &[Option<&Value>]) -> Option<NullBuffer> {
    Some(cells.iter().map(Option::is_some).collect::<NullBuffer>())
}

/// A cell as JSON; `None` if it is null. An object has no members that are null, but for the values of a map.
///
/// # Errors
/// The type that no action has.
pub(super) fn value_at(array: &dyn Array, row: usize) -> Result<Option<Value>, String> {
    if array.is_null(row) {
        return Ok(None);
    }
    let bytes = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map(Value::from).map_err(|error| error.to_string());
    Ok(Some(match array.data_type() {
        DataType::Null => return Ok(None),
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).into(),
        // Some writers do not say that it is text.
        DataType::Binary => bytes(array.as_binary::<i32>().value(row))?,
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(array.as_struct().columns());
            let members = columns.filter_map(|(field, column)| Some((field.name().clone(), value_at(column, row).transpose()?)));
            Value::Object(members.map(|(name, value)| Ok((name, value?))).collect::<Result<_, String>>()?)
        }
        DataType::List(_) => list_at::<i32>(array, row)?,
        DataType::LargeList(_) => list_at::<i64>(array, row)?,
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let pair = |row: usize| {
                let key = value_at(entries.column(0), row)?.as_ref().and_then(Value::as_str).map(str::to_owned).ok_or("a key of a map is no text")?;
                Ok((key, value_at(entries.column(1), row)?.unwrap_or_default()))
            };
            Value::Object((0..entries.len()).map(pair).collect::<Result<_, String>>()?)
        }
        other => return Err(format!("a column of type {other} is in the place of one that actions have")),
    }))
}

fn list_at<O: OffsetSizeTrait>(array: &dyn Array, row: usize) -> Result<Value, String> {
    let items = array.as_list::<O>().value(row);
    let items = (0..items.len()).map(|row| Ok(value_at(&items, row)?.unwrap_or_default()));
    Ok(Value::Array(items.collect::<Result<_, String>>()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_put_into_columns_comes_out_of_them() {
        let actions = [
            json!({ "protocol": { "minReaderVersion": 1, "minWriterVersion": 2 } }),
            json!({ "metaData": { "id": "x", "format": { "provider": "parquet", "options": {} }, "schemaString": "{}", "partitionColumns": ["a", "b"],
                "configuration": { "k": "v", "null": null } } }),
            json!({ "txn": { "appId": "größe", "version": -1, "lastUpdated": 7 } }),
            json!({ "add": { "path": "p", "partitionValues": { "a": null, "b": "" }, "size": i64::MAX, "modificationTime": 0, "dataChange": false, "tags": {} } }),
            json!({ "remove": { "path": "q", "dataChange": true, "extendedFileMetadata": true, "partitionValues": { "a": "1" } } }),
            json!({}),
        ];
        let cells: Vec<Option<&Value>> = actions.iter().map(Some).collect();
        let columns = array_of(&DataType::Struct(checkpoint_fields()), &cells).unwrap();
        for (row, action) in actions.iter().enumerate() {
            assert_eq!(value_at(&columns, row).unwrap().as_ref(), Some(action));
        }
    }

    #[test]
    fn a_column_of_another_type_is_refused() {
        let dates = arrow::array::Date32Array::from(vec![7]);
        assert!(value_at(&dates, 0).unwrap_err().contains("Date32"));
        let action = json!({ "txn": { "version": 1 } });
        assert!(array_of(&DataType::Struct(checkpoint_fields()), &[Some(&action)]).is_err(), "an application without its name");
    }
}
