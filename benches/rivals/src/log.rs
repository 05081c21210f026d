//! What a log must do to take part.

use std::path::Path;

use crate::rows::End;

/// What an append that has returned survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Survives {
    /// The end of the process at any moment: the bytes are the kernel's.
    Kill,
    /// The loss of power too: they were synced, each append by itself.
    PowerLoss,
}

/// A log that is open.
pub(crate) trait Log {
    /// Appends values, as one batch where the log has such a thing.
    fn append(&mut self, values: &[&[u8]]);

    /// Appends each value by itself, waiting for none before the last is handed over; all have survived the loss of power once this returns.
    /// The default is for a log whose batch is just that: its values one by one, and a sync.
    fn append_outstanding(&mut self, values: &[&[u8]]) {
        self.append(values);
    }

    /// Reads all values in order, with whatever checks the log makes.
    fn scan(&mut self, visit: &mut dyn FnMut(&[u8]));

    /// Reads the value of number `number`, counted from 0, if the log can find it by that.
    fn get(&mut self, number: u64, visit: &mut dyn FnMut(&[u8]));
}

/// A log that many threads append to.
pub(crate) trait Shared: Sync {
    /// Appends a value, which has survived the loss of power once this returns.
    fn append(&self, value: &[u8]);
}

/// A log that takes part, and how.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// What it does for [`Survives::Kill`]; `None` if what it has not synced is in its own memory.
    pub(crate) kill: Option<&'static str>,
    /// What it does for [`Survives::PowerLoss`]; `None` if it never syncs.
    pub(crate) power_loss: Option<&'static str>,
    /// Whether it finds a value by its number.
    pub(crate) finds: bool,
    pub(crate) reads: Reads,
    /// What an open looks at, after a clean close and after a kill.
    pub(crate) opens: (Opens, Opens),
    /// Whether one thread can have durable appends outstanding.
    pub(crate) defers: bool,
    /// Opens it in a directory that is there, and empty the first time.
    pub(crate) open: fn(&Path, Survives) -> Box<dyn Log>,
    /// Opens it for many threads.
    pub(crate) share: Option<Share>,
}

pub(crate) type Share = fn(&Path) -> Box<dyn Shared>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// From its files, against a checksum.
    Verified,
    /// From its files, which it trusts.
    Trusting,
    /// From a copy of everything in its memory.
    Memory,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opens {
    /// It checks what it reads for it against checksums.
    Verified,
    /// It trusts its files.
    Trusting,
    /// It does not find what was in it.
    Lost,
}

impl Entry {
    pub(crate) fn opens(&self, end: End) -> Opens {
        if end == End::Closed { self.opens.0 } else { self.opens.1 }
    }
}
