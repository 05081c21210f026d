//! Random programs of appends, cuts, crashes and reopens against a model that is a list of records.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tidelog::io::Disk;
use tidelog::io::fault::Faulty;
use tidelog::{AckLevel, Partition, PartitionView, ReadIsolation, Record, RecordBatch, Start, Store, StoredRecord, SyncPolicy, TimestampNs};

use crate::support::{self, Durable, Lab, Oracle, Segment, copy_tree, options, partition, tempdir, value};

#[derive(Debug, Clone, PartialEq)]
struct Kept {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp: Option<i64>,
}

#[derive(Debug, Clone)]
enum Step {
    Append {
        shapes: Vec<u8>,
        times: Vec<Option<i64>>,
        len: usize,
        level: AckLevel,
    },
    DeletePrefix(u8),
    TruncateSuffix(u8),
    Flush,
    Reopen,
    /// The process is killed, and what was not durable may be torn: at which of those records, and how.
    Crash {
        torn: Option<(u8, Tear)>,
    },
}

#[derive(Debug, Clone, Copy)]
enum Tear {
    Flip,
    Zero,
    Garbage,
}

/// Offsets in order; the first is the log start.
#[derive(Debug, Default)]
struct Model {
    records: BTreeMap<u64, Kept>,
    log_start: u64,
    next: u64,
}

fn step() -> impl Strategy<Value = Step> {
    let time = prop_oneof![Just(None), (0i64..2_000_000_000).prop_map(|ns| Some(1_700_000_000_000_000_000 + ns))];
    let level = prop_oneof![3 => Just(AckLevel::Written), 1 => Just(AckLevel::Durable)];
    let append =
        (prop::collection::vec((any::<u8>(), time), 1..12), prop_oneof![0usize..200, 3000usize..9000], level).prop_map(|(records, len, level)| {
            let (shapes, times) = records.into_iter().unzip();
            Step::Append { shapes, times, len, level }
        });
    let tear = prop_oneof![Just(Tear::Flip), Just(Tear::Zero), Just(Tear::Garbage)];
    prop_oneof![
        12 => append,
        1 => any::<u8>().prop_map(Step::DeletePrefix),
        2 => any::<u8>().prop_map(Step::TruncateSuffix),
        1 => Just(Step::Flush),
        2 => Just(Step::Reopen),
        2 => prop::option::of((any::<u8>(), tear)).prop_map(|torn| Step::Crash { torn }),
    ]
}

fn policy() -> impl Strategy<Value = SyncPolicy> {
    let group = SyncPolicy::Group { max_wait: Duration::ZERO, max_bytes: 4 << 20 };
    prop_oneof![Just(SyncPolicy::OsOnly), Just(group), Just(SyncPolicy::Interval(Duration::from_millis(5)))]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(0x71DE), ..ProptestConfig::default() })]

    #[test]
    fn any_program_reads_back_what_its_model_says(policy in policy(), steps in prop::collection::vec(step(), 1..40)) {
        run(policy, &steps);
    }
}

fn run(policy: SyncPolicy, steps: &[Step]) {
    let mut lab = Lab { tmp: tempdir(), oracle: Oracle::new() };
    let mut model = Model::default();
    let mut serial = 0;
    let open = |lab: &Lab| -> (Store, Partition) {
        let store = options().sync_policy(policy).open(lab.tmp.path()).unwrap();
        let partition = partition(&store).unwrap();
        (store, partition)
    };
    let (mut store, mut log) = open(&lab);
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Append { shapes, times, len, level } => append(&log, &mut model, shapes, times, *len, *level, &mut serial),
            Step::DeletePrefix(share) => {
                let at = between(model.log_start, model.next, *share);
                log.delete_prefix(at).unwrap();
                model.log_start = at;
                model.records.retain(|offset, _| *offset >= at);
            }
            Step::TruncateSuffix(share) => {
                let at = between(model.log_start, model.next, 128 + share / 2);
                log.truncate_suffix(at).unwrap();
                model.records.split_off(&at);
                model.next = at;
            }
            Step::Flush => assert_eq!(log.flush().unwrap(), model.next),
            Step::Reopen => {
                drop(log);
                store.close().unwrap();
                (store, log) = open(&lab);
                assert!(!log.recovery_report().is_notable(), "step {number}: {:?}", log.recovery_report());
            }
            Step::Crash { torn } => {
                let (image, durable) = (tempdir(), log.durable_end_offset().get());
                copy_tree(lab.tmp.path(), image.path());
                drop(log);
                drop(store);
                lab.tmp = image;
                let torn_at = torn.and_then(|(share, how)| tear(&lab, between(durable, model.next, share), how));
                (store, log) = open(&lab);
                let end = log.log_end_offset().get();
                match torn_at {
                    None => assert_eq!(end, model.next, "step {number}: a kill loses nothing written"),
                    Some(torn_at) => {
                        assert!(durable <= end && end <= torn_at, "step {number}: durable {durable}, torn at {torn_at}, ends at {end}");
                        assert_eq!(end, torn_at, "step {number}: everything before the tear is kept");
                    }
                }
                assert!(log.recovery_report().damage.is_empty(), "step {number}: {:?}", log.recovery_report());
                model.records.split_off(&end);
                model.next = end;
            }
        }
        check(&log, &model, &format!("after step {number}, {step:?}"));
    }
    drop(log);
    store.close().unwrap();
    let (_store, log) = open(&lab);
    check(&log, &model, "at the end");
    let view = options().open_read_only(lab.tmp.path()).unwrap().topic(crate::support::TOPIC).unwrap().partition(0).unwrap();
    check_view(&view.with_isolation(ReadIsolation::Written), &model, "read-only");
}

