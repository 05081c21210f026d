//! Values to append: random bytes of one length, the same in every run. Draws nothing from the system.

/// Splitmix64: enough to shuffle and to fill.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    /// The next number.
    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `bound`.
    #[inline]
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// Puts `items` in a random order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

/// Values that take turns.
pub(crate) struct Values {
    bytes: Vec<u8>,
    value_bytes: usize,
}

impl Values {
    /// Values of this length.
    pub(crate) fn new(value_bytes: usize) -> Self {
        let mut rng = Rng(value_bytes as u64);
        Self { bytes: (0..VALUES * value_bytes).map(|_| rng.next() as u8).collect(), value_bytes }
    }

    /// The value of record `number`.
    #[inline]
    pub(crate) fn get(&self, number: usize) -> &[u8] {
        let at = number % VALUES * self.value_bytes;
        &self.bytes[at..at + self.value_bytes]
    }

    /// Length of each.
    pub(crate) fn value_bytes(&self) -> usize {
        self.value_bytes
    }
}

const VALUES: usize = 256;
