//! The offset store in PostgreSQL: its schema, the ways between its versions, what it refuses, and positions in somebody else's transactions.

use std::sync::Barrier;

use postgres::{Client, NoTls};
use tidelog::{
    CommittedOffset, GroupId, OffsetCheckpoint, OffsetMapping, OffsetStore, OffsetStoreError, PartitionKey, PostgresOffsetStore, PostgresPositions,
    RingRange, TimestampNs,
};

use crate::postgres_server::Schema;

fn key(topic: &str) -> PartitionKey {
    PartitionKey { topic: topic.parse().unwrap(), range: RingRange::new(4096, 0, 1024).unwrap() }
}

fn group() -> GroupId {
    "g".parse().unwrap()
}

fn at(offset: u64) -> CommittedOffset {
    CommittedOffset::new(offset, TimestampNs::new(1))
}

fn strings(db: &mut Client, sql: &str) -> Vec<String> {
    db.query(sql, &[]).unwrap().iter().map(|row| row.get(0)).collect()
}

/// Each table's columns: name, type, whether it must have a value, and whether it is of the primary key.
fn columns(db: &mut Client, table: &str) -> Vec<(String, String, bool, bool)> {
    let sql = "SELECT a.attname::TEXT, format_type(a.atttypid, a.atttypmod), a.attnotnull, COALESCE(a.attnum = ANY (i.indkey), FALSE)
        FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
        WHERE a.attrelid = $1::TEXT::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
    db.query(sql, &[&table]).unwrap().iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect()
}

fn column(name: &str, kind: &str, must: bool, is_key: bool) -> (String, String, bool, bool) {
    (name.to_owned(), kind.to_owned(), must, is_key)
}

fn numbers(names: &[&str]) -> Vec<(String, String, bool, bool)> {
    names.iter().map(|name| column(name, "bigint", true, false)).collect()
}

/// Everything that stands in a schema, but for when it was made.
fn dump(schema: &Schema) -> Vec<String> {
    let mut db = schema.admin();
    let mut all = strings(&mut db, "SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema() ORDER BY 1");
    let tables = strings(&mut db, "SELECT tablename::TEXT FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1");
    for table in tables {
        all.extend(columns(&mut db, &table).iter().map(|column| format!("{table}: {column:?}")));
        all.extend(strings(&mut db, &format!("SELECT (to_jsonb(t) - 'applied_at')::TEXT FROM {table} t ORDER BY 1")));
    }
    all
}

const VERSIONS: [(&str, &[&str], &[&str]); 3] = [
    ("Create initial offset storage tables", &["offset_mappings", "partition_offset_checkpoints"], &[]),
    (
        "Add indexes for performance optimization",
        &["offset_mappings", "partition_offset_checkpoints"],
        &[
            "idx_offset_mappings_created_at",
            "idx_offset_mappings_partition_offset",
            "idx_offset_mappings_timestamp",
            "idx_partition_offset_checkpoints_partition",
        ],
    ),
    (
        "Add partition metadata table for enhanced tracking",
        &["offset_mappings", "partition_metadata", "partition_offset_checkpoints"],
        &[
            "idx_offset_mappings_created_at",
            "idx_offset_mappings_partition_offset",
            "idx_offset_mappings_timestamp",
            "idx_partition_metadata_activity",
            "idx_partition_offset_checkpoints_partition",
        ],
    ),
];

#[test]
fn the_first_three_versions_are_those_of_the_plan() {
    for (number, (description, tables, indexes)) in VERSIONS.into_iter().enumerate() {
        let Some(schema) = Schema::new() else { return };
        PostgresOffsetStore::migrate(&schema.url, number as u32 + 1).unwrap();
        assert_eq!(PostgresOffsetStore::version(&schema.url).unwrap(), number as u32 + 1);
        let db = &mut schema.admin();
        let all = "SELECT tablename::TEXT FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'schema_migrations' ORDER BY 1";
        assert_eq!(strings(db, all), tables);
        let named = "SELECT indexname::TEXT FROM pg_indexes WHERE schemaname = current_schema() AND indexname LIKE 'idx\\_%' ORDER BY 1";
        assert_eq!(strings(db, named), indexes);
        assert_eq!(strings(db, "SELECT description FROM schema_migrations ORDER BY version DESC LIMIT 1"), [description]);
        assert_eq!(
            columns(db, "schema_migrations"),
            [column("version", "bigint", true, true), column("description", "text", true, false), column("applied_at", "bigint", true, false)]
        );
        let place =
            || [vec![column("partition_key", "text", true, true)], numbers(&["ring_size", "range_start", "range_stop", "unix_time_ns"])].concat();
        assert_eq!(columns(db, "partition_offset_checkpoints"), [place(), numbers(&["checkpoint_offset", "updated_at"])].concat());
        let mapping = numbers(&["kafka_offset", "smq_timestamp", "message_size", "created_at"]);
        let keys = vec![column("id", "bigint", true, true), column("partition_key", "text", true, false)];
        assert_eq!(columns(db, "offset_mappings"), [keys, mapping].concat());
        if number == 2 {
            let counts = vec![column("record_count", "bigint", false, false), column("total_size", "bigint", false, false)];
            assert_eq!(columns(db, "partition_metadata"), [place(), numbers(&["created_at", "last_activity_at"]), counts].concat());
        }
        let again = "INSERT INTO offset_mappings (partition_key, kafka_offset, smq_timestamp, message_size, created_at) VALUES ('k', 1, 1, 1, 1)";
        db.execute(again, &[]).unwrap();
        assert!(db.execute(again, &[]).is_err(), "an offset has one row");
    }
}

