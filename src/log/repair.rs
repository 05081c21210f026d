//! Repair, first half: which offsets of a partition are lost, and which files would have to be replaced to say so. Changes not one byte.

use std::path::Path;
use std::sync::Arc;

use tidelog_format::{Offset, SegmentId, Span, resolve};

use crate::error::{DamagedRange, OpenError};
use crate::io::Storage;
use crate::log::decision::Verdict;
use crate::log::deep::FileNote;
use crate::log::files::{PartitionFiles, SegmentFile, is_zero, read_files};
use crate::log::plan::{LiveFile, Plan, describe, joined, plan};
use crate::log::walk::{WalkLimit, WalkStart, Walked, walk};

/// What a repair of one partition does: planned, or done.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct PartitionRepair {
    /// The topic, `namespace/name`, without the namespace if it is the default one.
    pub topic: String,
    /// Number in the topic.
    pub partition: u32,
    /// Offsets that cannot be read, before and after. No offset changes.
    pub lost: Vec<DamagedRange>,
    /// What is done, in order.
    pub steps: Vec<RepairStep>,
    /// What is wrong and stays as it is.
    pub left: Vec<FileNote>,
}

impl PartitionRepair {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.left.is_empty()
    }
}

/// One thing that a repair does.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RepairStep {
    /// What is done.
    pub action: RepairAction,
    /// The file that it is done to.
    pub file: String,
    /// Details for people.
    pub detail: String,
}

/// What a repair does to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RepairAction {
    /// What any open for writing does: a torn end is cut off, what is missing at the end of the log is declared lost.
    Recover,
    /// Bytes that no segment holds from then on are copied to `quarantine/`.
    Keep,
    /// The last segment is damaged: appending goes on in a new one.
    Begin,
    /// A new segment declares offsets lost.
    Declare,
    /// A new segment takes over the right batches behind damage.
    Rewrite,
    /// The bytes where a seal should be are cut off.
    Trim,
    /// Nothing of the segment can be read: it moves to `quarantine/`.
    Quarantine,
    /// The catalogue of the topic is damaged: it is written anew from what the partitions say.
    Catalog,
}

/// A segment that takes over behind damage: under the `seq` of the damaged one and with a higher base, it outranks that one and nothing else.
#[derive(Debug, Clone)]
pub(super) struct Graft {
    pub(super) source: SegmentFile,
    /// Where what can be read ends; what is between here and the base is lost.
    lost_from: u64,
    /// From where on its header says so: lower, if it stands for a segment that declared offsets lost itself.
    pub(super) prev_end: u64,
    pub(super) base: u64,
    /// Behind the last batch in it.
    pub(super) next: u64,
    /// Where its batches stand in the source; none if there are none.
    pub(super) frames: Option<(u64, u64)>,
    reason: String,
}

impl Graft {
    pub(super) fn id(&self) -> SegmentId {
        SegmentId { base_offset: self.base, seq: self.source.id.seq }
    }
}

/// What is done about one damaged segment: all of it, or nothing.
#[derive(Debug, Clone)]
pub(super) struct Wound {
    pub(super) grafts: Vec<Graft>,
    pub(super) stretches: Vec<Stretch>,
    /// Whether nothing of the segment can be read.
    is_retired: bool,
    /// Whether it is the last one, so that appending must go on in another.
    is_last: bool,
}

/// Bytes of a segment that no segment holds from then on.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    pub(super) source: SegmentFile,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// What is wrong with a partition, and what is done about it.
#[derive(Debug)]
pub(super) struct Surgery {
    pub(super) files: PartitionFiles,
    pub(super) plan: Plan,
    pub(super) wounds: Vec<Wound>,
    /// What stands where seals should be, at the end of their segments: no frame.
    pub(super) unsealed: Vec<Stretch>,
    /// Files without a header that nothing can be read of.
    headerless: Vec<SegmentId>,
    pub(super) left: Vec<FileNote>,
    /// What cannot be read, whether that can be declared or not.
    lost: Vec<DamagedRange>,
}

/// Plans the repair of the partition in `dir`.
///
/// # Errors
/// [`OpenError`], as an open would fail.
pub(crate) fn plan_repair(storage: &Arc<dyn Storage>, dir: &Path, index_interval: u32) -> Result<PartitionRepair, OpenError> {
    Ok(Surgery::plan(storage, dir, index_interval)?.report())
}

