//! What several tests need: a second CRC-32, and frames built from records. Tests nothing itself.

use tidelog_format::{
    Attributes, Blocks, FRAME_HEADER_BYTES, FrameHeader, Header, LeaderEpoch, NO_CLAIM, NanosBlock, Offset, Position, TimestampNs, append_record,
    encode_record, pack_nanos, packed_bytes, padded, record_len,
};

/// CRC-32 as the books define it, bit by bit: what the crate computes is checked against this.
pub(crate) fn plain_crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// Makes a file header right again after a field of it was changed.
pub(crate) fn reseal(header: &mut [u8]) {
    let crc = plain_crc32(&[&header[..124], &header[128..]].concat());
    header[124..128].copy_from_slice(&crc.to_le_bytes());
}

/// A file header with one field overwritten, under a right checksum.
pub(crate) fn with_field(header: &[u8], at: usize, field: &[u8]) -> Vec<u8> {
    let mut changed = header.to_vec();
    changed[at..at + field.len()].copy_from_slice(field);
    reseal(&mut changed);
    changed
}

/// A frame with some of its bytes overwritten, under a right checksum.
pub(crate) fn with_frame_field(frame: &[u8], salt: u64, position: u64, blocks_len: usize, at: usize, field: &[u8]) -> Vec<u8> {
    let mut changed = frame.to_vec();
    changed[at..at + field.len()].copy_from_slice(field);
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let (place, head_end, frame_len) = (plain_place(salt, position, word(&changed, 8)), 64 + blocks_len, word(&changed, 56) as usize);
    let checksum = if frame_len > 512 {
        plain_crc32(&changed[12..head_end]) ^ place
    } else {
        let head_crc = plain_crc32(&changed[16..head_end]) ^ place;
        changed[12..16].copy_from_slice(&head_crc.to_le_bytes());
        plain_crc32(&changed[16..frame_len.max(head_end)]) ^ place ^ plain_mix(head_crc)
    };
    changed[4..8].copy_from_slice(&checksum.to_le_bytes());
    changed
}

/// The place of a frame, from the words of the specification.
pub(crate) fn plain_place(salt: u64, position: u64, durable_back: u32) -> u32 {
    let mut p = (u128::from(salt) + u128::from(position) * 0x9e37_79b9_7f4a_7c15) as u64;
    for (shift, factor) in [(30, 0xbf58_476d_1ce4_e5b9u64), (27, 0x94d0_49bb_1331_11eb), (31, 1)] {
        p = (u128::from(p ^ (p >> shift)) * u128::from(factor)) as u64;
    }
    (p >> 32) as u32 ^ plain_mix(durable_back)
}

fn plain_mix(word: u32) -> u32 {
    [(16, 0x85eb_ca6bu32), (13, 0xc2b2_ae35), (16, 1)]
        .into_iter()
        .fold(word, |word, (shift, factor)| (u64::from(word ^ (word >> shift)) * u64::from(factor)) as u32)
}

#[derive(Debug, Clone)]
pub(crate) struct Rec<'a> {
    pub(crate) ts: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Vec<Header<'a>>,
}

impl<'a> Rec<'a> {
    pub(crate) fn plain(ts: i64, value: &'a [u8]) -> Self {
        Self { ts, key: None, value: Some(value), headers: vec![] }
    }
}

/// Where a frame goes and what stands in it beside the records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) salt: u64,
    pub(crate) position: u64,
    pub(crate) base_offset: u64,
    pub(crate) chain: u32,
    pub(crate) durable_back: u32,
    pub(crate) leader_epoch: u32,
    pub(crate) blocks: Blocks<'a>,
}

impl Place<'_> {
    pub(crate) fn at(salt: u64, position: u64, base_offset: u64, chain: u32) -> Self {
        Self { salt, position, base_offset, chain, durable_back: NO_CLAIM, leader_epoch: 0, blocks: Blocks::default() }
    }
}

/// The record array of `records`, their packed nanoseconds and how these are packed.
pub(crate) fn encode_records(records: &[Rec<'_>]) -> (Vec<u8>, Vec<u8>, Option<NanosBlock>) {
    let base = TimestampNs::new(records[0].ts).millis();
    let (mut bytes, mut packed, mut appended) = (Vec::new(), Vec::new(), Vec::new());
    for (index, record) in records.iter().enumerate() {
        let delta = TimestampNs::new(record.ts).millis() - base;
        let at = bytes.len();
        bytes.resize(at + record_len(delta, index as u32, record.key, record.value, &record.headers), 0);
        let end = encode_record(&mut bytes, at, delta, index as u32, record.key, record.value, &record.headers);
        assert_eq!(end, bytes.len(), "record_len is what encode_record stores");
        let limited = |limit: usize, out: &mut Vec<u8>| append_record(out, limit, delta, index as u32, record.key, record.value, &record.headers);
        assert_eq!((limited(end - 1, &mut appended), appended.len()), (Err(end), at), "nothing is appended past the limit");
        assert_eq!(limited(end, &mut appended), Ok(()));
        assert_eq!(appended, bytes, "both ways to encode a record are one");
    }
    let nanos: Vec<u32> = records.iter().map(|record| TimestampNs::new(record.ts).sub_millis()).collect();
    let block = pack_nanos(&nanos, &mut packed);
    (bytes, packed, block)
}

/// A whole padded frame, and the chain after it.
pub(crate) fn encode_frame(place: Place<'_>, records: &[Rec<'_>]) -> (Vec<u8>, u32) {
    let (body, packed, nanos) = encode_records(records);
    let blocks = Blocks { nanos, ..place.blocks };
    let mut attributes = blocks.attributes();
    if records.iter().any(|record| record.value.is_none()) {
        attributes = attributes.with(Attributes::HAS_TOMBSTONE);
    }
    let header = FrameHeader {
        frame_len: 0,
        base_offset: Offset::new(place.base_offset),
        base_ts: TimestampNs::new(records[0].ts),
        max_ts: TimestampNs::new(records.iter().fold(i64::MIN, |max, record| max.max(record.ts))),
        last_offset_delta: records.len() as u32 - 1,
        record_count: records.len() as u32,
        attributes,
        leader_epoch: LeaderEpoch::new(place.leader_epoch),
        chain: place.chain,
        durable_back: place.durable_back,
        body_crc: 0,
    };
    assemble(header, place, &blocks, &[body, packed].concat())
}

/// A whole padded frame from its parts; `frame_len` and `body_crc` are set.
pub(crate) fn assemble(mut header: FrameHeader, place: Place<'_>, blocks: &Blocks<'_>, body: &[u8]) -> (Vec<u8>, u32) {
    let mut block_bytes = Vec::new();
    blocks.encode(&mut block_bytes);
    header.frame_len = (FRAME_HEADER_BYTES + block_bytes.len() + body.len()) as u32;
    let packed_len = blocks.nanos.map_or(0, |nanos| packed_bytes(nanos.width, header.record_count));
    header.body_crc = FrameHeader::body_crc_of(header.frame_len as usize, &body[..body.len() - packed_len]);
    let mut bytes = [&[0; FRAME_HEADER_BYTES][..], &block_bytes, body].concat();
    bytes.resize(padded(bytes.len()), 0);
    let chain = header.encode_into(&mut bytes, place.salt, Position::new(place.position));
    (bytes, chain)
}
