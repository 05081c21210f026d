//! A store that is open for writing: its lock, its threads, its open partitions. Reads no frame by itself.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tidelog_format::{Codec, LOCK_NAME};

use crate::config::{Config, SyncScope};
use crate::error::{IoContext, IoError, OpenError, SyncError, TopicError};
use crate::io::{Access, Kind, Lock, Storage, read_file, replace_file, write_all_at};
use crate::log::{Keeper, KeeperThreads, LivePage, Log, PartitionRepair, RecoverHow, Refusal, Scrubber, SharedSync, recover_many, repair};
use crate::topic::catalog::Catalog;
use crate::topic::layout::Layout;
use crate::topic::name::TopicName;
use crate::topic::options::StoreOptions;
use crate::topic::partition::Partition;
use crate::topic::read_only::ReadOnlyStore;
use crate::topic::topic_handle::Topic;
use crate::topic::topic_options::TopicOptions;
use crate::topic::topic_state::TopicState;

/// A directory of topics, open for writing by this process alone. Cheap to clone.
///
/// Closed by [`close`](Self::close), or when the last clone, topic and partition of it is dropped.
///
/// ```
/// use tidelog::{Record, Store};
///
/// # let dir = tempfile::tempdir()?;
/// let store = Store::open(dir.path())?;
/// let orders = store.topic("orders")?.partition(0)?;
/// let ack = orders.append(Record::new("12 apples"))?;
/// assert_eq!(orders.get(ack.base_offset)?.value(), Some(&b"12 apples"[..]));
/// store.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) inner: Arc<StoreInner>,
}

/// Closes the store when it is dropped.
#[derive(Debug)]
pub(super) struct StoreInner {
    pub(super) compression: Codec,
    pub(super) shared: Arc<Shared>,
    threads: Mutex<KeeperThreads>,
    /// Recovers what nobody has asked for yet.
    recovering: Mutex<Option<JoinHandle<()>>>,
    /// Looks for damage, if that is wanted.
    scrubbing: Mutex<Option<JoinHandle<()>>>,
    /// Given back when the store is closed, whoever still holds a handle.
    lock: Mutex<Option<Box<dyn Lock>>>,
}

/// What the store's own thread needs too: holding it keeps no store open.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) catalog: Catalog,
    config: Config,
    keeper: Arc<Keeper>,
    page: Option<Arc<LivePage>>,
    /// Topics that somebody has asked for.
    pub(super) topics: Mutex<HashMap<TopicName, Arc<TopicState>>>,
    /// Held while a topic is made, split or deleted, after a look whether the store is open: a close waits for it. Before any slot.
    pub(super) naming: Mutex<UnsureNames>,
    pub(super) open: Mutex<HashMap<(TopicName, u32), Slot>>,
    closed: AtomicBool,
    scrubber: Mutex<Scrubber>,
    /// For the thread that scrubs: the store is closed.
    scrub_end: (Mutex<bool>, Condvar),
}

/// Names that were given to topics, or taken from them, and may not last, and why. After a sync that failed a later one proves nothing: no topic has
/// one of them until the store is opened anew.
pub(super) type UnsureNames = HashMap<TopicName, IoError>;

/// Filled by the first who asks; others wait for it.
pub(super) type Slot = Arc<Mutex<Option<Arc<Log>>>>;

