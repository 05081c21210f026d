//! The offset store in PostgreSQL: its schema, the ways between its versions, what it refuses, and positions in somebody else's transactions.

use std::sync::Barrier;

use postgres::{Client, NoTls};
use tidelog::{
    CommittedOffset, GroupId, GroupMetadata, LeaderEpoch, MemberMetadata, OffsetAndEpoch, OffsetStore, OffsetStoreError, PartitionKey,
    PostgresOffsetStore, PostgresPositions, RingRange, TimestampNs,
};

use crate::offset_stores::check_filled;
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

/// A store of each version, as it would be found, with a row in each of its tables, comes up to date with all that it holds, goes back, and up again.
/// What it was given by then that the older version has no place for is gone.
#[test]
fn stores_of_every_version_go_up_and_down() {
    let newest = PostgresOffsetStore::LATEST_VERSION;
    for version in 1..=newest {
        let Some(schema) = Schema::new() else { return };
        PostgresOffsetStore::migrate(&schema.url, version).unwrap();
        (1..=version).for_each(|brought| fill(&mut schema.admin(), brought));
        let before = dump(&schema);
        check_filled(&PostgresOffsetStore::connect(&schema.url).unwrap(), &key("t"), &group(), version);
        assert_eq!(PostgresOffsetStore::version(&schema.url).unwrap(), newest);
        PostgresOffsetStore::migrate(&schema.url, version).unwrap();
        assert_eq!(dump(&schema), before, "version {version}: down is not what it was before up");
        check_filled(&PostgresOffsetStore::connect(&schema.url).unwrap(), &key("t"), &group(), version);
        (version + 1..=newest).for_each(|brought| fill(&mut schema.admin(), brought));
        check_filled(&PostgresOffsetStore::connect(&schema.url).unwrap(), &key("t"), &group(), newest);
        PostgresOffsetStore::migrate(&schema.url, version).unwrap();
        assert_eq!(dump(&schema), before, "version {version}: down is not what it was before there was more");
        check_filled(&PostgresOffsetStore::connect(&schema.url).unwrap(), &key("t"), &group(), version);
        PostgresOffsetStore::migrate(&schema.url, 0).unwrap();
        assert_eq!(PostgresOffsetStore::version(&schema.url).unwrap(), 0);
        assert!(matches!(PostgresOffsetStore::open_existing(&schema.url), Err(OffsetStoreError::NotFound { .. })));
        assert!(PostgresOffsetStore::connect(&schema.url).unwrap().partitions().unwrap().is_empty());
        assert!(matches!(PostgresOffsetStore::migrate(&schema.url, 99), Err(OffsetStoreError::Unsupported { found: 99, .. })));
    }
}

/// A row in what a version brought, by the statements of that day.
fn fill(db: &mut Client, version: u32) {
    let t = key("t").to_string();
    let row = match version {
        1 => {
            let row = "INSERT INTO offset_mappings (partition_key, kafka_offset, smq_timestamp, message_size, created_at) VALUES ($1, $2, 3, 4, 5)";
            (0..20i64).for_each(|offset| assert_eq!(db.execute(row, &[&t, &offset]).unwrap(), 1));
            "INSERT INTO partition_offset_checkpoints VALUES ($1, 4096, 0, 1024, 7, 41, 5)"
        }
        3 => "INSERT INTO partition_metadata (partition_key, ring_size, range_start, range_stop, unix_time_ns, created_at, last_activity_at, record_count, total_size)
              VALUES ($1, 4096, 0, 1024, 7, 8, 9, 6, 7)",
        4 => "INSERT INTO consumer_group_positions VALUES ('g', $1, 18, 2, 'noted', 19, 20)",
        5 => "UPDATE partition_metadata SET earliest_offset = 10, latest_offset = 15, first_record_at = 16, last_record_at = 17 WHERE partition_key = $1",
        6 => {
            db.execute("INSERT INTO consumer_groups VALUES ('g', 23, 'consumer', 'range', 'm', 24)", &[]).unwrap();
            let row = "INSERT INTO consumer_group_members VALUES ('g', 'm', 'i', 'c', 'h', 21, 22, '\\x0102', '\\x03')";
            assert_eq!(db.execute(row, &[]).unwrap(), 1);
            return;
        }
        _ => return, // no place for rows
    };
    assert_eq!(db.execute(row, &[&t]).unwrap(), 1);
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
    let Some(schema) = with_settings_noted() else { return };
    for asked in ["off", "local", "remote_apply"] {
        let url = format!("{}%20-c%20synchronous_commit%3D{asked}", schema.url);
        PostgresOffsetStore::open_existing(&url).unwrap().commit(&group(), &[(key(asked.replace('_', "-").as_str()), at(1))]).unwrap();
    }
    let mut db = schema.admin();
    assert_eq!(strings(&mut db, "SELECT synchronous_commit FROM noted"), ["on", "local", "remote_apply"]);

    // Others leave it off, with whom a pooler shares the connection.
    db.batch_execute(
        "CREATE FUNCTION leave_off() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('synchronous_commit', 'off', FALSE); RETURN NULL; END $$;
         CREATE TRIGGER then_leave_off AFTER INSERT ON consumer_group_positions FOR EACH STATEMENT EXECUTE FUNCTION leave_off(); TRUNCATE noted",
    )
    .unwrap();
    let store = PostgresOffsetStore::open_existing(&schema.url).unwrap();
    (0..3).for_each(|offset| store.commit(&group(), &[(key("t"), at(offset))]).unwrap());
    assert_eq!(strings(&mut db, "SELECT synchronous_commit FROM noted"), ["on"; 3]);
}

