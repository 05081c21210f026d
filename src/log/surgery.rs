//! Repair, second half: writes what the plan says, in an order in which the log is whole at every step. Deletes nothing that was damaged.

use std::path::Path;
use std::sync::Arc;

use tidelog_format::{
    Attributes, BLOCKS_BYTES_MAX, DecodeError, FRAME_HEADER_BYTES, Frame, LeaderEpoch, NO_CLAIM, Offset, Position, SEAL_BYTES, SEGMENT_HEADER_BYTES,
    Seal, SegmentHeader, SegmentId, TimestampNs,
};

use crate::clock::now;
use crate::config::OnDamage;
use crate::error::{IoContext, IoError, OpenError};
use crate::io::{File, Storage, read_full_at, write_all_at};
use crate::log::appender::{Appender, NamedSegment, NewSegment, Spare};
use crate::log::deep::FileNote;
use crate::log::quarantine::{Quarantine, cut_off, remove_old};
use crate::log::recovery::{RecoverHow, recover};
use crate::log::repair::{Graft, PartitionRepair, Stretch, Surgery};

/// Repairs the partition in `dir`. The store's lock is held, and nobody has the partition open.
///
/// # Errors
/// [`OpenError`]. Whatever was done by then is whole, and the next repair goes on from there.
pub(crate) fn repair(storage: &Arc<dyn Storage>, dir: &Path, how: RecoverHow) -> Result<PartitionRepair, OpenError> {
    let how = RecoverHow { on_damage: OnDamage::Isolate, leaves_unsynced: false, ..how };
    let mut report = Surgery::plan(storage, dir, how.index_interval)?.report();
    if report.is_empty() {
        return Ok(report);
    }
    for _ in 0..ROUNDS {
        // First whatever an ordinary open does: then there is no torn end any more, and the checkpoint names the end of the log.
        drop(recover(storage, dir, how)?);
        let surgery = Surgery::plan(storage, dir, how.index_interval)?;
        report.left.clone_from(&surgery.left);
        if surgery.report().steps.is_empty() {
            return Ok(report);
        }
        if !surgery.is_empty() {
            Operation { storage, dir, how, surgery: &surgery }.run()?;
        }
    }
    let detail = "it is found damaged again and again while it is repaired".to_owned();
    report.left.push(FileNote { file: ".".to_owned(), detail });
    Ok(report)
}

struct Operation<'a> {
    storage: &'a Arc<dyn Storage>,
    dir: &'a Path,
    how: RecoverHow,
    surgery: &'a Surgery,
}

