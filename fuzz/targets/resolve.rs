//! Which offsets count: any headers, against a model that asks every file about every offset.

use tidelog_format::{LiveRange, Offset, Resolution, Span, resolve};

pub fn run(data: &[u8]) {
    let spans: Vec<Span> = data.chunks_exact(5).take(24).map(span).collect();
    let resolution = resolve(&spans);
    check_order(&resolution);
    let newest_first = newest_first(&spans);
    for offset in 0..OFFSETS {
        let found: Vec<_> = fates(&resolution, offset).collect();
        let expected: Vec<_> = fate(&spans, &newest_first, offset).into_iter().collect();
        assert_eq!(found, expected, "offset {offset} of {spans:?}");
    }
    let kept: Vec<usize> = (0..spans.len()).filter(|file| !resolution.dead.contains(file)).collect();
    let left = resolve(&kept.iter().map(|&file| spans[file]).collect::<Vec<_>>());
    assert!(left.dead.is_empty() && left.gaps == resolution.gaps, "unlinking the dead changes nothing: {spans:?}");
    assert!(left.live.iter().map(|range| LiveRange { file: kept[range.file], ..*range }).eq(resolution.live.iter().copied()));
}

const OFFSETS: u64 = 80;

/// Small numbers, so that ranges meet; the seq may be there twice, and what no header may say is said.
fn span(bytes: &[u8]) -> Span {
    let [seq, base, prev_end, rewrite, end] = *bytes else { unreachable!("chunks of five") };
    let at = |byte: u8| Offset::new(u64::from(byte % 64));
    Span { seq: (seq % 32).into(), base: at(base), prev_end: at(prev_end), rewrite_end: (rewrite % 3 == 0).then(|| at(end)) }
}

#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Gap,
    Live(usize),
}

fn newest_first(spans: &[Span]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..spans.len()).rev().collect();
    order.sort_by_key(|&file| (spans[file].seq, spans[file].base, spans[file].prev_end, spans[file].rewrite_end));
    order.reverse();
    order
}

/// The newest file that speaks of the offset decides.
fn fate(spans: &[Span], newest_first: &[usize], offset: u64) -> Option<Fate> {
    newest_first.iter().find_map(|&file| {
        let Span { base, prev_end, rewrite_end, .. } = spans[file];
        match rewrite_end {
            Some(end) => (base <= offset && end > offset).then_some(Fate::Live(file)),
            None if base <= offset => Some(Fate::Live(file)),
            None => (prev_end <= offset).then_some(Fate::Gap),
        }
    })
}

fn fates(resolution: &Resolution, offset: u64) -> impl Iterator<Item = Fate> {
    let live = resolution.live.iter().filter(move |range| range.from <= offset && range.to > offset).map(|range| Fate::Live(range.file));
    let gaps = resolution.gaps.iter().filter(move |(from, to)| *from <= offset && *to > offset).map(|_| Fate::Gap);
    live.chain(gaps)
}

fn check_order(resolution: &Resolution) {
    assert!(resolution.live.windows(2).all(|pair| pair[0].to <= pair[1].from));
    assert!(resolution.gaps.windows(2).all(|pair| pair[0].1 <= pair[1].0));
    assert!(resolution.live.iter().all(|range| range.from < range.to));
}
