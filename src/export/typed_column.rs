//! Columns that are declared beside those every export has: names, paths, types, and which change of them a table may see. Reads no value.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::export::column_type::ColumnType;
use crate::export::json_path::JsonPath;

/// A column that is taken out of values which are JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedColumn {
    pub(super) name: String,
    pub(super) path: JsonPath,
    pub(super) kind: ColumnType,
}

impl TypedColumn {
    /// The column `name`, with what stands at `path` of each value.
    pub fn new(name: impl Into<String>, path: JsonPath, kind: ColumnType) -> Self {
        Self { name: name.into(), path, kind }
    }
}

/// All declared columns of a table: none unless it has some.
///
/// ```
/// use tidelog::export::{TypedColumn, TypedColumns};
///
/// let columns = TypedColumns::new([
///     TypedColumn::new("magnitude", ".mag".parse()?, "float64".parse()?),
///     TypedColumn::new("at", ".time".parse()?, "timestamp(us, UTC)".parse()?),
/// ])?;
/// assert!(TypedColumns::new([TypedColumn::new("_offset", ".id".parse()?, "int64".parse()?)]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TypedColumns(Arc<[TypedColumn]>);

/// Columns that no table can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ColumnError {
    /// The name is not one that every reader takes.
    #[error("a column cannot be named {name:?}: {reason}")]
    Name {
        /// The name.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// Readers that do not tell capitals from small letters would see two columns of one name.
    #[error("there are two columns named {name:?}, but for capitals")]
    Duplicate {
        /// The second.
        name: String,
    },
}

impl TypedColumns {
    /// Checks and takes columns.
    ///
    /// # Errors
    /// [`ColumnError`].
    pub fn new(columns: impl IntoIterator<Item = TypedColumn>) -> Result<Self, ColumnError> {
        let columns: Arc<[TypedColumn]> = columns.into_iter().collect();
        for (number, TypedColumn { name, .. }) in columns.iter().enumerate() {
            if let Some(reason) = reason_against(name) {
                return Err(ColumnError::Name { name: name.clone(), reason });
            }
            if columns[..number].iter().any(|other| other.name.to_lowercase() == name.to_lowercase()) {
                return Err(ColumnError::Duplicate { name: name.clone() });
            }
        }
        Ok(Self(columns))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &TypedColumn> {
        self.0.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Why a table with these columns cannot go on with `wanted`.
    pub(super) fn refuses(&self, wanted: &Self) -> Option<String> {
        self.iter().find_map(|before| {
            let TypedColumn { name, path, kind } = before;
            match wanted.iter().find(|column| column.name == *name) {
                None => Some(format!("it has a column {name}, {kind} at {path}, which must stay")),
                Some(now) if now != before => {
                    Some(format!("its column {name} is {kind} at {path} and cannot become {} at {}: name that one otherwise", now.kind, now.path))
                }
                Some(_) => None,
            }
        })
    }

    pub(super) fn to_json(&self) -> String {
        let stored =
            |TypedColumn { name, path, kind }: &TypedColumn| StoredColumn { name: name.clone(), path: path.to_string(), kind: kind.to_string() };
        serde_json::to_string(&self.iter().map(stored).collect::<Vec<_>>()).expect("strings")
    }

    /// What [`to_json`](Self::to_json) wrote, or why it did not.
    pub(super) fn from_json(json: &str) -> Result<Self, String> {
        let stored: Vec<StoredColumn> = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let column = |StoredColumn { name, path, kind }: StoredColumn| {
            let path = path.parse::<JsonPath>().map_err(|error| error.to_string())?;
            Ok::<_, String>(TypedColumn::new(name, path, kind.parse().map_err(|error: super::TypeError| error.to_string())?))
        };
        let columns = stored.into_iter().map(column).collect::<Result<Vec<_>, _>>()?;
        Self::new(columns).map_err(|error| error.to_string())
    }
}

fn reason_against(name: &str) -> Option<&'static str> {
    // What Delta allows, as long as columns are found by name; and no point, which parts a column from its fields.
    let is_wrong = |character: char| character.is_control() || " ,;{}()=.".contains(character);
    match name {
        "" => Some("it is empty"),
        _ if name.starts_with('_') => Some("names that begin with '_' are those of the export"),
        _ if ["topic", "partition"].contains(&name.to_lowercase().as_str()) => Some("the path of a file has a column of this name"),
        _ if name.contains(is_wrong) => Some("control characters and any of ' ,;{}()=.' are not for names"),
        _ => None,
    }
}

#[derive(Serialize, Deserialize)]
struct StoredColumn {
    name: String,
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(declared: &[[&str; 3]]) -> Result<TypedColumns, ColumnError> {
        TypedColumns::new(declared.iter().map(|[name, path, kind]| TypedColumn::new(*name, path.parse().unwrap(), kind.parse().unwrap())))
    }

    #[test]
    fn names_that_some_reader_cannot_take_are_refused() {
        for name in ["", "_x", "Topic", "partition", "a b", "a.b", "a\nb", "a=b"] {
            assert!(matches!(columns(&[[name, ".a", "int32"]]), Err(ColumnError::Name { .. })), "{name:?}");
        }
        assert!(matches!(
            columns(&[["größe", ".a", "int32"], ["GRÖSSE", ".a", "int32"], ["Größe", ".b", "int64"]]),
            Err(ColumnError::Duplicate { .. })
        ));
    }

    #[test]
    fn columns_come_and_stay() {
        let before = columns(&[["a", ".a", "int32"], ["b", ".b", "list<string>"]]).unwrap();
        assert_eq!(TypedColumns::from_json(&before.to_json()), Ok(before.clone()));
        let more = columns(&[["c", ".c", "date"], ["b", ".b", "list<string>"], ["a", ".a", "int32"]]).unwrap();
        assert_eq!(before.refuses(&more), None);
        assert!(more.refuses(&before).unwrap().contains("a column c, date at .c, which must stay"));
        let other = columns(&[["a", ".a", "int64"], ["b", ".b", "list<string>"]]).unwrap();
        assert!(before.refuses(&other).unwrap().contains("is int32 at .a and cannot become int64 at .a"));
    }
}
