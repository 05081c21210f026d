//! `tidelog offsets`: lists the positions of groups, copies them between stores, makes notes about partitions anew, and looks after the tables of
//! SQL stores. Moves no position itself.

mod backup;
mod copy;
mod list;
pub(super) mod place;
mod rebuild;
mod schema;
mod tables;

use std::path::PathBuf;

use crate::exit::{Exit, Failure};

/// List the positions of groups, copy them to another store, note anew what partitions hold, or look after the tables of SQL stores.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog offsets data list
  tidelog offsets data list --store sqlite:offsets.db --json
  tidelog offsets data copy --from log --to sqlite:offsets.db
  tidelog offsets data copy --from sqlite:offsets.db --to log
  tidelog offsets data copy --from log --to postgres://user@host/database
  tidelog offsets data rebuild --store sqlite:offsets.db --mappings sparse
  tidelog offsets data backup --from sqlite:offsets.db --to offsets.backup
  tidelog offsets data restore --from offsets.backup --to sqlite:offsets.db
  tidelog offsets data schema --store sqlite:offsets.db
  tidelog offsets data migrate --store sqlite:offsets.db --to 3 --dry-run

A place is `log`, the internal topic _tidelog/offsets of the store, `sqlite:FILE`, or `postgres:URL` where the program is built with its
feature `postgres`. Offsets of records come from the log alone: whatever a place says, and whatever becomes of it, none is ever given out
again or changed.

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
    /// Copy a SQLite file, in use or not, to a file that has its name once it is whole.
    Backup(backup::BackupArgs),
    /// Take everything from a backup in the place of what is there: all of it, or nothing.
    Restore(backup::RestoreArgs),
    /// Print the version of the tables, and which steps were applied when. Changes nothing.
    Schema(schema::SchemaArgs),
    /// Bring the tables to another version, up or down, one transaction a version. On the way down, what the older version has no place for is
    /// deleted: make a backup before.
    Migrate(schema::MigrateArgs),
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.what {
        What::List(what) => list::run(&args.dir, what),
        What::Copy(what) => copy::run(&args.dir, what),
        What::Rebuild(what) => rebuild::run(&args.dir, what),
        What::Backup(what) => backup::backup(what),
        What::Restore(what) => backup::restore(what),
        What::Schema(what) => schema::schema(what),
        What::Migrate(what) => schema::migrate(what),
    }
}
