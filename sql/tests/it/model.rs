//! Random logs and random statements against a table of SQLite's own that has the same rows: the answers are the same, in the same order where one
//! is asked for.

use proptest::prelude::*;
use proptest::test_runner::Config;
use rusqlite::types::Value;
use tidelog::{Record, RecordBatch, TimestampNs};
use tidelog_sql::rusqlite::{self, Connection};

use crate::support::{Home, rows};

#[derive(Debug, Clone)]
struct Made {
    partition: usize,
    time: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![Just(None), Just(Some(vec![])), proptest::collection::vec(any::<u8>(), 1..80).prop_map(Some)]
}

fn record() -> impl Strategy<Value = Made> {
    let time = prop_oneof![10 => 0..200i64, 1 => any::<i64>()];
    let headers = proptest::collection::vec(("[a-c\"é]{0,2}", bytes()), 0..3);
    (0..3usize, time, bytes(), bytes(), headers).prop_map(|(partition, time, key, value, headers)| Made { partition, time, key, value, headers })
}

/// A condition, on a column that is looked up or on another one.
fn condition() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        12 => (-3..210i64).prop_map(|number| number.to_string()),
        3 => (-3..210i64).prop_map(|number| format!("{number}.5")),
        1 => Just("null".to_owned()),
        1 => Just("'20'".to_owned()),
        1 => Just("x'20'".to_owned()),
        1 => Just("9223372036854775807".to_owned()),
        1 => Just("-1e19".to_owned()),
    ];
    let column = prop_oneof![4 => Just("_index"), 4 => Just("_ts_ns"), 2 => Just("_partition"), 1 => Just("length(_value)")];
    let comparison = prop_oneof![Just("="), Just("<"), Just("<="), Just(">"), Just(">="), Just("between -1 and"), Just("is not"), Just("<>")];
    let one = (column.clone(), comparison, number.clone()).prop_map(|(column, comparison, number)| format!("{column} {comparison} {number}"));
    let list = (column, proptest::collection::vec(number, 1..4)).prop_map(|(column, list)| format!("{column} in ({})", list.join(", ")));
    prop_oneof![6 => one, 1 => list]
}

fn statement() -> impl Strategy<Value = String> {
    let joint = prop_oneof![8 => Just(" and "), 1 => Just(" or ")];
    let conditions = (proptest::collection::vec(condition(), 0..4), joint)
        .prop_map(|(conditions, joint)| if conditions.is_empty() { String::new() } else { format!("where {}", conditions.join(joint)) });
    // Each of them leaves no two rows in doubt, so that a limit takes the same ones.
    let order = prop_oneof![
        Just("_index, _partition"),
        Just("_index desc, _partition"),
        Just("_index desc, _partition desc"),
        Just("_partition, _index"),
        Just("_partition, _index desc"),
        Just("_ts_ns, _partition, _index"),
    ];
    let limit = prop_oneof![2 => Just(String::new()), 1 => (0..20u32, 0..5u32).prop_map(|(limit, offset)| format!("limit {limit} offset {offset}"))];
    (conditions, order, limit).prop_map(|(conditions, order, limit)| {
        format!("select _ts_ns, _key, _value, _headers, _index, _partition from T {conditions} order by {order} {limit}")
    })
}

fn append(home: &Home, records: &[Made], batch_records: usize) {
    let partitions = home.topic("ns/t", 3);
    for (number, partition) in partitions.iter().enumerate() {
        let mine: Vec<&Made> = records.iter().filter(|made| made.partition == number).collect();
        for chunk in mine.chunks(batch_records) {
            let mut batch = RecordBatch::new();
            for made in chunk {
                let mut record = made.value.as_ref().map_or_else(Record::tombstone, Record::new).timestamp(TimestampNs::new(made.time));
                record = made.key.as_ref().map_or(record.clone(), |key| record.key(key));
                record = made.headers.iter().fold(record, |record, (name, value)| record.header(name, value.as_deref()));
                batch.push(&record).unwrap();
            }
            partition.append_batch(&batch, tidelog::AckLevel::Written).unwrap();
        }
    }
}

/// The rows as they were made, put into a table of SQLite's own: nothing of it comes out of the log.
fn plain_table(connection: &Connection, records: &[Made], deleted: &[u64; 3]) {
    let columns = "_ts_ns integer, _key blob, _value blob, _headers text, _index integer, _partition integer";
    connection.execute_batch(&format!("create table plain ({columns})")).unwrap();
    let mut next = [0u64; 3];
    for made in records {
        let index = next[made.partition];
        next[made.partition] += 1;
        if index < deleted[made.partition] {
            continue;
        }
        let header = |(name, value): &(String, Option<Vec<u8>>)| match value.as_ref().map(|value| std::str::from_utf8(value)) {
            Some(Err(_)) => serde_json::json!({"name": name, "value_base64": base64(value.as_ref().unwrap())}),
            other => serde_json::json!({"name": name, "value": other.map(Result::unwrap)}),
        };
        let headers = serde_json::Value::from_iter(made.headers.iter().map(header)).to_string();
        let row = (made.time, &made.key, &made.value, headers, index as i64, made.partition as i64);
        connection.execute("insert into plain values (?1, ?2, ?3, ?4, ?5, ?6)", row).unwrap();
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

proptest! {
    #![proptest_config(Config { cases: 32, failure_persistence: None, ..Config::default() })]

    #[test]
    fn answers_are_those_of_a_plain_table(
        records in proptest::collection::vec(record(), 0..400),
        batch_records in 1..20usize,
        deleted in proptest::array::uniform3(0..60u64),
        statements in proptest::collection::vec(statement(), 40),
    ) {
        let home = Home::new();
        append(&home, &records, batch_records);
        let mut log_starts = [0; 3];
        for (number, deleted) in deleted.into_iter().enumerate() {
            let partition = home.store.existing_topic("ns/t").unwrap().partition(number as u32).unwrap();
            log_starts[number] = deleted.min(partition.log_end_offset().get());
            partition.delete_prefix(log_starts[number]).unwrap();
        }
        for (_, connection) in [home.reader(), home.writer()] {
            plain_table(&connection, &records, &log_starts);
            for statement in &statements {
                let ask = |table: &str| rows(&connection, &statement.replacen("from T", &format!("from {table}"), 1)).unwrap();
                prop_assert_eq!(ask("\"ns/t\""), ask("plain"), "{}", statement);
            }
            prop_assert!(rows(&connection, "select * from plain except select * from \"ns/t\"").is_err(), "hidden columns are not in *");
            let count: Vec<Value> = rows(&connection, "select count(*) from \"ns/t\"").unwrap().remove(0);
            prop_assert_eq!(&count, &rows(&connection, "select count(*) from plain").unwrap().remove(0));
        }
    }
}
