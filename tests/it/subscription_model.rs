//! Random programs on a partition and its subscribers, against a model that keeps every record in a map: appends with times out of order, gaps,
//! null keys and headers, cuts at both ends, restarts, seeks, pages and filters. Whatever is handed out is what stands under its number, nothing is
//! left out, and what was lost is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use tidelog::{
    AckLevel, BatchPlace, Filter, LeaderEpoch, MemoryOffsetStore, OffsetSpec, OnOutOfRange, Page, PageLimits, Partition, PartitionView, Record,
    RecordBatch, Reset, ResetCause, SeekOutcome, Store, StoredRecord, Subscription, SubscriptionError, SubscriptionOptions,
};

use crate::reading_support::{Home, size, small, ts};
use crate::subscription::group;

#[derive(Debug, Clone)]
enum Op {
    Append(Vec<(i64, u8)>),
    /// A batch behind a gap of so many offsets.
    Restore(u64, Vec<(i64, u8)>),
    DeletePrefix(u8),
    TruncateSuffix(u8),
    Reopen,
    Seek(u8),
    SeekTime(i64),
    Page(u32, u32),
    Next,
    Range(u64),
    Commit,
    Resume,
}

fn records() -> impl Strategy<Value = Vec<(i64, u8)>> {
    prop::collection::vec((0..1000i64, any::<u8>()), 1..20)
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => records().prop_map(Op::Append),
        2 => (1..50u64, records()).prop_map(|(gap, records)| Op::Restore(gap, records)),
        1 => any::<u8>().prop_map(Op::DeletePrefix),
        1 => any::<u8>().prop_map(Op::TruncateSuffix),
        1 => Just(Op::Reopen),
        2 => any::<u8>().prop_map(Op::Seek),
        2 => (0..1100i64).prop_map(Op::SeekTime),
        6 => (1..30u32, 1..60u32).prop_map(|(records, scanned)| Op::Page(records, scanned)),
        2 => Just(Op::Next),
        1 => (0..40u64).prop_map(Op::Range),
        2 => Just(Op::Commit),
        2 => Just(Op::Resume),
    ]
}

/// A record as the model knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    time: i64,
    key: Option<Vec<u8>>,
    value: Vec<u8>,
    header: bool,
}

impl Known {
    fn new(serial: u64, time: i64, kind: u8) -> Self {
        let key = (!kind.is_multiple_of(5)).then(|| vec![b'k'; usize::from(kind % 4)]);
        let value = format!("{serial}{}", "-".repeat(usize::from(kind))).into_bytes();
        Self { time, key, value, header: kind.is_multiple_of(3) }
    }

    fn push_to(&self, batch: &mut RecordBatch) {
        let record = Record::new(&self.value).timestamp(ts(self.time));
        let record = if let Some(key) = &self.key { record.key(key) } else { record };
        batch.push(&if self.header { record.header("third", Some(b"yes")) } else { record }).unwrap();
    }

    fn is(&self, record: &StoredRecord) -> bool {
        let headers: Vec<_> = record.headers().map(|header| (header.name, header.value)).collect();
        let expected: &[(&str, Option<&[u8]>)] = if self.header { &[("third", Some(b"yes"))] } else { &[] };
        record.timestamp() == ts(self.time) && record.key() == self.key.as_deref() && record.value() == Some(&self.value) && headers == expected
    }
}

type Passes = fn(&Known) -> bool;

/// The filters of the subscribers, and what the model takes them for.
fn filters() -> [(Option<Filter>, Passes); 4] {
    [
        (None, |_| true),
        (Some(Filter::key_prefix("kk")), |known| known.key.as_ref().is_some_and(|key| key.len() >= 2)),
        (Some(Filter::time(ts(200)..ts(700)).and(!Filter::has_header("third"))), |known| (200..700).contains(&known.time) && !known.header),
        (Some(Filter::predicate(|record| record.key().is_none())), |known| known.key.is_none()),
    ]
}

