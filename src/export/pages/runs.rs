//! Numbers of which neighbours are most often equal: levels, terms, producers. Knows no bytes.

/// Numbers in their order, as runs.
#[derive(Debug, Clone, Default)]
pub(in crate::export) struct Runs<T> {
    runs: Vec<(T, usize)>,
}

impl<T: PartialEq + Copy> Runs<T> {
    pub(in crate::export) fn new() -> Self {
        Self { runs: Vec::new() }
    }

    #[inline]
    pub(in crate::export) fn push(&mut self, number: T) {
        self.extend(number, 1);
    }

    /// Adds a number, so many times.
    #[inline]
    pub(in crate::export) fn extend(&mut self, number: T, count: usize) {
        match self.runs.last_mut() {
            _ if count == 0 => {}
            Some((last, so_far)) if *last == number => *so_far += count,
            _ => self.runs.push((number, count)),
        }
    }

    /// How many numbers there are.
    pub(in crate::export) fn len(&self) -> usize {
        self.runs.iter().map(|(_, count)| count).sum()
    }

    /// Each run: its number, and how often that is there.
    pub(in crate::export) fn iter(&self) -> impl Iterator<Item = (T, usize)> {
        self.runs.iter().copied()
    }

    /// The same runs of what becomes of each number.
    pub(in crate::export) fn map<U: PartialEq + Copy>(&self, mut into: impl FnMut(T) -> U) -> Runs<U> {
        let mut mapped = Runs::new();
        self.iter().for_each(|(number, count)| mapped.extend(into(number), count));
        mapped
    }

    /// The numbers in portions of such lengths.
    pub(in crate::export) fn portions(&self, lens: impl Iterator<Item = usize>) -> impl Iterator<Item = Self> {
        let mut rest = self.iter();
        let mut cut: Option<(T, usize)> = None;
        lens.map(move |mut len| {
            let mut portion = Self::new();
            while len > 0 {
                let Some((number, count)) = cut.take().or_else(|| rest.next()) else { break };
                let taken = count.min(len);
                portion.extend(number, taken);
                len -= taken;
                cut = (count > taken).then_some((number, count - taken));
            }
            portion
        })
    }

    pub(in crate::export) fn clear(&mut self) {
        self.runs.clear();
    }
}
