//! What an open must make of a damaged log: from the bytes that are still what they were, and from who vouches for the others. Opens nothing.

use std::collections::{BTreeMap, BTreeSet};

use tidelog_format::{
    CHECKPOINT_NAME, Checkpoint, ENTRIES_PER_BLOCK, IndexBlock, IndexHeader, Offset, Resolution, SEGMENT_HEADER_BYTES, SLOT_BYTES, SegmentHeader,
    Span, Term, Terms, index_block_at, resolve,
};

use crate::anatomy::{Body, Spot, in_partition};
use crate::image::{Image, Node};
use crate::specimen::Specimen;

/// What must be found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Expect {
    pub(crate) log_start: u64,
    pub(crate) end: u64,
    /// Offsets that must be served; all others in these bounds must be told to be lost.
    pub(crate) served: BTreeSet<u64>,
    /// Offsets that may be served with what they held before a truncation: see [`may_come_back`].
    pub(crate) come_back: BTreeSet<u64>,
    /// Whether records are gone without a trace: see [`nothing_vouches_for`].
    pub(crate) unwitnessed: u64,
}

pub(crate) fn expect(specimen: &Specimen, damaged: &Image) -> Expect {
    let slots = slots(specimen, damaged);
    let files: Vec<Usable<'_>> = specimen.bodies.iter().filter_map(|body| usable(body, damaged, &slots)).collect();
    let spans: Vec<Span> = files.iter().map(|file| Span::from(&file.header)).collect();
    let log_start = log_start(&files, &slots, damaged);
    let mut log = Log { specimen, files: &files, slots: &slots, resolution: resolve(&spans), expect: Expect { log_start, ..Expect::default() } };
    // Below the log start nothing is asked of a segment, unless it is the tail.
    log.resolution.live.retain(|range| range.is_open() || range.to.get() > log_start);
    log.walk();
    let expect = &mut log.expect;
    expect.served.retain(|offset| (expect.log_start..expect.end).contains(offset));
    expect.unwitnessed = nothing_vouches_for(specimen, expect);
    log.expect
}

/// Offsets that are neither served nor told to be lost, and may be given out again. That is the stated residual risk: the file that held their
/// records is destroyed together with the checkpoint that named them, or before one did. Damage to one file of a closed log never comes to this.
fn nothing_vouches_for(specimen: &Specimen, expect: &Expect) -> u64 {
    let model = &specimen.model;
    let is_gone = |offset: &u64| *offset >= expect.end || *offset < expect.log_start && model.number(*offset).is_some();
    (model.log_start..model.end()).filter(is_gone).count() as u64
}

/// Whether records that were truncated may come back, as stated in `docs/reliability.md`: the segment that cut them off is destroyed, and
/// with it the checkpoint, which knew of the cut too.
fn may_come_back(specimen: &Specimen, files: &[Usable<'_>], slots: &[Checkpoint], ghost: &Spot) -> bool {
    let is_there = |body: &Body| files.iter().any(|file| !file.is_rebuilt && file.body.id == body.id);
    let cuts = |body: &&Body| body.header.leader_epoch > ghost.epoch && body.header.epoch_start.get() < ghost.next;
    slots.is_empty() && !specimen.bodies.iter().filter(cuts).any(is_there)
}

/// A segment that is still known for what it is.
struct Usable<'a> {
    body: &'a Body,
    header: SegmentHeader,
    is_rebuilt: bool,
    bytes: &'a [u8],
    has_index: bool,
}

