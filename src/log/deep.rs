//! Compares the files of a partition with each other: indexes, seals, checkpoint and META with the segments. Changes not one byte.

use std::sync::Arc;

use tidelog_format::{IndexEntry, META_NAME, Offset, QUARANTINE_NAME, SEAL_BYTES, Seal, Terms};

use crate::error::{DamagedRange, IoContext, IoError, OpenError, ReadError};
use crate::io::{Access, Kind, Storage};
use crate::log::files::{PartitionFiles, read_files};
use crate::log::offset_index::StoredIndex;
use crate::log::partition_view::PartitionView;
use crate::log::plan::describe;
use crate::log::segment::Segment;
use crate::log::verify::VerifyReport;
use crate::log::view::LiveSegment;
use crate::log::walk::{WalkLimit, WalkStart, Walked, walk};

/// What a comparison of all files of a partition found.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct DeepReport {
    /// What reading everything found, and what the segments say of each other.
    #[serde(flatten)]
    pub verify: VerifyReport,
    /// Files that do not fit the segments, and cost time or nothing: the next writer puts them right.
    pub misfits: Vec<FileNote>,
    /// Files under names that are ours, or not, that belong to no log.
    pub strays: Vec<FileNote>,
    /// What recovery and repair set aside.
    pub quarantined: Vec<FileNote>,
}

/// A file, and what there is to say of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FileNote {
    /// Its name in the partition's directory.
    pub file: String,
    /// What it is, or what is wrong.
    pub detail: String,
}

impl PartitionView {
    /// As [`verify`](Self::verify) with `deep`, and compares the files with each other: each index entry with the frame that it names, seals
    /// with what they sum up, chains over segments, the checkpoint and META with the log. Lists what lies in quarantine and what does not
    /// belong there. `progress` hears of the next offset now and then.
    ///
    /// # Errors
    /// [`ReadError`] for anything but damage, which is what the report is about.
    pub fn verify_deep(&self, progress: &mut dyn FnMut(Offset)) -> Result<DeepReport, ReadError> {
        let mut report = DeepReport { verify: self.verify(true, progress)?, ..DeepReport::default() };
        if self.is_unmade() {
            return Ok(report);
        }
        let storage = self.storage().clone();
        let files = read_files(&storage, self.dir()).map_err(failed)?;
        // Beside a writer the checkpoint and the last segment move on.
        let is_written = self.has_writer();
        for entry in &self.list().entries {
            let walked = walk_segment(&*storage, entry).map_err(failed)?;
            report.compare_chain(entry, &walked);
            report.compare_seal(&entry.segment, &walked);
            report.compare_index(&*storage, entry, &walked);
            if !is_written {
                report.compare_checkpoint(&files, &entry.segment, &walked);
            }
        }
        report.compare_meta(self, &files);
        report.list_others(&*storage, self, &files)?;
        report.verify.damage.sort_by_key(|range| range.from);
        Ok(report)
    }
}

fn failed(error: OpenError) -> ReadError {
    match error {
        OpenError::Io(error) => ReadError::Io(error),
        other => ReadError::Open(Box::new(other)),
    }
}

/// Every frame that is published, each with an entry.
fn walk_segment(storage: &dyn Storage, entry: &LiveSegment) -> Result<Walked, OpenError> {
    let segment = &entry.segment;
    let start = WalkStart::of_segment(segment.id.base_offset, segment.header.chain_seed);
    let path = segment.path();
    let file = storage.open(&path, Access::Read).at("open", &path)?;
    let limit = WalkLimit { position: segment.published().end.into(), offset: entry.to, terms: &Terms::default(), index_interval: 0 };
    walk(&*file, &path, segment.header.salt, segment.id.base_offset, start, limit)
}

impl DeepReport {
    /// A break in the chain does not stand in a reader's way.
    fn compare_chain(&mut self, entry: &LiveSegment, walked: &Walked) {
        for (number, bad) in walked.bad.iter().enumerate() {
            let from = walked.runs[number].next_offset;
            let to = walked.runs.get(number + 1).map_or(entry.to.min(entry.segment.next_offset()).max(from), |run| run.offset);
            let is_known = self.verify.damage.iter().any(|known| known.from <= from && to <= known.to);
            if !is_known {
                let reason = format!("{}: position {}: {}", entry.segment.id.log_name(), bad.position, describe(&bad.fault));
                self.verify.damage.push(DamagedRange { from, to, reason, declared: false });
            }
        }
    }

    fn compare_seal(&mut self, segment: &Segment, walked: &Walked) {
        let (Some(seal), Some(last), true) = (walked.seal, walked.runs.last(), walked.bad.is_empty()) else { return };
        let epoch = tidelog_format::LeaderEpoch::new(walked.epoch);
        let expected = Seal {
            salt: segment.header.salt,
            base_offset: segment.base(),
            next_offset: Offset::new(last.next_offset),
            records: last.records,
            max_ts: last.max_ts,
            chain_out: last.chain,
            last_epoch: epoch,
            // Of the past: nothing else tells.
            ..seal
        };
        if expected != seal {
            let reason = format!("{}: the seal says {seal:?}, the frames {expected:?}", segment.id.log_name());
            self.verify.damage.push(DamagedRange { from: last.next_offset, to: last.next_offset, reason, declared: false });
        }
    }

