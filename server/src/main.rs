//! The program `tidelog`: runs one command and turns what came of it into an exit code. Holds no logic of its own.
// The engine's I/O seam is for stores; the program reads people's files and writes what they ask for.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod cli;
mod exit;
mod input;
mod output;

fn main() -> std::process::ExitCode {
    cli::main()
}