impl Usable<'_> {
    /// Whether this stretch is as it was written.
    fn is_intact(&self, from: usize, to: usize) -> bool {
        to as u64 <= self.header.capacity && self.bytes.get(from..to) == self.body.bytes.get(from..to)
    }

    /// Where an index vouches for everything before: a position and the next offset. Only as far as a slot does, and if it ends where the headers
    /// of the frames do.
    fn vouched(&self, slot: Option<&Checkpoint>) -> Option<(usize, u64)> {
        let slot = slot.filter(|slot| (slot.active_seq, slot.active_salt) == (self.body.id.seq, self.body.header.salt))?;
        let bytes = self.body.index.as_ref().filter(|_| self.has_index)?;
        let said = IndexHeader::decode(bytes).ok().filter(|said| said.covered <= slot.tail_pos && said.covered <= self.bytes.len() as u64)?;
        let number = said.entries.div_ceil(ENTRIES_PER_BLOCK as u32).saturating_sub(1);
        let last = index_block_at(said.entries, number).and_then(|(at, len)| {
            let block = bytes.get(at.get() as usize..at.get() as usize + len)?;
            IndexBlock::decode(block, said.salt, number).ok()?.entries().last()
        });
        let (from, to) = (last.map_or(0, |entry| entry.position as usize), said.covered.get() as usize);
        let mut behind = self.body.spots.iter().filter(|spot| (from..to).contains(&spot.at));
        behind.all(|spot| self.is_intact(spot.at, spot.head_end)).then_some((to, said.next_offset.get()))
    }

    fn has(&self, spot: &Spot) -> bool {
        self.is_intact(spot.at, spot.end)
    }
}

/// The slots that can be read and are this partition's, the newest last.
fn slots(specimen: &Specimen, damaged: &Image) -> Vec<Checkpoint> {
    let bytes = damaged.file(&in_partition(CHECKPOINT_NAME)).map_or(&[][..], |bytes| &bytes[..bytes.len().min(2 * SLOT_BYTES)]);
    let mut slots: Vec<Checkpoint> = bytes.chunks(SLOT_BYTES).filter_map(|slot| Checkpoint::decode(slot).ok()).collect();
    slots.retain(|slot| slot.partition_uuid == specimen.uuid());
    slots.sort_by_key(|slot| slot.counter);
    slots
}

fn usable<'a>(body: &'a Body, damaged: &'a Image, slots: &[Checkpoint]) -> Option<Usable<'a>> {
    let bytes = damaged.file(&body.name())?.as_slice();
    let (now, was) = (bytes.get(..SEGMENT_HEADER_BYTES)?, &body.bytes[..SEGMENT_HEADER_BYTES]);
    let wrong_bits: u32 = now.iter().zip(was).map(|(now, was)| (now ^ was).count_ones()).sum();
    let has_index = body.index.is_some() && damaged.file(&body.index_name()) == body.index.as_ref();
    let file = |header, is_rebuilt| Some(Usable { body, header, is_rebuilt, bytes, has_index });
    if let Ok(header) = SegmentHeader::decode(now) {
        let is_ours = (header.base_offset, header.seq, header.partition_uuid) == (body.id.base(), body.id.seq, body.header.partition_uuid);
        return if is_ours { file(header, false) } else { None };
    }
    if wrong_bits == 1 {
        return file(body.header, false);
    }
    let base_offset = body.header.base_offset;
    let header = SegmentHeader { prev_end: base_offset, capacity: bytes.len() as u64, ..body.header };
    let rebuilt = Usable { body, header, is_rebuilt: true, bytes, has_index };
    (knows_salt(&rebuilt, slots) && body.data().any(|spot| rebuilt.has(spot))).then_some(rebuilt)
}

/// Whether the salt of a segment is known from anything but its header: the place in it where the salt stands, its seal, its index, a slot.
fn knows_salt(file: &Usable<'_>, slots: &[Checkpoint]) -> bool {
    let body = file.body;
    let newest = slots.last().is_some_and(|slot| (slot.active_seq, slot.active_salt) == (body.id.seq, body.header.salt));
    let seal = body.spots.iter().any(|spot| spot.is_seal && file.has(spot));
    file.is_intact(SALT_AT, SALT_AT + 8) || newest || seal || file.has_index
}

