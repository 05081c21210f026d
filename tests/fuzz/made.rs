//! Seeds made by hand: small logs as crashes, cuts and damage leave them, so that a fuzzer begins where recovery does. Runs nothing.

use std::path::Path;

use tidelog_format::{
    Attributes, Blocks, Checkpoint, Codec, FRAME_HEADER_BYTES, FrameHeader, IndexEntry, IndexHeader, LeaderEpoch, Meta, NO_CLAIM, Offset, Position,
    Producer, Replication, Seal, SegmentHeader, Term, Terms, TimestampNs, encode_index, encode_record, padded, record_len,
};

use super::inputs;
use super::targets::directory::{self, Directory, File};

/// Target, name, bytes.
pub(crate) fn seeds() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut seeds: Vec<_> = logs().into_iter().map(|(name, directory)| ("image", name.to_owned(), directory.encode())).collect();
    let golden = inputs(&Path::new(env!("CARGO_MANIFEST_DIR")).join("format/golden"));
    let golden = |wanted: &str| golden.iter().find(|(path, _)| path.ends_with(wanted)).map(|(_, bytes)| bytes.clone()).expect("a golden file");
    let segment = golden("segment.log");
    let files =
        [(directory::META, "META"), (directory::CHECKPOINT, "CHECKPOINT"), (directory::LOG, "segment.log"), (directory::INDEX, "segment.idx")];
    let file = |(kind, name)| {
        let mut bytes = golden(name);
        if kind == directory::CHECKPOINT {
            bytes = [&bytes[..128], &bytes[4096..4224]].concat();
        }
        // Of partition 0: a directory that is 0 by its name takes no other.
        if kind == directory::META {
            bytes = Meta { index: 0, ..Meta::decode(&bytes).expect("it is golden") }.encode();
        }
        File { kind, bytes, ..File::default() }
    };
    seeds.push(("image", "golden".to_owned(), Directory { how: [0, 0], files: files.map(file).to_vec() }.encode()));
    for (number, at) in [128, 208, 768, 880, 1000, 1088, 1160].into_iter().enumerate() {
        let place = [&0xfeed_f00d_dead_beef_u64.to_le_bytes()[..], &(at as u32 / 8).to_le_bytes()].concat();
        seeds.push(("frame", format!("golden-{number}"), [&place[..], &segment[at..]].concat()));
        seeds.push(("record", format!("golden-{number}"), segment[at + FRAME_HEADER_BYTES..].to_vec()));
    }
    seeds.push(("scan", "golden".to_owned(), segment));
    for (number, how) in [0x00, 0x01, 0x02, 0x03, 0x0e, 0x0f, 0x42, 0x83].into_iter().enumerate() {
        let mut bytes = vec![how];
        bytes.resize(257, 0);
        seeds.push(("checkpoint", number.to_string(), bytes));
    }
    // Another partition's, which says that the log starts elsewhere.
    for (name, how) in [("foreign", 0x0e), ("foreign-killed", 0x0f)] {
        let mut bytes = vec![how];
        bytes.resize(257, 0);
        for slot in [0, 128] {
            (bytes[1 + slot + 32], bytes[1 + slot + 48]) = (1, 5);
        }
        seeds.push(("checkpoint", name.to_owned(), bytes));
    }
    for (number, how) in [0x08, 0x09, 0x0a, 0x1a, 0x18, 0x19, 0x2a, 0x1c].into_iter().enumerate() {
        let mut bytes = vec![how];
        bytes.resize(200, 0);
        seeds.push(("index", number.to_string(), bytes));
    }
    for (number, how) in [0x08, 0x18, 0x0a, 0x1a, 0x0c, 0x1c, 0x06, 0x07, 0x28, 0x38, 0x20].into_iter().enumerate() {
        let mut bytes = vec![how];
        bytes.resize(193, 0);
        seeds.push(("live", number.to_string(), bytes));
    }
    for (number, name) in ["META", "STORE", "LIVE", "CHECKPOINT", "segment.idx", "TOPIC"].into_iter().enumerate() {
        seeds.push(("headers", number.to_string(), golden(name)));
    }
    for name in ["00000000000000000007-0000000001.log", "spare-0000000003.tmp", "recovery-00000000000000000001.json"] {
        seeds.push(("headers", name.to_owned(), name.as_bytes().to_vec()));
    }
    for seed in 0..8_u8 {
        let byte = |at: u16| (u32::from(at) * 0x9e37 + u32::from(seed) * 0x79b9).to_le_bytes()[1];
        seeds.push(("resolve", seed.to_string(), (0..20 + 10 * u16::from(seed)).map(byte).collect()));
        seeds.push(("crash", seed.to_string(), (0..24 + 4 * u16::from(seed)).map(byte).collect()));
    }
    #[cfg(feature = "parquet")]
    seeds.extend(parquet_files());
    seeds
}

