//! Opens a damaged store in every way with the shipped code, and holds what it does against what it must do.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tidelog::{
    AckLevel, Found, OnDamage, OpenError, Partition, PartitionView, ReadError, ReadIsolation, RecordBatch, Start, Store, StoreOptions, StoredRecord,
    TopicError, Verdict,
};
use tidelog_format::STORE_NAME;

use crate::anatomy::PARTITION;
use crate::damage::{Case, Damage};
use crate::image::Image;
use crate::model::{Model, Parts, time_of};
use crate::oracle::{Expect, expect, ranges};
use crate::random::Random;
use crate::specimen::{Specimen, options};

/// What came of a case whose whole judgement ran.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) records: u64,
    pub(crate) lost: u64,
    pub(crate) found: Vec<Found>,
    pub(crate) refused: bool,
    pub(crate) for_readers_alone: bool,
    pub(crate) killed: bool,
    /// Uses of the two exemptions, in records.
    pub(crate) unwitnessed: u64,
    pub(crate) came_back: u64,
}

/// Judges one case in a directory that is free for it.
pub(crate) fn judge(specimen: &Specimen, case: &Case, (store, outside): (&Image, &Image), work: &Path) -> Result<Judged, String> {
    let expect = expect(specimen, store);
    check_exemption(specimen, case, &expect)?;
    store.put(&work.join("store"));
    outside.put(&work.join("outside"));
    let random = Random(specimen.seed ^ store.fingerprint());
    let mut trial = Trial { specimen, case, store, outside, work, expect, model: specimen.model.clone(), random, judged: Judged::default() };
    trial.run()?;
    Ok(trial.judged)
}

/// One file of a closed log is damaged: there is always someone left who vouches for what it held.
fn check_exemption(specimen: &Specimen, case: &Case, expect: &Expect) -> Result<(), String> {
    let is_one_file = !matches!(case.damage, Damage::Swap { .. });
    if expect.unwitnessed > 0 && is_one_file && specimen.is_closed {
        return Err(format!("the oracle finds nobody who vouches for {} records: {expect:?}", expect.unwitnessed));
    }
    Ok(())
}

struct Trial<'a> {
    specimen: &'a Specimen,
    case: &'a Case,
    store: &'a Image,
    outside: &'a Image,
    work: &'a Path,
    expect: Expect,
    model: Model,
    random: Random,
    judged: Judged,
}

/// What was seen of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    bounds: (u64, u64),
    served: BTreeSet<u64>,
    lost: BTreeSet<u64>,
}

