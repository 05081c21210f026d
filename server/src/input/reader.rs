//! Records out of a [`Source`], one at a time, in the format asked for. Keeps at most one record in memory beside the window.

use std::io;

use tidelog::TimestampNs;
use tidelog::export::JsonPath;

use super::csv::CsvRows;
use super::error::{InputError, LineError};
use super::frames::{FRAME_HEAD_BYTES, is_buffered, next_frame};
use super::ndjson::{self, Facts};
use super::source::Source;
use super::timestamp::TimeUnit;

/// What the bytes of the input mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub(crate) enum Format {
    /// Each line is a value, without its `\n`.
    Lines,
    /// Each line is a JSON value, kept as it is; key and time may be taken out of it.
    Ndjson,
    /// Each row becomes a JSON object by the header row, its values strings.
    Csv,
    /// u32 LE payload length, i64 LE timestamp in ns, payload.
    Frames,
}

impl Format {
    /// Part of what is persisted about an import: never changed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Frames => "frames",
        }
    }
}

/// How to read.
#[derive(Debug, Clone)]
pub(crate) struct ReaderOptions {
    pub(crate) format: Format,
    pub(crate) key: Option<JsonPath>,
    pub(crate) timestamp: Option<JsonPath>,
    pub(crate) timestamp_unit: Option<TimeUnit>,
    pub(crate) separator: u8,
    /// The longest value.
    pub(crate) value_bytes_max: usize,
}

/// A record as the input gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: &'a [u8],
    pub(crate) timestamp: Option<TimestampNs>,
}

/// Where a source stands between two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Decompressed bytes before.
    pub(crate) position: u64,
    /// CRC-32 of those bytes.
    pub(crate) crc32: u32,
    /// Lines, rows or frames before, rejected ones included.
    pub(crate) lines: u64,
    /// The bytes before end in the middle of a line, which more bytes would continue.
    pub(crate) is_mid_line: bool,
}

#[derive(Debug, Clone, Copy)]
struct Given {
    /// Bytes it takes in the window.
    raw_bytes: usize,
    value: Value,
    facts: Facts,
}

#[derive(Debug, Clone, Copy)]
enum Value {
    /// At these bytes of the window.
    Window { start: usize, end: usize },
    /// In the scratch buffer.
    Json,
}

/// Reads records. After an error that [can be skipped](InputError::can_skip), [`reject`](Self::reject) passes over the line.
pub(crate) struct RecordReader {
    source: Source,
    options: ReaderOptions,
    csv: Option<CsvRows>,
    /// Lines or frames before the one to come.
    units: u64,
    /// The record given last, not yet consumed.
    given: Option<Given>,
    /// Lines before the record given last.
    lines_before: u64,
    /// Whether the bytes consumed end in the middle of a line.
    is_mid_line: bool,
    /// Bytes of the unit that was wrong; `None` if its end was not reached.
    wrong: Option<usize>,
    key_bytes: Vec<u8>,
    json: Vec<u8>,
}

impl RecordReader {
    /// Starts at the beginning of `source`. A CSV source's header row is read here.
    pub(crate) fn new(mut source: Source, options: ReaderOptions) -> Result<Self, InputError> {
        let csv = match options.format {
            Format::Csv => Some(CsvRows::open(&mut source, options.separator, options.value_bytes_max)?),
            _ => None,
        };
        let lines_before = u64::from(csv.is_some());
        Ok(Self {
            source,
            options,
            csv,
            units: 0,
            given: None,
            lines_before,
            is_mid_line: false,
            wrong: None,
            key_bytes: Vec::new(),
            json: Vec::new(),
        })
    }

    /// The source as it stands: what was given last is not consumed yet.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// Where the source stands behind the record given last.
    pub(crate) fn mark(&mut self) -> Mark {
        self.consume_given();
        Mark { position: self.source.position(), crc32: self.source.crc32(), lines: self.lines(), is_mid_line: self.is_mid_line }
    }

