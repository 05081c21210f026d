//! `tidelog groups <dir> delete GROUP`: forgets a group. Touches no record of a topic.

use std::path::Path;

use serde_json::json;
use tidelog::{GroupId, OffsetStore};

use super::{Look, check_known, close, metadata, open_to_change};
use crate::cli::offsets::place::Place;
use crate::cli::store;
use crate::exit::{Exit, Failure};
use crate::output::{Results, counted};

/// Delete a group: its positions, and what is kept of its members.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog groups data delete billing --dry-run
  tidelog groups data delete billing

It cannot be undone, and asks nothing. Whoever reads for the group again begins as one that never committed. The store must not be open for
writing, so that no member is at work.")]
pub(super) struct Args {
    /// The group.
    group: GroupId,
    /// Say what would be deleted, and delete nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object: {"deleted":"..","positions":0,"members":0,"dry_run":false}.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(dir: &Path, place: &Place, args: &Args) -> Result<Exit, Failure> {
    let (positions, members) = if args.dry_run {
        count(place, &*Look::at(dir, place)?.positions, &args.group)?
    } else {
        let (opened, positions) = open_to_change(dir, place)?;
        check_known(place, positions.as_deref(), &args.group)?;
        let mut counted = (0, 0);
        if let Some(positions) = positions {
            counted = count(place, &*positions, &args.group)?;
            positions.delete_group(&args.group).map_err(store::positions_failure)?;
        }
        close(opened)?;
        counted
    };
    let mut results = Results::default();
    if args.json {
        results.json(&json!({ "deleted": args.group.as_str(), "positions": positions, "members": members, "dry_run": args.dry_run }))?;
    } else {
        let (positions, members) = (counted(positions as u64, "position", "positions"), counted(members as u64, "member", "members"));
        let done = if args.dry_run { "would be deleted" } else { "deleted" };
        results.line(&format!("{}: {done}, with {positions} and {members}", args.group))?;
    }
    Ok(Exit::Done)
}

/// Positions and members of a group that there is.
fn count(place: &Place, positions: &dyn OffsetStore, group: &GroupId) -> Result<(usize, usize), Failure> {
    check_known(place, Some(positions), group)?;
    let count = positions.fetch_all(group).map_err(store::positions_failure)?.len();
    Ok((count, metadata(positions, group)?.map_or(0, |metadata| metadata.members.len())))
}
