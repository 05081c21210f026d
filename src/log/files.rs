//! What files a partition directory holds, and what their headers say. Judges no frames and changes nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidelog_format::{
    CHECKPOINT_NAME, DecodeError, FRAME_ALIGN, FRAME_MAGIC, FileName, Frame, FrameHeader, META_NAME, Meta, Offset, Position, SEAL_BYTES,
    SEGMENT_BYTES_MAX, SEGMENT_HEADER_BYTES, SEQ_MAX, SegmentHeader, SegmentId, all_zero, decode_seal_at_end, resync,
};

use crate::error::{IoContext, IoError, OpenError};
use crate::io::{Access, File, Kind, Storage, read_file, read_full_at};
use crate::log::checkpoint::{Slotted, load_slots};
use crate::log::decision::Found;
use crate::log::offset_index::StoredIndex;

/// A partition directory as found.
#[derive(Debug)]
pub(crate) struct PartitionFiles {
    pub(crate) uuid: Option<[u8; 16]>,
    pub(crate) meta: Option<Meta>,
    pub(crate) slots: Slotted,
    /// Segments with a header that can be believed.
    pub(crate) segments: Vec<SegmentFile>,
    /// Segments without one.
    pub(crate) headerless: Vec<Headerless>,
    /// Segments that have a file under the name of their index.
    pub(crate) indexes: Vec<SegmentId>,
    /// Files under our names that are not what the name says.
    pub(crate) strays: Vec<String>,
    /// Files that were not named yet when the process ended, and indexes of segments that are gone.
    pub(crate) unfinished: Vec<String>,
    /// No regular files, under names of files that are written anew: in the way.
    pub(crate) in_the_way: Vec<String>,
    pub(crate) found: Vec<(Found, String)>,
    /// Highest sequence number of any segment that is named, whatever is there: new ones are above. A spare is removed before one is made.
    pub(crate) seq_max: u64,
}

/// A segment file.
#[derive(Debug, Clone)]
pub(crate) struct SegmentFile {
    pub(crate) id: SegmentId,
    pub(crate) header: SegmentHeader,
    storage: Arc<dyn Storage>,
    pub(crate) path: PathBuf,
    pub(crate) len: u64,
    /// The header was damaged and put together from other evidence.
    pub(crate) rebuilt: bool,
    /// The header had one wrong bit; this is what it was.
    pub(crate) corrected: Option<[u8; SEGMENT_HEADER_BYTES]>,
}

/// A segment without a header that can be believed, nor a copy of its salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Headerless {
    pub(crate) id: SegmentId,
    /// Nothing but zeros in it.
    pub(crate) is_empty: bool,
}

impl SegmentFile {
    /// Opens the file for as long as it is read: a long log has more segments than a process may have descriptors.
    pub(crate) fn open(&self) -> Result<Arc<dyn File>, IoError> {
        self.storage.open(&self.path, Access::Read).at("open", &self.path)
    }

    /// How long it is without what stands behind its capacity, which no writer left.
    pub(crate) fn len_within(&self) -> u64 {
        self.len.min(self.header.capacity)
    }

    /// Whether nothing was ever appended to it, or all of it was taken away.
    pub(crate) fn is_unused(&self) -> Result<bool, IoError> {
        is_zero(&*self.open()?, &self.path, SEGMENT_HEADER_BYTES as u64, self.len_within())
    }

    /// The last bytes of the file, as far as its capacity goes.
    pub(crate) fn tail(&self) -> Result<Vec<u8>, IoError> {
        let len = self.len.min(SEAL_BYTES as u64);
        let mut bytes = vec![0; len as usize];
        let read = read_full_at(&*self.open()?, &mut bytes, self.len - len).at("read", &self.path)?;
        bytes.truncate(read);
        Ok(bytes)
    }
}

