//! Group commit: one caller syncs for all that wait, off the append lock. Decides when to wait, never what to sync.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::io::futex;
use crate::log::record_batch::Encoded;
use crate::log::stage::{Outcome, Stage};

/// Leader and followers. Whoever finds no sync under way leads the next; the others sleep on the word of the sync that will cover them.
///
/// Words are indexed by sync number: when sync n ends, all sleepers of n are woken, and one of n + 1, to lead it. A leader also writes what the
/// others have staged: they wait for the sync anyway, and neither for the append lock nor for a write each.
#[derive(Debug, Default)]
pub(crate) struct GroupCommit {
    state: Mutex<State>,
    words: [AtomicU32; WORDS],
    /// Syncs done.
    pub(crate) rounds: AtomicU64,
}

/// What a leader does for all.
pub(crate) trait Commit {
    /// Appends what is staged, as far as that succeeds.
    fn store(&self, stage: &mut Stage);
    /// The end of the log.
    fn end(&self) -> u64;
    /// Makes everything below the end durable.
    fn sync(&self);
}

/// A staged frame: the sync that takes it, and its number there.
#[derive(Debug)]
#[must_use = "somebody must lead the sync"]
pub(crate) struct Staged {
    sync: u64,
    frame: usize,
}

/// A sync under way; dropped, also by a panic in a waker, it is over.
struct Running<'group> {
    group: &'group GroupCommit,
    number: u64,
    stage: Stage,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.group.finish(self.number, std::mem::take(&mut self.stage));
    }
}

/// An outcome that somebody waits for. Dropped before that was seen, by a panic in a waker, nobody will ask for it any more.
struct Unseen<'group> {
    group: &'group GroupCommit,
    staged: Option<Staged>,
}

impl Drop for Unseen<'_> {
    fn drop(&mut self) {
        if let Some(staged) = &self.staged {
            self.group.state.lock().take_outcome(staged);
        }
    }
}

#[derive(Debug, Default)]
struct State {
    running: bool,
    /// Number of the last sync that began.
    number: u64,
    /// Whether it has taken what was staged.
    has_taken: bool,
    /// First offset that it does not cover; `u64::MAX` until it has looked.
    covers: u64,
    sleepers: u32,
    /// Callers that came since the last sync took what was staged, and before it did.
    arrived: u32,
    covered: u32,
    /// How many wait for the next sync if all of them come back.
    expected: u32,
    /// Syncs to begin without waiting for others, and how often in a row some did not come: callers do not always append again.
    alone: u32,
    given_up: u32,
    /// Frames for the next sync that takes them.
    staged: Stage,
    /// Frames of syncs that are over, until each caller has seen what its frame was given.
    over: Vec<Over>,
    /// Empty, with memory to be used again.
    free: Vec<Stage>,
}

#[derive(Debug)]
struct Over {
    sync: u64,
    stage: Stage,
    unseen: usize,
}

impl State {
    /// What became of a frame, once its sync is over.
    fn take_outcome(&mut self, staged: &Staged) -> Option<Outcome> {
        let at = self.over.iter().position(|over| over.sync == staged.sync)?;
        let over = &mut self.over[at];
        let outcome = over.stage.take_outcome(staged.frame);
        over.unseen -= 1;
        if over.unseen == 0 {
            let mut stage = self.over.swap_remove(at).stage;
            stage.clear();
            self.free.push(stage);
        }
        Some(outcome)
    }
}

impl GroupCommit {
    /// Hands a frame to the next leader. The caller must [`wait_staged`](Self::wait_staged) for it, holding no lock.
    pub(crate) fn stage(&self, frame: &Encoded<'_>) -> Staged {
        let mut state = self.state.lock();
        state.arrived += 1;
        let sync = if state.running && !state.has_taken { state.number } else { state.number + 1 };
        Staged { sync, frame: state.staged.push(frame) }
    }

    /// Returns what became of a staged frame, once its sync is over: what was appended is durable, or the log is poisoned.
    pub(crate) fn wait_staged(&self, staged: Staged, max_wait: Duration, log: &impl Commit) -> Outcome {
        let mut unseen = Unseen { group: self, staged: Some(staged) };
        let mut state = self.state.lock();
        while let Some(staged) = &unseen.staged {
            if let Some(outcome) = state.take_outcome(staged) {
                unseen.staged = None;
                return outcome;
            }
            state = if state.running { self.sleep(state, staged.sync) } else { self.lead(state, max_wait, log) };
        }
        Outcome::Left
    }

    /// Returns once `is_done`, leading a sync or waiting for one as often as that takes. `is_done` must become true once everything below
    /// `target` is durable, or stay false only until it reports an error by itself.
    pub(crate) fn wait(&self, target: u64, max_wait: Duration, is_done: impl Fn() -> bool, log: &impl Commit) {
        if is_done() {
            return;
        }
        let mut slept_for = 0;
        let mut has_arrived = false;
        let mut state = self.state.lock();
        while !is_done() {
            if !std::mem::replace(&mut has_arrived, true) {
                // Who appended before the end was looked at is covered, and may append again.
                let is_covered = state.running && state.has_taken && target <= state.covers;
                let count = if is_covered { &mut state.covered } else { &mut state.arrived };
                *count += 1;
            }
            state = if state.running {
                slept_for = if target <= state.covers { state.number } else { state.number + 1 };
                self.sleep(state, slept_for)
            } else {
                self.lead(state, max_wait, log)
            };
        }
        // Woken to lead the sync of this number, but the one before covered this caller too: another sleeper must lead.
        if slept_for > state.number && !state.running && state.sleepers > 0 {
            drop(state);
            futex::wake_one(self.word(slept_for), false);
        }
    }

