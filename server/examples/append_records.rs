//! Appends records described on the standard input, one JSON object a line, to the byte: keys, headers and values that no text format
//! carries. For tests: it makes the topic itself, and a topic that exists is refused.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Parser;
use serde::Deserialize;
use tidelog::{AckLevel, Record, RecordBatch, Store, TimestampNs};

/// Append the records described on the standard input to a new topic.
#[derive(Parser)]
#[command(after_help = "Example:\n  \
    echo '{\"partition\":0,\"ts_ns\":-1,\"key\":null,\"value\":\"/wA=\",\"headers\":[[\"name\",null]]}' | append_records data odd")]
struct Arguments {
    /// The store's directory.
    dir: String,
    /// The topic to make, with as many partitions as the records name.
    topic: String,
}

/// One line of input; bytes are in base64, null is null.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    partition: u32,
    ts_ns: i64,
    key: Option<String>,
    value: Option<String>,
    headers: Vec<(String, Option<String>)>,
}

fn main() -> ExitCode {
    match append(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("append_records: {error}");
            ExitCode::FAILURE
        }
    }
}

fn append(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut partitions: Vec<Vec<Line>> = Vec::new();
    for line in io::stdin().lines() {
        let line: Line = serde_json::from_str(&line?)?;
        while partitions.len() <= line.partition as usize {
            partitions.push(Vec::new());
        }
        partitions[line.partition as usize].push(line);
    }
    let store = Store::open(&arguments.dir)?;
    let topic = store.create_topic(&arguments.topic, u32::try_from(partitions.len())?)?;
    for (index, lines) in (0..).zip(&partitions) {
        let partition = topic.partition(index)?;
        let mut batch = RecordBatch::new();
        for chunk in lines.chunks(BATCH_RECORDS) {
            batch.clear();
            chunk.iter().try_for_each(|line| push(&mut batch, line))?;
            partition.append_batch(&batch, AckLevel::Written)?;
        }
    }
    Ok(store.close()?)
}

fn push(batch: &mut RecordBatch, line: &Line) -> Result<(), Box<dyn Error>> {
    let value = decode(line.value.as_ref())?;
    let key = decode(line.key.as_ref())?;
    let headers = line.headers.iter().map(|(name, value)| Ok((name, decode(value.as_ref())?)));
    let headers = headers.collect::<Result<Vec<_>, Box<dyn Error>>>()?;

    let mut record = value.as_ref().map_or_else(Record::tombstone, Record::new);
    if let Some(key) = &key {
        record = record.key(key);
    }
    for (name, value) in &headers {
        record = record.header(name, value.as_deref());
    }
    Ok(batch.push(&record.timestamp(TimestampNs::new(line.ts_ns)))?)
}

fn decode(text: Option<&String>) -> Result<Option<Vec<u8>>, Box<dyn Error>> {
    Ok(text.map(|text| STANDARD.decode(text)).transpose()?)
}

/// Not a divisor of a row group, so that batches lie across its end.
const BATCH_RECORDS: usize = 300;
