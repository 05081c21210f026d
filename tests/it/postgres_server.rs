//! A PostgreSQL server that somebody has started for the tests: TIDELOG_POSTGRES is its connection string. Without one, what needs it is skipped,
//! and says so. Starts none.

use std::io::Write;
use std::path::Path;
use std::sync::Once;

use postgres::{Client, NoTls};

/// The server's connection string.
pub(crate) fn address() -> Option<String> {
    let address = std::env::var("TIDELOG_POSTGRES").ok();
    static SAY: Once = Once::new();
    if address.is_none() {
        // Not by a macro: those are silent in a test that passes.
        let said = b"\n!!!! SKIPPED: the tests of PostgreSQL, since TIDELOG_POSTGRES names no server (.ci/postgres starts one)\n\n";
        SAY.call_once(|| std::io::stderr().write_all(said).unwrap());
    }
    address
}

/// A schema of its own, which is gone when this is.
pub(crate) struct Schema {
    pub(crate) name: String,
    /// The connection string that leads into it.
    pub(crate) url: String,
}

impl Schema {
    /// One that nobody else has.
    pub(crate) fn new() -> Option<Self> {
        address()?;
        let schema = Self::of(crate::support::tempdir().path());
        schema.admin().batch_execute(&format!("CREATE SCHEMA {}", schema.name)).unwrap();
        Some(schema)
    }

    /// The one that goes with a directory. It is not made yet.
    pub(crate) fn of(dir: &Path) -> Self {
        let address = address().expect("who needs none does not ask");
        let last = dir.file_name().unwrap().as_encoded_bytes();
        let name = last.iter().fold("tidelog_".to_owned(), |name, byte| format!("{name}{byte:02x}"));
        let joint = if address.contains('?') { '&' } else { '?' };
        let url = format!("{address}{joint}options=-c%20search_path%3D{name}");
        Self { name, url }
    }

    /// A connection into it.
    pub(crate) fn admin(&self) -> Client {
        Client::connect(&self.url, NoTls).unwrap()
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let dropped = self.admin().batch_execute(&format!("SET client_min_messages = error; DROP SCHEMA IF EXISTS {} CASCADE", self.name));
        if !std::thread::panicking() {
            dropped.unwrap();
        }
    }
}
