//! Byte strings of which any may be null, gathered right into the pages that they will stand in. Encodes no levels.

use crate::export::pages::page_buffer::PageBuffer;
use crate::export::pages::runs::Runs;
use crate::export::schema::PAGE_BYTES;

/// The pages of a column of byte strings.
#[derive(Debug)]
pub(in crate::export) struct PlainStrings {
    full: Vec<StringPage>,
    last: StringPage,
    /// What pages are made of.
    free: Vec<Vec<u8>>,
}

/// A page of them, each behind its length.
#[derive(Debug)]
pub(in crate::export) struct StringPage {
    pub(in crate::export) buffer: PageBuffer,
    /// Whether each is there.
    pub(in crate::export) is_there: Runs<bool>,
}

impl StringPage {
    fn new(bytes: Vec<u8>) -> Self {
        Self { buffer: PageBuffer::reusing(bytes), is_there: Runs::new() }
    }
}

impl PlainStrings {
    pub(in crate::export) fn new() -> Self {
        Self { full: Vec::new(), last: StringPage::new(Vec::new()), free: Vec::new() }
    }

    #[inline]
    pub(in crate::export) fn push(&mut self, string: Option<&[u8]>) {
        let StringPage { buffer, is_there } = &mut self.last;
        is_there.push(string.is_some());
        if let Some(string) = string {
            put_plain(buffer.tail(), string);
        }
    }

    pub(in crate::export) fn end_page(&mut self) {
        // With room for as much as the one before it, which grew step by step, unless that was huge.
        let bytes = self.free.pop().unwrap_or_else(|| Vec::with_capacity((self.last.buffer.len() * 9 / 8).min(2 * PAGE_BYTES)));
        let next = StringPage::new(bytes);
        self.full.push(std::mem::replace(&mut self.last, next));
    }

    /// The pages, in order. What is left is empty.
    pub(in crate::export) fn take_pages(&mut self) -> Vec<StringPage> {
        if self.last.is_there.len() > 0 {
            self.end_page();
        }
        std::mem::take(&mut self.full)
    }

    /// Takes a vector back, unless it is larger than most pages are.
    pub(in crate::export) fn reuse(&mut self, bytes: Vec<u8>) {
        if self.free.len() < FREE_MAX && bytes.capacity() <= 2 * PAGE_BYTES {
            self.free.push(bytes);
        }
    }
}

/// The pages of a row group of small rows.
const FREE_MAX: usize = 32;

/// Appends a string. Most keys have 8 to 16 bytes: two words, which may overlap, cost less than a call that copies any number of bytes.
#[inline]
pub(in crate::export) fn put_short(out: &mut Vec<u8>, string: &[u8]) {
    match (string.first_chunk::<8>(), string.last_chunk::<8>()) {
        (Some(head), Some(tail)) if string.len() <= 16 => {
            out.reserve(16);
            out.extend_from_slice(head);
            out.truncate(out.len() - (16 - string.len()));
            out.extend_from_slice(tail);
        }
        _ => out.extend_from_slice(string),
    }
}

/// A string as PLAIN has it: behind its length.
#[inline]
pub(in crate::export) fn put_plain(out: &mut Vec<u8>, string: &[u8]) {
    let len = u32::try_from(string.len()).expect("a record has at most 1 GiB");
    out.reserve(size_of::<u32>() + string.len());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(string);
}
