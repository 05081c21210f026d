//! `tidelog man`: prints a manual page. Installs nothing.

use std::io::Write;

use clap::CommandFactory;

use super::Cli;
use crate::exit::{Exit, Failure};
use crate::output::stdout;

/// Print the manual page of the program or of one command.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tidelog man | man -l -\n  tidelog man import > tidelog-import.1")]
pub(crate) struct Args {
    /// The command; without it, the program.
    command: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut program = Cli::command();
    program.build();
    let page = match &args.command {
        None => program,
        Some(name) => {
            let found = program.find_subcommand(name).cloned();
            found.ok_or_else(|| Failure::new(Exit::Usage, format!("no manual page for {name:?}: there is no such command")))?
        }
    };
    let mut out = stdout();
    clap_mangen::Man::new(page).render(&mut out).and_then(|()| out.flush()).map_err(Failure::output)?;
    Ok(Exit::Done)
}
