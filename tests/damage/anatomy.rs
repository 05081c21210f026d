//! Where the frames of a log that is whole stand, byte by byte: what damage can hit. Judges nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tidelog_format::{Attributes, FileName, LeaderEpoch, Offset, Position, SEGMENT_HEADER_BYTES, Scanner, SegmentHeader, SegmentId};

use crate::image::{Bytes, Image};

/// The partition that everything here is about, in its store.
pub(crate) const PARTITION: &str = "topics/default/t/0";

pub(crate) fn in_partition(name: &str) -> PathBuf {
    Path::new(PARTITION).join(name)
}

/// A segment as it was written.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    pub(crate) id: SegmentId,
    pub(crate) header: SegmentHeader,
    pub(crate) bytes: Bytes,
    /// Its index file.
    pub(crate) index: Option<Bytes>,
    pub(crate) spots: Vec<Spot>,
}

/// A frame in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spot {
    pub(crate) at: usize,
    /// End of its header and blocks, and of all of it.
    pub(crate) head_end: usize,
    pub(crate) end: usize,
    pub(crate) base: u64,
    pub(crate) next: u64,
    pub(crate) epoch: LeaderEpoch,
    /// The position in this segment up to which it claims that everything was durable.
    pub(crate) claim: Option<u64>,
    pub(crate) is_data: bool,
    pub(crate) is_seal: bool,
}

impl Body {
    pub(crate) fn name(&self) -> PathBuf {
        in_partition(&self.id.log_name())
    }

    pub(crate) fn index_name(&self) -> PathBuf {
        in_partition(&self.id.index_name())
    }

    pub(crate) fn data(&self) -> impl DoubleEndedIterator<Item = &Spot> {
        self.spots.iter().filter(|spot| spot.is_data)
    }
}

/// The segments of a log, oldest first.
pub(crate) fn bodies(image: &Image) -> Vec<Body> {
    let mut bodies: Vec<Body> = image.files().filter_map(|(name, bytes)| body(image, name, bytes)).collect();
    bodies.sort_by_key(|body| body.id.seq);
    bodies
}

fn body(image: &Image, name: &Path, bytes: &Bytes) -> Option<Body> {
    let Some(FileName::Log(id)) = FileName::parse(name.strip_prefix(PARTITION).ok()?.to_str()?) else { return None };
    let header = SegmentHeader::decode(bytes.get(..SEGMENT_HEADER_BYTES)?).ok()?;
    let index = image.file(&in_partition(&id.index_name())).cloned();
    Some(Body { id, header, bytes: bytes.clone(), index, spots: spots(bytes, &header) })
}

fn spots(bytes: &[u8], header: &SegmentHeader) -> Vec<Spot> {
    let start = SEGMENT_HEADER_BYTES;
    let scanner = Scanner::new(&bytes[start..], Position::new(start as u64), header.salt, header.base_offset, header.chain_seed);
    let spot = |found: tidelog_format::FrameAt<'_>| {
        let (at, frame) = (found.position.get() as usize, &found.frame);
        let bodies = frame.records.len() + frame.packed.len();
        Spot {
            at,
            head_end: at + frame.header.frame_len as usize - bodies,
            end: at + frame.header.stored_bytes(),
            base: frame.header.base_offset.get(),
            next: frame.header.next_offset().get(),
            epoch: frame.header.leader_epoch,
            claim: frame.header.durable_position(found.position).map(Position::get),
            is_data: !frame.header.attributes.contains(Attributes::NO_OFFSETS),
            is_seal: frame.header.attributes.contains(Attributes::SEAL),
        }
    };
    scanner.map(spot).collect()
}

/// The segment and the frame that an offset is in: those of the newest segment that has it.
pub(crate) fn holders(bodies: &[Body]) -> BTreeMap<u64, (usize, usize)> {
    let mut holders = BTreeMap::new();
    for (number, body) in bodies.iter().enumerate() {
        // What a tail segment takes over is dead in all older ones, whether it has come to hold it or not.
        holders.retain(|offset: &u64, _| Offset::new(*offset) < body.header.prev_end);
        for (at, spot) in body.spots.iter().enumerate().filter(|(_, spot)| spot.is_data) {
            holders.extend((spot.base..spot.next).map(|offset| (offset, (number, at))));
        }
    }
    holders
}