impl Surgery {
    pub(super) fn plan(storage: &Arc<dyn Storage>, dir: &Path, index_interval: u32) -> Result<Self, OpenError> {
        let files = read_files(storage, dir)?;
        let plan = plan(&**storage, dir, &files, index_interval, None)?;
        let (wounds, unsealed, headerless, left, lost) = Default::default();
        let mut surgery = Self { files, plan, wounds, unsealed, headerless, left, lost };
        for number in 0..surgery.plan.live.len() {
            surgery.examine(number)?;
        }
        surgery.examine_head();
        surgery.examine_breaks();
        surgery.lost = surgery.all_lost();
        surgery.keep_possible();
        let is_lost = |base: u64| surgery.grafts().any(|graft| graft.lost_from <= base && base < graft.base);
        let is_nothing = |id: &SegmentId| is_lost(id.base_offset) || surgery.is_replaced(*id);
        surgery.headerless = surgery.files.headerless.iter().map(|other| other.id).filter(is_nothing).collect();
        Ok(surgery)
    }

    pub(super) fn grafts(&self) -> impl DoubleEndedIterator<Item = &Graft> {
        self.wounds.iter().flat_map(|wound| &wound.grafts)
    }

    /// What is copied to quarantine before anything else is done.
    pub(super) fn stretches(&self) -> impl Iterator<Item = &Stretch> {
        self.wounds.iter().flat_map(|wound| &wound.stretches).chain(&self.unsealed)
    }

    /// Segments of which nothing can be read, also those without a header.
    pub(super) fn retired(&self) -> impl Iterator<Item = SegmentId> {
        let damaged = self.wounds.iter().filter(|wound| wound.is_retired).map(|wound| wound.grafts[0].source.id);
        damaged.chain(self.headerless.iter().copied())
    }

    /// Whether a new segment takes the name of a file.
    pub(super) fn is_replaced(&self, id: SegmentId) -> bool {
        self.grafts().any(|graft| graft.id() == id)
    }

    /// Whether appending must go on in another segment, because the last one is damaged.
    pub(super) fn needs_tail(&self) -> bool {
        self.wounds.iter().any(|wound| wound.is_last)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.wounds.is_empty() && self.unsealed.is_empty()
    }

    /// The offset behind what a live file answers for, where another one does or offsets are declared lost.
    fn end_of(&self, number: usize) -> u64 {
        self.plan.live[number].to.min(self.plan.next_offset)
    }

    /// Reads all of a live file, also what its seal or its index vouches for.
    fn examine(&mut self, number: usize) -> Result<(), OpenError> {
        let (is_last, to, log_start) = (number + 1 == self.plan.live.len(), self.end_of(number), self.plan.log_start);
        let live = &self.plan.live[number];
        let (segment, end) = (live.segment.clone(), live.end);
        let walked = self.walk(live, is_last)?;
        let name = segment.id.log_name();
        if self.has_bad_seal(live, &walked, to)? {
            self.unsealed.push(Stretch { source: segment.clone(), from: end, to: segment.len_within() });
        }
        // What lies below the log start stands in nobody's way.
        let lost_to = |bad: usize| walked.runs.get(bad + 1).map_or(to, |run| run.offset);
        let is_damaged = (0..walked.bad.len()).any(|bad| lost_to(bad) > log_start);
        let is_retired = is_damaged && walked.runs[0].next_offset <= segment.id.base_offset;
        let (mut grafts, mut stretches) = (Vec::new(), Vec::new());
        for (bad, spot) in walked.bad.iter().enumerate().filter(|_| is_damaged) {
            let (lost_from, next) = (walked.runs[bad].next_offset, walked.runs.get(bad + 1));
            let declared_from = if is_retired && bad == 0 { segment.header.prev_end.get() } else { lost_from };
            stretches.push(Stretch {
                source: segment.clone(),
                from: spot.position,
                to: next.map_or_else(|| segment.len_within(), |run| run.position),
            });
            grafts.push(Graft {
                source: segment.clone(),
                lost_from,
                prev_end: declared_from.min(lost_from),
                base: lost_to(bad),
                next: next.map_or(to, |run| run.next_offset),
                frames: next.filter(|run| run.position < run.end).map(|run| (run.position, run.end)),
                reason: format!("{name}: position {}: {}", spot.position, describe(&spot.fault)),
            });
        }
        let last = walked.runs.last().copied().expect("a walk begins with a run").next_offset;
        let ends_whole = walked.bad.len() < walked.runs.len();
        if ends_whole && last < to && to > log_start && !is_last {
            let reason = format!("offsets {last}..{to} are in no segment");
            grafts.push(Graft { source: segment, lost_from: last, prev_end: last, base: to, next: to, frames: None, reason });
        }
        if !grafts.is_empty() {
            self.wounds.push(Wound { grafts, stretches, is_retired, is_last: is_damaged && is_last });
        }
        Ok(())
    }