    /// Where the source stands before the record given last, or where it stands if none is.
    pub(crate) fn mark_before(&mut self) -> Mark {
        let lines = if self.given.is_some() { self.lines_before } else { self.lines() };
        Mark { position: self.source.position(), crc32: self.source.crc32(), lines, is_mid_line: self.is_mid_line }
    }

    /// Goes on at `mark`, which lies ahead; false if the source ends before it. The bytes passed over are hashed and not looked at.
    pub(crate) fn skip_to(&mut self, mark: &Mark) -> Result<bool, InputError> {
        self.consume_given();
        let reached = self.source.skip_to(mark.position)?;
        self.is_mid_line = mark.is_mid_line;
        match &mut self.csv {
            Some(csv) => csv.set_line(mark.lines + 1),
            None => self.units = mark.lines,
        }
        Ok(reached)
    }

    /// After a mark in the middle of a line: whether the source ends here or the line does. The end of the line is passed over.
    pub(crate) fn finish_line(&mut self) -> Result<bool, InputError> {
        if !self.is_mid_line || (self.source.data().is_empty() && !self.source.fill()?) {
            return Ok(true);
        }
        let is_end = match (&self.csv, self.source.data()[0]) {
            (_, b'\n') => true,
            // The rest of a `\r\n` is an empty row, which the parser passes over.
            (Some(_), byte) => byte == b'\r',
            (None, _) => false,
        };
        if is_end {
            if let Some(csv) = &mut self.csv {
                csv.set_line(csv.line() + u64::from(self.source.data()[0] == b'\n'));
            }
            self.source.consume(1);
            self.is_mid_line = false;
        }
        Ok(is_end)
    }

    /// Whether the next record is in memory: asking for it will not wait for input.
    pub(crate) fn is_buffered(&self) -> bool {
        let data = &self.source.data()[self.given.map_or(0, |given| given.raw_bytes)..];
        match self.options.format {
            Format::Frames => is_buffered(data),
            Format::Lines | Format::Ndjson | Format::Csv => memchr::memchr(b'\n', data).is_some(),
        }
    }

    /// Goes on to the next record; false at the end of the source.
    pub(crate) fn advance(&mut self) -> Result<bool, InputError> {
        self.consume_given();
        self.lines_before = self.lines();
        self.wrong = None;
        self.given = match self.options.format {
            Format::Lines | Format::Ndjson => self.next_line()?,
            Format::Csv => self.next_csv()?,
            Format::Frames => self.next_frame()?,
        };
        Ok(self.given.is_some())
    }

