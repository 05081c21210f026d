//! Conditions that are looked up: what is not in their ranges is not read. Counted in records, and seen in SQLite's query plan.

use rusqlite::types::Value;
use tidelog::{Record, TimestampNs};
use tidelog_sql::rusqlite::Connection;
use tidelog_sql::{LogTables, rusqlite};

use crate::support::{Home, append_numbered, numbers, query_plan, rows, rows_with};

const RECORDS: i64 = 20_000;

/// A log of one partition, and one of three.
fn home() -> Home {
    let home = Home::new();
    append_numbered(&home.topic("one", 1)[0], 0..RECORDS);
    home.topic("three", 3).iter().for_each(|partition| append_numbered(partition, 0..RECORDS));
    home
}

/// Records read, which are those of a statement that gives so many rows and, at most, a few more.
#[track_caller]
fn check(tables: &LogTables, connection: &Connection, sql: &str, rows: usize, read_max: u64) {
    let before = tables.records_read();
    assert_eq!(numbers(connection, sql).len(), rows, "{sql}");
    let read = tables.records_read() - before;
    assert!(read >= rows as u64 && read <= read_max, "{sql}: {read} records were read for {rows} rows");
}

#[test]
fn ranges_are_looked_up() {
    let home = home();
    for (tables, connection) in [home.reader(), home.writer()] {
        let check = |sql: &str, rows, read_max| check(&tables, &connection, sql, rows, read_max);
        check("select _index from one where _index between 10000 and 10999", 1000, 1000);
        check("select _index from one where _index >= 10000 and _index < 11000 and _index > 10998.5", 1, 2);
        check("select _index from three where _index between 10000 and 10999", 3000, 3000);
        check("select _index from three where _partition = 1 and _index between 10000 and 10999", 1000, 1000);
        check("select _index from three where _partition > 1 and _index <= 999", 1000, 1000);
        check("select _index from one where _index = 7", 1, 1);
        check("select _index from one where _index in (7, 8, 15000)", 3, 3);
        check("select _index from one where _index > 1e300", 0, 0);
        check("select _index from one where _index < -1", 0, 0);
        check("select _index from one where _index = null", 0, 0);
        check(&format!("select _index from one where _ts_ns >= {}", (RECORDS - 1000) * 1000), 1000, 1000);
        check(&format!("select _index from one where _ts_ns > {}", (RECORDS - 1000) * 1000 - 1), 1000, 1000);
        check(&format!("select _index from one where _ts_ns > {}", RECORDS * 1000), 0, 0);
        check(&format!("select _index from three where _ts_ns >= {} and _index < 19500", (RECORDS - 1000) * 1000), 1500, 1500);
        check("select _index from one where _ts_ns between 15000000 and 15999000 and _index < 17000", 1000, 2000);
        check("select _index from one limit 10", 10, 11);
    }
}

/// What is searched for a time is not counted: here it is damaged but for the end, and who reads of it fails.
#[test]
fn a_search_for_a_time_reads_no_more_than_it_needs() {
    let Home { dir, store } = home();
    store.close().unwrap();
    let entries = std::fs::read_dir(dir.path().join("topics/default/one/0")).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = entries.filter(|path| path.extension().is_some_and(|kind| kind == "log")).collect();
    segments.sort();
    assert!(segments.len() > 3, "{segments:?}");
    let home = Home { store: tidelog::StoreOptions::new().segment_bytes(64 << 10).open(dir.path()).unwrap(), dir };
    for (_, connection) in [home.reader(), home.writer()] {
        assert_eq!(numbers(&connection, "select count(*) from one where _ts_ns >= 0"), [RECORDS]);
    }
    for file in &segments[..segments.len() - 1] {
        let mut bytes = std::fs::read(file).unwrap();
        bytes[1000..20_000].fill(7);
        std::fs::write(file, bytes).unwrap();
    }
    for (tables, connection) in [home.reader(), home.writer()] {
        check(&tables, &connection, &format!("select _index from one where _ts_ns >= {}", (RECORDS - 1000) * 1000), 1000, 1000);
        assert!(rows(&connection, "select _index from one where _ts_ns >= 0").is_err());
    }
}

#[test]
fn the_order_of_offsets_is_not_sorted() {
    let home = home();
    let (tables, connection) = home.reader();
    let check = |sql: &str, rows, read_max| check(&tables, &connection, sql, rows, read_max);
    check("select _index from one order by _index limit 10", 10, 11);
    check("select _index from one order by _index desc limit 10", 10, 11);
    check("select _index from three order by _index desc, _partition limit 10", 10, 15);
    check("select _index from three where _partition = 2 order by _index desc, _ts_ns limit 10", 10, 11);
    check("select _index from three order by _partition, _index limit 10", 10, 11);
    check("select max(_index) from one", 1, 2);
    for (sorted, sql) in [
        (false, "select * from three order by _index"),
        (false, "select * from three order by _partition"),
        (false, "select * from three where _partition = 1 order by _partition desc, _index"),
        (true, "select * from three order by _partition desc, _index"),
        (true, "select * from three order by _partition, _index desc"),
        (true, "select * from three order by _ts_ns"),
        (true, "select * from three order by _index, _partition desc"),
        (true, "select * from three order by _index, _ts_ns"),
    ] {
        assert_eq!(query_plan(&connection, sql).contains("TEMP B-TREE"), sorted, "{sql}");
    }
    assert_eq!(numbers(&connection, "select _index * 3 + _partition from three order by _index limit 9"), (0..9).collect::<Vec<i64>>());
    let falling = numbers(&connection, "select _index * 3 + 2 - _partition from three order by _index desc limit 9");
    assert_eq!(falling, (0..9).map(|number| RECORDS * 3 - 1 - number).collect::<Vec<i64>>());
}

