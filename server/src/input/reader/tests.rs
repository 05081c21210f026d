//! The record reader against inputs with known answers, whole and byte by byte.

use super::super::source::tests::{source_of, trickle_of};
use super::*;

const LIMIT: usize = 1000;

fn options(format: Format) -> ReaderOptions {
    ReaderOptions { format, key: None, timestamp: None, timestamp_unit: None, separator: b',', value_bytes_max: LIMIT }
}

type Owned = (Option<Vec<u8>>, Vec<u8>, Option<i64>);

/// All records, with each rejected line in the second list, if `skip`.
fn read_all(source: Source, options: ReaderOptions, skip: bool) -> Result<(Vec<Owned>, Vec<Vec<u8>>), InputError> {
    let mut reader = RecordReader::new(source, options)?;
    let (mut records, mut rejected) = (Vec::new(), Vec::new());
    loop {
        let error = match reader.advance() {
            Ok(false) => return Ok((records, rejected)),
            Ok(true) => {
                let item = reader.item();
                records.push((item.key.map(<[u8]>::to_vec), item.value.to_vec(), item.timestamp.map(TimestampNs::get)));
                continue;
            }
            Err(error) => error,
        };
        if !skip || !error.can_skip() {
            return Err(error);
        }
        rejected.push(rejected_line(&mut reader)?);
    }
}

fn rejected_line(reader: &mut RecordReader) -> Result<Vec<u8>, InputError> {
    let mut line = Vec::new();
    let mut sink = |part: &[u8]| {
        line.extend_from_slice(part);
        Ok(())
    };
    reader.reject(&mut sink)?.unwrap();
    Ok(line)
}

fn values(bytes: &[u8], format: Format) -> Vec<Vec<u8>> {
    let whole = read_all(source_of(bytes), options(format), false).unwrap().0;
    let trickled = read_all(trickle_of(bytes), options(format), false).unwrap().0;
    assert_eq!(whole, trickled, "the answer must not depend on how the bytes arrive");
    whole.into_iter().map(|record| record.1).collect()
}

fn error(bytes: &[u8], format: Format) -> String {
    read_all(source_of(bytes), options(format), false).unwrap_err().to_string()
}

#[test]
fn lines_split_at_newlines_only_and_keep_everything_else() {
    assert_eq!(values(b"", Format::Lines), Vec::<Vec<u8>>::new());
    assert_eq!(values(b"\n", Format::Lines), [b""]);
    assert_eq!(values(b"a\r\n\n\r\nb\x00\xff\rc", Format::Lines), [&b"a\r"[..], b"", b"\r", b"b\x00\xff\rc"]);
    assert_eq!(values("\u{2028}\u{85}\x0b\x0c\n".as_bytes(), Format::Lines), ["\u{2028}\u{85}\x0b\x0c".as_bytes()]);
}

#[test]
fn lines_are_a_split_that_joins_back() {
    proptest::proptest!(|(bytes in proptest::collection::vec(proptest::sample::select(vec![b'\n', b'\r', b'a', 0, 255]), 1..200))| {
        let lines = read_all(source_of(&bytes), options(Format::Lines), false).unwrap().0;
        let mut joined = lines.iter().map(|line| line.1.as_slice()).collect::<Vec<_>>().join(&b"\n"[..]);
        if bytes.ends_with(b"\n") {
            joined.push(b'\n');
        }
        proptest::prop_assert_eq!(joined, bytes);
    });
}

#[test]
fn a_line_over_the_limit_is_named_by_its_number_and_passed_over_whole() {
    let mut bytes = b"first\n".to_vec();
    bytes.extend(vec![b'x'; LIMIT]);
    bytes.push(b'\n');
    bytes.extend(vec![b'y'; 3_000_000]);
    bytes.extend(b"\nlast");
    assert_eq!(error(&bytes, Format::Lines), format!("test: line 3: longer than {LIMIT} bytes, the most that one record may have"));

    let (records, rejected) = read_all(source_of(&bytes), options(Format::Lines), true).unwrap();
    assert_eq!(records.iter().map(|record| record.1.len()).collect::<Vec<_>>(), [5, LIMIT, 4]);
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0].len(), 3_000_001);
}

#[test]
fn memory_is_bounded_by_the_limit_and_not_by_the_line() {
    let mut reader = RecordReader::new(source_of(&vec![b'y'; 20_000_000]), options(Format::Lines)).unwrap();
    assert!(reader.advance().is_err());
    let mut largest = 0;
    reader
        .reject(&mut |part| {
            largest = largest.max(part.len());
            Ok(())
        })
        .unwrap()
        .unwrap();
    assert!(largest <= 1 << 20, "{largest} bytes were held at once");
}

