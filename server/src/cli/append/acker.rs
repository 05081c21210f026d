//! Waits for durability and prints acknowledgements, in order, while the next records are read and appended. Appends nothing.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use serde::Serialize;
use tidelog::PendingAck;

use crate::cli::{report, store};
use crate::exit::{Exit, Failure};
use crate::output::stdout;
use crate::thread::spawn;

/// A line of JSON on the standard output.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event<'a> {
    Open {
        #[serde(skip_serializing_if = "Option::is_none")]
        partition: Option<u32>,
        log_start_offset: u64,
        next_offset: u64,
    },
    Error {
        message: &'a str,
    },
    Closed {
        #[serde(skip_serializing_if = "Option::is_none")]
        partition: Option<u32>,
        next_offset: u64,
    },
}

/// Prints one event. That nobody reads it is a failure: whoever asked for events must not take silence for success.
pub(super) fn print(event: &Event<'_>) -> Result<(), Failure> {
    crate::output::write_json(event).map_err(unheard)
}

/// Without a reader there is nobody to acknowledge to, and nobody who will: what was read so far stays appended.
fn unheard(error: io::Error) -> Failure {
    Failure::because(Exit::Failed, "printing acknowledgements", error)
}

/// Records that were appended together.
pub(super) struct Group {
    /// What must be waited for before any of them is acknowledged.
    pub(super) pending: Vec<Pending>,
    pub(super) acked: Vec<Acked>,
}

/// An append that is not known to be durable yet.
pub(super) struct Pending {
    pub(super) ack: PendingAck,
    pub(super) place: String,
}

/// A record to acknowledge.
pub(super) struct Acked {
    pub(super) partition: Option<u32>,
    pub(super) offset: u64,
    pub(super) crc32: u32,
}

/// The thread that waits and prints.
pub(super) struct Acker(JoinHandle<Result<(), Failure>>);

impl Acker {
    /// Starts it; groups are acknowledged in the order in which they are sent.
    pub(super) fn start(prints: bool) -> Result<(Self, SyncSender<Group>), Failure> {
        let (sender, receiver) = sync_channel(GROUPS_IN_FLIGHT);
        let thread = spawn("wait for acknowledgements", move || acknowledge(&receiver, prints))?;
        Ok((Self(thread), sender))
    }

    /// Waits until everything sent is acknowledged.
    pub(super) fn finish(self) -> Result<(), Failure> {
        self.0.join().unwrap_or_else(|_| Err(Failure::new(Exit::Failed, "the thread that waits for acknowledgements ended")))
    }
}

fn acknowledge(groups: &Receiver<Group>, prints: bool) -> Result<(), Failure> {
    while let Ok(group) = groups.recv() {
        for Pending { ack, place } in group.pending {
            if let Err(error) = ack.wait() {
                fail(store::sync_failure(&place, error), prints);
            }
        }
        if prints && let Err(error) = print_acked(&group.acked) {
            return Err(unheard(error));
        }
    }
    Ok(())
}

/// The other thread may wait for input that never comes: the process ends here, as it would after a kill.
fn fail(failure: Failure, prints: bool) -> ! {
    let mut exit = failure.exit();
    if prints {
        exit = Exit::Refused;
        let _ = print(&Event::Error { message: &failure.to_string() });
    }
    report(&failure);
    std::process::exit(i32::from(exit as u8))
}

fn print_acked(acked: &[Acked]) -> io::Result<()> {
    let mut out = stdout();
    for Acked { partition, offset, crc32 } in acked {
        out.write_all(b"{\"event\":\"acked\",")?;
        if let Some(partition) = partition {
            write!(out, "\"partition\":{partition},")?;
        }
        writeln!(out, "\"offset\":{offset},\"crc32\":\"{crc32:08x}\"}}")?;
    }
    out.flush()
}

const GROUPS_IN_FLIGHT: usize = 64;