/// Rows that come in order are told apart, and put together, as those of a table that is sorted.
#[test]
fn groups_and_distinct_rows() {
    let home = Home::new();
    home.topic("three", 3).iter().zip([5, 3, 4]).for_each(|(partition, records)| append_numbered(partition, 0..records));
    let (_, connection) = home.reader();
    assert_eq!(numbers(&connection, "select distinct _index from three"), [0, 1, 2, 3, 4]);
    assert_eq!(numbers(&connection, "select distinct _index from three order by _index desc"), [4, 3, 2, 1, 0]);
    assert_eq!(numbers(&connection, "select count(*) from three group by _index order by _index"), [3, 3, 3, 2, 1]);
    assert_eq!(numbers(&connection, "select count(*) from three group by _partition"), [5, 3, 4]);
    assert_eq!(numbers(&connection, "select max(_index) from three group by _partition order by _partition desc"), [3, 2, 4]);
    assert_eq!(numbers(&connection, "select distinct _partition from three where _partition >= 1"), [1, 2]);
}

/// A statement that was prepared while there was one partition keeps its order when there are more.
#[test]
fn a_statement_outlives_a_split() {
    let home = Home::new();
    append_numbered(&home.topic("t", 1)[0], 0..10);
    let (_, connection) = home.reader();
    let mut statement = connection.prepare("select _index from t order by _index").unwrap();
    let topic = home.store.existing_topic("t").unwrap();
    topic.split(0, 2).unwrap();
    append_numbered(&topic.partition(1).unwrap(), 0..10);
    append_numbered(&topic.partition(2).unwrap(), 0..10);
    let found: Vec<i64> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(found, (0..10).flat_map(|number| [number; 3]).collect::<Vec<i64>>());
}

#[test]
fn the_query_plan_shows_what_is_looked_up() {
    let home = home();
    let (_, connection) = home.reader();
    let sql = "select * from one where _index between 1 and 2 and _ts_ns > 3 and _value = x'00' order by _index desc";
    let plan = query_plan(&connection, sql);
    assert!(["2:", "_index>=?", "_index<=?", "_ts_ns>?"].iter().all(|part| plan.contains(part)) && !plan.contains("_value"), "{plan}");
    // The log is looked up for each row of the small table, and not read as a whole for each.
    connection.execute_batch("create table wanted (at integer); insert into wanted values (17), (19999), (3)").unwrap();
    let plan = query_plan(&connection, "select _value from wanted join one on one._index = wanted.at");
    assert!(plan.find("wanted") < plan.find("_index=?"), "{plan}");
}

#[test]
fn a_join_reads_what_it_needs() {
    let home = home();
    let (tables, connection) = home.reader();
    connection.execute_batch("create table wanted (at integer); insert into wanted values (17), (19999), (3)").unwrap();
    check(&tables, &connection, "select _index from wanted cross join one on one._index = wanted.at", 3, 3);
    check(&tables, &connection, "select _index from one join wanted on one._index = wanted.at", 3, 3);
    check(&tables, &connection, "select a._index from one a join three b on a._index = b._index and a._index < 5", 15, 20 + 5);
}

/// Values of any type, as literals and as parameters, as SQLite compares them: a table of SQLite's own is asked the same.
#[test]
fn comparisons_are_those_of_sqlite() {
    let home = Home::new();
    let partition = &home.topic("t", 1)[0];
    let times = [i64::MIN, -1, 0, 1, 2, 1 << 53, (1 << 53) + 1, i64::MAX - 1, i64::MAX];
    for time in times {
        partition.append(Record::new("").timestamp(TimestampNs::new(time))).unwrap();
    }
    let (_, connection) = home.reader();
    connection.execute_batch("create table plain (_ts_ns integer not null, _index integer not null)").unwrap();
    connection.execute_batch("insert into plain select _ts_ns, _index from t").unwrap();
    let text = |text: &str| Value::Text(text.to_owned());
    let mut values = vec![Value::Null, text(""), text("1"), text("1.5"), text(" 2 "), text("a"), Value::Blob(vec![]), Value::Blob(b"1".to_vec())];
    values.extend(times.map(Value::Integer));
    let reals = [-0.0, 0.5, -0.5, 1.0, 1.5, 9_007_199_254_740_993.0, 9.3e18, -9.3e18, 9.223372036854775e18, f64::INFINITY, f64::NEG_INFINITY];
    values.extend(reals.map(Value::Real));
    for value in &values {
        for column in ["_index", "_ts_ns"] {
            for comparison in ["=", "<", "<=", ">", ">=", "is", "<>"] {
                let ask = |table: &str| {
                    let sql = format!("select _index from {table} where {column} {comparison} ?1 order by _index");
                    rows_with(&connection, &sql, std::slice::from_ref(value)).unwrap()
                };
                assert_eq!(ask("t"), ask("plain"), "{column} {comparison} {value:?}");
            }
        }
    }
}