    fn walk(&self, live: &LiveFile, is_last: bool) -> Result<Walked, OpenError> {
        let segment = &live.segment;
        let start = WalkStart::of_segment(segment.id.base_offset, segment.header.chain_seed);
        // What is torn off the end of the log is not looked at.
        let position = if is_last { live.end } else { segment.len_within() };
        let limit = WalkLimit { position, offset: live.to, terms: &self.plan.terms, index_interval: u32::MAX };
        walk(&*segment.open()?, &segment.path, segment.header.salt, segment.id.base_offset, start, limit)
    }

    /// Whether recovery found something where the seal should be.
    fn has_bad_seal(&self, live: &LiveFile, walked: &Walked, to: u64) -> Result<bool, OpenError> {
        let is_told = self.plan.damage.iter().any(|range| range.from == range.to && range.from == to);
        let last = walked.runs.last().map_or(0, |run| run.end);
        let ends_there = walked.seal.is_none() && walked.clean_end && last == live.end;
        Ok(is_told && ends_there && !is_zero(&*live.segment.open()?, &live.segment.path, live.end, live.segment.len_within())?)
    }

    fn is_declared(&self, from: u64, to: u64) -> bool {
        let gaps = gaps_of(&resolve(&self.spans()).gaps, &[]);
        gaps.iter().any(|(gap_from, gap_to)| *gap_from <= from && to <= *gap_to)
    }

    /// Before the first segment there is none under whose number the loss could be declared.
    fn examine_head(&mut self) {
        let Some(first) = self.plan.live.first().filter(|first| first.from > self.plan.log_start) else { return };
        if self.files.slots.newest.is_some() && !self.is_declared(self.plan.log_start, first.from) {
            let detail = format!("the segments of offsets {}..{} are gone", self.plan.log_start, first.from);
            self.left.push(FileNote { file: first.segment.id.log_name(), detail });
        }
    }

    /// Damage that costs no offset and is neither a bad seal nor bad bytes between batches: a segment that was written behind other records.
    fn examine_breaks(&mut self) {
        for range in self.plan.damage.iter().filter(|range| range.from == range.to) {
            let is_grafted = self.grafts().any(|graft| graft.lost_from <= range.from && range.from <= graft.base);
            let is_settled = is_grafted || !self.unsealed.is_empty();
            if let (false, Some(live)) = (is_settled, self.plan.live.iter().rev().find(|live| live.from <= range.from)) {
                let detail = format!("{}; every offset is there", range.reason);
                self.left.push(FileNote { file: live.segment.id.log_name(), detail });
            }
        }
    }

    fn spans(&self) -> Vec<Span> {
        self.files.segments.iter().map(|segment| Span::from(&segment.header)).collect()
    }

    /// What the files will mean must be what they mean now, less what is lost: what would change more than that is left as it is.
    fn keep_possible(&mut self) {
        if self.is_as_expected() {
            return;
        }
        for wound in std::mem::take(&mut self.wounds) {
            self.wounds.push(wound);
            if self.is_as_expected() {
                continue;
            }
            for graft in self.wounds.pop().into_iter().flat_map(|wound| wound.grafts) {
                let detail = format!("{}; its segments overlap in a way that no new segment can put right", graft.reason);
                self.left.push(FileNote { file: graft.source.id.log_name(), detail });
            }
        }
    }

    fn is_as_expected(&self) -> bool {
        let is_taken = |graft: &Graft| self.files.segments.iter().any(|segment| segment.id == graft.id());
        if self.grafts().any(is_taken) {
            return false;
        }
        let at = Offset::new;
        let (mut spans, needs_tail) = (self.spans(), self.needs_tail());
        let mut expected: Vec<(u64, u64, u64)> = Vec::new();
        let before = resolve(&spans);
        for range in &before.live {
            let (mut from, seq, to) = (range.from.get(), spans[range.file].seq, range.to.get());
            let is_here = |graft: &&Graft| graft.source.id == self.files.segments[range.file].id;
            for graft in self.grafts().filter(is_here) {
                expected.push((seq, from, graft.prev_end));
                from = graft.base;
            }
            expected.push((seq, from, if needs_tail && range.is_open() { self.plan.next_offset } else { to }));
        }
        // A retired segment is moved away.
        let stays = |segment: &SegmentFile| self.retired().all(|id| id != segment.id);
        spans = self.files.segments.iter().filter(|segment| stays(segment)).map(|segment| Span::from(&segment.header)).collect();
        spans.extend(self.grafts().map(|graft| Span {
            seq: graft.source.id.seq,
            base: at(graft.base),
            prev_end: at(graft.prev_end),
            rewrite_end: None,
        }));
        if needs_tail {
            let (seq, end) = (self.files.seq_max + 1, at(self.plan.next_offset));
            spans.push(Span { seq, base: end, prev_end: end, rewrite_end: None });
            expected.push((seq, self.plan.next_offset, u64::MAX));
        }
        expected.retain(|(_, from, to)| from < to);
        expected.sort_by_key(|(_, from, _)| *from);
        let after = resolve(&spans);
        let found: Vec<_> = after.live.iter().map(|range| (spans[range.file].seq, range.from.get(), range.to.get())).collect();
        found == expected
            && gaps_of(&after.gaps, &[]) == gaps_of(&before.gaps, &self.grafts().map(|graft| (graft.lost_from, graft.base)).collect::<Vec<_>>())
    }

