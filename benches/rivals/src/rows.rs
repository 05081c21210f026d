//! The questions: what is measured of each log, with how many records, beside which plain code. Measures nothing.

use crate::log::{Entry, Opens, Reads, Survives};
use crate::marks::Mark;

/// One question, asked of every log.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) what: What,
    /// Records at scale 1.
    records: usize,
    pub(crate) value_bytes: usize,
    pub(crate) mark: Option<Mark>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    /// Appends in batches of so many.
    Append(usize, Survives),
    /// Appends one by one from so many threads.
    Threads(usize),
    /// Hands over so many appends before it waits for any of them.
    Outstanding(usize),
    /// Of what was appended in batches of so many.
    Scan(usize),
    /// Random reads, in the process that wrote or in one that has just opened it, of what was appended in batches of so many.
    Get(Opened, usize),
    /// Opens what another process left, then reads all of it.
    Reopen(End),
    /// Bytes on disk after a clean close, and memory of the process that wrote.
    Footprint,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opened {
    Before,
    Now,
}

/// How the process before ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    /// By SIGKILL, with the log open.
    Killed,
}

pub(crate) const ROWS: &[Row] = &[
    append("single append, 100 B, survives a kill", 1, 300_000, 100, Mark::MapStores),
    append("single append, 1 KiB, survives a kill", 1, 100_000, 1024, Mark::MapStores),
    append("single append, 16 KiB, survives a kill", 1, 20_000, 16 << 10, Mark::MapStores),
    append("batches of 100, 100 B, survive a kill", 100, 1_000_000, 100, Mark::Writes),
    append("batches of 1,000, 100 B, survive a kill", 1000, 1_000_000, 100, Mark::Writes),
    append("batches of 1,000, 100 B, 10 M records, survive a kill", 1000, 10_000_000, 100, Mark::Writes),
    append("batches of 100, 1 KiB, survive a kill", 100, 200_000, 1024, Mark::Writes),
    append("batches of 100, 16 KiB, survive a kill", 100, 20_000, 16 << 10, Mark::Writes),
    row("durable append, one thread, 100 B", What::Append(1, Survives::PowerLoss), 2000, 100).beside(Mark::Syncs(1)),
    row("durable append, 8 threads, 100 B", What::Threads(8), 8000, 100).beside(Mark::Syncs(8)),
    row("durable append, 64 threads, 100 B", What::Threads(64), 32_000, 100).beside(Mark::Syncs(64)),
    row("durable append, one thread, 8 outstanding, 100 B", What::Outstanding(8), 8000, 100).beside(Mark::Syncs(8)),
    row("scan, 100 B in batches of 1,000", What::Scan(FILL_BATCH), 1_000_000, 100).beside(Mark::Memory),
    row("scan, 1 KiB in batches of 1,000", What::Scan(FILL_BATCH), 200_000, 1024).beside(Mark::Memory),
    row("scan, 100 B one by one", What::Scan(1), 200_000, 100).beside(Mark::Memory),
    row("random read by number, 100 B in batches of 1,000", What::Get(Opened::Before, FILL_BATCH), 1_000_000, 100).beside(Mark::MapReads),
    row("random read by number, 100 B one by one", What::Get(Opened::Before, 1), 200_000, 100).beside(Mark::MapReads),
    row("random read right after an open, 100 B one by one", What::Get(Opened::Now, 1), 200_000, 100).beside(Mark::MapReads),
    row("reopen after a clean close, 1 M of 100 B", What::Reopen(End::Closed), 1_000_000, 100).beside(Mark::Checksum),
    row("reopen after a clean close, 10 M of 100 B", What::Reopen(End::Closed), 10_000_000, 100).beside(Mark::Checksum),
    row("reopen after kill -9, 1 M of 100 B", What::Reopen(End::Killed), 1_000_000, 100).beside(Mark::Checksum),
    row("reopen after kill -9, 10 M of 100 B", What::Reopen(End::Killed), 10_000_000, 100).beside(Mark::Checksum),
    row("4 M of 100 B, in batches of 1,000", What::Footprint, 4_000_000, 100),
];

/// Of these rows: what they are called where there is little room, and what an append survives.
pub(crate) const SHORT: &[(&str, &str, &str)] = &[
    ("single append, 100 B, survives a kill", "single append", "`kill -9`"),
    ("single append, 16 KiB, survives a kill", "single append of 16 KiB", "`kill -9`"),
    ("batches of 100, 100 B, survive a kill", "batches of 100", "`kill -9`"),
    ("batches of 1,000, 100 B, survive a kill", "batches of 1,000", "`kill -9`"),
    ("batches of 100, 16 KiB, survive a kill", "batches of 100 of 16 KiB", "`kill -9`"),
    ("durable append, one thread, 100 B", "one thread", "power loss"),
    ("durable append, 8 threads, 100 B", "8 threads", "power loss"),
    ("durable append, 64 threads, 100 B", "64 threads", "power loss"),
    ("scan, 100 B in batches of 1,000", "scan, batches of 1,000", ""),
    ("scan, 1 KiB in batches of 1,000", "scan of 1 KiB, batches of 1,000", ""),
    ("random read by number, 100 B one by one", "random read", ""),
    ("reopen after a clean close, 10 M of 100 B", "open after a clean close, 10 M records", ""),
    ("reopen after kill -9, 10 M of 100 B", "open after `kill -9`, 10 M records", ""),
];

