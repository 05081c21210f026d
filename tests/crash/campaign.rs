//! Runs a program, cuts it everywhere, recovers every cut and compares with the model.

use std::collections::HashSet;
use std::sync::Arc;

use tidelog::io::Storage;
use tidelog::io::fault::{EIO, Fault, Faulty};
use tidelog::io::sim::{Cut, Image, NameModel, SimDisk};
use tidelog::{AckLevel, AppendError, Partition, PartitionView, ReadIsolation, RecordBatch, Start, Store, StoreOptions, SyncPolicy, TopicError};

use super::figures::{FOUND, Figures};
use super::model::{Model, Parts};
use super::program::{How, Program, Step, step};
use super::random::Random;

/// Counted once a program.
pub(crate) const PROGRAMS: &str = "programs";
/// A partition's identity is drawn from its seed, so that programs have none in common.
pub(crate) const STATES: &str = "states of the disk recovered and judged, each different from all others";

/// Runs the program of a seed; says where an invariant is broken.
pub(crate) fn run(seed: u64) -> Result<Figures, String> {
    run_program(seed, &Program::of(seed), 1)
}

/// Runs a program, with a seed for what the disk does, and judges one of so many cuts.
pub(crate) fn run_program(seed: u64, program: &Program, cuts: u64) -> Result<Figures, String> {
    let (policy, names) = (program.policy, program.names);
    let mut run = Run { seed, policy, names, cuts, random: Random(seed), figures: Figures::default(), seen: HashSet::new() };
    run.figures.count(PROGRAMS);
    let disk = SimDisk::new(seed, program.names);
    run.program(disk, Model::default(), &program.steps, 0).map_err(|broken| format!("seed {seed}: {broken}\n  {program:?}"))?;
    Ok(run.figures)
}

struct Run {
    seed: u64,
    policy: SyncPolicy,
    names: NameModel,
    /// One of so many is judged.
    cuts: u64,
    random: Random,
    figures: Figures,
    /// Fingerprints of the disks that were judged.
    seen: HashSet<u64>,
}

/// A process that has the partition open.
struct Process {
    disk: SimDisk,
    faulty: Faulty,
    store: Store,
    log: Partition,
}

impl Run {
    fn options(&self, storage: impl Storage) -> StoreOptions {
        StoreOptions::new().storage(Arc::new(storage)).sync_policy(self.policy).segment_bytes(self.segment_bytes()).without_threads()
    }

    /// Small ones end often; a slow partition stores through windows of large ones.
    fn segment_bytes(&self) -> u64 {
        if self.seed % 4 == 3 { 16 << 20 } else { 64 << 10 }
    }

    /// Now and then, as a store does with the partitions that nobody has asked for.
    fn recover_ahead(&mut self, store: &Store) {
        if self.random.below(2) == 0 {
            store.recover_all();
        }
    }

    fn open(&mut self, disk: &SimDisk) -> Result<Process, String> {
        let faulty = Faulty::new(Arc::new(disk.clone()));
        let store = self.options(faulty.clone()).open(STORE).map_err(|error| format!("open: {error}"))?;
        self.recover_ahead(&store);
        let log = store.topic(TOPIC).and_then(|topic| topic.partition(0)).map_err(|error| format!("open the partition: {error}"))?;
        Ok(Process { disk: disk.clone(), faulty, store, log })
    }

    /// Runs steps on a disk, and what follows from cuts of it: at `depth` 0 from all, below from some.
    fn program(&mut self, disk: SimDisk, mut model: Model, steps: &[Step], depth: u32) -> Result<(), String> {
        disk.watch(if depth == 0 { 2 } else { 1 });
        let mut process = self.open(&disk)?;
        self.judge_cuts(&disk, &model, depth, "open")?;
        model.is_made = true;
        for (number, step) in steps.iter().enumerate() {
            let before = model.clone();
            let during = self.step(&mut process, *step, &mut model).map_err(|error| format!("step {number} {step:?}: {error}"))?;
            let place = format!("step {number} {step:?}");
            self.judge_cuts(&process.disk, &during.unwrap_or(before), depth, &place)?;
            process.disk.cut_here();
            self.judge_cuts(&process.disk, &model, depth, &format!("after {place}"))?;
        }
        process.faulty.heal();
        check_log(process.log.view(), &model, "at the end")
    }