impl Store {
    /// Opens the store in `dir` with the default options, and makes it if there is none. Takes its lock.
    ///
    /// # Errors
    /// [`OpenError`]; a store that is refused is not changed. No partition is opened yet.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        StoreOptions::new().open(dir)
    }

    /// Opens a store for reading, beside its writer if there is one. Takes no lock and changes not one byte.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_read_only(dir: impl AsRef<Path>) -> Result<ReadOnlyStore, OpenError> {
        StoreOptions::new().open_read_only(dir)
    }

    pub(super) fn open_with(dir: &Path, options: StoreOptions, create: bool) -> Result<Self, OpenError> {
        options.config.check()?;
        let catalog = Catalog { storage: options.storage, dir: dir.to_owned() };
        let shared_sync = match options.config.sync_scope {
            SyncScope::Partition => None,
            SyncScope::FileSystem => Some(Arc::new(SharedSync::open(&*catalog.storage, dir)?)),
        };
        match catalog.check() {
            Err(OpenError::NotFound { .. }) if create => catalog.create()?,
            other => other?,
        }
        let lock = take_lock(&catalog)?;
        catalog.create()?;
        catalog.settle_topics()?;
        let budget = options.config.checkpoint_budget_bytes;
        let threads = if options.threads {
            KeeperThreads::start(budget, shared_sync).at("start threads for", dir)?
        } else {
            KeeperThreads::none(budget, shared_sync)
        };
        let keeper = threads.keeper().clone();
        let topics = catalog.topics()?;
        // Without a page, readers in other processes go by the files alone.
        let page = LivePage::create(&*catalog.storage, dir, live_slots(&catalog, &topics)).ok().map(Arc::new);
        let (compression, recovers) = (options.config.compression, options.threads && options.config.background_recovery);
        let scrubber = Mutex::new(Scrubber::new(options.config.scrub_bytes_per_second));
        let (open, naming, closed, scrub_end) = (Mutex::default(), Mutex::default(), AtomicBool::new(false), Default::default());
        let shared =
            Arc::new(Shared { catalog, config: options.config, keeper, page, topics: Mutex::default(), naming, open, closed, scrubber, scrub_end });
        // First: where it fails, nobody writes yet, and the lock may go.
        let scrubbing = if options.threads && shared.scrubber.lock().is_wanted() {
            let shared = shared.clone();
            Some(std::thread::Builder::new().name("tidelog-scrub".to_owned()).spawn(move || shared.scrub()).at("start a thread for", dir)?)
        } else {
            None
        };
        let recovering = if recovers && !topics.is_empty() {
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name("tidelog-recover".to_owned()).spawn(move || shared.recover_rest(&topics));
            thread.ok() // without it, each partition is recovered when it is asked for
        } else {
            None
        };
        let (recovering, scrubbing) = (Mutex::new(recovering), Mutex::new(scrubbing));
        let (threads, lock) = (Mutex::new(threads), Mutex::new(Some(lock)));
        Ok(Self { inner: Arc::new(StoreInner { compression, shared, threads, recovering, scrubbing, lock }) })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.inner.shared.catalog.dir
    }

    /// A topic, made with one partition if there is none of the name.
    ///
    /// # Errors
    /// [`TopicError`]; [`TopicError::Internal`] for one of the engine itself.
    pub fn topic(&self, name: &str) -> Result<Topic, TopicError> {
        let name: TopicName = name.parse()?;
        name.check_public()?;
        self.topic_or_new(name)
    }

    fn topic_or_new(&self, name: TopicName) -> Result<Topic, TopicError> {
        let existing = || Ok(Topic::new(self.inner.clone(), self.inner.shared.topic(&name)?));
        match existing() {
            Err(TopicError::Unknown { .. }) => {}
            other => return other,
        }
        match self.make_topic(name.clone(), TopicOptions::new()) {
            // Made by another thread meanwhile.
            Err(TopicError::Exists { .. }) => existing(),
            other => other,
        }
    }

    /// The partition of a topic of the engine itself, which is made if there is none.
    pub(crate) fn internal_partition(&self, name: &str) -> Result<Partition, TopicError> {
        self.topic_or_new(name.parse()?)?.partition_to_write(0)
    }

    /// The partition of a topic of the engine itself, to be damaged.
    #[cfg(feature = "test-util")]
    pub fn partition_of_internal(&self, name: &str) -> Result<Partition, TopicError> {
        self.internal_partition(name)
    }

    /// A topic that must be there. One of the [engine itself](TopicName::is_internal) is read, and not written to.
    ///
    /// # Errors
    /// [`TopicError::Unknown`], which names topics like it; [`TopicError::PartitionsMissing`], [`TopicError::CatalogDamaged`].
    pub fn existing_topic(&self, name: &str) -> Result<Topic, TopicError> {
        Ok(Topic::new(self.inner.clone(), self.inner.shared.topic(&name.parse()?)?))
    }

    /// Makes a topic with so many partitions, 1 to 4,096, that share the ring evenly: whole, or not at all.
    ///
    /// # Errors
    /// As [`create_topic_with`](Self::create_topic_with).
    pub fn create_topic(&self, name: &str, partitions: u32) -> Result<Topic, TopicError> {
        self.create_topic_with(name, TopicOptions::new().partitions(partitions))
    }

    /// Makes a topic: whole, or not at all. It is a catalogue: a partition has a directory once it is first asked for, to be written to.
    ///
    /// # Errors
    /// [`TopicError::Exists`], [`TopicError::InvalidName`], [`TopicError::Internal`], [`TopicError::Io`]; [`TopicError::PartitionCount`], [`TopicError::RingSize`] or
    /// [`TopicError::NotTiled`] if the options do not divide the ring. Nothing is made then.
    pub fn create_topic_with(&self, name: &str, options: TopicOptions) -> Result<Topic, TopicError> {
        let name: TopicName = name.parse()?;
        name.check_public()?;
        self.make_topic(name, options)
    }

    fn make_topic(&self, name: TopicName, options: TopicOptions) -> Result<Topic, TopicError> {
        let shared = &self.inner.shared;
        let layout = Layout::first(&options, &*shared.catalog.storage)?;
        let mut naming = shared.naming.lock();
        shared.check_open()?;
        if let Some(error) = shared.unsure(&naming, &name) {
            return Err(error.clone().into());
        }
        shared.catalog.create_topic(&name, &layout).inspect_err(|error| shared.note_unsure(&mut naming, &name, error))?;
        let topic = Arc::new(TopicState::new(name.clone(), layout));
        // Nobody has read it from its directory since it has its name: they wait for `naming`.
        shared.topics.lock().insert(name, topic.clone());
        Ok(Topic::new(self.inner.clone(), topic))
    }

    /// The topics, by name, without [internal ones](TopicName::is_internal).
    ///
    /// # Errors
    /// [`TopicError::Io`].
    pub fn topics(&self) -> Result<Vec<TopicName>, TopicError> {
        Ok(self.all_topics()?.into_iter().filter(|topic| !topic.is_internal()).collect())
    }

    /// All topics, by name, with [internal ones](TopicName::is_internal).
    ///
    /// # Errors
    /// [`TopicError::Io`].
    pub fn all_topics(&self) -> Result<Vec<TopicName>, TopicError> {
        Ok(self.inner.shared.catalog.topics()?)
    }

    /// Returns once every partition that was there at the open has been recovered.
    #[cfg(feature = "test-util")]
    pub fn wait_recovered(&self) {
        let thread = self.inner.recovering.lock().take();
        if let Some(thread) = thread {
            let _ = thread.join(); // a panic there was printed there
        }
    }

    /// Recovers every partition that nobody has asked for yet, in this thread, as the store's own thread would.
    #[cfg(feature = "test-util")]
    pub fn recover_all(&self) {
        self.inner.shared.recover_rest(&self.inner.shared.catalog.topics().unwrap_or_default());
    }

    /// Does what threads would do by now, in a store that was opened [without them](StoreOptions::without_threads).
    #[cfg(feature = "test-util")]
    pub fn run_background(&self) {
        self.inner.shared.keeper.run_waiting();
    }

    /// Scrubs in this thread, in a store that was opened [without threads](StoreOptions::without_threads), as if so much time had passed.
    #[cfg(feature = "test-util")]
    pub fn scrub_for(&self, elapsed: Duration) {
        self.inner.shared.scrub_for(elapsed);
    }

    /// Bytes that no checkpoint covers, over all partitions that are open: what a recovery would have to scan.
    pub fn uncheckpointed_bytes(&self) -> u64 {
        self.inner.shared.open_logs().iter().map(|log| log.uncheckpointed_bytes()).sum()
    }

    /// A random number, from the storage.
    pub(crate) fn random(&self) -> u64 {
        self.inner.shared.catalog.storage.random()
    }

    /// Makes everything durable, checkpoints and closes all partitions, also those that others hold: their appends are refused from then on.
    ///
    /// # Errors
    /// [`SyncError`] if something could not be made durable. The store is closed all the same.
    pub fn close(self) -> Result<(), SyncError> {
        self.inner.close()
    }
}

