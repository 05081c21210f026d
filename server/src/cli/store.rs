//! What several commands share about stores: arguments, opening, and the exit code and words for an engine error.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use tidelog::{
    AppendError, DamagedRange, Finding, LogOffsetStore, OffsetStore, OffsetStoreError, OpenError, Partition, PartitionView, ReadError, ReadIsolation,
    ReadOnlyStore, ReadOnlyTopic, Store, StoreOptions, SyncError, Topic, TopicError, TopicName, TopicOptions, Verdict,
};

use crate::exit::{Exit, Failure};
use crate::output::counted;

/// A topic in a store.
#[derive(Debug, clap::Args)]
pub(crate) struct TopicArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,
    /// [namespace/]name; the namespace is "default" when left out.
    pub(crate) topic: String,
}

/// Settings of the store, for commands that write.
#[derive(Debug, clap::Args)]
pub(crate) struct SettingsArgs {
    /// Size of a segment file, from 64KiB.
    #[arg(long, value_name = "BYTES", help_heading = "Settings")]
    segment_bytes: Option<String>,
    /// When records become durable: group, interval:100ms or os.
    #[arg(long, value_name = "POLICY", help_heading = "Settings")]
    sync_policy: Option<String>,
    /// Any setting by name, for example compression=zstd; an unknown name lists them all.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting, help_heading = "Settings")]
    settings: Vec<(String, String)>,
}

