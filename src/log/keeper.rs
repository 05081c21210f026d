//! The two threads of a store: one makes pages and segments ahead of the appenders, one syncs, checkpoints and tidies up behind them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::config::SyncPolicy;
use crate::log::ahead::Ahead;
use crate::log::log::Log;
use crate::log::shared_sync::SharedSync;

/// What the threads share with the partitions.
#[derive(Debug)]
pub(crate) struct Keeper {
    ahead: Queue<Task>,
    behind: Queue<Arc<Log>>,
    checkpoint_budget_bytes: u64,
    shared_sync: Option<Arc<SharedSync>>,
}

#[derive(Debug)]
struct Queue<T> {
    state: Mutex<QueueState<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct QueueState<T> {
    items: VecDeque<T>,
    /// Whether the thread sleeps until there is one.
    is_waiting: bool,
    stopped: bool,
}

#[derive(Debug)]
enum Task {
    Fill(Arc<Ahead>, u64),
    Spare(Arc<Log>),
}

/// The running threads; stopped and joined on drop.
#[derive(Debug)]
pub(crate) struct KeeperThreads {
    keeper: Arc<Keeper>,
    threads: Vec<JoinHandle<()>>,
}

impl KeeperThreads {
    /// Starts both threads.
    ///
    /// # Errors
    /// [`std::io::Error`] if the system has no thread to give.
    pub(crate) fn start(checkpoint_budget_bytes: u64, shared_sync: Option<Arc<SharedSync>>) -> std::io::Result<Self> {
        let mut threads = Self::none(checkpoint_budget_bytes, shared_sync);
        let (ahead, behind) = (threads.keeper.clone(), threads.keeper.clone());
        threads.threads.push(std::thread::Builder::new().name("tidelog-ahead".to_owned()).spawn(move || ahead.run_ahead())?);
        threads.threads.push(std::thread::Builder::new().name("tidelog-behind".to_owned()).spawn(move || behind.run_behind())?);
        Ok(threads)
    }

    /// Starts none: what is asked for waits for [`Keeper::run_waiting`].
    pub(crate) fn none(checkpoint_budget_bytes: u64, shared_sync: Option<Arc<SharedSync>>) -> Self {
        Self { keeper: Arc::new(Keeper { ahead: Queue::new(), behind: Queue::new(), checkpoint_budget_bytes, shared_sync }), threads: Vec::new() }
    }

    pub(crate) fn keeper(&self) -> &Arc<Keeper> {
        &self.keeper
    }

    /// Stops both threads and forgets what they had left to do.
    pub(crate) fn stop(&mut self) {
        self.keeper.ahead.stop();
        self.keeper.behind.stop();
        for thread in self.threads.drain(..) {
            // One of them may drop the last handle of the store: in a task that it wakes. It ends by itself then.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join(); // a panic there was printed there
            }
        }
    }
}

impl Drop for KeeperThreads {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Keeper {
    /// Asks for pages ahead of an appender to be made present.
    pub(crate) fn fill(&self, ahead: Arc<Ahead>, to: u64) {
        self.ahead.push(Task::Fill(ahead, to));
    }

    /// Asks for the next segment of a partition.
    pub(crate) fn make_spare(&self, log: Arc<Log>) {
        self.ahead.push(Task::Spare(log));
    }

    /// Asks for a partition to be looked after until it is clean.
    pub(crate) fn watch(&self, log: Arc<Log>) {
        self.behind.push(log);
    }

    /// What syncs many partitions at once, if that is wanted.
    pub(crate) fn shared_sync(&self) -> Option<&Arc<SharedSync>> {
        self.shared_sync.as_ref()
    }

    fn run_ahead(&self) {
        while let Some(task) = self.ahead.pop() {
            task.run();
        }
    }

    fn run_behind(&self) {
        let (mut watched, mut now): (Vec<Watched>, _) = (Vec::new(), Instant::now());
        let mut budget = Budget { left: 0, since: now, due: now };
        loop {
            let due = watched.iter().map(|watched| watched.due.min(budget.due)).min();
            let Some(new) = self.behind.take(now + SLACK, due) else { return };
            now = Instant::now();
            watched.extend(new.into_iter().map(|log| Watched::new(log, now)));
            tend_due(&mut watched, now);
            if budget.due <= Instant::now() {
                self.keep_budget(&mut budget, &watched);
            }
        }
    }

