//! Which term a log was in at which offset, so that what a cut took away stays dead even where the segment that cut it off is lost.

use crate::{LeaderEpoch, Offset};

/// Most terms that are remembered: with these a checkpoint slot is 512 bytes, one sector.
pub const TERMS_MAX: usize = 25;

/// A term of the writer, raised by every cut of the log's end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Term {
    /// Its number.
    pub epoch: LeaderEpoch,
    /// Its first offset: a frame of a lower term there or above is dead.
    pub start: Offset,
}

/// The terms of a log, at least one: each begins above the one before it. A term that began at or above a later one says nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    len: usize,
    terms: [Term; TERMS_MAX],
}

impl Terms {
    /// Of a log that was in one term only.
    pub fn new(first: Term) -> Self {
        let mut terms = [Term::default(); TERMS_MAX];
        terms[0] = first;
        Self { len: 1, terms }
    }

    /// Oldest first.
    pub fn as_slice(&self) -> &[Term] {
        &self.terms[..self.len]
    }

    /// The current term.
    pub fn newest(&self) -> Term {
        self.terms[self.len - 1]
    }

    /// Whether a frame of `epoch` at `offset` was cut off.
    #[inline]
    pub fn is_dead(&self, epoch: LeaderEpoch, offset: Offset) -> bool {
        if epoch >= self.newest().epoch {
            return false;
        }
        // Later terms begin above: the first later one is the lowest.
        let next = self.as_slice().partition_point(|term| term.epoch <= epoch);
        offset >= self.terms[next].start
    }

    /// Whether some of the frames below `next` of a segment that begins at `base` and ends in the term `last` were cut off.
    pub fn cut_into(&self, base: Offset, next: Offset, last: LeaderEpoch) -> bool {
        next > base && self.is_dead(last, Offset::new(next.get() - 1))
    }

    /// Learns of a term, in any order. Of more than [`TERMS_MAX`], the oldest is forgotten.
    pub fn note(&mut self, term: Term) {
        let says_less = |one: &Term, other: &Term| one.epoch <= other.epoch && one.start >= other.start;
        if self.as_slice().iter().any(|known| says_less(&term, known)) {
            return;
        }
        self.retain(|known| !says_less(known, &term));
        if self.len == TERMS_MAX {
            let oldest = self.terms[0].epoch;
            if term.epoch <= oldest {
                return;
            }
            self.retain(|known| known.epoch > oldest);
        }
        let at = self.as_slice().partition_point(|known| known.epoch <= term.epoch);
        self.terms.copy_within(at..self.len, at + 1);
        self.terms[at] = term;
        self.len += 1;
    }

    /// Forgets what says nothing of offsets from `log_start` on.
    pub fn forget_below(&mut self, log_start: Offset) {
        let begun = self.as_slice().partition_point(|term| term.start <= log_start);
        if let Some(last) = begun.checked_sub(1) {
            let newest = self.terms[last].epoch;
            self.retain(|term| term.epoch >= newest);
        }
    }

    fn retain(&mut self, keep: impl Fn(&Term) -> bool) {
        let mut kept = 0;
        for number in 0..self.len {
            let term = self.terms[number];
            if keep(&term) {
                self.terms[kept] = term;
                kept += 1;
            }
        }
        self.terms[kept..self.len].fill(Term::default()); // equal lists are equal arrays
        self.len = kept;
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self::new(Term::default())
    }
}
