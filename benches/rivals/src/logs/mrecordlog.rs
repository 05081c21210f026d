//! [mrecordlog](https://docs.rs/mrecordlog): `SyncPolicy::OnAppend`, "sync and flush at each operation", flushes its buffer to the file, and syncs
//! nothing. All records are in
//! memory too, which is where it reads them.

use mrecordlog::{MultiRecordLog, SyncPolicy};
use tokio::runtime::Runtime;

use crate::log::{Entry, Log, Opens, Reads};

pub(crate) const ENTRY: Entry = Entry {
    name: "mrecordlog",
    kill: Some("write"),
    power_loss: None,
    finds: true,
    reads: Reads::Memory,
    opens: (Opens::Verified, Opens::Verified),
    defers: false,
    open: |dir, _| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let mut log = runtime.block_on(MultiRecordLog::open_with_prefs(dir, SyncPolicy::OnAppend)).expect("it opens");
        if !log.queue_exists(QUEUE) {
            runtime.block_on(log.create_queue(QUEUE)).expect("it is made");
        }
        Box::new(Mrecordlog { runtime, log })
    },
    share: None,
};

struct Mrecordlog {
    runtime: Runtime,
    log: MultiRecordLog,
}

impl Log for Mrecordlog {
    fn append(&mut self, values: &[&[u8]]) {
        self.runtime.block_on(self.log.append_records(QUEUE, None, values.iter().copied())).expect("it appends");
    }

    fn scan(&mut self, visit: &mut dyn FnMut(&[u8])) {
        self.log.range(QUEUE, ..).expect("it is there").for_each(|(_, value)| visit(&value));
    }

    fn get(&mut self, number: u64, visit: &mut dyn FnMut(&[u8])) {
        visit(&self.log.range(QUEUE, number..=number).expect("it is there").next().expect("it is there").1);
    }
}

const QUEUE: &str = "bench";
