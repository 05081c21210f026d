//! [writeahead](https://docs.rs/writeahead): "a write is acknowledged only after it is fdatasync'd to the active log file" by a thread of its own: it
//! has nothing less. "Writes that arrive while an fsync is in flight coalesce". The defaults, of which only a larger queue than one for 64 could matter.

use std::path::Path;

use futures::StreamExt;
use futures::executor::block_on;
use futures::future::join_all;
use writeahead::{SimpleFile, WriteAhead, WriteAheadOptions, WriteHandle};

use crate::log::{Entry, Log, Opens, Reads, Shared};

pub(crate) const ENTRY: Entry = Entry {
    name: "writeahead",
    kill: None,
    power_loss: Some("fdatasync"),
    finds: false,
    reads: Reads::Verified,
    opens: (Opens::Verified, Opens::Verified),
    defers: true,
    open: |dir, _| {
        let wal = start(dir);
        let handle = wal.writer().expect("it was started");
        Box::new(Writeahead { wal, handle })
    },
    share: Some(|dir| Box::new(Many(start(dir)))),
};

struct Writeahead {
    wal: WriteAhead<SimpleFile>,
    handle: WriteHandle,
}

struct Many(WriteAhead<SimpleFile>);

fn start(dir: &Path) -> WriteAhead<SimpleFile> {
    let mut wal = WriteAhead::with_options(WriteAheadOptions { log_dir: dir.to_owned(), ..WriteAheadOptions::default() });
    wal.start().expect("it starts");
    wal
}

impl Log for Writeahead {
    fn append(&mut self, values: &[&[u8]]) {
        let values = values.iter().map(|value| value.to_vec()).collect();
        block_on(self.handle.write_batch(values)).expect("it appends");
    }

    fn append_outstanding(&mut self, values: &[&[u8]]) {
        let writes = values.iter().map(|value| self.handle.write(value.to_vec()));
        block_on(join_all(writes)).into_iter().for_each(|written| _ = written.expect("it appends"));
    }

    fn scan(&mut self, visit: &mut dyn FnMut(&[u8])) {
        let mut stream = self.wal.create_stream().expect("it reads");
        while let Some(record) = block_on(stream.next()) {
            visit(&record.expect("it reads").1);
        }
    }

    fn get(&mut self, _: u64, _: &mut dyn FnMut(&[u8])) {
        unreachable!("its entry says so");
    }
}

impl Shared for Many {
    fn append(&self, value: &[u8]) {
        let handle = self.0.writer().expect("it was started");
        block_on(handle.write(value.to_vec())).expect("it appends");
    }
}
