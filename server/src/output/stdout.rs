//! The standard output: buffered, and a closed pipe is told apart from a failure. Never panics, as `println!` would.

use std::io::{BufWriter, StdoutLock, Write};

use serde::Serialize;

use crate::exit::Failure;

/// The standard output with a buffer of its own; flush it before the end.
pub(crate) fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(BUFFER_BYTES, std::io::stdout().lock())
}

/// Prints one line.
pub(crate) fn print_line(line: &str) -> Result<(), Failure> {
    let mut out = stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(Failure::output)
}

/// Prints one value as one line of JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut out = stdout();
    serde_json::to_writer(&mut out, value).map_err(|error| Failure::output(error.into()))?;
    writeln!(out).and_then(|()| out.flush()).map_err(Failure::output)
}

const BUFFER_BYTES: usize = 64 << 10;
