//! Byte strings that are each kept once, and known by their place. Knows no page but its own.

use ahash::RandomState;
use hashbrown::HashTable;

use crate::export::pages::page_buffer::PageBuffer;
use crate::export::pages::strings::put_plain;

/// The strings of a dictionary page, in the order of their places.
#[derive(Debug)]
pub(in crate::export) struct Dictionary {
    places: HashTable<Entry>,
    hasher: RandomState,
    page: PageBuffer,
}

/// What tells most strings apart stands here: the page, which is elsewhere in memory, is asked for the others.
#[derive(Debug)]
struct Entry {
    head: Head,
    hash: u32,
    place: u32,
    /// Where the string begins in the page, and its length.
    start: u32,
    len: u32,
}

/// The first eight bytes of a string and its last eight, which of one of up to 16 bytes are all; zeros are added to a short one.
type Head = [u64; 2];

impl Dictionary {
    /// An empty one, with room for so many.
    pub(in crate::export) fn with_capacity(strings: usize) -> Self {
        Self { places: HashTable::with_capacity(strings), hasher: RandomState::new(), page: PageBuffer::new() }
    }

    /// The place of a string, which is new or not.
    #[inline]
    pub(in crate::export) fn place_of(&mut self, string: &[u8]) -> u32 {
        self.place_of_hashed(string, self.hasher.hash_one(string) as u32)
    }

    #[inline(always)]
    fn place_of_hashed(&mut self, string: &[u8], hash: u32) -> u32 {
        let head = head_of(string);
        let Self { places, page, .. } = self;
        let is_it = |entry: &Entry| {
            entry.head == head
                && entry.len as usize == string.len()
                && (string.len() <= size_of::<Head>() || page.as_slice()[entry.start as usize..][..string.len()] == *string)
        };
        if let Some(entry) = places.find(spread(hash), is_it) {
            return entry.place;
        }
        self.add(string, head, hash)
    }

    #[inline(never)]
    fn add(&mut self, string: &[u8], head: Head, hash: u32) -> u32 {
        let place = self.len() as u32;
        let start = (self.page.len() + size_of::<u32>()) as u32;
        put_plain(self.page.tail(), string);
        let entry = Entry { head, hash, place, start, len: string.len() as u32 };
        self.places.insert_unique(spread(hash), entry, |entry| spread(entry.hash));
        place
    }

    /// Strings there are.
    pub(in crate::export) fn len(&self) -> usize {
        self.places.len()
    }

    /// Bytes of the page.
    pub(in crate::export) fn bytes(&self) -> usize {
        self.page.len()
    }

    pub(in crate::export) fn into_page(self) -> PageBuffer {
        self.page
    }
}

#[inline]
fn head_of(string: &[u8]) -> Head {
    match (string.first_chunk(), string.last_chunk()) {
        (Some(first), Some(last)) => [u64::from_le_bytes(*first), u64::from_le_bytes(*last)],
        _ => {
            let mut all = [0; 8];
            all[..string.len()].copy_from_slice(string);
            [u64::from_le_bytes(all), 0]
        }
    }
}

/// The table takes its bits from both ends of a hash.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Strings of one hash that are told apart by their length alone, by their heads, or by what is between those.
    #[test]
    fn strings_that_look_alike_have_places_of_their_own() {
        let of_zeros = (0..40).map(|len| vec![0; len]);
        let of_numbers = (1..300u16).map(|number| number.to_le_bytes().repeat(5));
        let alike_outside = (0..300u16).map(|number| [&[7; 8], number.to_le_bytes().as_slice(), &[7; 8]].concat());
        let strings: Vec<Vec<u8>> = of_zeros.chain(of_numbers).chain(alike_outside).collect();
        let mut dictionary = Dictionary::with_capacity(0);
        for _ in 0..2 {
            for (place, string) in strings.iter().enumerate() {
                assert_eq!(dictionary.place_of_hashed(string, 0), place as u32, "{string:?}");
            }
        }
        assert_eq!((dictionary.len(), dictionary.bytes()), (639, strings.iter().map(|string| 4 + string.len()).sum()));
    }
}