/// The log start only grows: the highest that anyone says.
fn log_start(files: &[Usable<'_>], slots: &[Checkpoint], damaged: &Image) -> u64 {
    let headers = files.iter().filter(|file| !file.is_rebuilt).map(|file| file.header.log_start.get());
    let said = headers.chain(slots.iter().map(|slot| slot.log_start.get())).max().unwrap_or(0);
    if !slots.is_empty() {
        return said;
    }
    let is_sealed = |file: &&Usable<'_>| {
        let is_file = matches!(damaged.get(&file.body.name()), Some(Node::File(_)));
        is_file && file.body.spots.iter().any(|spot| spot.is_seal && file.has(spot) && spot.end == file.bytes.len())
    };
    let seal = |file: &Usable<'_>| {
        let (seal, _) = tidelog_format::decode_seal_at_end(file.bytes, file.bytes.len() as u64, Some(file.header.salt))?;
        Some(seal.log_start.get())
    };
    files.iter().filter(is_sealed).filter_map(seal).max().unwrap_or(0).max(said)
}

struct Log<'a> {
    specimen: &'a Specimen,
    files: &'a [Usable<'a>],
    slots: &'a [Checkpoint],
    resolution: Resolution,
    expect: Expect,
}

/// A place in the log: a live segment, and a position in it.
type Place = (usize, u64);

