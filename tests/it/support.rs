//! What tests of recovery share: stores made to order, images of killed ones, edits of their files, and checks against an oracle.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tidelog::{
    AckLevel, Found, OnDamage, OpenError, Partition, PartitionView, ReadError, ReadIsolation, Record, RecordBatch, RecoveryReport, Store,
    StoreOptions, SyncPolicy, TopicError, Verdict,
};
use tidelog_format::{
    Attributes, CHECKPOINT_NAME, Checkpoint, FRAME_HEADER_BYTES, FileName, Frame, FrameHeader, NO_CLAIM, Offset, Position, SLOT_BYTES, ScanEnd,
    Scanner, SegmentHeader, SegmentId, crc32,
};

pub(crate) const TOPIC: &str = "t";

/// What every offset holds.
pub(crate) type Oracle = BTreeMap<u64, Vec<u8>>;

/// A store directory of its own, and what its partition should hold.
pub(crate) struct Lab {
    pub(crate) tmp: TempDir,
    pub(crate) oracle: Oracle,
}

/// In memory where there is a place for that: these tests look at which calls are made and what is left, not at a disk.
pub(crate) fn tempdir() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub(crate) fn options() -> StoreOptions {
    StoreOptions::new().segment_bytes(64 << 10).sync_policy(SyncPolicy::OsOnly).background_recovery(false)
}

pub(crate) fn partition(store: &Store) -> Result<Partition, TopicError> {
    store.topic(TOPIC)?.partition(0)
}

/// A value that no other offset or generation has.
pub(crate) fn value(serial: u64, len: usize) -> Vec<u8> {
    let mut value = format!("record {serial} ").into_bytes();
    let mut state = serial.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    while value.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        value.extend(state.to_le_bytes());
    }
    value.truncate(len.max(8));
    value
}

/// Appends single records of `len` bytes.
pub(crate) fn append(partition: &Partition, oracle: &mut Oracle, count: u64, len: usize, level: AckLevel) {
    for _ in 0..count {
        let offset = partition.log_end_offset().get();
        let value = value(offset, len);
        let ack = partition.append_with(Record::new(&value), level).unwrap();
        assert_eq!(ack.base_offset, offset);
        assert!(oracle.insert(offset, value).is_none(), "offset {offset} was given out twice");
    }
}

/// Appends one batch of `count` records.
pub(crate) fn append_batch(partition: &Partition, oracle: &mut Oracle, count: u64, len: usize, level: AckLevel) {
    let base = partition.log_end_offset().get();
    let values: Vec<_> = (0..count).map(|number| value(base + number, len)).collect();
    let mut batch = RecordBatch::new();
    values.iter().for_each(|value| batch.push(&Record::new(value)).unwrap());
    assert_eq!(partition.append_batch(&batch, level).unwrap().base_offset, base);
    oracle.extend((base..).zip(values));
}

impl Lab {
    /// A store that was written to by `write` and closed.
    pub(crate) fn closed(write: impl FnOnce(&Partition, &mut Oracle)) -> Self {
        let (tmp, mut oracle) = (tempdir(), Oracle::new());
        let store = options().open(tmp.path()).unwrap();
        write(&partition(&store).unwrap(), &mut oracle);
        store.close().unwrap();
        Self { tmp, oracle }
    }

    /// A store that was written to by `write` and then killed: a copy of its files, taken while the writer had them open. No thread of the store
    /// changes them meanwhile.
    pub(crate) fn killed(write: impl FnOnce(&Partition, &mut Oracle)) -> Self {
        let (tmp, image, mut oracle) = (tempdir(), tempdir(), Oracle::new());
        let store = options().without_threads().open(tmp.path()).unwrap();
        write(&partition(&store).unwrap(), &mut oracle);
        copy_tree(tmp.path(), image.path());
        Self { tmp: image, oracle }
    }

