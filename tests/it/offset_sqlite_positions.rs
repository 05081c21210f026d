//! Positions in somebody else's SQLite database: there together with what was made of the records, or not at all; moved by one consumer alone;
//! and told when the log was cut.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, TransactionBehavior};
use tidelog::{
    CommittedOffset, GroupId, GroupPosition, LeaderEpoch, OffsetAndEpoch, OffsetStore, OffsetStoreError, OnOutOfRange, Partition, PartitionKey,
    Record, RingRange, SeekOutcome, SqliteOffsetStore, SqlitePositions, Store, Subscription, SubscriptionError, SubscriptionOptions, SyncPolicy,
    TimestampNs,
};

use crate::support::{fingerprint, options, tempdir};

fn group() -> GroupId {
    "billing".parse().unwrap()
}

fn key() -> PartitionKey {
    PartitionKey { topic: "t".parse().unwrap(), range: RingRange::new(4096, 0, 1024).unwrap() }
}

fn at(offset: u64) -> CommittedOffset {
    CommittedOffset::new(offset, TimestampNs::new(1))
}

fn of_term(offset: u64, term: Option<u32>) -> OffsetAndEpoch {
    OffsetAndEpoch { offset: offset.into(), leader_epoch: term.map(LeaderEpoch::new) }
}

/// A database with a table of its own.
fn shop(file: &Path) -> (Connection, SqlitePositions) {
    let mut shop = Connection::open(file).unwrap();
    shop.execute_batch("CREATE TABLE IF NOT EXISTS counted (number INTEGER); CREATE VIEW IF NOT EXISTS sums AS SELECT SUM(number) FROM counted")
        .unwrap();
    let positions = SqlitePositions::prepare(&mut shop).unwrap();
    (shop, positions)
}

/// Moves the position, and counts something beside it; nothing of both stays if it fails.
fn advance(shop: &mut Connection, positions: &SqlitePositions, from: Option<u64>, to: &CommittedOffset) -> Result<(), OffsetStoreError> {
    advance_from(shop, positions, from.map(|offset| of_term(offset, None)), to)
}

fn advance_from(
    shop: &mut Connection,
    positions: &SqlitePositions,
    from: Option<OffsetAndEpoch>,
    to: &CommittedOffset,
) -> Result<(), OffsetStoreError> {
    let transaction = shop.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    transaction.execute("INSERT INTO counted VALUES (?1)", [to.offset.get() as i64]).unwrap();
    positions.advance(&transaction, &group(), &key(), from, to)?;
    transaction.commit().unwrap();
    Ok(())
}

