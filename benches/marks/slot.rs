//! One record of a mark: length, checksum, value. Knows no file.

/// Length and checksum before each record of a mark.
pub(crate) const HEAD_BYTES: usize = 8;

/// Bytes of one record of a mark, aligned as the engine aligns its frames.
pub(crate) const fn stored_bytes(value_bytes: usize) -> usize {
    (HEAD_BYTES + value_bytes).next_multiple_of(8)
}

/// Stores length, checksum and value at the start of `slot`.
#[inline]
pub(crate) fn store(slot: &mut [u8], value: &[u8]) {
    slot[..4].copy_from_slice(&(value.len() as u32).to_le_bytes());
    slot[4..HEAD_BYTES].copy_from_slice(&crc32fast::hash(value).to_le_bytes());
    slot[HEAD_BYTES..HEAD_BYTES + value.len()].copy_from_slice(value);
}

/// Copies the value out of `slot` and checks it; its last byte.
///
/// # Panics
/// If it is not what was stored.
#[inline]
pub(crate) fn load(slot: &[u8], value: &mut [u8]) -> u8 {
    let (head, rest) = slot.split_at(HEAD_BYTES);
    let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let value = &mut value[..len];
    value.copy_from_slice(&rest[..len]);
    assert_eq!(crc32fast::hash(value).to_le_bytes(), head[4..], "a mark read what it did not write");
    value.last().copied().unwrap_or(0)
}
