//! SQLite by [rusqlite](https://docs.rs/rusqlite), WAL mode ("significantly faster in most scenarios"), one prepared insert: `synchronous=OFF`
//! against a kill ("if the application running SQLite crashes, the data will be safe"), `FULL`, which is fsync a
//! commit, against the loss of power. What is still in the WAL has checksums, the pages of the database have none.

use rusqlite::Connection;

use crate::log::{Entry, Log, Opens, Reads, Survives};

pub(crate) const ENTRY: Entry = Entry {
    name: "SQLite",
    kill: Some("pwrite"),
    power_loss: Some("fsync"),
    finds: true,
    reads: Reads::Trusting,
    opens: (Opens::Trusting, Opens::Trusting),
    defers: false,
    open: |dir, survives| {
        let connection = Connection::open(dir.join("sqlite")).expect("it opens");
        let synchronous = if survives == Survives::Kill { "OFF" } else { "FULL" };
        let setup = format!(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous}; CREATE TABLE IF NOT EXISTS log (number INTEGER PRIMARY KEY, value BLOB)"
        );
        connection.execute_batch(&setup).expect("it is made");
        Box::new(Sqlite { connection, next: 0 })
    },
    share: None,
};

struct Sqlite {
    connection: Connection,
    next: i64,
}

impl Log for Sqlite {
    fn append(&mut self, values: &[&[u8]]) {
        let transaction = self.connection.unchecked_transaction().expect("it begins");
        {
            let mut insert = transaction.prepare_cached("INSERT INTO log (number, value) VALUES (?1, ?2)").expect("it is prepared");
            for value in values {
                insert.execute((self.next, value)).expect("it appends");
                self.next += 1;
            }
        }
        transaction.commit().expect("it commits");
    }

    fn scan(&mut self, visit: &mut dyn FnMut(&[u8])) {
        let mut select = self.connection.prepare_cached("SELECT value FROM log ORDER BY number").expect("it is prepared");
        let mut rows = select.query(()).expect("it reads");
        while let Some(row) = rows.next().expect("it reads") {
            visit(row.get_ref(0).expect("it has a value").as_blob().expect("it is one"));
        }
    }

    fn get(&mut self, number: u64, visit: &mut dyn FnMut(&[u8])) {
        let mut select = self.connection.prepare_cached("SELECT value FROM log WHERE number = ?1").expect("it is prepared");
        let mut rows = select.query([number as i64]).expect("it reads");
        visit(rows.next().expect("it reads").expect("it is there").get_ref(0).expect("it has a value").as_blob().expect("it is one"));
    }
}
