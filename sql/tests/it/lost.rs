//! What is damaged, cut off or deleted: an error of SQLite that says where, and never a row less. What a statement does not ask for is no error.

use std::path::PathBuf;

use tidelog::{Partition, Record, Store, StoreOptions, TimestampNs};
use tidelog_sql::LogTables;
use tidelog_sql::rusqlite::{self, Connection, ErrorCode};

use crate::support::{Home, append_numbered, attached, numbers, rows};

/// Segment files of partition 0 of topic `t`, in order.
fn segments(home: &Home) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(home.dir.path().join("topics/default/t/0")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|kind| kind == "log")).collect();
    files.sort();
    files
}

/// A log of 10,000 records over segments, closed, with a byte flipped in the middle of one of them.
fn damaged() -> Home {
    let home = Home::new();
    append_numbered(&home.topic("t", 1)[0], 0..RECORDS);
    let Home { dir, store } = home;
    store.close().unwrap();
    let home = Home { store: StoreOptions::new().segment_bytes(64 << 10).open(dir.path()).unwrap(), dir };
    let file = &segments(&home)[1];
    let mut bytes = std::fs::read(file).unwrap();
    bytes[30_000] ^= 1;
    std::fs::write(file, bytes).unwrap();
    home
}

/// The offsets that an error names as damaged: `offsets FROM..TO are damaged`.
fn named(error: &rusqlite::Error) -> (i64, i64) {
    let text = error.to_string();
    assert!(text.contains("topic t, partition 0: offsets "), "{text}");
    assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt), "{text}");
    let (_, behind) = text.split_once("offsets ").unwrap();
    let (range, _) = behind.split_once(" are").unwrap();
    let (from, to) = range.split_once("..").unwrap();
    (from.parse().unwrap(), to.parse().unwrap())
}

#[test]
fn damage_is_an_error() {
    let home = damaged();
    let (_, connection) = home.reader();
    let (from, to) = named(&rows(&connection, "select count(*) from t").unwrap_err());
    assert!(0 < from && from < to && to < RECORDS);
    let fails = |sql: &str| assert_eq!(named(&rows(&connection, sql).unwrap_err()), (from, to), "{sql}");
    fails("select count(*) from t order by _index desc");
    fails("select _index from t order by _index desc");
    fails(&format!("select _index from t where _index >= {from}"));
    fails(&format!("select _index from t where _ts_ns >= {}", (from + 1) * 1000));
    fails(&format!("select _index from t where _ts_ns between {} and {}", from * 1000, to * 1000));
    for connection in [&connection, &home.reader().1, &home.writer().1] {
        let counts = |sql: &str, expected: i64| assert_eq!(numbers(connection, sql), [expected], "{sql}");
        for order in ["", "order by _index desc"] {
            counts(&format!("select count(*) from (select 1 from t where _index < {from} {order})"), from);
            counts(&format!("select count(*) from (select 1 from t where _index >= {to} {order})"), RECORDS - to);
            counts(&format!("select count(*) from (select 1 from t where _index >= {to} and _ts_ns >= 9000000 {order})"), 1000);
        }
    }
}

/// Nothing is known of the times of what was lost, unlike of what is read and fails: a statement that may be about it fails.
#[test]
fn a_time_that_lost_records_may_have_is_an_error() {
    let home = damaged();
    let (from, to) = named(&rows(&home.reader().1, "select * from t").unwrap_err());
    let read = rows(&home.reader().1, "select _index from t where _ts_ns >= 9000000");
    assert_eq!(read.unwrap().len(), 1000, "the segment that is damaged says that it holds none of them");
    let Home { dir, store } = home;
    store.close().unwrap();
    let plan = StoreOptions::new().plan_repair(dir.path(), Some("t")).unwrap();
    plan.apply().unwrap();
    let home = Home { store: StoreOptions::new().open(dir.path()).unwrap(), dir };
    for (_, connection) in [home.reader(), home.writer()] {
        for order in ["", "order by _index desc"] {
            assert_eq!(named(&rows(&connection, &format!("select _index from t where _ts_ns >= 9000000 {order}")).unwrap_err()), (from, to));
            let bounded = format!("select _index from t where _ts_ns >= 9000000 and _index >= {to} {order}");
            assert_eq!(numbers(&connection, &bounded).len(), 1000);
        }
    }
}

/// Steps a statement, of offsets and values, by one row, changes the last partition, and steps on: it fails, or gives each row as it was when it
/// began. A reader in another process may not come to know of the change; the writer does.
#[track_caller]
fn check_changed((_, connection): (LogTables, Connection), partitions: u32, is_told: bool, sql: &str, change: impl FnOnce()) {
    let records = RECORDS * i64::from(partitions);
    let mut statement = connection.prepare(sql).unwrap();
    let mut found = statement.query([]).unwrap();
    found.next().unwrap().unwrap();
    change();
    let mut count = 1;
    loop {
        match found.next() {
            Ok(Some(row)) => {
                assert_eq!(row.get::<_, i64>(0).unwrap().to_string(), row.get::<_, String>(1).unwrap(), "{sql}");
                count += 1;
            }
            Ok(None) => {
                assert!(!is_told && count == records, "{sql}: ended with {count} rows as if nothing were missing");
                return;
            }
            Err(error) => {
                let text = error.to_string();
                let place = format!("topic t, partition {}: ", partitions - 1);
                assert!(text.contains(&place) && count < records, "{sql}: {error}");
                return;
            }
        }
    }
}