impl Log<'_> {
    /// Goes through what is left of the log, in its order, to its end.
    fn walk(&mut self) {
        let (durable, claimant) = self.durable();
        let live: Vec<(usize, u64, u64)> = self.resolution.live.iter().map(|range| (range.file, range.from.get(), range.to.get())).collect();
        let (mut next, mut fault) = (self.expect.log_start, None::<Place>);
        if let Some(&(_, from, _)) = live.first()
            && from > next
        {
            // Without a slot, nobody says that there was more in front of the first segment.
            if self.slots.is_empty() {
                self.expect.log_start = from;
            }
            next = from;
        }
        for (number, &(file, from, to)) in live.iter().enumerate() {
            let last_end = fault.take();
            if number > 0 && next != from && !self.is_declared(next, from) {
                let at = last_end.unwrap_or_else(|| (number - 1, self.end_of(live[number - 1].0)));
                if at >= durable {
                    self.expect.end = next;
                    return;
                }
            }
            next = from;
            match self.walk_file(number, file, (next, to), durable) {
                Ok((reached, broken)) => (next, fault) = (reached, broken),
                Err(torn) => {
                    self.expect.end = torn;
                    return;
                }
            }
        }
        let is_broken = fault.is_some_and(|at| at < durable);
        let named = self.newest().map_or(0, |slot| slot.durable_next_offset.get());
        self.expect.end = next.max(named).max(if is_broken { claimant } else { 0 }).max(self.expect.log_start);
    }

    /// The offset behind the last right frame, and where what follows it is broken; or the offset at which the log is torn off.
    fn walk_file(&mut self, number: usize, file: usize, (from, to): (u64, u64), durable: Place) -> Result<(u64, Option<Place>), u64> {
        let file = &self.files[file];
        let terms = self.terms();
        let (mut next, mut broken) = (from, None);
        let mut vouched = file.vouched(self.slots.last()).filter(|(_, next)| *next <= to);
        for spot in file.body.spots.iter().filter(|spot| spot.is_data) {
            // What is broken before it is found by a read; the walk begins here.
            if let Some((_, there)) = vouched.take_if(|(position, _)| spot.at >= *position) {
                (next, broken) = (there, None);
            }
            let is_dead = spot.next > to || terms.is_dead(spot.epoch, Offset::new(spot.base));
            if !file.has(spot) {
                if spot.base < to && !is_dead {
                    broken = broken.or(Some((number, spot.at as u64)));
                }
                continue;
            }
            if is_dead {
                break;
            }
            if broken.take().is_some_and(|at| at >= durable) {
                return Err(next);
            }
            next = spot.next.max(next);
            self.serve(file, spot, from);
        }
        match broken {
            Some(at) if at >= durable && number + 1 == self.resolution.live.len() => Err(next),
            broken => Ok((next, broken)),
        }
    }

    fn serve(&mut self, file: &Usable<'_>, spot: &Spot, from: u64) {
        for offset in spot.base.max(from)..spot.next {
            let holder =
                self.specimen.holders.get(&offset).map(|&(body, at)| (self.specimen.bodies[body].id, self.specimen.bodies[body].spots[at].at));
            if holder == Some((file.body.id, spot.at)) {
                self.expect.served.insert(offset);
            } else if may_come_back(self.specimen, self.files, self.slots, spot) {
                self.expect.come_back.insert(offset);
            }
        }
    }

    fn is_declared(&self, from: u64, to: u64) -> bool {
        from < to && self.resolution.gaps.iter().any(|&(gap_from, gap_to)| gap_from.get() <= from && gap_to.get() >= to)
    }

    /// The end of the last frame of a segment that is as it was.
    fn end_of(&self, file: usize) -> u64 {
        let file = &self.files[file];
        file.body.spots.iter().rfind(|spot| file.has(spot)).map_or(SEGMENT_HEADER_BYTES, |spot| spot.end) as u64
    }

    /// The newest slot. It must not claim what a cut took away that it does not know of.
    fn newest(&self) -> Option<Checkpoint> {
        let mut slot = *self.slots.last()?;
        let newer = self.files.iter().filter(|file| !file.is_rebuilt && file.header.leader_epoch > slot.terms.newest().epoch);
        if let Some(cut) = newer.map(|file| file.header.epoch_start).min() {
            slot.durable_next_offset = slot.durable_next_offset.min(cut);
        }
        Some(slot)
    }

    /// The terms that the newest slot and the headers know of.
    fn terms(&self) -> Terms {
        let mut terms = self.slots.last().map(|slot| slot.terms).unwrap_or_default();
        for file in self.files.iter().filter(|file| !file.is_rebuilt) {
            terms.note(Term { epoch: file.header.leader_epoch, start: file.header.epoch_start });
        }
        terms
    }

    /// The furthest place that a slot, or a frame with a right header, says was durable; and the offset of that frame.
    fn durable(&self) -> (Place, u64) {
        let live = &self.resolution.live;
        let is_slots = |slot: &Checkpoint, file: usize| {
            let header = &self.files[file].header;
            (slot.active_seq, slot.active_salt) == (header.seq, header.salt)
        };
        let by_slot = self.newest().map_or((0, 0), |slot| match live.iter().position(|range| is_slots(&slot, range.file)) {
            Some(number) => (number, slot.tail_pos.get()),
            None => (live.iter().position(|range| range.from >= slot.durable_next_offset).unwrap_or(live.len()), 0),
        });
        let terms = self.terms();
        let claims = live.iter().enumerate().flat_map(|(number, range)| {
            let file = &self.files[range.file];
            let is_live =
                move |spot: &&Spot| Offset::new(spot.next) <= range.to && !(spot.is_data && terms.is_dead(spot.epoch, Offset::new(spot.base)));
            let spots = file.body.spots.iter().filter(is_live).filter(move |spot| file.is_intact(spot.at, spot.head_end));
            spots.filter_map(move |spot| Some(((number, spot.claim?), spot.base)))
        });
        match claims.max() {
            Some((place, offset)) if place > by_slot => (place, offset),
            _ => (by_slot, 0),
        }
    }
}

/// What is lost, as ranges.
pub(crate) fn ranges(offsets: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut ranges: BTreeMap<u64, u64> = BTreeMap::new();
    for offset in offsets {
        match ranges.last_entry() {
            Some(mut last) if *last.get() == offset => drop(last.insert(offset + 1)),
            _ => drop(ranges.insert(offset, offset + 1)),
        }
    }
    ranges.into_iter().collect()
}

/// Where a segment header has its salt: SPEC.md, "Segment header".
const SALT_AT: usize = 64;
