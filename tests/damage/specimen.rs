//! Logs made by random programs, to be damaged: with cuts, terms, declared gaps, and files as they were at other times. Damages nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tidelog::{AckLevel, Codec, Partition, RecordBatch, Store, StoreOptions, SyncPolicy};
use tidelog_format::LOCK_NAME;

use crate::anatomy::{Body, PARTITION, bodies, holders};
use crate::image::{Bytes, Image};
use crate::model::{Model, Parts};
use crate::random::Random;
use crate::storage::Seeded;

#[derive(Debug)]
pub(crate) struct Specimen {
    pub(crate) seed: u64,
    pub(crate) image: Image,
    pub(crate) model: Model,
    pub(crate) bodies: Vec<Body>,
    /// The segment and the frame that each offset is in.
    pub(crate) holders: BTreeMap<u64, (usize, usize)>,
    /// Closed, so that a checkpoint names all of it; else killed.
    pub(crate) is_closed: bool,
    /// So small that every bit of it is flipped.
    pub(crate) is_tiny: bool,
    pub(crate) policy: SyncPolicy,
    /// Files that were there at other times, with other bytes.
    pub(crate) older: Vec<(PathBuf, Bytes)>,
    /// Files of another partition of the store, and of another store, under the names that they would have here.
    pub(crate) foreign: Vec<(PathBuf, Bytes)>,
}

impl Specimen {
    pub(crate) fn uuid(&self) -> [u8; 16] {
        self.bodies[0].header.partition_uuid
    }
}

/// The options that logs are made and opened with.
pub(crate) fn options(policy: SyncPolicy, seed: u64) -> StoreOptions {
    StoreOptions::new().storage(Seeded::new(seed)).sync_policy(policy).segment_bytes(64 << 10).index_interval_bytes(512).without_threads()
}

/// The log of a seed, made in `dir`.
pub(crate) fn make(seed: u64, dir: &Path) -> Result<Specimen, String> {
    let mut random = Random(seed ^ 0x6461_6d61_6765_0000);
    let policy = if random.below(2) == 0 { SyncPolicy::OsOnly } else { SyncPolicy::default() };
    let is_tiny = seed.is_multiple_of(TINY_EVERY);
    let mut foreign = foreign_store(seed, policy, dir)?;
    let mut maker = Maker::new(seed, policy, random, is_tiny, dir)?;
    foreign.extend(maker.other_partition()?);
    for number in 0..if is_tiny { 6 } else { 8 + maker.random.below(18) } {
        maker.step().map_err(|error| format!("seed {seed}, step {number}: {error}"))?;
        if maker.model.end() > RECORDS_MAX {
            break;
        }
    }
    // Something in the tail, more often than not.
    if maker.random.below(4) > 0 {
        maker.append(2, None)?;
    }
    let is_closed = is_tiny || maker.random.below(5) > 0;
    let image = maker.stop(is_closed)?;
    let bodies = bodies(&image);
    let holders = holders(&bodies);
    let older = maker.older.into_iter().filter(|(name, bytes)| image.file(name) != Some(bytes)).collect();
    Ok(Specimen { seed, image, model: maker.model, bodies, holders, is_closed, is_tiny, policy, older, foreign })
}

/// A store that has nothing to do with this one.
fn foreign_store(seed: u64, policy: SyncPolicy, dir: &Path) -> Result<Vec<(PathBuf, Bytes)>, String> {
    let mut maker = Maker::new(!seed, policy, Random(!seed), true, dir)?;
    maker.append(5, None)?;
    let image = maker.stop(true)?;
    Ok(image.files().map(|(name, bytes)| (name.clone(), bytes.clone())).collect())
}

struct Maker {
    seed: u64,
    policy: SyncPolicy,
    random: Random,
    is_tiny: bool,
    dir: PathBuf,
    open: Option<(Store, Partition)>,
    model: Model,
    big_batches: u32,
    older: BTreeSet<(PathBuf, Bytes)>,
}

