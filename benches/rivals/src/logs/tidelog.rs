//! tidelog: `AckLevel::Written` under `SyncPolicy::OsOnly` against a kill, the defaults against the loss of power.

use std::path::Path;

use tidelog::{AckLevel, Partition, PendingAck, Record, RecordBatch, Store, StoreOptions, SyncPolicy};

use crate::log::{Entry, Log, Opens, Reads, Shared, Survives};

pub(crate) const ENTRY: Entry = Entry {
    name: "tidelog",
    kill: Some("stores into a map, or write"),
    power_loss: Some("fdatasync"),
    finds: true,
    reads: Reads::Verified,
    opens: (Opens::Verified, Opens::Verified),
    defers: true,
    open: |dir, survives| {
        Box::new(Tidelog { partition: partition(dir, survives), batch: RecordBatch::new(), pending: Vec::new(), level: level(survives) })
    },
    share: Some(|dir| Box::new(Many(partition(dir, Survives::PowerLoss)))),
};

struct Tidelog {
    partition: Partition,
    batch: RecordBatch,
    pending: Vec<PendingAck>,
    level: AckLevel,
}

struct Many(Partition);

fn level(survives: Survives) -> AckLevel {
    if survives == Survives::Kill { AckLevel::Written } else { AckLevel::Durable }
}

fn partition(dir: &Path, survives: Survives) -> Partition {
    let policy = if survives == Survives::Kill { SyncPolicy::OsOnly } else { SyncPolicy::default() };
    let store: Store = StoreOptions::new().sync_policy(policy).open(dir).expect("it opens");
    store.topic("bench").and_then(|topic| topic.partition(0)).expect("it opens")
}

impl Log for Tidelog {
    fn append(&mut self, values: &[&[u8]]) {
        if let [value] = values {
            self.partition.append_with(Record::new(*value), self.level).expect("it appends");
            return;
        }
        self.batch.clear();
        values.iter().for_each(|value| self.batch.push(&Record::new(*value)).expect("it has room"));
        self.partition.append_batch(&self.batch, self.level).expect("it appends");
    }

    fn append_outstanding(&mut self, values: &[&[u8]]) {
        self.pending.clear();
        for value in values {
            self.batch.clear();
            self.batch.push(&Record::new(*value)).expect("it has room");
            self.pending.push(self.partition.append_deferred(&self.batch).expect("it appends"));
        }
        self.pending.drain(..).for_each(|pending| _ = pending.wait().expect("it syncs"));
    }

    fn scan(&mut self, visit: &mut dyn FnMut(&[u8])) {
        let mut reader = self.partition.read_from(0).expect("it reads");
        // Who appended one by one reads so, as the documentation of both calls says.
        if self.batch.is_empty() {
            while let Some(record) = reader.next_ref() {
                visit(record.expect("it reads").value().expect("it has a value"));
            }
            return;
        }
        while let Some(batch) = reader.next_batch() {
            for record in batch.expect("it reads").records() {
                visit(record.expect("it reads").value().expect("it has a value"));
            }
        }
    }

    fn get(&mut self, number: u64, visit: &mut dyn FnMut(&[u8])) {
        visit(self.partition.get(number).expect("it is there").value().expect("it has a value"));
    }
}

impl Shared for Many {
    fn append(&self, value: &[u8]) {
        self.0.append(Record::new(value)).expect("it appends");
    }
}
