//! LMDB by [heed](https://docs.rs/heed): keys are numbers, appended at the end, as `MDB_APPEND` is for. Against a kill `MDB_NOSYNC`, "don't flush
//! system buffers to disk when committing a transaction", and, as a log of its own, with `MDB_WRITEMAP` as well, which "uses fewer mallocs" and "may be
//! slightly faster for DBs that fit entirely in RAM": it is where transactions are small. Against the loss of power the default, fdatasync a commit. Reads share a transaction until
//! something is appended. It has no checksums.

use std::path::Path;

use heed::byteorder::BE;
use heed::types::{Bytes, U64};
use heed::{Database, Env, EnvFlags, EnvOpenOptions, PutFlags, RoTxn, WithTls};

use crate::log::{Entry, Log, Opens, Reads, Survives};

pub(crate) const ENTRY: Entry = Entry {
    name: "LMDB",
    kill: Some("pwrite or writev"),
    power_loss: Some("fdatasync"),
    finds: true,
    reads: Reads::Trusting,
    opens: (Opens::Trusting, Opens::Trusting),
    defers: false,
    open: |dir, survives| open(dir, if survives == Survives::Kill { EnvFlags::NO_SYNC } else { EnvFlags::empty() }),
    share: None,
};

pub(crate) const MAPPED: Entry = Entry {
    name: "LMDB, mapped",
    kill: Some("stores into a map"),
    power_loss: None,
    open: |dir, _| open(dir, EnvFlags::NO_SYNC | EnvFlags::WRITE_MAP),
    ..ENTRY
};

fn open(dir: &Path, flags: EnvFlags) -> Box<dyn Log> {
    let mut options = EnvOpenOptions::new();
    options.map_size(8 << 30);
    // SAFETY: nobody else opens or changes this directory, and nothing promises what a loss of power leaves.
    let env = unsafe {
        options.flags(flags);
        options.open(dir).expect("it opens")
    };
    let mut transaction = env.write_txn().expect("it begins");
    let database: Database<U64<BE>, Bytes> = env.create_database(&mut transaction, None).expect("it is made");
    let next = database.last(&transaction).expect("it reads").map_or(0, |(last, _)| last + 1);
    transaction.commit().expect("it commits");
    Box::new(Lmdb { env, database, next, reading: None })
}

struct Lmdb {
    env: Env,
    database: Database<U64<BE>, Bytes>,
    next: u64,
    reading: Option<RoTxn<'static, WithTls>>,
}

impl Log for Lmdb {
    fn append(&mut self, values: &[&[u8]]) {
        self.reading = None;
        let mut transaction = self.env.write_txn().expect("it begins");
        for value in values {
            self.database.put_with_flags(&mut transaction, PutFlags::APPEND, &self.next, value).expect("it appends");
            self.next += 1;
        }
        transaction.commit().expect("it commits");
    }

    fn scan(&mut self, visit: &mut dyn FnMut(&[u8])) {
        let transaction = self.reading.get_or_insert_with(|| self.env.clone().static_read_txn().expect("it begins"));
        self.database.iter(transaction).expect("it reads").for_each(|entry| visit(entry.expect("it reads").1));
    }

    fn get(&mut self, number: u64, visit: &mut dyn FnMut(&[u8])) {
        let transaction = self.reading.get_or_insert_with(|| self.env.clone().static_read_txn().expect("it begins"));
        visit(self.database.get(transaction, &number).expect("it reads").expect("it is there"));
    }
}
