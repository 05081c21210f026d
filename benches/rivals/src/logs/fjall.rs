//! [fjall](https://docs.rs/fjall): keys are numbers. `PersistMode::Buffer` "flushes data to OS buffers", `SyncData` "flushes data using `fdatasync`".
//! Its "built-in compression", of blocks and of "large values that are written into the journal file", is off, as random bytes gain nothing from it.

use std::sync::atomic::{AtomicU64, Ordering};

use fjall::config::CompressionPolicy;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::log::{Entry, Log, Opens, Reads, Shared, Survives};

pub(crate) const ENTRY: Entry = Entry {
    name: "fjall",
    kill: Some("write"),
    power_loss: Some("fdatasync"),
    finds: true,
    reads: Reads::Verified,
    opens: (Opens::Verified, Opens::Verified),
    defers: true,
    open: |dir, survives| {
        let database = Database::builder(dir).journal_compression(CompressionType::None).open().expect("it opens");
        let keyspace = database.keyspace("bench", uncompressed).expect("it is made");
        let mode = if survives == Survives::Kill { PersistMode::Buffer } else { PersistMode::SyncData };
        Box::new(Fjall { database, keyspace, mode, next: 0 })
    },
    share: Some(|dir| {
        let database = Database::builder(dir).journal_compression(CompressionType::None).open().expect("it opens");
        let keyspace = database.keyspace("bench", uncompressed).expect("it is made");
        Box::new(Many { database, keyspace, next: AtomicU64::new(0) })
    }),
};

fn uncompressed() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().data_block_compression_policy(CompressionPolicy::disabled())
}

struct Fjall {
    database: Database,
    keyspace: Keyspace,
    mode: PersistMode,
    next: u64,
}

struct Many {
    database: Database,
    keyspace: Keyspace,
    next: AtomicU64,
}

impl Shared for Many {
    fn append(&self, value: &[u8]) {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        batch.insert(&self.keyspace, self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes(), value);
        batch.commit().expect("it commits");
    }
}

impl Log for Fjall {
    fn append(&mut self, values: &[&[u8]]) {
        let mut batch = self.database.batch().durability(Some(self.mode));
        for value in values {
            batch.insert(&self.keyspace, self.next.to_be_bytes(), *value);
            self.next += 1;
        }
        batch.commit().expect("it commits");
    }

    fn append_outstanding(&mut self, values: &[&[u8]]) {
        for value in values {
            self.keyspace.insert(self.next.to_be_bytes(), *value).expect("it appends");
            self.next += 1;
        }
        self.database.persist(PersistMode::SyncData).expect("it syncs");
    }

    fn scan(&mut self, visit: &mut dyn FnMut(&[u8])) {
        self.keyspace.iter().for_each(|entry| visit(&entry.value().expect("it reads")));
    }

    fn get(&mut self, number: u64, visit: &mut dyn FnMut(&[u8])) {
        visit(&self.keyspace.get(number.to_be_bytes()).expect("it reads").expect("it is there"));
    }
}