/// One subscriber and where the model has it.
struct Reader {
    subscription: Subscription,
    passes: Passes,
    next: u64,
    waits_for: Option<i64>,
    /// The lowest cut below its position since it read on.
    cut: Option<u64>,
    /// The same, as a view of another process sees it: what is kept of a batch that was cut in two is stored anew, and in a new term.
    seen: Option<u64>,
}

/// What a group committed last, and the lowest cut below that since, as it can be seen.
#[derive(Clone, Copy)]
struct Committed {
    next: u64,
    seen: Option<u64>,
    /// Whether there was a record below it whose term could be noted.
    has_term: bool,
}

struct Model {
    home: Home,
    store: Option<Store>,
    partition: Option<Partition>,
    records: BTreeMap<u64, Known>,
    /// Where batches begin.
    batches: BTreeSet<u64>,
    start: u64,
    end: u64,
    serial: u64,
    term: u32,
    readers: Vec<Reader>,
    positions: Arc<MemoryOffsetStore>,
    committed: Vec<Option<Committed>>,
}

impl Model {
    fn new() -> Self {
        let home = Home::new();
        let (store, partition) = home.partition(small());
        let mut model = Self {
            home,
            store: Some(store),
            partition: Some(partition),
            records: BTreeMap::new(),
            batches: BTreeSet::new(),
            start: 0,
            end: 0,
            serial: 0,
            term: 0,
            readers: Vec::new(),
            positions: Arc::default(),
            committed: vec![None; filters().len()],
        };
        model.subscribe();
        model
    }

    fn partition(&self) -> &Partition {
        self.partition.as_ref().unwrap()
    }

    /// One subscriber a filter, every other one of a read-only view, all of them at the earliest record.
    fn subscribe(&mut self) {
        let views: [PartitionView; 2] = [self.partition().view().clone(), self.home.read_only()];
        self.readers = filters()
            .into_iter()
            .enumerate()
            .map(|(number, (filter, passes))| {
                let options = self.options(number, OffsetSpec::ResetToEarliest, filter);
                let subscription = views[number % 2].subscribe(&format!("s{number}"), options).unwrap();
                assert_eq!(subscription.position(), self.start);
                Reader { subscription, passes, next: self.start, waits_for: None, cut: None, seen: None }
            })
            .collect();
    }

    fn options(&self, number: usize, start: OffsetSpec, filter: Option<Filter>) -> SubscriptionOptions {
        let options = SubscriptionOptions::new().start(start).on_out_of_range(OnOutOfRange::Earliest);
        let options = options.group(group(self.partition(), &format!("g{number}"), &self.positions));
        match filter {
            Some(filter) => options.filter(filter),
            None => options,
        }
    }

