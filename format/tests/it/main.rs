//! The one test binary of the format crate. Everything goes through the public API.
#![allow(clippy::disallowed_methods, reason = "tests read SPEC.md, the sources and the golden files")]
#![allow(clippy::unwrap_used, reason = "a test without its input must fail")]

mod bounds;
mod golden;
mod guards;
mod kafka;
mod properties;
mod resolve;
mod scan;
mod sizes;
mod spec;
mod support;
mod terms;
