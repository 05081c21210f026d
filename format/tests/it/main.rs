//! The one test binary of the format crate. Everything goes through the public API.

mod guards;
mod resolve;
mod support;
