//! Records out of a [`Source`], one at a time, in the format asked for. Keeps at most one record in memory beside the window.

use std::io;

use tidelog::TimestampNs;

use super::csv::CsvRows;
use super::error::{InputError, LineError};
use super::frames::{FRAME_HEAD_BYTES, is_buffered, next_frame};
use super::json_path::JsonPath;
use super::ndjson;
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

/// Reads records. After an error that [can be skipped](InputError::can_skip), [`reject`](Self::reject) passes over the line.
pub(crate) struct RecordReader {
    source: Source,
    options: ReaderOptions,
    csv: Option<CsvRows>,
    /// Lines or frames before the one to come.
    units: u64,
    /// Bytes of the record given last, to be consumed before the next.
    given: usize,
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
        Ok(Self { source, options, csv, units: 0, given: 0, wrong: None, key_bytes: Vec::new(), json: Vec::new() })
    }

    /// The source, everything given so far consumed.
    pub(crate) fn source(&mut self) -> &mut Source {
        self.source.consume(self.given);
        self.given = 0;
        &mut self.source
    }

    /// The source as it stands: what was given last may not be consumed yet.
    pub(crate) fn peek_source(&self) -> &Source {
        &self.source
    }

    /// Lines, rows or frames given or rejected so far; in CSV the lines they took.
    pub(crate) fn lines(&self) -> u64 {
        self.csv.as_ref().map_or(self.units, |csv| csv.line() - 1)
    }

    /// Whether the bytes given so far end in the middle of a line, which more bytes would continue.
    pub(crate) fn is_mid_line(&self) -> bool {
        self.options.format != Format::Frames && !self.source.data()[..self.given].ends_with(b"\n")
    }

    /// Says how many lines were there before, after the source was moved by hand.
    pub(crate) fn set_lines(&mut self, lines: u64) {
        match &mut self.csv {
            Some(csv) => csv.set_line(lines + 1),
            None => self.units = lines,
        }
    }

    /// Whether the next record is in memory: asking for it will not wait for input.
    pub(crate) fn is_buffered(&self) -> bool {
        let data = &self.source.data()[self.given..];
        match self.options.format {
            Format::Frames => is_buffered(data),
            Format::Lines | Format::Ndjson | Format::Csv => memchr::memchr(b'\n', data).is_some(),
        }
    }

    /// The next record; `None` at the end of the source.
    pub(crate) fn next_item(&mut self) -> Result<Option<Item<'_>>, InputError> {
        self.source();
        self.wrong = None;
        match self.options.format {
            Format::Lines | Format::Ndjson => self.next_line(),
            Format::Csv => self.next_csv(),
            Format::Frames => self.next_frame(),
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
            self.source.consume(count);
            if is_last {
                return Ok(Ok(()));
            }
            self.source.fill()?;
        }
    }

    fn next_line(&mut self) -> Result<Option<Item<'_>>, InputError> {
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
        let value = &self.source.data()[..value_bytes];
        let facts = match self.options.format {
            Format::Ndjson => {
                let ReaderOptions { key, timestamp, timestamp_unit, .. } = &self.options;
                match ndjson::facts(value, key.as_ref(), timestamp.as_ref(), *timestamp_unit, &mut self.key_bytes) {
                    Ok(facts) => facts,
                    Err(reason) => {
                        self.wrong = Some(raw_bytes);
                        return Err(self.line_error(reason));
                    }
                }
            }
            _ => ndjson::Facts { has_key: false, timestamp: None },
        };
        self.given = raw_bytes;
        self.units += 1;
        let value = &self.source.data()[..value_bytes];
        Ok(Some(Item { key: facts.has_key.then_some(&self.key_bytes), value, timestamp: facts.timestamp }))
    }

    fn next_csv(&mut self) -> Result<Option<Item<'_>>, InputError> {
        let Some(csv) = &mut self.csv else { return Ok(None) };
        let line = csv.line();
        let Some((raw_bytes, written)) = csv.next_row(&mut self.source, self.options.value_bytes_max, &mut self.json)? else { return Ok(None) };
        let ReaderOptions { key, timestamp, timestamp_unit, .. } = &self.options;
        let facts = written.and_then(|()| ndjson::facts(&self.json, key.as_ref(), timestamp.as_ref(), *timestamp_unit, &mut self.key_bytes));
        match facts {
            Ok(facts) => {
                self.given = raw_bytes;
                Ok(Some(Item { key: facts.has_key.then_some(&self.key_bytes), value: &self.json, timestamp: facts.timestamp }))
            }
            Err(reason) => {
                self.wrong = Some(raw_bytes);
                Err(InputError::Line { name: self.source.name().to_owned(), line, reason })
            }
        }
    }

    fn next_frame(&mut self) -> Result<Option<Item<'_>>, InputError> {
        let Some((payload, timestamp)) = next_frame(&mut self.source, self.units + 1, self.options.value_bytes_max)? else { return Ok(None) };
        self.given = FRAME_HEAD_BYTES + payload;
        self.units += 1;
        let value = &self.source.data()[FRAME_HEAD_BYTES..self.given];
        Ok(Some(Item { key: None, value, timestamp: Some(timestamp) }))
    }

    fn line_error(&self, reason: LineError) -> InputError {
        InputError::Line { name: self.source.name().to_owned(), line: self.units + 1, reason }
    }
}

#[cfg(test)]
mod tests;