impl StoreInner {
    /// The partition's log, recovered by the first who asks.
    pub(super) fn log(&self, topic: &TopicState, partition: u32) -> Result<Arc<Log>, TopicError> {
        self.shared.log(topic, partition)
    }

    pub(super) fn index_interval(&self) -> u32 {
        self.shared.config.index_interval_bytes
    }

    /// Repairs a partition that nobody has opened.
    pub(super) fn repair(&self, name: &TopicName, partition: u32) -> Result<PartitionRepair, TopicError> {
        let shared = &self.shared;
        let slot = shared.open.lock().entry((name.clone(), partition)).or_default().clone();
        let slot = slot.lock();
        assert!(slot.is_none(), "a store that is open for a repair opens no partition");
        let dir = shared.catalog.partition_dir(name, partition);
        Ok(repair(&shared.catalog.storage, &dir, RecoverHow::of(&shared.config))?)
    }

    fn close(&self) -> Result<(), SyncError> {
        if self.shared.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        drop(self.shared.naming.lock()); // whoever changes names now began before, and whoever comes is refused
        *self.shared.scrub_end.0.lock() = true;
        self.shared.scrub_end.1.notify_all();
        for thread in [self.recovering.lock().take(), self.scrubbing.lock().take()].into_iter().flatten() {
            let _ = thread.join(); // a panic there was printed there
        }
        *self.shared.scrubber.lock() = Scrubber::new(0); // it keeps what it was about to read
        self.threads.lock().stop();
        let slots: Vec<Slot> = self.shared.open.lock().drain().map(|(_, slot)| slot).collect();
        let mut outcome = Ok(());
        for log in slots.iter().filter_map(|slot| slot.lock().take()) {
            outcome = outcome.and(log.close());
        }
        if let Some(page) = &self.shared.page {
            page.unlock();
        }
        *self.lock.lock() = None;
        outcome
    }
}