fn between(from: u64, to: u64, share: u8) -> u64 {
    from + (to - from) * u64::from(share) / 255
}

fn append(log: &Partition, model: &mut Model, shapes: &[u8], times: &[Option<i64>], len: usize, level: AckLevel, serial: &mut u64) {
    let mut base_time = None;
    let records: Vec<Kept> = shapes
        .iter()
        .zip(times)
        .map(|(shape, time)| {
            *serial += 1;
            base_time = base_time.or(*time);
            Kept {
                key: (shape & 1 != 0).then(|| value(*serial, usize::from(shape >> 4))),
                value: match shape & 6 {
                    0 => None,
                    2 => Some(Vec::new()),
                    _ => Some(value(*serial, len)),
                },
                headers: (0..shape >> 3 & 3).map(|number| (format!("h{number}"), (number != 1).then(|| vec![*shape; 5]))).collect(),
                // Without one of its own a record takes the first of its batch.
                timestamp: time.or(base_time),
            }
        })
        .collect();
    let mut batch = RecordBatch::new();
    for (kept, time) in records.iter().zip(times) {
        let record = kept.value.as_ref().map_or_else(Record::tombstone, Record::new);
        let record = kept.key.iter().fold(record, |record, key| record.key(key));
        let record = kept.headers.iter().fold(record, |record, (name, value)| record.header(name, value.as_deref()));
        batch.push(&time.map_or(record.clone(), |time| record.timestamp(TimestampNs::new(time)))).unwrap();
    }
    let ack = log.append_batch(&batch, level).unwrap();
    assert_eq!((ack.base_offset.get(), ack.last_offset.get() + 1), (model.next, model.next + records.len() as u64));
    for kept in records {
        model.records.insert(model.next, kept);
        model.next += 1;
    }
}

/// Damages the frame that holds `offset`, and returns the first offset in it; `None` if there is no such frame.
fn tear(lab: &Lab, offset: u64, how: Tear) -> Option<u64> {
    let holder = lab.segments().into_iter().rev().find(|segment| segment.header.base_offset.get() <= offset)?;
    let frame = holder.frames().into_iter().find(|frame| frame.base <= offset && offset < frame.next)?;
    // A batch that was cut, or that is partly durable, is durable whole: frames are torn whole.
    let from = frame.position as usize;
    holder.edit(|bytes| match how {
        Tear::Flip => bytes[from + 66] ^= 1,
        Tear::Zero => bytes[from + 40..frame.end() as usize].fill(0),
        Tear::Garbage => bytes[from..from + 30].fill(0xC3),
    });
    Some(frame.base)
}

fn check(log: &Partition, model: &Model, what: &str) {
    assert_eq!((log.log_start_offset().get(), log.log_end_offset().get()), (model.log_start, model.next), "{what}");
    check_view(&log.view().with_isolation(ReadIsolation::Written), model, what);
}

fn same(record: &StoredRecord, kept: &Kept, what: &str) {
    let headers: Vec<_> = record.headers().map(|header| (header.name.to_owned(), header.value.map(<[u8]>::to_vec))).collect();
    assert_eq!(record.key(), kept.key.as_deref(), "{what}, offset {}", record.offset());
    assert!(record.value() == kept.value.as_deref(), "{what}, offset {}: another value", record.offset());
    assert_eq!(headers, kept.headers, "{what}, offset {}", record.offset());
    if let Some(timestamp) = kept.timestamp {
        assert_eq!(record.timestamp().get(), timestamp, "{what}, offset {}", record.offset());
    }
}