/// Lists a partition directory and reads what identifies its files.
///
/// # Errors
/// [`OpenError::Io`] if anything but a missing name fails, [`OpenError::Unsupported`] for a file of a newer version.
pub(crate) fn read_files(storage: &Arc<dyn Storage>, dir: &Path) -> Result<PartitionFiles, OpenError> {
    let mut found = Vec::new();
    let meta = read_meta(&**storage, dir, &mut found)?;
    // Before the list: a log only grows past what its checkpoint said.
    let loaded = load_slots(&**storage, dir)?;
    let slots = loaded.of(None)?;
    let mut files = PartitionFiles {
        uuid: None,
        meta,
        segments: Vec::new(),
        headerless: Vec::new(),
        indexes: Vec::new(),
        strays: Vec::new(),
        unfinished: Vec::new(),
        in_the_way: Vec::new(),
        seq_max: 0,
        slots,
        found,
    };
    files.note_seq(files.slots.newest.map_or(0, |slot| slot.active_seq));
    let mut entries = storage.list(dir).at("list", dir)?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<_> = entries.iter().filter_map(|entry| Some((entry.name.to_str()?, entry.kind, FileName::parse(entry.name.to_str()?)?))).collect();
    let logs: Vec<SegmentId> = names.iter().filter_map(|(_, _, name)| if let FileName::Log(id) = name { Some(*id) } else { None }).collect();
    for (name, kind, parsed) in &names {
        files.add(storage, dir, name, *kind, *parsed, &logs)?;
    }
    files.seq_max = files.segments.iter().map(|segment| segment.id.seq).fold(files.seq_max, u64::max);
    files.settle_uuid();
    files.check_place(dir)?;
    files.settle_copies();
    files.slots = loaded.of(files.uuid)?;
    files.found.extend(files.slots.found.iter().map(|found| (*found, CHECKPOINT_NAME.to_owned())));
    Ok(files)
}

fn read_meta(storage: &dyn Storage, dir: &Path, found: &mut Vec<(Found, String)>) -> Result<Option<Meta>, OpenError> {
    let path = dir.join(META_NAME);
    match read_file(storage, &path, META_BYTES_MAX) {
        Ok(bytes) => match Meta::decode(&bytes) {
            Ok(meta) => return Ok(Some(meta)),
            Err(source) if source.is_unsupported() => return Err(OpenError::Unsupported { path, source }),
            Err(_) => {}
        },
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {}
        Err(error) => return Err(IoError::new("read", &path, error).into()),
    }
    found.push((Found::MetaUnreadable, META_NAME.to_owned()));
    Ok(None)
}

impl PartitionFiles {
    fn add(&mut self, storage: &Arc<dyn Storage>, dir: &Path, name: &str, kind: Kind, parsed: FileName, logs: &[SegmentId]) -> Result<(), OpenError> {
        let is_file = kind == Kind::File;
        match parsed {
            FileName::Quarantine => return Ok(()),
            FileName::Log(id) => {
                self.note_seq(id.seq);
                if is_file {
                    return self.read_segment(storage, dir, id);
                }
                self.found.push((Found::NotRegular, name.to_owned()));
                return Ok(());
            }
            FileName::Index(id) if is_file && logs.contains(&id) => {
                self.indexes.push(id);
                return Ok(());
            }
            FileName::Meta | FileName::Checkpoint | FileName::Report(_) if is_file => return Ok(()),
            _ => {}
        }
        let is_written_over = matches!(parsed, FileName::Meta | FileName::Checkpoint | FileName::Report(_)) || kind == Kind::Directory;
        if is_written_over {
            self.found.push((Found::NotRegular, name.to_owned()));
            self.in_the_way.push(name.to_owned());
        } else {
            self.unfinished.push(name.to_owned());
        }
        Ok(())
    }

    /// A name is under no checksum, and a checkpoint names what may not be there: neither takes the numbers of what is still to be made.
    fn note_seq(&mut self, seq: u64) {
        if seq <= SEQ_NAMED_MAX {
            self.seq_max = self.seq_max.max(seq);
        }
    }

    /// Refuses a partition whose segments use up the numbers that a file can have: what was appended to one more could not be read.
    ///
    /// # Errors
    /// [`OpenError::Unsupported`].
    pub(crate) fn check_seq(&self, dir: &Path) -> Result<(), OpenError> {
        let source = DecodeError::Field { what: "seq", found: self.seq_max };
        if self.seq_max > SEQ_USED_MAX { Err(OpenError::Unsupported { path: dir.to_owned(), source }) } else { Ok(()) }
    }