    /// Beyond the budget of the store, partitions are checkpointed however busy they are, those with the most to scan first. Not all in one go:
    /// others wait to be synced.
    fn keep_budget(&self, budget: &mut Budget, watched: &[Watched]) {
        let began = Instant::now();
        let mut dirty: Vec<_> = watched.iter().map(|watched| (watched.log.uncheckpointed_bytes(), &watched.log)).collect();
        let found: u64 = dirty.iter().map(|(bytes, _)| bytes).sum();
        let mut left = found;
        if found > self.checkpoint_budget_bytes {
            dirty.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
            for (bytes, log) in dirty.into_iter().filter(|(_, log)| !log.is_poisoned()) {
                let _ = log.write_checkpoint(); // a failure poisons the partition, and shows at the next append
                left -= bytes;
                if left <= self.checkpoint_budget_bytes / 2 || began.elapsed() > TICK {
                    break;
                }
            }
        }
        // The next look is when the budget is used up if appends go on as they did, or before.
        let grown = found.saturating_sub(budget.left) as f64 / (began - budget.since).max(SLACK).as_secs_f64();
        let lasts = self.checkpoint_budget_bytes.saturating_sub(left) as f64 / grown.max(1.0);
        let lasts = Duration::from_secs_f64(lasts.min(TICK_IDLE.as_secs_f64()));
        *budget = Budget { left, since: began, due: began + lasts.max(TICK) };
    }
}

#[cfg(feature = "test-util")]
impl Keeper {
    /// Does in this thread, and as if long ago, what the threads would be asked to do by now.
    pub(crate) fn run_waiting(&self) {
        for task in self.ahead.take_waiting() {
            task.run();
        }
        let then = Instant::now();
        let mut watched: Vec<_> = self.behind.take_waiting().into_iter().map(|log| Watched::new(log, then)).collect();
        tend_due(&mut watched, then + Duration::from_hours(1));
        watched.into_iter().for_each(|watched| self.watch(watched.log));
    }
}

impl Task {
    fn run(self) {
        match self {
            Self::Spare(log) => log.make_spare(),
            Self::Fill(ahead, to) => ahead.fill_to(to),
        }
    }
}

/// What was left of the bytes that no checkpoint covers when they were looked at, and when they are looked at next.
struct Budget {
    left: u64,
    since: Instant,
    due: Instant,
}

/// A partition with something unsynced or not checkpointed.
struct Watched {
    log: Arc<Log>,
    due: Instant,
    /// How much earlier it may be looked at, along with others that are due.
    slack: Duration,
    dirty_since: Instant,
    appended: u64,
    idle_since: Instant,
}

/// Does what is due, and keeps those that will have more to do.
fn tend_due(watched: &mut Vec<Watched>, now: Instant) {
    // So that the first that is synced may take the others along.
    watched.iter().filter(|watched| watched.is_due(now) && watched.is_sync_due(now)).for_each(|watched| watched.log.want_sync());
    watched.retain_mut(|watched| !watched.is_due(now) || watched.tend(now));
}

impl Watched {
    fn new(log: Arc<Log>, now: Instant) -> Self {
        let appended = log.appended_bytes.load(Ordering::Relaxed);
        let (due, slack) = match log.policy {
            SyncPolicy::Interval(interval) => (now + interval.min(TICK), SLACK.min(interval / 4)),
            SyncPolicy::Group { .. } | SyncPolicy::OsOnly => (now + TICK, SLACK),
        };
        Self { log, due, slack, dirty_since: now, appended, idle_since: now }
    }

    /// Whether it is time to look at it, or nearly.
    fn is_due(&self, now: Instant) -> bool {
        self.due <= now + self.slack
    }

