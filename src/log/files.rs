//! What files a partition directory holds, and what their headers say. Judges no frames and changes nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidelog_format::{
    FileName, Frame, META_NAME, Meta, Offset, Position, SEAL_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentId, TimestampNs, decode_seal_at_end,
};

use crate::error::{IoContext, IoError, OpenError};
use crate::io::{Access, File, Kind, Storage, read_file, read_full_at};
use crate::log::checkpoint::{Slotted, read_slots};
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
    /// Segments without one: the bytes stay where they are, unless nothing was ever in them.
    pub(crate) headerless: Vec<SegmentId>,
    /// Files under our names that are not what the name says.
    pub(crate) strays: Vec<String>,
    /// Files that were not named yet when the process ended, and indexes of segments that are gone.
    pub(crate) unfinished: Vec<String>,
    pub(crate) found: Vec<(Found, String)>,
    /// Highest sequence number of any file, spare or not.
    pub(crate) seq_max: u64,
}

/// A segment file.
#[derive(Debug, Clone)]
pub(crate) struct SegmentFile {
    pub(crate) id: SegmentId,
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn File>,
    pub(crate) path: PathBuf,
    pub(crate) len: u64,
    /// The header was damaged and put together from other evidence.
    pub(crate) rebuilt: bool,
}

impl SegmentFile {
    /// The last bytes of the file, as far as its capacity goes.
    pub(crate) fn tail(&self) -> Result<Vec<u8>, IoError> {
        let len = self.len.min(SEAL_BYTES as u64);
        let mut bytes = vec![0; len as usize];
        let read = read_full_at(&*self.file, &mut bytes, self.len - len).at("read", &self.path)?;
        bytes.truncate(read);
        Ok(bytes)
    }
}