    /// Sleeps until sync `number` is over, or this caller is to lead it.
    fn sleep<'group>(&'group self, mut state: MutexGuard<'group, State>, number: u64) -> MutexGuard<'group, State> {
        let word = self.word(number);
        let expected = word.load(Ordering::Relaxed);
        state.sleepers += 1;
        drop(state);
        futex::wait(word, expected, None, false);
        let mut state = self.state.lock();
        state.sleepers -= 1;
        state
    }

    fn lead<'group>(&'group self, mut state: MutexGuard<'group, State>, max_wait: Duration, log: &impl Commit) -> MutexGuard<'group, State> {
        // Whoever appends until the end is looked at is covered too.
        (state.running, state.has_taken, state.covers) = (true, false, u64::MAX);
        state.number += 1;
        let mut running = Running { group: self, number: state.number, stage: Stage::default() };
        if max_wait > Duration::ZERO {
            MutexGuard::unlocked(&mut state, || std::thread::sleep(max_wait));
        } else if state.arrived < state.expected {
            drop(state);
            state = self.gather();
        }
        state.has_taken = true;
        (state.covered, state.arrived) = (state.arrived, 0);
        let free = state.free.pop().unwrap_or_default();
        running.stage = std::mem::replace(&mut state.staged, free);
        drop(state);
        if !running.stage.is_empty() {
            log.store(&mut running.stage);
        }
        let mut state = self.state.lock();
        state.covers = log.end();
        drop(state);
        log.sync();
        drop(running);
        self.state.lock()
    }

    /// Gives the processor to those whom the last sync covered, who may append again, until all are here. Not at all if they did not come lately.
    fn gather(&self) -> MutexGuard<'_, State> {
        let begun = Instant::now();
        let mut state = self.state.lock();
        if state.alone > 0 {
            state.alone -= 1;
            return state;
        }
        loop {
            if state.arrived >= state.expected {
                state.given_up = 0;
                return state;
            }
            if begun.elapsed() > GATHER_MAX {
                state.given_up = (state.given_up + 1).min(ALONE_MAX.ilog2());
                state.alone = 1 << state.given_up;
                return state;
            }
            drop(state);
            std::thread::yield_now();
            state = self.state.lock();
        }
    }

    fn finish(&self, number: u64, mut stage: Stage) {
        self.rounds.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state.lock();
        state.running = false;
        if stage.is_empty() {
            stage.clear();
            state.free.push(stage);
        } else {
            state.over.push(Over { sync: number, unseen: stage.len(), stage });
        }
        state.expected = state.arrived + state.covered;
        let sleepers = state.sleepers;
        let (this, next) = (self.word(number), self.word(number + 1));
        this.fetch_add(1, Ordering::Relaxed);
        next.fetch_add(1, Ordering::Relaxed);
        drop(state);
        if sleepers > 0 {
            futex::wake_all(this, false);
            futex::wake_one(next, false);
        }
    }

    /// Wakes everyone: the log is poisoned or closed.
    pub(crate) fn wake_all(&self) {
        for word in &self.words {
            word.fetch_add(1, Ordering::Relaxed);
            futex::wake_all(word, false);
        }
    }

    fn word(&self, number: u64) -> &AtomicU32 {
        &self.words[number as usize % WORDS]
    }
}

const WORDS: usize = 4;
/// As long as eight threads on two processors take to come back; 25 us are too few, and from 250 us on 64 threads share fewer syncs (measured).
const GATHER_MAX: Duration = Duration::from_micros(75);
/// After so many syncs without it, it is tried again.
const ALONE_MAX: u32 = 64;

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// A log that ends at `end`.
    struct Steps<'test> {
        end: u64,
        sync: &'test dyn Fn(),
    }

    impl Commit for Steps<'_> {
        fn store(&self, _: &mut Stage) {}
        fn end(&self) -> u64 {
            self.end
        }
        fn sync(&self) {
            (self.sync)();
        }
    }

    /// The sync that is under way covers one of two sleepers, as appends go on until it looks at the end. The one that is woken to lead the next
    /// has nothing left to wait for: the other must not be left asleep.
    #[test]
    fn a_covered_sleeper_passes_the_lead_on() {
        let (group, durable) = (&GroupCommit::default(), &AtomicU64::new(0));
        let wait = move |target: u64, sync: &dyn Fn()| {
            group.wait(target, Duration::ZERO, || durable.load(Ordering::SeqCst) >= target, &Steps { end: target, sync });
        };
        let (started, has_started) = mpsc::channel();
        let (go, may_go) = mpsc::channel();
        let (done, is_done) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(move || {
                let sync = || {
                    started.send(()).unwrap();
                    may_go.recv().unwrap();
                    durable.store(2, Ordering::SeqCst);
                };
                wait(1, &sync);
            });
            has_started.recv().unwrap();
            for target in [2, 3] {
                let done = done.clone();
                scope.spawn(move || {
                    wait(target, &|| durable.store(3, Ordering::SeqCst));
                    done.send(target).unwrap();
                });
                thread::sleep(Duration::from_millis(50)); // asleep, and in this order
            }
            go.send(()).unwrap();
            let first = is_done.recv_timeout(Duration::from_secs(10)).unwrap();
            let second = is_done.recv_timeout(Duration::from_secs(10));
            if second.is_err() {
                durable.store(3, Ordering::SeqCst);
                group.wake_all(); // so that the test ends
            }
            assert!(matches!((first, second), (2, Ok(3)) | (3, Ok(2))), "{first} alone");
        });
    }
}
