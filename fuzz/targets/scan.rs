//! A segment of any bytes: the scanner gives verified frames that follow each other, and says how it ended.

use super::heal;
use tidelog_format::{Fault, Frame, NO_CLAIM, OFFSET_MAX, Offset, Position, ScanEnd, Scanner, Seal, SegmentHeader, resync};

const START: Position = Position::new(128);

pub fn run(data: &[u8]) {
    let Some((head, frames)) = data.split_at_checked(128) else { return };
    let header = SegmentHeader::decode(head).unwrap_or(SegmentHeader::first([0; 16], 0x5a17, 0, 1 << 20));
    check(frames, &header);
    // The first bytes decide which frames are made right: damage stays between them.
    let keep = u64::from_le_bytes(head[..8].try_into().expect("eight bytes"));
    check(&heal::frames(frames.to_vec(), &header, keep, true), &header);
}

fn check(bytes: &[u8], header: &SegmentHeader) {
    let mut scanner = Scanner::new(bytes, START, header.salt, header.base_offset, header.chain_seed);
    let (mut reached, mut next, mut chain, mut sealed) = (START, header.base_offset, header.chain_seed, false);
    while let Some(found) = scanner.next() {
        let at = (found.position.get() - START.get()) as usize;
        assert!(!sealed && found.position == reached && found.frame.header.base_offset == next && found.frame.header.chain == chain);
        assert_eq!(Frame::decode(&bytes[at..], header.salt, found.position), Ok(found.frame));
        assert_eq!(found.frame.verify_body(), Ok(()));
        heal::check_frame(&bytes[at..], &found.frame, header.salt, found.position);
        assert_eq!(resync(&bytes[at..], found.position, header.salt, next, Offset::new(OFFSET_MAX)), Some(found));
        sealed = Seal::decode(&found.frame).is_ok();
        reached = Position::new(reached.get() + found.frame.header.stored_bytes() as u64);
        (next, chain) = (found.frame.header.next_offset(), found.frame.chain_after());
        assert_eq!((scanner.reached(), scanner.next_offset(), scanner.chain_after(), scanner.sealed()), (reached, next, chain, sealed));
    }
    assert!(scanner.next().is_none() && scanner.reached() == reached && scanner.sealed() == sealed);
    check_end(bytes, &scanner);
    check_resync(bytes, header, &scanner);
}

fn check_end(bytes: &[u8], scanner: &Scanner<'_>) {
    let reached = scanner.reached();
    let zeros = bytes[(reached.get() - START.get()) as usize..].iter().all(|&byte| byte == 0);
    assert_eq!(scanner.fault().is_none(), scanner.sealed());
    assert!(scanner.sealed() || zeros == (scanner.fault() == Some(Fault::End)));
    let beyond = Position::new(reached.get() + 8);
    for durable in [None, Some(START), Some(reached), Some(beyond)] {
        let damaged = !scanner.sealed() && durable.is_some_and(|durable| durable > reached);
        let clean = scanner.sealed() || zeros;
        match scanner.end(durable) {
            ScanEnd::Corrupt { position, fault } => assert!(damaged && position == reached && scanner.fault() == Some(fault)),
            ScanEnd::Torn { position, fault } => assert!(!damaged && !clean && position == reached && scanner.fault() == Some(fault)),
            ScanEnd::Clean { position } => assert!(!damaged && clean && position == reached),
        }
    }
}

fn check_resync(bytes: &[u8], header: &SegmentHeader, scanner: &Scanner<'_>) {
    let from = (scanner.reached().get() - START.get()) as usize + 8;
    let Some(rest) = bytes.get(from..) else { return };
    let below = Offset::new(scanner.next_offset().get().saturating_add(100));
    let start = Position::new(START.get() + from as u64);
    if let Some(found) = resync(rest, start, header.salt, scanner.next_offset(), below) {
        assert!(found.position >= start && found.position.get() % 8 == 0);
        assert!(found.frame.header.base_offset >= scanner.next_offset() && found.frame.header.next_offset() <= below);
        assert_eq!(found.frame.verify_body(), Ok(()));
        assert!(
            found.frame.header.durable_back == NO_CLAIM || found.frame.header.durable_position(found.position).is_none_or(|at| at <= found.position)
        );
    }
}