/// Also when the server is told otherwise while connections are open.
#[test]
fn every_commit_is_synchronous_after_a_reload() {
    let Some(schema) = with_settings_noted() else { return };
    /// As it was, also if the test fails.
    struct Reset(Client);
    impl Drop for Reset {
        fn drop(&mut self) {
            let outcome =
                self.0.batch_execute("ALTER SYSTEM RESET synchronous_commit").and_then(|()| self.0.batch_execute("SELECT pg_reload_conf()"));
            assert!(outcome.is_ok() || std::thread::panicking());
        }
    }
    let store = PostgresOffsetStore::open_existing(&schema.url).unwrap();
    store.commit(&group(), &[(key("t"), at(1))]).unwrap();
    let mut reset = Reset(schema.admin());
    reset.0.batch_execute("ALTER SYSTEM SET synchronous_commit = off").unwrap();
    reset.0.batch_execute("SELECT pg_reload_conf()").unwrap();
    let mut db = schema.admin();
    // Each process of the server hears of it by itself; that of the store has when a commit finds `off` below what was set for it.
    let has_heard = (2..20_000).any(|offset| {
        store.commit(&group(), &[(key("t"), at(offset))]).unwrap();
        !strings(&mut db, "SELECT synchronous_commit FROM noted WHERE configured = 'off'").is_empty()
    });
    assert!(has_heard, "the server has not reloaded its configuration");
    (0..3).for_each(|offset| store.commit(&group(), &[(key("t"), at(offset))]).unwrap());
    assert_eq!(strings(&mut db, "SELECT DISTINCT synchronous_commit FROM noted"), ["on"]);
}

/// Whoever holds what a call needs keeps it from an answer for a while, and not for ever; nor does a store keep others so.
#[test]
fn no_call_waits_for_ever() {
    let Some(schema) = with_settings_noted() else { return };
    PostgresOffsetStore::open_existing(&schema.url).unwrap().commit(&group(), &[(key("t"), at(1))]).unwrap();
    let given = format!("{}%20-c%20lock_timeout%3D50%20-c%20idle_in_transaction_session_timeout%3D7s", schema.url);
    let store = PostgresOffsetStore::open_existing(&given).unwrap();
    store.commit(&group(), &[(key("t"), at(2))]).unwrap();
    let limits = "SELECT lock_timeout || ', ' || idle_in_transaction_session_timeout FROM noted";
    assert_eq!(strings(&mut schema.admin(), limits), ["30s, 30s", "50ms, 7s"]);

    let mut other = schema.admin();
    let mut holds = other.transaction().unwrap();
    holds.batch_execute("LOCK TABLE consumer_group_positions").unwrap();
    for outcome in [store.commit(&group(), &[(key("t"), at(3))]), store.fetch(&group(), &key("t")).map(drop)] {
        let error = outcome.unwrap_err();
        assert!(matches!(&error, OffsetStoreError::Server { sqlstate: Some(state), .. } if state == "55P03"), "{error}");
    }
    holds.rollback().unwrap();
    assert_eq!(store.fetch(&group(), &key("t")).unwrap(), Some(at(2)));
}

/// A store, whose every commit of a position notes in a table what was set for it.
fn with_settings_noted() -> Option<Schema> {
    let schema = Schema::new()?;
    PostgresOffsetStore::connect(&schema.url).unwrap();
    schema
        .admin()
        .batch_execute(
            "CREATE TABLE noted (synchronous_commit TEXT, configured TEXT, lock_timeout TEXT, idle_in_transaction_session_timeout TEXT);
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO noted SELECT current_setting('synchronous_commit'), reset_val, current_setting('lock_timeout'),
                     current_setting('idle_in_transaction_session_timeout') FROM pg_settings WHERE name = 'synchronous_commit';
                 RETURN NULL;
             END $$;
             CREATE TRIGGER note AFTER INSERT ON consumer_group_positions FOR EACH STATEMENT EXECUTE FUNCTION note()",
        )
        .unwrap();
    Some(schema)
}

