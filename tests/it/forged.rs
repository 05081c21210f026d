//! Directories that neither a writer nor damage makes, found by fuzzing: right checksums over statements that contradict each other. Whatever
//! they say, no offset is served or given out twice, and what one open serves, the next one does.

use std::fs;
use std::path::{Path, PathBuf};

use tidelog::AckLevel;
use tidelog_format::{Attributes, Blocks, CHECKPOINT_NAME, FRAME_HEADER_BYTES, Frame, Offset, Position, SegmentHeader, SegmentId, padded};

use crate::support::{Lab, Segment, append, append_batch, assert_same, partition, read_all};

#[test]
fn records_behind_the_offsets_of_their_batch_are_not_handed_out() {
    let lab = Lab::closed(|partition, oracle| append_batch(partition, oracle, 3, 100, AckLevel::Durable));
    lab.remove_indexes();
    let segment = &lab.segments()[0];
    segment.rewrite_header(segment.frame_of(0), |header| (header.last_offset_delta, header.record_count) = (1, 2));
    fs::remove_file(lab.dir().join(CHECKPOINT_NAME)).unwrap();
    let (_store, partition) = lab.open();
    assert_eq!(partition.log_end_offset(), 2);
    let (records, _) = read_all(partition.view());
    assert_same(&records, &lab.readable(&[], 2), "forwards");
    let backwards: Vec<u64> = partition.read_backwards(2).unwrap().filter_map(|record| Some(record.ok()?.offset().get())).collect();
    assert_eq!(backwards, [1, 0]);
    let batch = partition.view().read_from(0).unwrap().next_batch().unwrap().unwrap();
    let borrowed: Vec<u64> = batch.records().filter_map(|record| Some(record.ok()?.offset().get())).collect();
    assert_eq!(borrowed, [0, 1]);
}

#[test]
fn a_batch_in_a_codec_that_is_not_built_in_hides_none_behind_it() {
    const SNAPPY: Attributes = Attributes(2);
    for (attributes, last_offset_delta) in [(SNAPPY, 10_000), (SNAPPY.with(Attributes::NO_OFFSETS), 0)] {
        let lab = Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Durable));
        lab.remove_indexes();
        let segment = &lab.segments()[0];
        segment.rewrite_header(segment.frame_of(5), |header| {
            (header.attributes, header.last_offset_delta, header.record_count) = (attributes, last_offset_delta, 0);
        });
        let (_store, partition) = lab.open();
        let (records, damage) = read_all(partition.view());
        assert_same(&records, &lab.readable(&[(5, 6)], 150), "around it");
        assert_eq!(damage, [(5, 6)]);
    }
}

/// Backwards too, a batch on the border of a rewrite gives the records that the rewrite does not answer for, and no others.
#[test]
fn a_batch_that_a_rewrite_ends_in_is_read_from_there() {
    let lab = Lab::closed(|partition, oracle| {
        append(partition, oracle, 4, 100, AckLevel::Durable);
        append_batch(partition, oracle, 4, 100, AckLevel::Durable);
    });
    lab.remove_indexes();
    let segment = &lab.segments()[0];
    rewrite(segment, &lab.dir(), 6);
    let (_store, partition) = lab.open();
    let (records, damage) = read_all(partition.view());
    assert_same(&records, &lab.readable(&[(4, 6)], 8), "the rewrite holds four records, and answers for six");
    assert_eq!(damage, [(4, 6)]);
    let backwards: Vec<u64> = partition.read_backwards(8).unwrap().filter_map(|record| Some(record.ok()?.offset().get())).collect();
    assert_eq!(backwards, [7, 6, 3, 2, 1, 0]);
}

/// Writes the records of a segment below `end` once more, as a rewrite. Returns its path.
fn rewrite(segment: &Segment, dir: &Path, end: u64) -> PathBuf {
    let header = SegmentHeader {
        seq: 9,
        salt: segment.header.salt ^ 1,
        rewrite_end: Some(Offset::new(end)),
        flags: SegmentHeader::CHAIN_RESTARTED,
        ..segment.header
    };
    let (old, mut bytes) = (segment.bytes(), header.encode().to_vec());
    for spot in segment.frames().into_iter().filter(|spot| spot.next <= end) {
        let at = spot.position as usize;
        let frame = Frame::decode(&old[at..], segment.header.salt, Position::new(spot.position)).unwrap();
        let mut blocks = Vec::new();
        Blocks { ..frame.blocks }.encode(&mut blocks);
        bytes.extend(frame.header.encode(header.salt, Position::new(bytes.len() as u64), &blocks).0);
        bytes.extend(&old[at + FRAME_HEADER_BYTES..at + padded(spot.frame_len as usize)]);
    }
    let path = dir.join(SegmentId { base_offset: segment.id().base_offset, seq: header.seq }.log_name());
    fs::write(&path, bytes).unwrap();
    path
}
