//! The standard output: buffered, and a closed pipe is told apart from a failure. Never panics, as `println!` would.

use std::io::{self, BufWriter, StdoutLock, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use crate::exit::Failure;

/// The standard output with a buffer of its own; flush it before the end.
pub(crate) fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(BUFFER_BYTES, std::io::stdout().lock())
}

/// Whether whoever read the standard output has gone. A pipe says so by itself only when it is written to.
pub(crate) fn is_unread() -> bool {
    let stdout = io::stdout();
    let mut looked_at = [PollFd::new(&stdout, PollFlags::empty())];
    poll(&mut looked_at, Some(&Timespec::default())).is_ok() && looked_at[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// Prints one line.
pub(crate) fn print_line(line: &str) -> Result<(), Failure> {
    let mut out = stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(Failure::output)
}

/// Prints one value as one line of JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    write_json(value).map_err(Failure::output)
}

/// The same, for whoever must not take a closed pipe for an end.
pub(crate) fn write_json(value: &impl Serialize) -> io::Result<()> {
    let mut out = stdout();
    serde_json::to_writer(&mut out, value)?;
    writeln!(out)?;
    out.flush()
}

/// Prints what came of each part of the work, in a command that has to do all of it whether anybody reads or not.
#[derive(Debug, Default)]
pub(crate) struct Results {
    is_unread: bool,
}

impl Results {
    /// Prints one line, if somebody reads.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.take(|| print_line(line))
    }

    /// Prints one line of JSON, if somebody reads.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        self.take(|| print_json(value))
    }

    fn take(&mut self, print: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        if self.is_unread {
            return Ok(());
        }
        match print() {
            Err(Failure::ClosedPipe) => {
                self.is_unread = true;
                Ok(())
            }
            other => other,
        }
    }
}

const BUFFER_BYTES: usize = 64 << 10;
