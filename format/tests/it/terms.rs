//! Which terms a log remembers, and what they say is dead: against a list that forgets nothing.

use proptest::prelude::*;
use tidelog_format::*;

fn term(epoch: u32, start: u64) -> Term {
    Term { epoch: LeaderEpoch::new(epoch), start: Offset::new(start) }
}

fn terms_of(all: &[(u32, u64)]) -> Terms {
    let mut terms = Terms::new(term(all[0].0, all[0].1));
    all[1..].iter().for_each(|&(epoch, start)| terms.note(term(epoch, start)));
    terms
}

fn dead(terms: &Terms, epoch: u32, offset: u64) -> bool {
    terms.is_dead(LeaderEpoch::new(epoch), Offset::new(offset))
}

#[test]
fn a_segment_is_cut_into_if_its_last_record_is_dead() {
    let terms = terms_of(&[(1, 0), (3, 50)]);
    let check = |base: u64, next: u64, last: u32, expected| {
        assert_eq!(terms.cut_into(Offset::new(base), Offset::new(next), LeaderEpoch::new(last)), expected, "{base}..{next} of term {last}");
    };
    check(10, 50, 1, false);
    check(10, 51, 1, true);
    check(10, 51, 2, true);
    check(10, 51, 3, false);
    check(50, 51, 1, true);
    // Without a record there is nothing to cut off, wherever it stands.
    check(51, 51, 1, false);
    check(60, 60, 1, false);
    check(0, 0, 1, false);
}

/// The oldest says least: what it cut off lies below all others.
#[test]
fn of_too_many_terms_the_oldest_is_forgotten() {
    let all: Vec<(u32, u64)> = (1..=TERMS_MAX as u32).map(|epoch| (2 * epoch, 100 * u64::from(epoch))).collect();
    let full = terms_of(&all);
    assert_eq!(full.as_slice().len(), TERMS_MAX);
    let starts = |terms: &Terms| terms.as_slice().iter().map(|term| term.start.get()).collect::<Vec<_>>();
    let mut newer = full;
    newer.note(term(1000, 10_000));
    assert_eq!((newer.as_slice().len(), newer.newest()), (TERMS_MAX, term(1000, 10_000)));
    assert_eq!(starts(&newer)[..TERMS_MAX - 1], starts(&full)[1..]);
    let mut between = full;
    between.note(term(5, 250));
    assert_eq!(starts(&between)[..3], [200, 250, 300]);
    assert_eq!((between.as_slice().len(), between.newest()), (TERMS_MAX, full.newest()));
    let mut older = full;
    older.note(term(1, 50));
    assert_eq!(older, full, "older than all of them");
    let mut replaced = full;
    replaced.note(term(2, 50));
    assert_eq!((starts(&replaced)[0], &starts(&replaced)[1..]), (50, &starts(&full)[1..]));
}

#[test]
fn what_says_nothing_of_readable_offsets_is_forgotten() {
    let terms = terms_of(&[(1, 10), (2, 20), (3, 30)]);
    let check = |log_start: u64, expected: &[(u32, u64)]| {
        let mut left = terms;
        left.forget_below(Offset::new(log_start));
        assert_eq!(left, terms_of(expected), "from {log_start} on");
    };
    check(9, &[(1, 10), (2, 20), (3, 30)]);
    check(10, &[(1, 10), (2, 20), (3, 30)]);
    check(19, &[(1, 10), (2, 20), (3, 30)]);
    check(20, &[(2, 20), (3, 30)]);
    check(1000, &[(3, 30)]);
}

proptest! {
    /// A frame is dead if any later term begins at or below it; no order of learning of them matters.
    #[test]
    fn a_frame_is_dead_if_a_later_term_begins_at_or_below_it(all in prop::collection::vec((0u32..12, 0u64..12), 1..20)) {
        let terms = terms_of(&all);
        let mut reversed = all.clone();
        reversed.reverse();
        prop_assert_eq!(terms, terms_of(&reversed));
        for (epoch, offset) in (0..13).flat_map(|epoch| (0..13).map(move |offset| (epoch, offset))) {
            let expected = all.iter().any(|&(later, start)| later > epoch && start <= offset);
            prop_assert_eq!(dead(&terms, epoch, offset), expected, "epoch {}, offset {}", epoch, offset);
        }
    }
}
