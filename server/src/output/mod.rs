//! Writes records for people and programs: JSON lines, raw values, a table. Knows no store and chooses no records.

mod columns;
mod delimiter;
mod filter;
mod json;
mod stdout;
mod table;

use std::io::{self, Write};

pub(crate) use columns::{aligned, columns, or_dash};
pub(crate) use delimiter::Delimiter;
pub(crate) use filter::{Filter, HeaderFilter};
#[cfg(feature = "sqlite")]
pub(crate) use json::write_bytes as write_json_bytes;
pub(crate) use stdout::{Results, is_unread, print_json, print_line, stdout, write_json};
pub(crate) use table::{shown, time};

/// `1 record`, `2 records`.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum OutputFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// Each value, followed by the delimiter.
    Raw,
    /// Columns for people; long values are cut.
    Table,
}

/// One record to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row<'a> {
    /// Given when there are several.
    pub(crate) partition: Option<u32>,
    pub(crate) offset: u64,
    pub(crate) ts_ns: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

/// Offsets that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) partition: Option<u32>,
    pub(crate) from: u64,
    /// Exclusive.
    pub(crate) to: u64,
    pub(crate) reason: String,
}

/// Writes rows in one format.
pub(crate) struct RowWriter<W: Write> {
    out: W,
    format: OutputFormat,
    delimiter: Delimiter,
    table: table::Table,
}

impl<W: Write> RowWriter<W> {
    pub(crate) fn new(out: W, format: OutputFormat, delimiter: Delimiter) -> Self {
        Self { out, format, delimiter, table: table::Table::default() }
    }

    /// Writes one record. A value that is null is nothing but its delimiter in `raw`.
    pub(crate) fn row(&mut self, row: &Row<'_>) -> io::Result<()> {
        match self.format {
            OutputFormat::Json => json::write_row(&mut self.out, row),
            OutputFormat::Raw => {
                self.out.write_all(row.value.unwrap_or_default())?;
                self.out.write_all(self.delimiter.bytes())
            }
            OutputFormat::Table => self.table.write_row(&mut self.out, row),
        }
    }

    /// Writes that offsets are missing; false if this format has no place for it.
    pub(crate) fn gap(&mut self, gap: &Gap) -> io::Result<bool> {
        match self.format {
            OutputFormat::Json => json::write_gap(&mut self.out, gap)?,
            OutputFormat::Raw => return Ok(false),
            OutputFormat::Table => self.table.write_gap(&mut self.out, gap)?,
        }
        Ok(true)
    }

    /// Hands everything on.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests;
