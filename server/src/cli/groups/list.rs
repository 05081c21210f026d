//! `tidelog groups <dir> list`: all groups, a line each. Changes not one byte.

use std::path::Path;

use serde_json::json;
use tidelog::LagSum;

use super::{Look, metadata, state};
use crate::cli::lag::seconds;
use crate::cli::offsets::place::Place;
use crate::cli::store;
use crate::exit::{Exit, Failure};
use crate::output::{Results, columns, shown};

/// List the groups: their state, members, positions, and how far they are behind in all.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog groups data list
  tidelog groups data list --json

The state is what the store noted last: Stable with members, Empty without.")]
pub(super) struct Args {
    /// Print one JSON object: {"groups":[{..}, ..]}.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(dir: &Path, place: &Place, args: &Args) -> Result<Exit, Failure> {
    let mut look = Look::at(dir, place)?;
    let groups = look.positions.groups().map_err(store::positions_failure)?;
    let (mut all, mut rows) = (Vec::new(), vec![["GROUP", "STATE", "MEMBERS", "POSITIONS", "LAG", "LAG SECONDS"].map(str::to_owned)]);
    for group in groups {
        let report = look.report(std::slice::from_ref(&group))?;
        let metadata = metadata(&*look.positions, &group)?;
        let lag = report.rows.iter().filter_map(|row| row.lag.as_ref()).collect::<LagSum>();
        let (state, positions, age) = (state(metadata.as_ref()).to_string(), lag.partitions + report.without_partition.len(), lag.age(look.now));
        all.push(json!({
            "group": group.as_str(),
            "state": state,
            "members": report.members.len(),
            "positions": positions,
            "lag": lag.records,
            "lag_seconds": age.map(|age| age.as_secs_f64()),
        }));
        let group = shown(Some(group.as_str().as_bytes()), GROUP_CHARS);
        rows.push([group, state, report.members.len().to_string(), positions.to_string(), lag.records.to_string(), seconds(age)]);
    }
    let mut results = Results::default();
    if args.json {
        results.json(&json!({ "groups": all }))?;
    } else if all.is_empty() {
        results.line("there are no groups")?;
    } else {
        results.line(&columns(&rows, &["GROUP", "STATE"]))?;
    }
    Ok(Exit::Done)
}

const GROUP_CHARS: usize = 255;
