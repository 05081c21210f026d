//! Rows of SQL as a table, as JSON and as CSV, written as they come. Knows no statement.

use std::io::{self, Write};

use rusqlite::types::ValueRef;

use crate::output::{shown, write_json_bytes};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum Format {
    /// Columns for people; long values are cut.
    #[default]
    Table,
    /// One JSON object a line.
    Json,
    /// RFC 4180, with the names of the columns first.
    Csv,
}

pub(super) struct Printer<W: Write> {
    out: W,
    format: Format,
    names: Vec<String>,
    table: Table,
}

impl<W: Write> Printer<W> {
    /// A statement without columns prints nothing.
    pub(super) fn new(mut out: W, format: Format, names: Vec<String>) -> io::Result<Self> {
        if format == Format::Csv && !names.is_empty() {
            write_csv(&mut out, names.iter().map(|name| ValueRef::Text(name.as_bytes())))?;
        }
        Ok(Self { out, format, table: Table::default(), names })
    }

    pub(super) fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        match self.format {
            Format::Csv => write_csv(&mut self.out, values.iter().copied()),
            Format::Json => self.write_json(values),
            Format::Table => self.table.row(&mut self.out, &self.names, values),
        }
    }

    /// Writes what was held back.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        if self.format == Format::Table {
            self.table.write_waiting(&mut self.out, &self.names)?;
        }
        self.out.flush()
    }

    fn write_json(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        let out = &mut self.out;
        for (at, (name, value)) in self.names.iter().zip(values).enumerate() {
            out.write_all(if at == 0 { b"{" } else { b"," })?;
            match number(*value) {
                Some(number) => {
                    serde_json::to_writer(&mut *out, name)?;
                    write!(out, ":{number}")?;
                }
                None => write_json_bytes(out, name, bytes(*value))?,
            }
        }
        out.write_all(b"}\n")
    }
}

/// A number as SQL, JSON and people write it. What is above all numbers is a number that is too large, as SQLite's own JSON has it.
fn number(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Integer(value) => Some(value.to_string()),
        ValueRef::Real(value) if value.is_infinite() => Some(if value > 0.0 { "9e999" } else { "-9e999" }.to_owned()),
        ValueRef::Real(value) => Some(format!("{value:?}")),
        _ => None,
    }
}

/// A text or blob; none is null.
fn bytes(value: ValueRef<'_>) -> Option<&[u8]> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes),
        _ => None,
    }
}

/// Bytes that are no text, as SQL writes them.
fn blob(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("x'{digits}'")
}

/// Null is a field with nothing in it, an empty text one with quotes.
fn write_csv<'a>(out: &mut impl Write, values: impl Iterator<Item = ValueRef<'a>>) -> io::Result<()> {
    for (at, value) in values.enumerate() {
        if at > 0 {
            out.write_all(b",")?;
        }
        match (number(value), bytes(value)) {
            (Some(number), _) => out.write_all(number.as_bytes())?,
            (None, Some(bytes)) => match std::str::from_utf8(bytes) {
                Ok(text) if text.is_empty() || text.contains([',', '"', '\n', '\r']) => write!(out, "\"{}\"", text.replace('"', "\"\""))?,
                Ok(text) => out.write_all(text.as_bytes())?,
                Err(_) => out.write_all(blob(bytes).as_bytes())?,
            },
            (None, None) => {}
        }
    }
    out.write_all(b"\n")
}

/// Columns as wide as the first rows need.
#[derive(Debug, Default)]
struct Table {
    waiting: Vec<Vec<Cell>>,
    columns: Vec<Column>,
}

#[derive(Debug, Clone)]
struct Cell {
    text: String,
    is_number: bool,
}

#[derive(Debug, Clone, Copy)]
struct Column {
    width: usize,
    is_number: bool,
}

impl Table {
    fn row(&mut self, out: &mut impl Write, names: &[String], values: &[ValueRef<'_>]) -> io::Result<()> {
        let row: Vec<Cell> = values.iter().map(|value| Cell::of(*value)).collect();
        if !self.columns.is_empty() {
            return self.write_line(out, &row);
        }
        self.waiting.push(row);
        if self.waiting.len() < ROWS_AHEAD { Ok(()) } else { self.write_waiting(out, names) }
    }

    fn write_waiting(&mut self, out: &mut impl Write, names: &[String]) -> io::Result<()> {
        if !self.columns.is_empty() || names.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.waiting);
        let column = |(at, name): (usize, &String)| Column {
            width: rows.iter().map(|row| row[at].text.chars().count()).chain([name.chars().count()]).max().unwrap_or(0),
            is_number: !rows.is_empty() && rows.iter().all(|row| row[at].is_number),
        };
        self.columns = names.iter().enumerate().map(column).collect();
        let heading: Vec<Cell> = names.iter().map(|name| Cell { text: name.clone(), is_number: true }).collect();
        self.write_line(out, &heading)?;
        rows.iter().try_for_each(|row| self.write_line(out, row))
    }