    /// Does what is due; whether there is more to do later.
    fn tend(&mut self, now: Instant) -> bool {
        let log = &self.log;
        if log.is_poisoned() {
            log.give_blocks_back();
            return false;
        }
        let appended = log.appended_bytes.load(Ordering::Relaxed);
        let grown = appended - self.appended;
        if grown > 0 {
            (self.appended, self.idle_since) = (appended, now);
        }
        let unsynced = self.unsynced_bytes();
        if unsynced == 0 {
            self.dirty_since = now;
        } else if self.is_sync_due(now) {
            // Behind as much a checkpoint costs little: it begins with the same sync.
            let is_long = log.uncheckpointed_bytes() >= OS_ONLY_BYTES;
            // A failure poisons the partition, and shows at the next append.
            let _ = if is_long { log.write_checkpoint() } else { log.flush().map(drop) };
            self.dirty_since = now;
        }
        log.finish_sealed();
        let idle = now - self.idle_since >= IDLE;
        if log.owes_checkpoint() || idle && log.uncheckpointed_bytes() > 0 {
            let _ = log.write_checkpoint(); // likewise
        }
        self.due = now + self.next_tick(unsynced, grown);
        if idle && log.checkpointed_bytes.load(Ordering::Relaxed) == appended {
            return !log.leave_unwatched(appended);
        }
        true
    }

    fn unsynced_bytes(&self) -> u64 {
        self.log.appended_bytes.load(Ordering::Relaxed).saturating_sub(self.log.synced_bytes.load(Ordering::Relaxed))
    }

    /// Whether something is not synced, and has waited long enough.
    fn is_sync_due(&self, now: Instant) -> bool {
        let unsynced = self.unsynced_bytes();
        unsynced > 0
            && match self.log.policy {
                SyncPolicy::Group { max_bytes, .. } => unsynced >= max_bytes || now - self.dirty_since >= GROUP_DELAY,
                SyncPolicy::Interval(interval) => now - self.dirty_since >= interval,
                SyncPolicy::OsOnly => unsynced >= OS_ONLY_BYTES || self.log.has_sealed_unsynced() || self.log.owes_checkpoint(),
            }
    }

    fn next_tick(&self, unsynced: u64, grown: u64) -> Duration {
        match self.log.policy {
            SyncPolicy::Interval(interval) => interval.min(TICK_IDLE),
            SyncPolicy::Group { .. } if unsynced > 0 => TICK,
            // Each look takes cache lines away from whoever appends.
            SyncPolicy::OsOnly if unsynced + grown * u64::from(TICKS_IDLE) >= OS_ONLY_BYTES.min(4 * self.log.segment_bytes) => TICK,
            _ => TICK_IDLE,
        }
    }
}

impl<T> Queue<T> {
    fn new() -> Self {
        Self { state: Mutex::new(QueueState { items: VecDeque::new(), is_waiting: false, stopped: false }), changed: Condvar::new() }
    }

    fn push(&self, item: T) {
        let mut state = self.state.lock();
        if !state.stopped {
            state.items.push_back(item);
            if std::mem::take(&mut state.is_waiting) {
                self.changed.notify_one();
            }
        }
    }

    /// The next item; `None` when stopped.
    fn pop(&self) -> Option<T> {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return None;
            }
            if let Some(item) = state.items.pop_front() {
                return Some(item);
            }
            state.is_waiting = true;
            self.changed.wait(&mut state);
        }
    }

    /// All items: when `due`, or once there are some and it is `earliest`; `None` when stopped.
    fn take(&self, earliest: Instant, due: Option<Instant>) -> Option<VecDeque<T>> {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return None;
            }
            let has_items = !state.items.is_empty();
            let until = if has_items { Some(due.map_or(earliest, |due| due.min(earliest))) } else { due };
            if until.is_some_and(|until| until <= Instant::now()) {
                return Some(std::mem::take(&mut state.items));
            }
            state.is_waiting = !has_items;
            match until {
                None => self.changed.wait(&mut state),
                Some(until) => _ = self.changed.wait_until(&mut state, until),
            }
        }
    }

    #[cfg(feature = "test-util")]
    fn take_waiting(&self) -> VecDeque<T> {
        std::mem::take(&mut self.state.lock().items)
    }

    fn stop(&self) {
        let mut state = self.state.lock();
        state.stopped = true;
        state.items.clear();
        drop(state);
        self.changed.notify_all();
    }
}

/// What nobody waits for is durable this long after it was written, at the latest.
const GROUP_DELAY: Duration = Duration::from_millis(100);
const OS_ONLY_BYTES: u64 = 64 << 20;
/// An idle partition is checkpointed after this.
const IDLE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(20);
const TICK_IDLE: Duration = TICK.saturating_mul(TICKS_IDLE);
const TICKS_IDLE: u32 = 10;
/// How much earlier or later a round may come that looks at more partitions for it.
const SLACK: Duration = Duration::from_millis(5);
