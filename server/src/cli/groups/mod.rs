//! `tidelog groups`: what a store keeps of consumer groups; deletes one, or moves its positions. Runs no group, and reads no record's value.

mod delete;
mod describe;
mod list;
mod reset;
mod target;

use std::path::{Path, PathBuf};

use tidelog::group::{GroupState, MemberLagReport};
use tidelog::{GroupId, GroupMetadata, OffsetStore, Store, StoreOptions, TimestampNs};

use super::lag;
use super::offsets::place::Place;
use super::read::now_ns;
use super::store;
use super::views::Views;
use crate::exit::{Exit, Failure};

/// List and describe consumer groups, delete them, and move their positions.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog groups data list
  tidelog groups data describe billing --json
  tidelog groups data reset billing --topic orders --to-time 2024-05-01T00:00:00Z --dry-run
  tidelog groups data reset billing --topic orders -p 0 -p 1 --shift-by -100
  tidelog groups data delete billing
  tidelog groups data list --store sqlite:offsets.db

Groups and their positions are those that the store itself keeps, in its internal topic _tidelog/offsets, or those of the place that --store
names, as for tidelog offsets: sqlite:FILE, or postgres:URL where the program is built with its feature postgres. Offsets and times are looked
up in the store's own log. list, describe and every --dry-run change nothing, and go beside a program that writes to the store. delete and reset
open the store for writing, wherever positions are kept, so that no member is at work in it: stop that program first.

Exit codes:
  0  done
  1  failed: an I/O error; there is no such group, topic or partition, or no position to shift. Nothing was changed
  2  usage
  3  refused: the store is locked by a program that writes to it, or of another version; the place that --store names is of another
     version, or something else. Nothing was changed
  4  changes of positions are lost, or a partition is damaged. Nothing was changed")]
pub(crate) struct Args {
    /// The store's directory.
    dir: PathBuf,
    /// Where groups are kept: log, sqlite:FILE or postgres:URL.
    #[arg(long, value_name = "PLACE", default_value = "log", global = true)]
    store: Place,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    List(list::Args),
    Describe(describe::Args),
    Delete(delete::Args),
    Reset(reset::Args),
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.what {
        What::List(what) => list::run(&args.dir, &args.store, what),
        What::Describe(what) => describe::run(&args.dir, &args.store, what),
        What::Delete(what) => delete::run(&args.dir, &args.store, what),
        What::Reset(what) => reset::run(&args.dir, &args.store, what),
    }
}

/// Groups as they are, beside the store's writer or without one.
struct Look {
    positions: Box<dyn OffsetStore>,
    views: Views,
    now: TimestampNs,
}

impl Look {
    fn at(dir: &Path, place: &Place) -> Result<Self, Failure> {
        let (store, positions) = (store::open_read_only(dir)?, place.open_to_read(dir)?);
        Ok(Self { positions, views: Views::new(store), now: TimestampNs::new(now_ns()) })
    }

    fn report(&mut self, groups: &[GroupId]) -> Result<MemberLagReport, Failure> {
        lag::report(&*self.positions, groups, &mut self.views)
    }
}

/// Opens the store for writing, with what is kept of groups; none if nothing ever was. No partition is opened.
fn open_to_change(dir: &Path, place: &Place) -> Result<(Store, Option<Box<dyn OffsetStore>>), Failure> {
    let opened = StoreOptions::new().background_recovery(false).open_existing(dir).map_err(|error| store::opening(dir, error))?;
    let positions = place.open_if_there(&opened)?;
    Ok((opened, positions))
}

fn close(opened: Store) -> Result<(), Failure> {
    opened.close().map_err(|error| store::sync_failure("positions of groups", error))
}

/// Refuses a group of which nothing is kept.
fn check_known(place: &Place, positions: Option<&dyn OffsetStore>, group: &GroupId) -> Result<(), Failure> {
    let known = positions.map_or(Ok(Vec::new()), OffsetStore::groups).map_err(store::positions_failure)?;
    if known.contains(group) {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, format!("there is no group {group}{}", place.aside())))
}

fn metadata(positions: &dyn OffsetStore, group: &GroupId) -> Result<Option<GroupMetadata>, Failure> {
    positions.load_group(group).map_err(store::positions_failure)
}

/// What can be told of a group's state by what is kept of it: whether it is rebalancing only its coordinator knows.
fn state(metadata: Option<&GroupMetadata>) -> GroupState {
    if metadata.is_some_and(|metadata| !metadata.members.is_empty()) { GroupState::Stable } else { GroupState::Empty }
}
