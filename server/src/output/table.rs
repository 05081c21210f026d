//! Records as columns for people: one line each, long and unprintable bytes shortened and escaped. Not for programs.

use std::io::{self, Write};

use super::{Gap, Row};

/// Writes the heading before the first line.
#[derive(Default)]
pub(super) struct Table {
    has_heading: bool,
}

impl Table {
    pub(super) fn write_row(&mut self, out: &mut impl Write, row: &Row<'_>) -> io::Result<()> {
        self.write_heading(out, row.partition.is_some())?;
        if let Some(partition) = row.partition {
            write!(out, "{partition:>9}  ")?;
        }
        let headers: Vec<String> = row.headers.iter().map(|(name, value)| format!("{name}={}", shown(*value, HEADER_CHARS))).collect();
        let value = shown(row.value, VALUE_CHARS);
        write!(out, "{:>12}  {:<30}  {:<24}  {value}", row.offset, time(row.ts_ns), shown(row.key, KEY_CHARS))?;
        if headers.is_empty() { writeln!(out) } else { writeln!(out, "  [{}]", shown(Some(headers.join(", ").as_bytes()), VALUE_CHARS)) }
    }

    pub(super) fn write_gap(&mut self, out: &mut impl Write, gap: &Gap) -> io::Result<()> {
        self.write_heading(out, gap.partition.is_some())?;
        if let Some(partition) = gap.partition {
            write!(out, "{partition:>9}  ")?;
        }
        writeln!(out, "{:>12}  gap to offset {}: {}", gap.from, gap.to, shown(Some(gap.reason.as_bytes()), VALUE_CHARS))
    }

    fn write_heading(&mut self, out: &mut impl Write, with_partition: bool) -> io::Result<()> {
        if self.has_heading {
            return Ok(());
        }
        self.has_heading = true;
        if with_partition {
            write!(out, "{:>9}  ", "PARTITION")?;
        }
        writeln!(out, "{:>12}  {:<30}  {:<24}  VALUE", "OFFSET", "TIME", "KEY")
    }
}

/// An instant in RFC 3339; every `i64` of nanoseconds is one.
pub(crate) fn time(ts_ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(ts_ns.into()).map_or_else(|_| ts_ns.to_string(), |time| time.to_string())
}

/// Bytes as text, unprintable ones escaped, cut where it has so many characters.
pub(crate) fn shown(bytes: Option<&[u8]>, chars_max: usize) -> String {
    let Some(bytes) = bytes else { return "null".to_owned() };
    let mut text = String::new();
    let mut count = 0;
    for chunk in bytes.utf8_chunks() {
        let escapes =
            chunk.valid().chars().map(|character| if character.is_control() { character.escape_default().to_string() } else { character.into() });
        for piece in escapes.chain(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}"))) {
            // A zero byte is written as the other unprintable bytes are.
            let piece = if piece == "\\u{0}" { "\\x00".to_owned() } else { piece };
            count += piece.chars().count();
            if count > chars_max {
                text.push_str("...");
                return text;
            }
            text.push_str(&piece);
        }
    }
    text
}

const KEY_CHARS: usize = 24;
const VALUE_CHARS: usize = 100;
const HEADER_CHARS: usize = 24;
