//! Which offsets of which segment files count: a pure function of their headers, shared by recovery, readers and verify.

use std::cmp::Reverse;
use std::iter::once;

use crate::{Offset, SegmentHeader};

/// What [`resolve`] needs of a segment header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Sequence number. Of two equal ones, which only a repair makes, the higher base wins.
    pub seq: u64,
    /// Offset of the first record.
    pub base: Offset,
    /// Frames at this offset or above in files of lower `seq` are dead.
    pub prev_end: Offset,
    /// End of a rewrite; `None` for a tail segment.
    pub rewrite_end: Option<Offset>,
}

impl From<&SegmentHeader> for Span {
    fn from(header: &SegmentHeader) -> Self {
        Self { seq: header.seq, base: header.base_offset, prev_end: header.prev_end, rewrite_end: header.rewrite_end }
    }
}

impl Span {
    /// The offsets that this file makes dead in files of lower `seq`.
    fn kills(&self) -> (Offset, Offset) {
        match self.rewrite_end {
            Some(end) => (self.base, end),
            None => (self.prev_end.min(self.base), END),
        }
    }

    /// The offsets that this file may hold.
    fn holds(&self) -> (Offset, Offset) {
        (self.base, self.rewrite_end.unwrap_or(END))
    }
}

/// A run of offsets that one file answers for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveRange {
    /// Index into the spans.
    pub file: usize,
    /// First offset.
    pub from: Offset,
    /// First offset after the run; `u64::MAX` for the tail, which is open.
    pub to: Offset,
}

impl LiveRange {
    /// Whether the run is open: the tail of the log.
    pub fn is_open(&self) -> bool {
        self.to == END
    }
}

/// The live offsets of a partition, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolution {
    /// Live runs by offset; they never overlap.
    pub live: Vec<LiveRange>,
    /// Indexes of spans that hold nothing live and whose gap is overruled, in the order given: they may be unlinked, which changes
    /// nothing here.
    pub dead: Vec<usize>,
    /// Offsets that a header declares lost, `[prev_end, base)`, where no file of higher `seq` says otherwise. Apart from `live`.
    pub gaps: Vec<(Offset, Offset)>,
}

/// Settles which file answers for which offsets: the higher `seq` wins.
///
/// ```
/// use tidelog_format::{Offset, Span, resolve};
///
/// let at = Offset::new;
/// let first = Span { seq: 1, base: at(0), prev_end: at(0), rewrite_end: None };
/// let cut_at_50 = Span { seq: 2, base: at(50), prev_end: at(50), rewrite_end: None };
/// let live = resolve(&[first, cut_at_50]).live;
/// assert_eq!((live[0].from, live[0].to), (at(0), at(50)));
/// assert_eq!((live[1].from, live[1].is_open()), (at(50), true));
/// ```
pub fn resolve(spans: &[Span]) -> Resolution {
    let mut newest_first: Vec<usize> = (0..spans.len()).collect();
    // A repair puts what stands behind damage under the seq of the damaged segment: the higher base outranks it, and nothing that is newer.
    newest_first.sort_by_key(|&file| Reverse((spans[file].seq, spans[file].base, spans[file].prev_end, spans[file].rewrite_end)));
    let mut resolution = Resolution::default();
    let mut killed = Ranges::default();
    for &file in &newest_first {
        let span = &spans[file];
        let (from, to) = span.holds();
        let before = resolution.live.len() + resolution.gaps.len();
        resolution.live.extend(killed.gaps_in(from, to).map(|(from, to)| LiveRange { file, from, to }));
        if span.rewrite_end.is_none() {
            resolution.gaps.extend(killed.gaps_in(span.prev_end, span.base));
        }
        // A file whose gap is still in force is not dead, though nothing in it may be live: without it, what an older file holds
        // there would come back.
        if resolution.live.len() + resolution.gaps.len() == before {
            resolution.dead.push(file);
        }
        let (from, to) = span.kills();
        killed.add(from, to);
    }
    resolution.live.sort_by_key(|range| range.from);
    resolution.dead.sort_unstable();
    resolution.gaps.sort_unstable();
    resolution
}

/// Disjoint, sorted, half-open ranges.
#[derive(Default)]
struct Ranges(Vec<(Offset, Offset)>);

impl Ranges {
    fn add(&mut self, mut from: Offset, mut to: Offset) {
        if from >= to {
            return;
        }
        self.0.retain(|&(start, end)| {
            let apart = end <= from || to <= start;
            if !apart {
                (from, to) = (from.min(start), to.max(end));
            }
            apart
        });
        let at = self.0.partition_point(|&(start, _)| start <= from);
        self.0.insert(at, (from, to));
    }

    /// What of `[from, to)` is in no range.
    fn gaps_in(&self, from: Offset, to: Offset) -> impl Iterator<Item = (Offset, Offset)> {
        let starts = once(from).chain(self.0.iter().map(move |&(_, end)| end.max(from)));
        let ends = self.0.iter().map(move |&(start, _)| start.min(to)).chain(once(to));
        starts.zip(ends).filter(|(start, end)| start < end)
    }
}

const END: Offset = Offset::new(u64::MAX);