    /// Three segments of records of 1,000 bytes, killed, with no claim in any frame and a checkpoint that says `durable`.
    pub(crate) fn three_segments(durable: Durable) -> Self {
        let lab = Self::killed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Written));
        let segments = lab.segments();
        assert_eq!(segments.len(), 3, "the sizes in this helper give three segments");
        segments.iter().for_each(Segment::strip_claims);
        // A sync cuts them to their size, which says that they were synced.
        segments.iter().for_each(|segment| segment.edit(|bytes| bytes.resize(segment.header.capacity as usize, 0)));
        lab.remove_indexes();
        lab.set_durable(durable);
        lab
    }

    /// One segment of ten records of 100 bytes, likewise.
    pub(crate) fn ten_records(durable: Durable) -> Self {
        let lab = Self::killed(|partition, oracle| append(partition, oracle, 10, 100, AckLevel::Written));
        lab.segments().iter().for_each(Segment::strip_claims);
        lab.set_durable(durable);
        lab
    }

    /// The keeper may or may not have come to write them.
    pub(crate) fn remove_indexes(&self) {
        self.segments().iter().for_each(|segment| drop(fs::remove_file(segment.index_path())));
    }

    pub(crate) fn dir(&self) -> PathBuf {
        partition_dir(self.tmp.path())
    }

    pub(crate) fn segments(&self) -> Vec<Segment> {
        segments(&self.dir())
    }

    /// Writes both slots of the checkpoint anew.
    pub(crate) fn set_durable(&self, durable: Durable) {
        let segments = self.segments();
        let (segment, position, next_offset) = match durable {
            Durable::Nothing => (&segments[0], 128, segments[0].header.base_offset.get()),
            Durable::Everything => {
                let last = segments.last().unwrap();
                let frame = last.frames().pop().unwrap();
                (last, frame.end(), frame.next)
            }
            Durable::Before(offset) => {
                let holder = segments.iter().rev().find(|segment| segment.header.base_offset.get() <= offset).unwrap();
                let frame = holder.frames().into_iter().find(|frame| frame.base == offset).unwrap();
                (holder, frame.position, offset)
            }
        };
        let old = self.slots().into_iter().flatten().max_by_key(|slot| slot.counter).unwrap();
        let new = Checkpoint {
            durable_next_offset: Offset::new(next_offset),
            high_water_mark: Offset::new(next_offset),
            active_seq: segment.header.seq,
            active_salt: segment.header.salt,
            tail_pos: Position::new(position),
            ..old
        };
        self.write_slots(&[Some(Checkpoint { counter: 10, ..new }), Some(Checkpoint { counter: 11, ..new })]);
    }

    pub(crate) fn slots(&self) -> Vec<Option<Checkpoint>> {
        fs::read(self.dir().join(CHECKPOINT_NAME)).unwrap().chunks(SLOT_BYTES).map(|slot| Checkpoint::decode(slot).ok()).collect()
    }

    pub(crate) fn write_slots(&self, slots: &[Option<Checkpoint>]) {
        let mut bytes = vec![0; 2 * SLOT_BYTES];
        for slot in slots.iter().flatten() {
            let at = slot.slot_position().get() as usize;
            bytes[at..at + SLOT_BYTES].copy_from_slice(&slot.encode());
        }
        fs::write(self.dir().join(CHECKPOINT_NAME), bytes).unwrap();
    }

    pub(crate) fn open(&self) -> (Store, Partition) {
        let store = options().open(self.tmp.path()).unwrap();
        let partition = partition(&store).unwrap();
        (store, partition)
    }

    /// What the oracle says without `lost`, below `next`.
    pub(crate) fn readable(&self, lost: &[(u64, u64)], next: u64) -> Oracle {
        let is_there = |offset: u64| offset < next && lost.iter().all(|&(from, to)| offset < from || offset >= to);
        self.oracle.iter().filter(|(offset, _)| is_there(**offset)).map(|(offset, value)| (*offset, value.clone())).collect()
    }
}

/// How far a made-up checkpoint says that the log was durable.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Durable {
    Nothing,
    Everything,
    /// Up to the frame that begins with this offset.
    Before(u64),
}

/// How much of the segments in a directory this process has in its page tables, by all of their maps.
pub(crate) fn mapped_kib(dir: &Path) -> u64 {
    let (maps, mut is_of_segment, mut sum) = (std::fs::read_to_string("/proc/self/smaps").unwrap(), false, 0);
    for line in maps.lines() {
        if let Some(rss) = line.strip_prefix("Rss:").filter(|_| is_of_segment) {
            sum += rss.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap();
        } else if !line.split(' ').next().unwrap().ends_with(':') {
            is_of_segment = line.contains(&*dir.to_string_lossy()) && line.ends_with(".log");
        }
    }
    sum
}

