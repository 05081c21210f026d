//! RocksDB by its C interface and the system's library, as `rocksdb/options.h` documents it: the feature `rocksdb`, off unless asked for, as it
//! needs librocksdb-dev. Keys are numbers. Against a kill the default, "if it is just the process that crashes [...], no writes will be lost
//! even if sync==false"; against the loss of power `sync`, "flushed from the operating system buffer cache", by one for all who wait: the first
//! "becomes write batch group leader". "Good value for `total_threads` is the number of cores"; no compression, which random bytes gain nothing
//! from.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_uchar};
use std::marker::PhantomData;
use std::path::Path;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::log::{Entry, Log, Opens, Reads, Shared, Survives};

pub(crate) const ENTRY: Entry = Entry {
    name: "RocksDB",
    kill: Some("write"),
    power_loss: Some("fdatasync"),
    finds: true,
    reads: Reads::Verified,
    opens: (Opens::Verified, Opens::Verified),
    defers: true,
    open: |dir, survives| {
        let database = Database::open(dir, survives);
        let next = database.next_number();
        Box::new(Ordered { database, batch: Batch::new(), next })
    },
    share: Some(|dir| Box::new(Many { database: Database::open(dir, Survives::PowerLoss), next: AtomicU64::new(0) })),
};

struct Ordered {
    database: Database,
    batch: Batch,
    next: u64,
}

struct Many {
    database: Database,
    next: AtomicU64,
}

/// An open database, and how it is written and read. Closed when dropped.
struct Database {
    database: NonNull<ffi::Database>,
    write: NonNull<ffi::WriteOptions>,
    read: NonNull<ffi::ReadOptions>,
}

// SAFETY: a database may be used from any number of threads at once, and its options are changed only by who has it alone.
unsafe impl Sync for Database {}

struct Batch(NonNull<ffi::WriteBatch>);

impl Batch {
    fn new() -> Self {
        // SAFETY: it takes nothing, and gives a batch that is ours.
        Self(NonNull::new(unsafe { ffi::rocksdb_writebatch_create() }).expect("a batch"))
    }

    fn put(&mut self, number: u64, value: &[u8]) {
        let key = number.to_be_bytes();
        // SAFETY: the batch is ours; key and value are read for their lengths, and copied.
        unsafe { ffi::rocksdb_writebatch_put(self.0.as_ptr(), key.as_ptr().cast(), key.len(), value.as_ptr().cast(), value.len()) };
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: the batch is ours, and not used any more.
        unsafe { ffi::rocksdb_writebatch_destroy(self.0.as_ptr()) };
    }
}

impl Database {
    fn open(dir: &Path, survives: Survives) -> Self {
        let path = CString::new(dir.join("rocksdb").to_str().expect("a path of letters")).expect("no zero in it");
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as c_int);
        let mut error = null_mut();
        // SAFETY: what is made here is ours; the path ends with a zero; the database keeps a copy of the options, which are given back.
        let (database, write, read) = unsafe {
            let options = ffi::rocksdb_options_create();
            ffi::rocksdb_options_set_create_if_missing(options, 1);
            ffi::rocksdb_options_increase_parallelism(options, cores);
            ffi::rocksdb_options_set_compression(options, NO_COMPRESSION);
            let database = ffi::rocksdb_open(options, path.as_ptr(), &mut error);
            ffi::rocksdb_options_destroy(options);
            let write = ffi::rocksdb_writeoptions_create();
            ffi::rocksdb_writeoptions_set_sync(write, c_uchar::from(survives == Survives::PowerLoss));
            (database, write, ffi::rocksdb_readoptions_create())
        };
        check(error);
        Self {
            database: NonNull::new(database).expect("it was opened"),
            write: NonNull::new(write).expect("they were made"),
            read: NonNull::new(read).expect("they were made"),
        }
    }

    fn write(&self, batch: &mut Batch) {
        let mut error = null_mut();
        // SAFETY: database, options and batch are alive; the batch is ours alone.
        unsafe {
            ffi::rocksdb_write(self.database.as_ptr(), self.write.as_ptr(), batch.0.as_ptr(), &mut error);
            ffi::rocksdb_writebatch_clear(batch.0.as_ptr());
        }
        check(error);
    }

    fn set_sync(&mut self, is_wanted: bool) {
        // SAFETY: the options are ours alone, as the database is.
        unsafe { ffi::rocksdb_writeoptions_set_sync(self.write.as_ptr(), c_uchar::from(is_wanted)) };
    }

    fn next_number(&self) -> u64 {
        let cursor = Cursor::new(self);
        // SAFETY: the cursor is alive, and ours alone.
        unsafe { ffi::rocksdb_iter_seek_to_last(cursor.0.as_ptr()) };
        cursor.key().map_or(0, |last| u64::from_be_bytes(last.try_into().expect("a number")) + 1)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // SAFETY: all three are ours and not used any more; each cursor ended before.
        unsafe {
            ffi::rocksdb_close(self.database.as_ptr());
            ffi::rocksdb_writeoptions_destroy(self.write.as_ptr());
            ffi::rocksdb_readoptions_destroy(self.read.as_ptr());
        }
    }
}

