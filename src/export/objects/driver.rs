//! The thread on which requests to object stores are made. There is one a process: connections that a store keeps open are driven by whoever
//! opened them, and a store may be shared by many exports. Knows no store.

use std::cell::Cell;
use std::future::{Future, pending};
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::Builder as ThreadBuilder;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};

static DRIVER: Mutex<Option<Handle>> = Mutex::new(None);

thread_local! {
    static IS_DRIVER: Cell<bool> = const { Cell::new(false) };
}

/// Does what `future` does, and waits for it.
///
/// # Errors
/// If there is no thread to be had, the future panics, or this is that thread: it would wait for itself.
pub(super) fn wait<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> io::Result<T> {
    if IS_DRIVER.get() {
        return Err(io::Error::other(format!("a store's code calls an export on the thread {NAME}, which would wait for itself")));
    }
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
    let (built, is_built) = sync_channel(1);
    // Built there, a runtime that cannot be built, or a thread, leaves nothing to be dropped here, where it may not be.
    ThreadBuilder::new().name(NAME.to_owned()).spawn(move || drive(&built))?;
    let handle = is_built.recv().map_err(|_| io::Error::other(format!("the thread {NAME} has ended")))??;
    Ok(driver.insert(handle).clone())
}

fn drive(built: &SyncSender<io::Result<Handle>>) {
    IS_DRIVER.set(true);
    match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            // Whoever began this thread waits for it.
            drop(built.send(Ok(runtime.handle().clone())));
            runtime.block_on(pending::<()>());
        }
        Err(error) => drop(built.send(Err(error))),
    }
}

/// Linux shows 15 bytes of it.
const NAME: &str = "tidelog-objects";