impl SettingsArgs {
    /// The options, checked.
    pub(crate) fn options(&self) -> Result<StoreOptions, Failure> {
        let named = |name: &str, value: &Option<String>| value.iter().map(|value| (name.to_owned(), value.clone())).collect::<Vec<_>>();
        let mut all = named("segment_bytes", &self.segment_bytes);
        all.extend(named("sync_policy", &self.sync_policy));
        all.extend(self.settings.iter().cloned());
        let mut options = StoreOptions::new();
        for (name, value) in all {
            options = options.set(&name, &value).map_err(|error| Failure::because(Exit::Usage, "settings", error))?;
        }
        Ok(options)
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Which of a topic's partitions a writing command is about.
#[derive(Debug, clap::Args)]
pub(crate) struct WritePartitionArgs {
    /// Only this partition; otherwise keys choose, and records without a key take turns.
    #[arg(long, short = 'p', value_name = "N")]
    pub(crate) partition: Option<u32>,
    /// Partitions of a topic that is made by this command.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) partitions: Option<u32>,
}

/// Which records a reading command sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Isolation {
    /// Everything written, durable or not.
    #[default]
    Written,
    /// Only what lies below the high water mark.
    Committed,
}

impl From<Isolation> for ReadIsolation {
    fn from(isolation: Isolation) -> Self {
        match isolation {
            Isolation::Written => Self::Written,
            Isolation::Committed => Self::Committed,
        }
    }
}

/// Finds a name that no topic can have, or only one of the engine itself, before a store is made for it.
pub(crate) fn check_topic_name(name: &str) -> Result<(), Failure> {
    let checked = match name.parse::<TopicName>() {
        Ok(parsed) if parsed.is_internal() => Err(TopicError::Internal { name: parsed.to_string() }),
        other => other.map(drop),
    };
    checked.map_err(|error| topic_failure(name, error))
}

/// Opens a store for writing; makes it if need be.
pub(crate) fn open(dir: &Path, options: StoreOptions) -> Result<Store, Failure> {
    options.open(dir).map_err(|error| opening(dir, error))
}

/// Opens a store for reading, beside a writer or without one. Changes not one byte.
pub(crate) fn open_read_only(dir: &Path) -> Result<ReadOnlyStore, Failure> {
    StoreOptions::new().open_read_only(dir).map_err(|error| opening(dir, error))
}

/// The store that a path, there or not, is or lies in.
pub(crate) fn store_around(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    let there = path.ancestors().find_map(|path| path.canonicalize().ok())?;
    // Of this version or another one.
    let is_store = |dir: &&Path| matches!(StoreOptions::new().open_read_only(dir), Ok(_) | Err(OpenError::Unsupported { .. }));
    there.ancestors().find(is_store).map(Path::to_owned)
}

/// The topic to write to, made with `partitions` partitions (one unless said otherwise) if it is not there.
pub(crate) fn topic_to_write(store: &Store, name: &str, partitions: Option<u32>) -> Result<Topic, Failure> {
    match store.existing_topic(name) {
        Ok(topic) => match partitions {
            Some(wanted) if wanted != topic.partition_count() => {
                let found = topic.partition_count();
                let found = counted(found.into(), "partition", "partitions");
                Err(Failure::new(Exit::Usage, format!("topic {name} has {found} already: it cannot be given {wanted}")))
            }
            _ => Ok(topic),
        },
        Err(TopicError::Unknown { .. }) => make_topic(store, name, TopicOptions::new().partitions(partitions.unwrap_or(1))),
        Err(error) => Err(topic_failure(name, error)),
    }
}

/// Makes a topic, without positions of groups that were committed after another one of the name was deleted.
pub(crate) fn make_topic(store: &Store, name: &str, options: TopicOptions) -> Result<Topic, Failure> {
    let failed = |error| topic_failure(name, error);
    if matches!(store.existing_topic(name), Err(TopicError::Unknown { .. }))
        && let Some(positions) = positions(store)?
    {
        positions.delete_topic(&name.parse().map_err(failed)?).map_err(positions_failure)?;
    }
    store.create_topic_with(name, options).map_err(failed)
}

/// The positions of groups in the store's log, if there are any.
pub(crate) fn positions(store: &Store) -> Result<Option<LogOffsetStore>, Failure> {
    match store.existing_topic(OFFSETS_TOPIC) {
        Err(TopicError::Unknown { .. }) => Ok(None),
        Err(error) => Err(topic_failure(OFFSETS_TOPIC, error)),
        Ok(_) => LogOffsetStore::open(store).map(Some).map_err(positions_failure),
    }
}

/// Positions of groups in the store's log that cannot be had, with the exit code.
pub(crate) fn positions_failure(error: OffsetStoreError) -> Failure {
    Failure::because(positions_exit(&error), "positions of groups", error)
}

pub(crate) fn positions_exit(error: &OffsetStoreError) -> Exit {
    match error {
        OffsetStoreError::Damaged { .. } => Exit::Damage,
        OffsetStoreError::Topic(topic) => topic_exit(topic),
        error if error.is_refusal() => Exit::Refused,
        _ => Exit::Failed,
    }
}

const OFFSETS_TOPIC: &str = "_tidelog/offsets";

/// The topic asked for, or all of them but the internal ones.
pub(crate) fn topics_to_read(store: &ReadOnlyStore, dir: &Path, topic: Option<&str>) -> Result<Vec<String>, Failure> {
    named_or(topic, dir, || store.topics())
}

/// The topic asked for, or all of them with the internal ones.
pub(crate) fn topics_to_verify(store: &ReadOnlyStore, dir: &Path, topic: Option<&str>) -> Result<Vec<String>, Failure> {
    named_or(topic, dir, || store.all_topics())
}

fn named_or(topic: Option<&str>, dir: &Path, all: impl FnOnce() -> Result<Vec<TopicName>, TopicError>) -> Result<Vec<String>, Failure> {
    match topic {
        Some(name) => Ok(vec![name.to_owned()]),
        None => {
            let names = all().map_err(|error| Failure::because(Exit::Failed, format!("listing the topics of {}", dir.display()), error))?;
            Ok(names.iter().map(TopicName::to_string).collect())
        }
    }
}

/// The views of one partition, or of those that can be had; whether some cannot because they are damaged, which is told.
pub(crate) fn views_that_open(topic: &ReadOnlyTopic, partition: Option<u32>) -> Result<(Vec<PartitionView>, bool), Failure> {
    let (mut views, mut has_damage) = (Vec::new(), false);
    if let Some(error) = topic.catalog_damage() {
        super::say(&topic_failure(&topic.name().to_string(), error.clone()).to_string());
        has_damage = true;
    }
    for number in partition_numbers(partition, topic.partition_count()) {
        match self::views(topic, Some(number)) {
            Ok(view) => views.extend(view),
            Err(failure) if failure.exit() == Exit::Damage && partition.is_none() => {
                super::say(&failure.to_string());
                has_damage = true;
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok((views, has_damage))
}

/// The views of one partition, or of all of them.
pub(crate) fn views(topic: &ReadOnlyTopic, partition: Option<u32>) -> Result<Vec<PartitionView>, Failure> {
    let view = |number| view(topic, number).map_err(|error| topic_failure(&topic.name().to_string(), error));
    partition_numbers(partition, topic.partition_count()).map(view).collect()
}

/// The view of a partition; what was found wrong with it is told.
pub(crate) fn view(topic: &ReadOnlyTopic, number: u32) -> Result<PartitionView, TopicError> {
    topic.partition(number).inspect(tell_findings)
}

/// The partitions to write to, the one asked for or all, by number; those that were used before are opened. The others are opened once there is a
/// record for them: one that is never used has no directory.
pub(crate) fn partitions_to_write(topic: &Topic, asked: Option<u32>) -> Result<Vec<(u32, Option<Partition>)>, Failure> {
    let made: Vec<bool> = topic.describe().partitions.iter().map(|partition| partition.made).collect();
    let partition = |number| {
        let is_unused = made.get(number as usize) == Some(&false);
        Ok((number, if is_unused { None } else { Some(open_partition(topic, number)?) }))
    };
    partition_numbers(asked, topic.partition_count()).map(partition).collect()
}

/// A partition to append to, made if nobody has used it; what was found wrong with it is told.
pub(crate) fn open_partition(topic: &Topic, number: u32) -> Result<Partition, Failure> {
    let partition = topic.partition(number).map_err(|error| topic_failure(&topic.name().to_string(), error))?;
    tell_findings(partition.view());
    Ok(partition)
}

/// The partition asked for, whether it is there or not, or all of `count`.
pub(crate) fn partition_numbers(partition: Option<u32>, count: u32) -> RangeInclusive<u32> {
    partition.map_or(0..=count.saturating_sub(1), |number| number..=number)
}

/// One line if the log ended in something that a crash left, or had something else to put right, and one a damaged range. None is a reason
/// to stop.
pub(crate) fn tell_findings(view: &PartitionView) {
    let place = format!("{}/{}", view.topic(), view.index());
    let findings = view.findings();
    let repaired: Vec<&Finding> = findings.iter().filter(|finding| finding.verdict == Verdict::Repair).collect();
    let more = match repaired.len() {
        0 | 1 => String::new(),
        several => format!("; {} more", counted(several as u64 - 1, "finding", "findings")),
    };
    if let Some(Finding { file, detail, .. }) = repaired.iter().find(|finding| finding.found.is_torn_end()) {
        let end = view.log_end_offset();
        super::say(&format!("{place}: torn by a crash, whole up to offset {end} ({file}: {detail}{more})"));
    } else if let Some(Finding { file, detail, .. }) = repaired.first() {
        super::say(&format!("{place}: {file}: {detail}{more}"));
    }
    for range in view.damage() {
        super::say(&format!("{place}: {}", damage(&range)));
    }
}

/// A damaged range in words.
pub(crate) fn damage(range: &DamagedRange) -> String {
    let what = if range.declared { "are declared lost" } else { "are damaged" };
    format!("offsets {}..{} {what}: {}", range.from, range.to, range.reason)
}

/// A failed open, with its exit code.
pub(crate) fn opening(dir: &Path, error: OpenError) -> Failure {
    Failure::because(open_exit(&error), format!("opening {}", dir.display()), error)
}

/// A topic that cannot be had, with its exit code.
pub(crate) fn topic_failure(name: &str, error: TopicError) -> Failure {
    Failure::because(topic_exit(&error), format!("topic {name}"), error)
}

pub(crate) fn topic_exit(error: &TopicError) -> Exit {
    match error {
        TopicError::InvalidName { .. }
        | TopicError::Internal { .. }
        | TopicError::PartitionCount { .. }
        | TopicError::NotTiled { .. }
        | TopicError::RingSize { .. }
        | TopicError::RingRange { .. }
        | TopicError::SplitAt { .. }
        | TopicError::SplitParts { .. } => Exit::Usage,
        TopicError::PartitionsMissing { .. } | TopicError::CatalogDamaged { .. } => Exit::Damage,
        TopicError::Open(error) => open_exit(error),
        _ => Exit::Failed,
    }
}

/// A failed append.
pub(crate) fn append_failure(place: &str, error: AppendError) -> Failure {
    Failure::because(Exit::Failed, format!("appending to {place}"), error)
}

/// A failed sync.
pub(crate) fn sync_failure(place: &str, error: SyncError) -> Failure {
    Failure::because(Exit::Failed, format!("making {place} durable"), error)
}

/// A failed read.
pub(crate) fn read_failure(place: &str, error: ReadError) -> Failure {
    let exit = match &error {
        ReadError::Corrupt { .. } => Exit::Damage,
        ReadError::Open(error) => open_exit(error),
        _ => Exit::Failed,
    };
    Failure::because(exit, format!("reading {place}"), error)
}

fn open_exit(error: &OpenError) -> Exit {
    match error {
        OpenError::Config(_) => Exit::Usage,
        OpenError::Damaged { .. } | OpenError::Misplaced { .. } => Exit::Damage,
        error if error.is_refusal() => Exit::Refused,
        _ => Exit::Failed,
    }
}