impl Shared {
    pub(super) fn check_open(&self) -> Result<(), TopicError> {
        if self.closed.load(Ordering::Acquire) { Err(TopicError::Closed) } else { Ok(()) }
    }

    /// A topic, read from its directory by the first who asks, who waits for whoever is giving it its name or taking it away.
    pub(super) fn topic(&self, name: &TopicName) -> Result<Arc<TopicState>, TopicError> {
        match self.known_topic(name) {
            Some(known) => known,
            None => self.topic_in(name, &mut self.naming.lock()),
        }
    }

    fn known_topic(&self, name: &TopicName) -> Option<Result<Arc<TopicState>, TopicError>> {
        self.topics.lock().get(name).map(|topic| topic.check_there().map(|()| topic.clone()))
    }

    /// As [`topic`](Self::topic), for whoever holds `naming`.
    pub(super) fn topic_in(&self, name: &TopicName, unsure: &mut UnsureNames) -> Result<Arc<TopicState>, TopicError> {
        if let Some(known) = self.known_topic(name) {
            return known;
        }
        let files = self.catalog.topic_files(name)?.writable(name)?;
        if let Some(error) = self.unsure(unsure, name) {
            return Err(error.clone().into());
        }
        // A process that died may have left its name, or its catalogue, without a sync: nothing is acknowledged in what a power cut may take away.
        self.catalog.sync_topic(name).inspect_err(|error| self.note_unsure(unsure, name, error))?;
        self.catalog.remove_unfinished(&self.catalog.topic_dir(name))?;
        let _ = self.catalog.renew_copy(name); // else at the next change, or open
        let topic = Arc::new(TopicState::new(name.clone(), files.layout));
        self.topics.lock().insert(name.clone(), topic.clone());
        Ok(topic)
    }

    /// Notes that it is not known whether a power cut leaves the topic.
    fn note_unsure(&self, unsure: &mut UnsureNames, name: &TopicName, error: &TopicError) {
        if let TopicError::Io(error) | TopicError::Open(OpenError::Io(error)) = error
            && error.action == "sync"
            && self.catalog.topic_dir(name).starts_with(&error.path)
        {
            note_failed_sync(unsure, name, error);
        }
    }

