//! Positions of groups in somebody else's database and in his transactions, so that a result and its position are there together or not at
//! all. Begins and ends no transaction of his.

use std::path::Path;

use rusqlite::{Connection, Transaction, params};

use crate::offset::committed_offset::CommittedOffset;
use crate::offset::error::OffsetStoreError;
use crate::offset::group_id::GroupId;
use crate::offset::offset_and_epoch::OffsetAndEpoch;
use crate::offset::store::keys::integer;
use crate::offset::store::limits;
use crate::offset::store::migrations::{LATEST, Others};
use crate::offset::store::sqlite::database::Database;
use crate::offset::store::sqlite::{rows, schema};
use crate::offset::store::statements;
use crate::topic::PartitionKey;

/// Positions of groups in a SQLite database of your own (feature `sqlite`), moved in the transaction that stores what was made of the records:
/// after a crash both are there, or neither, and no record counts twice or is left out.
///
/// The tables are those of [`SqliteOffsetStore`](crate::SqliteOffsetStore), which opens the same file, for the subscription to begin at, and
/// leaves its journal mode as it is. The crate `rusqlite` must be of the version that this one uses.
///
/// What this cannot give back: records of a log that lost its end. [`Subscription::checked_position`](crate::Subscription::checked_position)
/// therefore gives none that is not durable, and with its term, by which a log that was cut and has grown again is told.
///
/// ```
/// use std::sync::Arc;
/// use rusqlite::Connection;
/// use tidelog::{GroupPosition, Record, SqliteOffsetStore, SqlitePositions, Store, SubscriptionOptions};
///
/// # let dir = tempfile::tempdir()?;
/// let orders = Store::open(dir.path().join("data"))?.topic("orders")?.partition(0)?;
/// orders.append(Record::new("12 apples"))?;
///
/// let file = dir.path().join("shop.db");
/// let mut shop = Connection::open(&file)?;
/// shop.execute_batch("CREATE TABLE orders (what TEXT)")?;
/// let positions = SqlitePositions::prepare(&mut shop)?;
///
/// let store = Arc::new(SqliteOffsetStore::open_existing(&file)?);
/// let group = GroupPosition { group: "billing".parse()?, partition: orders.key().clone(), store };
/// let subscription = orders.subscribe("billing-1", SubscriptionOptions::new().group(group.clone()))?;
/// let committed = subscription.started().committed();
///
/// let transaction = shop.transaction()?;
/// for record in subscription.page()?.records {
///     transaction.execute("INSERT INTO orders VALUES (CAST(?1 AS TEXT))", [record.value()])?;
/// }
/// let next = subscription.checked_position()?;
/// positions.advance(&transaction, &group.group, &group.partition, committed, &next)?;
/// transaction.commit()?; // the order and the position
/// # assert_eq!(next.offset, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct SqlitePositions {
    database: Database,
}

impl SqlitePositions {
    /// Makes the tables in a database, beside whatever is in it, or brings them up to date, a transaction a version.
    ///
    /// # Errors
    /// [`OffsetStoreError::Unsupported`] if a newer version made them, [`OffsetStoreError::Foreign`] if its table `schema_migrations` is of another
    /// program; neither changes a byte. [`OffsetStoreError::Database`], also if it has another table of one of the names.
    pub fn prepare(connection: &mut Connection) -> Result<Self, OffsetStoreError> {
        let database = Database::at(Path::new(connection.path().filter(|path| !path.is_empty()).unwrap_or(":memory:")));
        schema::migrate(&database, connection, LATEST, Others::Allowed)?;
        Ok(Self { database })
    }

    /// The position of a group in a partition, as the transaction sees it.
    ///
    /// # Errors
    /// [`OffsetStoreError::Database`].
    pub fn position(
        &self,
        transaction: &Transaction<'_>,
        group: &GroupId,
        partition: &PartitionKey,
    ) -> Result<Option<CommittedOffset>, OffsetStoreError> {
        self.database.run("fetch a position from", || rows::fetch(transaction, group, partition))
    }

    /// Moves the position of a group in a partition, in either direction, if it is still at `from`, offset and term: at nothing, where the group has none yet. It
    /// is moved when the transaction is committed.
    ///
    /// # Errors
    /// [`OffsetStoreError::PositionMoved`] if it is elsewhere: another consumer has counted these records. Nothing was written; roll back.
    /// [`OffsetStoreError::OffsetTooHigh`], [`OffsetStoreError::MetadataTooLarge`], [`OffsetStoreError::Topic`], [`OffsetStoreError::Database`].
    pub fn advance(
        &self,
        transaction: &Transaction<'_>,
        group: &GroupId,
        partition: &PartitionKey,
        from: Option<OffsetAndEpoch>,
        to: &CommittedOffset,
    ) -> Result<(), OffsetStoreError> {
        limits::check_position(partition, to)?;
        let (group_id, key, offset, epoch) = (group.as_str(), partition.to_string(), integer(to.offset), to.leader_epoch.map(|epoch| epoch.get()));
        let (committed_at, expires_at) = (to.committed_at.get(), to.expires_at.map(|at| at.get()));
        let written = self.database.run("move a position in", || match from {
            None => {
                let row = params![group_id, key, offset, epoch, to.metadata, committed_at, expires_at];
                transaction.prepare_cached(statements::COMMIT_FIRST)?.execute(row)
            }
            Some(from) => {
                let row = params![
                    offset,
                    epoch,
                    to.metadata,
                    committed_at,
                    expires_at,
                    group_id,
                    key,
                    integer(from.offset),
                    from.leader_epoch.map(|epoch| epoch.get())
                ];
                transaction.prepare_cached(statements::COMMIT_FROM)?.execute(row)
            }
        })?;
        if written == 1 {
            return Ok(());
        }
        let found = self.position(transaction, group, partition)?.map(|position| OffsetAndEpoch::from(&position));
        Err(OffsetStoreError::PositionMoved { group: group.clone(), partition: key, expected: from, found })
    }
}
