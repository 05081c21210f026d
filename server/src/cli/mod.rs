//! The command line: a file a command, each with its `Args` and `run(&Args) -> Result<Exit, Failure>`. Decides nothing about stores.

mod append;
mod bench;
mod cat;
mod completions;
mod demo;
mod dump;
mod export;
mod groups;
mod import;
mod infer;
mod info;
mod inspect;
mod lag;
mod man;
mod offsets;
mod parse;
mod progress;
mod read;
mod repair;
#[cfg(feature = "sqlite")]
mod sql;
mod start;
mod store;
mod tail;
mod temporary;
mod topic;
mod verify;
mod views;
mod write;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::exit::{Exit, Failure};

/// Take records in, give them back by offset, by time and as Parquet.
#[derive(Debug, Parser)]
#[command(name = "tidelog", version, max_term_width = 120, arg_required_else_help = true, after_help = EXIT_CODES, after_long_help = MORE_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Import(import::Args),
    Append(append::Args),
    Cat(cat::Args),
    Tail(tail::Args),
    #[cfg(feature = "sqlite")]
    Sql(sql::Args),
    Topic(topic::Args),
    Info(info::Args),
    Lag(lag::Args),
    Groups(groups::Args),
    Verify(verify::Args),
    Dump(dump::Args),
    Repair(repair::Args),
    Demo(demo::Args),
    Export(export::Args),
    Inspect(inspect::Args),
    Infer(infer::Args),
    Offsets(offsets::Args),
    Bench(bench::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Parses the arguments of the process, runs the command and says what came of it.
pub(crate) fn main() -> ExitCode {
    run(std::env::args_os())
}

fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let printed = error.print().and_then(|()| std::io::stdout().flush());
            return match printed {
                // What is wrong with the arguments is said by the code too.
                _ if error.use_stderr() => Exit::Usage.into(),
                Ok(()) => Exit::Done.into(),
                Err(error) => ended(&Failure::output(error)),
            };
        }
    };
    match cli.command.run() {
        Ok(exit) => exit.into(),
        Err(failure) => ended(&failure),
    }
}

fn ended(failure: &Failure) -> ExitCode {
    report(failure);
    failure.exit().into()
}

impl Command {
    fn run(&self) -> Result<Exit, Failure> {
        match self {
            Self::Import(args) => import::run(args),
            Self::Append(args) => append::run(args),
            Self::Cat(args) => cat::run(args),
            Self::Tail(args) => tail::run(args),
            #[cfg(feature = "sqlite")]
            Self::Sql(args) => sql::run(args),
            Self::Topic(args) => topic::run(args),
            Self::Info(args) => info::run(args),
            Self::Lag(args) => lag::run(args),
            Self::Groups(args) => groups::run(args),
            Self::Verify(args) => verify::run(args),
            Self::Dump(args) => dump::run(args),
            Self::Repair(args) => repair::run(args),
            Self::Demo(args) => demo::run(args),
            Self::Export(args) => export::run(args),
            Self::Inspect(args) => inspect::run(args),
            Self::Infer(args) => infer::run(args),
            Self::Offsets(args) => offsets::run(args),
            Self::Bench(args) => bench::run(args),
            Self::Completions(args) => completions::run(args),
            Self::Man(args) => man::run(args),
        }
    }
}

/// One line on the standard error: `tidelog: what: why`.
pub(crate) fn report(failure: &Failure) {
    if !matches!(failure, Failure::ClosedPipe) {
        say(&failure.to_string());
    }
}

/// A line for people on the standard error. That nobody reads it is no reason to stop.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "tidelog: {line}");
}

macro_rules! exit_codes {
    () => {
        "\
Exit codes:
  0  done; a torn end after a kill is repaired and counts as done
  1  failed: an I/O error, or input that does not fit
  2  usage: unknown flags, impossible values
  3  refused: the store is locked, of another version or not a store; the source was changed
  4  damage found in the store
  130, 143  ended by Ctrl-C (SIGINT) or SIGTERM; bench and demo remove first what they made"
    };
}

const EXIT_CODES: &str = exit_codes!();
const MORE_HELP: &str = concat!(
    exit_codes!(),
    "\n
A topic is [namespace/]name; the namespace is \"default\" when left out. Errors are one line on the standard error.

Examples:
  tidelog import data events events.ndjson.gz --format ndjson --key .user --timestamp .at
  tidelog cat data events --from 2h --count 10
  tidelog tail data events --output raw
  generator | tidelog append data events --print-acks
  tidelog sql data \"select count(*) from events\"
  tidelog topic create data events --partitions 4
  tidelog info data --json
  tidelog lag data
  tidelog groups data list
  tidelog verify data
  tidelog dump data/topics/default/events/0/CHECKPOINT
  tidelog repair data
  tidelog export data events --to parquet-out
  tidelog bench /mnt/disk"
);

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&format!("tidelog {}", command.get_name())), "{} has no example", command.get_name());
        }
    }
}