    /// The record that [`advance`](Self::advance) went on to.
    ///
    /// # Panics
    /// If there is none.
    pub(crate) fn item(&self) -> Item<'_> {
        let given = self.given.expect("advance said that there is a record");
        let value = match given.value {
            Value::Window { start, end } => &self.source.data()[start..end],
            Value::Json => &self.json,
        };
        Item { key: given.facts.has_key.then_some(&self.key_bytes), value, timestamp: given.facts.timestamp }
    }

    /// The record given last is not wanted: it becomes an error that can be skipped, with [`reject`](Self::reject).
    pub(crate) fn refuse(&mut self, reason: LineError) -> InputError {
        if let Some(given) = self.given.take() {
            self.wrong = Some(given.raw_bytes);
            if self.csv.is_none() {
                self.units -= 1;
            }
        }
        let name = self.source.name().to_owned();
        match self.options.format {
            Format::Frames => InputError::Frame { name, frame: self.units + 1, position: self.source.position(), reason },
            _ => InputError::Line { name, line: self.lines_before + 1, reason },
        }
    }

    fn lines(&self) -> u64 {
        self.csv.as_ref().map_or(self.units, |csv| csv.line() - 1)
    }

    /// Passes by the record given last, if one is.
    pub(crate) fn consume_given(&mut self) {
        if let Some(given) = self.given.take() {
            self.is_mid_line = self.options.format != Format::Frames && !self.source.data()[..given.raw_bytes].ends_with(b"\n");
            self.source.consume(given.raw_bytes);
        }
    }

    /// Passes over the line that was wrong, and hands its bytes to `sink` part by part.
    pub(crate) fn reject(&mut self, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<io::Result<()>, InputError> {
        if self.csv.is_none() {
            self.units += 1;
        }
        loop {
            let data = self.source.data();
            let (count, is_last) = match self.wrong {
                Some(count) => (count, true),
                None => match memchr::memchr(b'\n', data) {
                    Some(at) => (at + 1, true),
                    None => (data.len(), self.source.ended()),
                },
            };
            let part = &data[..count];
            let mut result = sink(part);
            if is_last && !part.ends_with(b"\n") && result.is_ok() {
                result = sink(b"\n");
            }
            if result.is_err() {
                return Ok(result);
            }
            let ends_line = part.ends_with(b"\n");
            self.source.consume(count);
            if is_last {
                self.is_mid_line = self.options.format != Format::Frames && !ends_line;
                return Ok(Ok(()));
            }
            self.source.fill()?;
        }
    }

    fn next_line(&mut self) -> Result<Option<Given>, InputError> {
        let limit = self.options.value_bytes_max;
        let mut searched = 0;
        let (value_bytes, raw_bytes) = loop {
            let data = self.source.data();
            match memchr::memchr(b'\n', &data[searched..]) {
                Some(at) => break (searched + at, searched + at + 1),
                None if data.len() > limit => break (data.len(), data.len()),
                None if !self.source.ended() => {
                    searched = data.len();
                    self.source.fill()?;
                }
                None if data.is_empty() => return Ok(None),
                None => break (data.len(), data.len()),
            }
        };
        if value_bytes > limit {
            return Err(self.line_error(LineError::TooLong { limit }));
        }
        let facts = match self.options.format {
            Format::Ndjson => {
                let ReaderOptions { key, timestamp, timestamp_unit, .. } = &self.options;
                let value = &self.source.data()[..value_bytes];
                match ndjson::facts(value, key.as_ref(), timestamp.as_ref(), *timestamp_unit, &mut self.key_bytes) {
                    Ok(facts) => facts,
                    Err(reason) => {
                        self.wrong = Some(raw_bytes);
                        return Err(self.line_error(reason));
                    }
                }
            }
            _ => Facts { has_key: false, timestamp: None },
        };
        self.units += 1;
        Ok(Some(Given { raw_bytes, value: Value::Window { start: 0, end: value_bytes }, facts }))
    }

    fn next_csv(&mut self) -> Result<Option<Given>, InputError> {
        let Some(csv) = &mut self.csv else { return Ok(None) };
        let line = csv.line();
        let Some((raw_bytes, written)) = csv.next_row(&mut self.source, self.options.value_bytes_max, &mut self.json)? else { return Ok(None) };
        let ReaderOptions { key, timestamp, timestamp_unit, .. } = &self.options;
        let facts = written.and_then(|()| ndjson::facts(&self.json, key.as_ref(), timestamp.as_ref(), *timestamp_unit, &mut self.key_bytes));
        match facts {
            Ok(facts) => Ok(Some(Given { raw_bytes, value: Value::Json, facts })),
            Err(reason) => {
                self.wrong = Some(raw_bytes);
                Err(InputError::Line { name: self.source.name().to_owned(), line, reason })
            }
        }
    }

    fn next_frame(&mut self) -> Result<Option<Given>, InputError> {
        let Some((payload, timestamp)) = next_frame(&mut self.source, self.units + 1, self.options.value_bytes_max)? else { return Ok(None) };
        let raw_bytes = FRAME_HEAD_BYTES + payload;
        self.units += 1;
        let facts = Facts { has_key: false, timestamp: Some(timestamp) };
        Ok(Some(Given { raw_bytes, value: Value::Window { start: FRAME_HEAD_BYTES, end: raw_bytes }, facts }))
    }

    fn line_error(&self, reason: LineError) -> InputError {
        InputError::Line { name: self.source.name().to_owned(), line: self.units + 1, reason }
    }
}

#[cfg(test)]
mod tests;
