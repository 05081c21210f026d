//! Answers that come later: waited for by a thread, awaited by a task, or asked for. Decides no answer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::group::coordinator::GroupCoordinator;
use crate::group::error::GroupError;
use crate::group::request::{JoinedGroup, SyncedGroup};
use crate::offset::GroupId;

/// The answer to a join or a sync, which may have to wait for other members. A thread [waits](Self::wait) for it, a task awaits it, and anybody may
/// [look](Self::take) whether it is there. Whoever awaits or looks has to see to it that timeouts are met: [`GroupCoordinator::run_timers`].
///
/// To drop it takes nothing back: a member that does not go on is removed when its session times out.
#[must_use = "the member waits for it"]
pub struct PendingAnswer<T> {
    coordinator: GroupCoordinator,
    group: GroupId,
    slot: Arc<Slot<T>>,
}

pub(super) type JoinSlot = Arc<Slot<JoinedGroup>>;
pub(super) type SyncSlot = Arc<Slot<SyncedGroup>>;

/// Where an answer is put.
pub(super) struct Slot<T> {
    state: Mutex<State<T>>,
    is_filled: Condvar,
}

struct State<T> {
    answer: Option<Result<T, GroupError>>,
    waker: Option<Waker>,
}

impl<T> PendingAnswer<T> {
    pub(super) fn new(coordinator: GroupCoordinator, group: GroupId, slot: Arc<Slot<T>>) -> Self {
        Self { coordinator, group, slot }
    }

    /// Waits until the answer is there: for ever, if it was [taken](Self::take). Sees to timeouts of its group by itself.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub fn wait(self) -> Result<T, GroupError> {
        loop {
            if let Some(answer) = self.slot.take() {
                return answer;
            }
            // What is due is done first: it may be the answer.
            let limit = self.coordinator.tick_group(&self.group)?;
            self.slot.wait(limit);
        }
    }

    /// The answer, if it is there. It is there once: who has taken it waits for it no more.
    pub fn take(&mut self) -> Option<Result<T, GroupError>> {
        self.slot.take()
    }
}

/// Once it was ready, or taken, it stays pending.
impl<T> Future for PendingAnswer<T> {
    type Output = Result<T, GroupError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.slot.state.lock();
        match state.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> fmt::Debug for PendingAnswer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingAnswer").field("group", &self.group).field("is_there", &self.slot.state.lock().answer.is_some()).finish()
    }
}

impl<T> Slot<T> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { answer: None, waker: None }), is_filled: Condvar::new() })
    }

    /// Puts the answer there, and wakes whoever waits for it.
    pub(super) fn fill(&self, answer: Result<T, GroupError>) {
        let mut state = self.state.lock();
        state.answer = Some(answer);
        let waker = state.waker.take();
        drop(state);
        self.is_filled.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits for the answer, for ever without a limit.
    fn wait(&self, limit: Option<Duration>) {
        let mut state = self.state.lock();
        if state.answer.is_none() {
            match limit {
                Some(limit) => drop(self.is_filled.wait_for(&mut state, limit)),
                None => self.is_filled.wait(&mut state),
            }
        }
    }

    fn take(&self) -> Option<Result<T, GroupError>> {
        self.state.lock().answer.take()
    }
}

impl<T> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}
