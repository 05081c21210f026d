//! Threads, or a failure: a system at its limit has none to give.

use std::thread::{Builder, JoinHandle};

use crate::exit::{Exit, Failure};

/// Starts a thread for `task`, which names it: "read the input".
pub(crate) fn spawn<T: Send + 'static>(task: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>, Failure> {
    Builder::new().spawn(work).map_err(|error| Failure::because(Exit::Failed, format!("starting a thread to {task}"), error))
}
