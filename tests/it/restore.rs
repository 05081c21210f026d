//! Batches that are brought back to where they stood: in order, in their terms, behind holes; what does not fit is refused and moves nothing.

use tidelog::{
    BatchPlace, LeaderEpoch, Offset, OffsetSeeker, OffsetSpec, Partition, PartitionOffsetManager, ReadError, Record, RecordBatch, RestoreError,
    StoreOptions, SubscriptionOptions, SyncPolicy, TimestampNs,
};

/// A record as tests compare it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) offset: u64,
    pub(crate) ts_ns: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
    pub(crate) term: u32,
    pub(crate) producer: Option<i64>,
}

impl Row {
    fn record(&self) -> Record<'_> {
        let mut record = match &self.value {
            Some(value) => Record::new(value),
            None => Record::tombstone(),
        };
        if let Some(key) = &self.key {
            record = record.key(key);
        }
        let with_headers = self.headers.iter().fold(record, |record, (name, value)| record.header(name, value.as_deref()));
        with_headers.timestamp(TimestampNs::new(self.ts_ns))
    }
}

pub(crate) fn rows_of(partition: &Partition) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut reader = partition.read_from(partition.log_start_offset()).unwrap();
    while let Some(batch) = reader.next_batch() {
        let batch = batch.unwrap();
        let producer = batch.producer_id();
        for record in batch.records() {
            let record = record.unwrap();
            rows.push(Row {
                offset: record.offset().get(),
                ts_ns: record.timestamp().get(),
                key: record.key().map(<[u8]>::to_vec),
                value: record.value().map(<[u8]>::to_vec),
                headers: record.headers().map(|header| (header.name.to_owned(), header.value.map(<[u8]>::to_vec))).collect(),
                term: batch.leader_epoch().get(),
                producer,
            });
        }
    }
    rows
}

/// Rows in batches, cut where offsets, terms or producers do not go on, and after each `cut` of them.
pub(crate) fn restore(partition: &Partition, rows: &[Row], cut: usize) -> Result<(), RestoreError> {
    let goes_on = |one: &Row, next: &Row| one.offset + 1 == next.offset && (one.term, one.producer) == (next.term, next.producer);
    for run in rows.chunk_by(goes_on) {
        for rows in run.chunks(cut) {
            let mut batch = RecordBatch::new();
            rows.iter().try_for_each(|row| batch.push(&row.record()))?;
            let place =
                BatchPlace { base_offset: rows[0].offset.into(), leader_epoch: LeaderEpoch::new(rows[0].term), producer_id: rows[0].producer };
            partition.restore(&batch, place)?;
        }
    }
    partition.flush()?;
    Ok(())
}

/// Segments so small that every test rolls.
pub(crate) fn options() -> StoreOptions {
    StoreOptions::new().sync_policy(SyncPolicy::OsOnly).segment_bytes(64 << 10)
}

pub(crate) fn row(offset: u64, term: u32) -> Row {
    let key = (!offset.is_multiple_of(3)).then(|| vec![b'k'; (offset % 5) as usize]);
    let value = (!offset.is_multiple_of(7)).then(|| vec![offset as u8; (offset % 300) as usize]);
    let header = |number: u64| ("h".repeat((number % 3) as usize), (!number.is_multiple_of(2)).then(|| vec![number as u8; (number % 4) as usize]));
    let headers = (0..offset % 4).map(header).collect();
    let ts_ns = 1_700_000_000_000_000_000 + offset as i64 * 1_234_567 * if offset.is_multiple_of(11) { -1 } else { 1 };
    Row { offset, ts_ns, key, value, headers, term, producer: (offset % 1000 > 700).then_some(offset as i64 / 100) }
}

#[test]
fn restored_batches_come_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let partition = options().open(dir.path()).unwrap().topic("t").unwrap().partition(0).unwrap();
    let restore = |offset: u64, term: u32| {
        let mut batch = RecordBatch::new();
        batch.push(&Record::new("x")).unwrap();
        partition.restore(&batch, BatchPlace { base_offset: offset.into(), leader_epoch: LeaderEpoch::new(term), producer_id: None })
    };
    restore(100, 5).unwrap();
    assert!(matches!(restore(100, 5), Err(RestoreError::Behind { base, log_end }) if (base.get(), log_end.get()) == (100, 101)));
    assert!(matches!(restore(101, 4), Err(RestoreError::EarlierTerm { .. })));
    assert!(matches!(restore(101 + (1 << 40) + 1, 5), Err(RestoreError::HoleTooLarge { .. })));
    let empty = partition.restore(&RecordBatch::new(), BatchPlace { base_offset: 101.into(), leader_epoch: LeaderEpoch::new(5), producer_id: None });
    assert!(matches!(empty, Err(RestoreError::Append(tidelog::AppendError::Empty))));
    assert!(matches!(restore(101 + (1 << 40) + 1, 7), Err(RestoreError::HoleTooLarge { .. })));
    assert!(matches!(restore(101, 1 << 31), Err(RestoreError::Term { .. })));
    assert!(matches!(restore(i64::MAX as u64, 5), Err(RestoreError::Append(tidelog::AppendError::OffsetsExhausted))));
    assert_eq!(partition.log_end_offset().get(), 101, "nothing was moved");
    restore(101, 6).unwrap();
    assert_eq!(rows_of(&partition).iter().map(|row| (row.offset, row.term)).collect::<Vec<_>>(), [(100, 5), (101, 6)]);
    assert_eq!(partition.view().info().unwrap().segments, 2, "a term has segments of its own");
}

