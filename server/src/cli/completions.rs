//! `tidelog completions`: prints a completion script. Installs nothing.

use std::io::Write;

use clap::CommandFactory;

use super::Cli;
use crate::exit::{Exit, Failure};
use crate::output::stdout;

/// Print a completion script for a shell.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tidelog completions bash > ~/.local/share/bash-completion/completions/tidelog\n  tidelog completions fish | source"
)]
pub(crate) struct Args {
    /// The shell.
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    // Into memory first: the generator panics when it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tidelog", &mut script);
    let mut out = stdout();
    out.write_all(&script).and_then(|()| out.flush()).map_err(Failure::output)?;
    Ok(Exit::Done)
}
