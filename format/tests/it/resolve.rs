//! Which offsets count: named cases, then random headers against a model that asks every file about every offset.

use proptest::prelude::*;
use tidelog_format::{LiveRange, Offset, Resolution, SegmentHeader, Span, resolve};

fn tail(seq: u64, prev_end: u64, base: u64) -> Span {
    Span { seq, base: Offset::new(base), prev_end: Offset::new(prev_end), rewrite_end: None }
}

fn rewrite(seq: u64, base: u64, end: u64) -> Span {
    Span { seq, base: Offset::new(base), prev_end: Offset::new(base), rewrite_end: Some(Offset::new(end)) }
}

const OPEN: u64 = u64::MAX;

/// `live` is (index, from, to).
fn check(spans: &[Span], live: &[(usize, u64, u64)], gaps: &[(u64, u64)], dead: &[usize]) {
    let at = Offset::new;
    let expected = Resolution {
        live: live.iter().map(|&(file, from, to)| LiveRange { file, from: at(from), to: at(to) }).collect(),
        dead: dead.to_vec(),
        gaps: gaps.iter().map(|&(from, to)| (at(from), at(to))).collect(),
    };
    assert_eq!(resolve(spans), expected);
}

#[test]
fn rolls_follow_each_other() {
    check(&[], &[], &[], &[]);
    check(&[tail(1, 0, 0)], &[(0, 0, OPEN)], &[], &[]);
    check(&[tail(3, 200, 200), tail(1, 0, 0), tail(2, 100, 100)], &[(1, 0, 100), (2, 100, 200), (0, 200, OPEN)], &[], &[]);
    assert!(resolve(&[tail(1, 0, 0)]).live[0].is_open());
}

#[test]
fn a_truncated_suffix_stays_cut_before_and_after_the_unlink() {
    let (first, cut_off, cut) = (tail(1, 0, 0), tail(2, 100, 100), tail(3, 50, 50));
    check(&[first, cut_off, cut], &[(0, 0, 50), (2, 50, OPEN)], &[], &[1]);
    check(&[first, cut], &[(0, 0, 50), (1, 50, OPEN)], &[], &[]);
}

#[test]
fn a_cut_at_the_base_of_a_file_kills_it() {
    check(&[tail(1, 0, 0), tail(2, 100, 100), tail(3, 100, 100)], &[(0, 0, 100), (2, 100, OPEN)], &[], &[1]);
}

#[test]
fn a_rewrite_in_the_middle_replaces_only_its_range() {
    let (a, b, c, r) = (tail(1, 0, 0), tail(2, 100, 100), tail(3, 200, 200), rewrite(9, 50, 120));
    check(&[a, b, c, r], &[(0, 0, 50), (3, 50, 120), (1, 120, 200), (2, 200, OPEN)], &[], &[]);
    check(&[a, b, c, r, rewrite(10, 100, 200)], &[(0, 0, 50), (3, 50, 100), (4, 100, 200), (2, 200, OPEN)], &[], &[1]);
}

#[test]
fn a_rewrite_inside_one_file_splits_it() {
    check(&[tail(1, 0, 0), rewrite(2, 10, 20)], &[(0, 0, 10), (1, 10, 20), (0, 20, OPEN)], &[], &[]);
}

#[test]
fn a_cut_below_a_rewrite_kills_what_is_above() {
    let spans = [tail(1, 0, 0), tail(2, 100, 100), rewrite(3, 50, 90), tail(4, 60, 60)];
    check(&spans, &[(0, 0, 50), (2, 50, 60), (3, 60, OPEN)], &[], &[1]);
}

#[test]
fn a_gap_is_neither_live_nor_forgotten() {
    check(&[tail(1, 0, 0), tail(2, 50, 60)], &[(0, 0, 50), (1, 60, OPEN)], &[(50, 60)], &[]);
    check(&[tail(1, 0, 0), tail(2, 50, 60), rewrite(3, 52, 55)], &[(0, 0, 50), (2, 52, 55), (1, 60, OPEN)], &[(50, 52), (55, 60)], &[]);
    check(&[tail(1, 0, 0), tail(2, 50, 60), rewrite(3, 50, 60)], &[(0, 0, 50), (2, 50, 60), (1, 60, OPEN)], &[], &[]);
}

/// A cut inside a declared gap leaves the file that declared it without a live offset. It must not count as dead: unlinked, it
/// would let the offsets that it declared lost come back from the older file, and until then they would be silently missing.
#[test]
fn a_file_whose_gap_is_in_force_is_not_dead() {
    check(&[tail(1, 0, 0), tail(2, 50, 60), tail(3, 55, 55)], &[(0, 0, 50), (2, 55, OPEN)], &[(50, 55)], &[]);
    // A writer that cuts there declares the rest of the gap anew, and then the older declaration is dead.
    check(&[tail(1, 0, 0), tail(2, 50, 60), tail(3, 50, 55)], &[(0, 0, 50), (2, 55, OPEN)], &[(50, 55)], &[1]);
    check(&[tail(1, 0, 0), tail(2, 50, 60), tail(3, 50, 50)], &[(0, 0, 50), (2, 50, OPEN)], &[], &[1]);
}

