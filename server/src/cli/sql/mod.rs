//! `tidelog sql`: SQL over the topics of a store, one statement or a shell. Reads alone: neither the store nor any file is written.

mod format;
mod session;
mod shell;
mod statements;
mod table_names;

use std::path::PathBuf;

use self::format::Format;
use self::session::Session;
use super::store::{self, Isolation};
use crate::exit::{Exit, Failure};

/// Ask a store in SQL: topics are tables, offsets their hidden column _index.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog sql data \"select _index, _value from orders where _index between 10 and 20\"
  tidelog sql data 'select count(*), max(_index) from \"shop/orders\" where _ts_ns >= 1700000000000000000'
  tidelog sql data \"select _value ->> '$.mag' as mag, * from quakes order by mag desc limit 3\" --output json
  tidelog sql data                        a shell: statements up to ;, .tables .schema .help .quit

Each topic is a table: _ts_ns INTEGER, _key and _value BLOB, _headers TEXT (JSON), and, hidden from select *, _index and
_partition INTEGER. A name with a namespace is quoted: \"shop/orders\". Topics whose names differ in case alone are
left out, and named; one called sqlite_x is \"default/sqlite_x\", as SQLite keeps such names for itself. Conditions on _index, _partition and the least
_ts_ns are looked up; explain query plan shows it. A key is compared as bytes: _key = cast('kim' as blob).

It reads alone, beside a live writer or without one: each statement sees the log as it is when it begins. What cannot be
read ends it with exit code 4, unless conditions on _index leave it out.")]
pub(crate) struct Args {
    /// The store's directory.
    dir: PathBuf,
    /// SQL; several statements are parted by semicolons. Without it, they are read from the standard input.
    statement: Option<String>,
    /// table: for people; json: an object a line, bytes as cat has them; csv: NULL is empty, and an empty text "".
    #[arg(long, short = 'o', value_enum, default_value_t)]
    output: Format,
    /// Which records are seen.
    #[arg(long, value_enum, default_value_t)]
    isolation: Isolation,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let store = store::open_read_only(&args.dir)?;
    let mut session = Session::new(store, args.isolation.into(), args.output)?;
    match &args.statement {
        Some(text) => session.run_all(text)?,
        None => shell::run(&mut session)?,
    }
    Ok(Exit::Done)
}
