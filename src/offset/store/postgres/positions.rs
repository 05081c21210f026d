//! Positions of groups in somebody else's database and in his transactions, so that a result and its position are there together or not at
//! all. Begins and ends no transaction of his.

use postgres::{Client, Transaction};

use crate::offset::committed_offset::CommittedOffset;
use crate::offset::error::OffsetStoreError;
use crate::offset::group_id::GroupId;
use crate::offset::offset_and_epoch::OffsetAndEpoch;
use crate::offset::store::keys::integer;
use crate::offset::store::limits;
use crate::offset::store::migrations::{LATEST, Others};
use crate::offset::store::postgres::server::failure;
use crate::offset::store::postgres::{rows, schema};
use crate::offset::store::statements;
use crate::topic::PartitionKey;

/// Positions of groups in a PostgreSQL database of your own (feature `postgres`), moved in the transaction that stores what was made of the
/// records. As `SqlitePositions` (feature `sqlite`), with the same promises and limits.
///
/// The tables are those of [`PostgresOffsetStore`](crate::PostgresOffsetStore), which a subscription begins at. The crate `postgres` must be of the
/// version that this one uses. Where the answer to your COMMIT is lost, subscribe anew and go on from there: the server may be at work with it still,
/// and then your next move waits for it, and is refused if it was done ([`OffsetStoreError::PositionMoved`]).
///
/// How long your connection waits is yours to say: without `keepalives_idle` and `tcp_user_timeout` for hours for a machine that is gone, without
/// `lock_timeout` for ever for a consumer that holds the position, and without `idle_in_transaction_session_timeout` the server does so for yours.
///
/// ```no_run
/// use std::sync::Arc;
/// use postgres::{Client, NoTls};
/// use tidelog::{GroupPosition, PostgresOffsetStore, PostgresPositions, Store, SubscriptionOptions};
///
/// let orders = Store::open("data")?.topic("orders")?.partition(0)?;
/// let mut shop = Client::connect("postgres://shop@localhost/shop", NoTls)?;
/// let positions = PostgresPositions::prepare(&mut shop)?;
///
/// let store = Arc::new(PostgresOffsetStore::open_existing("postgres://shop@localhost/shop")?);
/// let group = GroupPosition { group: "billing".parse()?, partition: orders.key().clone(), store };
/// let subscription = orders.subscribe("billing-1", SubscriptionOptions::new().group(group.clone()))?;
/// let committed = subscription.started().committed();
///
/// let mut transaction = shop.transaction()?;
/// for record in subscription.page()?.records {
///     transaction.execute("INSERT INTO orders (what) VALUES ($1)", &[&record.value()])?;
/// }
/// let next = subscription.checked_position()?;
/// positions.advance(&mut transaction, &group.group, &group.partition, committed, &next)?;
/// transaction.commit()?; // the orders and the position
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct PostgresPositions {
    _private: (),
}

impl PostgresPositions {
    /// Makes the tables in the current schema of a database, beside whatever is in it, or brings them up to date, a transaction a version.
    ///
    /// # Errors
    /// [`OffsetStoreError::Unsupported`] if a newer version made them, [`OffsetStoreError::Foreign`] if its table `schema_migrations` is of another
    /// program; neither changes anything. [`OffsetStoreError::Server`], also if it has another table of one of the names.
    pub fn prepare(client: &mut Client) -> Result<Self, OffsetStoreError> {
        schema::migrate(PLACE, client, LATEST, Others::Allowed)?;
        Ok(Self { _private: () })
    }

    /// The position of a group in a partition, as the transaction sees it.
    ///
    /// # Errors
    /// [`OffsetStoreError::Server`].
    pub fn position(
        &self,
        transaction: &mut Transaction<'_>,
        group: &GroupId,
        partition: &PartitionKey,
    ) -> Result<Option<CommittedOffset>, OffsetStoreError> {
        let found = transaction.query_opt(statements::FETCH, &[&group.as_str(), &partition.to_string()]);
        let position = found.and_then(|row| row.map(|row| rows::position(&row, 0)).transpose());
        position.map_err(|error| failure("fetch a position from", PLACE, &error))
    }

    /// Moves the position of a group in a partition, in either direction, if it is still at `from`, offset and term: at nothing, where the group has none yet. It
    /// is moved when the transaction is committed; another one that moves it waits for that.
    ///
    /// # Errors
    /// [`OffsetStoreError::PositionMoved`] if it is elsewhere: another consumer has counted these records. Nothing was written; roll back.
    /// [`OffsetStoreError::OffsetTooHigh`], [`OffsetStoreError::MetadataTooLarge`], [`OffsetStoreError::Topic`], [`OffsetStoreError::Server`].
    pub fn advance(
        &self,
        transaction: &mut Transaction<'_>,
        group: &GroupId,
        partition: &PartitionKey,
        from: Option<OffsetAndEpoch>,
        to: &CommittedOffset,
    ) -> Result<(), OffsetStoreError> {
        limits::check_position(partition, to)?;
        let (id, key, offset, epoch) =
            (group.as_str(), partition.to_string(), integer(to.offset), to.leader_epoch.map(|epoch| i64::from(epoch.get())));
        let (committed_at, expires_at) = (to.committed_at.get(), to.expires_at.map(|at| at.get()));
        let written = match from {
            None => transaction.execute(statements::COMMIT_FIRST, &[&id, &key, &offset, &epoch, &to.metadata, &committed_at, &expires_at]),
            Some(from) => {
                let (from, from_epoch) = (integer(from.offset), from.leader_epoch.map(|epoch| i64::from(epoch.get())));
                let row: [&(dyn postgres::types::ToSql + Sync); 9] =
                    [&offset, &epoch, &to.metadata, &committed_at, &expires_at, &id, &key, &from, &from_epoch];
                transaction.execute(statements::COMMIT_FROM, &row)
            }
        };
        if written.map_err(|error| failure("move a position in", PLACE, &error))? == 1 {
            return Ok(());
        }
        let found = self.position(transaction, group, partition)?.map(|position| OffsetAndEpoch::from(&position));
        Err(OffsetStoreError::PositionMoved { group: group.clone(), partition: key, expected: from, found })
    }
}

/// A connection does not tell where it leads.
const PLACE: &str = "the PostgreSQL database";