#[test]
fn two_files_of_one_seq_are_settled_whatever_the_listing_order() {
    let (low, high) = (tail(5, 10, 10), tail(5, 20, 20));
    check(&[low, high], &[(0, 10, 20), (1, 20, OPEN)], &[], &[]);
    check(&[high, low], &[(1, 10, 20), (0, 20, OPEN)], &[], &[]);
    check(&[low, low], &[(0, 10, OPEN)], &[], &[1]);
}

#[test]
fn spans_that_no_header_holds_do_not_overlap_either() {
    check(&[tail(1, 0, 0), tail(2, 50, 20)], &[(0, 0, 20), (1, 20, OPEN)], &[], &[]);
    check(&[tail(1, 0, 0), rewrite(2, 50, 20)], &[(0, 0, OPEN)], &[], &[1]);
}

#[test]
fn a_span_is_what_the_header_says() {
    let header = SegmentHeader { base_offset: Offset::new(60), prev_end: Offset::new(50), seq: 2, ..SegmentHeader::first([0; 16], 1, 0, 1 << 20) };
    assert_eq!(Span::from(&header), tail(2, 50, 60));
    let header = SegmentHeader { rewrite_end: Some(Offset::new(70)), prev_end: Offset::new(60), ..header };
    assert_eq!(Span::from(&header), rewrite(2, 60, 70));
}

/// What a single offset is, asked of every file: the newest one that speaks of it decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Nobody,
    Gap,
    Live(usize),
}

fn fate(spans: &[Span], offset: u64) -> Fate {
    let newest = spans.iter().enumerate().filter_map(|(file, span)| Some((span.seq, speaks(file, span, offset)?))).max_by_key(|(seq, _)| *seq);
    newest.map_or(Fate::Nobody, |(_, fate)| fate)
}

fn speaks(file: usize, span: &Span, offset: u64) -> Option<Fate> {
    let (base, offset) = (span.base.get(), Offset::new(offset));
    match span.rewrite_end {
        Some(end) => (offset >= base && offset < end).then_some(Fate::Live(file)),
        None if offset >= base => Some(Fate::Live(file)),
        None => (offset >= span.prev_end).then_some(Fate::Gap),
    }
}

fn fates(resolution: &Resolution, offset: u64) -> Vec<Fate> {
    let within = |from: Offset, to: Offset| offset >= from.get() && offset < to.get();
    let live = resolution.live.iter().filter(|range| within(range.from, range.to)).map(|range| Fate::Live(range.file));
    let gaps = resolution.gaps.iter().filter(|&&(from, to)| within(from, to)).map(|_| Fate::Gap);
    live.chain(gaps).collect()
}

fn any_spans() -> impl Strategy<Value = Vec<Span>> {
    let span = (0u64..24, 0u64..24, proptest::option::weighted(0.4, 1u64..24));
    prop::collection::vec(span, 0..10).prop_flat_map(|parts| {
        let seqs: Vec<u64> = (1..=parts.len() as u64).collect();
        (Just(parts), Just(seqs).prop_shuffle()).prop_map(|(parts, seqs)| {
            let span = |((low, more, len), seq): ((u64, u64, Option<u64>), u64)| match len {
                Some(len) => rewrite(seq, low, low + len),
                None => tail(seq, low.min(more), low),
            };
            parts.into_iter().zip(seqs).map(span).collect()
        })
    })
}

const PAST_ALL: u64 = 64;

proptest! {
    #[test]
    fn every_offset_has_the_fate_that_the_newest_file_gives_it(spans in any_spans()) {
        let resolution = resolve(&spans);
        for offset in (0..PAST_ALL).chain([OPEN - 1]) {
            let expected = match fate(&spans, offset) {
                Fate::Nobody => vec![],
                fate => vec![fate],
            };
            prop_assert_eq!(fates(&resolution, offset), expected, "offset {}", offset);
        }
        for ranges in resolution.live.windows(2) {
            prop_assert!(ranges[0].to <= ranges[1].from);
        }
        for range in &resolution.live {
            prop_assert!(range.from < range.to && range.is_open() == (range.to.get() == OPEN));
        }
    }

    #[test]
    fn unlinking_the_dead_changes_nothing(spans in any_spans()) {
        let resolution = resolve(&spans);
        let kept: Vec<usize> = (0..spans.len()).filter(|file| !resolution.dead.contains(file)).collect();
        let left = resolve(&kept.iter().map(|&file| spans[file]).collect::<Vec<_>>());
        let live: Vec<_> = left.live.iter().map(|range| LiveRange { file: kept[range.file], ..*range }).collect();
        prop_assert_eq!((&live, &left.gaps), (&resolution.live, &resolution.gaps));
        prop_assert!(left.dead.is_empty());
    }

    #[test]
    fn the_order_of_the_listing_does_not_matter(spans in any_spans()) {
        let mut reversed = spans.clone();
        reversed.reverse();
        let (a, b) = (resolve(&spans), resolve(&reversed));
        let mirrored: Vec<_> = b.live.iter().map(|range| LiveRange { file: spans.len() - 1 - range.file, ..*range }).collect();
        prop_assert_eq!(a.live, mirrored);
        prop_assert_eq!(a.gaps, b.gaps);
    }
}
