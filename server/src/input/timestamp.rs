//! Event times as people and programs write them, in nanoseconds. Never rounds, never guesses a unit.

use tidelog::TimestampNs;

use super::LineError;
use super::decimal::scaled;
use super::error::shorten;

/// What a bare number counts since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TimeUnit {
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
}

impl TimeUnit {
    /// Part of what is persisted about an import: never changed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::S => "s",
            Self::Ms => "ms",
            Self::Us => "us",
            Self::Ns => "ns",
        }
    }

    fn decimals(self) -> i64 {
        match self {
            Self::S => 9,
            Self::Ms => 6,
            Self::Us => 3,
            Self::Ns => 0,
        }
    }
}

/// The time that a JSON value says: a string is RFC 3339, or a number if a unit was given; a number needs the unit.
pub(crate) fn timestamp_of(json: &str, unit: Option<TimeUnit>) -> Result<TimestampNs, LineError> {
    match json.as_bytes().first() {
        Some(b'"') => {
            let text: std::borrow::Cow<'_, str> = match unescaped(json) {
                Some(text) => text.into(),
                None => serde_json::from_str::<String>(json).map_err(LineError::not_json)?.into(),
            };
            // CSV knows only strings: with a unit, digits in quotes are a number too.
            match unit {
                Some(unit) if looks_numeric(&text) => number(&text, unit),
                _ => parse_rfc3339(&text),
            }
        }
        Some(b'-' | b'0'..=b'9') => match unit {
            Some(unit) => number(json, unit),
            None => Err(LineError::UnitMissing { found: shorten(json) }),
        },
        _ => Err(LineError::NotATime { found: shorten(json) }),
    }
}

/// An RFC 3339 time with its offset from UTC.
pub(crate) fn parse_rfc3339(text: &str) -> Result<TimestampNs, LineError> {
    let refused = |reason: String| LineError::NotRfc3339 { found: shorten(text), reason };
    let time: jiff::Timestamp = text.parse().map_err(|error: jiff::Error| refused(error.to_string()))?;
    let ns = i64::try_from(time.as_nanosecond()).map_err(|_| refused("outside of 1677-09-21 to 2262-04-11".to_owned()))?;
    Ok(TimestampNs::new(ns))
}

fn number(text: &str, unit: TimeUnit) -> Result<TimestampNs, LineError> {
    scaled(text, unit.decimals()).map(TimestampNs::new).map_err(|reason| LineError::Number { found: shorten(text), reason })
}

/// A JSON string without escapes is its own text.
pub(crate) fn unescaped(json: &str) -> Option<&str> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() { Some(inner) } else { None }
}

/// Digits, a sign, a point, an exponent: an RFC 3339 time has a `T` or a `:`.
fn looks_numeric(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) && text.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ns(json: &str, unit: Option<TimeUnit>) -> i64 {
        timestamp_of(json, unit).unwrap().get()
    }

    #[test]
    fn rfc_3339_with_any_offset_and_nanoseconds() {
        assert_eq!(ns(r#""2023-11-14T22:13:20Z""#, None), 1_700_000_000_000_000_000);
        assert_eq!(ns(r#""2023-11-14T23:13:20.123456789+01:00""#, None), 1_700_000_000_123_456_789);
        assert_eq!(ns(r#""1969-12-31T23:59:59.999999999Z""#, None), -1);
        assert_eq!(ns(r#""2023-11-14T22:13:20\u005a""#, None), 1_700_000_000_000_000_000);
        assert_eq!(ns(r#""2023-11-14T22:13:20Z""#, Some(TimeUnit::S)), 1_700_000_000_000_000_000);
    }

    #[test]
    fn numbers_with_a_unit() {
        assert_eq!(ns("1700000000", Some(TimeUnit::S)), 1_700_000_000_000_000_000);
        assert_eq!(ns("1700000000.5", Some(TimeUnit::S)), 1_700_000_000_500_000_000);
        assert_eq!(ns("1700000000123", Some(TimeUnit::Ms)), 1_700_000_000_123_000_000);
        assert_eq!(ns("-1", Some(TimeUnit::Us)), -1000);
        assert_eq!(ns(r#""1700000000""#, Some(TimeUnit::S)), 1_700_000_000_000_000_000);
    }

    #[test]
    fn what_is_no_time_says_so() {
        let message = |json, unit| timestamp_of(json, unit).unwrap_err().to_string();
        assert!(message("17", None).contains("--timestamp-unit"));
        assert!(message("1e300", Some(TimeUnit::S)).contains("1677"));
        assert!(message(r#""yesterday""#, None).contains("yesterday"));
        assert!(message(r#""2023-11-14T22:13:20""#, None).contains("RFC 3339"), "a time without an offset is no instant");
        assert!(message(r#""3000-01-01T00:00:00Z""#, None).contains("2262"));
        assert!(message("true", None).contains("neither"));
        assert!(message("[1]", Some(TimeUnit::S)).contains("neither"));
    }
}
