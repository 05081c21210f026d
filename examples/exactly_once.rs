//! Exactly once: a consumer stores its result and the offset up to which it counted in one batch, which is there whole or not at all.
//! Whenever it dies, it goes on where its last result ends: nothing is counted twice, nothing is left out.
//!
//! `cargo run --example exactly_once`

use std::error::Error;
use std::path::Path;

use tidelog::{AckLevel, Offset, Partition, Record, RecordBatch, Store};

const ORDERS: u64 = 1_000;
const ORDERS_A_STEP: usize = 70;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let expected = take_orders(dir.path())?;

    let mut runs = 0;
    let total = loop {
        runs += 1;
        // Each run dies at another point of its work: before a result is stored, or right after.
        match consume(dir.path(), runs)? {
            Some(total) => break total,
            None => println!("run {runs} died"),
        }
    };
    println!("run {runs} finished: {ORDERS} orders, {total} apples");
    assert_eq!(total, expected);
    assert!(runs > 5, "it died often enough to show something");
    Ok(())
}

/// Orders of some apples each; returns how many apples in all.
fn take_orders(dir: &Path) -> Result<u64, Box<dyn Error>> {
    let orders = Store::open(dir)?.topic("orders")?.partition(0)?;
    let mut batch = RecordBatch::new();
    for number in 0..ORDERS {
        batch.push(&Record::new(&(number % 13).to_string()))?;
    }
    orders.append_batch(&batch, AckLevel::Durable)?;
    Ok((0..ORDERS).map(|number| number % 13).sum())
}

/// One life of the consumer: the total, if it lived to the end of the orders.
fn consume(dir: &Path, run: usize) -> Result<Option<u64>, Box<dyn Error>> {
    let store = Store::open(dir)?; // recovers
    let orders = store.topic("orders")?.partition(0)?;
    let totals = store.topic("totals")?.partition(0)?;

    let (mut total, next) = last_result(&totals)?;
    println!("run {run} goes on at offset {next} with {total} apples");
    let mut reader = orders.read_from(next)?;
    for step in 1.. {
        let mut seen = 0;
        for order in reader.by_ref().take(ORDERS_A_STEP) {
            total += std::str::from_utf8(order?.value().ok_or("an empty order")?)?.parse::<u64>()?;
            seen += 1;
        }
        if seen == 0 {
            return Ok(Some(total));
        }
        if run % 2 == 1 && step == 3 {
            return Ok(None); // counted, but not stored: the next life counts these again, from the old total
        }
        store_result(&totals, total, reader.offset())?;
        if run.is_multiple_of(2) {
            return Ok(None); // stored: the next life goes on behind it
        }
    }
    Ok(None)
}

/// The result is a record, and its batch's note says which order comes next.
fn store_result(totals: &Partition, total: u64, next: Offset) -> Result<(), Box<dyn Error>> {
    let mut batch = RecordBatch::new();
    batch.push(&Record::new(&total.to_string()))?;
    batch.set_note(Some(&next.get().to_le_bytes()))?;
    totals.append_batch(&batch, AckLevel::Durable)?;
    Ok(())
}

/// The newest result and the order that comes next.
fn last_result(totals: &Partition) -> Result<(u64, Offset), Box<dyn Error>> {
    let Some(batch) = totals.view().batches_backwards(totals.view().end_offset())?.next().transpose()? else {
        return Ok((0, Offset::new(0)));
    };
    let next = u64::from_le_bytes(batch.note().ok_or("a result without its offset")?.try_into()?);
    let record = batch.records().next().ok_or("a result without a total")??;
    Ok((std::str::from_utf8(record.value().ok_or("an empty total")?)?.parse()?, Offset::new(next)))
}
