//! Tailing with tokio: many tasks append and await their acknowledgements, others follow the log as a stream. Needs the feature `tokio`.
//!
//! `cargo run --features tokio --example tail_tokio`

use std::error::Error;

use tidelog::{Record, RecordBatch, RecordStream, Start, Store};

const SENSORS: u64 = 50;
const READINGS: u64 = 20;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path())?;
    let readings = store.topic("readings")?.partition(0)?;

    // Two followers: one sees everything, the other one only what comes after it began.
    let all = tokio::spawn(follow(readings.stream(Start::Earliest)?));
    readings.append_async(&reading(0, 0)?).await?;
    let new = tokio::spawn(follow(readings.stream(Start::Latest)?));

    let sensors: Vec<_> = (1..=SENSORS)
        .map(|sensor| {
            let readings = readings.clone();
            tokio::spawn(async move {
                for number in 0..READINGS {
                    // Appended by the call; the task sleeps until a sync, shared with the other tasks, has made it durable.
                    let batch = reading(sensor, number).map_err(|error| error.to_string())?;
                    readings.append_async(&batch).await.map_err(|error| error.to_string())?;
                }
                Ok::<_, String>(())
            })
        })
        .collect();
    for sensor in sensors {
        sensor.await??;
    }

    // A stream follows for as long as the log can grow: closing the store ends it, when everything is read.
    store.close()?;
    let (all, new) = (all.await??, new.await??);
    println!("{SENSORS} sensors, {READINGS} readings each; the first follower saw {all} records, the second {new}");
    assert_eq!((all, new), (SENSORS * READINGS + 1, SENSORS * READINGS));
    Ok(())
}

fn reading(sensor: u64, number: u64) -> Result<RecordBatch, Box<dyn Error>> {
    let mut batch = RecordBatch::new();
    batch.push(&Record::new(&format!("{}.{number} degrees", 20 + sensor % 5)).key(&format!("sensor {sensor}")))?;
    Ok(batch)
}

/// Counts records, and checks that none is left out.
async fn follow(mut stream: RecordStream) -> Result<u64, String> {
    let mut seen = 0;
    let mut expected = None;
    while let Some(record) = stream.next().await {
        let offset = record.map_err(|error| error.to_string())?.offset().get();
        assert_eq!(*expected.get_or_insert(offset), offset);
        expected = Some(offset + 1);
        seen += 1;
    }
    Ok(seen)
}
