//! [okaywal](https://docs.rs/okaywal): "before control returns from committing an entry, the file is `fsync`ed", "such that a single `fsync`
//! call can be made for multiple writes"; it has nothing less. "Preallocating files is critical for performance": a segment's bytes are filled
//! ahead. What is checkpointed is given up, so nothing is. All of it is read where it is meant to be, when it is recovered; one value is found
//! by its position alone.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use okaywal::{Configuration, EntryId, LogManager, LogVoid, ReadChunkResult, SegmentReader, WriteAheadLog};

use crate::log::{Entry, Log, Opens, Reads, Shared};

pub(crate) const ENTRY: Entry = Entry {
    name: "okaywal",
    kill: None,
    power_loss: Some("fdatasync"),
    finds: false,
    reads: Reads::Verified,
    opens: (Opens::Verified, Opens::Verified),
    defers: false,
    open: |dir, _| {
        let (log, found) = recover(dir);
        Box::new(Okaywal { log: Some(log), found: Some(found), dir: dir.to_owned() })
    },
    share: Some(|dir| Box::new(Many(configuration(dir).open(LogVoid).expect("it opens")))),
};

struct Okaywal {
    log: Option<WriteAheadLog>,
    /// What the last recovery read, until something is appended.
    found: Option<Found>,
    dir: PathBuf,
}

struct Many(WriteAheadLog);

/// Values one after the other, and where each ends.
#[derive(Debug, Default)]
struct Found {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

#[derive(Debug)]
struct Collector(Arc<Mutex<Found>>);

impl LogManager for Collector {
    fn recover(&mut self, entry: &mut okaywal::Entry<'_>) -> io::Result<()> {
        let mut found = self.0.lock().expect("no other thread panics");
        loop {
            match entry.read_chunk()? {
                ReadChunkResult::Chunk(mut chunk) => {
                    io::Read::read_to_end(&mut chunk, &mut found.bytes)?;
                    assert!(chunk.check_crc()?, "its checksum is another");
                    let end = found.bytes.len();
                    found.ends.push(end);
                }
                ReadChunkResult::EndOfEntry => return Ok(()),
                ReadChunkResult::AbortedEntry => panic!("an entry is torn"),
            }
        }
    }

    fn checkpoint_to(&mut self, _: EntryId, _: &mut SegmentReader, _: &WriteAheadLog) -> io::Result<()> {
        unreachable!("it is told never to");
    }
}

fn configuration(dir: &Path) -> Configuration {
    Configuration::default_for(dir).preallocate_bytes(PREALLOCATED_BYTES).checkpoint_after_bytes(u64::MAX)
}

fn recover(dir: &Path) -> (WriteAheadLog, Found) {
    let found = Arc::new(Mutex::new(Found::default()));
    let log = configuration(dir).open(Collector(Arc::clone(&found))).expect("it opens");
    let found = std::mem::take(&mut *found.lock().expect("no other thread panics"));
    (log, found)
}

impl Log for Okaywal {
    fn append(&mut self, values: &[&[u8]]) {
        self.found = None;
        let mut entry = self.log.as_ref().expect("it is open").begin_entry().expect("it begins");
        values.iter().for_each(|value| _ = entry.write_chunk(value).expect("it appends"));
        entry.commit().expect("it commits");
    }

    fn scan(&mut self, visit: &mut dyn FnMut(&[u8])) {
        let found = self.found.take().unwrap_or_else(|| {
            if let Some(log) = self.log.take() {
                log.shutdown().expect("it closes");
            }
            let (log, found) = recover(&self.dir);
            self.log = Some(log);
            found
        });
        let mut start = 0;
        for end in &found.ends {
            visit(&found.bytes[start..*end]);
            start = *end;
        }
    }

    fn get(&mut self, _: u64, _: &mut dyn FnMut(&[u8])) {
        unreachable!("its entry says so");
    }
}

impl Shared for Many {
    fn append(&self, value: &[u8]) {
        let mut entry = self.0.begin_entry().expect("it begins");
        entry.write_chunk(value).expect("it appends");
        entry.commit().expect("it commits");
    }
}

const PREALLOCATED_BYTES: u32 = 64 << 20;
