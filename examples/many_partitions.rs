//! One thread that appends to many partitions, and waits for all of them at once.
//!
//! `many_partitions [DIR [ROUNDS [partition|file_system]]]` appends a record to each of 24 partitions in each round, and prints `PARTITION OFFSET` of each
//! once it survives a loss of power. `many_partitions DIR check` reads them all, and prints `PARTITION RECORDS`.

use std::error::Error;
use std::io::Write;

use tidelog::{Partition, PendingAck, Record, RecordBatch, Store, StoreOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let scratch = tempfile::tempdir()?;
    let dir = arguments.first().map_or(scratch.path(), |dir| dir.as_ref());
    match arguments.get(1).map(String::as_str) {
        Some("check") => check(dir),
        rounds => {
            let scope = arguments.get(2).map_or("partition", String::as_str);
            append(&StoreOptions::new().set("sync_scope", scope)?.open(dir)?, rounds.unwrap_or("10").parse()?)
        }
    }
}

fn append(store: &Store, rounds: u64) -> Result<(), Box<dyn Error>> {
    let topic = store.existing_topic("orders").or_else(|_| store.create_topic("orders", PARTITIONS))?;
    let partitions = (0..PARTITIONS).map(|number| topic.partition(number)).collect::<Result<Vec<Partition>, _>>()?;
    let (mut batch, mut out) = (RecordBatch::new(), std::io::stdout().lock());
    for _ in 0..rounds {
        let mut pending: Vec<PendingAck> = Vec::new();
        for (number, partition) in partitions.iter().enumerate() {
            batch.clear();
            batch.push(&Record::new(&value(number, partition.log_end_offset().get())))?;
            pending.push(partition.append_deferred(&batch)?);
        }
        // One call, so that nobody reads half a line.
        let mut lines = String::new();
        for (number, pending) in pending.into_iter().enumerate() {
            lines += &format!("{number} {}\n", pending.wait()?.base_offset);
        }
        out.write_all(lines.as_bytes())?;
    }
    Ok(())
}

fn check(dir: &std::path::Path) -> Result<(), Box<dyn Error>> {
    let store = Store::open(dir)?;
    let topic = store.existing_topic("orders")?;
    for number in 0..PARTITIONS {
        let partition = topic.partition(number)?;
        for record in partition.read_from(0)? {
            let record = record?;
            assert_eq!(record.value(), Some(&value(number as usize, record.offset().get())[..]));
        }
        assert_eq!(partition.recovery_report().damage, []);
        println!("{number} {}", partition.log_end_offset());
    }
    Ok(())
}

/// As long as the offset decides.
fn value(partition: usize, offset: u64) -> Vec<u8> {
    let text = format!("order {offset} of {partition}, ");
    text.repeat(1 + (offset as usize * 7 + partition) % 60).into_bytes()
}

const PARTITIONS: u32 = 24;