pub(crate) fn partition_dir(store: &Path) -> PathBuf {
    store.join("topics/default").join(TOPIC).join("0")
}

/// A segment file, to be looked at and edited.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) header: SegmentHeader,
}

/// A frame in a segment file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spot {
    pub(crate) position: u64,
    pub(crate) frame_len: u64,
    pub(crate) stored: u64,
    pub(crate) base: u64,
    pub(crate) next: u64,
    pub(crate) is_seal: bool,
}

impl Spot {
    pub(crate) fn end(&self) -> u64 {
        self.position + self.stored
    }
}

pub(crate) fn segments(dir: &Path) -> Vec<Segment> {
    let mut found: Vec<Segment> = names(dir)
        .iter()
        .filter(|name| matches!(FileName::parse(name), Some(FileName::Log(_))))
        .filter_map(|name| {
            let path = dir.join(name);
            let bytes = fs::read(&path).ok()?;
            Some(Segment { path, header: SegmentHeader::decode(bytes.get(..128)?).ok()? })
        })
        .collect();
    found.sort_by_key(|segment| segment.header.seq);
    found
}

pub(crate) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

impl Segment {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }

    pub(crate) fn index_path(&self) -> PathBuf {
        self.path.with_extension("idx")
    }

    pub(crate) fn id(&self) -> SegmentId {
        SegmentId { base_offset: self.header.base_offset.get(), seq: self.header.seq }
    }

    pub(crate) fn frames(&self) -> Vec<Spot> {
        let bytes = self.bytes();
        let header = &self.header;
        let mut scanner = Scanner::new(&bytes[128..], Position::new(128), header.salt, header.base_offset, header.chain_seed);
        let spots = scanner
            .by_ref()
            .map(|found| Spot {
                position: found.position.get(),
                frame_len: found.frame.header.frame_len.into(),
                stored: found.frame.header.stored_bytes() as u64,
                base: found.frame.header.base_offset.get(),
                next: found.frame.header.next_offset().get(),
                is_seal: found.frame.header.attributes.contains(Attributes::SEAL),
            })
            .collect();
        assert!(matches!(scanner.end(None), ScanEnd::Clean { .. }), "a segment is edited once all of it was scanned");
        spots
    }

    /// The frame that holds `offset`.
    pub(crate) fn frame_of(&self, offset: u64) -> Spot {
        self.frames().into_iter().find(|frame| frame.base <= offset && offset < frame.next).unwrap()
    }

    pub(crate) fn seal(&self) -> Spot {
        self.frames().into_iter().find(|frame| frame.is_seal).unwrap()
    }

    pub(crate) fn edit(&self, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.bytes();
        edit(&mut bytes);
        fs::write(&self.path, bytes).unwrap();
    }

    pub(crate) fn flip(&self, position: u64) {
        self.edit(|bytes| bytes[position as usize] ^= 0x10);
    }

    /// Flips a bit in the body of the frame that holds `offset`.
    pub(crate) fn flip_body(&self, offset: u64) {
        self.flip(self.frame_of(offset).position + FRAME_HEADER_BYTES as u64 + 20);
    }

    pub(crate) fn zero(&self, from: u64, to: u64) {
        self.edit(|bytes| bytes[from as usize..to as usize].fill(0));
    }

    /// Writes every frame again as if nothing had ever been synced.
    pub(crate) fn strip_claims(&self) {
        self.rewrite_headers(|header| header.durable_back = NO_CLAIM);
    }

    /// Writes the headers of all frames again, changed and with right checksums.
    pub(crate) fn rewrite_headers(&self, change: impl Fn(&mut FrameHeader)) {
        let (frames, salt) = (self.frames(), self.header.salt);
        self.edit(|bytes| frames.iter().for_each(|spot| rewrite_header(bytes, salt, *spot, &change)));
    }

    pub(crate) fn rewrite_header(&self, spot: Spot, change: impl Fn(&mut FrameHeader)) {
        let salt = self.header.salt;
        self.edit(|bytes| rewrite_header(bytes, salt, spot, &change));
    }
}