/// Exports of a few rows, with holes, terms, producers, nulls and headers.
#[cfg(feature = "parquet")]
fn parquet_files() -> Vec<(&'static str, String, Vec<u8>)> {
    use tidelog::export::ParquetExport;
    use tidelog::{BatchPlace, Record, RecordBatch, Store};

    let export = |count: u64| {
        let dir = tempfile::tempdir().expect("a directory");
        let partition = Store::open(dir.path().join("data")).expect("a store").topic("t").expect("a topic").partition(0).expect("a partition");
        for number in 0..count {
            let value = [b'v'; 9];
            let record = if number % 5 == 4 { Record::tombstone() } else { Record::new(&value[..(number % 9) as usize]) };
            let record = if number % 3 == 0 { record.key("k") } else { record };
            let record = if number % 4 == 0 { record.header("h", None).header("h", Some(b"x")) } else { record };
            let mut batch = RecordBatch::new();
            batch.push(&record.timestamp(TimestampNs::new(1_700_000_000_000_000_000 + number as i64))).expect("it is small");
            let producer_id = (number % 7 == 6).then_some(number as i64);
            let place =
                BatchPlace { base_offset: Offset::new(7 + number + number / 6), leader_epoch: LeaderEpoch::new(number as u32 / 10), producer_id };
            partition.restore(&batch, place).expect("an empty log");
        }
        partition.flush().expect("a disk");
        let report = ParquetExport::new(partition.view(), dir.path().join("out")).run(&mut |_| {}).expect("a directory");
        std::fs::read(&report.files[0].path).expect("it was written")
    };
    [1, 5, 40].map(|count| ("parquet_import", count.to_string(), export(count))).into()
}

/// Logs of a few small segments, by what is special about them.
fn logs() -> Vec<(&'static str, Directory)> {
    let first = || Segment::new(1, 0);
    let plain = || first().batch(1, 3).batch(2, 20).claim().batch(3, 8);
    let rolled = || vec![plain().sealed(), plain().sealed().next(1 << 16).batch(2, 9).claim().batch(1, 30)];
    let three = || {
        let mut segments = rolled();
        let last = segments[1].clone().sealed();
        segments[1] = last.clone();
        segments.push(last.next(1 << 16).batch(4, 4));
        segments
    };
    let mut cut = vec![plain()];
    cut.push(cut[0].cut_at(2).batch(1, 5).claim().batch(1, 6));
    let mut gap = vec![plain()];
    gap.push(gap[0].cut_at(3).with(|header| header.base_offset = Offset::new(9)).batch(2, 5));
    let mut rewrite = three();
    rewrite.push(Segment::new(7, 0).with(|header| header.rewrite_end = Some(rewrite[1].header.base_offset)).batch(4, 10).sealed());
    let mut torn = three();
    let end = torn[2].bytes.len();
    torn[2].bytes.truncate(end - 20);
    let mut rotten = three();
    rotten[0].bytes[128 + 100] ^= 1;
    let deleted = || three().into_iter().map(|segment| segment.with(|header| header.log_start = Offset::new(4))).collect::<Vec<_>>();
    let mut odd = vec![first().batch_of(|header, blocks| {
        header.attributes = header.attributes.with(Attributes::TRANSACTIONAL);
        blocks.producer = Some(Producer { id: 9, epoch: 1, base_sequence: 0 });
        blocks.replication = Some(Replication { log_index: 5, leader_node: 1, kind: 1 });
        blocks.note = Some(b"note");
    })];
    odd[0] = odd[0].clone().batch_of(|header, _| header.attributes = header.attributes.with(Attributes::TS_MILLIS));
    odd[0] = odd[0].clone().batch_of(|header, _| header.attributes = header.attributes.with_codec(Codec::Lz4)).batch(1, 1);
    vec![
        ("one", directory([0, 0], vec![plain()], &[], 2)),
        ("one-killed", directory([6, 0], vec![plain()], &[], 0)),
        ("one-unread", directory([2, 1 | 32 << 2], vec![plain()], &[], 9)),
        ("rolled", directory([0, 2 | 40 << 2], rolled(), &[0], 1)),
        ("rolled-healed", healed(directory([4, 0], rolled(), &[0], 1))),
        ("three", directory([2, 0], three(), &[0, 1], 2)),
        ("three-healed", healed(directory([3, 1 | 20 << 2], three(), &[0, 1], 2))),
        ("three-no-checkpoint", without(directory([0, 0], three(), &[0, 1], 2), directory::CHECKPOINT)),
        ("three-no-meta", without(directory([0, 0], three(), &[1], 1), directory::META)),
        (
            "missing",
            directory([0, 0], three().into_iter().enumerate().filter(|(number, _)| *number != 1).map(|(_, segment)| segment).collect(), &[], 1),
        ),
        ("cut", healed(directory([5, 2 | 60 << 2], cut, &[0], 1))),
        ("gap", directory([0, 0], gap, &[], 1)),
        ("rewrite", directory([0, 1 | 9 << 2], rewrite, &[], 2)),
        ("torn", directory([2, 0], torn, &[0, 1], 1)),
        ("rotten", directory([0, 0], rotten, &[1], 2)),
        ("deleted", directory([0, 0], deleted(), &[0, 1], 2)),
        ("odd", directory([0, 0], odd, &[], 0)),
    ]
}

