//! Random programs: what an embedding process may do with a partition. Runs nothing.

use std::time::Duration;

use tidelog::io::sim::NameModel;
use tidelog::{AckLevel, SyncPolicy};

use super::random::Random;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Step {
    Append(AckLevel),
    Batch {
        records: u64,
        level: AckLevel,
    },
    Deferred {
        records: u64,
    },
    Flush,
    /// At this share (of 256) of what is there.
    DeletePrefix(u64),
    TruncateSuffix(u64),
    /// What the store's threads do: spares, syncs, indexes, checkpoints.
    Background,
    Close,
    /// The process is killed, the disk goes on.
    Kill,
    /// One of the next syncs fails, and leaves its pages clean.
    FailSync(u64),
    /// One of the next calls fails or is done in part, or all from there on.
    Fault {
        nth: u64,
        how: How,
        from_then_on: bool,
    },
    /// Reads everything, beside the writer.
    ReadOnly,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum How {
    Error(i32),
    Short(usize),
    Torn(usize),
}

#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) policy: SyncPolicy,
    pub(crate) names: NameModel,
    pub(crate) steps: Vec<Step>,
}

/// Where the numbers come from that make a program.
pub(crate) trait Draws {
    fn below(&mut self, bound: u64) -> u64;
}

impl Draws for Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }
}

/// A byte or two a number; nothing but zeros once they have ended.
#[derive(Debug, Clone)]
struct Bytes<'a>(&'a [u8]);

impl Draws for Bytes<'_> {
    fn below(&mut self, bound: u64) -> u64 {
        let (number, rest) = self.0.split_at(self.0.len().min(if bound > 256 { 2 } else { 1 }));
        self.0 = rest;
        number.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)) % bound
    }
}

impl Program {
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = Random(seed ^ 0x7469_6465_6c6f_6700);
        let (policy, names) = surroundings(&mut random);
        let steps = (0..10 + random.below(40)).map(|_| step(&mut random)).collect();
        Self { policy, names, steps }
    }

    /// What bytes say, until they end.
    #[allow(dead_code, reason = "for fuzz/targets/crash.rs alone")]
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        let mut bytes = Bytes(bytes);
        let (policy, names) = surroundings(&mut bytes);
        let steps = std::iter::from_fn(|| (!bytes.0.is_empty()).then(|| step(&mut bytes))).take(STEPS_MAX).collect();
        Self { policy, names, steps }
    }
}

fn surroundings(draws: &mut impl Draws) -> (SyncPolicy, NameModel) {
    let policy = match draws.below(3) {
        0 => SyncPolicy::OsOnly,
        1 => SyncPolicy::Interval(Duration::from_secs(1)),
        _ => SyncPolicy::Group { max_wait: Duration::ZERO, max_bytes: 4 << 20 },
    };
    (policy, if draws.below(2) == 0 { NameModel::Strict } else { NameModel::Journal })
}

pub(crate) fn step(random: &mut impl Draws) -> Step {
    let level = if random.below(4) == 0 { AckLevel::Durable } else { AckLevel::Written };
    match random.below(64) {
        0..24 => Step::Append(level),
        24..36 => Step::Batch { records: 2 + random.below(40), level },
        36..40 => Step::Deferred { records: 1 + random.below(8) },
        40..43 => Step::Flush,
        43..46 => Step::DeletePrefix(random.below(256)),
        46..50 => Step::TruncateSuffix(random.below(256)),
        50..56 => Step::Background,
        56..58 => Step::Close,
        58..60 => Step::Kill,
        60 => Step::FailSync(1 + random.below(4)),
        61 => {
            let how = match random.below(8) {
                0..5 => How::Error([EIO, ENOSPC, EMFILE, EINTR][random.below(4) as usize]),
                5 | 6 => How::Short(1 + random.below(600) as usize),
                _ => How::Torn(random.below(600) as usize),
            };
            // A call that is interrupted for ever is tried again for ever.
            let (nth, from_then_on) = (1 + random.below(12), random.below(3) == 0 && how != How::Error(EINTR));
            // A file written byte by byte takes as many calls, and each of them is cut.
            let how = if let How::Short(bytes) = how
                && from_then_on
            {
                How::Short(bytes.max(256))
            } else {
                how
            };
            Step::Fault { nth, how, from_then_on }
        }
        _ => Step::ReadOnly,
    }
}

/// Of a program that bytes tell.
const STEPS_MAX: usize = 16;
const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EMFILE: i32 = 24;
const EINTR: i32 = 4;
