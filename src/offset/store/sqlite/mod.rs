//! An offset store in a SQLite file, for who wants to read and join positions in SQL. Assigns no offset.

mod backup;
mod database;
mod groups;
mod positions;
mod rows;
mod schema;

use std::ops::Range;
use std::path::Path;

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use tidelog_format::{Offset, TimestampNs};

use self::database::Database;
pub use self::positions::SqlitePositions;
use crate::offset::committed_offset::CommittedOffset;
use crate::offset::error::OffsetStoreError;
use crate::offset::group_id::GroupId;
use crate::offset::group_metadata::GroupMetadata;
use crate::offset::offset_checkpoint::OffsetCheckpoint;
use crate::offset::offset_mapping::OffsetMapping;
use crate::offset::partition_stats::PartitionStats;
use crate::offset::schema_migration::SchemaMigration;
use crate::offset::store::OffsetStore;
use crate::offset::store::keys::{integer, key_of, keys_of, partition_of};
use crate::offset::store::limits;
use crate::offset::store::migrations::{self, Others};
use crate::offset::store::statements::{self, NO_TIME};
use crate::topic::{PartitionKey, TopicName};

/// An [`OffsetStore`] in a SQLite file (feature `sqlite`).
///
/// One connection writes, others read beside it. A commit is synced before it returns. Files of older versions are brought up to date when they
/// are opened; one of a newer version, and whatever is no offset store, is refused without a byte of it being changed.
///
/// ```
/// use tidelog::{CommittedOffset, GroupId, OffsetStore, SqliteOffsetStore, Store, TimestampNs};
///
/// # let dir = tempfile::tempdir()?;
/// let orders = Store::open(dir.path().join("data"))?.topic("orders")?.partition(0)?;
/// let (positions, group) = (SqliteOffsetStore::open(dir.path().join("offsets.db"))?, "billing".parse::<GroupId>()?);
/// positions.commit(&group, &[(orders.key().clone(), CommittedOffset::new(0, TimestampNs::new(0)))])?; // survives power loss
/// assert_eq!(positions.fetch(&group, orders.key())?.map(|committed| committed.offset), Some(0.into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SqliteOffsetStore {
    database: Database,
    writer: Mutex<Connection>,
    /// Those that nobody reads with at the moment.
    readers: Mutex<Vec<Connection>>,
}