const fn row(name: &'static str, what: What, records: usize, value_bytes: usize) -> Row {
    Row { name, what, records, value_bytes, mark: None }
}

const fn append(name: &'static str, batch: usize, records: usize, value_bytes: usize, mark: Mark) -> Row {
    row(name, What::Append(batch, Survives::Kill), records, value_bytes).beside(mark)
}

/// What a row prints: a figure of it, or three that belong together.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    /// Which figure, or the first one of three.
    pub(crate) at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Nanoseconds a record, shown as records a second; CPU time comes next.
    Rate,
    /// Nanoseconds of all of it; CPU time comes next.
    Time,
    /// Nanoseconds that half, 99 % and 99.9 % of them stay under.
    Quantiles,
    Bytes,
}

impl Row {
    const fn beside(self, mark: Mark) -> Self {
        Self { mark: Some(mark), ..self }
    }

    /// Whether a log can do it at all. One that has nothing less than a sync is not filled one by one: it would take hours.
    pub(crate) fn is_for(&self, log: &Entry) -> bool {
        if self.fill_batch() == 1 && log.kill.is_none() {
            return false;
        }
        match self.what {
            What::Append(_, Survives::Kill) => log.kill.is_some(),
            What::Append(_, Survives::PowerLoss) => log.power_loss.is_some(),
            What::Threads(_) => log.share.is_some(),
            What::Outstanding(_) => log.defers,
            What::Get(..) => log.finds,
            What::Scan(_) | What::Footprint => true,
            What::Reopen(end) => log.opens(end) != Opens::Lost,
        }
    }

    /// Whether what a log does for it is as much as the engine does: only those are compared.
    pub(crate) fn is_matched_by(&self, log: &Entry) -> bool {
        match self.what {
            What::Scan(_) | What::Get(..) => log.reads != Reads::Memory,
            What::Reopen(end) => log.opens(end) == Opens::Verified,
            _ => true,
        }
    }

    /// A multiple of what is appended at once, or of the threads.
    pub(crate) fn records_at(&self, scale: f64) -> usize {
        let unit = match self.what {
            What::Append(unit, _) | What::Threads(unit) | What::Outstanding(unit) => unit,
            What::Scan(_) | What::Get(..) | What::Reopen(_) | What::Footprint => FILL_BATCH,
        };
        ((self.records as f64 * scale) as usize / unit).max(1) * unit
    }

    /// How the process ends that writes what another one measures; none if one does both.
    pub(crate) fn filled_by(&self) -> Option<End> {
        match self.what {
            What::Reopen(end) => Some(end),
            What::Get(Opened::Now, _) => Some(End::Closed),
            _ => None,
        }
    }

    /// Whether each record of it is on the device before its append is acknowledged.
    pub(crate) fn syncs(&self) -> bool {
        matches!(self.what, What::Append(_, Survives::PowerLoss) | What::Threads(_) | What::Outstanding(_))
    }

    /// How many records a log is filled with at once, where it is filled to be read.
    pub(crate) fn fill_batch(&self) -> usize {
        match self.what {
            What::Scan(batch) | What::Get(_, batch) => batch,
            _ => FILL_BATCH,
        }
    }

    pub(crate) fn lines(&self) -> Vec<Line> {
        let line = |name: String, unit, at| Line { name, unit, at };
        let first = |unit| line(self.name.to_owned(), unit, 0);
        match self.what {
            What::Append(_, Survives::Kill) | What::Scan(_) | What::Get(..) => vec![first(Unit::Rate)],
            What::Append(_, Survives::PowerLoss) | What::Threads(_) | What::Outstanding(_) => {
                let latency = line(format!("{}: latency p50 / p99 / p99.9", self.name), Unit::Quantiles, 2);
                vec![first(Unit::Rate), latency, line(format!("{}: bytes written to the device a record", self.name), Unit::Bytes, 5)]
            }
            What::Reopen(_) => vec![first(Unit::Time)],
            What::Footprint => vec![
                line(format!("bytes on disk a record, {}", self.name), Unit::Bytes, 0),
                line(format!("memory of the process that wrote {}", self.name), Unit::Bytes, 1),
            ],
        }
    }
}

/// Records of a batch of a log that is made to be read.
const FILL_BATCH: usize = 1000;