/// A store of each version, as it would be found, comes up to date with all that it holds, goes back, and up again.
#[test]
fn stores_of_every_version_go_up_and_down() {
    for version in 1..=PostgresOffsetStore::LATEST_VERSION {
        let Some(schema) = Schema::new() else { return };
        PostgresOffsetStore::migrate(&schema.url, version).unwrap();
        let (mut db, t) = (schema.admin(), key("t").to_string());
        db.execute("INSERT INTO partition_offset_checkpoints VALUES ($1, 4096, 0, 1024, 7, 41, 5)", &[&t]).unwrap();
        let row = "INSERT INTO offset_mappings (partition_key, kafka_offset, smq_timestamp, message_size, created_at) VALUES ($1, $2, 3, 4, 5)";
        (0..20i64).for_each(|offset| assert_eq!(db.execute(row, &[&t, &offset]).unwrap(), 1));
        if version >= 3 {
            let row = "INSERT INTO partition_metadata (partition_key, ring_size, range_start, range_stop, unix_time_ns, created_at, last_activity_at)
                       VALUES ($1, 4096, 0, 1024, 7, 8, 9)";
            db.execute(row, &[&t]).unwrap();
        }
        let before = dump(&schema);
        let check = |store: &PostgresOffsetStore| {
            assert_eq!(store.load_checkpoint(&key("t")).unwrap(), Some(OffsetCheckpoint { offset: 41.into(), saved_at: TimestampNs::new(5) }));
            assert_eq!(store.highest_offset(&key("t")).unwrap(), Some(19.into()));
            let first = OffsetMapping { offset: 0.into(), timestamp: TimestampNs::new(3), bytes: 4 };
            assert_eq!(store.mappings(&key("t"), 0.into()..100.into(), 100).unwrap()[0], first);
            let stats = store.partition_stats(&key("t")).unwrap();
            assert_eq!(stats.map(|stats| (stats.record_count, stats.counted_at)), (version >= 3).then_some((0, TimestampNs::new(9))));
        };
        check(&PostgresOffsetStore::connect(&schema.url).unwrap());
        assert_eq!(PostgresOffsetStore::version(&schema.url).unwrap(), PostgresOffsetStore::LATEST_VERSION);
        PostgresOffsetStore::migrate(&schema.url, version).unwrap();
        assert_eq!(dump(&schema), before, "version {version}: down is not what it was before up");
        check(&PostgresOffsetStore::connect(&schema.url).unwrap());
        PostgresOffsetStore::migrate(&schema.url, 0).unwrap();
        assert_eq!(PostgresOffsetStore::version(&schema.url).unwrap(), 0);
        assert!(matches!(PostgresOffsetStore::open_existing(&schema.url), Err(OffsetStoreError::NotFound { .. })));
        assert!(PostgresOffsetStore::connect(&schema.url).unwrap().partitions().unwrap().is_empty());
        assert!(matches!(PostgresOffsetStore::migrate(&schema.url, 99), Err(OffsetStoreError::Unsupported { found: 99, .. })));
    }
}

