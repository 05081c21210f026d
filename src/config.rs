//! Settings of a store, with their limits, checked before anything is opened. Opens nothing.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tidelog_format::{Codec, FRAME_BYTES_MAX, SEGMENT_BYTES_MAX};

use crate::error::ConfigError;

/// What an acknowledgement promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AckLevel {
    /// In the page cache: survives the end of the process, not of the machine.
    Written,
    /// On stable storage: survives power loss.
    #[default]
    Durable,
}

/// When written records are made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SyncPolicy {
    /// A durable append syncs at once, for everyone who is waiting; where several threads append, it gives the others up to 75 us to join.
    /// What nobody waits for is synced within 100 ms, or when `max_bytes` are unsynced, which is looked at every 20 ms. The high water mark
    /// is the durable end.
    Group {
        /// How long a sync may wait for company; zero, the default, is best for most. What is to be durable at once is written, and seen by
        /// anybody, when the wait is over.
        max_wait: Duration,
        /// Unsynced bytes that start a sync by themselves; default 4 MiB.
        max_bytes: u64,
    },
    /// A sync every interval; a durable append pulls it forward. The high water mark is the durable end.
    Interval(Duration),
    /// The operating system decides; the engine syncs in the background at each roll and every 64 MiB. A durable append still
    /// waits for a sync of its own. The high water mark is the written end. An open after a kill that left all in order does not wait for
    /// a sync either, if it comes before the recovery in the background does: what was written before is synced behind it, as soon as the background
    /// comes to it, or by whoever asks for it. What stands in the way of that sync shows at the next append.
    OsOnly,
}

impl Default for SyncPolicy {
    fn default() -> Self {
        Self::Group { max_wait: Duration::ZERO, max_bytes: 4 << 20 }
    }
}

impl fmt::Display for SyncPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group { .. } => write!(f, "group"),
            Self::Interval(interval) => write!(f, "interval:{}ms", interval.as_millis()),
            Self::OsOnly => write!(f, "os"),
        }
    }
}

impl FromStr for SyncPolicy {
    type Err = ConfigError;

    /// `group`, `interval:100ms` (or `s`, `us`) or `os`.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        match text {
            "group" => Ok(Self::default()),
            "os" => Ok(Self::OsOnly),
            _ => text
                .strip_prefix("interval:")
                .and_then(parse_duration)
                .filter(|interval| INTERVALS.contains(interval))
                .map(Self::Interval)
                .ok_or_else(|| ConfigError::BadValue {
                    name: "sync_policy",
                    found: text.to_owned(),
                    expected: "group, os, or interval: and 1ms to 60s".to_owned(),
                }),
        }
    }
}

/// What one sync covers where several partitions of a store are to be synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SyncScope {
    /// Its partition's files. Threads that wait for different partitions sync side by side.
    #[default]
    Partition,
    /// The whole file system that the store is on, where four others or more have what nobody has come to sync yet: appends that one thread
    /// defers over many partitions, tasks' appends, and what is due in the background. What a thread waits for at once is synced as with
    /// `Partition`. For a file system that holds little besides the store: such a sync waits for everything that anybody has written there, and
    /// where something could not be written, whoever wrote it and whenever, every partition of the store that has something to sync is
    /// poisoned, since nobody knows what was lost. Needs Linux 5.17, and ext4 (or its elders, or tmpfs).
    FileSystem,
}

/// Which records a reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ReadIsolation {
    /// Below the high water mark: under a syncing policy, only what survives power loss.
    #[default]
    Committed,
    /// Everything written: what survives the end of the process.
    Written,
}

/// What to do when durable data turns out to be damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnDamage {
    /// Serve everything else, answer reads of the damaged range with an error, go on appending behind it.
    #[default]
    Isolate,
    /// Refuse to open the partition, and leave its files as they are. The store is open all the same, and its `LOCK` and `LIVE`, which say
    /// who has it open, are written as at every open.
    Refuse,
}

/// Settings of a store. See [`StoreOptions`](crate::StoreOptions) for what each means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) sync_policy: SyncPolicy,
    pub(crate) sync_scope: SyncScope,
    pub(crate) segment_bytes: u64,
    pub(crate) index_interval_bytes: u32,
    pub(crate) checkpoint_budget_bytes: u64,
    pub(crate) batch_bytes_max: u32,
    pub(crate) on_damage: OnDamage,
    pub(crate) compression: Codec,
    pub(crate) background_recovery: bool,
    pub(crate) scrub_bytes_per_second: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sync_policy: SyncPolicy::default(),
            sync_scope: SyncScope::default(),
            segment_bytes: 64 << 20,
            index_interval_bytes: 2048,
            checkpoint_budget_bytes: 256 << 20,
            batch_bytes_max: 64 << 20,
            on_damage: OnDamage::default(),
            compression: Codec::None,
            background_recovery: true,
            scrub_bytes_per_second: 0,
        }
    }
}