impl Maker {
    fn new(seed: u64, policy: SyncPolicy, random: Random, is_tiny: bool, dir: &Path) -> Result<Self, String> {
        Image::default().put(dir);
        let (dir, model, older) = (dir.to_owned(), Model::default(), BTreeSet::new());
        let mut maker = Self { seed, policy, random, is_tiny, dir, open: None, model, big_batches: 0, older };
        maker.reopen()?;
        Ok(maker)
    }

    fn log(&self) -> &Partition {
        &self.open.as_ref().expect("it is open between two steps").1
    }

    fn reopen(&mut self) -> Result<(), String> {
        self.seed = self.seed.wrapping_add(0x9e37);
        let store = options(self.policy, self.seed).open(&self.dir).map_err(|error| error.to_string())?;
        let log = store.topic("t").and_then(|topic| topic.partition(0)).map_err(|error| error.to_string())?;
        self.open = Some((store, log));
        Ok(())
    }

    /// Ends the process: after a close, or as a kill does. What it left, with what it left before kept in mind.
    fn stop(&mut self, closes: bool) -> Result<Image, String> {
        let (store, log) = self.open.take().expect("it is open between two steps");
        let killed = Image::take(&self.dir);
        store.close().map_err(|error| error.to_string())?;
        drop(log);
        let mut image = if closes { Image::take(&self.dir) } else { killed };
        image.remove(Path::new(OTHER));
        // It names a process, in more or fewer digits: the cases of a seed would be others each time.
        image.set_file(Path::new(LOCK_NAME), b"12345\n".to_vec());
        image.put(&self.dir);
        self.older.extend(image.files().map(|(name, bytes)| (name.clone(), bytes.clone())));
        Ok(image)
    }

    /// A topic that is made, written to and taken away; its files, under the names of ours.
    fn other_partition(&mut self) -> Result<Vec<(PathBuf, Bytes)>, String> {
        let (store, _) = self.open.as_ref().expect("it is open between two steps");
        let other = store.topic("other").and_then(|topic| topic.partition(0)).map_err(|error| error.to_string())?;
        for number in 0..4 {
            other.append(Parts::of(number * 1000 + 7).record()).map_err(|error| error.to_string())?;
        }
        drop(other);
        let (store, log) = self.open.take().expect("it is open between two steps");
        store.close().map_err(|error| error.to_string())?;
        drop(log);
        let mut image = Image::take(&self.dir);
        let renamed = |(name, bytes): (&PathBuf, &Bytes)| {
            Some((Path::new(PARTITION).join(name.strip_prefix(OTHER).ok()?.strip_prefix("0").ok()?), bytes.clone()))
        };
        let files = image.files().filter_map(renamed).collect();
        image.remove(Path::new(OTHER));
        image.put(&self.dir);
        self.reopen()?;
        Ok(files)
    }

    fn step(&mut self) -> Result<(), String> {
        let between = |share: u64, model: &Model| model.log_start + (model.end() - model.log_start) * share / 256;
        match self.random.below(if self.is_tiny { 40 } else { 64 }) {
            0..12 => self.append(1, None),
            12..18 => {
                let records = 2 + self.random.below(4);
                self.append(records, None)
            }
            18..22 => {
                let codec = [Codec::Lz4, Codec::Zstd][self.random.below(2) as usize];
                self.append(3, Some(codec))
            }
            22..28 => {
                let offset = between(128 + self.random.below(128), &self.model);
                self.log().truncate_suffix(offset).map_err(|error| error.to_string())?;
                self.model.truncate(offset);
                Ok(())
            }
            28..30 => {
                let share = self.random.below(160);
                self.delete_prefix(between(share, &self.model))
            }
            30..33 => self.restart(true),
            33..35 => self.restart(false),
            35..37 => self.tear_and_restart(),
            37..40 => self.lose_the_end(),
            40..46 if self.big_batches < BIG_BATCHES_MAX => {
                self.big_batches += 1;
                let fits_twice = (0..BIG_RECORDS).map(|_| self.random.draw() / 24 * 24).collect();
                self.append_numbers(fits_twice, None)
            }
            46..49 => {
                self.log().flush().map_err(|error| error.to_string())?;
                Ok(())
            }
            49..54 => {
                self.open.as_ref().expect("it is open between two steps").0.run_background();
                Ok(())
            }
            _ => {
                let records = 4 + self.random.below(20);
                (0..records).try_for_each(|_| self.append(1, None))
            }
        }
    }

