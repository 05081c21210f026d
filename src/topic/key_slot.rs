//! Which slot of the ring a key belongs to. Knows no partition.

use crate::log::RING_SIZE;

/// The 32-bit MurmurHash2 of `bytes`, with the seed that Kafka's clients use: their `murmur2`, bit for bit, as an unsigned number.
///
/// ```
/// assert_eq!(tidelog::murmur2(b"foobar").cast_signed(), -790_332_482);
/// ```
pub fn murmur2(bytes: &[u8]) -> u32 {
    let mut hash = SEED ^ bytes.len() as u32;
    let (words, rest) = bytes.as_chunks();
    for word in words {
        let word = u32::from_le_bytes(*word).wrapping_mul(FACTOR);
        hash = hash.wrapping_mul(FACTOR) ^ (word ^ word >> 24).wrapping_mul(FACTOR);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| tail << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(FACTOR);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(FACTOR);
    hash ^ hash >> 15
}

/// The slot of a key: [`murmur2`] of it, as an unsigned number, modulo the 4,096 slots of the ring. A key stays in its slot for good, whatever
/// becomes of the partitions; which partition the slot is in, their ranges say.
///
/// The hash is Kafka's, the partition is not: Kafka's clients take the hash modulo the number of partitions, so that most keys change places
/// when partitions are added. Records that are to stand in the same partitions as in a Kafka topic are appended to them by number.
///
/// ```
/// assert_eq!(tidelog::key_slot(b"customer-7"), tidelog::murmur2(b"customer-7") % 4096);
/// ```
pub fn key_slot(key: &[u8]) -> u32 {
    murmur2(key) % RING_SIZE
}

const SEED: u32 = 0x9747_b28c;
const FACTOR: u32 = 0x5bd1_e995;
