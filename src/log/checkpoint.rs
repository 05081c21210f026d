//! The CHECKPOINT file: reads both slots, writes one or both in place. Never decides what is durable.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidelog_format::{CHECKPOINT_NAME, Checkpoint, DecodeError, SLOT_BYTES, Terms};

use crate::error::{IoContext, IoError, OpenError};
use crate::io::{Access, File, Storage, read_full_at, replace_file, write_all_at};
use crate::log::decision::Found;

/// The CHECKPOINT file of one partition, open only while it is written.
#[derive(Debug)]
pub(crate) struct CheckpointFile {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    /// Counter of the newest slot.
    counter: u64,
    /// What every slot says of the log's terms. Whoever raises the term holds this file.
    pub(crate) terms: Terms,
}

/// How often a fact is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slots {
    /// Once: losing it costs time.
    One,
    /// In both slots, each synced: it licenses destruction.
    Both,
}

impl CheckpointFile {
    pub(crate) fn new(storage: Arc<dyn Storage>, dir: &Path, counter: u64, terms: Terms) -> Self {
        Self { storage, path: dir.join(CHECKPOINT_NAME), counter, terms }
    }

    /// Makes the file with both slots, before the partition has a name or in place of one that is gone.
    pub(crate) fn create(&mut self, checkpoint: Checkpoint) -> Result<(), IoError> {
        let mut bytes = vec![0; 2 * SLOT_BYTES];
        for ahead in [1, 2] {
            let slot = Checkpoint { counter: self.counter.wrapping_add(ahead), ..checkpoint };
            let at = slot.slot_position().get() as usize;
            bytes[at..at + SLOT_BYTES].copy_from_slice(&slot.encode());
        }
        replace_file(&*self.storage, &self.path, &bytes).at("write", &self.path)?;
        self.counter = self.counter.wrapping_add(2);
        Ok(())
    }

    /// Writes the next slot, or both, each synced. What it names must be durable already.
    pub(crate) fn write(&mut self, checkpoint: Checkpoint, slots: Slots) -> Result<(), IoError> {
        for _ in 0..if slots == Slots::Both { 2 } else { 1 } {
            self.store(checkpoint)?.sync().at("sync", &self.path)?;
        }
        Ok(())
    }

    /// Writes the next slot. It counts once the file that is returned was synced.
    pub(crate) fn store(&mut self, mut checkpoint: Checkpoint) -> Result<Arc<dyn File>, IoError> {
        let opened = self.storage.open(&self.path, Access::ReadWrite).and_then(|file| Ok((file.len()?, file)));
        let file = match opened {
            Ok((len, file)) if len == 2 * SLOT_BYTES as u64 => file,
            Err(error) if error.kind() != io::ErrorKind::NotFound && error.kind() != io::ErrorKind::InvalidInput => {
                return Err(IoError::new("open", &self.path, error));
            }
            // Gone, of another size or no file at all: a new one takes its name.
            _ => {
                self.create(checkpoint)?;
                self.storage.open(&self.path, Access::ReadWrite).at("open", &self.path)?
            }
        };
        self.counter = self.counter.wrapping_add(1);
        checkpoint.counter = self.counter;
        write_all_at(&*file, &checkpoint.encode(), checkpoint.slot_position().get()).at("write", &self.path)?;
        Ok(file)
    }
}

/// What the file says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slotted {
    /// The newest valid slot of this partition.
    pub(crate) newest: Option<Checkpoint>,
    /// Highest log start of any valid slot.
    pub(crate) log_start: Option<u64>,
    /// Whether both slots name that log start: the first was synced before the second was written.
    pub(crate) is_settled: bool,
    /// Counter of the newest slot, 0 without one.
    pub(crate) counter: u64,
    /// What is odd about the file.
    pub(crate) found: Vec<Found>,
}

/// The bytes of the file, read once: whose slots they must be may be known only later.
#[derive(Debug)]
pub(crate) struct LoadedSlots {
    path: PathBuf,
    /// `None` if there is no such file.
    bytes: Option<Vec<u8>>,
}

/// Reads the file.
///
/// # Errors
/// [`OpenError::Io`] if reading fails; no file, or none that is regular, is no error.
pub(crate) fn load_slots(storage: &dyn Storage, dir: &Path) -> Result<LoadedSlots, OpenError> {
    let path = dir.join(CHECKPOINT_NAME);
    let file = match storage.open(&path, Access::Read) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => return Ok(LoadedSlots { path, bytes: None }),
        Err(error) => return Err(IoError::new("open", &path, error).into()),
    };
    let mut bytes = vec![0; 2 * SLOT_BYTES];
    let read = read_full_at(&*file, &mut bytes, 0).at("read", &path)?;
    bytes.truncate(read);
    Ok(LoadedSlots { path, bytes: Some(bytes) })
}

/// Reads both slots. `uuid` is the partition's, if it is known.
///
/// # Errors
/// [`OpenError::Io`] if reading fails, [`OpenError::Unsupported`] for a slot of a newer version.
pub(crate) fn read_slots(storage: &dyn Storage, dir: &Path, uuid: Option<[u8; 16]>) -> Result<Slotted, OpenError> {
    load_slots(storage, dir)?.of(uuid)
}

impl LoadedSlots {
    /// What the slots of the partition `uuid` say, or, with `None`, all slots.
    ///
    /// # Errors
    /// [`OpenError::Unsupported`] for a slot of a newer version.
    pub(crate) fn of(&self, uuid: Option<[u8; 16]>) -> Result<Slotted, OpenError> {
        let Some(bytes) = &self.bytes else { return Ok(Slotted { found: vec![Found::CheckpointAbsent], ..Slotted::default() }) };
        let (mut slotted, mut unreadable, mut foreign) = (Slotted::default(), 0, false);
        let mut log_starts = Vec::with_capacity(2);
        for slot in bytes.chunks(SLOT_BYTES) {
            match Checkpoint::decode(slot) {
                Ok(found) if uuid.is_none_or(|uuid| uuid == found.partition_uuid) => {
                    log_starts.push(found.log_start.get());
                    if slotted.newest.is_none_or(|newest| found.is_newer_than(&newest)) {
                        slotted.newest = Some(found);
                    }
                }
                Ok(_) => foreign = true,
                Err(source @ (DecodeError::Version { .. } | DecodeError::Incompatible { .. })) => {
                    return Err(OpenError::Unsupported { path: self.path.clone(), source });
                }
                // A slot that was never written is no fault.
                Err(DecodeError::Magic { found: 0, .. }) if slot.iter().all(|&byte| byte == 0) => {}
                Err(_) => unreadable += 1,
            }
        }
        slotted.log_start = log_starts.iter().max().copied();
        slotted.counter = slotted.newest.map_or(0, |newest| newest.counter);
        slotted.is_settled = log_starts.len() == 2 && log_starts[0] == log_starts[1];
        match slotted.newest {
            Some(_) if unreadable > 0 => slotted.found.push(Found::SlotUnreadable),
            Some(_) => {}
            None if foreign => slotted.found.push(Found::CheckpointForeign),
            None => slotted.found.push(Found::CheckpointUnreadable),
        }
        Ok(slotted)
    }
}