    fn compare_index(&mut self, storage: &dyn Storage, entry: &LiveSegment, walked: &Walked) {
        let segment = &entry.segment;
        // One that cannot be read is in the report already.
        let Some(index) = StoredIndex::open(storage, segment.dir(), segment.id, Some(segment.header.salt)) else { return };
        let Some(entries) = index.load() else { return };
        let frame_at = |position: u32| walked.index.binary_search_by_key(&position, |frame| frame.position).ok().map(|at| walked.index[at]);
        let is_right = |entry: &IndexEntry| frame_at(entry.position) == Some(*entry);
        let Some(last) = walked.runs.last().filter(|_| walked.bad.is_empty()) else { return };
        let end = last.end - if walked.seal.is_some() { SEAL_BYTES as u64 } else { 0 };
        let header = &index.header;
        let sums = (header.next_offset.get(), header.records, header.max_ts, header.chain);
        // What was cut off a segment stays in its index.
        let wrong = entries.iter().find(|entry| u64::from(entry.position) < end && !is_right(entry));
        let bad = if let Some(wrong) = wrong {
            format!("an entry says offset {} at position {}", segment.id.base_offset + u64::from(wrong.rel_offset), wrong.position)
        } else if header.covered == end && sums != (last.next_offset, last.records, last.max_ts, last.chain) {
            "its header sums up other frames than the segment has".to_owned()
        } else if header.covered.get() > end && entry.to == u64::MAX {
            format!("it covers position {}, the frames end at {end}", header.covered)
        } else {
            return;
        };
        self.verify.bad_indexes.push(format!("{}: {bad}", segment.id.index_name()));
    }

    fn compare_checkpoint(&mut self, files: &PartitionFiles, segment: &Segment, walked: &Walked) {
        let Some(slot) = files.slots.newest.filter(|slot| slot.active_seq == segment.id.seq && slot.active_salt == segment.header.salt) else {
            return;
        };
        let Some(last) = walked.runs.last().filter(|_| walked.bad.is_empty()) else { return };
        let tail = slot.tail_pos.get();
        let detail = if tail == last.end && slot.tail_chain != last.chain {
            format!("chain {:08x} at position {tail}, where the segment has {:08x}", slot.tail_chain, last.chain)
        } else if tail == last.end && slot.durable_next_offset.get() != last.next_offset {
            format!("offset {} at position {tail}, where the segment has {}", slot.durable_next_offset, last.next_offset)
        } else if tail < last.end && !walked.index.iter().any(|frame| u64::from(frame.position) == tail) {
            format!("position {tail}, where no frame of {} begins", segment.id.log_name())
        } else {
            return;
        };
        self.misfits.push(FileNote { file: tidelog_format::CHECKPOINT_NAME.to_owned(), detail: format!("it names {detail}") });
    }

    fn compare_meta(&mut self, view: &PartitionView, files: &PartitionFiles) {
        for (found, file) in &files.found {
            self.misfits.push(FileNote { file: file.clone(), detail: found.of_a_file().to_owned() });
        }
        let Some(meta) = &files.meta else { return };
        let name = if meta.namespace == "default" { meta.topic.clone() } else { format!("{}/{}", meta.namespace, meta.topic) };
        if name != view.topic() {
            self.misfits.push(FileNote { file: META_NAME.to_owned(), detail: format!("it is of topic {name}") });
        }
    }

    fn list_others(&mut self, storage: &dyn Storage, view: &PartitionView, files: &PartitionFiles) -> Result<(), IoError> {
        let note = |file: &str, detail: &str| FileNote { file: file.to_owned(), detail: detail.to_owned() };
        self.strays.extend(files.strays.iter().map(|name| note(name, "of another partition or by another name")));
        self.strays.extend(files.in_the_way.iter().map(|name| note(name, "not a regular file")));
        self.strays.extend(files.headerless.iter().map(|headerless| note(&headerless.id.log_name(), "without a header")));
        self.strays.extend(files.unfinished.iter().map(|name| note(name, "not finished")));
        for entry in storage.list(view.dir()).at("list", view.dir())? {
            let name = entry.name.to_string_lossy();
            if tidelog_format::FileName::parse(&name).is_none() {
                self.strays.push(note(&name, "not a file of a partition"));
            }
        }
        let dir = view.dir().join(QUARANTINE_NAME);
        if storage.kind(&dir).at("look at", &dir)? == Some(Kind::Directory) {
            for entry in storage.list(&dir).at("list", &dir)? {
                let path = dir.join(&entry.name);
                let len = storage.open(&path, Access::Read).and_then(|file: Arc<_>| file.len());
                let detail = len.map_or_else(|error| error.to_string(), |len| format!("{len} bytes"));
                self.quarantined.push(FileNote { file: format!("{QUARANTINE_NAME}/{}", entry.name.to_string_lossy()), detail });
            }
        }
        self.strays.sort_by(|a, b| a.file.cmp(&b.file));
        self.quarantined.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(())
    }
}