/// A place in a database, which outlives it.
struct Cursor<'a>(NonNull<ffi::Iterator>, PhantomData<&'a Database>);

impl<'a> Cursor<'a> {
    fn new(database: &'a Database) -> Self {
        // SAFETY: database and options are alive, the database as long as the cursor.
        let cursor = unsafe { ffi::rocksdb_create_iterator(database.database.as_ptr(), database.read.as_ptr()) };
        Self(NonNull::new(cursor).expect("a cursor"), PhantomData)
    }

    fn key(&self) -> Option<&[u8]> {
        self.part(ffi::rocksdb_iter_key)
    }

    fn value(&self) -> Option<&[u8]> {
        self.part(ffi::rocksdb_iter_value)
    }

    fn part(&self, of: unsafe extern "C" fn(*const ffi::Iterator, *mut usize) -> *const c_char) -> Option<&[u8]> {
        let mut len = 0;
        // SAFETY: the cursor is alive; where it is valid, the part it points to stays until it is moved, which a borrow of it forbids.
        unsafe {
            if ffi::rocksdb_iter_valid(self.0.as_ptr()) == 0 {
                return None;
            }
            Some(std::slice::from_raw_parts(of(self.0.as_ptr(), &mut len).cast(), len))
        }
    }
}

impl Drop for Cursor<'_> {
    fn drop(&mut self) {
        // SAFETY: the cursor is ours, and not used any more.
        unsafe { ffi::rocksdb_iter_destroy(self.0.as_ptr()) };
    }
}

/// # Panics
/// If a call left an error.
fn check(error: *mut c_char) {
    // SAFETY: an error that is set is text that ends with a zero.
    assert!(error.is_null(), "RocksDB: {:?}", unsafe { CStr::from_ptr(error) });
}

impl Log for Ordered {
    fn append(&mut self, values: &[&[u8]]) {
        for value in values {
            self.batch.put(self.next, value);
            self.next += 1;
        }
        self.database.write(&mut self.batch);
    }

    fn append_outstanding(&mut self, values: &[&[u8]]) {
        // The last one's sync is the log's.
        for (number, value) in values.iter().enumerate() {
            self.database.set_sync(number + 1 == values.len());
            self.append(&[value]);
        }
    }

    fn scan(&mut self, visit: &mut dyn FnMut(&[u8])) {
        let (cursor, mut error) = (Cursor::new(&self.database), null_mut());
        // SAFETY: the cursor is alive, and ours alone.
        unsafe { ffi::rocksdb_iter_seek_to_first(cursor.0.as_ptr()) };
        while let Some(value) = cursor.value() {
            visit(value);
            // SAFETY: as above; the value is not used any more.
            unsafe { ffi::rocksdb_iter_next(cursor.0.as_ptr()) };
        }
        // SAFETY: as above.
        unsafe { ffi::rocksdb_iter_get_error(cursor.0.as_ptr(), &mut error) };
        check(error);
    }