    fn append(&mut self, records: u64, codec: Option<Codec>) -> Result<(), String> {
        let number = |random: &mut Random| random.draw() >> 8;
        let numbers = (0..records).map(|_| if self.is_tiny { number(&mut self.random) / 24 * 24 + 2 } else { number(&mut self.random) }).collect();
        self.append_numbers(numbers, codec)
    }

    fn append_numbers(&mut self, numbers: Vec<u64>, codec: Option<Codec>) -> Result<(), String> {
        let mut batch = RecordBatch::new();
        // Of the codecs, those that are built in.
        if let Some(Ok(packed)) = codec.map(|codec| RecordBatch::new().with_codec(codec)) {
            batch = packed;
        }
        numbers.iter().try_for_each(|number| batch.push(&Parts::of(*number).record())).map_err(|error| error.to_string())?;
        let level = if self.random.below(3) == 0 { AckLevel::Durable } else { AckLevel::Written };
        let ack = self.log().append_batch(&batch, level).map_err(|error| error.to_string())?;
        if ack.base_offset != self.model.end() {
            return Err(format!("offset {} was assigned, {} is next", ack.base_offset, self.model.end()));
        }
        self.model.append(&numbers);
        Ok(())
    }

    fn delete_prefix(&mut self, offset: u64) -> Result<(), String> {
        self.log().delete_prefix(offset).map_err(|error| error.to_string())?;
        self.model.log_start = offset;
        Ok(())
    }

    fn restart(&mut self, closes: bool) -> Result<(), String> {
        self.stop(closes)?;
        self.reopen()?;
        self.check_end("after a restart")
    }

    fn check_end(&self, when: &str) -> Result<(), String> {
        let end = self.log().log_end_offset();
        if end == self.model.end() { Ok(()) } else { Err(format!("the log ends at {end} {when}, expected {}", self.model.end())) }
    }

    /// A kill, and what was not yet durable is torn: the log ends before it, in a new term.
    fn tear_and_restart(&mut self) -> Result<(), String> {
        let durable = self.log().durable_end_offset().get();
        let image = self.stop(false)?;
        let last = bodies(&image).pop().ok_or("a log has a segment")?;
        let torn: Vec<_> = last.data().filter(|spot| spot.base >= durable).copied().collect();
        if let Some(first) = torn.get(self.random.below(torn.len().max(1) as u64) as usize) {
            let mut bytes = last.bytes.to_vec();
            // All but the magic number and the length.
            bytes[first.at + 4..first.at + 56].fill(0xA7);
            bytes[first.at + 60..torn[torn.len() - 1].end].fill(0xA7);
            let mut torn = image.clone();
            torn.set_file(&last.name(), bytes);
            torn.put(&self.dir);
            self.model.records.truncate(first.base as usize);
        }
        self.reopen()?;
        self.check_end("after what was not durable was torn")
    }

    /// The last frames of a closed log turn to zeros: a gap is declared.
    fn lose_the_end(&mut self) -> Result<(), String> {
        let mut image = self.stop(true)?;
        let last = bodies(&image).pop().ok_or("a log has a segment")?;
        let spots: Vec<_> = last.data().copied().collect();
        if !spots.is_empty() {
            let from = spots[spots.len() - 1 - self.random.below(spots.len().min(3) as u64) as usize];
            let mut bytes = last.bytes.to_vec();
            bytes[from.at..].fill(0);
            image.set_file(&last.name(), bytes);
            // It would vouch for them until somebody reads.
            image.remove(&last.index_name());
            image.put(&self.dir);
            self.model.lose_from(from.base.max(self.model.log_start));
        }
        self.reopen()?;
        self.check_end("after its last frames were lost")
    }
}

/// The program makes and drops it before all else.
const OTHER: &str = "topics/default/other";
const TINY_EVERY: u64 = 8;
const RECORDS_MAX: u64 = 220;
const BIG_BATCHES_MAX: u32 = 3;
/// More than half of a segment.
const BIG_RECORDS: u64 = 36;
