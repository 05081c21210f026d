//! Says once when lag crosses a limit, and once when it is back. Gathers no lag itself, and starts no thread.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use tidelog_format::TimestampNs;

use crate::offset::lag_report::{LagSubject, LagSum};

/// What lag may be at most: no limit where none is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LagLimits {
    /// Records.
    pub records: Option<u64>,
    /// Age of the record that is read next. One that cannot be told, because all that is left of a partition is damaged, is over any limit.
    pub age: Option<Duration>,
}

/// Lag went over its limits, or came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LagEvent<'a> {
    /// Whose lag.
    pub subject: &'a LagSubject,
    /// The lag. Zero for whoever is not looked at any more, and so not over its limits either.
    pub lag: LagSum,
    /// Whether it is over its limits now.
    pub is_over: bool,
}

/// Calls back when lag goes over its limits, and again when it comes back: not in between, however often it is asked to look. What it looks at are sums:
/// of groups, their topics or partitions ([`LagReport::sums`](crate::LagReport::sums)), or of their members
/// ([`MemberLagReport::sums`](crate::group::MemberLagReport::sums)), all of them or those that are left in.
///
/// ```
/// # use tidelog::{CommittedOffset, GroupId, MemoryOffsetStore, OffsetStore, PartitionOffsetRegistry, Record, Store};
/// use tidelog::{LagLimits, LagScope, LagWatch, TimestampNs};
///
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # let orders = store.topic("orders")?.partition_key(0)?;
/// # let (registry, positions) = (PartitionOffsetRegistry::new(store), MemoryOffsetStore::new());
/// # let billing: GroupId = "billing".parse()?;
/// # positions.commit(&billing, &[(orders.clone(), CommittedOffset::new(0, TimestampNs::new(0)))])?;
/// # registry.assign(&orders, Record::new("12 apples"))?;
/// # let (report, now) = (registry.lag(&positions, &positions.groups()?)?, TimestampNs::new(0));
/// let mut calls = 0;
/// let mut watch = LagWatch::new(LagLimits { records: Some(0), age: None }, |event| {
///     calls += 1;
///     assert!(event.is_over && event.lag.records == 1);
/// });
/// watch.observe(&report.sums(LagScope::Group), now);
/// watch.observe(&report.sums(LagScope::Group), now);
/// drop(watch);
/// assert_eq!(calls, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LagWatch<F> {
    limits: LagLimits,
    callback: F,
    /// Those that are over their limits. What is not looked at any more is out of here too.
    over: BTreeSet<LagSubject>,
}

impl<F: FnMut(LagEvent<'_>)> LagWatch<F> {
    /// Of nobody yet.
    pub fn new(limits: LagLimits, callback: F) -> Self {
        Self { limits, callback, over: BTreeSet::new() }
    }

    /// Looks at the lag of everybody that is watched, as of `now`. Whoever is in no `sums` any more, and was over its limits, is called back.
    pub fn observe(&mut self, sums: &BTreeMap<LagSubject, LagSum>, now: TimestampNs) {
        for (subject, &lag) in sums {
            let is_over = self.limits.are_exceeded(&lag, now);
            if is_over != self.over.contains(subject) {
                (self.callback)(LagEvent { subject, lag, is_over });
                if is_over {
                    self.over.insert(subject.clone())
                } else {
                    self.over.remove(subject)
                };
            }
        }
        let callback = &mut self.callback;
        self.over.retain(|subject| {
            let is_there = sums.contains_key(subject);
            if !is_there {
                callback(LagEvent { subject, lag: LagSum::default(), is_over: false });
            }
            is_there
        });
    }
}

impl LagLimits {
    /// Whether a lag is above one of them, or of an age that cannot be told while there is a limit of age.
    pub fn are_exceeded(&self, lag: &LagSum, now: TimestampNs) -> bool {
        let by_records = self.records.is_some_and(|limit| lag.records > limit);
        by_records || self.age.is_some_and(|limit| lag.unreadable > 0 || lag.age(now).is_none_or(|age| age > limit))
    }
}

impl<F> fmt::Debug for LagWatch<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LagWatch").field("limits", &self.limits).field("over", &self.over).finish_non_exhaustive()
    }
}