    /// Does a step; the model becomes what it is after it. Returns the model of cuts during it, if that is not the one before.
    fn step(&mut self, process: &mut Process, step: Step, model: &mut Model) -> Result<Option<Model>, String> {
        let between = |share: u64, model: &Model| model.log_start + (model.end() - model.log_start) * share / 255;
        let mut during = None;
        match step {
            Step::Append(level) => during = Some(self.append(process, 1, Some(level), model)?),
            Step::Batch { records, level } => during = Some(self.append(process, records, Some(level), model)?),
            Step::Deferred { records } => during = Some(self.append(process, records, None, model)?),
            Step::Flush => {
                if process.log.flush().is_ok() {
                    model.set_durable(model.end());
                }
            }
            Step::DeletePrefix(share) => {
                let offset = between(share, model);
                during = Some(Model { deleting: Some(offset), ..model.clone() });
                match process.log.delete_prefix(offset) {
                    Ok(()) => model.delete_prefix(offset),
                    Err(_) => self.reopen_in_doubt(process, model, during.as_ref())?,
                }
            }
            Step::TruncateSuffix(share) => {
                let offset = between(128 + share / 2, model);
                during = Some(Model { truncating: Some(offset), ..model.clone() });
                match process.log.truncate_suffix(offset) {
                    Ok(()) => {
                        self.figures.count("truncations");
                        model.truncate(offset);
                    }
                    Err(_) => self.reopen_in_doubt(process, model, during.as_ref())?,
                }
            }
            Step::Background => process.store.run_background(),
            Step::Close => {
                if process.store.clone().close().is_ok() {
                    model.set_durable(model.end());
                }
                self.reopen(process, model)?;
            }
            Step::Kill => {
                process.disk = process.disk.kill();
                self.reopen(process, model)?;
            }
            Step::FailSync(nth) => process.disk.fail_sync(nth),
            Step::Fault { nth, how, from_then_on } => {
                let fault = Fault::anywhere().nth(nth);
                let fault = match how {
                    How::Error(errno) => fault.error(errno),
                    How::Short(bytes) => fault.short(bytes),
                    How::Torn(bytes) => fault.torn(bytes, EIO),
                };
                process.faulty.inject(if from_then_on { fault.from_then_on() } else { fault });
            }
            Step::ReadOnly => self.check_reader(&process.disk, &process.log, model)?,
        }
        model.set_durable(process.log.durable_end_offset().get());
        Ok(during)
    }

    fn append(&mut self, process: &Process, records: u64, level: Option<AckLevel>, model: &mut Model) -> Result<Model, String> {
        let numbers: Vec<u64> = (0..records).map(|_| self.random.draw() >> 16).collect();
        let parts: Vec<Parts> = numbers.iter().map(|number| Parts::of(*number)).collect();
        let mut batch = RecordBatch::new();
        parts.iter().try_for_each(|parts| batch.push(&parts.record())).map_err(|error| error.to_string())?;
        let mut during = model.clone();
        during.append(&numbers);
        let log = &process.log;
        let outcome = match level {
            None => log.append_deferred(&batch).map(|pending| pending.base_offset()),
            Some(level) if records == 1 => log.append_with(parts[0].record(), level).map(|ack| ack.base_offset),
            Some(level) => log.append_batch(&batch, level).map(|ack| ack.base_offset),
        };
        let (base, is_durable) = match outcome {
            Ok(base) => (base.get(), level == Some(AckLevel::Durable)),
            Err(AppendError::NotDurable { base_offset, .. }) if log.log_end_offset() > base_offset => (base_offset.get(), false),
            Err(error) => {
                // The write failed and could not be taken back: this process does not have it, and the disk may.
                if matches!(error, AppendError::NotDurable { .. }) {
                    model.doubted = numbers;
                }
                return refused(process, &error, during);
            }
        };
        if base != model.end() {
            return Err(format!("offset {base} was assigned, {} is next", model.end()));
        }
        model.append(&numbers);
        if is_durable {
            model.set_durable(model.end());
        }
        Ok(during)
    }