    fn read_segment(&mut self, storage: &Arc<dyn Storage>, dir: &Path, id: SegmentId) -> Result<(), OpenError> {
        let path = dir.join(id.log_name());
        let file = match storage.open(&path, Access::Read) {
            Ok(file) => file,
            // Gone since it was listed: a writer dropped it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(IoError::new("open", &path, error).into()),
        };
        let len = file.len().at("measure", &path)?;
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let read = read_full_at(&*file, &mut bytes, 0).at("read", &path)?;
        match SegmentHeader::decode(&bytes[..read]) {
            Ok(header) if header.base_offset == id.base() && header.seq == id.seq => {
                if len > header.capacity {
                    self.found.push((Found::TooLong, id.log_name()));
                }
                self.segments.push(SegmentFile { id, header, storage: storage.clone(), path, len, rebuilt: false, corrected: None });
            }
            Ok(_) => self.stray(id),
            Err(source) if source.is_unsupported() => return Err(OpenError::Unsupported { path, source }),
            Err(_) => {
                let is_empty = len <= EMPTY_BYTES_MAX && is_zero(&*file, &path, 0, len)?;
                let segment =
                    SegmentFile { id, header: rebuilt_header(id, 1, len), storage: storage.clone(), path, len, rebuilt: true, corrected: None };
                let known = if is_empty { None } else { self.rebuild(&**storage, dir, segment, &bytes[..read])? };
                match known {
                    Some(segment) => {
                        self.found.push((Found::HeaderBadSaltKnown, id.log_name()));
                        self.segments.push(segment);
                    }
                    None => self.headerless.push(Headerless { id, is_empty }),
                }
            }
        }
        Ok(())
    }

    /// Keys are routed by the number of a partition: one in the place of another is not taken for it.
    fn check_place(&self, dir: &Path) -> Result<(), OpenError> {
        let expected = dir.file_name().and_then(|name| name.to_str()?.parse().ok());
        match (&self.meta, expected) {
            (Some(meta), Some(expected)) if meta.index != expected => Err(OpenError::Misplaced { path: dir.to_owned(), found: meta.index, expected }),
            _ => Ok(()),
        }
    }

    fn stray(&mut self, id: SegmentId) {
        self.found.push((Found::StrayFile, id.log_name()));
        self.strays.push(id.log_name());
    }

    /// A damaged header does not cost the segment: one wrong bit is found by trying each, and the salt is also in the seal, the index and
    /// the checkpoint. What verifies the first frame is the right one.
    fn rebuild(&self, storage: &dyn Storage, dir: &Path, mut segment: SegmentFile, header: &[u8]) -> Result<Option<SegmentFile>, OpenError> {
        if let Some((bytes, header)) = correct_one_bit(header, segment.id) {
            (segment.header, segment.rebuilt, segment.corrected) = (header, false, Some(bytes));
            return Ok(Some(segment));
        }
        let own = header.get(SALT_AT..).and_then(|bytes| bytes.first_chunk()).map(|bytes| u64::from_le_bytes(*bytes));
        let index = StoredIndex::open(storage, dir, segment.id, None).map(|index| index.header.salt);
        let slot = self.slots.newest.filter(|slot| slot.active_seq == segment.id.seq).map(|slot| slot.active_salt);
        let salts: Vec<u64> = [own, index, slot].into_iter().flatten().filter(|salt| *salt != 0).collect();
        let known = match first_known(&salts, |salt| frame_under(&segment, salt))? {
            None => search_known(&segment, salts)?,
            known => known,
        };
        let Some((salt, frame)) = known else { return Ok(None) };
        segment.header = SegmentHeader { leader_epoch: frame.leader_epoch, chain_seed: frame.chain, ..rebuilt_header(segment.id, salt, segment.len) };
        Ok(Some(segment))
    }

    /// A salt is of one file alone. A copy of it under another number, whose own header does not tell it from the original, is a stray.
    fn settle_copies(&mut self) {
        let is_original = |segment: &SegmentFile, other: &SegmentFile| (other.rebuilt, other.id.seq) < (segment.rebuilt, segment.id.seq);
        let is_copy = |segment: &&SegmentFile| {
            // Any other header says itself which number it has.
            segment.rebuilt && self.segments.iter().any(|other| other.header.salt == segment.header.salt && is_original(segment, other))
        };
        let copies: Vec<SegmentId> = self.segments.iter().filter(is_copy).map(|segment| segment.id).collect();
        self.segments.retain(|segment| !copies.contains(&segment.id));
        copies.into_iter().for_each(|id| self.stray(id));
    }

