//! An offset store in a PostgreSQL database, for who has a server and wants several machines, or his own tables, to share it. Assigns no offset.

mod groups;
mod positions;
mod rows;
mod schema;
mod server;

use std::ops::Range;

use postgres::Client;
use tidelog_format::{Offset, TimestampNs};

pub use self::positions::PostgresPositions;
use self::server::{Failed, Server, Work, failure};
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

/// An [`OffsetStore`] in a PostgreSQL database (feature `postgres`): in its current schema, which is the first of `search_path` that is there.
///
/// A commit is flushed by the server before it returns: in each transaction `synchronous_commit = off` is overruled, and a server with `fsync = off`
/// refused. Up to eight connections are kept, and calls beyond that wait for one. Where one is lost, what was not committed is done again on another; a
/// commit whose answer is lost is [`OffsetStoreError::OutcomeUnknown`], and never told as done.
///
/// Unless other limits are set, nobody waits for ever: a call whose rows somebody else holds for 30 seconds fails (SQLSTATE 55P03, `lock_timeout`), the
/// server gives up a transaction that says nothing for as long (`idle_in_transaction_session_timeout`), and [`connect`](Self::connect) gives up a
/// connection whose other end is silent for about as long (`tcp_user_timeout`, `keepalives_idle`).
///
/// Schemas of older versions are brought up to date when they are opened, one process at a time; one of a newer version, and whatever is no offset
/// store, is refused and not changed. Copies of it are made by PostgreSQL's own tools.
///
/// ```no_run
/// use tidelog::{CommittedOffset, GroupId, OffsetStore, PostgresOffsetStore, Store, TimestampNs};
///
/// let orders = Store::open("data")?.topic("orders")?.partition(0)?;
/// let (positions, group) = (PostgresOffsetStore::connect("postgres://shop@localhost/shop")?, "billing".parse::<GroupId>()?);
/// positions.commit(&group, &[(orders.key().clone(), CommittedOffset::new(0, TimestampNs::new(0)))])?; // survives power loss of the server
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Panics
/// Its calls block, and panic where a thread of tokio's runtime must not: use `spawn_blocking` there. It may be dropped anywhere.
#[derive(Debug)]
pub struct PostgresOffsetStore {
    server: Server,
}

impl PostgresOffsetStore {
    /// Opens the offset store in a database, and makes it if there is none. `config` is a connection string of libpq's: `postgres://user@host/database`,
    /// or `host=.. user=..`; `options=-c search_path=..` names a schema. Without TLS: that takes [`connect_with`](Self::connect_with).
    ///
    /// # Errors
    /// [`OffsetStoreError::Unsupported`] if a newer version wrote it, [`OffsetStoreError::Foreign`] if the schema holds something else; neither
    /// changes anything. [`OffsetStoreError::Server`].
    pub fn connect(config: &str) -> Result<Self, OffsetStoreError> {
        Self::open(Server::at(config)?)
    }

