//! Makes the golden files. Decodes nothing.

use tidelog_format::*;

use crate::support::{Place, Rec, assemble, encode_frame};

const UUID: [u8; 16] = *b"tidelog golden 1";
const SALT: u64 = 0xfeed_f00d_dead_beef;
const CHAIN_SEED: u32 = 0x0bad_cafe;
const NEWEST: i64 = 1_700_000_002_000_000_000;

/// Name and bytes of every golden file.
pub(super) fn files() -> [(&'static str, Vec<u8>); 7] {
    let (log, index) = segment();
    let headers = [("META", meta()), ("TOPIC", topic()), ("STORE", store()), ("LIVE", live())];
    let [meta, topic, store, live] = headers;
    [("segment.log", log), ("segment.idx", index), ("CHECKPOINT", checkpoint()), meta, topic, store, live]
}

fn segment() -> (Vec<u8>, Vec<u8>) {
    let header = SegmentHeader {
        partition_uuid: UUID,
        base_offset: Offset::new(1000),
        prev_end: Offset::new(990),
        rewrite_end: None,
        seq: 3,
        salt: SALT,
        created: TimestampNs::new(1_700_000_000_123_456_789),
        capacity: 64 << 10,
        leader_epoch: LeaderEpoch::new(5),
        epoch_start: Offset::new(980),
        log_start: Offset::new(17),
        chain_seed: CHAIN_SEED,
        flags: SegmentHeader::CHAIN_RESTARTED,
    };
    let mut log = Log { bytes: header.encode().to_vec(), chain: CHAIN_SEED };
    log.push(1000, 5, None, Blocks::default(), &[Rec::plain(1_700_000_000_123_456_789, b"hello")]);
    batch(&mut log);
    let note = Blocks { note: Some(b"events.ndjson:4711"), ..Blocks::default() };
    log.push(1006, 5, Some(768), note, &[Rec::plain(-1, b"before 1970")]);
    produced(&mut log);
    from_kafka(&mut log);
    pad(&mut log);
    let (covered, chain) = (log.bytes.len() as u64, log.chain);
    let seal = Seal {
        salt: SALT,
        base_offset: Offset::new(1000),
        next_offset: Offset::new(1011),
        records: 11,
        max_ts: TimestampNs::new(i64::MAX), // of the milliseconds that no nanoseconds can hold
        log_start: Offset::new(18),
        first_epoch: LeaderEpoch::new(5),
        last_epoch: LeaderEpoch::new(6),
        chain_out: chain,
    };
    log.bytes.extend(seal.encode(Position::new(covered), 9));
    (log.bytes, index(covered, chain))
}

struct Log {
    bytes: Vec<u8>,
    chain: u32,
}

impl Log {
    fn place<'a>(&self, base_offset: u64, leader_epoch: u32, durable: Option<u64>, blocks: Blocks<'a>) -> Place<'a> {
        let position = self.bytes.len() as u64;
        let durable_back = durable.map_or(NO_CLAIM, |durable| ((position - durable) / 8) as u32);
        Place { salt: SALT, position, base_offset, chain: self.chain, durable_back, leader_epoch, blocks }
    }

    fn push(&mut self, base_offset: u64, leader_epoch: u32, durable: Option<u64>, blocks: Blocks<'_>, records: &[Rec<'_>]) {
        let (bytes, chain) = encode_frame(self.place(base_offset, leader_epoch, durable, blocks), records);
        self.bytes.extend(bytes);
        self.chain = chain;
    }
}

/// Keys, headers, nulls, empties, times out of order down to the nanosecond.
fn batch(log: &mut Log) {
    let header = |name, value| Header { name, value };
    let headers = vec![header("h", Some(&b"v"[..])), header("h", None), header("empty", Some(b""))];
    let foreign = vec![header("\u{fc}n\u{ef}", Some(&b"\x80"[..]))];
    let record = |ts, key, value, headers| Rec { ts, key, value, headers };
    let long = [b'a'; 400]; // so that this frame is not a small one
    let records = [
        record(1_700_000_001_000_000_007, Some(&b"key"[..]), Some(&b"first"[..]), headers),
        record(1_700_000_000_999_999_999, Some(b""), Some(b""), vec![]),
        record(1_699_999_999_875_000_000, Some(b"gone"), None, vec![]),
        record(1_700_000_001_250_999_999, None, Some(b"\x00\xff"), foreign),
        record(1_700_000_001_000_000_007, None, Some(&long), vec![]),
    ];
    log.push(1001, 5, Some(128), Blocks::default(), &records);
}

/// A transactional batch of a producer, replicated, stamped by the log five milliseconds after its times.
fn produced(log: &mut Log) {
    let blocks = Blocks {
        producer: Some(Producer { id: 0x0102_0304_0506_0708, epoch: -2, base_sequence: 77 }),
        replication: Some(Replication { log_index: 12_345, leader_node: 2, kind: 1 }),
        ..Blocks::default()
    };
    let kafka = Attributes::TRANSACTIONAL.with(Attributes::LOG_APPEND_TIME);
    let records: Vec<u8> = [record(0, 0, Some(b"p"), Some(b"1")), record(1, 1, Some(b"p"), Some(b"2"))].concat();
    let header = frame_header(log, 1007, 5, 2, kafka.with(blocks.attributes()), (NEWEST - 5_000_000, NEWEST));
    log.assemble(header, None, blocks, &records);
}

/// Milliseconds that no nanoseconds can hold.
fn from_kafka(log: &mut Log) {
    let (first, last) = (-62_135_596_800_000, 253_402_300_799_999);
    let records = [record(0, 0, None, Some(b"")), record(last - first, 1, None, None)].concat();
    let header = frame_header(log, 1009, 6, 2, Attributes::TS_MILLIS, (first, last));
    log.assemble(header, Some(880), Blocks::default(), &records);
}

