//! [walrus-rust](https://docs.rs/walrus-rust): "Never fsync (maximum throughput, no durability guarantees)" against a kill, and its mapped
//! backend, which was the faster one for that when tried, though not the default; "Fsync after every single write (maximum durability, lower
//! throughput)" against the loss of power, by the default backend, where "files are opened with the `O_SYNC` flag". A batch is synced whatever
//! was asked for, so each value is an append of its own. It reads what a cursor has not passed yet, and finds nothing by number. A read of
//! one syncs each time; a read of many (0.2.0) passes over records if its bound of bytes cuts one, so its bound is made of whole ones.

use std::path::{Path, PathBuf};

use walrus_rust::{FsyncSchedule, ReadConsistency, Walrus};

use crate::log::{Entry, Log, Opens, Reads, Shared, Survives};

pub(crate) const ENTRY: Entry = Entry {
    name: "walrus-rust",
    kill: Some("stores into a map"),
    power_loss: Some("pwrite (O_SYNC), fsync"),
    finds: false,
    reads: Reads::Verified,
    opens: (Opens::Verified, Opens::Verified),
    defers: false,
    open: |dir, survives| Box::new(Topic { wal: open(dir, survives), survives, was_read: false, dir: dir.to_owned() }),
    share: Some(|dir| Box::new(Many(open(dir, Survives::PowerLoss)))),
};

struct Topic {
    wal: Walrus,
    survives: Survives,
    was_read: bool,
    dir: PathBuf,
}

struct Many(Walrus);

/// It takes its directory from the process alone: see where the process is started.
fn open(dir: &Path, survives: Survives) -> Walrus {
    assert_eq!(std::env::var_os("WALRUS_DATA_DIR").as_deref(), Some(dir.as_os_str()), "the process was started for another directory");
    let schedule = match survives {
        Survives::Kill => {
            walrus_rust::disable_fd_backend();
            FsyncSchedule::NoFsync
        }
        Survives::PowerLoss => FsyncSchedule::SyncEach,
    };
    // The cursor is never written down, so that whoever opens it reads from the start.
    let consistency = ReadConsistency::AtLeastOnce { persist_every: u32::MAX };
    Walrus::with_consistency_and_schedule_for_key("bench", consistency, schedule).expect("it opens")
}

impl Log for Topic {
    fn append(&mut self, values: &[&[u8]]) {
        values.iter().for_each(|value| self.wal.append_for_topic(TOPIC, value).expect("it appends"));
    }

    fn scan(&mut self, visit: &mut dyn FnMut(&[u8])) {
        if std::mem::replace(&mut self.was_read, true) {
            self.wal = open(&self.dir, self.survives);
        }
        let first = self.wal.batch_read_for_topic(TOPIC, PEEK_BYTES, false).expect("it reads");
        let Some(first) = first.first() else { return };
        let read_bytes = READ_ENTRIES * (HEAD_BYTES + first.data.len());
        loop {
            let entries = self.wal.batch_read_for_topic(TOPIC, read_bytes, true).expect("it reads");
            if entries.is_empty() {
                return;
            }
            entries.iter().for_each(|entry| visit(&entry.data));
        }
    }

    fn get(&mut self, _: u64, _: &mut dyn FnMut(&[u8])) {
        unreachable!("its entry says so");
    }
}

impl Shared for Many {
    fn append(&self, value: &[u8]) {
        self.0.append_for_topic(TOPIC, value).expect("it appends");
    }
}

const TOPIC: &str = "bench";
/// The most that one read returns, and what stands before each.
const READ_ENTRIES: usize = 2000;
const HEAD_BYTES: usize = 64;
/// Takes in one value.
const PEEK_BYTES: usize = 32 << 10;