impl SqliteOffsetStore {
    /// Opens the offset store in a file, and makes it if there is none: one that is lost looks like one that was never there. Where there must be
    /// one, [`open_existing`](Self::open_existing) is the call.
    ///
    /// # Errors
    /// [`OffsetStoreError::Unsupported`] if a newer version wrote it, [`OffsetStoreError::Foreign`] if it is something else; neither changes a
    /// byte. [`OffsetStoreError::Database`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OffsetStoreError> {
        let database = Database::at(path.as_ref());
        if database.is_there()? {
            schema::version(&database, &database.look_at()?, Others::Refused)?;
        }
        let mut writer = database.open()?;
        schema::migrate(&database, &mut writer, migrations::LATEST, Others::Refused)?;
        Ok(Self { database, writer: Mutex::new(writer), readers: Mutex::default() })
    }

    /// As [`open`](Self::open), where there must be one: what groups have committed is not taken for nothing because it is gone.
    ///
    /// # Errors
    /// [`OffsetStoreError::NotFound`] if there is no file, or it has no tables; nothing is made. Else as [`open`](Self::open).
    pub fn open_existing(path: impl AsRef<Path>) -> Result<Self, OffsetStoreError> {
        let database = Database::at(path.as_ref());
        if !database.is_there()? || schema::version(&database, &database.look_at()?, Others::Refused)? == 0 {
            return Err(OffsetStoreError::NotFound { place: database.path.display().to_string() });
        }
        Self::open(path)
    }

    /// The newest version of the schema.
    pub const LATEST_VERSION: u32 = migrations::LATEST;

    /// The version of the schema in a file: 0 in an empty one. Changes not one byte.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn version(path: impl AsRef<Path>) -> Result<u32, OffsetStoreError> {
        let database = Database::at(path.as_ref());
        schema::version(&database, &database.look_at()?, Others::Refused)
    }

    /// All steps of the schema, with when each was applied to a file. Changes not one byte.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn migrations(path: impl AsRef<Path>) -> Result<Vec<SchemaMigration>, OffsetStoreError> {
        let database = Database::at(path.as_ref());
        schema::all(&database, &database.look_at()?)
    }

    /// Brings a file to another version of the schema, up or down, one transaction a version. On the way down, what the older version has no
    /// place for is deleted: make a [`backup`](Self::backup) before.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`OffsetStoreError::Unsupported`] if there is no such version.
    pub fn migrate(path: impl AsRef<Path>, version: u32) -> Result<(), OffsetStoreError> {
        let database = Database::at(path.as_ref());
        migrations::check_wanted(version)?;
        if database.is_there()? {
            schema::version(&database, &database.look_at()?, Others::Refused)?;
        }
        schema::migrate(&database, &mut database.open()?, version, Others::Refused)
    }

    /// Makes the file as small as what is in it.
    ///
    /// # Errors
    /// [`OffsetStoreError::Database`].
    pub fn vacuum(&self) -> Result<(), OffsetStoreError> {
        let writer = self.writer.lock();
        self.database.run("vacuum", || writer.execute_batch("VACUUM"))
    }

    /// Changes rows in one transaction: all of them, or none.
    fn write<T>(
        &self,
        action: &'static str,
        write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<Result<T, OffsetStoreError>>,
    ) -> Result<T, OffsetStoreError> {
        let mut writer = self.writer.lock();
        self.database.run(action, || {
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let outcome = write(&transaction)?;
            if outcome.is_ok() {
                transaction.commit()?
            } else {
                transaction.rollback()?
            }
            Ok(outcome)
        })?
    }

    /// Reads with a connection of its own, beside whoever writes.
    fn read<T>(&self, action: &'static str, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, OffsetStoreError> {
        let idle = self.readers.lock().pop();
        let reader = idle.map_or_else(|| self.database.open_reader(), Ok)?;
        let found = self.database.run(action, || read(&reader));
        let mut readers = self.readers.lock();
        if readers.len() < READERS_MAX {
            readers.push(reader);
        }
        found
    }

    fn partition_keys(&self, action: &'static str, sql: &str) -> Result<Vec<PartitionKey>, OffsetStoreError> {
        let keys: Vec<String> = self.read(action, |reader| reader.prepare_cached(sql)?.query_map([], |row| row.get(0))?.collect())?;
        let mut keys = keys.iter().map(|key| partition_of(key, &self.database.path.display().to_string())).collect::<Result<Vec<_>, _>>()?;
        keys.sort();
        Ok(keys)
    }
}

impl OffsetStore for SqliteOffsetStore {
    fn commit(&self, group: &GroupId, positions: &[(PartitionKey, CommittedOffset)]) -> Result<(), OffsetStoreError> {
        limits::check_positions(positions)?;
        self.write("commit positions to", |transaction| {
            let mut statement = transaction.prepare_cached(statements::COMMIT)?;
            for (partition, position) in positions {
                statement.execute(params![
                    group.as_str(),
                    key_of(partition),
                    integer(position.offset),
                    position.leader_epoch.map(|epoch| epoch.get()),
                    position.metadata,
                    position.committed_at.get(),
                    position.expires_at.map(|at| at.get()),
                ])?;
            }
            Ok(Ok(()))
        })
    }

    fn fetch(&self, group: &GroupId, partition: &PartitionKey) -> Result<Option<CommittedOffset>, OffsetStoreError> {
        self.read("fetch a position from", |reader| rows::fetch(reader, group, partition))
    }

    fn fetch_all(&self, group: &GroupId) -> Result<Vec<(PartitionKey, CommittedOffset)>, OffsetStoreError> {
        let found: Vec<(String, CommittedOffset)> = self.read("fetch positions from", |reader| {
            let mut statement = reader.prepare_cached(statements::FETCH_ALL)?;
            statement.query_map([group.as_str()], |row| Ok((row.get(0)?, rows::position(row, 1)?)))?.collect()
        })?;
        let named = found.into_iter().map(|(key, position)| Ok((partition_of(&key, &self.database.path.display().to_string())?, position)));
        let mut named = named.collect::<Result<Vec<_>, OffsetStoreError>>()?;
        named.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(named)
    }

