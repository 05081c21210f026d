//! Sleeps on a word of memory until another thread or process changes it. Knows no queue, no fairness and no meaning of the word.
//!
//! A wake-up may come for nothing: callers look at the word again and decide. `shared` says that the word lies in memory that several
//! processes map; without it the kernel takes the cheaper path of one process.

use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::thread::futex::{self, Flags, Timespec};

/// Why [`wait`] came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Somebody woke the word, or nobody did: look again.
    Woken,
    /// The word was not `expected` to begin with.
    Changed,
    /// The time is out.
    TimedOut,
}

/// Sleeps while `word` holds `expected`, at most for `timeout`; signals do not end it.
pub(crate) fn wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>, shared: bool) -> Wait {
    // A time too far away for the clock is no limit.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let left = match deadline.map(|deadline| deadline.checked_duration_since(Instant::now())) {
            None => None,
            Some(Some(left)) => Timespec::try_from(left).ok(),
            // Asked once even with no time left, so that a changed word is told apart from one that is late.
            Some(None) => Some(Timespec { tv_sec: 0, tv_nsec: 0 }),
        };
        match futex::wait(word, flags(shared), expected, left.as_ref()) {
            Ok(()) => return Wait::Woken,
            Err(Errno::AGAIN) => return Wait::Changed,
            Err(Errno::TIMEDOUT) => return Wait::TimedOut,
            Err(Errno::INTR) => {}
            Err(_) => {
                // No futex on this kernel or in this sandbox: the caller polls, and must not burn a core doing so.
                std::thread::sleep(Duration::from_millis(1));
                return Wait::Woken;
            }
        }
    }
}

/// Wakes every sleeper of `word`.
pub(crate) fn wake_all(word: &AtomicU32, shared: bool) {
    wake(word, i32::MAX as u32, shared);
}

/// Wakes one sleeper of `word`.
pub(crate) fn wake_one(word: &AtomicU32, shared: bool) {
    wake(word, 1, shared);
}

fn wake(word: &AtomicU32, count: u32, shared: bool) {
    // Fails only where no futex exists, and there `wait` polls.
    let _ = futex::wake(word, flags(shared), count);
}

fn flags(shared: bool) -> Flags {
    if shared { Flags::empty() } else { Flags::PRIVATE }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::thread;

    use super::*;

    #[test]
    fn says_why_it_came_back() {
        let word = AtomicU32::new(7);
        for shared in [false, true] {
            assert_eq!(wait(&word, 8, None, shared), Wait::Changed);
            let before = Instant::now();
            assert_eq!(wait(&word, 7, Some(Duration::from_millis(20)), shared), Wait::TimedOut);
            assert!(before.elapsed() >= Duration::from_millis(20));
            assert_eq!(wait(&word, 7, Some(Duration::ZERO), shared), Wait::TimedOut);
            assert_eq!(wait(&word, 8, Some(Duration::MAX), shared), Wait::Changed);
        }
    }

    #[test]
    fn a_sleeper_is_woken() {
        for (shared, wake) in [(false, wake_one as fn(&AtomicU32, bool)), (true, wake_all)] {
            let word = AtomicU32::new(0);
            thread::scope(|scope| {
                let sleeper = scope.spawn(|| {
                    while word.load(Ordering::Acquire) == 0 {
                        assert_ne!(wait(&word, 0, Some(Duration::from_secs(20)), shared), Wait::TimedOut);
                    }
                });
                thread::sleep(Duration::from_millis(20));
                word.store(1, Ordering::Release);
                wake(&word, shared);
                sleeper.join().unwrap();
            });
        }
    }
}
