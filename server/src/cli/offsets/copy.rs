//! `tidelog offsets <dir> copy`: positions from one place to another, verified. Copies no notes about partitions.

use std::path::Path;

use tidelog::{OffsetStoreError, copy_positions};

use super::place::{Place, open_store};
use crate::exit::{Exit, Failure};
use crate::output::{Results, counted};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where they are: log, sqlite:FILE or postgres:URL.
    #[arg(long, value_name = "PLACE")]
    from: Place,
    /// Where they go.
    #[arg(long, value_name = "PLACE")]
    to: Place,
    /// Also in the place of positions that were committed later.
    #[arg(long)]
    overwrite: bool,
    /// Print one JSON object: {"groups":2,"copied":3,"same":0,"newer":0}.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(dir: &Path, args: &Args) -> Result<Exit, Failure> {
    if args.from == args.to {
        return Err(Failure::new(Exit::Usage, format!("{} cannot be copied to itself", args.from)));
    }
    let from = args.from.open_source(dir)?;
    let to = args.to.open_to_write(&|| open_store(dir))?;
    let report = copy_positions(&*from, &*to, args.overwrite).map_err(|error| {
        let outcome = if matches!(error, OffsetStoreError::NotTakenBack { .. }) { "not all that was written is" } else { "what was written is" };
        args.to.failure(&format!("copying from {} ({outcome} taken back) to", args.from), error)
    })?;
    let mut results = Results::default();
    if args.json {
        let json = serde_json::to_value(report).map_err(|error| Failure::because(Exit::Failed, "copy", error))?;
        results.json(&json)?;
        return Ok(Exit::Done);
    }
    let groups = counted(report.groups as u64, "group", "groups");
    let copied = counted(report.copied as u64, "position", "positions");
    let newer = if report.newer > 0 { format!(", {} left that were committed later (--overwrite)", report.newer) } else { String::new() };
    results.line(&format!("{groups}: {copied} copied and verified, {} there already{newer}", report.same))?;
    Ok(Exit::Done)
}
