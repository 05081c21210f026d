//! `tidelog offsets <dir> rebuild`: checkpoints, counts and rows of every partition, from its log. Moves no position, and says which do not fit.

use std::collections::BTreeMap;
use std::path::Path;

use tidelog::{MappingMode, Offset, OffsetStore, PartitionKey, Store, renote_partition};

use super::place::{Place, open_store};
use crate::cli::store;
use crate::exit::{Exit, Failure};
use crate::output::{Results, counted};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where they go: log, sqlite:FILE or postgres:URL.
    #[arg(long, value_name = "PLACE", default_value = "log")]
    store: Place,
    /// Rows that point into the log: off, sparse (about one every 4 KiB of log) or full (one a record).
    #[arg(long, value_name = "MODE", default_value = "off")]
    mappings: MappingMode,
}

pub(crate) fn run(dir: &Path, args: &Args) -> Result<Exit, Failure> {
    let store = open_store(dir)?;
    let notes = args.store.open_to_write(&|| Ok(store.clone()))?;
    let mut results = Results::default();
    let ends = rebuild(&store, &*notes, args, &mut results)?;
    let failed = |error| args.store.failure("rebuilding", error);
    for partition in notes.partitions().map_err(failed)? {
        if !ends.contains_key(&partition) {
            notes.forget(&partition).map_err(failed)?;
            results.line(&format!("{partition}: forgotten, the store has no such partition"))?;
        }
    }
    for group in notes.groups().map_err(failed)? {
        for (partition, position) in notes.fetch_all(&group).map_err(failed)? {
            match ends.get(&partition) {
                Some(end) if position.offset <= *end => {}
                Some(end) => results.line(&format!("{partition}: group {group} is at {}, behind the end {end}", position.offset))?,
                None => results.line(&format!("{partition}: group {group} is at {}, and the store has no such partition", position.offset))?,
            }
        }
    }
    Ok(Exit::Done)
}

/// Notes every partition anew; returns where each ends.
fn rebuild(store: &Store, notes: &dyn OffsetStore, args: &Args, results: &mut Results) -> Result<BTreeMap<PartitionKey, Offset>, Failure> {
    let listing = |error| Failure::because(Exit::Failed, "listing the topics", error);
    let mut ends = BTreeMap::new();
    for name in store.topics().map_err(listing)? {
        let name = name.to_string();
        let failed = |error| store::topic_failure(&name, error);
        let topic = store.existing_topic(&name).map_err(failed)?;
        for number in 0..topic.partition_count() {
            // One that was never used is an empty log, and stays without a directory.
            let (key, view) = (topic.partition_key(number).map_err(failed)?, topic.view(number).map_err(failed)?);
            let stats = renote_partition(notes, &key, &view, args.mappings)
                .map_err(|error| args.store.failure(&format!("noting {name}/{number} in"), error))?;
            let records = counted(stats.record_count, "record", "records");
            results.line(&format!("{name}/{number}: {records}, {} bytes, noted up to {}", stats.total_bytes, stats.high_water_mark()))?;
            ends.insert(key, view.log_end_offset());
        }
    }
    Ok(ends)
}
