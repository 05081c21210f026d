//! `tidelog offsets`: lists the positions of groups, copies them between stores, makes notes about partitions anew. Moves no position itself.

mod copy;
mod list;
mod place;
mod rebuild;

use std::path::PathBuf;

use crate::exit::{Exit, Failure};

/// List the positions of groups, copy them to another store, or note anew what partitions hold.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog offsets data list
  tidelog offsets data list --store sqlite:offsets.db --json
  tidelog offsets data copy --from log --to sqlite:offsets.db
  tidelog offsets data copy --from sqlite:offsets.db --to log
  tidelog offsets data rebuild --store sqlite:offsets.db --mappings sparse

A place is `log`, the internal topic _tidelog/offsets of the store, or `sqlite:FILE`. Offsets of records come from the log alone: whatever a
place says, and whatever becomes of it, none is ever given out again or changed.

Exit codes:
  0  done
  1  failed: an I/O error, or what was written was read back as something else; a copy then takes back what it wrote,
     and says whether it could
  2  usage
  3  refused: a place is of a newer version, or something else; the store is locked. Nothing was changed
  4  changes of positions are lost in the log")]
pub(crate) struct Args {
    /// The store's directory.
    dir: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print the positions of all groups, beside the writer if there is one.
    List(list::Args),
    /// Copy the positions of all groups, and read them back. Killed, it is run again; when it fails, it takes back what it wrote. Stop the groups
    /// that commit to the target before: what one commits in the moment in which its position is copied is overwritten.
    Copy(copy::Args),
    /// Forget checkpoints, counts and rows, and make them anew from the logs. Positions stay what they are.
    Rebuild(rebuild::Args),
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.what {
        What::List(what) => list::run(&args.dir, what),
        What::Copy(what) => copy::run(&args.dir, what),
        What::Rebuild(what) => rebuild::run(&args.dir, what),
    }
}
