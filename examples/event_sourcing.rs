//! Event sourcing: balances are not stored, they follow from the events; a snapshot with its offset spares most of the replay.
//!
//! `cargo run --example event_sourcing`

use std::collections::BTreeMap;
use std::error::Error;

use tidelog::{AckLevel, Offset, Partition, Record, RecordBatch, Start, Store};

type Balances = BTreeMap<String, i64>;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;

    // A day of business: every change is an event, the account is its key, and nothing is ever changed in place.
    {
        let store = Store::open(dir.path())?;
        let events = store.topic("bank/events")?.partition(0)?;
        let mut batch = RecordBatch::new();
        for day in 0..1_000 {
            batch.push(&Record::new("+25").key("alice"))?;
            batch.push(&Record::new(if day % 2 == 0 { "+100" } else { "-90" }).key("bob"))?;
        }
        events.append_batch(&batch, AckLevel::Durable)?;

        let (balances, next) = replay(&events, Balances::new(), events.log_start_offset())?;
        save_snapshot(&store.topic("bank/snapshots")?.partition(0)?, &balances, next)?;
        println!("snapshot at offset {next}: {balances:?}");

        events.append(Record::new("-5000").key("alice"))?;
        events.append(Record::new("+1").key("carol"))?;
    }

    // Another day: the state is the snapshot and what came after it.
    let store = Store::open(dir.path())?;
    let events = store.topic("bank/events")?.partition(0)?;
    let (snapshot, from) = load_snapshot(&store.topic("bank/snapshots")?.partition(0)?)?;
    let (balances, next) = replay(&events, snapshot, from)?;
    println!("replayed {} of {} events: {balances:?}", next.get() - from.get(), next);

    let (from_the_beginning, _) = replay(&events, Balances::new(), events.log_start_offset())?;
    assert_eq!(balances, from_the_beginning);
    assert_eq!(balances, Balances::from([("alice".into(), 20_000), ("bob".into(), 5_000), ("carol".into(), 1)]));
    assert_eq!(next.get() - from.get(), 2);
    Ok(())
}

/// Applies every event from an offset on; returns the balances and the offset behind the last event.
fn replay(events: &Partition, mut balances: Balances, from: Offset) -> Result<(Balances, Offset), Box<dyn Error>> {
    let mut reader = events.read_from(from)?;
    for event in &mut reader {
        let event = event?;
        let account = String::from_utf8(event.key().ok_or("an event without an account")?.to_vec())?;
        let amount: i64 = std::str::from_utf8(event.value().ok_or("an event without an amount")?)?.parse()?;
        *balances.entry(account).or_default() += amount;
    }
    Ok((balances, reader.offset()))
}

/// One batch is stored whole or not at all: a record for each account, and in the batch's note the offset that they stand for.
fn save_snapshot(snapshots: &Partition, balances: &Balances, next: Offset) -> Result<(), Box<dyn Error>> {
    let mut batch = RecordBatch::new();
    for (account, balance) in balances {
        batch.push(&Record::new(&balance.to_string()).key(account))?;
    }
    batch.set_note(Some(&next.get().to_le_bytes()))?;
    snapshots.append_batch(&batch, AckLevel::Durable)?;
    Ok(())
}

/// The newest snapshot, or the beginning.
fn load_snapshot(snapshots: &Partition) -> Result<(Balances, Offset), Box<dyn Error>> {
    let end = snapshots.view().end_offset();
    let Some(batch) = snapshots.view().batches_backwards(end)?.next().transpose()? else {
        return Ok((Balances::new(), snapshots.read(Start::Earliest)?.offset()));
    };
    let next = u64::from_le_bytes(batch.note().ok_or("a snapshot without its offset")?.try_into()?);
    let mut balances = Balances::new();
    for record in batch.records() {
        let record = record?;
        let (account, balance) = (record.key().ok_or("no account")?, record.value().ok_or("no balance")?);
        balances.insert(String::from_utf8(account.to_vec())?, std::str::from_utf8(balance)?.parse()?);
    }
    Ok((balances, Offset::new(next)))
}