/// Several idle connections, closed where nobody may block.
#[tokio::test]
async fn a_store_may_be_dropped_on_a_thread_of_tokio() {
    let opened = tokio::task::spawn_blocking(|| {
        let schema = Schema::new()?;
        let store = PostgresOffsetStore::connect(&format!("{}&application_name={}", schema.url, schema.name)).unwrap();
        let (mut other, mut db) = (schema.admin(), schema.admin());
        let mut holds = other.transaction().unwrap();
        holds.batch_execute("LOCK TABLE consumer_group_positions").unwrap();
        std::thread::scope(|scope| {
            for topic in ["t", "u"] {
                let store = &store;
                scope.spawn(move || store.commit(&group(), &[(key(topic), at(1))]).unwrap());
            }
            let waiting = "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'";
            while db.query_one(waiting, &[&schema.name]).unwrap().get::<_, i64>(0) < 2 {
                std::thread::yield_now();
            }
            holds.rollback().unwrap();
        });
        Some((schema, store))
    });
    let Some((schema, store)) = opened.await.unwrap() else { return };
    drop(store);
    let left = tokio::task::spawn_blocking(move || {
        let mut db = schema.admin();
        let left = "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = $1";
        (0..1_000).map(|_| db.query_one(left, &[&schema.name]).unwrap().get::<_, i64>(0)).find(|left| *left == 0)
    });
    assert_eq!(left.await.unwrap(), Some(0), "connections stay open");
}

/// A group that is saved for the first time while it is deleted is there with its members, or not at all.
#[test]
fn a_group_that_is_saved_while_it_is_deleted_is_whole() {
    let Some(schema) = Schema::new() else { return };
    let store = PostgresOffsetStore::connect(&schema.url).unwrap();
    let (mut other, mut db) = (schema.admin(), schema.admin());
    // Whoever deletes waits behind his first statement.
    let lock = i64::from_str_radix(&schema.name[schema.name.len() - 12..], 16).unwrap();
    db.batch_execute(&format!(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock({lock}); RETURN NULL; END $$;
         CREATE TRIGGER wait AFTER DELETE ON consumer_groups FOR EACH STATEMENT EXECUTE FUNCTION wait()"
    ))
    .unwrap();
    let mut holds = other.transaction().unwrap();
    holds.batch_execute(&format!("SELECT pg_advisory_xact_lock({lock})")).unwrap();
    let member = MemberMetadata { client_id: "c".to_owned(), ..MemberMetadata::default() };
    let saved = GroupMetadata { members: [("a".to_owned(), member)].into(), ..GroupMetadata::empty(1, TimestampNs::new(1)) };
    std::thread::scope(|scope| {
        let deleting = scope.spawn(|| store.delete_group(&group()).unwrap());
        let waiting = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND ((classid::BIGINT << 32) | objid::BIGINT) = $1";
        while db.query_one(waiting, &[&lock]).unwrap().get::<_, i64>(0) == 0 {
            std::thread::yield_now();
        }
        assert!(store.save_group(&group(), &saved).unwrap());
        holds.rollback().unwrap();
        deleting.join().unwrap();
    });
    assert_eq!(store.load_group(&group()).unwrap(), Some(saved));
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
}

fn here(offset: u64) -> OffsetAndEpoch {
    OffsetAndEpoch::from(&at(offset))
}

/// Moves the position, and counts something beside it; nothing of both stays if it fails.
fn advance(shop: &mut Client, positions: &PostgresPositions, from: Option<u64>, to: u64) -> Result<(), OffsetStoreError> {
    let mut transaction = shop.transaction().unwrap();
    transaction.execute("INSERT INTO counted VALUES ($1)", &[&(to as i64)]).unwrap();
    positions.advance(&mut transaction, &group(), &key("t"), from.map(here), &at(to))?;
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
                assert_eq!((expected, is), (from.map(here), found.map(here)));
            }
            other => panic!("{other:?}"),
        }
    }
    // The same offset of another term is elsewhere, and what has no term is not of any.
    let term = |offset, term| CommittedOffset { leader_epoch: Some(LeaderEpoch::new(term)), ..at(offset) };
    let mut move_on = |from: &CommittedOffset, to: &CommittedOffset| {
        let mut transaction = shop.transaction().unwrap();
        positions.advance(&mut transaction, &group(), &key("t"), Some(from.into()), to)?;
        transaction.commit().unwrap();
        Ok::<_, OffsetStoreError>(())
    };
    move_on(&at(5), &term(5, 1)).unwrap();
    for elsewhere in [at(5), term(5, 2)] {
        let moved = move_on(&elsewhere, &at(9)).unwrap_err();
        assert!(matches!(moved, OffsetStoreError::PositionMoved { found, .. } if found == Some((&term(5, 1)).into())), "{moved}");
    }
    move_on(&term(5, 1), &at(5)).unwrap();
    // A rollback takes both back.
    let mut transaction = shop.transaction().unwrap();
    positions.advance(&mut transaction, &group(), &key("t"), Some(here(5)), &at(9)).unwrap();
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
                        Err(OffsetStoreError::PositionMoved { found, .. }) => from = found.map(|found| found.offset.get()),
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    let counted: Vec<i64> = shop.query("SELECT number FROM counted ORDER BY number", &[]).unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(counted, (5..=45).collect::<Vec<_>>());
}
