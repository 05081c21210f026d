//! `tidelog offsets <dir> backup` and `restore`: a SQLite file, whole, to another file and back. Merges nothing.

use std::path::PathBuf;

use super::tables::Tables;
use crate::exit::{Exit, Failure};
use crate::output::Results;

#[derive(Debug, clap::Args)]
pub(crate) struct BackupArgs {
    /// What to copy: sqlite:FILE.
    #[arg(long, value_name = "PLACE")]
    from: Tables,
    /// The file to write. It must not be there.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// The file that a backup has written.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// What to put it in the place of: sqlite:FILE.
    #[arg(long, value_name = "PLACE")]
    to: Tables,
}

pub(crate) fn backup(args: &BackupArgs) -> Result<Exit, Failure> {
    args.from.back_up(&args.to)?;
    Results::default().line(&format!("{}: copied to {}", args.from, args.to.display()))?;
    Ok(Exit::Done)
}

pub(crate) fn restore(args: &RestoreArgs) -> Result<Exit, Failure> {
    args.to.restore(&args.from)?;
    Results::default().line(&format!("{}: restored from {}", args.to, args.from.display()))?;
    Ok(Exit::Done)
}
