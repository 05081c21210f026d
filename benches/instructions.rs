//! Instructions of one operation of each kind, for `.ci/instructions`, which counts them under callgrind: they repeat where seconds do not.
//! `instructions NAME COUNT` does one kind COUNT times; without arguments each is done a few times. No thread runs beside the one that counts.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // a bench is its own user of the file system

mod marks;

use std::path::Path;

use marks::bench_dir::BenchDir;
use marks::engine::{BATCH, put_batches, put_singles};
use marks::values::Values;
use tidelog::{Partition, Store, StoreOptions, SyncPolicy};

/// Records of 100 B that the kinds read from.
const STORED: usize = 20_000;

type Work = fn(&Path, &Values, usize);

const KINDS: [(&str, Work); 10] = [
    ("append", |dir, values, count| put_singles(&store(dir, SyncPolicy::OsOnly).1, values, count)),
    ("append_batch_100", |dir, values, count| put_batches(&store(dir, SyncPolicy::OsOnly).1, values, count * BATCH)),
    // Through one write each, as what will be synced goes; the sync itself is the kernel's.
    ("append_by_write", |dir, values, count| put_singles(&store(dir, SyncPolicy::default()).1, values, count)),
    ("scan_singles", |dir, values, count| scan(dir, values, count, put_singles)),
    ("scan_batches_100", |dir, values, count| scan(dir, values, count, put_batches)),
    ("scan_refs_singles", |dir, values, count| scan_refs(dir, values, count, put_singles)),
    ("scan_refs_batches_100", |dir, values, count| scan_refs(dir, values, count, put_batches)),
    ("get_single", |dir, values, count| get(dir, values, count, put_singles)),
    ("get_in_batch_100", |dir, values, count| get(dir, values, count, put_batches)),
    ("recover_single", |dir, values, count| {
        let (store, partition) = store(dir, SyncPolicy::OsOnly);
        put_singles(&partition, values, STORED);
        partition.flush().unwrap();
        // Beside its writer, a reader without LIVE walks over what no checkpoint covers.
        std::fs::remove_file(dir.join("LIVE")).unwrap();
        for _ in 0..count / STORED {
            let seen = Store::open_read_only(dir).unwrap().topic("bench").unwrap().partition(0).unwrap();
            assert_eq!(seen.log_end_offset().get() as usize, STORED);
        }
        drop(store);
    }),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let dir = BenchDir::new();
    match arguments.as_slice() {
        [name, count] => {
            let (_, work) = KINDS.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no kind {name}"));
            work(&dir.path("count"), &Values::new(100), count.parse().expect("a number"));
        }
        _ => {
            for (name, work) in KINDS {
                work(&dir.path(name), &Values::new(100), STORED);
                println!("{name}: done; .ci/instructions counts");
            }
        }
    }
}

fn store(dir: &Path, policy: SyncPolicy) -> (Store, Partition) {
    let store = StoreOptions::new().sync_policy(policy).without_threads().open(dir).unwrap();
    let partition = store.topic("bench").unwrap().partition(0).unwrap();
    (store, partition)
}

fn stored(dir: &Path, values: &Values, put: fn(&Partition, &Values, usize)) -> (Store, Partition) {
    let (store, partition) = store(dir, SyncPolicy::OsOnly);
    put(&partition, values, STORED);
    (store, partition)
}

fn scan(dir: &Path, values: &Values, count: usize, put: fn(&Partition, &Values, usize)) {
    let (_store, partition) = stored(dir, values, put);
    for _ in 0..count / STORED {
        let (mut reader, mut bytes) = (partition.read_from(0).unwrap(), 0);
        while let Some(batch) = reader.next_batch() {
            bytes += batch.unwrap().records().map(|record| record.unwrap().value().unwrap().len()).sum::<usize>();
        }
        assert_eq!(bytes, 100 * STORED);
    }
}

fn scan_refs(dir: &Path, values: &Values, count: usize, put: fn(&Partition, &Values, usize)) {
    let (_store, partition) = stored(dir, values, put);
    for _ in 0..count / STORED {
        let (mut reader, mut bytes) = (partition.read_from(0).unwrap(), 0);
        while let Some(record) = reader.next_ref() {
            bytes += record.unwrap().value().unwrap().len();
        }
        assert_eq!(bytes, 100 * STORED);
    }
}

fn get(dir: &Path, values: &Values, count: usize, put: fn(&Partition, &Values, usize)) {
    let (_store, partition) = stored(dir, values, put);
    let mut at = 0;
    for _ in 0..count {
        at = (at + 7919) % STORED as u64;
        assert_eq!(partition.get(at).unwrap().value().unwrap().len(), 100);
    }
}
