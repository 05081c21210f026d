//! The data set that is compiled in: lines of JSON with their times. Reads no file.

use tidelog::TimestampNs;

use crate::exit::{Exit, Failure};
use crate::input::parse_rfc3339;

/// Whose data it is.
pub(super) const CREDIT: &str = "USGS, public domain";

/// The lines, as a file has them.
pub(super) const NDJSON: &[u8] = include_bytes!("../../../data/earthquakes.ndjson");

/// Real events in the order of their times.
pub(super) struct Events(Vec<Event>);

/// One line without its newline.
pub(super) struct Event {
    pub(super) line: &'static [u8],
    pub(super) time: TimestampNs,
}

impl Events {
    /// Finds the lines and their times.
    pub(super) fn compiled_in() -> Result<Self, Failure> {
        let lines = NDJSON.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let events = lines.map(|line| Some(Event { line, time: time_of(line)? })).collect::<Option<_>>();
        events.map(Self).ok_or_else(|| Failure::new(Exit::Failed, "an event that is compiled in has no time"))
    }

    pub(super) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// What the writer is fed for an offset, when the log begins at 0 and the lines are fed over and over.
    pub(super) fn at(&self, offset: u64) -> &Event {
        &self.0[(offset % self.len()) as usize]
    }

    /// A time between the first and the last, as people would ask for: noon of a day.
    pub(super) fn middle_of_the_week(&self) -> TimestampNs {
        const DAY_NS: i64 = 86_400_000_000_000;
        let middle = self.0[self.0.len() / 2].time.get();
        TimestampNs::new(middle - middle.rem_euclid(DAY_NS) + DAY_NS / 2)
    }

    /// The offset of the first of them, in offset order, with at least this time.
    pub(super) fn first_at_or_after(&self, time: TimestampNs) -> Option<u64> {
        self.0.iter().position(|event| event.time >= time).map(|index| index as u64)
    }
}

fn time_of(line: &[u8]) -> Option<TimestampNs> {
    let event: serde_json::Value = serde_json::from_slice(line).ok()?;
    parse_rfc3339(event["time"].as_str()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_events_are_real_and_in_order() {
        let events = Events::compiled_in().unwrap();
        assert_eq!(events.len(), 1_707);
        assert!(NDJSON.len() < 300 << 10);
        assert!(events.0.is_sorted_by_key(|event| event.time));
        let wanted = events.middle_of_the_week();
        let first = events.first_at_or_after(wanted).unwrap();
        assert!((1..events.len()).contains(&first));
        assert!(events.at(first - 1).time < wanted && events.at(first).time >= wanted);
        assert_eq!(events.at(events.len() + 3).line, events.at(3).line);
    }
}