    /// As [`connect`](Self::connect), by connections that `connect` makes: over TLS, or whatever else there is to do. How long they wait for a machine
    /// that is silent is what `connect` says (`keepalives_idle`, `tcp_user_timeout`). `place` is how errors name them.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_with(
        place: &str,
        connect: impl Fn() -> Result<Client, postgres::Error> + Send + Sync + 'static,
    ) -> Result<Self, OffsetStoreError> {
        Self::open(Server::by(place.to_owned(), connect))
    }

    /// As [`connect`](Self::connect), where there must be one: what groups have committed is not taken for nothing because it is gone.
    ///
    /// # Errors
    /// [`OffsetStoreError::NotFound`] if there are no tables; nothing is made. Else as [`connect`](Self::connect).
    pub fn open_existing(config: &str) -> Result<Self, OffsetStoreError> {
        let server = Server::at(config)?;
        if schema::version(&server.place, &mut server.open()?, Others::Allowed)? == 0 {
            return Err(OffsetStoreError::NotFound { place: server.place.clone() });
        }
        Self::open(server)
    }

    fn open(server: Server) -> Result<Self, OffsetStoreError> {
        let mut client = server.open()?;
        if schema::version(&server.place, &mut client, Others::Refused)? < migrations::LATEST {
            schema::migrate(&server.place, &mut client, migrations::LATEST, Others::Refused)?;
        }
        Ok(Self { server })
    }

    /// The newest version of the schema.
    pub const LATEST_VERSION: u32 = migrations::LATEST;

    /// The version of the schema in a database: 0 in an empty one. Changes nothing.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn version(config: &str) -> Result<u32, OffsetStoreError> {
        let server = Server::at(config)?;
        schema::version(&server.place, &mut server.open()?, Others::Refused)
    }

    /// All steps of the schema, with when each was applied to a database. Changes nothing.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn migrations(config: &str) -> Result<Vec<SchemaMigration>, OffsetStoreError> {
        let server = Server::at(config)?;
        schema::all(&server.place, &mut server.open()?)
    }

    /// Brings a database to another version of the schema, up or down, one transaction a version. On the way down, what the older version has no
    /// place for is deleted: make a copy before.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); [`OffsetStoreError::Unsupported`] if there is no such version.
    pub fn migrate(config: &str, version: u32) -> Result<(), OffsetStoreError> {
        migrations::check_wanted(version)?;
        let server = Server::at(config)?;
        schema::migrate(&server.place, &mut server.open()?, version, Others::Refused)
    }

    fn read<T>(
        &self,
        action: &'static str,
        sql: &'static str,
        params: &[&(dyn postgres::types::ToSql + Sync)],
        read: impl FnMut(postgres::Row) -> Result<T, postgres::Error>,
    ) -> Result<Vec<T>, OffsetStoreError> {
        let rows = self.server.query(action, sql, params)?;
        rows.into_iter().map(read).collect::<Result<_, _>>().map_err(|error| failure(action, &self.server.place, &error))
    }

    fn partition(&self, key: &str) -> Result<PartitionKey, OffsetStoreError> {
        partition_of(key, &self.server.place)
    }
}

impl OffsetStore for PostgresOffsetStore {
    fn commit(&self, group: &GroupId, positions: &[(PartitionKey, CommittedOffset)]) -> Result<(), OffsetStoreError> {
        limits::check_positions(positions)?;
        if positions.is_empty() {
            return Ok(());
        }
        // In one order, so that none waits for another that waits for it; the last of a partition stays the last.
        let mut keyed: Vec<_> = positions.iter().map(|(partition, position)| (key_of(partition), position)).collect();
        keyed.sort_by(|a, b| a.0.cmp(&b.0));
        self.server.write("commit positions to", |work| {
            for (key, position) in &keyed {
                let (offset, epoch) = (integer(position.offset), position.leader_epoch.map(|epoch| i64::from(epoch.get())));
                let (committed_at, expires_at) = (position.committed_at.get(), position.expires_at.map(|at| at.get()));
                work.execute(statements::COMMIT, &[&group.as_str(), key, &offset, &epoch, &position.metadata, &committed_at, &expires_at])?;
            }
            Ok(())
        })
    }

    fn fetch(&self, group: &GroupId, partition: &PartitionKey) -> Result<Option<CommittedOffset>, OffsetStoreError> {
        let params = (group.as_str(), key_of(partition));
        let found = self.read("fetch a position from", statements::FETCH, &[&params.0, &params.1], |row| rows::position(&row, 0));
        Ok(found?.pop())
    }

    fn fetch_all(&self, group: &GroupId) -> Result<Vec<(PartitionKey, CommittedOffset)>, OffsetStoreError> {
        let named = |row: postgres::Row| Ok((row.try_get::<_, String>(0)?, rows::position(&row, 1)?));
        let found = self.read("fetch positions from", statements::FETCH_ALL, &[&group.as_str()], named)?;
        let parsed = found.into_iter().map(|(key, position)| Ok((self.partition(&key)?, position)));
        let mut parsed = parsed.collect::<Result<Vec<_>, OffsetStoreError>>()?;
        parsed.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(parsed)
    }

    fn groups(&self) -> Result<Vec<GroupId>, OffsetStoreError> {
        let names: Vec<String> = self.read("list the groups of", statements::GROUPS, &[], |row| row.try_get(0))?;
        names.iter().map(|name| name.parse()).collect()
    }

    fn delete(&self, group: &GroupId, partitions: &[PartitionKey]) -> Result<usize, OffsetStoreError> {
        limits::check_partitions(partitions)?;
        let mut keys: Vec<_> = partitions.iter().map(ToString::to_string).collect();
        keys.sort();
        self.server.write("delete positions from", |work| {
            keys.iter().map(|key| work.execute(statements::DELETE, &[&group.as_str(), key])).sum::<Result<usize, Failed>>()
        })
    }