/// A migration that fails in the middle leaves the version before it, whole.
#[test]
fn a_migration_is_done_whole_or_not_at_all() {
    let Some(schema) = Schema::new() else { return };
    PostgresOffsetStore::migrate(&schema.url, 1).unwrap();
    // The third of four statements of version 2 fails.
    schema.admin().batch_execute("CREATE INDEX idx_offset_mappings_timestamp ON offset_mappings (id)").unwrap();
    let before = dump(&schema);
    let error = PostgresOffsetStore::connect(&schema.url).map(drop).unwrap_err();
    assert!(matches!(&error, OffsetStoreError::Server { sqlstate: Some(state), .. } if state == "42P07"), "{error}");
    assert_eq!(dump(&schema), before);
    schema.admin().batch_execute("DROP INDEX idx_offset_mappings_timestamp").unwrap();
    PostgresOffsetStore::connect(&schema.url).unwrap();
}

/// Many at once: each step is done by one of them, and the others find it done.
#[test]
fn concurrent_migrations_are_done_once() {
    let Some(schema) = Schema::new() else { return };
    for round in 0..5 {
        let ready = Barrier::new(6);
        std::thread::scope(|scope| {
            for thread in 0..6 {
                let (ready, url) = (&ready, &schema.url);
                scope.spawn(move || {
                    ready.wait();
                    if thread % 2 == 0 {
                        PostgresOffsetStore::connect(url).unwrap();
                    } else {
                        PostgresPositions::prepare(&mut Client::connect(url, NoTls).unwrap()).unwrap();
                    }
                });
            }
        });
        let applied = schema.admin().query_one("SELECT COUNT(*) FROM schema_migrations", &[]).unwrap().get::<_, i64>(0);
        assert_eq!(applied, i64::from(PostgresOffsetStore::LATEST_VERSION));
        PostgresOffsetStore::migrate(&schema.url, round % 3).unwrap();
    }
}

#[test]
fn what_is_newer_or_no_offset_store_is_refused_and_left_alone() {
    let newest = PostgresOffsetStore::LATEST_VERSION;
    let newer = format!("INSERT INTO schema_migrations VALUES ({}, 'Add what nobody knows yet', 1)", newest + 1);
    for (sql, is_newer) in [
        (newer.as_str(), true),
        ("CREATE TABLE invoices (id BIGINT)", false),
        ("CREATE TABLE invoices (id BIGINT); CREATE TABLE schema_migrations (version BIGINT, description TEXT, applied_at BIGINT)", false),
        ("CREATE VIEW totals AS SELECT 1; CREATE TABLE schema_migrations (version BIGINT, description TEXT, applied_at BIGINT)", false),
        ("CREATE TABLE schema_migrations (version BIGINT, dirty BOOLEAN); INSERT INTO schema_migrations VALUES (1, FALSE)", false),
        (
            "CREATE TABLE schema_migrations (version BIGINT, description TEXT, applied_at BIGINT); INSERT INTO schema_migrations VALUES (1, 'Users', 1)",
            false,
        ),
    ] {
        let Some(schema) = Schema::new() else { return };
        if is_newer {
            PostgresOffsetStore::migrate(&schema.url, newest).unwrap();
        }
        schema.admin().batch_execute(sql).unwrap();
        let before = dump(&schema);
        for outcome in [
            PostgresOffsetStore::connect(&schema.url).map(drop),
            PostgresOffsetStore::version(&schema.url).map(drop),
            PostgresOffsetStore::migrate(&schema.url, 1),
            PostgresOffsetStore::migrate(&schema.url, 0),
        ] {
            let error = outcome.unwrap_err();
            let is_typed = match is_newer {
                true => matches!(error, OffsetStoreError::Unsupported { found, .. } if found == u64::from(newest) + 1),
                false => matches!(error, OffsetStoreError::Foreign { .. }),
            };
            assert!(is_typed && error.is_refusal(), "{sql}: {error}");
        }
        assert_eq!(dump(&schema), before, "{sql}");
    }
}

/// Whoever has no password, or no server, is told where, and not with the password.
#[test]
fn what_cannot_be_reached_is_told() {
    for address in ["postgres://somebody:secret@127.0.0.1:1/nowhere", "host=127.0.0.1 port=1 user=somebody password=secret", "no address"] {
        match PostgresOffsetStore::connect(address).map(drop) {
            Err(error @ OffsetStoreError::Server { .. }) => assert!(!error.to_string().contains("secret"), "{error}"),
            other => panic!("{other:?}"),
        }
    }
}

