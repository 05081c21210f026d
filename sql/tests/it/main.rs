//! The tables as those who write SQL see them, over logs in real directories. Looks into no module of the package.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests look at files from outside of the engine")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, which clippy.toml does not know")]

mod columns;
mod consistency;
mod lost;
mod model;
mod pushdown;
mod support;