    /// Why it is not known whether a power cut leaves a topic of the name, or its namespace.
    fn unsure<'a>(&self, unsure: &'a UnsureNames, name: &TopicName) -> Option<&'a IoError> {
        let dir = self.catalog.topic_dir(name);
        let above_namespace = dir.ancestors().nth(2);
        let of_namespace = |(other, error): &(&TopicName, &IoError)| {
            other.namespace == name.namespace && above_namespace.is_some_and(|above| above.starts_with(&error.path))
        };
        unsure.get(name).or_else(|| unsure.iter().find(of_namespace).map(|(_, error)| error))
    }

    /// The partition's log, recovered by the first who asks, and made if it is the first ever.
    pub(super) fn log(&self, topic: &TopicState, partition: u32) -> Result<Arc<Log>, TopicError> {
        topic.look(|layout| layout.entry(&topic.name, partition).map(drop))?;
        let slot = self.open.lock().entry((topic.name.clone(), partition)).or_default().clone();
        let mut slot = slot.lock();
        self.check_open()?;
        topic.check_there()?;
        if let Some(log) = &*slot {
            return Ok(log.clone());
        }
        if !topic.look(|layout| layout.entry(&topic.name, partition).map(|entry| entry.made))? {
            topic.change()?.make_partition(&self.catalog, partition, self.config.segment_bytes)?;
        }
        let dir = self.catalog.partition_dir(&topic.name, partition);
        let opened = Log::open(self.catalog.storage.clone(), &dir, &self.config, self.keeper.clone(), self.page.as_ref());
        let log = opened.map_err(|error| self.lost(topic, partition, error))?;
        let is_active = topic.look(|layout| layout.entry(&topic.name, partition).map(|entry| entry.is_active()))?;
        if !is_active {
            log.refuse_appends(Refusal::Split);
        }
        *slot = Some(log.clone());
        Ok(log)
    }

    /// Tells a directory that is gone from one that cannot be opened.
    fn lost(&self, topic: &TopicState, partition: u32, error: OpenError) -> TopicError {
        let is_lost = matches!(self.catalog.storage.kind(&self.catalog.partition_dir(&topic.name, partition)), Ok(None));
        let count = topic.look(Layout::count);
        if is_lost { TopicError::PartitionsMissing { topic: topic.name.to_string(), count, missing: vec![partition] } } else { error.into() }
    }

    /// Recovers partitions that nobody has asked for yet: what is left to do at their first use is little. Errors are for whoever asks.
    fn recover_ahead(&self, topic: &TopicState, partitions: &[u32]) {
        let slots: Vec<(u32, Slot)> = {
            let mut open = self.open.lock();
            partitions.iter().map(|&number| (number, open.entry((topic.name.clone(), number)).or_default().clone())).collect()
        };
        // Whoever asks for one of them waits. Nobody else holds more than one, but for a deletion, which takes them in this order too.
        let mut free: Vec<_> = slots.iter().map(|(number, slot)| (*number, slot.lock())).filter(|(_, slot)| slot.is_none()).collect();
        if self.check_open().is_err() || topic.check_there().is_err() {
            return;
        }
        let dirs: Vec<PathBuf> = free.iter().map(|(number, _)| self.catalog.partition_dir(&topic.name, *number)).collect();
        let others = recover_many(&self.catalog.storage, &self.catalog.dir, &dirs, &self.config);
        let others: Vec<u32> = others.into_iter().map(|other| free[other].0).collect();
        // A whole recovery can take long: nobody waits for that of another.
        free.clear();
        for number in others {
            let _ = self.log(topic, number); // what there is to tell is told to whoever opens it
        }
    }

    /// Recovers what nobody asks for, until the store is closed.
    fn recover_rest(&self, topics: &[TopicName]) {
        for name in topics {
            // What is wrong with a topic is told to whoever opens it.
            let topic = match (self.topic(name), self.catalog.topic_files(name)) {
                (Ok(topic), _) => topic,
                (Err(TopicError::PartitionsMissing { .. }), Ok(files)) => Arc::new(TopicState::new(name.clone(), files.layout)),
                _ => continue,
            };
            let Ok(there) = self.catalog.partition_numbers(name) else { continue };
            let made: Vec<u32> = topic.layout().made().into_iter().filter(|number| there.binary_search(number).is_ok()).collect();
            for some in made.chunks(RECOVERED_AT_ONCE) {
                if self.closed.load(Ordering::Acquire) {
                    return;
                }
                self.recover_ahead(&topic, some);
            }
        }
    }
}

