//! The process that is killed: this program, appending what it is fed and printing what is acknowledged. Checks nothing about the store.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::events::NDJSON;
use super::{TOPIC, mismatch};
use crate::cli::temporary::{Temporary, locked};
use crate::exit::{Exit, Failure};
use crate::thread::spawn;

/// What the writer promised before it was killed.
pub(super) struct Killed {
    pub(super) pid: u32,
    /// In offset order.
    pub(super) acked: Vec<Acked>,
    pub(super) wrote_for: Duration,
}

/// A record that was acknowledged as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Acked {
    pub(super) offset: u64,
    pub(super) crc32: u32,
}

/// Starts the writer, lets it work for a while and kills it; returns everything that it acknowledged until then.
pub(super) fn append_and_kill(dir: &Path, temporary: &Temporary) -> Result<Killed, Failure> {
    let (writer, pipes) = Writer::start(dir, temporary)?;
    let pid = locked(&writer.0).id();
    let (Some(mut stdin), Some(stdout)) = pipes else { return Err(Failure::new(Exit::Failed, "the writer has no pipes")) };
    // Fed without end: it cannot have finished before it is killed. The pipe breaks when it is.
    let feeder = spawn("feed the writer", move || while stdin.write_all(NDJSON).is_ok() {})?;
    let count = Arc::new(AtomicUsize::new(0));
    let listener = {
        let count = count.clone();
        spawn("hear the acknowledgements", move || listen(BufReader::new(stdout), &count))?
    };
    let began = Instant::now();
    while !listener.is_finished() {
        let acked = count.load(Ordering::Relaxed);
        if acked >= ACKS_BEFORE_KILL || (acked > 0 && began.elapsed() >= TIME_BEFORE_KILL) {
            break;
        }
        std::thread::sleep(Duration::from_millis(1)); // so that the kill falls wherever the writer happens to be
    }
    temporary.pass();
    locked(&writer.0).kill().map_err(|error| Failure::because(Exit::Failed, "killing the writer", error))?;
    let wrote_for = began.elapsed();
    writer.expect_killed()?;
    let _ = feeder.join(); // it has nothing to say
    let acked = listener.join().map_err(|_| mismatch("the thread that hears the acknowledgements ended"))??;
    Ok(Killed { pid, acked, wrote_for })
}

/// Everything that the writer says, to the end: also what was in the pipe when it was killed was acknowledged.
fn listen(mut lines: impl BufRead, count: &AtomicUsize) -> Result<Vec<Acked>, Failure> {
    let mut acked = Vec::new();
    let mut line = String::new();
    while read_line(&mut lines, &mut line)? {
        match parse(&line)? {
            Event::Open { next_offset: 0 } => {}
            Event::Acked { offset, crc32 } => {
                let crc32 = u32::from_str_radix(&crc32, 16).map_err(|error| Failure::because(Exit::Failed, "an acknowledgement", error))?;
                acked.push(Acked { offset, crc32 });
                count.store(acked.len(), Ordering::Relaxed);
            }
            Event::Open { .. } | Event::Other => return Err(mismatch(format!("the writer says {line:?}"))),
        }
    }
    Ok(acked)
}

/// The next whole line. A line that the kill cut short acknowledges nothing.
fn read_line(lines: &mut impl BufRead, line: &mut String) -> Result<bool, Failure> {
    line.clear();
    let read = lines.read_line(line).map_err(|error| Failure::because(Exit::Failed, "reading the acknowledgements", error))?;
    Ok(read > 0 && line.ends_with('\n'))
}

fn parse(line: &str) -> Result<Event, Failure> {
    serde_json::from_str(line).map_err(|error| Failure::because(Exit::Failed, format!("the writer says {line:?}"), error))
}

/// What the writer prints.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    Open {
        next_offset: u64,
    },
    Acked {
        offset: u64,
        crc32: String,
    },
    #[serde(other)]
    Other,
}

/// The child; killed and waited for when it is dropped, whatever happened.
struct Writer(Arc<Mutex<Child>>);

type Pipes = (Option<ChildStdin>, Option<ChildStdout>);

impl Writer {
    fn start(dir: &Path, temporary: &Temporary) -> Result<(Self, Pipes), Failure> {
        let program = std::env::current_exe().map_err(|error| Failure::because(Exit::Failed, "finding this program", error))?;
        let mut command = Command::new(program);
        command.arg("append").arg(dir);
        command.args([TOPIC, "--format", "ndjson", "--key", ".net", "--timestamp", ".time", "--ack", "durable", "--print-acks"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let started = temporary.change(|made| {
            let mut child = command.spawn()?;
            let pipes = (child.stdin.take(), child.stdout.take());
            let child = Arc::new(Mutex::new(child));
            made.child = Some(child.clone());
            Ok((Self(child), pipes))
        });
        started.map_err(|error: std::io::Error| Failure::because(Exit::Failed, "starting the writer", error))
    }

    /// It must have died of the kill, not of an error or at its end.
    fn expect_killed(&self) -> Result<(), Failure> {
        use std::os::unix::process::ExitStatusExt;

        let status = locked(&self.0).wait().map_err(|error| Failure::because(Exit::Failed, "waiting for the writer", error))?;
        if status.signal() == Some(SIGKILL) { Ok(()) } else { Err(mismatch(format!("the writer ended by itself: {status}"))) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Both fail only if it is gone already.
        let mut child = locked(&self.0);
        let _ = child.kill();
        let _ = child.wait();
    }
}

const SIGKILL: i32 = 9;
const ACKS_BEFORE_KILL: usize = 200_000;
/// On a slow disk fewer acknowledgements must do.
const TIME_BEFORE_KILL: Duration = Duration::from_secs(2);
