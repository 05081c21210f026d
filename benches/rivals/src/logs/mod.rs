//! The logs that take part, each at its documented fastest setting for what an append must survive. RocksDB takes part only with
//! the feature `rocksdb`, which links the system's library. No crate was left out: each that was looked for builds, and reads what it wrote.

use crate::log::Entry;

mod commitlog;
mod fjall;
mod lmdb;
mod mrecordlog;
mod nano_wal;
mod okaywal;
mod open_wal;
mod raft_engine;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod seglog;
mod sled;
mod sqlite;
mod tidelog;
mod wal_db;
mod walrus;
mod writeahead;

/// tidelog first: ratios are to it.
pub(crate) const LOGS: &[Entry] = &[
    tidelog::ENTRY,
    commitlog::ENTRY,
    seglog::ENTRY,
    wal_db::ENTRY,
    writeahead::ENTRY,
    nano_wal::ENTRY,
    open_wal::ENTRY,
    okaywal::ENTRY,
    walrus::ENTRY,
    raft_engine::ENTRY,
    mrecordlog::ENTRY,
    lmdb::ENTRY,
    lmdb::MAPPED,
    redb::ENTRY,
    fjall::ENTRY,
    sled::ENTRY,
    sqlite::ENTRY,
    #[cfg(feature = "rocksdb")]
    rocksdb::ENTRY,
];

pub(crate) fn names() -> Vec<&'static str> {
    LOGS.iter().map(|log| log.name).collect()
}
