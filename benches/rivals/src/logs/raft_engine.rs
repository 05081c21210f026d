//! [raft-engine](https://docs.rs/raft-engine): "If `sync` is true, the write will be followed by a call to `fdatasync` on the log file", one for
//! all who wait: "When one write in a batch is marked synchronous, the batch leader will call `fdatasync()`". "Setting it to zero disables
//! compression", which random bytes gain nothing from. Entries of one group, numbered from 1; where each lies is in its memory.

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use protobuf::descriptor::UninterpretedOption;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

use crate::log::{Entry, Log, Opens, Reads, Shared, Survives};

pub(crate) const ENTRY: Entry = Entry {
    name: "raft-engine",
    kill: Some("pwrite"),
    power_loss: Some("fdatasync"),
    finds: true,
    reads: Reads::Verified,
    opens: (Opens::Verified, Opens::Verified),
    defers: true,
    open: |dir, survives| {
        let engine = open(dir);
        let next = engine.last_index(GROUP).map_or(1, |last| last + 1);
        Box::new(Group { engine, batch: LogBatch::default(), entries: Vec::new(), next, is_durable: survives == Survives::PowerLoss })
    },
    share: Some(|dir| Box::new(Many { engine: open(dir), groups: AtomicU64::new(GROUP) })),
};

/// A message of a number and bytes that the protobuf crate brings along: what a Raft entry is but for its type and term.
#[derive(Clone)]
struct Numbered;

impl MessageExt for Numbered {
    type Entry = UninterpretedOption;

    fn index(entry: &UninterpretedOption) -> u64 {
        entry.get_positive_int_value()
    }
}

struct Group {
    engine: Engine,
    batch: LogBatch,
    entries: Vec<UninterpretedOption>,
    next: u64,
    is_durable: bool,
}

struct Many {
    engine: Engine,
    /// The next one: numbers of a group are in the order of its writes, so each thread has a group of its own.
    groups: AtomicU64,
}

fn open(dir: &Path) -> Engine {
    let dir = dir.to_str().expect("a path of letters").to_owned();
    Engine::open(Config { dir, batch_compression_threshold: ReadableSize(0), ..Config::default() }).expect("it opens")
}

fn numbered(number: u64, value: &[u8]) -> UninterpretedOption {
    let mut entry = UninterpretedOption::new();
    entry.set_positive_int_value(number);
    entry.set_string_value(value.to_vec());
    entry
}

impl Log for Group {
    fn append(&mut self, values: &[&[u8]]) {
        self.entries.clear();
        for value in values {
            self.entries.push(numbered(self.next, value));
            self.next += 1;
        }
        self.batch.add_entries::<Numbered>(GROUP, &self.entries).expect("it has room");
        self.engine.write(&mut self.batch, self.is_durable).expect("it appends");
    }

    fn append_outstanding(&mut self, values: &[&[u8]]) {
        // The last one's sync is the file's.
        for (number, value) in values.iter().enumerate() {
            self.is_durable = number + 1 == values.len();
            self.append(&[value]);
        }
    }

    fn scan(&mut self, visit: &mut dyn FnMut(&[u8])) {
        for group in self.engine.raft_groups() {
            let mut next = self.engine.first_index(group).expect("it has entries");
            let end = self.engine.last_index(group).expect("it has entries") + 1;
            while next < end {
                self.entries.clear();
                let upto = end.min(next + READ_ENTRIES);
                let found = self.engine.fetch_entries_to::<Numbered>(group, next, upto, None, &mut self.entries).expect("it reads");
                self.entries.iter().for_each(|entry| visit(entry.get_string_value()));
                next += found as u64;
            }
        }
    }

    fn get(&mut self, number: u64, visit: &mut dyn FnMut(&[u8])) {
        let entry = self.engine.get_entry::<Numbered>(GROUP, number + 1).expect("it reads").expect("it is there");
        visit(entry.get_string_value());
    }
}

impl Shared for Many {
    fn append(&self, value: &[u8]) {
        let (group, number) = OWN.get().unwrap_or_else(|| (self.groups.fetch_add(1, Ordering::Relaxed), 1));
        OWN.set(Some((group, number + 1)));
        let mut batch = LogBatch::default();
        batch.add_entries::<Numbered>(group, &[numbered(number, value)]).expect("it has room");
        self.engine.write(&mut batch, true).expect("it appends");
    }
}

thread_local! {
    /// Group of this thread, and its next number.
    static OWN: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

const GROUP: u64 = 1;
const READ_ENTRIES: u64 = 1000;