impl Config {
    /// Sets one of the values by its name.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let Some((name, expected)) = NAMES.iter().find(|(known, _)| *known == name.replace('-', "_")) else {
            return Err(ConfigError::UnknownName { name: name.to_owned(), known: NAMES.iter().map(|(known, _)| *known).collect() });
        };
        let bad = || ConfigError::BadValue { name, found: value.to_owned(), expected: (*expected).to_owned() };
        let narrow = |bytes: u64| u32::try_from(bytes).map_err(|_| bad());
        match *name {
            "sync_policy" => self.sync_policy = value.parse()?,
            "sync_scope" => self.sync_scope = SYNC_SCOPES.iter().find(|(word, _)| *word == value).ok_or_else(bad)?.1,
            "segment_bytes" => self.segment_bytes = parse_bytes(value).ok_or_else(bad)?,
            "index_interval_bytes" => self.index_interval_bytes = narrow(parse_bytes(value).ok_or_else(bad)?)?,
            "checkpoint_budget_bytes" => self.checkpoint_budget_bytes = parse_bytes(value).ok_or_else(bad)?,
            "batch_bytes_max" => self.batch_bytes_max = narrow(parse_bytes(value).ok_or_else(bad)?)?,
            "on_damage" => self.on_damage = ON_DAMAGE.iter().find(|(word, _)| *word == value).ok_or_else(bad)?.1,
            "background_recovery" => self.background_recovery = value.parse().map_err(|_| bad())?,
            "scrub_bytes_per_second" => self.scrub_bytes_per_second = parse_bytes(value).ok_or_else(bad)?,
            _ => self.compression = CODECS.iter().find(|(word, _)| *word == value).ok_or_else(bad)?.1,
        }
        self.check()
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        within("segment_bytes", self.segment_bytes, 64 << 10, SEGMENT_BYTES_MAX)?;
        within("index_interval_bytes", self.index_interval_bytes.into(), 512, 1 << 20)?;
        within("checkpoint_budget_bytes", self.checkpoint_budget_bytes, 1 << 20, 1 << 40)?;
        within("batch_bytes_max", self.batch_bytes_max.into(), 1 << 10, BATCH_BYTES_LIMIT)?;
        within("scrub_bytes_per_second", self.scrub_bytes_per_second, 0, 1 << 40)?;
        if let SyncPolicy::Interval(interval) = self.sync_policy
            && !INTERVALS.contains(&interval)
        {
            return Err(ConfigError::BadValue {
                name: "sync_policy",
                found: format!("{interval:?}"),
                expected: "an interval of 1 ms to 60 s".to_owned(),
            });
        }
        if let SyncPolicy::Group { max_wait, .. } = self.sync_policy
            && max_wait > Duration::from_secs(1)
        {
            return Err(ConfigError::BadValue { name: "sync_policy", found: format!("{max_wait:?}"), expected: "a wait of at most 1 s".to_owned() });
        }
        check_codec(self.compression)
    }
}

/// Whether this build can write batches with the codec.
pub(crate) fn check_codec(codec: Codec) -> Result<(), ConfigError> {
    match codec {
        Codec::None => Ok(()),
        Codec::Lz4 if cfg!(feature = "lz4") => Ok(()),
        Codec::Zstd if cfg!(feature = "zstd") => Ok(()),
        other => Err(ConfigError::CodecNotBuilt { codec: codec_name(other) }),
    }
}

/// The codec's name, which is its feature's.
pub(crate) fn codec_name(codec: Codec) -> &'static str {
    match codec {
        Codec::None => "none",
        Codec::Gzip => "gzip",
        Codec::Snappy => "snappy",
        Codec::Lz4 => "lz4",
        Codec::Zstd => "zstd",
    }
}

fn within(name: &'static str, found: u64, min: u64, max: u64) -> Result<(), ConfigError> {
    if (min..=max).contains(&found) {
        Ok(())
    } else {
        Err(ConfigError::BadValue { name, found: found.to_string(), expected: format!("{min} to {max}") })
    }
}

/// `4096`, `64KiB`, `64K`, `8MiB`, `1GiB`; powers of 1,024.
fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = text[..digits].parse().ok()?;
    match &text[digits..] {
        "us" => Some(Duration::from_micros(number)),
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        _ => None,
    }
}

const BATCH_BYTES_LIMIT: u64 = FRAME_BYTES_MAX as u64 - (64 << 10);
const INTERVALS: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);
const SYNC_SCOPES: &[(&str, SyncScope)] = &[("partition", SyncScope::Partition), ("file_system", SyncScope::FileSystem)];
const ON_DAMAGE: &[(&str, OnDamage)] = &[("isolate", OnDamage::Isolate), ("refuse", OnDamage::Refuse)];
const CODECS: &[(&str, Codec)] = &[("none", Codec::None), ("lz4", Codec::Lz4), ("zstd", Codec::Zstd)];
/// Every setting, and what it takes.
pub(crate) const NAMES: &[(&str, &str)] = &[
    ("sync_policy", "group, os, or interval: and 1ms to 60s"),
    ("sync_scope", "partition or file_system"),
    ("segment_bytes", "64KiB to just below 4GiB"),
    ("index_interval_bytes", "512 to 1MiB"),
    ("checkpoint_budget_bytes", "1MiB to 1024GiB"),
    ("batch_bytes_max", "1KiB to 1GiB less 64KiB"),
    ("on_damage", "isolate or refuse"),
    ("background_recovery", "true or false"),
    ("scrub_bytes_per_second", "0, which is off, to 1024GiB"),
    ("compression", "none, lz4 or zstd"),
];
