//! The columns that a TOML file declares. Reads the file and no record.

use std::path::Path;

use serde::Deserialize;
use tidelog::export::{ColumnType, JsonPath, TypedColumn, TypedColumns};

use crate::exit::{Exit, Failure};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SchemaFile {
    column: Vec<DeclaredColumn>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeclaredColumn {
    name: String,
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

/// Reads it. What is wrong with it is a failure of usage.
pub(super) fn read(path: &Path) -> Result<TypedColumns, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::because(Exit::Usage, format!("reading {}", path.display()), error))?;
    parse(&text).map_err(|reason| Failure::new(Exit::Usage, format!("{}: {reason}", path.display())))
}

fn parse(text: &str) -> Result<TypedColumns, String> {
    let file: SchemaFile = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    let column = |DeclaredColumn { name, path, kind }: DeclaredColumn| {
        let in_column = |reason: String| format!("column {name}: {reason}");
        let path = path.parse::<JsonPath>().map_err(|error| in_column(format!("path {path}: {error}")))?;
        let kind = kind.parse::<ColumnType>().map_err(|error| in_column(error.to_string()))?;
        Ok::<_, String>(TypedColumn::new(name, path, kind))
    };
    let columns = file.column.into_iter().map(column).collect::<Result<Vec<_>, _>>()?;
    TypedColumns::new(columns).map_err(|error| error.to_string())
}