    fn get(&mut self, number: u64, visit: &mut dyn FnMut(&[u8])) {
        let (key, mut error, mut len) = (number.to_be_bytes(), null_mut(), 0);
        // SAFETY: database and options are alive; the key is read for its length; what was found stays until it is given back.
        unsafe {
            let found =
                ffi::rocksdb_get_pinned(self.database.database.as_ptr(), self.database.read.as_ptr(), key.as_ptr().cast(), key.len(), &mut error);
            check(error);
            assert!(!found.is_null(), "RocksDB lost {number}");
            let value = ffi::rocksdb_pinnableslice_value(found, &mut len);
            visit(std::slice::from_raw_parts(value.cast(), len));
            ffi::rocksdb_pinnableslice_destroy(found);
        }
    }
}

impl Shared for Many {
    fn append(&self, value: &[u8]) {
        let mut batch = Batch::new();
        batch.put(self.next.fetch_add(1, Ordering::Relaxed), value);
        self.database.write(&mut batch);
    }
}

const NO_COMPRESSION: c_int = 0;

/// As `rocksdb/c.h` declares them.
mod ffi {
    use super::{c_char, c_int, c_uchar};

    macro_rules! opaque {
        ($($name:ident)*) => { $(#[repr(C)] pub(super) struct $name([u8; 0]);)* };
    }
    opaque! { Database Options WriteOptions ReadOptions WriteBatch Iterator PinnableSlice }

    #[link(name = "rocksdb")]
    unsafe extern "C" {
        pub(super) fn rocksdb_options_create() -> *mut Options;
        pub(super) fn rocksdb_options_destroy(options: *mut Options);
        pub(super) fn rocksdb_options_set_create_if_missing(options: *mut Options, is_wanted: c_uchar);
        pub(super) fn rocksdb_options_increase_parallelism(options: *mut Options, threads: c_int);
        pub(super) fn rocksdb_options_set_compression(options: *mut Options, kind: c_int);
        pub(super) fn rocksdb_open(options: *const Options, path: *const c_char, error: *mut *mut c_char) -> *mut Database;
        pub(super) fn rocksdb_close(database: *mut Database);
        pub(super) fn rocksdb_writeoptions_create() -> *mut WriteOptions;
        pub(super) fn rocksdb_writeoptions_destroy(options: *mut WriteOptions);
        pub(super) fn rocksdb_writeoptions_set_sync(options: *mut WriteOptions, is_wanted: c_uchar);
        pub(super) fn rocksdb_readoptions_create() -> *mut ReadOptions;
        pub(super) fn rocksdb_readoptions_destroy(options: *mut ReadOptions);
        pub(super) fn rocksdb_writebatch_create() -> *mut WriteBatch;
        pub(super) fn rocksdb_writebatch_destroy(batch: *mut WriteBatch);
        pub(super) fn rocksdb_writebatch_clear(batch: *mut WriteBatch);
        pub(super) fn rocksdb_writebatch_put(batch: *mut WriteBatch, key: *const c_char, key_len: usize, value: *const c_char, value_len: usize);
        pub(super) fn rocksdb_write(database: *mut Database, options: *const WriteOptions, batch: *mut WriteBatch, error: *mut *mut c_char);
        pub(super) fn rocksdb_get_pinned(
            database: *mut Database,
            options: *const ReadOptions,
            key: *const c_char,
            key_len: usize,
            error: *mut *mut c_char,
        ) -> *mut PinnableSlice;
        pub(super) fn rocksdb_pinnableslice_value(slice: *const PinnableSlice, len: *mut usize) -> *const c_char;
        pub(super) fn rocksdb_pinnableslice_destroy(slice: *mut PinnableSlice);
        pub(super) fn rocksdb_create_iterator(database: *mut Database, options: *const ReadOptions) -> *mut Iterator;
        pub(super) fn rocksdb_iter_destroy(cursor: *mut Iterator);
        pub(super) fn rocksdb_iter_valid(cursor: *const Iterator) -> c_uchar;
        pub(super) fn rocksdb_iter_seek_to_first(cursor: *mut Iterator);
        pub(super) fn rocksdb_iter_seek_to_last(cursor: *mut Iterator);
        pub(super) fn rocksdb_iter_next(cursor: *mut Iterator);
        pub(super) fn rocksdb_iter_key(cursor: *const Iterator, len: *mut usize) -> *const c_char;
        pub(super) fn rocksdb_iter_value(cursor: *const Iterator, len: *mut usize) -> *const c_char;
        pub(super) fn rocksdb_iter_get_error(cursor: *const Iterator, error: *mut *mut c_char);
    }
}
