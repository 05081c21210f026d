//! What is taken out of a log: kept for people to look at, durably, before it is gone from where it stood. Decides nothing.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tidelog_format::QUARANTINE_NAME;

use crate::clock::now;
use crate::error::{IoContext, IoError};
use crate::io::{Access, File, Kind, Storage, read_full_at, write_all_at, write_zeros};
use crate::log::files::SegmentFile;

/// What is set aside of the partition in a directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quarantine<'a> {
    pub(crate) storage: &'a dyn Storage,
    /// The partition's.
    pub(crate) dir: &'a Path,
}

impl Quarantine<'_> {
    /// Copies what stands from `from` to `to` in a segment, without the zeros behind it. Returns the name of the copy, if it is not all zeros.
    ///
    /// # Errors
    /// [`IoError`]; then a copy is there whole or not at all.
    pub(crate) fn keep(self, segment: &SegmentFile, from: u64, to: u64) -> Result<Option<String>, IoError> {
        let (source, mut copy) = (segment.open()?, None);
        let copied = for_each_used(&*source, &segment.path, (from, to), |at, bytes| {
            let copy = match &mut copy {
                Some(copy) => copy,
                None => copy.insert(self.begin_copy(segment, from)?),
            };
            write_all_at(&*copy.file, bytes, at - from).at("write", &copy.temporary)
        });
        let Some(copy) = copy else { return copied.map(|()| None) };
        let named = copied.and_then(|()| self.name(&copy));
        if named.is_err() {
            let _ = self.storage.unlink(&copy.temporary); // it takes room
        }
        named.map(Some)
    }

    fn begin_copy(self, segment: &SegmentFile, from: u64) -> Result<Copy, IoError> {
        let name = format!("{}-{from:010}.bin", segment.id.log_name().trim_end_matches(".log"));
        let dir = self.directory()?;
        let temporary = dir.join(format!("{name}.tmp"));
        remove_old(self.storage, &temporary)?;
        let file = self.storage.create(&temporary).at("create", &temporary)?;
        Ok(Copy { file, name, dir, temporary })
    }

    fn name(self, copy: &Copy) -> Result<String, IoError> {
        copy.file.sync().at("sync", &copy.temporary)?;
        let named = |name: String| {
            let target = copy.dir.join(&name);
            self.storage.rename_new(&copy.temporary, &target).map(|()| name)
        };
        let target = copy.dir.join(&copy.name);
        let name = match named(copy.name.clone()) {
            // Who was killed right behind it, or found no room for more, comes again.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && self.is_same(&copy.temporary, &target).unwrap_or(false) => {
                remove_old(self.storage, &copy.temporary)?;
                copy.name.clone()
            }
            // What was kept of that place before stays.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => named(format!("{}.{}", copy.name, now().get())).at("name", &target)?,
            other => other.at("name", &target)?,
        };
        self.storage.sync_dir(&copy.dir).at("sync", &copy.dir)?;
        Ok(name)
    }

    fn is_same(self, one: &Path, other: &Path) -> Result<bool, IoError> {
        let open = |path: &Path| self.storage.open(path, Access::Read).at("open", path);
        let (first, second) = (open(one)?, open(other)?);
        let len = first.len().at("measure", one)?;
        if second.len().at("measure", other)? != len {
            return Ok(false);
        }
        let (mut ours, mut theirs) = (vec![0; PIECE_BYTES as usize], vec![0; PIECE_BYTES as usize]);
        for at in (0..len).step_by(PIECE_BYTES as usize) {
            let read = read_full_at(&*first, &mut ours, at).at("read", one)?;
            if read_full_at(&*second, &mut theirs, at).at("read", other)? != read || ours[..read] != theirs[..read] {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(crate) fn path(self) -> PathBuf {
        self.dir.join(QUARANTINE_NAME)
    }

    /// Moves a file of the partition here, with the time behind its name. Whether it was there.
    ///
    /// # Errors
    /// [`IoError`].
    pub(crate) fn take(self, name: &str) -> Result<bool, IoError> {
        let (directory, path) = (self.directory()?, self.dir.join(name));
        match self.storage.rename_new(&path, &directory.join(format!("{name}.{}", now().get()))) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(IoError::new("set aside", &path, error)),
        }
        self.storage.sync_dir(&directory).at("sync", &directory)?;
        self.storage.sync_dir(self.dir).at("sync", self.dir)?;
        Ok(true)
    }

    /// The directory of what is set aside, made if it is not there.
    ///
    /// # Errors
    /// [`IoError`].
    pub(crate) fn directory(self) -> Result<PathBuf, IoError> {
        let (storage, dir) = (self.storage, self.dir);
        let quarantine = self.path();
        if storage.kind(&quarantine).at("look at", &quarantine)?.is_some_and(|kind| kind != Kind::Directory) {
            // Not ours, and never written through.
            let aside = dir.join(format!("{QUARANTINE_NAME}.{}", now().get()));
            storage.rename_new(&quarantine, &aside).at("set aside", &quarantine)?;
        }
        match storage.create_dir(&quarantine) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(IoError::new("create", &quarantine, error)),
            _ => {}
        }
        storage.sync_dir(dir).at("sync", dir)?;
        Ok(quarantine)
    }
}

