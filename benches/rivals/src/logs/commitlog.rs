//! [commitlog](https://docs.rs/commitlog): each append is one `write` of a message set; `flush`, which "forces a flush of the log", is `File::flush`,
//! which syncs nothing. "The default values" are segments of 1 GB, an index of 100,000 and messages of 1 MB: segments are of 64 MiB here as the
//! engine's are, and neither an index nor a message ends one before.

use commitlog::message::{MessageBuf, MessageSet};
use commitlog::{CommitLog, LogOptions, ReadLimit};

use crate::log::{Entry, Log, Opens, Reads};

pub(crate) const ENTRY: Entry = Entry {
    name: "commitlog",
    kill: Some("write"),
    power_loss: None,
    finds: true,
    reads: Reads::Verified,
    opens: (Opens::Trusting, Opens::Trusting),
    defers: false,
    open: |dir, _| {
        let mut options = LogOptions::new(dir);
        options.segment_max_bytes(64 << 20).index_max_items(1 << 20).message_max_bytes(64 << 20);
        Box::new(Commitlog { log: CommitLog::new(options).expect("it opens"), buffer: MessageBuf::default() })
    },
    share: None,
};

struct Commitlog {
    log: CommitLog,
    buffer: MessageBuf,
}

impl Log for Commitlog {
    fn append(&mut self, values: &[&[u8]]) {
        self.buffer.clear();
        values.iter().for_each(|value| self.buffer.push(value).expect("it has room"));
        self.log.append(&mut self.buffer).expect("it appends");
    }

    fn scan(&mut self, visit: &mut dyn FnMut(&[u8])) {
        let mut next = 0;
        loop {
            // A message set is checked against its checksums when it is read.
            let messages = self.log.read(next, ReadLimit::max_bytes(1 << 20)).expect("it reads");
            let mut is_empty = true;
            for message in messages.iter() {
                assert_eq!(message.offset(), next);
                visit(message.payload());
                (next, is_empty) = (next + 1, false);
            }
            if is_empty {
                return;
            }
        }
    }

    fn get(&mut self, number: u64, visit: &mut dyn FnMut(&[u8])) {
        let messages = self.log.read(number, ReadLimit::max_bytes(256)).expect("it reads");
        visit(messages.iter().next().expect("it is there").payload());
    }
}
