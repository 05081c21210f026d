//! What a table's configuration says of its checkpoints. Reads values that others have written; writes none.

use crate::export::delta_action::MetaData;

/// Behind how many commits there is to be a checkpoint.
///
/// 100 by default: to read so many commits takes some milliseconds, and a checkpoint names each file of the table anew.
pub(super) fn checkpoint_interval(meta_data: &MetaData) -> u64 {
    value(meta_data, "delta.checkpointInterval").and_then(|text| text.parse().ok()).filter(|interval| *interval > 0).unwrap_or(CHECKPOINT_INTERVAL)
}

/// For how long files that were removed are named, in milliseconds: by default a week. `None` if it is not understood: then for ever.
pub(super) fn tombstone_ms(meta_data: &MetaData) -> Option<i64> {
    value(meta_data, "delta.deletedFileRetentionDuration").map_or(Some(WEEK_MS), interval_ms)
}

/// Whether checkpoints of this table hold only what is written here. Statistics in columns of their own are for those who asked for them.
pub(super) fn has_plain_checkpoints(meta_data: &MetaData) -> bool {
    let is = |key: &str, expected: bool| value(meta_data, key).map(|text| text.eq_ignore_ascii_case("true")) == Some(expected);
    !is("delta.checkpoint.writeStatsAsStruct", true) && !is("delta.checkpoint.writeStatsAsJson", false)
}

fn value<'a>(meta_data: &'a MetaData, key: &str) -> Option<&'a str> {
    meta_data.configuration.get(key)?.as_deref()
}

/// `interval 1 week`, `interval 36 hours 30 minutes`: numbers and units, by turns.
fn interval_ms(text: &str) -> Option<i64> {
    let text = text.to_lowercase();
    let mut words = text.split_whitespace().skip_while(|word| *word == "interval").peekable();
    words.peek()?;
    let mut sum_ms = 0_i64;
    while let Some(number) = words.next() {
        let unit_ms = match words.next()?.trim_end_matches('s') {
            "week" => WEEK_MS,
            "day" => 24 * HOUR_MS,
            "hour" => HOUR_MS,
            "minute" => 60_000,
            "second" => 1000,
            "millisecond" => 1,
            _ => return None,
        };
        sum_ms = sum_ms.checked_add(number.parse::<i64>().ok().filter(|number| *number >= 0)?.checked_mul(unit_ms)?)?;
    }
    Some(sum_ms)
}

const CHECKPOINT_INTERVAL: u64 = 100;
const HOUR_MS: i64 = 3_600_000;
const WEEK_MS: i64 = 7 * 24 * HOUR_MS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_numbers_and_units() {
        for (text, expected) in [
            ("interval 1 week", Some(WEEK_MS)),
            ("INTERVAL 7 DAYS", Some(WEEK_MS)),
            ("168 hours", Some(WEEK_MS)),
            ("interval 1 day 30 minutes 5 seconds 1 millisecond", Some(24 * HOUR_MS + 1_805_001)),
            ("interval 0 seconds", Some(0)),
            ("interval", None),
            ("", None),
            ("interval 1 month", None),
            ("interval week", None),
            ("interval 1", None),
            ("interval -1 day", None),
            ("interval 9223372036854775807 weeks", None),
        ] {
            assert_eq!(interval_ms(text), expected, "{text:?}");
        }
    }
}