    /// The next process on the same disk; if a sync fails while it recovers, the one after it.
    fn reopen(&mut self, process: &mut Process, model: &mut Model) -> Result<(), String> {
        let failed = process.disk.failed_syncs();
        *process = match self.open(&process.disk) {
            Err(_) if process.disk.failed_syncs() > failed => {
                self.figures.count("recoveries in which a sync failed");
                process.disk = process.disk.kill();
                self.open(&process.disk)?
            }
            other => other?,
        };
        self.settle(&process.log, model)
    }

    /// A cut of the log failed: the next process finds it done or not.
    fn reopen_in_doubt(&mut self, process: &mut Process, model: &mut Model, during: Option<&Model>) -> Result<(), String> {
        self.figures.count("cuts of the log in which a call failed");
        process.disk = process.disk.kill();
        *model = during.cloned().unwrap_or_default();
        self.reopen(process, model)
    }

    /// Judges what recovery made of a cut, and takes it for the log from then on.
    fn settle(&mut self, log: &Partition, model: &mut Model) -> Result<(), String> {
        let report = log.recovery_report();
        report.findings.iter().for_each(|finding| self.figures.count(&format!("{FOUND}{:?}", finding.found)));
        if !report.damage.is_empty() || report.findings.iter().any(|finding| finding.verdict == tidelog::Verdict::Damage) {
            return Err(format!("a crash was taken for damage: {:?} {:?}", report.damage, report.findings));
        }
        let (log_start, end) = (log.log_start_offset().get(), log.log_end_offset().get());
        model.check_bounds(log_start, end)?;
        let durable = log.durable_end_offset().get();
        if self.policy != SyncPolicy::OsOnly && durable < end {
            return Err(format!("recovery shows {durable} as durable of {end}"));
        }
        model.settle(log_start, end, durable);
        check_log(log.view(), model, "after recovery")
    }

    /// A reader in another process sees the same log.
    fn check_reader(&mut self, disk: &SimDisk, log: &Partition, model: &Model) -> Result<(), String> {
        let view = self.reader(disk)?;
        if (view.log_start_offset(), view.log_end_offset()) != (log.log_start_offset(), log.log_end_offset()) {
            return Err(format!("a reader beside sees {}..{}, written is {}", view.log_start_offset(), view.log_end_offset(), log.log_end_offset()));
        }
        check_log(&view, model, "beside the writer")
    }

    fn reader(&self, disk: &SimDisk) -> Result<PartitionView, String> {
        let store = self.options(disk.clone()).open_read_only(STORE).map_err(|error| format!("read-only: {error}"))?;
        let view = store.topic(TOPIC).and_then(|topic| topic.partition(0)).map_err(|error| format!("read-only: {error}"))?;
        Ok(view.with_isolation(ReadIsolation::Written))
    }

    fn judge_cuts(&mut self, disk: &SimDisk, model: &Model, depth: u32, place: &str) -> Result<(), String> {
        let odds = self.cuts * if depth > 0 { 4 } else { 1 };
        for cut in disk.take_cuts() {
            if odds > 1 && self.random.below(odds) > 0 {
                continue;
            }
            self.judge(&cut, model, depth).map_err(|error| {
                let kind = if cut.is_power { "power cut" } else { "kill" };
                keep(&cut.image, self.seed);
                format!("{kind} after call {} in {place}: {error}", cut.call)
            })?;
        }
        Ok(())
    }

    /// Recovers a cut and judges it; now and then, cuts the recovery too, or lets the log live on and cuts that.
    fn judge(&mut self, cut: &Cut, model: &Model, depth: u32) -> Result<(), String> {
        if !self.seen.insert(cut.image.fingerprint()) {
            return Ok(());
        }
        let disk = cut.image.disk(self.random.draw(), self.names);
        let seen =
            if self.random.below(4) == 0 { self.reader(&disk).ok().map(|view| (view.log_start_offset(), view.log_end_offset())) } else { None };
        if depth < DEPTH_MAX && self.random.below(12) == 0 {
            self.figures.count("recoveries cut at every call");
            self.figures.count(STATES);
            let recovered = self.recover_with_cuts(&disk, model, depth)?;
            let mut steps: Vec<Step> = (0..3).map(|_| step(&mut self.random)).collect();
            steps.insert(0, Step::Append(AckLevel::Written));
            return self.program(disk.kill(), recovered, &steps, depth + 1).map_err(|error| format!("then {steps:?}, {error}"));
        }
        let Some(process) = self.recover(&disk, model)? else { return Ok(()) };
        self.figures.count(STATES);
        let mut model = model.clone();
        self.settle(&process.log, &mut model)?;
        let is = (process.log.log_start_offset(), process.log.log_end_offset());
        if seen.is_some_and(|seen| seen != is) {
            return Err(format!("a reader saw {seen:?}, recovery made {is:?}"));
        }
        self.append(&process, 1, Some(AckLevel::Durable), &mut model)?;
        check_log(process.log.view(), &model, "after an append")
    }

