//! CSV with a header row: each row becomes one JSON object, its values strings. Keeps one row at a time.

use csv_core::ReadRecordResult;

use super::error::{InputError, LineError};
use super::source::Source;

/// The state of a CSV stream. The row in work is `buffer`, field after field, ending at `ends`.
pub(crate) struct CsvRows {
    parser: csv_core::Reader,
    separator: u8,
    /// The header row, each name as `"name":`.
    names: Vec<String>,
    buffer: Vec<u8>,
    ends: Vec<usize>,
}

/// A row in the window of the source.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// Bytes it takes there.
    raw_bytes: usize,
    fields: usize,
}

impl CsvRows {
    /// Reads the header row.
    pub(crate) fn open(source: &mut Source, separator: u8, limit: usize) -> Result<Self, InputError> {
        let parser = csv_core::ReaderBuilder::new().delimiter(separator).build();
        let mut rows = Self { parser, separator, names: Vec::new(), buffer: vec![0; 4096], ends: vec![0; 64] };
        // A byte order mark is only recognized whole.
        while source.data().len() < 3 && source.fill()? {}
        let Some(row) = rows.parse_row(source, 1, limit)? else { return Ok(rows) };
        let wrong = |reason| InputError::Line { name: source.name().to_owned(), line: 1, reason };
        let mut seen = std::collections::HashSet::new();
        for index in 0..row.fields {
            let name = rows.field(index).map_err(wrong)?;
            if !seen.insert(name) {
                return Err(wrong(LineError::DuplicateColumn { name: name.to_owned() }));
            }
        }
        rows.names = seen_in_order(&rows, row.fields).map_err(wrong)?;
        source.consume(row.raw_bytes);
        Ok(rows)
    }

    /// The line that comes next, counted from 1.
    pub(crate) fn line(&self) -> u64 {
        self.parser.line()
    }

    /// Says which line comes next, after bytes were passed over.
    pub(crate) fn set_line(&mut self, line: u64) {
        self.parser.set_line(line);
    }

    /// The next row as a JSON object in `json`, and the bytes it takes in the window; `None` at the end.
    /// An error inside is about this row alone and comes with its bytes.
    #[allow(clippy::type_complexity)]
    pub(crate) fn next_row(
        &mut self,
        source: &mut Source,
        limit: usize,
        json: &mut Vec<u8>,
    ) -> Result<Option<(usize, Result<(), LineError>)>, InputError> {
        let line = self.line();
        let Some(row) = self.parse_row(source, line, limit)? else { return Ok(None) };
        Ok(Some((row.raw_bytes, self.write_json(row.fields, limit, json))))
    }

    fn write_json(&self, fields: usize, limit: usize, json: &mut Vec<u8>) -> Result<(), LineError> {
        json.clear();
        if fields != self.names.len() {
            return Err(LineError::Ragged { expected: self.names.len(), found: fields });
        }
        json.push(b'{');
        for (index, name) in self.names.iter().enumerate() {
            if index > 0 {
                json.push(b',');
            }
            json.extend_from_slice(name.as_bytes());
            serde_json::to_writer(&mut *json, self.field(index)?).map_err(LineError::not_json)?;
        }
        json.push(b'}');
        if json.len() > limit { Err(LineError::TooLong { limit }) } else { Ok(()) }
    }

    /// Runs the parser over the next row without consuming it.
    fn parse_row(&mut self, source: &mut Source, line: u64, limit: usize) -> Result<Option<Row>, InputError> {
        let (mut raw_bytes, mut written, mut fields) = (0, 0, 0);
        let is_cut = loop {
            // To the parser, no bytes mean the end of the input.
            if source.data().len() == raw_bytes && source.fill()? {
                continue;
            }
            let (result, read, wrote, ended) =
                self.parser.read_record(&source.data()[raw_bytes..], &mut self.buffer[written..], &mut self.ends[fields..]);
            raw_bytes += read;
            written += wrote;
            fields += ended;
            match result {
                ReadRecordResult::InputEmpty => {
                    if raw_bytes > limit {
                        return Err(InputError::Line { name: source.name().to_owned(), line, reason: LineError::RowTooLong { limit } });
                    }
                }
                ReadRecordResult::OutputFull => self.buffer.resize(self.buffer.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::End => return Ok(None),
                ReadRecordResult::Record => break read == 0,
            }
        };
        let raw = &source.data()[..raw_bytes];
        // Only the end of the input ended this row, inside a quoted field too.
        if is_cut && ends_in_quotes(raw.strip_prefix(BYTE_ORDER_MARK).unwrap_or(raw), self.separator) {
            return Err(InputError::Line { name: source.name().to_owned(), line, reason: LineError::OpenQuote });
        }
        // The parser ends a row at `\r`; the `\n` behind it belongs to the same row.
        if raw.ends_with(b"\r") {
            if source.data().len() == raw_bytes {
                source.fill()?;
            }
            raw_bytes += usize::from(source.data().get(raw_bytes) == Some(&b'\n'));
        }
        Ok(Some(Row { raw_bytes, fields }))
    }

    fn field(&self, index: usize) -> Result<&str, LineError> {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        std::str::from_utf8(&self.buffer[start..self.ends[index]]).map_err(|error| LineError::NotUtf8 { valid_bytes: error.valid_up_to() })
    }
}

/// Whether a row ends before the quote that one of its fields begins with is closed. Inside a field that begins without one, quotes are text.
fn ends_in_quotes(row: &[u8], separator: u8) -> bool {
    enum At {
        FieldStart,
        Plain,
        Quoted,
        /// Behind a quote in quotes: it closes the field, or is the first of two that stand for one.
        Quote,
    }
    let at = row.iter().fold(At::FieldStart, |at, &byte| match (at, byte) {
        (At::FieldStart | At::Quote, b'"') => At::Quoted,
        (At::Quoted, b'"') => At::Quote,
        (At::Quoted, _) => At::Quoted,
        (_, byte) if byte == separator || matches!(byte, b'\n' | b'\r') => At::FieldStart,
        _ => At::Plain,
    });
    matches!(at, At::Quoted)
}

/// Each field of the row in work as a JSON member name with its colon.
fn seen_in_order(rows: &CsvRows, fields: usize) -> Result<Vec<String>, LineError> {
    (0..fields)
        .map(|index| {
            let mut name = serde_json::to_string(rows.field(index)?).map_err(LineError::not_json)?;
            name.push(':');
            Ok(name)
        })
        .collect()
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
