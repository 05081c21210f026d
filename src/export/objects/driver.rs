//! The thread on which requests to object stores are made. There is one a process: connections that a store keeps open are driven by whoever
//! opened them, and a store may be shared by many exports. Knows no store.

use std::future::{Future, pending};
use std::io;
use std::sync::mpsc::sync_channel;
use std::thread::Builder as ThreadBuilder;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};

static DRIVER: Mutex<Option<Handle>> = Mutex::new(None);

/// Does what `future` does, and waits for it.
///
/// # Errors
/// If there is no thread to be had, or the future panics.
pub(super) fn wait<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> io::Result<T> {
    let (done, result) = sync_channel(1);
    // Nobody else waits: that it cannot be sent means nothing.
    handle()?.spawn(async move { drop(done.send(future.await)) });
    result.recv().map_err(|_| io::Error::other("the store's code panicked"))
}

/// Begins the thread when it is needed first.
fn handle() -> io::Result<Handle> {
    let mut driver = DRIVER.lock();
    if let Some(handle) = &*driver {
        return Ok(handle.clone());
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    ThreadBuilder::new().name(NAME.to_owned()).spawn(move || runtime.block_on(pending::<()>()))?;
    Ok(driver.insert(handle).clone())
}

/// Linux shows 15 bytes of it.
const NAME: &str = "tidelog-objects";