    /// Whose partition this is: META's, unless its segments and its checkpoint say otherwise; then what most of them say. The odd ones out
    /// are strays.
    fn settle_uuid(&mut self) {
        let slot = self.slots.newest.map(|slot| slot.partition_uuid);
        let said: Vec<[u8; 16]> = self.segments.iter().filter(|segment| !segment.rebuilt).map(|segment| segment.header.partition_uuid).collect();
        let votes = |uuid: &[u8; 16]| (said.iter().filter(|other| *other == uuid).count(), slot == Some(*uuid));
        let meta = self.meta.as_ref().map(|meta| meta.uuid);
        let is_known = |uuid: &[u8; 16]| said.is_empty() || said.contains(uuid) || slot == Some(*uuid);
        self.uuid = meta.filter(is_known).or_else(|| said.iter().copied().max_by_key(votes)).or(slot);
        if meta.is_some() && meta != self.uuid {
            self.meta = None;
            self.found.push((Found::MetaUnreadable, META_NAME.to_owned()));
        }
        let Some(uuid) = self.uuid else { return };
        let (ours, odd): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.segments).into_iter().partition(|segment| segment.rebuilt || segment.header.partition_uuid == uuid);
        self.segments = ours;
        odd.iter().for_each(|segment| self.stray(segment.id));
        self.segments.iter_mut().filter(|segment| segment.rebuilt).for_each(|segment| segment.header.partition_uuid = uuid);
    }
}

/// The header that these bytes were before one of their bits changed.
fn correct_one_bit(bytes: &[u8], id: SegmentId) -> Option<([u8; SEGMENT_HEADER_BYTES], SegmentHeader)> {
    let mut bytes: [u8; SEGMENT_HEADER_BYTES] = bytes.try_into().ok()?;
    for bit in 0..SEGMENT_HEADER_BYTES * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        match SegmentHeader::decode(&bytes) {
            Ok(header) if header.base_offset == id.base() && header.seq == id.seq => return Some((bytes, header)),
            _ => bytes[bit / 8] ^= 1 << (bit % 8),
        }
    }
    None
}

/// The first of these salts under which a frame is found, and that frame.
fn first_known(salts: &[u64], find: impl Fn(u64) -> Result<Option<FrameHeader>, IoError>) -> Result<Option<(u64, FrameHeader)>, IoError> {
    salts.iter().find_map(|&salt| find(salt).map(|frame| frame.map(|frame| (salt, frame))).transpose()).transpose()
}

/// The same where none of these salts is under the first frame: the seal may have another, and the first frame may be damaged with the header,
/// which stands before it.
fn search_known(segment: &SegmentFile, mut salts: Vec<u64>) -> Result<Option<(u64, FrameHeader)>, IoError> {
    let is_searched = segment.len <= SEARCHED_BYTES_MAX;
    if !is_searched && !has_first_frame(segment)? {
        return Ok(None);
    }
    salts.extend(seal_salt(segment)?);
    match first_known(&salts, |salt| frame_under(segment, salt))? {
        None if is_searched => first_known(&salts, |salt| any_frame_under(segment, salt)),
        known => Ok(known),
    }
}

/// The header of the first frame of a segment, if `salt` is the segment's.
fn frame_under(segment: &SegmentFile, salt: u64) -> Result<Option<FrameHeader>, IoError> {
    let (file, start) = (segment.open()?, SEGMENT_HEADER_BYTES as u64);
    let read = |want: u64| {
        let mut bytes = vec![0; segment.len.saturating_sub(start).min(want) as usize];
        let read = read_full_at(&*file, &mut bytes, start).at("read", &segment.path)?;
        bytes.truncate(read);
        Ok::<_, IoError>(bytes)
    };
    let mut bytes = read(FIRST_FRAME_BYTES)?;
    if let Err(DecodeError::Truncated { needed, .. }) = Frame::decode(&bytes, salt, Position::new(start)) {
        bytes = read(needed as u64)?;
    }
    let header = Frame::decode(&bytes, salt, Position::new(start)).ok().map(|frame| frame.header);
    Ok(header.filter(|header| header.base_offset == segment.id.base()))
}