#[derive(Debug, Clone)]
struct Segment {
    header: SegmentHeader,
    bytes: Vec<u8>,
    next_offset: u64,
    chain: u32,
    records: u64,
    is_sealed: bool,
    claims: bool,
    entries: Vec<IndexEntry>,
}

impl Segment {
    fn new(seq: u64, base: u64) -> Self {
        let first = SegmentHeader::first(UUID, SALT + seq, 1_700_000_000_000_000_000, 1 << 16);
        Self::of(SegmentHeader { seq, base_offset: Offset::new(base), prev_end: Offset::new(base), ..first })
    }

    fn of(header: SegmentHeader) -> Self {
        let (bytes, next_offset, chain) = (header.encode().to_vec(), header.base_offset.get(), header.chain_seed);
        Self { header, bytes, next_offset, chain, records: 0, is_sealed: false, claims: false, entries: Vec::new() }
    }

    /// With another header.
    fn with(mut self, change: impl FnOnce(&mut SegmentHeader)) -> Self {
        change(&mut self.header);
        if self.records == 0 {
            return Self::of(self.header);
        }
        self.bytes[..128].copy_from_slice(&self.header.encode());
        self
    }

    /// The next frame claims what stands before it.
    fn claim(mut self) -> Self {
        self.claims = true;
        self
    }

    fn batch(self, count: u32, value_len: usize) -> Self {
        self.frame(count, value_len, |_, _| ())
    }