    fn groups(&self) -> Result<Vec<GroupId>, OffsetStoreError> {
        let names: Vec<String> = self.read("list the groups of", |reader| {
            let mut statement = reader.prepare_cached(statements::GROUPS)?;
            statement.query_map([], |row| row.get(0))?.collect()
        })?;
        names.iter().map(|name| name.parse()).collect()
    }

    fn delete(&self, group: &GroupId, partitions: &[PartitionKey]) -> Result<usize, OffsetStoreError> {
        limits::check_partitions(partitions)?;
        self.write("delete positions from", |transaction| {
            let mut statement = transaction.prepare_cached(statements::DELETE)?;
            let each = partitions.iter().map(|partition| statement.execute(params![group.as_str(), key_of(partition)]));
            each.sum::<rusqlite::Result<usize>>().map(Ok)
        })
    }

    fn delete_group(&self, group: &GroupId) -> Result<usize, OffsetStoreError> {
        self.write("delete a group from", |transaction| {
            let mut deleted = 0;
            for sql in statements::DELETE_GROUP {
                deleted = transaction.prepare_cached(sql)?.execute([group.as_str()])?;
            }
            Ok(Ok(deleted))
        })
    }

    fn save_group(&self, group: &GroupId, metadata: &GroupMetadata) -> Result<bool, OffsetStoreError> {
        limits::check_group(metadata)?;
        self.write("save a group to", |transaction| groups::save(transaction, group, metadata).map(Ok))
    }

    fn load_group(&self, group: &GroupId) -> Result<Option<GroupMetadata>, OffsetStoreError> {
        self.read("load a group from", |reader| groups::load(reader, group))
    }

    fn delete_topic(&self, topic: &TopicName) -> Result<usize, OffsetStoreError> {
        topic.check()?;
        let keys = keys_of(topic);
        self.write("delete a topic from", |transaction| {
            let mut deleted = 0;
            for sql in statements::DELETE_TOPIC {
                deleted = transaction.prepare_cached(sql)?.execute([&keys[0], &keys[1]])?;
            }
            Ok(Ok(deleted))
        })
    }

    fn save_checkpoint(&self, partition: &PartitionKey, checkpoint: OffsetCheckpoint) -> Result<bool, OffsetStoreError> {
        Ok(self.save_checkpoints(&[(partition.clone(), checkpoint)])? > 0)
    }

    fn save_checkpoints(&self, checkpoints: &[(PartitionKey, OffsetCheckpoint)]) -> Result<usize, OffsetStoreError> {
        checkpoints.iter().try_for_each(|(partition, checkpoint)| limits::check_checkpoint(partition, checkpoint))?;
        self.write("save checkpoints to", |transaction| {
            let mut statement = transaction.prepare_cached(statements::SAVE_CHECKPOINT)?;
            let mut saved = 0;
            for (partition, checkpoint) in checkpoints {
                let range = partition.range;
                let (offset, saved_at) = (integer(checkpoint.offset), checkpoint.saved_at.get());
                saved += statement.execute(params![key_of(partition), range.size(), range.start(), range.stop(), NO_TIME, offset, saved_at])?;
            }
            Ok(Ok(saved))
        })
    }

