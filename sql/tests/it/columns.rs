//! What a record is in each column, which columns are shown, and which names tables have.

use rusqlite::types::Value;
use tidelog::{Record, TimestampNs};
use tidelog_sql::rusqlite::Connection;
use tidelog_sql::{AttachError, LogTables, rusqlite};

use crate::support::{Home, append_numbered, attached, numbers, rows};

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[test]
fn a_record_is_a_row() {
    let home = Home::new();
    let partition = &home.topic("shop/orders", 1)[0];
    let time = TimestampNs::new(-5);
    partition.append(Record::new("12 apples").key("kim").timestamp(time)).unwrap();
    partition.append(Record::new("").key("").timestamp(time)).unwrap();
    partition.append(Record::tombstone().timestamp(TimestampNs::new(i64::MAX))).unwrap();
    let blob = |bytes: &[u8]| Value::Blob(bytes.to_vec());
    let expected = vec![
        vec![Value::Integer(-5), blob(b"kim"), blob(b"12 apples"), text("[]")],
        vec![Value::Integer(-5), blob(b""), blob(b""), text("[]")],
        vec![Value::Integer(i64::MAX), Value::Null, Value::Null, text("[]")],
    ];
    for (_, connection) in [home.reader(), home.writer()] {
        assert_eq!(rows(&connection, "select * from \"shop/orders\"").unwrap(), expected, "hidden columns are not shown");
        let hidden = rows(&connection, "select _index, _partition from \"shop/orders\"").unwrap();
        assert_eq!(hidden, [0, 1, 2].map(|offset| vec![Value::Integer(offset), Value::Integer(0)]));
        let columns = rows(&connection, "select name, type, hidden from pragma_table_xinfo('shop/orders')").unwrap();
        let column = |name, kind, hidden| vec![text(name), text(kind), Value::Integer(hidden)];
        let shown = [column("_ts_ns", "INTEGER", 0), column("_key", "BLOB", 0), column("_value", "BLOB", 0), column("_headers", "TEXT", 0)];
        assert_eq!(columns, [&shown[..], &[column("_index", "INTEGER", 1), column("_partition", "INTEGER", 1)]].concat());
    }
}

#[test]
fn headers_are_json_that_keeps_all_of_them() {
    let home = Home::new();
    let partition = &home.topic("t", 1)[0];
    let record =
        Record::new("v").header("a", Some(b"1")).header("a", Some(b"\"two\"\n")).header("b", None).header("c", Some(b"\xff\0")).header("", Some(b""));
    partition.append(record).unwrap();
    let (_, connection) = home.reader();
    let json = r#"[{"name":"a","value":"1"},{"name":"a","value":"\"two\"\n"},{"name":"b","value":null},{"name":"c","value_base64":"/wA="},{"name":"","value":""}]"#;
    assert_eq!(rows(&connection, "select _headers from t").unwrap(), [[text(json)]]);
    let sql = "select h.value ->> 'name', h.value ->> 'value' from t, json_each(t._headers) h where h.value ->> 'name' = 'a'";
    assert_eq!(rows(&connection, sql).unwrap(), [["a", "1"], ["a", "\"two\"\n"]].map(|row| row.map(text).to_vec()));
}