impl Operation<'_> {
    /// At every step a read of any offset is answered as before: a segment that takes over holds the same batches before it has its name, and
    /// what is declared lost could not be read.
    fn run(self) -> Result<(), OpenError> {
        let surgery = self.surgery;
        surgery.stretches().try_for_each(|stretch| self.keep(stretch))?;
        if surgery.needs_tail() {
            self.new_tail()?;
        }
        // From the highest on: each makes the damaged segment dead from there, and what is above has its own segment by then.
        surgery.grafts().rev().try_for_each(|graft| self.graft(graft))?;
        surgery.unsealed.iter().try_for_each(|bad_seal| self.trim(bad_seal))?;
        surgery.retired().filter(|id| !surgery.is_replaced(*id)).try_for_each(|id| self.retire(id))
    }

    /// Copies bytes that no new segment holds: should the process die in between, the next open may unlink what the new segments made dead.
    fn keep(&self, stretch: &Stretch) -> Result<(), OpenError> {
        Quarantine { storage: &**self.storage, dir: self.dir }.keep(&stretch.source, stretch.from, stretch.to)?;
        Ok(())
    }

    /// Appending goes on in a segment of its own.
    fn new_tail(&self) -> Result<(), OpenError> {
        let plan = &self.surgery.plan;
        let end = Offset::new(plan.next_offset);
        let seq = self.surgery.files.seq_max + 1;
        let spare = Spare::make(&**self.storage, self.dir, seq, Appender::capacity_for(self.how.segment_bytes, 0), FIRST_BYTES)?;
        let new = NewSegment {
            base: end,
            prev_end: end,
            chain: 0,
            // What it stands behind may end in lost offsets.
            restarted: true,
            epoch: plan.terms.newest().epoch,
            epoch_start: plan.terms.newest().start,
            log_start: Offset::new(plan.log_start),
            by_recovery: true,
        };
        let prepared = NamedSegment::prepare(spare, self.storage, self.dir, self.uuid(), new)?;
        Ok(NamedSegment::give_name_durably(&prepared.segment, &**self.storage, self.dir)?)
    }

    fn uuid(&self) -> [u8; 16] {
        self.surgery.files.uuid.unwrap_or_default()
    }

    fn header(&self, graft: &Graft) -> SegmentHeader {
        let source = &graft.source;
        let SegmentHeader { leader_epoch, epoch_start, .. } = source.header;
        // A header that was put together knows no term: a made-up one would make frames of others dead.
        let (leader_epoch, epoch_start) = if source.rebuilt { (LeaderEpoch::new(0), Offset::ZERO) } else { (leader_epoch, epoch_start) };
        SegmentHeader {
            partition_uuid: self.uuid(),
            base_offset: Offset::new(graft.base),
            prev_end: Offset::new(graft.prev_end),
            rewrite_end: None,
            seq: source.id.seq,
            salt: self.storage.random(),
            created: now(),
            capacity: (SEGMENT_HEADER_BYTES + SEAL_BYTES) as u64,
            leader_epoch,
            epoch_start,
            log_start: Offset::new(self.surgery.plan.log_start),
            chain_seed: 0,
            flags: SegmentHeader::CHAIN_RESTARTED | SegmentHeader::BY_RECOVERY,
        }
    }

    /// Makes the new segment whole, syncs it and gives it its name, durably: the commit point.
    fn graft(&self, graft: &Graft) -> Result<(), OpenError> {
        let (header, id) = (self.header(graft), graft.id());
        let (path, temporary) = (self.dir.join(id.log_name()), self.dir.join(format!("{}.tmp", id.log_name())));
        remove_old(&**self.storage, &temporary)?;
        let file = self.storage.create(&temporary).at("create", &temporary)?;
        match graft.frames {
            Some(frames) => Copying::new(&*file, &temporary, header, graft, frames).run()?,
            None => write_all_at(&*file, &header.encode(), 0).at("write", &temporary)?,
        }
        file.sync().at("sync", &temporary)?;
        if self.surgery.retired().any(|retired| retired == id) {
            self.retire(id)?;
        }
        self.storage.rename_new(&temporary, &path).at("name", &path)?;
        Ok(self.storage.sync_dir(self.dir).at("sync", self.dir)?)
    }

    /// As recovery does with a seal that a crash tore.
    fn trim(&self, bad_seal: &Stretch) -> Result<(), OpenError> {
        Ok(cut_off(&**self.storage, &bad_seal.source, bad_seal.from)?)
    }

    fn retire(&self, id: SegmentId) -> Result<(), OpenError> {
        Quarantine { storage: &**self.storage, dir: self.dir }.take(&id.log_name())?;
        // Derived, and of no segment any more.
        Ok(remove_old(&**self.storage, &self.dir.join(id.index_name()))?)
    }
}

/// Copies frames from one segment to another, with what is of the file alone made anew.
struct Copying<'a> {
    file: &'a dyn File,
    path: &'a Path,
    header: SegmentHeader,
    graft: &'a Graft,
    /// Where the frames stand in the source.
    frames: (u64, u64),
    out: Vec<u8>,
    written: u64,
    seal: Seal,
}

