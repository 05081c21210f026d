//! Exactly once, in SQL: a consumer counts apples in a table of its own database, and moves its group's position in the same transaction.
//! It is really killed (SIGKILL), again and again, and each order is counted once all the same.
//!
//! What no database can give back is the end of a log that lost it: only positions that are durable in the log are noted.
//!
//! `cargo run --features sqlite --example exactly_once_sqlite`

use std::env;
use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write, stdin, stdout};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tidelog::{
    AckLevel, GroupPosition, OffsetAndEpoch, PageLimits, PartitionKey, Record, RecordBatch, SqliteOffsetStore, SqlitePositions, Store, Subscription,
    SubscriptionOptions,
};

const ORDERS: u64 = 2_000;
const ORDERS_A_STEP: u32 = 10;
/// Steps that a consumer may make before it is killed, at most.
const STEPS_A_LIFE_MAX: u64 = 20;
/// So many die whatever comes, since all steps are more than these could make.
const KILLS_MIN: u64 = ORDERS / ORDERS_A_STEP as u64 / STEPS_A_LIFE_MAX - 1;
/// About how long a step takes.
const STEP_MICROS: u64 = 3_000;
const GROUP: &str = "counting";
/// Tells a consumer that it is one, and where.
const CONSUMER_DIR: &str = "EXACTLY_ONCE_DIR";

fn main() -> Result<(), Box<dyn Error>> {
    match env::var_os(CONSUMER_DIR) {
        Some(dir) => consume(Path::new(&dir)),
        None => supervise(),
    }
}

/// Takes orders, and starts consumers, one after the other, until one lives to the end of the orders.
fn supervise() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path().join("data"))?; // it stays open: consumers read beside it
    let expected = take_orders(&store)?;
    let mut kills = 0;
    while !lives(dir.path(), 1 + random_below(STEPS_A_LIFE_MAX))? {
        kills += 1;
    }
    let shop = Connection::open(dir.path().join("shop.db"))?;
    let sql = "SELECT COUNT(*), COUNT(DISTINCT number), (SELECT apples FROM total) FROM counted";
    let (counted, distinct, apples): (u64, u64, u64) =
        shop.query_row(sql, [], |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64, row.get::<_, i64>(2)? as u64)))?;
    println!("{kills} consumers were killed; {counted} orders were counted, {distinct} of them different, {apples} apples");
    assert_eq!((counted, distinct, apples), (ORDERS, ORDERS, expected));
    assert!(kills >= KILLS_MIN, "it died often enough to show something");
    Ok(())
}

/// One life of a consumer, which may make so many steps, and is killed in the last of them; whether it came to the end before.
fn lives(dir: &Path, steps: u64) -> Result<bool, Box<dyn Error>> {
    let mut consumer = Command::new(env::current_exe()?).env(CONSUMER_DIR, dir).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut permits = consumer.stdin.take().ok_or("no pipe")?;
    let mut begun = BufReader::new(consumer.stdout.take().ok_or("no pipe")?).lines();
    let mut is_at_work = true;
    for _ in 0..steps {
        // It has come to the end if it takes no more.
        is_at_work = is_at_work && writeln!(permits).is_ok() && begun.next().transpose()?.is_some();
    }
    if is_at_work {
        thread::sleep(Duration::from_micros(random_below(STEP_MICROS))); // somewhere in the step, or behind it
        consumer.kill()?; // SIGKILL
    }
    let status = consumer.wait()?;
    match status.code() {
        Some(0) => Ok(true),
        None => Ok(false),
        Some(_) => Err(format!("a consumer failed: {status}").into()),
    }
}

/// Orders of some apples each; returns how many apples in all.
fn take_orders(store: &Store) -> Result<u64, Box<dyn Error>> {
    let orders = store.topic("orders")?.partition(0)?;
    let mut batch = RecordBatch::new();
    for number in 0..ORDERS {
        batch.push(&Record::new(&(number % 13).to_string()))?;
    }
    orders.append_batch(&batch, AckLevel::Durable)?;
    Ok((0..ORDERS).map(|number| number % 13).sum())
}

/// Counts from where the results end to the end of the orders.
fn consume(dir: &Path) -> Result<(), Box<dyn Error>> {
    let file = dir.join("shop.db");
    let mut shop = Connection::open(&file)?;
    shop.busy_timeout(Duration::from_secs(10))?;
    let positions = SqlitePositions::prepare(&mut shop)?;
    shop.execute_batch(
        "CREATE TABLE IF NOT EXISTS counted (number INTEGER NOT NULL);
         CREATE TABLE IF NOT EXISTS total (id INTEGER PRIMARY KEY CHECK (id = 1), apples INTEGER NOT NULL);
         INSERT INTO total VALUES (1, 0) ON CONFLICT DO NOTHING",
    )?;
    let topic = Store::open_read_only(dir.join("data"))?.topic("orders")?;
    let partition: PartitionKey = topic.partition_key(0)?;
    let group = GroupPosition { group: GROUP.parse()?, partition, store: Arc::new(SqliteOffsetStore::open_existing(&file)?) };
    let limits = PageLimits { records: ORDERS_A_STEP, ..PageLimits::default() };
    let subscription = topic.partition(0)?.subscribe("counter", SubscriptionOptions::new().group(group.clone()).limits(limits))?;
    let mut committed = subscription.started().committed();
    while !subscription.is_at_end()? && stdin().read_line(&mut String::new())? > 0 {
        writeln!(stdout(), "counts from {}", subscription.position())?;
        let transaction = shop.transaction_with_behavior(TransactionBehavior::Immediate)?;
        count(&transaction, &subscription)?;
        let next = subscription.checked_position()?;
        // Refused if another consumer of the group has come first: then nothing of this page is kept.
        positions.advance(&transaction, &group.group, &group.partition, committed, &next)?;
        transaction.commit()?;
        committed = Some(OffsetAndEpoch::from(&next));
    }
    Ok(())
}

fn count(shop: &Connection, subscription: &Subscription) -> Result<(), Box<dyn Error>> {
    for order in subscription.page()?.records {
        let apples: i64 = std::str::from_utf8(order.value().ok_or("an empty order")?)?.parse()?;
        shop.execute("INSERT INTO counted VALUES (?1)", [order.offset().get() as i64])?;
        shop.execute("UPDATE total SET apples = apples + ?1", [apples])?;
    }
    Ok(())
}

/// Each time another number: a hasher is seeded anew.
fn random_below(limit: u64) -> u64 {
    RandomState::new().hash_one(limit) % limit
}
