//! The logs that take part, each at its documented fastest setting for what an append must survive.

use crate::log::Entry;

mod commitlog;
mod fjall;
mod lmdb;
mod mrecordlog;
mod nano_wal;
mod redb;
mod seglog;
mod sled;
mod sqlite;
mod tidelog;
mod wal_db;
mod writeahead;

/// tidelog first: ratios are to it.
pub(crate) const LOGS: &[Entry] = &[
    tidelog::ENTRY,
    commitlog::ENTRY,
    seglog::ENTRY,
    wal_db::ENTRY,
    writeahead::ENTRY,
    nano_wal::ENTRY,
    mrecordlog::ENTRY,
    lmdb::ENTRY,
    redb::ENTRY,
    fjall::ENTRY,
    sled::ENTRY,
    sqlite::ENTRY,
];

pub(crate) fn names() -> Vec<&'static str> {
    LOGS.iter().map(|log| log.name).collect()
}
