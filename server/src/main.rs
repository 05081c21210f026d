//! The program `tidelog`: runs one command and turns what came of it into an exit code. Holds no logic of its own.

mod cli;
mod exit;
mod input;
mod output;
mod thread;

fn main() -> std::process::ExitCode {
    cli::main()
}
