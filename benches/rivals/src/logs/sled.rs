//! [sled](https://docs.rs/sled): keys are numbers; `HighThroughput`, to "maximize write throughput while potentially using more disk space". What was not flushed is in its own memory; `flush` calls sync_file_range and no more, which
//! leaves the file's size and the device's cache alone: it survives a kill, and is not counted for the loss of power.

use crate::log::{Entry, Log, Opens, Reads};

pub(crate) const ENTRY: Entry = Entry {
    name: "sled",
    kill: Some("pwrite, sync_file_range"),
    power_loss: None,
    finds: true,
    reads: Reads::Verified,
    opens: (Opens::Verified, Opens::Verified),
    defers: false,
    open: |dir, _| {
        let config = sled::Config::new().path(dir).mode(sled::Mode::HighThroughput).flush_every_ms(None);
        Box::new(Sled { database: config.open().expect("it opens"), next: 0 })
    },
    share: None,
};

struct Sled {
    database: sled::Db,
    next: u64,
}

impl Log for Sled {
    fn append(&mut self, values: &[&[u8]]) {
        let mut batch = sled::Batch::default();
        for value in values {
            batch.insert(&self.next.to_be_bytes(), *value);
            self.next += 1;
        }
        self.database.apply_batch(batch).expect("it appends");
        self.database.flush().expect("it syncs");
    }

    fn scan(&mut self, visit: &mut dyn FnMut(&[u8])) {
        self.database.iter().for_each(|entry| visit(&entry.expect("it reads").1));
    }

    fn get(&mut self, number: u64, visit: &mut dyn FnMut(&[u8])) {
        visit(&self.database.get(number.to_be_bytes()).expect("it reads").expect("it is there"));
    }
}
