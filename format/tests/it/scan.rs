//! Logs that are right frame by frame and wrong as a whole: what a crash, a stale block or a copied file leaves.

use tidelog_format::*;

use crate::support::{Place, Rec, encode_frame};

const SALT: u64 = 0x5a17;
const START: Position = Position::new(128);

struct Log {
    bytes: Vec<u8>,
    next_offset: u64,
    chain: u32,
}

impl Log {
    fn new() -> Self {
        Self { bytes: Vec::new(), next_offset: 0, chain: 0 }
    }

    fn push(&mut self, values: &[&[u8]]) -> &mut Self {
        let place = Place::at(SALT, START.get() + self.bytes.len() as u64, self.next_offset, self.chain);
        let (bytes, chain) = encode_frame(place, &values.iter().map(|value| Rec::plain(7, value)).collect::<Vec<_>>());
        self.bytes.extend(bytes);
        self.next_offset += values.len() as u64;
        self.chain = chain;
        self
    }

    fn position(&self) -> Position {
        Position::new(START.get() + self.bytes.len() as u64)
    }

    fn scan(&self) -> Scanner<'_> {
        Scanner::new(&self.bytes, START, SALT, Offset::ZERO, 0)
    }
}

/// A frame is lost, its successor survives, and after recovery another frame of the same size takes the lost one's place. Position,
/// offset and checksums of the survivor are right; only the chain knows that it was written after something else.
#[test]
fn a_frame_that_was_written_after_others_does_not_come_back() {
    let (mut first, mut second) = (Log::new(), Log::new());
    first.push(&[b"a"]).push(&[b"lost"]).push(&[b"survivor"]);
    second.push(&[b"a"]).push(&[b"anew"]);
    let end = second.bytes.len();
    let (reached, chain) = (second.position(), second.chain);
    second.bytes.extend(&first.bytes[end..]);
    let mut scanner = second.scan();
    assert_eq!(scanner.by_ref().count(), 2);
    assert!(matches!(scanner.fault(), Some(Fault::Chain { expected, found }) if expected == chain && found != chain));
    assert_eq!((scanner.reached(), scanner.chain_after(), scanner.next_offset()), (reached, chain, Offset::new(2)));
    assert!(matches!(scanner.end(Some(reached)), ScanEnd::Torn { fault: Fault::Chain { .. }, .. }));
}

#[test]
fn a_frame_of_another_offset_ends_the_scan() {
    let mut log = Log::new();
    log.push(&[b"a", b"b"]);
    log.next_offset += 1;
    let reached = log.position();
    log.push(&[b"d"]);
    let mut scanner = log.scan();
    assert_eq!(scanner.by_ref().count(), 1);
    assert_eq!(scanner.fault(), Some(Fault::Offset { expected: Offset::new(2), found: Offset::new(3) }));
    assert_eq!(scanner.reached(), reached);
}

/// A message may hold a whole segment, and the frame around it may be damaged: what is inside is never taken for the log.
#[test]
fn a_segment_stored_as_a_message_is_not_the_log() {
    let mut inner = Log::new();
    inner.push(&[b"one"]).push(&[b"two"]);
    let mut log = Log::new();
    log.push(&[b"a"]);
    let hit = log.bytes.len();
    // Every alignment, so that one of them puts the inner frames on multiples of 8.
    let payloads: Vec<Vec<u8>> = (0..8).map(|shift| [&vec![0; shift], &inner.bytes[..]].concat()).collect();
    log.push(&payloads.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let behind = log.position();
    log.push(&[b"after"]);
    log.bytes[hit + 21] ^= 1;
    let rest = &log.bytes[hit..];
    let from = Position::new(START.get() + hit as u64);
    let found = resync(rest, from, SALT, Offset::new(1), Offset::new(OFFSET_MAX)).unwrap();
    assert_eq!((found.position, found.frame.header.base_offset), (behind, Offset::new(9)));
}

#[test]
fn a_seal_ends_the_scan_whatever_is_behind_it() {
    let mut log = Log::new();
    log.push(&[b"a"]);
    let seal = Seal {
        salt: SALT,
        base_offset: Offset::ZERO,
        next_offset: Offset::new(1),
        records: 1,
        max_ts: TimestampNs::new(7),
        log_start: Offset::ZERO,
        first_epoch: LeaderEpoch::new(0),
        last_epoch: LeaderEpoch::new(0),
        chain_out: log.chain,
    };
    log.bytes.extend(seal.encode(log.position(), NO_CLAIM));
    let end = log.position();
    log.push(&[b"excess"]);
    let mut scanner = log.scan();
    assert_eq!(scanner.by_ref().count(), 2);
    assert!(scanner.sealed() && scanner.fault().is_none());
    assert_eq!((scanner.reached(), scanner.end(Some(log.position()))), (end, ScanEnd::Clean { position: end }));
}

#[test]
fn zeros_end_a_scan_cleanly_unless_the_log_was_known_to_go_on() {
    let mut log = Log::new();
    log.push(&[b"a"]);
    let position = log.position();
    for zeros in [0, 1, 8, 63, 64, 4096] {
        let mut scanned = log.bytes.clone();
        scanned.resize(scanned.len() + zeros, 0);
        let mut scanner = Scanner::new(&scanned, START, SALT, Offset::ZERO, 0);
        assert_eq!(scanner.by_ref().count(), 1);
        assert_eq!(scanner.end(None), ScanEnd::Clean { position });
        assert_eq!(scanner.end(Some(position)), ScanEnd::Clean { position });
        let beyond = Position::new(position.get() + 8);
        assert_eq!(scanner.end(Some(beyond)), ScanEnd::Corrupt { position, fault: Fault::End });
        if let Some(last) = scanned[log.bytes.len()..].last_mut() {
            *last = 1;
            let mut scanner = Scanner::new(&scanned, START, SALT, Offset::ZERO, 0);
            assert_eq!(scanner.by_ref().count(), 1);
            assert!(matches!(scanner.end(None), ScanEnd::Torn { fault: Fault::Frame(_), .. }), "a byte that is not zero behind {zeros}");
        }
    }
}

/// Damage goes by where a fault begins; a damaged frame says nothing of the ones behind it.
#[test]
fn a_fault_is_judged_by_where_it_begins() {
    let mut log = Log::new();
    log.push(&[b"a"]);
    let position = log.position();
    log.push(&[b"b"]);
    let behind = log.position();
    log.push(&[b"c"]);
    let hit = log.bytes.len() - 80 - 8;
    log.bytes[hit] ^= 0x10;
    let mut scanner = log.scan();
    assert_eq!(scanner.by_ref().count(), 1);
    let fault = scanner.fault().unwrap();
    assert_eq!(scanner.end(None), ScanEnd::Torn { position, fault });
    assert_eq!(scanner.end(Some(position)), ScanEnd::Torn { position, fault });
    assert_eq!(scanner.end(Some(behind)), ScanEnd::Corrupt { position, fault });
}

#[test]
fn durable_claims_reach_back_and_never_before_the_file() {
    let claim = |durable_back| {
        let place = Place { durable_back, ..Place::at(SALT, 256, 0, 0) };
        let (bytes, _) = encode_frame(place, &[Rec::plain(7, b"a")]);
        let frame = Frame::decode(&bytes, SALT, Position::new(256)).unwrap();
        frame.header.durable_position(Position::new(256)).map(Position::get)
    };
    assert_eq!((claim(0), claim(16), claim(32)), (Some(256), Some(128), Some(0)));
    assert_eq!((claim(33), claim(NO_CLAIM - 1), claim(NO_CLAIM)), (None, None, None));
}