    fn delete_group(&self, group: &GroupId) -> Result<usize, OffsetStoreError> {
        self.server.write("delete a group from", |work| {
            let mut deleted = 0;
            for sql in statements::DELETE_GROUP {
                deleted = work.execute(sql, &[&group.as_str()])?;
            }
            Ok(deleted)
        })
    }

    fn save_group(&self, group: &GroupId, metadata: &GroupMetadata) -> Result<bool, OffsetStoreError> {
        limits::check_group(metadata)?;
        self.server.write("save a group to", |work| groups::save(work, group, metadata))
    }

    fn load_group(&self, group: &GroupId) -> Result<Option<GroupMetadata>, OffsetStoreError> {
        let rows = self.server.query("load a group from", statements::LOAD_GROUP, &[&group.as_str()])?;
        groups::load(&rows).map_err(|error| failure("load a group from", &self.server.place, &error))
    }

    fn delete_topic(&self, topic: &TopicName) -> Result<usize, OffsetStoreError> {
        topic.check()?;
        let [from, to] = keys_of(topic);
        self.server.write("delete a topic from", |work| {
            let mut deleted = 0;
            for sql in statements::DELETE_TOPIC {
                deleted = work.execute(sql, &[&from, &to])?;
            }
            Ok(deleted)
        })
    }

    fn save_checkpoint(&self, partition: &PartitionKey, checkpoint: OffsetCheckpoint) -> Result<bool, OffsetStoreError> {
        Ok(self.save_checkpoints(&[(partition.clone(), checkpoint)])? > 0)
    }

    fn save_checkpoints(&self, checkpoints: &[(PartitionKey, OffsetCheckpoint)]) -> Result<usize, OffsetStoreError> {
        checkpoints.iter().try_for_each(|(partition, checkpoint)| limits::check_checkpoint(partition, checkpoint))?;
        let mut keyed: Vec<_> = checkpoints.iter().map(|(partition, checkpoint)| (key_of(partition), ring(partition), checkpoint)).collect();
        keyed.sort_by(|a, b| a.0.cmp(&b.0));
        self.server.write("save checkpoints to", |work| {
            let mut saved = 0;
            for (key, [size, start, stop], checkpoint) in &keyed {
                let (offset, saved_at) = (integer(checkpoint.offset), checkpoint.saved_at.get());
                saved += work.execute(statements::SAVE_CHECKPOINT, &[key, size, start, stop, &NO_TIME, &offset, &saved_at])?;
            }
            Ok(saved)
        })
    }

    fn load_checkpoint(&self, partition: &PartitionKey) -> Result<Option<OffsetCheckpoint>, OffsetStoreError> {
        let found = self.read("load a checkpoint from", statements::LOAD_CHECKPOINT, &[&key_of(partition)], |row| rows::checkpoint(&row));
        Ok(found?.pop())
    }

    fn save_mappings(&self, partition: &PartitionKey, rows: &[OffsetMapping], saved_at: TimestampNs) -> Result<(), OffsetStoreError> {
        limits::check_rows(partition, rows)?;
        let mut sorted = rows.to_vec();
        sorted.sort_by_key(|row| row.offset);
        let key = key_of(partition);
        self.server.write("save rows to", |work| save_mappings(work, &key, &sorted, saved_at))
    }

    fn mappings(&self, partition: &PartitionKey, offsets: Range<Offset>, limit: usize) -> Result<Vec<OffsetMapping>, OffsetStoreError> {
        let (key, limit) = (key_of(partition), i64::try_from(limit).unwrap_or(i64::MAX));
        let (start, end) = (integer(offsets.start), integer(offsets.end));
        self.read("read rows of", statements::MAPPINGS, &[&key, &start, &end, &limit], |row| rows::mapping(&row))
    }

    fn highest_offset(&self, partition: &PartitionKey) -> Result<Option<Offset>, OffsetStoreError> {
        let highest = |row: postgres::Row| Ok(row.try_get::<_, Option<i64>>(0)?.map(rows::offset));
        let found = self.read("read the highest offset of", statements::HIGHEST_OFFSET, &[&key_of(partition)], highest)?;
        Ok(found.into_iter().flatten().next())
    }