    fn batch_of(self, change: impl FnOnce(&mut FrameHeader, &mut Blocks<'_>)) -> Self {
        self.frame(1, 6, change)
    }

    fn frame(mut self, count: u32, value_len: usize, change: impl FnOnce(&mut FrameHeader, &mut Blocks<'_>)) -> Self {
        let mut body = Vec::new();
        for number in 0..count {
            let (key, value) = ([number as u8], vec![b'a' + number as u8; value_len]);
            let at = body.len();
            body.resize(at + record_len(number.into(), number, Some(&key), Some(&value), &[]), 0);
            encode_record(&mut body, at, number.into(), number, Some(&key), Some(&value), &[]);
        }
        let at = self.bytes.len();
        let time = 1_700_000_000_000_000_000 + self.next_offset as i64 * 1_000_000_000;
        let mut blocks = Blocks::default();
        let mut header = FrameHeader {
            frame_len: 0,
            base_offset: Offset::new(self.next_offset),
            base_ts: TimestampNs::new(time),
            max_ts: TimestampNs::new(time + i64::from(count - 1) * 1_000_000),
            last_offset_delta: count - 1,
            record_count: count,
            attributes: Attributes(0),
            leader_epoch: self.header.leader_epoch,
            chain: self.chain,
            durable_back: if self.claims { 0 } else { NO_CLAIM },
            body_crc: 0,
        };
        change(&mut header, &mut blocks);
        header.attributes = header.attributes.with(blocks.attributes());
        let mut encoded = Vec::new();
        blocks.encode(&mut encoded);
        header.frame_len = (FRAME_HEADER_BYTES + encoded.len() + body.len()) as u32;
        header.body_crc = FrameHeader::body_crc_of(header.frame_len as usize, &body);
        self.bytes.extend([&[0; FRAME_HEADER_BYTES][..], &encoded, &body].concat());
        self.bytes.resize(padded(self.bytes.len()), 0);
        let chain = header.encode_into(&mut self.bytes[at..], self.header.salt, Position::new(at as u64));
        let max_ts_before = TimestampNs::new(if self.records == 0 { i64::MIN } else { time - 1 });
        self.entries.push(IndexEntry { rel_offset: (self.next_offset - self.header.base_offset.get()) as u32, position: at as u32, max_ts_before });
        (self.chain, self.claims) = (chain, false);
        self.next_offset += u64::from(count);
        self.records += u64::from(count);
        self
    }

    fn sealed(mut self) -> Self {
        let (salt, position) = (self.header.salt, Position::new(self.bytes.len() as u64));
        let (base_offset, next_offset, log_start) = (self.header.base_offset, Offset::new(self.next_offset), self.header.log_start);
        let epoch = self.header.leader_epoch;
        let max_ts = TimestampNs::new(1_800_000_000_000_000_000);
        let seal = Seal {
            salt,
            base_offset,
            next_offset,
            records: self.records,
            max_ts,
            log_start,
            first_epoch: epoch,
            last_epoch: epoch,
            chain_out: self.chain,
        };
        self.bytes.extend(seal.encode(position, NO_CLAIM));
        self.is_sealed = true;
        self
    }

    /// The segment that a roll makes behind this one.
    fn next(&self, capacity: u64) -> Self {
        let base = Offset::new(self.next_offset);
        let seq = self.header.seq + 1;
        Self::of(SegmentHeader {
            base_offset: base,
            prev_end: base,
            seq,
            salt: SALT + seq,
            capacity,
            chain_seed: self.chain,
            flags: 0,
            ..self.header
        })
    }

    /// The segment that a cut of this one makes, in a new term.
    fn cut_at(&self, offset: u64) -> Self {
        let (base, seq) = (Offset::new(offset), self.header.seq + 1);
        let leader_epoch = LeaderEpoch::new(self.header.leader_epoch.get() + 1);
        let flags = SegmentHeader::CHAIN_RESTARTED | SegmentHeader::BY_RECOVERY;
        Self::of(SegmentHeader { base_offset: base, prev_end: base, seq, salt: SALT + seq, leader_epoch, epoch_start: base, flags, ..self.header })
    }

    /// The end of its last frame that is no seal.
    fn end(&self) -> u64 {
        self.bytes.len() as u64 - if self.is_sealed { 128 } else { 0 }
    }

    fn index(&self) -> Vec<u8> {
        let header = IndexHeader {
            salt: self.header.salt,
            base_offset: self.header.base_offset,
            seq: self.header.seq,
            entries: 0,
            covered: Position::new(self.end()),
            next_offset: Offset::new(self.next_offset),
            records: self.records,
            max_ts: TimestampNs::new(1_800_000_000_000_000_000),
            chain: self.chain,
            sealed: self.is_sealed,
        };
        encode_index(header, &self.entries)
    }
}

/// A directory of these segments: some with an index, and a checkpoint that names the end of one, or, of none, the beginning of the log.
fn directory(how: [u8; 2], segments: Vec<Segment>, indexed: &[usize], named: usize) -> Directory {
    let meta = Meta {
        compat: 0,
        ro_compat: 0,
        uuid: UUID,
        created: TimestampNs::new(1),
        index: 0,
        ring_size: 4096,
        range_start: 0,
        range_stop: 4096,
        namespace: "default".to_owned(),
        topic: "t".to_owned(),
    };
    let segment = segments.get(named).unwrap_or(&segments[0]);
    let is_whole = segments.get(named).is_some();
    let checkpoint = |counter| Checkpoint {
        counter,
        partition_uuid: UUID,
        log_start: segment.header.log_start,
        durable_next_offset: if is_whole { Offset::new(segment.next_offset) } else { segment.header.base_offset },
        active_seq: segment.header.seq,
        active_salt: segment.header.salt,
        tail_pos: Position::new(if is_whole { segment.end() } else { 128 }),
        tail_chain: segment.chain,
        max_ts: TimestampNs::new(1_800_000_000_000_000_000),
        high_water_mark: segment.header.base_offset,
        terms: Terms::new(Term { epoch: segment.header.leader_epoch, start: segment.header.epoch_start }),
    };
    let file = |kind, bytes, zeros| File { kind, bytes, zeros, ..File::default() };
    let mut files =
        vec![file(directory::META, meta.encode(), 0), file(directory::CHECKPOINT, [checkpoint(4).encode(), checkpoint(5).encode()].concat(), 0)];
    for (number, segment) in segments.iter().enumerate() {
        files.push(file(directory::LOG, segment.bytes.clone(), if segment.is_sealed { 0 } else { 10 }));
        if indexed.contains(&number) {
            files.push(file(directory::INDEX, segment.index(), 0));
        }
    }
    Directory { how, files }
}

/// Whatever a fuzzer makes of it, its checksums are made right.
fn healed(mut directory: Directory) -> Directory {
    for file in &mut directory.files {
        file.flags |= directory::HEAL_HEADER | directory::HEAL_FRAMES | directory::FOLLOW;
    }
    directory
}

fn without(mut directory: Directory, kind: u8) -> Directory {
    directory.files.retain(|file| file.kind != kind);
    directory
}

const UUID: [u8; 16] = *b"tidelog seeds 01";
const SALT: u64 = 0x5eed_5a17_0000_0000;
