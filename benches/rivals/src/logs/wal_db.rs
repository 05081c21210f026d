//! [wal-db](https://docs.rs/wal-db): `append` "returns when the record is in the operating system's page cache", by one positioned write; in
//! `append_and_sync` "concurrent `sync` calls coalesce into one fsync", an fdatasync. It has no batches. Values are found by
//! their position alone.

use wal_db::{FileStore, Wal};

use crate::log::{Entry, Log, Opens, Reads, Shared, Survives};

pub(crate) const ENTRY: Entry = Entry {
    name: "wal-db",
    kill: Some("pwrite"),
    power_loss: Some("fdatasync"),
    finds: false,
    reads: Reads::Verified,
    opens: (Opens::Verified, Opens::Verified),
    defers: true,
    open: |dir, survives| Box::new(WalDb { wal: Wal::open(dir.join("wal")).expect("it opens"), survives }),
    share: Some(|dir| Box::new(Many(Wal::open(dir.join("wal")).expect("it opens")))),
};

struct WalDb {
    wal: Wal<FileStore>,
    survives: Survives,
}

struct Many(Wal<FileStore>);

impl Log for WalDb {
    fn append(&mut self, values: &[&[u8]]) {
        for value in values {
            let _position = self.wal.append(value).expect("it appends");
        }
        if self.survives == Survives::PowerLoss {
            self.wal.sync().expect("it syncs");
        }
    }

    fn scan(&mut self, visit: &mut dyn FnMut(&[u8])) {
        for entry in self.wal.iter().expect("it reads") {
            visit(entry.expect("it reads").data());
        }
    }

    fn get(&mut self, _: u64, _: &mut dyn FnMut(&[u8])) {
        unreachable!("its entry says so");
    }
}

impl Shared for Many {
    fn append(&self, value: &[u8]) {
        let _position = self.0.append_and_sync(value).expect("it appends");
    }
}
