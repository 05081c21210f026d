//! [nano-wal](https://docs.rs/nano-wal): "one syscall for N records", a writev; fdatasync if it is asked for. A scan "coalesces up to 512 entries into a
//! single syscall". It has no checksums, and finds a value by the position that the append returned alone.

use std::time::Duration;

use nano_wal::{EntryRef, ReadDescriptor, Wal, WalOptions, WriteEntry, read_batch};

use crate::log::{Entry, Log, Opens, Reads, Survives};

pub(crate) const ENTRY: Entry = Entry {
    name: "nano-wal",
    kill: Some("writev"),
    power_loss: Some("fdatasync"),
    finds: false,
    reads: Reads::Trusting,
    opens: (Opens::Lost, Opens::Lost),
    defers: true,
    open: |dir, survives| {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let options = WalOptions { retention: hours(1000), segment_duration: hours(1000) };
        Box::new(NanoWal {
            wal: Wal::new(dir, "bench", options).expect("it opens"),
            entries: Vec::new(),
            is_durable: survives == Survives::PowerLoss,
        })
    },
    share: None,
};

struct NanoWal {
    wal: Wal,
    /// It has no way to read without them.
    entries: Vec<EntryRef>,
    is_durable: bool,
}

impl Log for NanoWal {
    fn append(&mut self, values: &[&[u8]]) {
        if let [value] = values {
            return self.entries.push(self.wal.append(None, value, NOW_MS, self.is_durable).expect("it appends"));
        }
        let batch: Vec<WriteEntry> = values.iter().map(|value| WriteEntry { header: None, content: value }).collect();
        // More slices than one writev takes are an error.
        for batch in batch.chunks(IOV_MAX / SLICES) {
            self.entries.extend(self.wal.append_batch(batch, NOW_MS, self.is_durable).expect("it appends"));
        }
    }

    fn append_outstanding(&mut self, values: &[&[u8]]) {
        // The last one's sync is the file's.
        for (number, value) in values.iter().enumerate() {
            let is_last = number + 1 == values.len();
            self.entries.push(self.wal.append(None, value, NOW_MS, is_last).expect("it appends"));
        }
    }

    fn scan(&mut self, visit: &mut dyn FnMut(&[u8])) {
        let segment = self.wal.ensure_segment(NOW_MS).expect("there is one");
        for entries in self.entries.chunks(READ_AT_ONCE) {
            let read_of =
                |entry: &EntryRef| ReadDescriptor { read_fd: segment.read_fd().clone(), file_offset: entry.file_offset, byte_size: entry.byte_size };
            let records = read_batch(&entries.iter().map(read_of).collect::<Vec<_>>()).expect("it reads");
            records.iter().for_each(|record| visit(&record.content));
        }
    }

    fn get(&mut self, _: u64, _: &mut dyn FnMut(&[u8])) {
        unreachable!("its entry says so");
    }
}

const NOW_MS: i64 = 1_700_000_000_000;
const IOV_MAX: usize = 1024;
const SLICES: usize = 5;
const READ_AT_ONCE: usize = 512;