fn rewrite_header(bytes: &mut [u8], salt: u64, spot: Spot, change: &impl Fn(&mut FrameHeader)) {
    let (position, at) = (Position::new(spot.position), spot.position as usize);
    let frame = Frame::decode(&bytes[at..], salt, position).unwrap();
    let mut header = frame.header;
    change(&mut header);
    header.encode_into(&mut bytes[at..], salt, position);
}

pub(crate) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy_tree(&entry.path(), &target);
        } else if kind.is_file() {
            // A temporary file may get its name between the listing and the copy.
            match fs::copy(entry.path(), &target) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                other => drop(other.unwrap()),
            }
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path()).unwrap(), &target).unwrap();
        }
    }
}

/// Every name below `dir` with what it is and a checksum of what it holds.
pub(crate) fn fingerprint(dir: &Path) -> BTreeMap<PathBuf, (u64, u32)> {
    let mut all = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            let sum = if kind.is_dir() {
                open.push(entry.path());
                (0, 1)
            } else if kind.is_file() && entry.metadata().unwrap().len() < 64 << 20 {
                let bytes = fs::read(entry.path()).unwrap();
                (bytes.len() as u64, crc32(&bytes))
            } else {
                (fs::symlink_metadata(entry.path()).unwrap().len(), 2)
            };
            all.insert(entry.path(), sum);
        }
    }
    all
}

/// Everything that can be read from the log start to the end, and the ranges that reads call damaged.
pub(crate) fn read_all(view: &PartitionView) -> (Oracle, Vec<(u64, u64)>) {
    let all = view.with_isolation(ReadIsolation::Written);
    let (mut records, mut damage) = (Oracle::new(), Vec::new());
    for record in all.read_from(all.log_start_offset()).unwrap() {
        match record {
            Ok(record) => {
                let last = records.insert(record.offset().get(), record.value().unwrap_or_default().to_vec());
                assert!(last.is_none(), "offset {} was read twice", record.offset());
            }
            Err(ReadError::Corrupt { from, to, .. }) => damage.push((from.get(), to.get())),
            Err(error) => panic!("reading failed: {error}"),
        }
    }
    (records, damage)
}

/// Reads must give exactly these: no better message than which offset is wrong is needed.
pub(crate) fn assert_same(found: &Oracle, expected: &Oracle, what: &str) {
    let (missing, extra): (Vec<_>, Vec<_>) = (
        expected.keys().filter(|offset| !found.contains_key(offset)).collect(),
        found.keys().filter(|offset| !expected.contains_key(offset)).collect(),
    );
    assert!(missing.is_empty() && extra.is_empty(), "{what}: missing {missing:?}, too many {extra:?}");
    for (offset, value) in found {
        assert!(value == &expected[offset], "{what}: offset {offset} holds something else");
    }
}

/// What an open of a damaged or torn image must give.
#[derive(Debug, Clone)]
pub(crate) struct Expect {
    /// Damage as reported, empty ranges included.
    pub(crate) damage: Vec<(u64, u64)>,
    pub(crate) next: u64,
    pub(crate) found: Vec<(Found, Verdict)>,
    /// Whether what was found is left as it is, so that the next open tells of it again.
    pub(crate) stays: bool,
    /// Whether only the first open knows of the damage.
    pub(crate) once: bool,
}

impl Expect {
    /// The log ends at `next`, and everything below is there.
    pub(crate) fn ends_at(next: u64) -> Self {
        Self { damage: Vec::new(), next, found: Vec::new(), stays: false, once: false }
    }

    pub(crate) fn damage(mut self, from: u64, to: u64) -> Self {
        self.damage.push((from, to));
        self
    }

    pub(crate) fn found(mut self, found: Found, verdict: Verdict) -> Self {
        self.found.push((found, verdict));
        self
    }

    pub(crate) fn stays(self) -> Self {
        Self { stays: true, ..self }
    }

    pub(crate) fn once(self) -> Self {
        Self { once: true, ..self }
    }

    fn is_refused(&self) -> bool {
        self.found.iter().any(|(_, verdict)| *verdict == Verdict::Damage)
    }
}

pub(crate) fn ranges(report: &RecoveryReport) -> Vec<(u64, u64)> {
    report.damage.iter().map(|range| (range.from, range.to)).collect()
}