/// A copy that does not have its name yet.
struct Copy {
    file: std::sync::Arc<dyn File>,
    name: String,
    dir: PathBuf,
    temporary: PathBuf,
}

/// Takes away, durably, what stands behind `end` in a segment. What is behind its capacity is of no writer, and stays: then zeros are written.
///
/// # Errors
/// [`IoError`].
pub(crate) fn cut_off(storage: &dyn Storage, segment: &SegmentFile, end: u64) -> Result<(), IoError> {
    let (path, capacity) = (&segment.path, segment.header.capacity);
    let file = storage.open(path, Access::ReadWrite).at("open", path)?;
    if file.len().at("measure", path)? > capacity {
        for_each_used(&*file, path, (end, capacity), |at, bytes| write_zeros(&*file, at, at + bytes.len() as u64).at("write", path))?;
    } else {
        file.set_len(end).at("shrink", path)?;
    }
    file.sync().at("sync", path)
}

/// Where the zeros begin that a segment ends in, within its capacity; at `from` if all are.
///
/// # Errors
/// [`IoError`].
pub(crate) fn used_end(segment: &SegmentFile, from: u64) -> Result<u64, IoError> {
    let mut end = from;
    for_each_used(&*segment.open()?, &segment.path, (from, segment.len_within()), |at, bytes| {
        end = at + bytes.len() as u64;
        Ok(())
    })?;
    Ok(end)
}

/// Removes a file, if it is there.
///
/// # Errors
/// [`IoError`].
pub(crate) fn remove_old(storage: &dyn Storage, path: &Path) -> Result<(), IoError> {
    match storage.unlink(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(IoError::new("remove", path, error)),
        _ => Ok(()),
    }
}

/// Reads a range, as far as the file goes, in pieces, and hands on those that are not all zeros, each without the zeros behind it.
fn for_each_used(
    file: &dyn File,
    path: &Path,
    (from, to): (u64, u64),
    mut each: impl FnMut(u64, &[u8]) -> Result<(), IoError>,
) -> Result<(), IoError> {
    let mut bytes = vec![0; PIECE_BYTES.min(to.saturating_sub(from)) as usize];
    let mut at = from;
    while at < to {
        let want = PIECE_BYTES.min(to - at) as usize;
        let read = read_full_at(file, &mut bytes[..want], at).at("read", path)?;
        if read == 0 {
            break;
        }
        if let Some(last) = bytes[..read].iter().rposition(|&byte| byte != 0) {
            each(at, &bytes[..=last])?;
        }
        at += read as u64;
    }
    Ok(())
}

const PIECE_BYTES: u64 = 1 << 20;
