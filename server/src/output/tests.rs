//! Rows in each format against the text they must become.

use super::*;

fn row() -> Row<'static> {
    Row { partition: None, offset: 7, ts_ns: 1_700_000_000_123_456_789, key: Some(b"k"), value: Some(b"v"), headers: vec![] }
}

fn written(format: OutputFormat, delimiter: &str, rows: &[Row<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = RowWriter::new(&mut bytes, format, delimiter.parse().unwrap());
    for row in rows {
        writer.row(row).unwrap();
    }
    bytes
}

fn json(row: &Row<'_>) -> String {
    String::from_utf8(written(OutputFormat::Json, r"\n", std::slice::from_ref(row))).unwrap()
}

#[test]
fn json_has_each_field_and_null_is_null() {
    assert_eq!(json(&row()), "{\"offset\":7,\"ts_ns\":1700000000123456789,\"key\":\"k\",\"value\":\"v\",\"headers\":[]}\n");
    let bare = Row { partition: Some(3), key: None, value: None, ts_ns: -1, ..row() };
    assert_eq!(json(&bare), "{\"partition\":3,\"offset\":7,\"ts_ns\":-1,\"key\":null,\"value\":null,\"headers\":[]}\n");
    let empty = Row { key: Some(b""), value: Some(b""), ..row() };
    assert!(json(&empty).contains(r#""key":"","value":"""#));
}

#[test]
fn json_escapes_text_and_gives_other_bytes_as_base64() {
    let odd = Row {
        key: Some(b"\xff\x00"),
        value: Some(b"a\"\\\n\x01\xc3\xa9"),
        headers: vec![("a", Some(b"1")), ("a", None), ("b\"", Some(b"\xfe"))],
        ..row()
    };
    let text = json(&odd);
    let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(parsed["key_base64"], "/wA=");
    assert_eq!(parsed.get("key"), None);
    assert_eq!(parsed["value"], "a\"\\\n\u{1}\u{e9}");
    assert_eq!(
        parsed["headers"],
        serde_json::json!([{"name": "a", "value": "1"}, {"name": "a", "value": null}, {"name": "b\"", "value_base64": "/g=="}])
    );
    assert_eq!(text.matches('\n').count(), 1, "one object, one line");
}

#[test]
fn json_gap() {
    let mut bytes = Vec::new();
    let mut writer = RowWriter::new(&mut bytes, OutputFormat::Json, Delimiter::default());
    assert!(writer.gap(&Gap { partition: None, from: 3, to: 9, reason: "checksum".to_owned() }).unwrap());
    assert_eq!(String::from_utf8(bytes).unwrap(), "{\"gap\":{\"from\":3,\"to\":9,\"reason\":\"checksum\"}}\n");
}

#[test]
fn raw_is_the_value_and_the_delimiter() {
    let tombstone = Row { value: None, ..row() };
    assert_eq!(written(OutputFormat::Raw, r"\n", &[row(), tombstone.clone()]), b"v\n\n");
    assert_eq!(written(OutputFormat::Raw, r"\0", &[row(), row()]), b"v\0v\0");
    assert_eq!(written(OutputFormat::Raw, "", &[row(), row()]), b"vv");
}

#[test]
fn a_table_keeps_one_record_on_one_line() {
    let long = Row { key: Some(b"two\nlines"), value: Some(&[b'x'; 500]), headers: vec![("h", None)], ..row() };
    let binary = Row { key: None, value: Some(b"\xff\x00"), offset: u64::MAX >> 1, ..row() };
    let text = String::from_utf8(written(OutputFormat::Table, r"\n", &[long, binary])).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].contains("OFFSET") && lines[0].contains("VALUE"));
    assert!(lines[1].contains(r"two\nlines") && lines[1].contains("..."), "{text}");
    assert!(lines[1].contains("2023-11-14T22:13:20.123456789Z"));
    assert!(lines[2].contains(r"\xff\x00") && lines[2].contains("null"));
}

#[test]
fn filters_look_at_key_and_headers() {
    let headers = HeaderFilter::parse(b"a=1");
    let row = Row { headers: vec![("a", Some(&b"0"[..])), ("a", Some(b"1")), ("b", None)], ..row() };
    let check = |filter: Filter, expected| assert_eq!(filter.matches(&row), expected, "{filter:?}");
    check(Filter::default(), true);
    check(Filter { key: Some(b"k".to_vec()), ..Filter::default() }, true);
    check(Filter { key: Some(b"".to_vec()), ..Filter::default() }, false);
    check(Filter { key_prefix: Some(b"".to_vec()), ..Filter::default() }, true);
    check(Filter { key_prefix: Some(b"kk".to_vec()), ..Filter::default() }, false);
    check(Filter { headers: vec![headers.clone()], ..Filter::default() }, true);
    check(Filter { headers: vec![HeaderFilter::parse(b"a=2")], ..Filter::default() }, false);
    check(Filter { headers: vec![HeaderFilter::parse(b"b")], ..Filter::default() }, true);
    check(Filter { headers: vec![HeaderFilter::parse(b"b=")], ..Filter::default() }, false);
    check(Filter { headers: vec![headers, HeaderFilter::parse(b"c")], ..Filter::default() }, false);

    let unkeyed = Row { key: None, ..row };
    assert!(!Filter { key: Some(vec![]), ..Filter::default() }.matches(&unkeyed), "null is not empty");
    assert!(!Filter { key_prefix: Some(vec![]), ..Filter::default() }.matches(&unkeyed));
}
