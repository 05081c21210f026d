//! The program as people and scripts use it: arguments in, bytes, lines and exit codes out. Looks into no module of it.
// A helper that cannot go on fails its test.
#![allow(clippy::unwrap_used)]

mod append;
mod bad_input;
mod bench;
mod cat;
mod damage;
mod demo;
mod docs;
mod dump;
mod export;
mod facts;
mod groups;
mod import;
mod kill;
mod lag;
mod offsets;
mod processes;
mod repair;
mod sandbox;
#[cfg(feature = "sqlite")]
mod sql;
mod tail;
mod timed;
mod topic;
mod verify;
