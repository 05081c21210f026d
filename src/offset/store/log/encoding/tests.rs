//! The bytes of each entry as format/SPEC.md, "Offset log", has them; every bit of them counts, and nothing makes the decoder panic.

use proptest::prelude::*;

use super::*;

fn key() -> PartitionKey {
    PartitionKey { topic: "n/t".parse().unwrap(), range: RingRange::new(4096, 1024, 2048).unwrap() }
}

fn metadata(changed_at: TimestampNs) -> GroupMetadata {
    let first = MemberMetadata {
        client_id: "i".to_owned(),
        client_host: "h".to_owned(),
        session_timeout_ms: 16,
        rebalance_timeout_ms: 32,
        ..MemberMetadata::default()
    };
    let second = MemberMetadata { instance_id: Some("s".to_owned()), subscription: vec![0, 1], assignment: vec![255], ..MemberMetadata::default() };
    GroupMetadata {
        protocol_type: "c".to_owned(),
        protocol: Some("r".to_owned()),
        members: [("a".to_owned(), first), ("b".to_owned(), second)].into(),
        ..GroupMetadata::empty(5, changed_at)
    }
}

fn entries() -> Vec<(Entry, String)> {
    let (group, offset, time) = ("g".parse().unwrap(), Offset::new(0x0102), TimestampNs::new(-2));
    let g = "0100 67";
    let partition = "0100 6e 0100 74 00100000 00040000 00080000";
    let (offset_hex, time_hex) = ("0201000000000000", "feffffffffffffff");
    let full = CommittedOffset {
        offset,
        leader_epoch: Some(LeaderEpoch::new(7)),
        metadata: "hi".to_owned(),
        committed_at: time,
        expires_at: Some(TimestampNs::new(3)),
    };
    let positions = vec![(key(), full), (key(), CommittedOffset::new(offset, time))];
    let stats = PartitionStats { record_count: 5, latest: Some(offset), first_record_at: Some(time), ..PartitionStats::empty(time) };
    let rows = vec![OffsetMapping { offset, timestamp: time, bytes: 9 }];
    vec![
        (
            Entry::Change(Change::Commit { group, positions }),
            format!(
                "01 01 {g} 02000000 {partition} {offset_hex} {time_hex} 01 07000000 01 0300000000000000 0200 6869 \
                 {partition} {offset_hex} {time_hex} 00 00 0000"
            ),
        ),
        (Entry::Change(Change::Delete { group: "g".parse().unwrap(), partitions: vec![key()] }), format!("01 02 {g} 01000000 {partition}")),
        (Entry::Change(Change::DeleteGroup { group: "g".parse().unwrap() }), format!("01 03 {g}")),
        (
            Entry::Change(Change::SaveGroup { group: "g".parse().unwrap(), metadata: metadata(time) }),
            format!(
                "01 0b {g} 05000000 {time_hex} 0100 63 01 0100 72 00 02000000 \
                 0100 61 00 0100 69 0100 68 10000000 20000000 00000000 00000000 \
                 0100 62 01 0100 73 0000 0000 00000000 00000000 02000000 0001 01000000 ff"
            ),
        ),
        (Entry::Change(Change::DeleteTopic { topic: key().topic }), "01 04 0100 6e 0100 74".to_owned()),
        (
            Entry::Change(Change::Checkpoint { partition: key(), checkpoint: OffsetCheckpoint { offset, saved_at: time } }),
            format!("01 05 {partition} {offset_hex} {time_hex}"),
        ),
        (
            Entry::Snapshot(Change::Mappings { partition: key(), saved_at: time, rows }),
            format!("01 86 {partition} {time_hex} 01000000 {offset_hex} {time_hex} 0900000000000000"),
        ),
        (
            Entry::Change(Change::Stats { partition: key(), stats }),
            format!("01 07 {partition} 0500000000000000 0000000000000000 {time_hex} 00 01 {offset_hex} 01 {time_hex} 00"),
        ),
        (Entry::Change(Change::Forget { partition: key() }), format!("01 08 {partition}")),
        (Entry::Change(Change::CleanUp { now: time }), format!("01 09 {time_hex}")),
        (Entry::Change(Change::CleanUpMappings { saved_before: time }), format!("01 0a {time_hex}")),
        (Entry::Begin, "01 40".to_owned()),
        (Entry::End { begin: offset, records: 3 }, format!("01 41 {offset_hex} 03000000")),
    ]
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).map(|digit| (digit as char).to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect()
}

#[test]
fn entries_have_the_bytes_of_the_spec() {
    for (entry, hex) in entries() {
        let bytes = bytes_of(&hex);
        assert_eq!(entry.encode(), bytes, "{entry:?}");
        assert_eq!(Entry::decode(&bytes).as_ref(), Ok(&entry));
    }
}

#[test]
fn every_bit_counts_and_nothing_more_is_taken() {
    for (entry, hex) in entries() {
        let bytes = bytes_of(&hex);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(Entry::decode(&flipped).as_ref(), Ok(&entry), "bit {bit} of {entry:?}");
        }
        for len in 0..bytes.len() {
            assert!(Entry::decode(&bytes[..len]).is_err(), "{len} bytes of {entry:?}");
        }
        assert_eq!(Entry::decode(&[&bytes[..], &[0]].concat()), Err(EntryError::Malformed("bytes behind its end")));
    }
    assert_eq!(Entry::decode(&[2, 99]), Err(EntryError::Version(2)));
    // Members twice, or in another order, are none.
    let members = |ids: &str| format!("01 0b 0100 67 00000000 {} 0000 00 00 02000000 {ids}", "00".repeat(8));
    let member = |id: &str| format!("0100 {id} 00 0000 0000 {} {}", "00".repeat(8), "00".repeat(8));
    for (first, second, is_entry) in [("61", "62", true), ("61", "61", false), ("62", "61", false)] {
        let hex = members(&format!("{} {}", member(first), member(second)));
        assert_eq!(Entry::decode(&bytes_of(&hex)).is_ok(), is_entry, "{hex}");
    }
    // A count that promises more than there is takes no memory for it.
    assert!(Entry::decode(&bytes_of("01 02 0100 67 ffffffff")).is_err());
}

proptest! {
    /// Whatever the bytes are: an entry that has these bytes again, or an error.
    #[test]
    fn any_bytes_are_an_entry_or_an_error(kind in any::<u8>(), rest in proptest::collection::vec(prop_oneof![Just(0), Just(1), any::<u8>()], 0..80)) {
        let bytes = [&[1, kind][..], &rest].concat();
        if let Ok(entry) = Entry::decode(&bytes) {
            prop_assert_eq!(entry.encode(), bytes);
        }
    }
}