    /// Numbers stand to the right.
    fn write_line(&self, out: &mut impl Write, row: &[Cell]) -> io::Result<()> {
        let cells = row.iter().zip(&self.columns).map(|(Cell { text, .. }, Column { width, is_number })| match is_number {
            true => format!("{text:>width$}"),
            false => format!("{text:<width$}"),
        });
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())
    }
}

impl Cell {
    fn of(value: ValueRef<'_>) -> Self {
        let text = match (number(value), bytes(value)) {
            (Some(number), _) => number,
            (None, None) => "NULL".to_owned(),
            (None, Some(bytes)) if is_text(bytes) => shown(Some(bytes), CHARS_MAX),
            (None, Some(bytes)) => shown(Some(blob(&bytes[..bytes.len().min(CHARS_MAX)]).as_bytes()), CHARS_MAX),
        };
        Self { text, is_number: matches!(value, ValueRef::Integer(_) | ValueRef::Real(_)) }
    }
}

/// Text, with nothing in it that is not written, but the ends of lines and tabs.
fn is_text(bytes: &[u8]) -> bool {
    let is_shown = |character: char| !character.is_control() || matches!(character, '\n' | '\r' | '\t');
    std::str::from_utf8(bytes).is_ok_and(|text| text.chars().all(is_shown))
}

const ROWS_AHEAD: usize = 100;
const CHARS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(format: Format, rows: &[&[ValueRef<'_>]]) -> String {
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, format, ["a\"", "b"].map(str::to_owned).to_vec()).unwrap();
        rows.iter().for_each(|row| printer.row(row).unwrap());
        printer.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    const ROWS: [&[ValueRef<'_>]; 5] = [
        &[ValueRef::Integer(-7), ValueRef::Null],
        &[ValueRef::Real(1.0), ValueRef::Text(b"")],
        &[ValueRef::Real(f64::NEG_INFINITY), ValueRef::Blob(b"two\nlines, \"quoted\"")],
        &[ValueRef::Integer(i64::MIN), ValueRef::Blob(b"\xff\0")],
        &[ValueRef::Real(1e300), ValueRef::Text(b"\0")],
    ];

    #[test]
    fn csv_tells_null_from_empty_and_quotes_what_needs_it() {
        let lines = "\"a\"\"\",b\n-7,\n1.0,\"\"\n-9e999,\"two\nlines, \"\"quoted\"\"\"\n-9223372036854775808,x'ff00'\n1e300,\0\n";
        assert_eq!(printed(Format::Csv, &ROWS), lines);
    }

    #[test]
    fn json_is_that_of_cat() {
        let lines = [
            r#"{"a\"":-7,"b":null}"#,
            r#"{"a\"":1.0,"b":""}"#,
            r#"{"a\"":-9e999,"b":"two\nlines, \"quoted\""}"#,
            r#"{"a\"":-9223372036854775808,"b_base64":"/wA="}"#,
            r#"{"a\"":1e300,"b":"\u0000"}"#,
        ];
        assert_eq!(printed(Format::Json, &ROWS), lines.map(|line| format!("{line}\n")).concat());
    }

    #[test]
    fn a_table_has_columns() {
        let table = printed(Format::Table, &ROWS);
        let expected = "                  a\"  b
                  -7  NULL
                 1.0
              -9e999  two\\nlines, \"quoted\"
-9223372036854775808  x'ff00'
               1e300  x'00'
";
        assert_eq!(table, expected);
        let long = [b'x'; 200];
        let row = [ValueRef::Null, ValueRef::Blob(&long)];
        let many: Vec<&[ValueRef<'_>]> = vec![&row; 3];
        assert!(printed(Format::Table, &many).lines().skip(1).all(|line| line == format!("NULL  {}...", "x".repeat(100))));
        let mut rows: Vec<&[ValueRef<'_>]> = vec![&[ValueRef::Integer(1), ValueRef::Integer(2)]; 150];
        rows.push(&[ValueRef::Null, ValueRef::Text(b"wider than all before")]);
        let table = printed(Format::Table, &rows);
        assert_eq!(table.lines().count(), 152);
        assert_eq!(table.lines().last(), Some("NULL  wider than all before"));
        assert_eq!(printed(Format::Table, &[]), "a\"  b\n");
    }
}
