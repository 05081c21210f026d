//! What a statement sees beside a writer: the log as it was when it began, in all of its parts, and the newest one in the next statement.

use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::types::Value;
use tidelog::{AckLevel, ReadIsolation, Record, Store, SyncPolicy};
use tidelog_sql::{LogTables, rusqlite};

use crate::support::{Home, append_numbered, attached, numbers, rows};

#[test]
fn each_statement_sees_what_is_there_when_it_begins() {
    let home = Home::new();
    let partition = &home.topic("t", 1)[0];
    append_numbered(partition, 0..100);
    for (_, connection) in [home.reader(), home.writer()] {
        let end = partition.log_end_offset().get() as i64;
        // The second part is begun when the first one has ended.
        let mut statement = connection.prepare("select _index, 1 from t union all select _index, 2 from t").unwrap();
        let mut found = statement.query([]).unwrap();
        for (part, index) in [1, 2].into_iter().flat_map(|part| (0..end).map(move |index| (part, index))) {
            let row = found.next().unwrap().unwrap();
            assert_eq!((row.get(0), row.get(1)), (Ok(index), Ok(part)), "what comes meanwhile is in no part of it");
            append_numbered(partition, 0..10);
        }
        assert!(found.next().unwrap().is_none());
        drop(found);
        assert_eq!(numbers(&connection, "select count(*) from t"), [partition.log_end_offset().get() as i64]);
    }
}

/// What is appended to a partition that is read last is no more in it than what is appended to the one that is read first.
#[test]
fn all_partitions_end_when_the_statement_begins() {
    let home = Home::new();
    let partitions = home.topic("t", 3);
    partitions.iter().for_each(|partition| append_numbered(partition, 0..100));
    for (_, connection) in [home.reader(), home.writer()] {
        let end = partitions[0].log_end_offset().get() as i64;
        for sql in
            ["select _partition from t", "select _partition from t order by _index", "select _partition from t union all select _partition from t"]
        {
            let mut statement = connection.prepare(sql).unwrap();
            let mut found = statement.query([]).unwrap();
            let mut seen = [0; 3];
            while let Some(row) = found.next().unwrap() {
                seen[row.get::<_, u32>(0).unwrap() as usize] += 1;
                if seen.iter().sum::<i64>() == 1 {
                    partitions.iter().for_each(|partition| append_numbered(partition, 0..10));
                }
            }
            assert_eq!(seen, [seen[0]; 3], "{sql}");
            assert!(seen[0] >= end, "{sql}");
        }
    }
}

/// Batches of a hundred are appended by another thread: a count is of whole batches, and never less than before.
#[test]
fn a_batch_is_seen_whole() {
    let home = Home::new();
    let partition = home.topic("t", 1).remove(0);
    let (_, connection) = home.reader();
    let values: Vec<String> = (0..100).map(|number| format!("{number} {}", "x".repeat(100))).collect();
    let mut batch = tidelog::RecordBatch::new();
    values.iter().for_each(|value| batch.push(&Record::new(value)).unwrap());
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..300 {
                partition.append_batch(&batch, AckLevel::Written).unwrap();
            }
        });
        let (mut before, mut is_last) = (0, false);
        while !is_last {
            is_last = writer.is_finished();
            let found = rows(&connection, "select count(*), coalesce(max(_index) + 1, 0) from t").unwrap();
            let [Value::Integer(count), Value::Integer(end)] = found[0][..] else { panic!("{found:?}") };
            assert!(count % 100 == 0 && count == end && count >= before, "{count} of {end} after {before}");
            assert!(count == 30_000 || !is_last, "{count}");
            before = count;
        }
    });
}

#[test]
fn rows_are_what_readers_may_see() {
    let dir = tempfile::tempdir().unwrap();
    let policy = SyncPolicy::Interval(std::time::Duration::from_secs(60));
    let store = tidelog::StoreOptions::new().sync_policy(policy).open(dir.path()).unwrap();
    let partition = store.topic("t").unwrap().partition(0).unwrap();
    partition.append(Record::new("durable")).unwrap();
    partition.append_with(Record::new("written"), AckLevel::Written).unwrap();
    let reader = || LogTables::new(Store::open_read_only(dir.path()).unwrap());
    assert_eq!(numbers(&attached(reader()).1, "select _index from t"), [0]);
    assert_eq!(numbers(&attached(reader().isolation(ReadIsolation::Written)).1, "select _index from t"), [0, 1]);
    assert_eq!(numbers(&attached(LogTables::of_writer(store)).1, "select _index from t order by _index desc"), [0]);
}

#[test]
fn a_topic_that_was_made_anew_is_another_one() {
    let home = Home::new();
    append_numbered(&home.topic("t", 1)[0], 0..100);
    for (_, connection) in [home.reader(), home.writer()] {
        rows(&connection, "select * from t").unwrap();
        home.store.delete_topic("t").unwrap();
        let error = rows(&connection, "select * from t").unwrap_err().to_string();
        assert!(error.contains("topic t"), "{error}");
        append_numbered(&home.topic("t", 2)[1], 0..7);
        assert_eq!(numbers(&connection, "select _index * 10 + _partition from t"), (0..7).map(|index| index * 10 + 1).collect::<Vec<i64>>());
    }
}

#[test]
fn statements_are_interrupted() {
    let home = Home::new();
    append_numbered(&home.topic("t", 1)[0], 0..1000);
    let (tables, connection) = home.reader();
    let handle = connection.get_interrupt_handle();
    let has_ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while tables.records_read() < 5000 && !has_ended.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            handle.interrupt();
        });
        // No row comes of it.
        let outcome = rows(&connection, "select 1 from t a cross join t b cross join t c cross join t d where d._ts_ns <= -1");
        has_ended.store(true, Ordering::Relaxed);
        assert_eq!(outcome.unwrap_err().sqlite_error_code(), Some(rusqlite::ErrorCode::OperationInterrupted));
    });
    rows(&connection, "select * from t limit 1").unwrap();
}

/// One scan that gives no row: SQLite asks whether it is to go on, and it ends long before the log does.
#[test]
fn a_scan_without_rows_is_interrupted() {
    let home = Home::new();
    append_numbered(&home.topic("t", 1)[0], 0..50_000);
    let (tables, mut connection) = home.reader();
    let watched = tables.clone();
    connection.progress_handler(1, Some(move || watched.records_read() >= 5000)).unwrap();
    let error = rows(&connection, "select count(*) from t where _ts_ns = -1").unwrap_err();
    assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::OperationInterrupted));
    assert!(tables.records_read() < 10_000, "{}", tables.records_read());
}