    /// Opens what a cut left; `None` if the cut came before there was a topic.
    fn recover(&mut self, disk: &SimDisk, model: &Model) -> Result<Option<Process>, String> {
        let store = self.options(disk.clone()).open(STORE).map_err(|error| format!("open: {error}"))?;
        self.recover_ahead(&store);
        match store.existing_topic(TOPIC) {
            Err(TopicError::Unknown { .. }) if !model.is_made => Ok(None),
            Err(error) => Err(format!("the topic: {error}")),
            Ok(topic) => {
                let log = topic.partition(0).map_err(|error| format!("recover: {error}"))?;
                Ok(Some(Process { disk: disk.clone(), faulty: Faulty::new(Arc::new(disk.clone())), store, log }))
            }
        }
    }

    /// Recovers while every call is cut; each cut must leave what the first crash could have left. Returns what was made of it.
    fn recover_with_cuts(&mut self, disk: &SimDisk, model: &Model, depth: u32) -> Result<Model, String> {
        disk.watch(1);
        let process = self.open(disk)?;
        disk.watch(0);
        let mut recovered = model.clone();
        self.settle(&process.log, &mut recovered)?;
        self.judge_cuts(disk, model, depth + 1, "recovery")?;
        // Whatever process died next: what this one showed as durable stays.
        disk.cut_here();
        self.judge_cuts(disk, &recovered, depth + 1, "after recovery")?;
        Ok(recovered)
    }
}

/// A poisoned partition takes nothing, and says so; nor is anything appended when a call failed.
fn refused(process: &Process, error: &AppendError, during: Model) -> Result<Model, String> {
    let is_expected = match error {
        AppendError::Poisoned { .. } => process.disk.failed_syncs() + process.faulty.fired() > 0,
        AppendError::Io(_) | AppendError::NotDurable { .. } => process.faulty.fired() > 0,
        _ => false,
    };
    if is_expected { Ok(during) } else { Err(error.to_string()) }
}

/// Every record from the log start to the end, and no other.
fn check_log(view: &PartitionView, model: &Model, when: &str) -> Result<(), String> {
    let view = view.with_isolation(ReadIsolation::Written);
    let mut next = model.log_start;
    for record in view.read(Start::Earliest).map_err(|error| format!("{when}: {error}"))? {
        let record = record.map_err(|error| format!("{when}: {error}"))?;
        if record.offset() != next {
            return Err(format!("{when}: offset {} after {next}", record.offset()));
        }
        model.check_record(&record).map_err(|error| format!("{when}: {error}"))?;
        next += 1;
    }
    if next == model.end() { Ok(()) } else { Err(format!("{when}: the log was read up to {next} of {}", model.end())) }
}

/// Writes a disk that broke something where `TIDELOG_CRASH_KEEP` says.
fn keep(image: &Image, seed: u64) {
    let Ok(dir) = std::env::var("TIDELOG_CRASH_KEEP") else { return };
    let dir = std::path::Path::new(&dir).join(seed.to_string());
    let real = |path: &std::path::Path| dir.join(path.strip_prefix("/").unwrap());
    image.directories().for_each(|path| std::fs::create_dir_all(real(path)).unwrap());
    image.files().for_each(|(path, bytes)| std::fs::write(real(path), bytes).unwrap());
}

const STORE: &str = "/store";
const TOPIC: &str = "t";
const DEPTH_MAX: u32 = 2;