/// Opens the image in every way and checks each against `expect`: refused, read-only, isolated, appended to, opened again.
pub(crate) fn check(lab: &Lab, expect: &Expect) {
    let lost: Vec<_> = expect.damage.iter().copied().filter(|(from, to)| from < to).collect();
    let readable = lab.readable(&lost, expect.next);
    check_refuse(lab, expect);
    check_read_only(lab, expect, &readable, &lost);
    let (store, partition) = lab.open();
    let report = partition.recovery_report().clone();
    for &(found, verdict) in &expect.found {
        let there = report.findings.iter().any(|finding| (finding.found, finding.verdict) == (found, verdict));
        assert!(there, "{found:?}/{verdict:?} is not among the findings: {:#?}", report.findings);
    }
    let worst = |verdict| report.findings.iter().any(|finding| finding.verdict == verdict);
    assert_eq!(worst(Verdict::Damage), expect.is_refused(), "{:#?}", report.findings);
    assert_eq!(ranges(&report), expect.damage, "reported damage: {:#?}", report.findings);
    assert_eq!(report.next_offset, expect.next, "next offset: {report:#?}");
    let (records, damage) = read_all(partition.view());
    assert_same(&records, &readable, "after recovery");
    assert_eq!(damage, lost, "what reads call damaged");
    check_goes_on(lab, (store, partition), expect, readable, &lost);
}

fn check_refuse(lab: &Lab, expect: &Expect) {
    let copy = tempdir();
    copy_tree(lab.tmp.path(), copy.path());
    // A fifo is not copied; such an image is refused in place.
    let before = fingerprint(&partition_dir(copy.path()));
    let store = options().on_damage(OnDamage::Refuse).open(copy.path()).unwrap();
    match (partition(&store), expect.is_refused()) {
        (Err(TopicError::Open(OpenError::Damaged { damage, .. })), true) => {
            let damage: Vec<_> = damage.iter().map(|range| (range.from, range.to)).collect();
            assert_eq!(damage, expect.damage, "what the refusal names");
            drop(store);
            assert!(before == fingerprint(&partition_dir(copy.path())), "a refusal changed the partition");
        }
        (Ok(_), false) => {}
        (outcome, refused) => panic!("OnDamage::Refuse gave {:?}, expected a refusal: {refused}", outcome.map(|_| ())),
    }
}

fn check_read_only(lab: &Lab, expect: &Expect, readable: &Oracle, lost: &[(u64, u64)]) {
    let before = fingerprint(lab.tmp.path());
    let view = options().open_read_only(lab.tmp.path()).unwrap().topic(TOPIC).unwrap().partition(0).unwrap();
    assert_eq!(view.log_end_offset(), expect.next, "end as seen read-only");
    let (records, damage) = read_all(&view);
    assert_same(&records, readable, "read-only");
    assert_eq!(damage, lost, "what read-only reads call damaged");
    assert!(before == fingerprint(lab.tmp.path()), "a read-only open changed something");
}

/// Appends go on behind everything acknowledged, and later opens find nothing new.
fn check_goes_on(lab: &Lab, (store, partition): (Store, Partition), expect: &Expect, mut readable: Oracle, lost: &[(u64, u64)]) {
    // Of another length than anything before: what was cut off and came back would be told apart.
    append(&partition, &mut readable, 3, 90, AckLevel::Durable);
    assert_eq!(partition.log_end_offset(), expect.next + 3);
    store.close().unwrap();
    drop(partition);
    for open in 2..4 {
        let (store, partition) = lab.open();
        let report = partition.recovery_report();
        assert!(report.quarantined.is_empty(), "open {open} set something aside again: {report:#?}");
        assert_eq!(report.next_offset, partition.log_end_offset().get());
        for range in ranges(report) {
            assert!(expect.damage.contains(&range), "open {open} reports new damage {range:?}: {report:#?}");
        }
        if expect.damage.is_empty() && !expect.stays {
            assert!(!report.is_notable(), "open {open} found something again: {report:#?}");
        }
        let (records, damage) = read_all(partition.view());
        if !expect.once {
            assert_same(&records, &readable, &format!("open {open}"));
            assert_eq!(damage, lost, "what reads call damaged after open {open}");
        }
        append(&partition, &mut readable, 1, 90, AckLevel::Durable);
        store.close().unwrap();
    }
}
