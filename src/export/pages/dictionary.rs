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

#[derive(Debug)]
struct Entry {
    hash: u32,
    place: u32,
    /// Where the string begins in the page, and its length.
    start: u32,
    len: u32,
}

impl Dictionary {
    pub(in crate::export) fn new() -> Self {
        Self { places: HashTable::new(), hasher: RandomState::new(), page: PageBuffer::new() }
    }

    /// The place of a string, which is new or not.
    #[inline]
    pub(in crate::export) fn place_of(&mut self, string: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(string);
        let Self { places, page, .. } = self;
        let bytes = page.as_slice();
        let is_it = |entry: &Entry| entry.hash == hash as u32 && is_same(&bytes[entry.start as usize..][..entry.len as usize], string);
        if let Some(entry) = places.find(spread(hash as u32), is_it) {
            return entry.place;
        }
        self.add(string, hash as u32)
    }

    #[inline(never)]
    fn add(&mut self, string: &[u8], hash: u32) -> u32 {
        let place = self.len() as u32;
        let start = (self.page.len() + size_of::<u32>()) as u32;
        put_plain(self.page.tail(), string);
        let entry = Entry { hash, place, start, len: string.len() as u32 };
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

/// Most keys have 8 to 16 bytes: two words, which may overlap.
#[inline]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    match (one.first_chunk::<8>(), other.first_chunk::<8>(), one.last_chunk::<8>(), other.last_chunk::<8>()) {
        (Some(one_head), Some(other_head), Some(one_tail), Some(other_tail)) if one.len() == other.len() && one.len() <= 16 => {
            one_head == other_head && one_tail == other_tail
        }
        _ => one == other,
    }
}

/// The table takes its bits from both ends of a hash.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}