/// D19: an offset is served as itself, also where its number would do as a time in seconds or in nanoseconds.
#[test]
fn d19_an_offset_above_a_billion_is_no_time() {
    for base in [1_000_000_000, 1_000_000_001, 1_700_000_000_000_000_000] {
        let dir = tempfile::tempdir().unwrap();
        let open = || options().open(dir.path()).unwrap().topic("t").unwrap().partition(0).unwrap();
        let at = |seconds: u64| TimestampNs::new(seconds.cast_signed() * 1_000_000_000);
        let rows: Vec<Row> = (0..100).map(|number| Row { offset: base + number, ts_ns: at(number).get(), ..row(number, 0) }).collect();
        restore(&open(), &rows, 10).unwrap();
        let partition = open();
        assert!(rows_of(&partition) == rows, "from {base}");
        for (number, row) in (0..).zip(&rows) {
            let offset = partition.get(row.offset).unwrap().offset().get();
            assert_eq!((offset, partition.view().offset_for_time(at(number)).unwrap().unwrap().get()), (row.offset, row.offset));
        }
        let seeker = OffsetSeeker::new(partition.view().clone());
        assert_eq!(seeker.seek_to_timestamp(TimestampNs::new(base.cast_signed())).unwrap().is_some(), base < 99_000_000_000);
        let options = SubscriptionOptions::new().start(OffsetSpec::ExactOffset((base + 40).into()));
        assert_eq!(partition.subscribe("s", options).unwrap().next_record().unwrap().unwrap().offset(), base + 40);
        let info = PartitionOffsetManager::new(partition.clone()).info().unwrap();
        assert_eq!((info.earliest.offset().get(), info.latest.unwrap().get(), info.record_count), (base, base + 99, 100));
        assert_eq!(partition.append(Record::new("x")).unwrap().base_offset, base + 100);
    }
}

/// A reader that waits at the start of an empty log is told where the log begins now.
#[test]
fn an_empty_log_that_begins_elsewhere_tells_its_readers() {
    let dir = tempfile::tempdir().unwrap();
    let partition = options().open(dir.path()).unwrap().topic("t").unwrap().partition(0).unwrap();
    let mut reader = partition.read_from(0).unwrap();
    assert!(reader.next().is_none());
    restore(&partition, &[row(50, 0)], 1).unwrap();
    assert!(matches!(reader.next(), Some(Err(ReadError::OffsetOutOfRange { earliest, .. })) if earliest.get() == 50));
    assert_eq!(partition.read_from(50).unwrap().next().unwrap().unwrap().offset(), Offset::new(50));
}

/// A cut or a recovery begins a term, which rows of the one before it would be dead in.
#[test]
fn a_term_that_holds_nothing_is_taken_back() {
    let rows: Vec<Row> = (5..25).map(|offset| row(offset, 1)).chain((25..40).map(|offset| row(offset, 3))).collect();
    // Between batches: what a cut keeps of one is of the new term.
    for cut_at in [5, 15, 25, 35] {
        let dir = tempfile::tempdir().unwrap();
        let open = || options().open(dir.path()).unwrap().topic("t").unwrap().partition(0).unwrap();
        let partition = open();
        restore(&partition, &rows, 10).unwrap();
        for cut_at in [cut_at + 3, cut_at + 1, cut_at] {
            partition.truncate_suffix(cut_at).unwrap();
        }
        restore(&partition, &rows[cut_at as usize - 5..], 10).unwrap();
        assert!(rows_of(&partition) == rows, "cut at {cut_at}");
        drop(partition);
        for _ in 0..2 {
            let partition = open();
            assert!(rows_of(&partition) == rows && !partition.recovery_report().is_notable(), "cut at {cut_at}");
        }
        // One with a record stays: what came before it cannot follow it.
        let partition = open();
        partition.truncate_suffix(cut_at).unwrap();
        restore(&partition, &[row(cut_at, 9)], 1).unwrap();
        assert!(matches!(restore(&partition, &[row(cut_at + 1, 3)], 1), Err(RestoreError::EarlierTerm { .. })));
    }
}