impl<'a> Copying<'a> {
    fn new(file: &'a dyn File, path: &'a Path, header: SegmentHeader, graft: &'a Graft, frames: (u64, u64)) -> Self {
        let none = LeaderEpoch::new(0);
        let seal = Seal {
            salt: header.salt,
            base_offset: header.base_offset,
            next_offset: header.base_offset,
            records: 0,
            max_ts: TimestampNs::new(i64::MIN),
            log_start: header.log_start,
            first_epoch: none,
            last_epoch: none,
            chain_out: 0,
        };
        Self { file, path, header, graft, frames, out: Vec::new(), written: SEGMENT_HEADER_BYTES as u64, seal }
    }

    fn run(mut self) -> Result<(), OpenError> {
        let source = self.graft.source.open()?;
        let (mut at, mut is_first) = (self.frames.0, true);
        while at < self.frames.1 {
            let bytes = self.read_frame(&*source, at)?;
            let frame = Frame::decode(&bytes, self.graft.source.header.salt, Position::new(at)).map_err(|error| self.changed(error))?;
            frame.verify_body().map_err(|error| self.changed(error))?;
            at += frame.header.stored_bytes() as u64;
            if frame.header.attributes.contains(Attributes::SEAL) {
                continue; // the new one sums up what is here
            }
            if is_first {
                (self.header.chain_seed, self.seal.first_epoch, is_first) = (frame.header.chain, frame.header.leader_epoch, false);
            }
            self.copy(&frame, &bytes)?;
        }
        self.flush()?;
        self.seal.next_offset = Offset::new(self.graft.next);
        self.header.capacity = self.written + SEAL_BYTES as u64;
        let seal = self.seal.encode(Position::new(self.written), NO_CLAIM);
        write_all_at(self.file, &seal, self.written).at("write", self.path)?;
        Ok(write_all_at(self.file, &self.header.encode(), 0).at("write", self.path)?)
    }

    /// It verified a moment ago.
    fn changed(&self, error: DecodeError) -> OpenError {
        let source = std::io::Error::new(std::io::ErrorKind::InvalidData, error);
        IoError::new("read again", &self.graft.source.path, source).into()
    }

    fn read_frame(&self, source: &dyn File, at: u64) -> Result<Vec<u8>, OpenError> {
        let path = &self.graft.source.path;
        let left = self.frames.1 - at;
        let mut bytes = vec![0; left.min((FRAME_HEADER_BYTES + BLOCKS_BYTES_MAX) as u64) as usize];
        let read = read_full_at(source, &mut bytes, at).at("read", path)?;
        if let Err(DecodeError::Truncated { needed, .. }) = Frame::decode(&bytes[..read], self.graft.source.header.salt, Position::new(at)) {
            bytes.resize(left.min(needed as u64) as usize, 0);
            read_full_at(source, &mut bytes[read..], at + read as u64).at("read", path)?;
        }
        Ok(bytes)
    }

    fn copy(&mut self, frame: &Frame<'_>, bytes: &[u8]) -> Result<(), OpenError> {
        let header = tidelog_format::FrameHeader { durable_back: NO_CLAIM, ..frame.header };
        let position = Position::new(self.written + self.out.len() as u64);
        let at = self.out.len();
        self.out.extend(&bytes[..frame.header.stored_bytes()]);
        let chain = header.encode_into(&mut self.out[at..], self.header.salt, position);
        self.seal.records += u64::from(frame.header.data_records());
        if frame.header.record_count > 0 {
            self.seal.max_ts = self.seal.max_ts.max(frame.header.max_ts);
        }
        (self.seal.last_epoch, self.seal.chain_out) = (frame.header.leader_epoch, chain);
        if self.out.len() >= COPY_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), OpenError> {
        write_all_at(self.file, &self.out, self.written).at("write", self.path)?;
        self.written += self.out.len() as u64;
        self.out.clear();
        Ok(())
    }
}

/// One round repairs, the next finds nothing left; one more for a call that failed where a failure costs time alone.
const ROUNDS: u32 = 4;
const COPY_BYTES: usize = 1 << 20;
const FIRST_BYTES: u64 = 64 << 10;