const RECORDS: i64 = 10_000;

/// So many partitions, and the last of them.
fn home(partitions: u32) -> (Home, Partition) {
    let home = Home::new();
    let mut all = home.topic("t", partitions);
    all.iter().for_each(|partition| append_numbered(partition, 0..RECORDS));
    (home, all.remove(partitions as usize - 1))
}

/// Each of so many partitions. Those of three do not read the last one before it is changed.
const SCANS: [(u32, &str); 5] = [
    (1, "select _index, cast(_value as text) from t"),
    (1, "select _index, cast(_value as text) from t order by _index desc"),
    (1, "select a._index, cast(b._value as text) from t a cross join t b on b._index = a._index"),
    (3, "select _index, cast(_value as text) from t"),
    (3, "select a._index, cast(b._value as text) from t a cross join t b on b._index = a._index and b._partition = a._partition"),
];

#[test]
fn what_is_deleted_under_a_scan_is_an_error() {
    for (partitions, sql) in SCANS {
        for is_writer in [false, true] {
            let (home, partition) = home(partitions);
            let tables = if is_writer { home.writer() } else { home.reader() };
            check_changed(tables, partitions, is_writer, sql, || partition.delete_prefix(4000).unwrap());
            let sql = format!("select min(_index) from t where _partition = {}", partitions - 1);
            assert_eq!(numbers(&home.reader().1, &sql), [4000]);
        }
    }
}

#[test]
fn what_is_deleted_before_a_seek_is_an_error() {
    let (home, partition) = home(1);
    let (_, connection) = home.writer();
    let mut statement = connection.prepare("select 1 from (values (1), (2)) cross join t on t._ts_ns >= 1000000").unwrap();
    let mut found = statement.query([]).unwrap();
    // The rows of the first time round, and then the log begins behind them.
    for _ in 0..RECORDS - 1000 {
        found.next().unwrap().unwrap();
    }
    partition.delete_prefix(4000).unwrap();
    assert!(found.next().unwrap_err().to_string().contains("topic t, partition 0: offset 0 is out of range: 4000..10000"));
}

#[test]
fn what_is_cut_off_under_a_scan_is_an_error() {
    for (partitions, sql) in SCANS {
        for (is_writer, goes_on) in [(false, false), (true, false), (false, true), (true, true)] {
            let (home, partition) = home(partitions);
            let tables = if is_writer { home.writer() } else { home.reader() };
            check_changed(tables, partitions, is_writer, sql, || {
                partition.truncate_suffix(20).unwrap();
                if goes_on {
                    append_numbered(&partition, 50_000..70_000);
                }
            });
        }
    }
}

#[test]
fn a_topic_that_is_deleted_under_a_scan_is_an_error() {
    for is_writer in [false, true] {
        let (home, _) = home(1);
        let tables = if is_writer { home.writer() } else { home.reader() };
        check_changed(tables, 1, is_writer, SCANS[0].1, || home.store.delete_topic("t").unwrap());
    }
}

#[test]
fn a_partition_that_is_gone_is_an_error_where_it_is_asked_for() {
    let (Home { dir, store }, _) = home(3);
    store.close().unwrap();
    std::fs::remove_dir_all(dir.path().join("topics/default/t/1")).unwrap();
    let (_, connection) = attached(LogTables::new(Store::open_read_only(dir.path()).unwrap()));
    let error = rows(&connection, "select count(*) from t").unwrap_err();
    assert!(error.to_string().starts_with("topic t, partition 1: "), "{error}");
    assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt), "{error}");
    assert_eq!(numbers(&connection, "select count(*) from t where _partition in (0, 2)"), [RECORDS * 2]);
}

#[test]
fn times_out_of_order_are_all_found() {
    let home = Home::new();
    let partition = home.topic("t", 1).remove(0);
    for time in [5, 1, 9, 2, 8, 3, 7, 4, 6, 0] {
        partition.append(Record::new("").timestamp(TimestampNs::new(time))).unwrap();
    }
    let (_, connection) = home.reader();
    assert_eq!(numbers(&connection, "select _ts_ns from t where _ts_ns >= 6"), [9, 8, 7, 6]);
    assert_eq!(numbers(&connection, "select _ts_ns from t where _ts_ns between 2 and 4 order by _index desc"), [4, 3, 2]);
    assert_eq!(numbers(&connection, "select _index from t where _ts_ns < 1"), [9]);
}
