//! Arguments that say how input becomes records, shared by the commands that write. Reads nothing.

use tidelog::export::JsonPath;

use super::write::RECORD_OVERHEAD_BYTES;
use crate::exit::{Exit, Failure};
use crate::input::{Format, ReaderOptions, TimeUnit};

/// Where key and time are found in a record.
#[derive(Debug, clap::Args)]
pub(crate) struct ParseArgs {
    /// Take the key from this path of each JSON value: .user, .a.b[0], ."odd name".
    #[arg(long, value_name = "PATH")]
    key: Option<JsonPath>,
    /// Take the time from this path: RFC 3339 text, or a number with --timestamp-unit.
    #[arg(long, value_name = "PATH")]
    timestamp: Option<JsonPath>,
    /// What a number at --timestamp counts since 1970.
    #[arg(long, value_name = "UNIT", value_enum, requires = "timestamp")]
    timestamp_unit: Option<TimeUnit>,
}

impl ParseArgs {
    /// How to read a source; `batch_bytes_max` is the store's limit.
    pub(crate) fn reader_options(&self, format: Format, separator: u8, batch_bytes_max: u32) -> Result<ReaderOptions, Failure> {
        if matches!(format, Format::Lines | Format::Frames) && (self.key.is_some() || self.timestamp.is_some()) {
            return Err(Failure::new(Exit::Usage, "--key and --timestamp name places in JSON: add --format ndjson"));
        }
        Ok(ReaderOptions {
            format,
            key: self.key.clone(),
            timestamp: self.timestamp.clone(),
            timestamp_unit: self.timestamp_unit,
            separator,
            value_bytes_max: (batch_bytes_max as usize).saturating_sub(RECORD_OVERHEAD_BYTES),
        })
    }

    /// A text that is equal only for settings that make the same records of the same bytes. Its checksum is persisted: never change it.
    pub(crate) fn fingerprint(&self) -> String {
        // The length tells where a path ends, whatever is in it.
        let path = |path: &Option<JsonPath>| path.as_ref().map(JsonPath::to_string).map_or("-".to_owned(), |text| format!("{}:{text}", text.len()));
        let unit = self.timestamp_unit.map_or("-", TimeUnit::name);
        format!("key={} timestamp={} unit={unit}", path(&self.key), path(&self.timestamp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Imports that were begun with these settings are continued by every later version.
    #[test]
    fn the_fingerprint_stays_as_it_is() {
        let none = ParseArgs { key: None, timestamp: None, timestamp_unit: None };
        assert_eq!(none.fingerprint(), "key=- timestamp=- unit=-");
        let all =
            ParseArgs { key: Some(".a[0].\"b c\"".parse().unwrap()), timestamp: Some(".at".parse().unwrap()), timestamp_unit: Some(TimeUnit::Ms) };
        assert_eq!(all.fingerprint(), "key=11:.a[0].\"b c\" timestamp=3:.at unit=ms");
    }
}