    fn all_lost(&self) -> Vec<DamagedRange> {
        let log_start = self.plan.log_start;
        let of_graft =
            |graft: &Graft| DamagedRange { from: graft.lost_from.max(log_start), to: graft.base, reason: graft.reason.clone(), declared: false };
        let mut lost: Vec<DamagedRange> = self.grafts().map(of_graft).filter(|range| range.from < range.to).collect();
        let is_told = |range: &DamagedRange| lost.iter().any(|told| told.from <= range.from && range.to <= told.to);
        let others = self.plan.damage.iter().filter(|range| range.from < range.to && !range.declared && !is_told(range));
        let others: Vec<DamagedRange> = others.cloned().collect();
        lost.extend(others);
        lost.sort_by_key(|range| range.from);
        lost
    }

    /// What recovery found missing at the end of the log, and declares when it makes the next segment.
    fn lost_end(&self) -> Option<&DamagedRange> {
        let is_grafted = |range: &DamagedRange| self.grafts().any(|graft| graft.lost_from <= range.from && range.to <= graft.base);
        self.plan.damage.iter().find(|range| range.from < range.to && range.to == self.plan.next_offset && !range.declared && !is_grafted(range))
    }

    /// What this does, for people.
    pub(super) fn report(&self) -> PartitionRepair {
        let mut report = PartitionRepair { lost: self.lost.clone(), left: self.left.clone(), ..PartitionRepair::default() };
        let step = |action, file: String, detail: String| RepairStep { action, file, detail };
        let settled = self.plan.findings.iter().filter(|finding| finding.verdict == Verdict::Repair && !finding.found.stays());
        report.steps.extend(settled.map(|finding| step(RepairAction::Recover, finding.file.clone(), finding.detail.clone())));
        if let (Some(end), Some(last)) = (self.lost_end(), self.plan.live.last()) {
            let detail = format!("the segment that the next open begins says that offsets {}..{} are lost", end.from, end.to);
            report.steps.push(step(RepairAction::Recover, last.segment.id.log_name(), detail));
        }
        let kept = |stretch: &Stretch| format!("bytes {}..{} are copied to quarantine/", stretch.from, stretch.to);
        report.steps.extend(self.stretches().map(|stretch| step(RepairAction::Keep, stretch.source.id.log_name(), kept(stretch))));
        if self.needs_tail() {
            let name = SegmentId { base_offset: self.plan.next_offset, seq: self.files.seq_max + 1 }.log_name();
            report.steps.push(step(RepairAction::Begin, name, format!("appending goes on here, at offset {}", self.plan.next_offset)));
        }
        for graft in self.grafts() {
            let name = graft.id().log_name();
            if graft.prev_end < graft.base {
                report.steps.push(step(
                    RepairAction::Declare,
                    name.clone(),
                    format!("says that offsets {}..{} are lost", graft.prev_end, graft.base),
                ));
            }
            if graft.frames.is_some() && graft.base < graft.next {
                let detail = format!("takes offsets {}..{} over from {}", graft.base, graft.next, graft.source.id.log_name());
                report.steps.push(step(RepairAction::Rewrite, name, detail));
            }
        }
        let trimmed = |bad_seal: &Stretch| {
            step(RepairAction::Trim, bad_seal.source.id.log_name(), format!("ends at position {}, without a seal", bad_seal.from))
        };
        report.steps.extend(self.unsealed.iter().map(trimmed));
        report.steps.extend(self.retired().map(|id| step(RepairAction::Quarantine, id.log_name(), "moves to quarantine/ as it is".to_owned())));
        report
    }
}

/// Offsets declared lost, in order; those that touch are one.
fn gaps_of(gaps: &[(Offset, Offset)], more: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut all: Vec<(u64, u64)> = gaps.iter().map(|(from, to)| (from.get(), to.get())).chain(more.iter().copied()).collect();
    all.retain(|(from, to)| from < to);
    all.sort_unstable();
    joined(all)
}