fn check_view(view: &PartitionView, model: &Model, what: &str) {
    let forward: Vec<StoredRecord> = view.read(Start::Earliest).unwrap().map(Result::unwrap).collect();
    let offsets: Vec<u64> = forward.iter().map(|record| record.offset().get()).collect();
    assert_eq!(offsets, model.records.keys().copied().collect::<Vec<_>>(), "{what}");
    forward.iter().zip(model.records.values()).for_each(|(record, kept)| same(record, kept, what));
    let backward: Vec<u64> = view.read_backwards(model.next).unwrap().map(|record| record.unwrap().offset().get()).collect();
    assert_eq!(backward, offsets.iter().rev().copied().collect::<Vec<_>>(), "{what}, backwards");
    for (number, (offset, kept)) in model.records.iter().enumerate().filter(|(number, _)| number % 7 == 3) {
        same(&view.get(*offset).unwrap(), kept, what);
        let from: Vec<u64> = view.read_from(*offset).unwrap().take(5).map(|record| record.unwrap().offset().get()).collect();
        assert_eq!(from, offsets[number..].iter().take(5).copied().collect::<Vec<_>>(), "{what}, from {offset}");
        let time = forward[number].timestamp();
        let first = forward.iter().find(|record| record.timestamp() >= time).map(StoredRecord::offset);
        assert_eq!(view.offset_for_time(time).unwrap(), first, "{what}, time of {offset}");
    }
    let last: Vec<u64> = view.read(Start::Last(4)).unwrap().map(|record| record.unwrap().offset().get()).collect();
    assert_eq!(last, offsets[offsets.len().saturating_sub(4)..], "{what}, last 4");
    let later = forward.iter().map(StoredRecord::timestamp).max().map(|time| TimestampNs::new(time.get() + 1));
    assert_eq!(later.and_then(|time| view.offset_for_time(time).unwrap()), None, "{what}, behind every time");
}

/// A tear in the middle of everything that is not durable: the rest of it never comes back, however often the log is opened and appended to.
#[test]
fn what_a_crash_tore_off_never_comes_back() {
    for torn_at in [0, 7, 63, 110] {
        let mut lab = Lab::killed(|partition, oracle| crate::support::append(partition, oracle, 120, 900, AckLevel::Written));
        lab.segments().iter().for_each(Segment::strip_claims);
        lab.remove_indexes();
        lab.set_durable(crate::support::Durable::Nothing);
        assert_eq!(tear(&lab, torn_at, Tear::Flip), Some(torn_at));
        lab.oracle.split_off(&torn_at);
        for open in 0..6 {
            let (store, partition) = lab.open();
            crate::support::assert_same(&crate::support::read_all(partition.view()).0, &lab.oracle, &format!("open {open}"));
            assert_eq!(partition.recovery_report().is_notable(), open == 0);
            // Of the size of what was torn off: were its frames still believed, they would fit behind these.
            crate::support::append(&partition, &mut lab.oracle, 1 + open, 900, AckLevel::Durable);
            drop(partition);
            store.close().unwrap();
        }
    }
}

/// Counted through the seam: what the open reads of a partition of `segments` closed ones and a tail of which `dirty` bytes are in no checkpoint.
fn bytes_read_by_recovery(segments: u64, dirty: u64) -> (u64, u64) {
    // 60 of these fill a segment of 64 KiB.
    let mut lab = Lab::closed(|partition, oracle| support::append(partition, oracle, segments * 60 + 5, 1000, AckLevel::Durable));
    let image = tempdir();
    {
        let (_store, log) = lab.open();
        support::append(&log, &mut lab.oracle, dirty / 1000, 900, AckLevel::Written);
        copy_tree(lab.tmp.path(), image.path());
    }
    lab.tmp = image;
    lab.set_durable(if dirty == 0 { Durable::Everything } else { Durable::Before(segments * 60 + 5) });
    let faulty = Faulty::new(Arc::new(Disk::new()));
    let store = options().storage(Arc::new(faulty.clone())).open(lab.tmp.path()).unwrap();
    faulty.reset_counts();
    let log = partition(&store).unwrap();
    let read = faulty.bytes_read();
    assert_eq!(log.log_end_offset().get(), lab.oracle.len() as u64);
    (read, lab.segments().len() as u64)
}

#[test]
fn recovery_reads_what_no_checkpoint_covers_and_a_few_pages_a_segment() {
    const PAGE: u64 = 4096;
    for (segments, dirty) in [(2, 0), (40, 0), (40, 20_000), (160, 20_000)] {
        let (read, touched) = bytes_read_by_recovery(segments, dirty);
        // A dirty tail is read to its allocated end, and by the first sync its bytes twice more: to be written back, and to be verified.
        let tail = if dirty == 0 { 0 } else { (64 << 10) + 3 * dirty };
        let budget = tail + touched * PAGE;
        assert!(read <= budget, "{read} bytes for {touched} segments and {dirty} dirty bytes: more than {budget}");
    }
}