impl Shared {
    /// Scrubs until the store is closed.
    fn scrub(&self) {
        let mut before = Instant::now();
        loop {
            let (ended, changed) = &self.scrub_end;
            let mut is_ended = ended.lock();
            if !*is_ended {
                changed.wait_for(&mut is_ended, SCRUB_TICK);
            }
            if *is_ended {
                return;
            }
            drop(is_ended);
            let now = Instant::now();
            // Time that the machine slept through is not made up for.
            self.scrub_for((now - before).min(SCRUB_TICK * 10));
            before = now;
        }
    }

    fn scrub_for(&self, elapsed: Duration) {
        self.scrubber.lock().run_for(elapsed, || self.open_logs(), || self.closed.load(Ordering::Acquire));
    }

    /// Without those that are being recovered now.
    fn open_logs(&self) -> Vec<Arc<Log>> {
        self.open.lock().values().filter_map(|slot| slot.try_lock()?.clone()).collect()
    }
}

impl Drop for StoreInner {
    fn drop(&mut self) {
        let _ = self.close(); // whoever wants to hear of a failure calls `close`
    }
}

/// Unless there was no descriptor to sync by: then nothing was tried, and the next try proves as much as any.
pub(super) fn note_failed_sync(unsure: &mut UnsureNames, name: &TopicName, error: &IoError) {
    if !error.source.raw_os_error().is_some_and(|number| NO_DESCRIPTOR.contains(&number)) {
        unsure.insert(name.clone(), error.clone());
    }
}

/// ENFILE, EMFILE.
const NO_DESCRIPTOR: [i32; 2] = [23, 24];

/// Twice as many as partitions that are there, and one for each that may be made, within reason.
fn live_slots(catalog: &Catalog, topics: &[TopicName]) -> usize {
    let (mut there, mut all) = (0, 0);
    for files in topics.iter().filter_map(|name| catalog.topic_files(name).ok()) {
        there += files.there.len();
        all += files.layout.count() as usize;
    }
    (there * 2).max(all.min(LIVE_SLOTS_UNUSED_MAX)).max(LIVE_SLOTS_MIN)
}

fn take_lock(catalog: &Catalog) -> Result<Box<dyn Lock>, OpenError> {
    let (storage, dir) = (&catalog.storage, &catalog.dir);
    let text = dir.join(LOCK_NAME);
    let Some(lock) = storage.lock(dir).at("lock", dir)? else {
        let pid = read_file(&**storage, &text, 64).ok().and_then(|bytes| String::from_utf8(bytes).ok()?.trim().parse().ok());
        return Err(OpenError::Locked { path: dir.clone(), pid });
    };
    match write_for_people(&**storage, &text, format!("{}\n", std::process::id()).as_bytes()) {
        // The lock is the store's own: what stands in the place of the text for people keeps nobody out.
        Err(_) if matches!(storage.kind(&text), Ok(Some(Kind::Directory))) => Ok(lock),
        written => written.map(|()| lock).map_err(|error| IoError::new("write", &text, error).into()),
    }
}

/// In place and without a sync, which would be most of what an open takes: whatever a crash leaves of it, the lock is not in it.
fn write_for_people(storage: &dyn Storage, path: &Path, text: &[u8]) -> io::Result<()> {
    let file = match storage.open(path, Access::ReadWrite) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => storage.create(path)?,
        // No regular file, which is never written through, or one of somebody else.
        Err(_) => return replace_file(storage, path, text),
        Ok(file) => file,
    };
    write_all_at(&*file, text, 0)?;
    file.set_len(text.len() as u64)
}

/// Enough that their syncs count for little, few enough that whoever waits for one of them does not wait long.
const RECOVERED_AT_ONCE: usize = 64;
const LIVE_SLOTS_MIN: usize = 1024;
const LIVE_SLOTS_UNUSED_MAX: usize = 1 << 16;
const SCRUB_TICK: Duration = Duration::from_millis(100);