    fn save_stats(&self, partition: &PartitionKey, stats: PartitionStats) -> Result<(), OffsetStoreError> {
        limits::check_stats(partition, &stats)?;
        let (key, [size, start, stop]) = (key_of(partition), ring(partition));
        let (at, count, bytes) = (stats.counted_at.get(), stats.record_count as i64, stats.total_bytes as i64);
        let (earliest, latest) = (stats.earliest.map(integer), stats.latest.map(integer));
        let (first_at, last_at) = (stats.first_record_at.map(|at| at.get()), stats.last_record_at.map(|at| at.get()));
        self.server.write("save counts to", |work| {
            let row: [&(dyn postgres::types::ToSql + Sync); 12] =
                [&key, &size, &start, &stop, &NO_TIME, &at, &count, &bytes, &earliest, &latest, &first_at, &last_at];
            work.execute(statements::SAVE_STATS, &row).map(drop)
        })
    }

    fn partition_stats(&self, partition: &PartitionKey) -> Result<Option<PartitionStats>, OffsetStoreError> {
        let found = self.read("read counts of", statements::STATS, &[&key_of(partition)], |row| rows::stats(&row));
        Ok(found?.pop())
    }

    fn partitions(&self) -> Result<Vec<PartitionKey>, OffsetStoreError> {
        let keys: Vec<String> = self.read("list the partitions of", statements::PARTITIONS, &[], |row| row.try_get(0))?;
        let mut partitions = keys.iter().map(|key| self.partition(key)).collect::<Result<Vec<_>, _>>()?;
        partitions.sort();
        Ok(partitions)
    }

    fn forget(&self, partition: &PartitionKey) -> Result<(), OffsetStoreError> {
        limits::check_partition(partition)?;
        let key = key_of(partition);
        self.server.write("forget a partition in", |work| statements::FORGET.iter().try_for_each(|sql| work.execute(sql, &[&key]).map(drop)))
    }

    fn clean_up(&self, now: TimestampNs) -> Result<usize, OffsetStoreError> {
        self.server.write("delete expired positions from", |work| work.execute(statements::CLEAN_UP, &[&now.get()]))
    }

    fn clean_up_mappings(&self, saved_before: TimestampNs) -> Result<usize, OffsetStoreError> {
        self.server.write("delete old rows from", |work| work.execute(statements::CLEAN_UP_MAPPINGS, &[&saved_before.get()]))
    }
}

/// All rows in one statement, and, where some were there already, a look at them in a second one.
fn save_mappings(work: &mut Work<'_>, key: &str, rows: &[OffsetMapping], saved_at: TimestampNs) -> Result<(), Failed> {
    let offsets: Vec<_> = rows.iter().map(|row| integer(row.offset)).collect();
    let times: Vec<_> = rows.iter().map(|row| row.timestamp.get()).collect();
    let sizes: Vec<_> = rows.iter().map(|row| row.bytes as i64).collect();
    if work.execute(INSERT_MAPPINGS, &[&key, &offsets, &times, &sizes, &saved_at.get()])? == rows.len() {
        return Ok(());
    }
    let stored = work.query(FIND_MAPPINGS, &[&key, &offsets])?.iter().map(rows::mapping).collect::<Result<Vec<_>, _>>()?;
    for given in rows {
        match stored.binary_search_by_key(&given.offset, |row| row.offset).map(|at| stored[at]) {
            Ok(stored) if stored != *given => {
                return Err(OffsetStoreError::MappingConflict { partition: key.to_owned(), stored, given: *given }.into());
            }
            // One that is not there any more was deleted in this moment, by whoever deletes rows.
            _ => {}
        }
    }
    Ok(())
}

fn ring(partition: &PartitionKey) -> [i64; 3] {
    [partition.range.size(), partition.range.start(), partition.range.stop()].map(i64::from)
}

const INSERT_MAPPINGS: &str = "INSERT INTO offset_mappings (partition_key, kafka_offset, smq_timestamp, message_size, created_at)
    SELECT $1, r.kafka_offset, r.smq_timestamp, r.message_size, $5
    FROM UNNEST($2::BIGINT[], $3::BIGINT[], $4::BIGINT[]) AS r (kafka_offset, smq_timestamp, message_size)
    ON CONFLICT (partition_key, kafka_offset) DO NOTHING";
const FIND_MAPPINGS: &str = "SELECT kafka_offset, smq_timestamp, message_size FROM offset_mappings
    WHERE partition_key = $1 AND kafka_offset = ANY ($2) ORDER BY kafka_offset";

#[cfg(test)]
mod tests;
