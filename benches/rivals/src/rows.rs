//! The questions: what is measured of each log, and with how many records. Measures nothing.

use crate::log::{Entry, Survives};

/// One question, asked of every log.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) what: What,
    /// Records at scale 1.
    records: usize,
    pub(crate) value_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    /// Appends in batches of so many.
    Append(usize, Survives),
    /// Appends one by one from so many threads.
    Threads(usize),
    Scan,
    Get,
    /// Opens what was closed, and reads the last value where it can be found.
    Reopen,
}

pub(crate) const ROWS: &[Row] = &[
    row("single append, 100 B, survives a kill", What::Append(1, Survives::Kill), 300_000, 100),
    row("single append, 1 KiB, survives a kill", What::Append(1, Survives::Kill), 100_000, 1024),
    row("batches of 100, 100 B, survive a kill", What::Append(100, Survives::Kill), 1_000_000, 100),
    row("batches of 1,000, 100 B, survive a kill", What::Append(1000, Survives::Kill), 1_000_000, 100),
    row("batches of 100, 1 KiB, survive a kill", What::Append(100, Survives::Kill), 200_000, 1024),
    row("durable append, one thread, 100 B", What::Append(1, Survives::PowerLoss), 2000, 100),
    row("durable append, 8 threads, 100 B", What::Threads(8), 8000, 100),
    row("durable append, 64 threads, 100 B", What::Threads(64), 32_000, 100),
    row("scan, 100 B", What::Scan, 1_000_000, 100),
    row("random read by number, 100 B", What::Get, 1_000_000, 100),
    row("reopen after a clean close", What::Reopen, 1_000_000, 100),
];

const fn row(name: &'static str, what: What, records: usize, value_bytes: usize) -> Row {
    Row { name, what, records, value_bytes }
}

impl Row {
    pub(crate) fn is_for(&self, log: &Entry) -> bool {
        match self.what {
            What::Append(_, Survives::Kill) => log.kill.is_some(),
            What::Append(_, Survives::PowerLoss) => log.power_loss.is_some(),
            What::Threads(_) => log.share.is_some(),
            What::Get => log.finds,
            What::Scan | What::Reopen => true,
        }
    }

    /// A multiple of what is appended at once, or of the threads.
    pub(crate) fn records_at(&self, scale: f64) -> usize {
        let unit = match self.what {
            What::Append(batch, _) => batch,
            What::Threads(threads) => threads,
            What::Scan | What::Get | What::Reopen => FILL_BATCH,
        };
        ((self.records as f64 * scale) as usize / unit).max(1) * unit
    }

    /// Whether its figure is of the whole rather than of a record.
    pub(crate) fn is_once(&self) -> bool {
        matches!(self.what, What::Reopen)
    }
}

/// Records of a batch of a log that is made to be read.
pub(crate) const FILL_BATCH: usize = 1000;
