//! How many maps of segments this process has: the kernel gives it some 65,000, and others want some too. Knows logs as what can give maps back.

use std::collections::VecDeque;
use std::sync::Weak;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::io::{maps_of_process_max, segment_maps};

/// Has maps that it can do without.
pub(crate) trait MapHolder: Send + Sync {
    /// Gives back up to `most` maps: the window of an appender, and maps that nobody used since it was asked last. Returns how many.
    fn give_back(&self, most: usize) -> usize;
}

/// Who can be asked, in the order in which they are.
struct Holders {
    known: VecDeque<Weak<dyn MapHolder>>,
    /// Nobody is asked before: the last time there was little to be had.
    not_before: Option<Instant>,
}

static HOLDERS: Mutex<Holders> = Mutex::new(Holders { known: VecDeque::new(), not_before: None });
/// 0 until it is asked for.
static MOST: AtomicUsize = AtomicUsize::new(0);

/// Adds one who can be asked for maps, until it is dropped.
pub(crate) fn register(holder: Weak<dyn MapHolder>) {
    let known = &mut HOLDERS.lock().known;
    if known.len().is_power_of_two() {
        known.retain(|holder| holder.strong_count() > 0);
    }
    known.push_back(holder);
}

/// Whether another segment may be mapped, after asking others to give back maps that they do not use.
pub(crate) fn has_room() -> bool {
    let most = most();
    if segment_maps() < most {
        return true;
    }
    // Whoever has it makes room, and this one can do without.
    if let Some(mut holders) = HOLDERS.try_lock() {
        holders.make_room(most);
    }
    segment_maps() < most
}

/// Whether there is room for a map that can be done without, and for others behind it.
pub(crate) fn has_plenty() -> bool {
    segment_maps() < most() / 4 * 3
}

/// Changes how many segments this process maps at most: half of what the kernel allows, unless said. Records that are held keep theirs mapped.
#[cfg(feature = "test-util")]
pub fn limit_maps(most: usize) {
    MOST.store(most, Ordering::Relaxed);
}

fn most() -> usize {
    match MOST.load(Ordering::Relaxed) {
        0 => {
            let most = (maps_of_process_max() / 2).max(1);
            MOST.store(most, Ordering::Relaxed);
            most
        }
        most => most,
    }
}

impl Holders {
    /// Second chance: who used a map since the last round keeps it in this one, and is asked again if that was not enough.
    fn make_room(&mut self, most: usize) {
        if self.not_before.is_some_and(|time| Instant::now() < time) {
            return;
        }
        let wanted = segment_maps().saturating_sub(most - most.div_ceil(GIVEN_BACK_SHARE));
        let mut left = wanted;
        for _ in 0..2 * self.known.len() {
            if left == 0 {
                break;
            }
            let Some(holder) = self.known.pop_front() else { break };
            if let Some(log) = holder.upgrade() {
                left -= log.give_back(left).min(left);
                self.known.push_back(holder);
            }
        }
        self.not_before = (left > wanted / 2).then(|| Instant::now() + FUTILE_PAUSE);
    }
}

/// So much of all maps is given back at once: looking for them is not for one.
const GIVEN_BACK_SHARE: usize = 8;
/// Long against a look at all segments there are.
const FUTILE_PAUSE: Duration = Duration::from_millis(100);
