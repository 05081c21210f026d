//! Where reading starts, as people say it: an offset, the last N, a time, so long ago. Reads no clock itself.

use std::str::FromStr;

use jiff::{Span, SpanRelativeTo};

use crate::input::parse_rfc3339;

/// The value of `--from`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Earliest,
    Latest,
    Offset(u64),
    /// The last so many records.
    Last(u64),
    /// The first record at or after this time.
    TimeNs(i64),
    /// The first record at or after so many nanoseconds before now.
    AgoNs(i64),
}

/// Why a text is no place to start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FromError {
    #[error("expected an offset (17), the last records (-100), earliest, latest, a time ago (90s, 15m, 2h, 7d, P1DT12H) or an RFC 3339 time")]
    Unknown,
    #[error("out of range: offsets go to {}", i64::MAX)]
    OffsetOutOfRange,
    #[error("longer ago than 292 years")]
    TooLongAgo,
    #[error("years and months have no fixed length: say it in days, as P30D")]
    NoFixedLength,
    #[error("expected an ISO 8601 duration, as PT1H30M, P1DT12H or P7D: {0}")]
    Duration(String),
    #[error("{0}")]
    Time(String),
}

impl FromStr for From {
    type Err = FromError;

    fn from_str(text: &str) -> Result<Self, FromError> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let offset = |text: &str| text.parse::<u64>().ok().filter(|offset| i64::try_from(*offset).is_ok()).ok_or(FromError::OffsetOutOfRange);
        match text {
            "earliest" => return Ok(Self::Earliest),
            "latest" => return Ok(Self::Latest),
            _ if digits(text) => return offset(text).map(Self::Offset),
            _ => {}
        }
        if let Some(last) = text.strip_prefix('-').filter(|rest| digits(rest)) {
            return offset(last).map(Self::Last);
        }
        if let Some((count, unit_ns)) = split_unit(text).filter(|(count, _)| digits(count)) {
            let count = count.parse::<i64>().map_err(|_| FromError::TooLongAgo)?;
            return count.checked_mul(unit_ns).map(Self::AgoNs).ok_or(FromError::TooLongAgo);
        }
        if text.starts_with(['P', 'p']) {
            return iso_8601_ns(text).map(Self::AgoNs);
        }
        if text.starts_with(|character: char| character.is_ascii_digit()) && text.contains(['-', ':']) {
            return parse_rfc3339(text).map(|time| Self::TimeNs(time.get())).map_err(|error| FromError::Time(error.to_string()));
        }
        Err(FromError::Unknown)
    }
}

fn split_unit(text: &str) -> Option<(&str, i64)> {
    const SECOND_NS: i64 = 1_000_000_000;
    const UNITS: [(&str, i64); 5] =
        [("ms", 1_000_000), ("s", SECOND_NS), ("m", 60 * SECOND_NS), ("h", 3600 * SECOND_NS), ("d", 24 * 3600 * SECOND_NS)];
    UNITS.iter().find_map(|(suffix, unit_ns)| Some((text.strip_suffix(suffix)?, *unit_ns)))
}

/// As Kafka's tools take it; a day has 24 hours.
fn iso_8601_ns(text: &str) -> Result<i64, FromError> {
    let wrong = |error: jiff::Error| FromError::Duration(error.to_string());
    let span: Span = text.parse().map_err(wrong)?;
    if (span.get_years(), span.get_months()) != (0, 0) {
        return Err(FromError::NoFixedLength);
    }
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(wrong)?;
    i64::try_from(duration.as_nanos()).map_err(|_| FromError::TooLongAgo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_told_apart() {
        const HOUR_NS: i64 = 3_600_000_000_000;
        for (text, expected) in [
            ("17", From::Offset(17)),
            ("0", From::Offset(0)),
            ("9223372036854775807", From::Offset(i64::MAX as u64)),
            ("-100", From::Last(100)),
            ("-0", From::Last(0)),
            ("earliest", From::Earliest),
            ("latest", From::Latest),
            ("2h", From::AgoNs(2 * HOUR_NS)),
            ("15m", From::AgoNs(HOUR_NS / 4)),
            ("7d", From::AgoNs(7 * 24 * HOUR_NS)),
            ("250ms", From::AgoNs(250_000_000)),
            ("PT1H30M", From::AgoNs(HOUR_NS * 3 / 2)),
            ("P1DT12H", From::AgoNs(36 * HOUR_NS)),
            ("P7D", From::AgoNs(7 * 24 * HOUR_NS)),
            ("P2W", From::AgoNs(14 * 24 * HOUR_NS)),
            ("PT0.25S", From::AgoNs(250_000_000)),
            ("pt90m", From::AgoNs(HOUR_NS * 3 / 2)),
            ("PT0S", From::AgoNs(0)),
            ("2023-11-14T22:13:20Z", From::TimeNs(1_700_000_000_000_000_000)),
            ("2023-11-15T00:13:20.5+02:00", From::TimeNs(1_700_000_000_500_000_000)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_an_error() {
        for text in ["", "-", "--1", "h", "-2h", "2w", "2.5h", "-P1D", "17x", "Earliest", "+5", "\u{661}", "2h15"] {
            assert_eq!(text.parse::<From>(), Err(FromError::Unknown), "{text}");
        }
        for text in ["9223372036854775808", "99999999999999999999999", "-9223372036854775808"] {
            assert_eq!(text.parse::<From>(), Err(FromError::OffsetOutOfRange), "{text}");
        }
        for text in ["9999999d", "99999999999999999999h", "P110000D"] {
            assert_eq!(text.parse::<From>(), Err(FromError::TooLongAgo), "{text}");
        }
        for text in ["P1Y", "P6M", "P1Y2M3DT4H"] {
            assert_eq!(text.parse::<From>(), Err(FromError::NoFixedLength), "{text}");
        }
        for text in ["P", "PT", "P1", "P1DT", "P1H", "PT1D", "PT1M1H", "PT-6H", "P1D ", "P99999999999D", "PT1H30", "Please"] {
            assert!(matches!(text.parse::<From>(), Err(FromError::Duration(_))), "{text}: {:?}", text.parse::<From>());
        }
        for text in ["2023-11-14", "2023-11-14T22:13:20", "2023-13-14T22:13:20Z"] {
            assert!(matches!(text.parse::<From>(), Err(FromError::Time(_))), "{text}");
        }
    }
}