/// The header of the first whole frame anywhere in a segment, if `salt` is the segment's.
fn any_frame_under(segment: &SegmentFile, salt: u64) -> Result<Option<FrameHeader>, IoError> {
    let mut bytes = vec![0; segment.len as usize];
    let read = read_full_at(&*segment.open()?, &mut bytes, 0).at("read", &segment.path)?;
    let start = Position::new(SEGMENT_HEADER_BYTES as u64);
    let frames = bytes[..read].get(SEGMENT_HEADER_BYTES..).unwrap_or_default();
    let below = Offset::new(u64::MAX);
    Ok(resync(frames, start, salt, segment.id.base(), below).map(|found| found.frame.header))
}

fn has_first_frame(segment: &SegmentFile) -> Result<bool, IoError> {
    let mut magic = [0; size_of::<u32>()];
    let read = read_full_at(&*segment.open()?, &mut magic, SEGMENT_HEADER_BYTES as u64).at("read", &segment.path)?;
    Ok(read == magic.len() && magic == FRAME_MAGIC.to_le_bytes())
}

/// The salt in the seal, wherever in the file it is: a file that was sealed just before a crash was not cut to its size.
fn seal_salt(segment: &SegmentFile) -> Result<Option<u64>, IoError> {
    let file = segment.open()?;
    let mut end = segment.len.min(SEGMENT_BYTES_MAX).next_multiple_of(FRAME_ALIGN as u64);
    // A seal may begin in one stretch and end in the one behind it.
    let mut bytes = vec![0; SEARCH_BYTES as usize];
    bytes.extend([0; SEAL_BYTES]);
    while end > 0 {
        let start = end.saturating_sub(SEARCH_BYTES);
        let read = read_full_at(&*file, &mut bytes, start).at("read", &segment.path)?;
        let found = (0..(end - start) as usize).step_by(FRAME_ALIGN).rev().find_map(|at| {
            let bytes = bytes[..read].get(..at + SEAL_BYTES).filter(|bytes| bytes[at..].starts_with(&FRAME_MAGIC.to_le_bytes()))?;
            decode_seal_at_end(bytes, start + bytes.len() as u64, None)
        });
        if let Some((seal, _)) = found {
            return Ok(Some(seal.salt));
        }
        end = start;
    }
    Ok(None)
}

/// Whether a file that is `len` long is nothing but zeros from `from` on.
pub(crate) fn is_zero(file: &dyn File, path: &Path, from: u64, len: u64) -> Result<bool, IoError> {
    let mut bytes = vec![0; SEARCH_BYTES.min(len.saturating_sub(from)) as usize];
    let mut at = from;
    loop {
        let want = SEARCH_BYTES.min(len.saturating_sub(at)) as usize;
        let read = read_full_at(file, &mut bytes[..want], at).at("read", path)?;
        if !all_zero(&bytes[..read]) {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
        at += read as u64;
    }
}

/// Unknown are where the segment's chain comes from and how large it may grow: nothing is appended to it.
fn rebuilt_header(id: SegmentId, salt: u64, len: u64) -> SegmentHeader {
    let first = SegmentHeader::first([0; 16], salt, 0, len.next_multiple_of(8).min(SEGMENT_BYTES_MAX));
    let base_offset = Offset::new(id.base_offset);
    SegmentHeader { base_offset, prev_end: base_offset, seq: id.seq, flags: SegmentHeader::CHAIN_RESTARTED, ..first }
}

pub(crate) const META_BYTES_MAX: u64 = 4096;
/// No log gets this far.
const SEQ_NAMED_MAX: u64 = SEQ_MAX / 2;
/// With this one used, a process can still make four billion segments.
const SEQ_USED_MAX: u64 = SEQ_MAX - (1 << 32);
const SEARCH_BYTES: u64 = 1 << 20;
/// What is longer is set aside without a look at all of it.
const EMPTY_BYTES_MAX: u64 = 64 << 20;
/// In a longer file, a frame is looked for at its beginning alone: no default makes segments as long.
const SEARCHED_BYTES_MAX: u64 = 256 << 20;
/// Where a segment header has its salt: SPEC.md, "Segment header".
const SALT_AT: usize = 64;
const FIRST_FRAME_BYTES: u64 = 65_536;