/// Lists a partition directory and reads what identifies its files.
///
/// # Errors
/// [`OpenError::Io`] if anything but a missing name fails, [`OpenError::Unsupported`] for a file of a newer version.
pub(crate) fn read_files(storage: &dyn Storage, dir: &Path) -> Result<PartitionFiles, OpenError> {
    let mut found = Vec::new();
    let meta = read_meta(storage, dir, &mut found)?;
    let slots = read_slots(storage, dir, meta.as_ref().map(|meta| meta.uuid))?;
    found.extend(slots.found.iter().map(|found| (*found, "CHECKPOINT".to_owned())));
    let mut files = PartitionFiles {
        uuid: meta.as_ref().map(|meta| meta.uuid),
        meta,
        segments: Vec::new(),
        headerless: Vec::new(),
        strays: Vec::new(),
        unfinished: Vec::new(),
        seq_max: slots.newest.map_or(0, |slot| slot.active_seq),
        slots,
        found,
    };
    let mut entries = storage.list(dir).at("list", dir)?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<_> = entries.iter().filter_map(|entry| Some((entry.name.to_str()?, entry.kind, FileName::parse(entry.name.to_str()?)?))).collect();
    let logs: Vec<SegmentId> = names.iter().filter_map(|(_, _, name)| if let FileName::Log(id) = name { Some(*id) } else { None }).collect();
    for (name, kind, parsed) in &names {
        match parsed {
            FileName::Log(id) => {
                files.seq_max = files.seq_max.max(id.seq);
                if *kind == Kind::File { files.read_segment(storage, dir, *id)? } else { files.found.push((Found::NotRegular, (*name).to_owned())) }
            }
            FileName::Spare(seq) => {
                files.seq_max = files.seq_max.max(*seq);
                files.unfinished.push((*name).to_owned());
            }
            FileName::Temporary => files.unfinished.push((*name).to_owned()),
            FileName::Index(id) if !logs.contains(id) => files.unfinished.push((*name).to_owned()),
            _ => {}
        }
    }
    files.settle_uuid();
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
    fn read_segment(&mut self, storage: &dyn Storage, dir: &Path, id: SegmentId) -> Result<(), OpenError> {
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
                self.segments.push(SegmentFile { id, header, file, path, len, rebuilt: false });
            }
            Ok(_) => self.stray(id),
            Err(source) if source.is_unsupported() => return Err(OpenError::Unsupported { path, source }),
            Err(_) => {
                let segment = SegmentFile { id, header: rebuilt_header(id, 1, len), file, path, len, rebuilt: true };
                match self.rebuild(storage, dir, segment)? {
                    Some(segment) => {
                        self.found.push((Found::HeaderBadSaltKnown, id.log_name()));
                        self.segments.push(segment);
                    }
                    None => self.headerless.push(id),
                }
            }
        }
        Ok(())
    }

    fn stray(&mut self, id: SegmentId) {
        self.found.push((Found::StrayFile, id.log_name()));
        self.strays.push(id.log_name());
    }

    /// A damaged header does not cost the segment: its salt is also in the seal, the index and the checkpoint. One that verifies
    /// the first frame is the right one.
    fn rebuild(&self, storage: &dyn Storage, dir: &Path, mut segment: SegmentFile) -> Result<Option<SegmentFile>, OpenError> {
        let seal = decode_seal_at_end(&segment.tail()?, segment.len, None).map(|(seal, _)| seal.salt);
        let index = StoredIndex::open(storage, dir, segment.id, None).map(|index| index.header.salt);
        let slot = self.slots.newest.filter(|slot| slot.active_seq == segment.id.seq).map(|slot| slot.active_salt);
        let want = segment.len.saturating_sub(SEGMENT_HEADER_BYTES as u64).min(FIRST_FRAME_BYTES) as usize;
        let mut bytes = vec![0; want];
        let read = read_full_at(&*segment.file, &mut bytes, SEGMENT_HEADER_BYTES as u64).at("read", &segment.path)?;
        bytes.truncate(read);
        for salt in [seal, index, slot].into_iter().flatten() {
            let frame = match Frame::decode(&bytes, salt, Position::new(SEGMENT_HEADER_BYTES as u64)) {
                Ok(frame) if frame.verify_body().is_ok() => frame.header,
                _ => continue,
            };
            if frame.base_offset != segment.id.base() {
                continue;
            }
            segment.header =
                SegmentHeader { leader_epoch: frame.leader_epoch, chain_seed: frame.chain, ..rebuilt_header(segment.id, salt, segment.len) };
            segment.header.partition_uuid = self.uuid.or(self.slots.newest.map(|slot| slot.partition_uuid)).unwrap_or_default();
            return Ok(Some(segment));
        }
        Ok(None)
    }

    /// Whose partition this is, if META does not say: what most segments say. The odd ones out are strays.
    fn settle_uuid(&mut self) {
        let votes = |uuid: &[u8; 16]| self.segments.iter().filter(|segment| !segment.rebuilt && segment.header.partition_uuid == *uuid).count();
        let uuid = self
            .uuid
            .or_else(|| self.segments.iter().filter(|segment| !segment.rebuilt).map(|segment| segment.header.partition_uuid).max_by_key(votes));
        self.uuid = uuid.or(self.slots.newest.map(|slot| slot.partition_uuid));
        let Some(uuid) = self.uuid else { return };
        let (ours, odd): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.segments).into_iter().partition(|segment| segment.rebuilt || segment.header.partition_uuid == uuid);
        self.segments = ours;
        odd.iter().for_each(|segment| self.stray(segment.id));
        if self.slots.newest.is_some_and(|slot| slot.partition_uuid != uuid) {
            self.found.push((Found::CheckpointForeign, "CHECKPOINT".to_owned()));
            self.slots = Slotted { counter: self.slots.counter, ..Slotted::default() };
        }
    }
}

fn rebuilt_header(id: SegmentId, salt: u64, len: u64) -> SegmentHeader {
    let first = SegmentHeader::first([0; 16], salt, 0, len.next_multiple_of(8));
    let (created, base_offset) = (TimestampNs::default(), Offset::new(id.base_offset));
    SegmentHeader { base_offset, prev_end: base_offset, seq: id.seq, created, ..first }
}

const META_BYTES_MAX: u64 = 4096;
const FIRST_FRAME_BYTES: u64 = 4 << 20;