impl Trial<'_> {
    fn run(&mut self) -> Result<(), String> {
        let (first, is_damaged) = self.read_only().map_err(|error| format!("read-only: {error}"))?;
        if self.is_for_readers_alone() {
            return self.cannot_write();
        }
        if is_damaged {
            self.refuse().map_err(|error| format!("refusing: {error}"))?;
        }
        let (store, log) = self.open(if is_damaged { OnDamage::Isolate } else { OnDamage::Refuse })?;
        self.judge_report(&log, &first)?;
        let seen = self.look(log.view(), "after recovery")?;
        if seen != first {
            return Err(format!("a reader saw {}, recovery made {}", shown(&first), shown(&seen)));
        }
        let mut seen = seen;
        self.append(&log, &mut seen)?;
        self.expect_same(log.view(), &seen, "after appends")?;
        self.end(store, log)?;
        let (store, log) = self.open(OnDamage::Isolate).map_err(|error| format!("again: {error}"))?;
        self.expect_same(log.view(), &seen, "after another open")?;
        self.append(&log, &mut seen)?;
        drop(log);
        store.close().map_err(|error| format!("close: {error}"))?;
        let view = self.view().map_err(|error| format!("read-only, at the end: {error}"))?;
        self.expect_same(&view, &seen, "read-only, at the end")?;
        match self.outside.differences(&self.work.join("outside"), |_| false) {
            changed if changed.is_empty() => Ok(()),
            changed => Err(format!("outside of the store, {changed:?} changed")),
        }
    }

    fn options(&self) -> StoreOptions {
        options(self.specimen.policy, self.specimen.seed ^ 0x0dd)
    }

    fn dir(&self) -> PathBuf {
        self.work.join("store")
    }

    fn view(&self) -> Result<PartitionView, String> {
        let store = self.options().open_read_only(self.dir()).map_err(|error| error.to_string())?;
        let view = store.topic("t").and_then(|topic| topic.partition(0)).map_err(|error| error.to_string())?;
        Ok(view.with_isolation(ReadIsolation::Written))
    }

    /// Changes nothing, and says whether recovery would find damage.
    fn read_only(&mut self) -> Result<(Seen, bool), String> {
        let view = self.view()?;
        let bounds = (view.log_start_offset().get(), view.log_end_offset().get());
        // Before anything else was read: what is known of damage is what opening found.
        let by_offset = self.get_all(&view, bounds)?;
        let seen = self.look(&view, "when read")?;
        if by_offset != seen.served {
            return Err(format!("single reads gave {:?}, reading on gave {}", ranges(by_offset.iter().copied()), shown(&seen)));
        }
        self.look_backwards(&view, &seen)?;
        self.look_for_times(&view, &seen)?;
        let changed = self.store.differences(&self.dir(), |_| false);
        if !changed.is_empty() {
            return Err(format!("{changed:?} changed"));
        }
        Ok((seen, view.findings().iter().any(|finding| finding.verdict == Verdict::Damage)))
    }

    fn refuse(&mut self) -> Result<(), String> {
        self.judged.refused = true;
        let store = self.options().on_damage(OnDamage::Refuse).open(self.dir()).map_err(|error| error.to_string())?;
        match store.topic("t").and_then(|topic| topic.partition(0)) {
            Err(TopicError::Open(OpenError::Damaged { damage, .. })) => {
                let lost = damage.iter().flat_map(|range| range.from..range.to);
                let served: Vec<u64> = lost.filter(|offset| self.expect.served.contains(offset)).collect();
                if !served.is_empty() && !self.is_loose() {
                    return Err(format!("the refusal names {:?}, which are there", ranges(served.into_iter())));
                }
            }
            other => return Err(format!("damage was found, and the open gave {:?}", other.map(drop))),
        }
        drop(store);
        // LOCK, LIVE and STORE are the store's, which was opened.
        let changed = self.store.differences(&self.dir(), |name| !name.starts_with(PARTITION));
        if changed.is_empty() { Ok(()) } else { Err(format!("{changed:?} changed")) }
    }

    /// A store whose STORE is a directory is read, and refused to writers: that name would have to be written.
    fn is_for_readers_alone(&self) -> bool {
        self.case.file == Path::new(STORE_NAME) && matches!(self.case.damage, Damage::Directory { .. })
    }

    fn cannot_write(&mut self) -> Result<(), String> {
        self.judged.for_readers_alone = true;
        let opened = self.options().open(self.dir());
        let changed = self.store.differences(&self.dir(), |name| !name.starts_with(PARTITION));
        match opened {
            Err(OpenError::Io(_)) if changed.is_empty() => Ok(()),
            other => Err(format!("a directory for STORE gave {:?}, {changed:?} changed", other.map(drop))),
        }
    }

    fn open(&self, on_damage: OnDamage) -> Result<(Store, Partition), String> {
        let store = self.options().on_damage(on_damage).open(self.dir()).map_err(|error| format!("open: {error}"))?;
        let log = store.topic("t").and_then(|topic| topic.partition(0)).map_err(|error| format!("open: {error}"))?;
        Ok((store, log))
    }

    /// By a close, or as a kill ends it.
    fn end(&mut self, store: Store, log: Partition) -> Result<(), String> {
        self.judged.killed = self.random.below(4) == 0;
        let killed = self.judged.killed.then(|| Image::take(&self.dir()));
        drop(log);
        store.close().map_err(|error| format!("close: {error}"))?;
        if let Some(killed) = killed {
            killed.put(&self.dir());
        }
        Ok(())
    }

    fn judge_report(&mut self, log: &Partition, seen: &Seen) -> Result<(), String> {
        let report = log.recovery_report();
        self.judged.found.extend(report.findings.iter().map(|finding| finding.found));
        let reported = report.damage.iter().flat_map(|range| range.from..range.to);
        let served: Vec<u64> = reported.filter(|offset| seen.served.contains(offset)).collect();
        let is_right = (report.log_start_offset, report.next_offset) == seen.bounds && served.is_empty();
        if is_right { Ok(()) } else { Err(format!("the report says {report:?}, seen was {}", shown(seen))) }
    }

    /// Whether no more can be said than what must be served at least.
    fn is_loose(&self) -> bool {
        self.case.is_signed_lie() && self.case.file.extension().is_some_and(|extension| extension == "log")
    }

    /// Reads everything, held against the oracle.
    fn look(&mut self, view: &PartitionView, when: &str) -> Result<Seen, String> {
        let bounds = (view.log_start_offset().get(), view.log_end_offset().get());
        let expect = &self.expect;
        if bounds != (expect.log_start, expect.end) && !(self.is_loose() && bounds.0 == expect.log_start && bounds.1 >= expect.end) {
            return Err(format!("{when}: the log is {bounds:?}, expected {:?}", (expect.log_start, expect.end)));
        }
        let seen = self.read_all(view, bounds).map_err(|error| format!("{when}: {error}"))?;
        let expect = &self.expect;
        let missing = expect.served.difference(&seen.served).copied();
        let more = seen.served.difference(&expect.served).filter(|offset| !self.is_loose() && !expect.come_back.contains(offset)).copied();
        let (missing, more) = (ranges(missing), ranges(more));
        if !missing.is_empty() || !more.is_empty() {
            return Err(format!("{when}: {missing:?} must be served and are not, {more:?} are served and must not be"));
        }
        self.judged.lost = seen.lost.len() as u64;
        self.judged.unwitnessed = expect.unwitnessed;
        self.judged.came_back = seen.served.intersection(&expect.come_back).count() as u64;
        Ok(seen)
    }

    fn expect_same(&mut self, view: &PartitionView, seen: &Seen, when: &str) -> Result<(), String> {
        let bounds = (view.log_start_offset().get(), view.log_end_offset().get());
        let now = self.read_all(view, bounds).map_err(|error| format!("{when}: {error}"))?;
        if now == *seen { Ok(()) } else { Err(format!("{when}: {}, before it was {}", shown(&now), shown(seen))) }
    }

    /// Every record is that of its offset, or told to be lost; no offset twice, none passed over; and verify says the same.
    fn read_all(&mut self, view: &PartitionView, bounds: (u64, u64)) -> Result<Seen, String> {
        let view = view.with_isolation(ReadIsolation::Written);
        let mut seen = Seen { bounds, served: BTreeSet::new(), lost: BTreeSet::new() };
        let mut next = bounds.0;
        for record in view.read(Start::Earliest).map_err(|error| error.to_string())? {
            let (from, to) = match record {
                Ok(record) => {
                    self.check_record(&record)?;
                    seen.served.insert(record.offset().get());
                    (record.offset().get(), record.offset().get() + 1)
                }
                Err(ReadError::Corrupt { from, to, .. }) => {
                    seen.lost.extend(from.get()..to.get());
                    (from.get(), to.get())
                }
                Err(error) => return Err(error.to_string()),
            };
            if from != next || to <= from {
                return Err(format!("{from}..{to} was read where {next} follows"));
            }
            next = to;
        }
        if next != bounds.1 {
            return Err(format!("reading ended at {next} of {}", bounds.1));
        }
        let report = view.verify(true, &mut |_| {}).map_err(|error| error.to_string())?;
        let told: BTreeSet<u64> = report.damage.iter().flat_map(|range| range.from..range.to).collect();
        if told != seen.lost || report.records != seen.served.len() as u64 {
            return Err(format!("verify says that {:?} are lost and {} are there, seen was {}", report.damage, report.records, shown(&seen)));
        }
        Ok(seen)
    }

    fn check_record(&mut self, found: &StoredRecord) -> Result<(), String> {
        self.judged.records += 1;
        let offset = found.offset().get();
        let is_it = |number: &u64| Parts::is_same(*number, found);
        let came_back =
            || self.expect.come_back.contains(&offset) && self.model.truncated.get(&offset).is_some_and(|numbers| numbers.iter().any(is_it));
        if self.model.number(offset).as_ref().is_some_and(is_it) || came_back() {
            return Ok(());
        }
        let was_truncated = self.model.truncated.get(&offset).is_some_and(|numbers| numbers.iter().any(is_it));
        Err(format!("offset {offset} holds {}", if was_truncated { "a record that was truncated" } else { "another record" }))
    }

    /// The offsets of which a single read gives a record.
    fn get_all(&mut self, view: &PartitionView, (log_start, end): (u64, u64)) -> Result<BTreeSet<u64>, String> {
        let mut served = BTreeSet::new();
        for offset in (log_start..end).take(OFFSETS_MAX) {
            match view.get(offset) {
                Ok(record) if record.offset() == offset => {
                    self.check_record(&record)?;
                    served.insert(offset);
                }
                Err(ReadError::Corrupt { from, to, .. }) if (from.get()..to.get()).contains(&offset) => {}
                other => return Err(format!("a single read of offset {offset} gave {other:?}")),
            }
        }
        Ok(served)
    }

    fn look_backwards(&mut self, view: &PartitionView, seen: &Seen) -> Result<(), String> {
        let (mut served, mut lost, mut last) = (BTreeSet::new(), BTreeSet::new(), u64::MAX);
        for record in view.read_backwards(view.log_end_offset()).map_err(|error| format!("backwards: {error}"))? {
            match record {
                Ok(record) if record.offset().get() < last => {
                    self.check_record(&record)?;
                    last = record.offset().get();
                    served.insert(last);
                }
                Err(ReadError::Corrupt { from, to, .. }) => lost.extend(from.get()..to.get()),
                other => return Err(format!("backwards from {last}: {other:?}")),
            }
        }
        if (&served, &lost) == (&seen.served, &seen.lost) {
            return Ok(());
        }
        Err(format!("backwards, {:?} were read and {:?} are lost, forward {}", ranges(served.into_iter()), ranges(lost.into_iter()), shown(seen)))
    }

    /// A seek to a time finds the first record with that time or a later one, of those that are there.
    fn look_for_times(&mut self, view: &PartitionView, seen: &Seen) -> Result<(), String> {
        let numbers: Vec<(u64, u64)> = seen.served.iter().filter_map(|offset| Some((*offset, self.model.number(*offset)?))).collect();
        if numbers.len() != seen.served.len() || self.judged.came_back > 0 {
            return Ok(());
        }
        for _ in 0..3.min(numbers.len()) {
            let sought = time_of(numbers[self.random.below(numbers.len() as u64) as usize].1);
            let expected = numbers.iter().find(|(_, number)| time_of(*number) >= sought).map(|(offset, _)| *offset);
            let found = view.offset_for_time(sought).map_err(|error| format!("by time: {error}"))?.map(tidelog::Offset::get);
            if found != expected {
                return Err(format!("the first record at {sought:?} or later is {found:?}, expected {expected:?}"));
            }
        }
        Ok(())
    }

    /// One record and a few in a batch, at offsets that were never given out.
    fn append(&mut self, log: &Partition, seen: &mut Seen) -> Result<(), String> {
        for count in [1, 3] {
            let numbers: Vec<u64> = (0..count).map(|_| self.random.draw() >> 8).collect();
            let mut batch = RecordBatch::new();
            numbers.iter().try_for_each(|number| batch.push(&Parts::of(*number).record())).map_err(|error| error.to_string())?;
            let ack = log.append_batch(&batch, AckLevel::Durable).map_err(|error| format!("append: {error}"))?;
            let (base, end) = (ack.base_offset.get(), seen.bounds.1);
            // What nothing vouches for any more is given out again, and nothing else.
            if base != end || base < self.model.end() && self.expect.unwitnessed == 0 {
                return Err(format!("offset {base} was given out, the log ends at {end}, given out was all below {}", self.model.end()));
            }
            self.model.records.resize(base as usize, None);
            self.model.append(&numbers);
            seen.served.extend(base..base + count);
            seen.bounds.1 += count;
        }
        Ok(())
    }
}

fn shown(seen: &Seen) -> String {
    format!("{:?} with {:?} lost", seen.bounds, ranges(seen.lost.iter().copied()))
}

/// A checkpoint that lies far ahead leaves more offsets than a test can ask for one by one.
const OFFSETS_MAX: usize = 5000;
