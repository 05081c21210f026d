//! The feature `tokio`: appends to await, and records as a `Stream`. Adds nothing to what the engine does, only another way to wait for it.

mod append;
mod stream;

pub use append::{AckFuture, AppendFuture};
pub use stream::RecordStream;

use tokio::runtime::Handle;

/// Runs blocking work off the runtime's workers; outside of a runtime, here. A runtime that shuts down drops the work instead.
fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<tokio::task::JoinHandle<T>, T> {
    match Handle::try_current() {
        Ok(runtime) => Ok(runtime.spawn_blocking(work)),
        Err(_) => Err(work()),
    }
}
