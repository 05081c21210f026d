//! [seglog](https://docs.rs/seglog): a buffered writer of one preallocated file. Its recovery keeps what a commit marker stands behind, and
//! `commit` "writes a commit marker covering all records appended since the last commit, then syncs" (fdatasync): it has nothing less. Values are found by their position alone.

use std::path::{Path, PathBuf};

use seglog::read::Reader;
use seglog::write::{WriteError, Writer};

use crate::log::{Entry, Log, Opens, Reads};

pub(crate) const ENTRY: Entry = Entry {
    name: "seglog",
    kill: None,
    power_loss: Some("fdatasync"),
    finds: false,
    reads: Reads::Verified,
    opens: (Opens::Verified, Opens::Verified),
    defers: true,
    open: |dir, _| Box::new(Seglog::open(dir)),
    share: None,
};

/// As its user would roll it: the crate knows single files.
struct Seglog {
    dir: PathBuf,
    files: u32,
    writer: Writer<0>,
    appended: u64,
}

fn path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:08}.log"))
}

impl Seglog {
    fn open(dir: &Path) -> Self {
        let last = (0..).take_while(|number| path(dir, *number).exists()).last();
        let writer = match last {
            Some(last) => Writer::open(path(dir, last), SEGMENT_BYTES, 0),
            None => Writer::create(path(dir, 0), SEGMENT_BYTES, 0),
        };
        Self { dir: dir.to_owned(), files: last.unwrap_or(0) + 1, writer: writer.expect("it opens"), appended: 0 }
    }

    fn commit(&mut self) {
        self.writer.commit(self.appended).expect("it syncs");
    }
}

impl Log for Seglog {
    fn append(&mut self, values: &[&[u8]]) {
        for value in values {
            // A marker needs room too.
            if self.writer.remaining_bytes() < value.len() as u64 + 64 {
                self.commit();
                self.writer = Writer::create(path(&self.dir, self.files), SEGMENT_BYTES, 0).expect("it is made");
                self.files += 1;
            }
            match self.writer.append_data(value) {
                Err(WriteError::SegmentFull { .. }) => unreachable!("there was room"),
                outcome => _ = outcome.expect("it appends"),
            }
            self.appended += 1;
        }
        self.commit();
    }

    fn scan(&mut self, visit: &mut dyn FnMut(&[u8])) {
        for number in 0..self.files {
            let flushed = (number + 1 == self.files).then(|| self.writer.flushed_offset());
            let mut reader = Reader::<0>::open_read_only(path(&self.dir, number), flushed).expect("it opens");
            let mut records = reader.iter(0);
            while let Some(record) = records.next_record().expect("it reads") {
                visit(record.data.as_ref());
            }
        }
    }

    fn get(&mut self, _: u64, _: &mut dyn FnMut(&[u8])) {
        unreachable!("its entry says so");
    }
}

const SEGMENT_BYTES: usize = 64 << 20;