fn pad(log: &mut Log) {
    let header = frame_header(log, 1011, 6, 0, Attributes::PAD.with(Attributes::NO_OFFSETS), (0, 0));
    log.assemble(header, None, Blocks::default(), &[0; 8]);
}

fn record(delta_ms: i64, offset_delta: u32, key: Option<&[u8]>, value: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = vec![0; record_len(delta_ms, offset_delta, key, value, &[])];
    encode_record(&mut bytes, 0, delta_ms, offset_delta, key, value, &[]);
    bytes
}

fn frame_header(log: &Log, base_offset: u64, leader_epoch: u32, records: u32, attributes: Attributes, ts: (i64, i64)) -> FrameHeader {
    FrameHeader {
        frame_len: 0,
        base_offset: Offset::new(base_offset),
        base_ts: TimestampNs::new(ts.0),
        max_ts: TimestampNs::new(ts.1),
        last_offset_delta: records.saturating_sub(1),
        record_count: records,
        attributes,
        leader_epoch: LeaderEpoch::new(leader_epoch),
        chain: log.chain,
        durable_back: NO_CLAIM,
        body_crc: 0,
    }
}

impl Log {
    fn assemble(&mut self, mut header: FrameHeader, durable: Option<u64>, blocks: Blocks<'_>, body: &[u8]) {
        let place = self.place(header.base_offset.get(), header.leader_epoch.get(), durable, blocks);
        header.durable_back = place.durable_back;
        let (bytes, chain) = assemble(header, place, &blocks, body);
        self.bytes.extend(bytes);
        self.chain = chain;
    }
}

fn index(covered: u64, chain: u32) -> Vec<u8> {
    let header = IndexHeader {
        salt: SALT,
        base_offset: Offset::new(1000),
        seq: 3,
        entries: 0,
        covered: Position::new(covered),
        next_offset: Offset::new(1011),
        records: 11,
        max_ts: TimestampNs::new(i64::MAX), // of the milliseconds that no nanoseconds can hold
        chain,
        sealed: true,
    };
    let entry = |rel_offset, position, max_ts| IndexEntry { rel_offset, position, max_ts_before: TimestampNs::new(max_ts) };
    encode_index(header, &[entry(0, 128, i64::MIN), entry(6, 768, 1_700_000_001_250_999_999), entry(9, 1000, NEWEST)])
}

fn checkpoint() -> Vec<u8> {
    let current = Term { epoch: LeaderEpoch::new(5), start: Offset::new(980) };
    let mut terms = Terms::new(Term { epoch: LeaderEpoch::new(3), start: Offset::new(610) });
    terms.note(current);
    let newer = Checkpoint {
        counter: 8,
        partition_uuid: UUID,
        log_start: Offset::new(17),
        durable_next_offset: Offset::new(1009),
        active_seq: 3,
        active_salt: SALT,
        tail_pos: Position::new(1000),
        tail_chain: 0x1122_3344,
        max_ts: TimestampNs::new(NEWEST),
        high_water_mark: Offset::new(1009),
        terms,
    };
    let older = Checkpoint {
        counter: 7,
        log_start: Offset::new(16),
        durable_next_offset: Offset::new(1000),
        tail_pos: Position::new(128),
        tail_chain: CHAIN_SEED,
        max_ts: TimestampNs::new(i64::MIN),
        high_water_mark: Offset::new(999),
        terms: Terms::new(current),
        ..newer
    };
    let mut bytes = vec![0; 2 * SLOT_BYTES];
    for checkpoint in [newer, older] {
        let at = checkpoint.slot_position().get() as usize;
        bytes[at..at + SLOT_BYTES].copy_from_slice(&checkpoint.encode());
    }
    bytes
}

fn meta() -> Vec<u8> {
    let meta = Meta {
        compat: 0x8000_0001,
        ro_compat: 0,
        uuid: UUID,
        created: TimestampNs::new(1_699_999_999_000_000_001),
        index: 2,
        ring_size: 1 << 14,
        range_start: 1 << 13,
        range_stop: 3 << 12,
        namespace: "default".to_owned(),
        topic: "earth_quakes.v1".to_owned(),
    };
    meta.encode()
}

/// Three partitions, the one in the middle split in two.
fn topic() -> Vec<u8> {
    let entry = |number: u8, range: std::ops::Range<u32>, split, made| PartitionEntry {
        uuid: [number + 1; 16],
        created: TimestampNs::new(1_699_999_998_500_000_000 + i64::from(number)),
        range_start: range.start,
        range_stop: range.end,
        split,
        made,
    };
    let partitions = vec![
        entry(0, 0..1365, 0..0, true),
        entry(1, 1365..2730, 3..5, true),
        entry(2, 2730..4096, 0..0, false),
        entry(3, 1365..2000, 0..0, false),
        entry(4, 2000..2730, 0..0, true),
    ];
    let topic = TopicMeta { uuid: *b"the golden topic", created: TimestampNs::new(1_699_999_998_000_000_003), ring_size: 4096, partitions };
    topic.encode()
}

fn store() -> Vec<u8> {
    StoreMeta { uuid: *b"the golden store", created: TimestampNs::new(1_699_999_998_000_000_002) }.encode().to_vec()
}

/// As a reader finds it: the wake word has moved.
fn live() -> Vec<u8> {
    let mut bytes = LiveHeader { boot_id: *b"boot of a golden", writer_nonce: 0x1357_9bdf_0246_8ace, writer_pid: 4242 }.encode().to_vec();
    bytes[WAKE_POSITION..WAKE_POSITION + 4].copy_from_slice(&99u32.to_le_bytes());
    bytes
}