    fn grow(&mut self, records: &[(i64, u8)]) -> RecordBatch {
        let mut batch = RecordBatch::new();
        self.batches.insert(self.end);
        for (time, kind) in records {
            let known = Known::new(self.serial, *time, *kind);
            known.push_to(&mut batch);
            self.records.insert(self.end, known);
            (self.serial, self.end) = (self.serial + 1, self.end + 1);
        }
        batch
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Append(records) => {
                let base = self.end;
                let batch = self.grow(records);
                assert_eq!(self.partition().append_batch(&batch, AckLevel::Written).unwrap().base_offset, base);
            }
            Op::Restore(gap, records) => self.restore(*gap, records),
            Op::DeletePrefix(share) => {
                self.start = self.at_share(*share);
                self.records = self.records.split_off(&self.start);
                self.partition().delete_prefix(self.start).unwrap();
            }
            Op::TruncateSuffix(share) => self.truncate(*share),
            Op::Reopen => self.reopen(),
            Op::Seek(share) => self.seek(self.at_share(*share)),
            Op::SeekTime(time) => self.seek_time(*time),
            Op::Page(records, scanned) => (0..self.readers.len()).for_each(|number| self.page(number, *records, *scanned)),
            Op::Next => (0..self.readers.len()).for_each(|number| self.next(number)),
            Op::Range(count) => (0..self.readers.len()).for_each(|number| self.range(number, *count)),
            Op::Commit => (0..self.readers.len()).for_each(|number| self.commit(number)),
            Op::Resume => (0..self.readers.len()).for_each(|number| self.resume(number)),
        }
    }

    fn restore(&mut self, gap: u64, records: &[(i64, u8)]) {
        // An empty partition begins where the first batch does.
        let begins = self.start == self.end;
        self.end += gap;
        self.start = if begins { self.end } else { self.start };
        // Terms only rise, and a cut raises them by one.
        self.term += 1000;
        let place = BatchPlace { base_offset: self.end.into(), leader_epoch: LeaderEpoch::new(self.term), producer_id: None };
        let batch = self.grow(records);
        self.partition().restore(&batch, place).unwrap();
        self.partition().flush().unwrap();
    }

    /// An offset between both ends.
    fn at_share(&self, share: u8) -> u64 {
        self.start + (self.end - self.start) * u64::from(share) / 255
    }

    fn truncate(&mut self, share: u8) {
        // A gap is not cut in two.
        let at = self.at_share(share);
        let at = self.records.range(at..).next().map_or(self.end, |(offset, _)| *offset);
        self.records.split_off(&at);
        self.partition().truncate_suffix(at).unwrap();
        if at < self.end {
            let seen = self.batches.range(..=at).next_back().map_or(at, |base| *base).max(self.start);
            let lower = |cut: &mut Option<u64>, at: u64, next: u64| *cut = (*cut).into_iter().chain((at < next).then_some(at)).min();
            for reader in &mut self.readers {
                lower(&mut reader.cut, at, reader.next);
                lower(&mut reader.seen, seen, reader.next);
            }
            self.committed.iter_mut().flatten().for_each(|committed| lower(&mut committed.seen, seen, committed.next));
            self.batches.split_off(&at);
        }
        self.end = at;
    }

    fn reopen(&mut self) {
        (self.readers, self.partition) = (Vec::new(), None);
        self.store.take().unwrap().close().unwrap();
        let (store, partition) = self.home.partition(small());
        (self.store, self.partition) = (Some(store), Some(partition));
        self.subscribe();
    }

    fn seek(&mut self, offset: u64) {
        for reader in &mut self.readers {
            for wrong in [self.start.checked_sub(1), Some(self.end + 1)].into_iter().flatten() {
                let found = reader.subscription.seek_to_offset(wrong);
                assert!(matches!(found, Err(SubscriptionError::OffsetOutOfRange { .. })), "{found:?}");
            }
            assert_eq!(reader.subscription.seek_to_offset(offset).unwrap().offset, offset);
            (reader.next, reader.waits_for, reader.cut, reader.seen) = (offset, None, None, None);
        }
    }

    fn seek_time(&mut self, time: i64) {
        let found = self.records.iter().find(|(_, known)| known.time >= time).map(|(offset, _)| *offset);
        for reader in &mut self.readers {
            let answer = reader.subscription.seek_to_time(ts(time)).unwrap();
            assert_eq!(answer.offset, found.unwrap_or(self.end));
            assert_eq!(answer.outcome, if found.is_some() { SeekOutcome::Exact } else { SeekOutcome::NotYet });
            (reader.next, reader.waits_for) = (answer.offset.get(), found.is_none().then_some(time));
            (reader.cut, reader.seen) = (None, None);
        }
    }

    /// Where a reader is once it was told what it lost: the position that the policy chooses, and the cause.
    fn settle(&mut self, number: usize) -> Option<(u64, ResetCause)> {
        let (start, next, reader) = (self.start, self.readers[number].next, &mut self.readers[number]);
        let (cut, seen) = (reader.cut.take(), reader.seen.take());
        let lost = match if number.is_multiple_of(2) { cut } else { seen } {
            _ if next < start => Some((start, ResetCause::Deleted)),
            // Nothing is left of what was read: whether such a cut is told depends on when the view was brought up to date.
            Some(_) if number % 2 == 1 && next == start => None,
            Some(cut) => Some((cut.max(start), ResetCause::CutOff)),
            None => None,
        };
        self.readers[number].next = lost.map_or(next, |(next, _)| next);
        lost
    }

    fn check_reset(&mut self, number: usize, found: Option<Reset>, lost: Option<(u64, ResetCause)>) {
        let is_idle = |reset: &Reset| number % 2 == 1 && reset.from == reset.to && reset.to == self.start;
        if lost.is_none() && found.as_ref().is_some_and(is_idle) {
            return;
        }
        assert_eq!(found.map(|reset| reset.cause), lost.map(|(_, cause)| cause));
        let (Some(Reset { to, .. }), Some((next, _))) = (found, lost) else { return };
        self.check_same_place(to.get(), next);
        self.readers[number].next = to.get();
    }

    /// Where a gap lies before a cut, the place is known but for the gap.
    fn check_same_place(&self, found: u64, expected: u64) {
        let (low, high) = (found.min(expected), found.max(expected));
        assert!(
            self.records.range(low..high).next().is_none() && (self.start..=self.end).contains(&found),
            "at {found}, and the model at {expected}"
        );
    }

    /// The records that a reader is to be handed, at most so many of so many that are looked at, and where it is behind them.
    fn expect(&mut self, number: usize, most: u32, scanned: u32) -> (Vec<u64>, bool) {
        let (end, reader) = (self.end, &mut self.readers[number]);
        let (mut found, mut looked) = (Vec::new(), 0);
        for (offset, known) in self.records.range(reader.next..) {
            if found.len() as u32 == most || looked == scanned {
                return (found, false);
            }
            looked += 1;
            reader.next = offset + 1;
            let is_early = reader.waits_for.is_some_and(|time| known.time < time);
            if !is_early {
                reader.waits_for = None;
                if (reader.passes)(known) {
                    found.push(*offset);
                }
            }
        }
        let at_end = (found.len() as u32) < most;
        reader.next = if at_end { end } else { reader.next };
        (found, at_end)
    }

    fn check_records(&self, records: &[StoredRecord], expected: &[u64]) {
        assert_eq!(records.iter().map(|record| record.offset().get()).collect::<Vec<_>>(), expected);
        for record in records {
            assert!(self.records[&record.offset().get()].is(record), "{record:?}");
        }
    }

    fn page(&mut self, number: usize, records: u32, scanned: u32) {
        let lost = self.settle(number);
        let limits = PageLimits { records, scanned_records: scanned, ..PageLimits::default() };
        let page: Page = self.readers[number].subscription.page_within(limits).unwrap();
        self.check_reset(number, page.reset, lost);
        let (expected, at_end) = self.expect(number, records, scanned);
        self.check_records(&page.records, &expected);
        assert_eq!((page.at_end, page.high_water_mark.get(), page.log_start_offset.get()), (at_end, self.end, self.start));
        assert_eq!(page.next_offset, self.readers[number].subscription.position());
        self.check_position(number);
    }

    fn next(&mut self, number: usize) {
        let subscription = self.readers[number].subscription.clone();
        subscription.view().refresh().unwrap();
        let resets = subscription.info().resets;
        let lost = self.settle(number);
        let found = subscription.next_record().unwrap();
        self.check_reset(number, subscription.last_reset().filter(|_| subscription.info().resets > resets), lost);
        let (expected, _) = self.expect(number, 1, u32::MAX);
        self.check_records(&Vec::from_iter(found), &expected);
        self.check_position(number);
    }

    /// A gap before the position may or may not have been read over.
    fn check_position(&mut self, number: usize) {
        let found = self.readers[number].subscription.position().get();
        self.check_same_place(found, self.readers[number].next);
        let reader = &mut self.readers[number];
        reader.next = found;
        assert_eq!(reader.subscription.lag().unwrap(), self.end - found.max(self.start));
    }

    fn range(&mut self, number: usize, count: u64) {
        let reader = &self.readers[number];
        if reader.cut.is_some() || reader.seen.is_some() || reader.next < self.start {
            return; // told by what reads on
        }
        let expected: Vec<u64> = self.records.range(reader.next..).map(|(offset, _)| *offset).take(count as usize).collect();
        let range = reader.subscription.offset_range(count).unwrap();
        assert_eq!(range.count, expected.len() as u64);
        assert_eq!(range.start, expected.first().copied().unwrap_or(reader.next));
        assert_eq!(range.end, expected.last().map_or(reader.next, |last| last + 1));
    }

    fn commit(&mut self, number: usize) {
        let reader = &self.readers[number];
        reader.subscription.view().refresh().unwrap();
        let outcome = match reader.subscription.commit() {
            // Beside the writer's process what is not synced waits for the writer.
            Err(SubscriptionError::NotDurable { requested, durable_end }) => {
                assert!(number % 2 == 1 && requested == reader.next && durable_end == self.partition().durable_end_offset());
                self.partition().flush().unwrap();
                reader.subscription.commit()
            }
            outcome => outcome,
        };
        match outcome {
            Ok(committed) => assert!(committed == reader.next && reader.cut.is_none() && committed >= self.start),
            // A view of another process says so where it cannot tell.
            Err(SubscriptionError::Truncated { .. } | SubscriptionError::OffsetOutOfRange { .. }) => {
                assert!(reader.cut.is_some() || (number % 2 == 1 && reader.seen.is_some()) || reader.next < self.start);
                return;
            }
            Err(error) => panic!("{error}"),
        }
        let has_term = self.records.range(..reader.next).next().is_some();
        self.committed[number] = Some(Committed { next: reader.next, seen: None, has_term });
    }

    fn resume(&mut self, number: usize) {
        let (filter, _) = filters().into_iter().nth(number).unwrap();
        let options = self.options(number, OffsetSpec::ResumeOrEarliest, filter);
        let view = self.readers[number].subscription.view().clone();
        let subscription = view.subscribe("again", options).unwrap();
        let found = subscription.started();
        let expected = match self.committed[number] {
            None => (self.start, None),
            Some(Committed { next, .. }) if next < self.start => (self.start, Some(ResetCause::Deleted)),
            // Without a term a cut is seen by an end that lies before the position, and by nothing else.
            Some(Committed { next, seen: Some(_), has_term: false }) if next <= self.end => (next, None),
            Some(Committed { seen: Some(_), has_term: false, .. }) => (self.start, Some(ResetCause::CutOff)),
            Some(Committed { next, seen: Some(seen), .. }) if self.is_seen(seen, next) => (seen.max(self.start), Some(ResetCause::CutOff)),
            Some(Committed { next, .. }) => (next, None),
        };
        let cause = match found.outcome {
            SeekOutcome::Reset(reset) => Some(reset.cause),
            _ => None,
        };
        assert_eq!(cause, expected.1, "{found:?}, and the model has {expected:?}");
        self.check_same_place(found.offset.get(), expected.0);
        let reader = &mut self.readers[number];
        (reader.subscription, reader.next, reader.waits_for) = (subscription, found.offset.get(), None);
        (reader.cut, reader.seen) = (None, None);
    }

    /// Whether a cut can be seen by whoever comes back to `next`: the log ends before it, or a record of a later term stands below it.
    fn is_seen(&self, cut: u64, next: u64) -> bool {
        next > self.end || self.records.range(cut..next).next().is_some()
    }
}

fn check(ops: &[Op]) {
    let mut model = Model::new();
    for op in ops {
        model.apply(op);
    }
    // Whatever is left is handed out.
    (0..model.readers.len()).for_each(|number| model.page(number, 10_000, 10_000_000));
}

#[test]
fn subscribers_follow_the_model() {
    let (cases, seed) = (size("TIDELOG_SUBSCRIPTION_CASES", 24) as u32, size("TIDELOG_SUBSCRIPTION_SEED", 0x71DE));
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 300, rng_seed: RngSeed::Fixed(seed), ..Config::default() };
    let mut runner = TestRunner::new(config);
    runner
        .run(&prop::collection::vec(op(), 1..80), |ops| {
            check(&ops);
            Ok(())
        })
        .unwrap();
}
