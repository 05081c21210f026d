//! [open-wal](https://docs.rs/open-wal): "`append` is pure memory; `commit` is `write` + `fdatasync`"; "Batch as many appends per commit as
//! your latency budget allows": a batch is one commit. It has nothing less, and one writer. A reader begins at the start of the oldest segment
//! whatever number it is asked for, which makes it no way to find one value.

use std::path::Path;

use open_wal::{Lsn, Wal, WalConfig};

use crate::log::{Entry, Log, Opens, Reads};

pub(crate) const ENTRY: Entry = Entry {
    name: "open-wal",
    kill: None,
    power_loss: Some("fdatasync"),
    finds: false,
    reads: Reads::Verified,
    opens: (Opens::Verified, Opens::Verified),
    defers: true,
    open: |dir, _| Box::new(OpenWal(open(dir))),
    share: None,
};

struct OpenWal(Wal);

/// With the defaults: segments of 128 MiB, reserved.
fn open(dir: &Path) -> Wal {
    let (wal, _report) = Wal::open(dir, WalConfig::default()).expect("it opens");
    wal
}

impl Log for OpenWal {
    fn append(&mut self, values: &[&[u8]]) {
        values.iter().for_each(|value| _ = self.0.append(value).expect("it appends"));
        self.0.commit().expect("it commits");
    }

    fn scan(&mut self, visit: &mut dyn FnMut(&[u8])) {
        let mut reader = self.0.reader_from(Lsn(0)).expect("it reads");
        while let Some(record) = reader.next() {
            visit(record.expect("it reads").1);
        }
    }

    fn get(&mut self, _: u64, _: &mut dyn FnMut(&[u8])) {
        unreachable!("its entry says so");
    }
}