#[test]
fn ndjson_keeps_the_line_and_takes_key_and_time() {
    let options = ReaderOptions {
        key: Some(".k".parse().unwrap()),
        timestamp: Some(".t".parse().unwrap()),
        timestamp_unit: Some(TimeUnit::Ms),
        ..options(Format::Ndjson)
    };
    let bytes = b"{ \"k\" : \"x\", \"t\" : 1 }\r\n{\"t\":2.5}\nnonsense\n{\"t\":3}";
    let (records, rejected) = read_all(source_of(bytes), options, true).unwrap();
    assert_eq!(
        records,
        [
            (Some(b"x".to_vec()), b"{ \"k\" : \"x\", \"t\" : 1 }\r".to_vec(), Some(1_000_000)),
            (None, b"{\"t\":2.5}".to_vec(), Some(2_500_000)),
            (None, b"{\"t\":3}".to_vec(), Some(3_000_000)),
        ]
    );
    assert_eq!(rejected, [b"nonsense\n"]);
    assert!(error(b"1\n2\n{", Format::Ndjson).starts_with("test: line 3: not JSON"));
    assert!(error(b"1\n\n2\n", Format::Ndjson).starts_with("test: line 2: an empty line"));
}

#[test]
fn csv_rows_become_objects_by_the_header_row() {
    assert_eq!(
        values(b"id,\"na\"\"me\"\r\n1,\"a,\nb\"\r\n2,\n\n3,\"\"\"\"", Format::Csv),
        [&br#"{"id":"1","na\"me":"a,\nb"}"#[..], br#"{"id":"2","na\"me":""}"#, br#"{"id":"3","na\"me":"\""}"#]
    );
    assert_eq!(values(b"\xef\xbb\xbfid\n1\n", Format::Csv), [br#"{"id":"1"}"#]);
    assert_eq!(values(b"", Format::Csv), Vec::<Vec<u8>>::new());
    assert_eq!(values(b"only,header\n", Format::Csv), Vec::<Vec<u8>>::new());
}

#[test]
fn csv_takes_key_time_and_another_separator() {
    let options = ReaderOptions {
        key: Some(".id".parse().unwrap()),
        timestamp: Some(".at".parse().unwrap()),
        timestamp_unit: Some(TimeUnit::S),
        separator: b';',
        ..options(Format::Csv)
    };
    let (records, _) = read_all(source_of(b"id;at\na,b;1.5\n;2023-11-14T22:13:20Z\n"), options, false).unwrap();
    assert_eq!(records[0], (Some(b"a,b".to_vec()), br#"{"id":"a,b","at":"1.5"}"#.to_vec(), Some(1_500_000_000)));
    assert_eq!((records[1].0.as_deref(), records[1].2), (Some(&b""[..]), Some(1_700_000_000_000_000_000)));
}

#[test]
fn csv_rows_that_do_not_fit_are_named_by_their_line() {
    assert_eq!(error(b"a,b\n1,2\n1\n", Format::Csv), "test: line 3: 1 field, where the header row has 2");
    assert_eq!(error(b"a,b\n\"1\n\n\",2\n1,2,3\n", Format::Csv), "test: line 5: 3 fields, where the header row has 2");
    assert_eq!(error(b"a,b,a\n", Format::Csv), "test: line 1: the column \"a\" is there twice");
    assert_eq!(error(b"a\n\xff\n", Format::Csv), "test: line 2: not UTF-8 after byte 0");
    assert_eq!(error(b"a\n\"never closed\n", Format::Csv), "test: line 2: the input ends inside a quoted field");
    let long = [b"a\n\"".to_vec(), vec![b'x'; 2_000_000]].concat();
    assert!(error(&long, Format::Csv).contains("is a quote left open?"));
}

#[test]
fn csv_rows_kept_aside_are_whole() {
    let (records, rejected) = read_all(source_of(b"a,b\r\n1,2\r\nbad\r\n\"x\r\ny\",2,3\r\n3,4"), options(Format::Csv), true).unwrap();
    assert_eq!(records.len(), 2);
    assert_eq!(rejected, [&b"bad\r\n"[..], b"\"x\r\ny\",2,3\r\n"]);
}

#[test]
fn frames_carry_their_time_and_any_bytes() {
    let frame = |ts: i64, payload: &[u8]| [&(payload.len() as u32).to_le_bytes()[..], &ts.to_le_bytes(), payload].concat();
    let bytes = [frame(-5, b"a\nb"), frame(i64::MAX, b""), frame(0, &[0xff; LIMIT])].concat();
    for source in [source_of(&bytes), trickle_of(&bytes)] {
        let (records, _) = read_all(source, options(Format::Frames), false).unwrap();
        assert_eq!(records[0], (None, b"a\nb".to_vec(), Some(-5)));
        assert_eq!(records[1], (None, vec![], Some(i64::MAX)));
        assert_eq!(records[2].1.len(), LIMIT);
    }
    for cut in 1..15 {
        let message = error(&bytes[..15 + cut], Format::Frames);
        if cut == 12 {
            panic!("a whole frame is no error: {message}");
        }
        assert!(message.starts_with("test: frame 2 at byte 15: the input ends after"), "{message}");
        if cut == 11 {
            break;
        }
    }
    assert!(error(&frame(0, &[0; LIMIT + 1]), Format::Frames).starts_with("test: frame 1 at byte 0: longer than"));
}

#[test]
fn position_and_crc_stand_behind_the_record_given_last() {
    let bytes = b"one\ntwo\nthree";
    let mut reader = RecordReader::new(source_of(bytes), options(Format::Lines)).unwrap();
    for (end, is_mid_line) in [(4, false), (8, false), (13, true)] {
        let before = reader.mark();
        assert!(reader.advance().unwrap());
        assert_eq!(reader.mark_before(), before);
        let expected = Mark { position: end, crc32: crc32fast::hash(&bytes[..end as usize]), lines: before.lines + 1, is_mid_line };
        assert_eq!(reader.mark(), expected);
    }
    assert!(!reader.advance().unwrap());
    assert_eq!(reader.mark().lines, 3);
}

#[test]
fn a_record_in_memory_is_known_before_it_is_asked_for() {
    let mut reader = RecordReader::new(trickle_of(b"ab\ncd"), options(Format::Lines)).unwrap();
    assert!(!reader.is_buffered());
    reader.advance().unwrap();
    assert!(!reader.is_buffered(), "the line given last must not count");
    let mut reader = RecordReader::new(source_of(b"ab\ncd\ne"), options(Format::Lines)).unwrap();
    while reader.source.fill().unwrap() {}
    reader.advance().unwrap();
    assert!(reader.is_buffered());
    reader.advance().unwrap();
    assert!(!reader.is_buffered());
}

#[test]
fn reading_goes_on_at_any_mark() {
    let csv = b"a,b\r\n1,2\r\n\r\n\"x\ny\",2\n3,4";
    for (bytes, format) in [(&b"one\n\ntwo\r\n{}\nlast"[..], Format::Lines), (b"1\n[2]\n3\n4\n5", Format::Ndjson), (csv, Format::Csv)] {
        let mut whole = RecordReader::new(source_of(bytes), options(format)).unwrap();
        let mut marks = vec![whole.mark()];
        let mut values = Vec::new();
        while whole.advance().unwrap() {
            values.push(whole.item().value.to_vec());
            marks.push(whole.mark());
        }
        assert!(values.len() >= 3);
        for (done, mark) in marks.iter().enumerate() {
            let mut reader = RecordReader::new(source_of(bytes), options(format)).unwrap();
            assert!(reader.skip_to(mark).unwrap());
            assert!(reader.finish_line().unwrap());
            for expected in &values[done..] {
                assert!(reader.advance().unwrap());
                assert_eq!(reader.item().value, expected);
            }
            assert!(!reader.advance().unwrap());
            assert_eq!(reader.mark(), *marks.last().unwrap(), "from {mark:?}");
        }
    }
}

#[test]
fn a_line_without_its_end_may_be_ended_later_but_not_continued() {
    let mut reader = RecordReader::new(source_of(b"one\ntwo"), options(Format::Lines)).unwrap();
    while reader.advance().unwrap() {}
    let mark = reader.mark();
    assert!(mark.is_mid_line);
    for (grown, finished, rest) in [(&b"one\ntwo\n"[..], true, 0), (b"one\ntwo\nthree\n", true, 1), (b"one\ntwo and more\n", false, 0)] {
        let mut reader = RecordReader::new(source_of(grown), options(Format::Lines)).unwrap();
        assert!(reader.skip_to(&mark).unwrap());
        assert_eq!(reader.finish_line().unwrap(), finished);
        if finished {
            let mut count = 0;
            while reader.advance().unwrap() {
                count += 1;
            }
            assert_eq!(count, rest);
        }
    }
}

#[test]
fn a_record_that_is_not_wanted_can_be_kept_aside() {
    let mut reader = RecordReader::new(source_of(b"one\ntwo\nthree\n"), options(Format::Lines)).unwrap();
    assert!(reader.advance().unwrap() && reader.advance().unwrap());
    let error = reader.refuse(LineError::TooLong { limit: 2 });
    assert!(error.to_string().starts_with("test: line 2: longer than 2 bytes") && error.can_skip());
    assert_eq!(rejected_line(&mut reader).unwrap(), b"two\n");
    assert!(reader.advance().unwrap());
    assert_eq!(reader.item().value, b"three");
    assert_eq!(reader.mark().lines, 3);
}