/// Whatever the role, the database or the connection string says, a commit waits for the disk.
#[test]
fn every_commit_is_synchronous() {
    let Some(schema) = Schema::new() else { return };
    PostgresOffsetStore::connect(&schema.url).unwrap();
    schema
        .admin()
        .batch_execute(
            "CREATE TABLE said (what TEXT);
             CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN INSERT INTO said VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
             CREATE TRIGGER say AFTER INSERT ON consumer_group_positions FOR EACH ROW EXECUTE FUNCTION say()",
        )
        .unwrap();
    for asked in ["off", "local", "remote_apply"] {
        let url = format!("{}%20-c%20synchronous_commit%3D{asked}", schema.url);
        PostgresOffsetStore::open_existing(&url).unwrap().commit(&group(), &[(key(asked.replace('_', "-").as_str()), at(1))]).unwrap();
    }
    assert_eq!(strings(&mut schema.admin(), "SELECT what FROM said"), ["on", "local", "remote_apply"]);
}

/// Keys are in the order of their bytes, whatever the order of the database: what is of a topic is between two of them.
#[test]
fn a_topic_is_told_from_those_whose_names_begin_alike() {
    let Some(schema) = Schema::new() else { return };
    let store = PostgresOffsetStore::connect(&schema.url).unwrap();
    let topics = ["t", "T", "t-", "t.", "t_", "tt", "n/t"];
    store.commit(&group(), &topics.map(|topic| (key(topic), at(1)))).unwrap();
    assert_eq!(store.delete_topic(&"t".parse().unwrap()).unwrap(), 1);
    assert_eq!(store.fetch_all(&group()).unwrap().len(), topics.len() - 1);
    let unheld = CommittedOffset { metadata: "a\0b".to_owned(), ..at(2) };
    let refused = store.commit(&group(), &[(key("tt"), at(2)), (key("u"), unheld)]).unwrap_err();
    assert!(matches!(&refused, OffsetStoreError::Server { sqlstate: Some(state), .. } if state == "22021"), "{refused}");
    assert_eq!(store.fetch(&group(), &key("tt")).unwrap(), Some(at(1)), "all of them, or none");
}

/// Moves the position, and counts something beside it; nothing of both stays if it fails.
fn advance(shop: &mut Client, positions: &PostgresPositions, from: Option<u64>, to: u64) -> Result<(), OffsetStoreError> {
    let mut transaction = shop.transaction().unwrap();
    transaction.execute("INSERT INTO counted VALUES ($1)", &[&(to as i64)]).unwrap();
    positions.advance(&mut transaction, &group(), &key("t"), from.map(Into::into), &at(to))?;
    transaction.commit().unwrap();
    Ok(())
}

#[test]
fn a_position_moves_with_the_transaction_and_by_one_consumer_alone() {
    let Some(schema) = Schema::new() else { return };
    let mut shop = schema.admin();
    shop.batch_execute("CREATE TABLE counted (number BIGINT)").unwrap();
    assert!(matches!(PostgresOffsetStore::open_existing(&schema.url), Err(OffsetStoreError::NotFound { .. })));
    let positions = PostgresPositions::prepare(&mut shop).unwrap();
    advance(&mut shop, &positions, None, 5).unwrap();
    for (from, found) in [(None, Some(5)), (Some(4), Some(5)), (Some(6), Some(5))] {
        match advance(&mut shop, &positions, from, 9) {
            Err(OffsetStoreError::PositionMoved { expected, found: is, .. }) => {
                assert_eq!((expected, is), (from.map(Into::into), found.map(Into::into)));
            }
            other => panic!("{other:?}"),
        }
    }
    // A rollback takes both back.
    let mut transaction = shop.transaction().unwrap();
    positions.advance(&mut transaction, &group(), &key("t"), Some(5.into()), &at(9)).unwrap();
    assert_eq!(positions.position(&mut transaction, &group(), &key("t")).unwrap(), Some(at(9)));
    drop(transaction);
    assert_eq!(positions.position(&mut shop.transaction().unwrap(), &group(), &key("t")).unwrap(), Some(at(5)));
    // An offset store is there, that whoever knows those can read.
    assert_eq!(PostgresOffsetStore::open_existing(&schema.url).unwrap().fetch(&group(), &key("t")).unwrap(), Some(at(5)));

    // Each of four goes on from wherever it finds the position: no number is counted twice, or left out.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut shop = schema.admin();
                let positions = PostgresPositions::prepare(&mut shop).unwrap();
                let mut from = Some(5);
                while from < Some(45) {
                    match advance(&mut shop, &positions, from, from.unwrap() + 1) {
                        Ok(()) => from = from.map(|offset| offset + 1),
                        Err(OffsetStoreError::PositionMoved { found, .. }) => from = found.map(|offset| offset.get()),
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    let counted: Vec<i64> = shop.query("SELECT number FROM counted ORDER BY number", &[]).unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(counted, (5..=45).collect::<Vec<_>>());
}