#[test]
fn json_values_are_taken_apart() {
    let home = Home::new();
    home.topic("t", 1)[0].append(Record::new(r#"{"mag":2.5}"#)).unwrap();
    let (_, connection) = home.reader();
    assert_eq!(rows(&connection, "select _value ->> '$.mag' from t").unwrap(), [[Value::Real(2.5)]]);
}

/// A topic without partitions in use is empty; the engine's own topics are not tables by themselves.
#[test]
fn topics_are_tables() {
    let home = Home::new();
    home.store.create_topic("default/unused", 3).unwrap();
    append_numbered(&home.topic("ns/a.b-c_D", 1)[0], 0..2);
    tidelog::LogOffsetStore::open(&home.store).unwrap();
    for (_, connection) in [home.reader(), home.writer()] {
        let names = rows(&connection, "select name from pragma_table_list where schema = 'temp' and type = 'virtual' order by 1").unwrap();
        assert_eq!(names, [[text("ns/a.b-c_D")], [text("unused")]]);
        assert_eq!(numbers(&connection, "select count(*) from unused"), [0]);
        assert_eq!(numbers(&connection, "select count(*) from temp.\"NS/A.b-c_d\""), [2]);
        connection.execute_batch("create virtual table temp.positions using tidelog('_tidelog/offsets')").unwrap();
        rows(&connection, "select * from positions").unwrap();
        let unknown = "create virtual table temp.x using tidelog('nothing'); select * from x";
        assert!(connection.execute_batch(unknown).unwrap_err().to_string().contains("nothing"));
        for wrong in ["tidelog", "tidelog()", "tidelog('a', 'b')", "tidelog('a b')"] {
            assert!(connection.execute_batch(&format!("create virtual table temp.y using {wrong}")).is_err(), "{wrong}");
        }
    }
}

/// SQL does not tell the case of names apart: a table must not answer for another topic.
#[test]
fn names_that_differ_in_case_are_refused() {
    let home = Home::new();
    append_numbered(&home.topic("orders", 1)[0], 0..1);
    append_numbered(&home.topic("Orders", 1)[0], 0..2);
    let tables = LogTables::of_writer(home.store.clone());
    let connection = Connection::open_in_memory().unwrap();
    let refused = tables.attach(&connection);
    assert!(
        matches!(&refused, Err(AttachError::Taken { topic, schema, table }) if topic == "orders" && schema == "temp" && table == "Orders"),
        "{refused:?}"
    );
    let connection = Connection::open_in_memory().unwrap();
    tables.register(&connection).unwrap();
    connection.execute_batch("create virtual table temp.o using tidelog(Orders)").unwrap();
    assert_eq!(numbers(&connection, "select count(*) from o"), [2]);
}

/// A table of SQLite's own of the same name would not be seen any more.
#[test]
fn names_that_are_taken_are_refused() {
    let home = Home::new();
    append_numbered(&home.topic("shop/orders", 1)[0], 0..1);
    let tables = LogTables::of_writer(home.store.clone());
    for (schema, made) in [
        ("main", "create table \"Shop/Orders\" (a)"),
        ("main", "create view \"shop/orders\" as select 1"),
        ("temp", "create temp table \"shop/orders\" (a)"),
        ("other", "attach ':memory:' as other; create table other.\"shop/orders\" (a)"),
    ] {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(made).unwrap();
        let refused = tables.attach(&connection);
        assert!(
            matches!(&refused, Err(AttachError::Taken { topic, schema: found, .. }) if topic == "shop/orders" && found == schema),
            "{made}: {refused:?}"
        );
    }
    home.topic("sqlite_x", 1);
    let refused = tables.attach(&Connection::open_in_memory().unwrap());
    assert!(matches!(&refused, Err(AttachError::Table { topic, .. }) if topic == "sqlite_x"), "{refused:?}");
}

#[test]
fn a_connection_has_the_tables_of_one_store() {
    let (home, other) = (Home::new(), Home::new());
    let (_, connection) = home.reader();
    let again = LogTables::of_writer(other.store.clone()).attach(&connection);
    assert!(matches!(again, Err(AttachError::Attached)), "{again:?}");
    assert!(matches!(home.reader().0.attach(&connection), Err(AttachError::Attached)));
}

#[test]
fn tables_are_not_written_to() {
    let home = Home::new();
    append_numbered(&home.topic("t", 1)[0], 0..3);
    let (_, connection) = attached(LogTables::of_writer(home.store.clone()));
    for sql in ["insert into t (_value) values ('x')", "delete from t", "update t set _value = 'x'"] {
        let error = connection.execute(sql, []).unwrap_err();
        assert!(error.to_string().contains("may not be modified"), "{sql}: {error}");
    }
    let rowid: rusqlite::Result<i64> = connection.query_row("select rowid from t", [], |row| row.get(0));
    assert!(rowid.is_err(), "a log has none");
    assert_eq!(numbers(&connection, "select _index from t"), [0, 1, 2]);
}
