//! [redb](https://docs.rs/redb): keys are numbers. What is committed with `Durability::None` "will not be persisted to disk", and lives in its memory;
//! `Immediate`, "persistent as soon as `commit` returns", is fdatasync. Checksums are verified when a database is repaired, not when it is read.
//! Reads share a transaction until something is appended. With quick-repair "commits are slower, but recovery after a crash is almost instant", as it looks at no checksum: it is left off.

use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition};

use crate::log::{Entry, Log, Opens, Reads};

pub(crate) const ENTRY: Entry = Entry {
    name: "redb",
    kill: None,
    power_loss: Some("fdatasync"),
    finds: true,
    reads: Reads::Trusting,
    opens: (Opens::Trusting, Opens::Verified),
    defers: false,
    open: |dir, _| Box::new(Redb { database: Database::create(dir.join("redb")).expect("it opens"), next: 0, reading: None }),
    share: None,
};

struct Redb {
    database: Database,
    next: u64,
    reading: Option<ReadOnlyTable<u64, &'static [u8]>>,
}

impl Log for Redb {
    fn append(&mut self, values: &[&[u8]]) {
        self.reading = None;
        let mut transaction = self.database.begin_write().expect("it begins");
        transaction.set_durability(Durability::Immediate).expect("it can");
        {
            let mut table = transaction.open_table(TABLE).expect("it opens");
            for value in values {
                table.insert(self.next, *value).expect("it appends");
                self.next += 1;
            }
        }
        transaction.commit().expect("it commits");
    }

    fn scan(&mut self, visit: &mut dyn FnMut(&[u8])) {
        let transaction = self.database.begin_read().expect("it begins");
        let table = transaction.open_table(TABLE).expect("it opens");
        table.iter().expect("it reads").for_each(|entry| visit(entry.expect("it reads").1.value()));
    }

    fn get(&mut self, number: u64, visit: &mut dyn FnMut(&[u8])) {
        let table = self.reading.get_or_insert_with(|| {
            let transaction = self.database.begin_read().expect("it begins");
            transaction.open_table(TABLE).expect("it opens")
        });
        visit(table.get(number).expect("it reads").expect("it is there").value());
    }
}

const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("bench");