fn counted(shop: &Connection) -> Vec<i64> {
    shop.prepare("SELECT number FROM counted ORDER BY rowid").unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn stored(shop: &mut Connection, positions: &SqlitePositions) -> Option<CommittedOffset> {
    positions.position(&shop.transaction().unwrap(), &group(), &key()).unwrap()
}

#[test]
fn a_position_moves_with_the_transaction_or_not_at_all() {
    let home = tempdir();
    let file = home.path().join("shop.db");
    let (mut shop, positions) = shop(&file);
    assert_eq!(stored(&mut shop, &positions), None);
    let full =
        CommittedOffset { leader_epoch: Some(LeaderEpoch::new(3)), metadata: "größe".to_owned(), expires_at: Some(TimestampNs::new(9)), ..at(7) };
    advance(&mut shop, &positions, None, &full).unwrap();
    advance_from(&mut shop, &positions, Some(of_term(7, Some(3))), &at(9)).unwrap();
    advance(&mut shop, &positions, Some(9), &full).unwrap(); // also back: after a reset
    assert_eq!((stored(&mut shop, &positions), counted(&shop)), (Some(full.clone()), vec![7, 9, 7]));
    {
        let transaction = shop.transaction().unwrap();
        transaction.execute("INSERT INTO counted VALUES (1)", []).unwrap();
        positions.advance(&transaction, &group(), &key(), Some((&full).into()), &at(20)).unwrap();
        assert_eq!(positions.position(&transaction, &group(), &key()).unwrap(), Some(at(20)), "as the transaction sees it");
    }
    assert_eq!((stored(&mut shop, &positions), counted(&shop)), (Some(full.clone()), vec![7, 9, 7]));
    // It is an offset store, that whoever knows those can read, back up, and not overwrite.
    let store = SqliteOffsetStore::open_existing(&file).unwrap();
    assert_eq!(store.fetch_all(&group()).unwrap(), [(key(), full)]);
    let (other, backup) = (home.path().join("other.db"), home.path().join("backup.db"));
    SqliteOffsetStore::open(&other).unwrap();
    let refused = store.restore(&other).unwrap_err();
    assert!(matches!(&refused, OffsetStoreError::Foreign { found, .. } if found.contains("table counted")), "{refused}");
    store.backup(&backup).unwrap();
    store.restore(&backup).unwrap();
    assert_eq!(counted(&shop), [7, 9, 7]);
    SqlitePositions::prepare(&mut shop).unwrap();
}

/// Two that read the same records: one of them counts them.
#[test]
fn the_second_consumer_is_told() {
    let home = tempdir();
    let (mut shop, positions) = shop(&home.path().join("shop.db"));
    let moved = |outcome: Result<(), OffsetStoreError>, expected: Option<u64>, found: Option<u64>| match outcome {
        Err(OffsetStoreError::PositionMoved { expected: was, found: is, group: of, partition }) => {
            assert_eq!((was, is), (expected.map(|offset| of_term(offset, None)), found.map(|offset| of_term(offset, None))));
            assert_eq!((of, partition), (group(), key().to_string()));
        }
        other => panic!("{other:?}"),
    };
    moved(advance(&mut shop, &positions, Some(0), &at(5)), Some(0), None);
    advance(&mut shop, &positions, None, &at(5)).unwrap();
    moved(advance(&mut shop, &positions, None, &at(5)), None, Some(5));
    moved(advance(&mut shop, &positions, Some(4), &at(9)), Some(4), Some(5));
    moved(advance(&mut shop, &positions, Some(6), &at(9)), Some(6), Some(5));
    assert_eq!((stored(&mut shop, &positions), counted(&shop)), (Some(at(5)), vec![5]));
    let too_high = advance(&mut shop, &positions, Some(5), &at(u64::MAX));
    assert!(matches!(too_high, Err(OffsetStoreError::OffsetTooHigh { .. })), "{too_high:?}");

    // Each of four goes on from wherever it finds the position: no number is counted twice, or left out.
    let file = home.path().join("shop.db");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut shop = Connection::open(&file).unwrap();
                shop.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
                let positions = SqlitePositions::prepare(&mut shop).unwrap();
                let mut from = Some(5);
                while from < Some(45) {
                    match advance(&mut shop, &positions, from, &at(from.unwrap() + 1)) {
                        Ok(()) => from = from.map(|offset| offset + 1),
                        Err(OffsetStoreError::PositionMoved { found, .. }) => from = found.map(|found| found.offset.get()),
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    assert_eq!(counted(&shop), (5..=45).collect::<Vec<_>>());
}

#[test]
fn what_is_no_place_for_positions_is_left_alone() {
    let home = tempdir();
    let newest = SqliteOffsetStore::LATEST_VERSION;
    let newer = format!("INSERT INTO schema_migrations VALUES ({}, 'Add what nobody knows yet', 1)", newest + 1);
    for (name, sql) in [
        ("go.db", "CREATE TABLE schema_migrations (version INTEGER, dirty INTEGER); INSERT INTO schema_migrations VALUES (1, 0)"),
        (
            "rails.db",
            "CREATE TABLE schema_migrations (version INTEGER, description TEXT, applied_at); INSERT INTO schema_migrations VALUES (1, 'Users', 1)",
        ),
        ("taken.db", "CREATE TABLE offset_mappings (id INTEGER)"),
        ("newer.db", newer.as_str()),
    ] {
        let file = home.path().join(name);
        if name == "newer.db" {
            SqliteOffsetStore::migrate(&file, newest).unwrap();
        }
        let mut db = Connection::open(&file).unwrap();
        db.execute_batch(sql).unwrap();
        let dump = |db: &Connection| -> Vec<Option<String>> {
            db.prepare("SELECT sql FROM sqlite_schema").unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        let before = dump(&db);
        let error = SqlitePositions::prepare(&mut db).unwrap_err();
        let is_typed = match name {
            "newer.db" => matches!(error, OffsetStoreError::Unsupported { .. }),
            "taken.db" => matches!(error, OffsetStoreError::Database { .. }),
            _ => matches!(error, OffsetStoreError::Foreign { .. }),
        };
        assert!(is_typed, "{name}: {error}");
        assert_eq!(dump(&db), before, "{name}");
    }
    // Of an older version, with others' tables in it: brought up to date.
    let file = home.path().join("older.db");
    SqliteOffsetStore::migrate(&file, 2).unwrap();
    shop(&file);
    assert_eq!(SqliteOffsetStore::version(&file).unwrap(), newest);
    // Others' tables alone make no offset store of a database.
    let other = home.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE counted (number)").unwrap();
    let before = fingerprint(home.path());
    assert!(matches!(SqliteOffsetStore::open(&other), Err(OffsetStoreError::Foreign { .. })));
    assert!(before == fingerprint(home.path()));
    SqlitePositions::prepare(&mut Connection::open_in_memory().unwrap()).unwrap();
}

/// A log with so many records, and a group's subscription to it.
struct Bed {
    _store: Store,
    orders: Partition,
    positions: GroupPosition,
}

impl Bed {
    fn new(home: &Path, policy: SyncPolicy) -> Self {
        let store = options().sync_policy(policy).open(home.join("data")).unwrap();
        let orders = store.topic("t").unwrap().partition(0).unwrap();
        let notes = Arc::new(SqliteOffsetStore::open_existing(home.join("shop.db")).unwrap());
        let positions = GroupPosition { group: group(), partition: orders.key().clone(), store: notes };
        Self { _store: store, orders, positions }
    }

    fn append(&self, count: u64) {
        (0..count).for_each(|_| assert!(self.orders.append(Record::new("an order")).is_ok()));
    }

    fn subscribe(&self, policy: OnOutOfRange) -> Result<Subscription, SubscriptionError> {
        self.orders.subscribe("b", SubscriptionOptions::new().group(self.positions.clone()).on_out_of_range(policy))
    }

    /// Counts what there is, and notes the position with it.
    fn count(&self, shop: &mut Connection, positions: &SqlitePositions, subscription: &Subscription) -> u64 {
        let transaction = shop.transaction().unwrap();
        for record in subscription.page().unwrap().records {
            transaction.execute("INSERT INTO counted VALUES (?1)", [record.offset().get() as i64]).unwrap();
        }
        let next = subscription.checked_position().unwrap();
        let from = subscription.started().committed();
        positions.advance(&transaction, &self.positions.group, &self.positions.partition, from, &next).unwrap();
        transaction.commit().unwrap();
        next.offset.get()
    }
}

#[test]
fn a_subscription_goes_on_where_the_results_end() {
    let home = tempdir();
    let (mut shop, positions) = shop(&home.path().join("shop.db"));
    let bed = Bed::new(home.path(), SyncPolicy::OsOnly);
    bed.append(5);
    let first = bed.subscribe(OnOutOfRange::Error).unwrap();
    assert_eq!(first.started().committed(), None);
    assert_eq!(bed.count(&mut shop, &positions, &first), 5);
    bed.append(3);
    let second = bed.subscribe(OnOutOfRange::Error).unwrap();
    assert_eq!((second.started().outcome, second.started().committed()), (SeekOutcome::Resumed, Some((&first.checked_position().unwrap()).into())));
    assert_eq!(bed.count(&mut shop, &positions, &second), 8);
    assert_eq!(counted(&shop), (0..8).collect::<Vec<_>>());

    // The log is cut, and grows past the position again: whoever resumes is told, and may go on where it was cut.
    bed.orders.truncate_suffix(6).unwrap();
    bed.append(4);
    let error = bed.subscribe(OnOutOfRange::Error).map(drop).unwrap_err();
    assert!(matches!(error, SubscriptionError::Truncated { next, .. } if next == 8), "{error}");
    let third = bed.subscribe(OnOutOfRange::Earliest).unwrap();
    assert_eq!(third.started().committed().map(|stored| stored.offset), Some(8.into()), "what it is to follow is what is stored");
    assert_eq!(bed.count(&mut shop, &positions, &third), 10);
    assert_eq!(counted(&shop), (0..8).chain(6..10).collect::<Vec<_>>());
    let asked_otherwise = bed.orders.subscribe("c", SubscriptionOptions::new().start(tidelog::OffsetSpec::ResetToEarliest)).unwrap();
    assert_eq!(asked_otherwise.started().committed(), None);
}

/// The log is cut and grows to the same offset again, while two consumers of the group have what the first of its lives gave: one of them counts the
/// new records, and the other is told, although the offset that it was at is the one that is stored.
#[test]
fn of_two_that_read_a_log_anew_one_counts() {
    let home = tempdir();
    let (mut shop, positions) = shop(&home.path().join("shop.db"));
    let bed = Bed::new(home.path(), SyncPolicy::OsOnly);
    bed.append(8);
    assert_eq!(bed.count(&mut shop, &positions, &bed.subscribe(OnOutOfRange::Error).unwrap()), 8);
    bed.orders.truncate_suffix(6).unwrap();
    bed.append(2);
    let [first, second] = [(); 2].map(|()| bed.subscribe(OnOutOfRange::Earliest).unwrap());
    assert_eq!(bed.count(&mut shop, &positions, &first), 8);
    let transaction = shop.transaction().unwrap();
    assert_eq!(second.page().unwrap().records.len(), 2);
    let (from, next) = (second.started().committed(), second.checked_position().unwrap());
    match positions.advance(&transaction, &group(), bed.orders.key(), from, &next) {
        Err(error @ OffsetStoreError::PositionMoved { expected, found, .. }) => {
            assert_eq!((expected, found), (from, Some((&next).into())), "{error}");
            assert_eq!(error.to_string(), format!("group billing was to go on from 8 of term 0 in {}, and is at 8 of term 1", bed.orders.key()));
        }
        other => panic!("{other:?}"),
    }
    drop(transaction);
    assert_eq!(counted(&shop), (0..8).chain(6..8).collect::<Vec<_>>());
}

/// A log that lost its end would put other records below a position that was noted with a result: none is given before it is durable.
#[test]
fn only_what_is_durable_is_given_to_be_noted() {
    let home = tempdir();
    drop(shop(&home.path().join("shop.db")));
    let bed = Bed::new(home.path(), SyncPolicy::OsOnly);
    bed.append(1);
    bed.orders.append_with(Record::new("written"), tidelog::AckLevel::Written).unwrap();
    let subscription = bed.subscribe(OnOutOfRange::Error).unwrap();
    assert_eq!(subscription.page().unwrap().records.len(), 2);
    let next = subscription.checked_position().unwrap();
    assert!(next.leader_epoch.is_some());
    assert_eq!((next.offset, bed.orders.view().durable_end_offset()), (2.into(), 2.into()));
    bed.orders.truncate_suffix(1).unwrap();
    let cut = subscription.checked_position().unwrap_err();
    assert!(matches!(cut, SubscriptionError::Truncated { .. } | SubscriptionError::OffsetOutOfRange { .. }), "{cut}");
}