    fn load_checkpoint(&self, partition: &PartitionKey) -> Result<Option<OffsetCheckpoint>, OffsetStoreError> {
        self.read("load a checkpoint from", |reader| {
            let mut statement = reader.prepare_cached(statements::LOAD_CHECKPOINT)?;
            let checkpoint = |row: &rusqlite::Row<'_>| {
                Ok(OffsetCheckpoint { offset: Offset::new(row.get::<_, i64>(0)? as u64), saved_at: TimestampNs::new(row.get(1)?) })
            };
            statement.query_row([key_of(partition)], checkpoint).optional()
        })
    }

    fn save_mappings(&self, partition: &PartitionKey, rows: &[OffsetMapping], saved_at: TimestampNs) -> Result<(), OffsetStoreError> {
        limits::check_rows(partition, rows)?;
        let key = key_of(partition);
        self.write("save rows to", |transaction| {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO offset_mappings (partition_key, kafka_offset, smq_timestamp, message_size, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (partition_key, kafka_offset) DO NOTHING",
            )?;
            let mut find = transaction.prepare_cached(
                "SELECT kafka_offset, smq_timestamp, message_size FROM offset_mappings WHERE partition_key = ?1 AND kafka_offset = ?2",
            )?;
            for given in rows {
                let offset = integer(given.offset);
                if insert.execute(params![key, offset, given.timestamp.get(), given.bytes as i64, saved_at.get()])? == 0 {
                    let stored = find.query_row(params![key, offset], rows::mapping)?;
                    if stored != *given {
                        return Ok(Err(OffsetStoreError::MappingConflict { partition: key.clone(), stored, given: *given }));
                    }
                }
            }
            Ok(Ok(()))
        })
    }

    fn mappings(&self, partition: &PartitionKey, offsets: Range<Offset>, limit: usize) -> Result<Vec<OffsetMapping>, OffsetStoreError> {
        self.read("read rows of", |reader| {
            let mut statement = reader.prepare_cached(statements::MAPPINGS)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let range = params![key_of(partition), integer(offsets.start), integer(offsets.end), limit];
            statement.query_map(range, rows::mapping)?.collect()
        })
    }

    fn highest_offset(&self, partition: &PartitionKey) -> Result<Option<Offset>, OffsetStoreError> {
        self.read("read the highest offset of", |reader| {
            let mut statement = reader.prepare_cached(statements::HIGHEST_OFFSET)?;
            let highest: Option<i64> = statement.query_row([key_of(partition)], |row| row.get(0))?;
            Ok(highest.map(|offset| Offset::new(offset as u64)))
        })
    }

    fn save_stats(&self, partition: &PartitionKey, stats: PartitionStats) -> Result<(), OffsetStoreError> {
        limits::check_stats(partition, &stats)?;
        self.write("save counts to", |transaction| {
            let mut statement = transaction.prepare_cached(statements::SAVE_STATS)?;
            let range = partition.range;
            statement.execute(params![
                key_of(partition),
                range.size(),
                range.start(),
                range.stop(),
                NO_TIME,
                stats.counted_at.get(),
                stats.record_count as i64,
                stats.total_bytes as i64,
                stats.earliest.map(integer),
                stats.latest.map(integer),
                stats.first_record_at.map(|at| at.get()),
                stats.last_record_at.map(|at| at.get()),
            ])?;
            Ok(Ok(()))
        })
    }

    fn partition_stats(&self, partition: &PartitionKey) -> Result<Option<PartitionStats>, OffsetStoreError> {
        self.read("read counts of", |reader| {
            let mut statement = reader.prepare_cached(statements::STATS)?;
            statement.query_row([key_of(partition)], rows::stats).optional()
        })
    }

    fn partitions(&self) -> Result<Vec<PartitionKey>, OffsetStoreError> {
        self.partition_keys("list the partitions of", statements::PARTITIONS)
    }

    fn forget(&self, partition: &PartitionKey) -> Result<(), OffsetStoreError> {
        limits::check_partition(partition)?;
        self.write("forget a partition in", |transaction| {
            for sql in statements::FORGET {
                transaction.prepare_cached(sql)?.execute([key_of(partition)])?;
            }
            Ok(Ok(()))
        })
    }

    fn clean_up(&self, now: TimestampNs) -> Result<usize, OffsetStoreError> {
        self.write("delete expired positions from", |transaction| transaction.prepare_cached(statements::CLEAN_UP)?.execute([now.get()]).map(Ok))
    }

    fn clean_up_mappings(&self, saved_before: TimestampNs) -> Result<usize, OffsetStoreError> {
        self.write("delete old rows from", |transaction| {
            transaction.prepare_cached(statements::CLEAN_UP_MAPPINGS)?.execute([saved_before.get()]).map(Ok)
        })
    }
}

const READERS_MAX: usize = 8;

#[cfg(test)]
mod tests;
