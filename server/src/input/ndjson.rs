//! One JSON value a line: finds the key and the time in it. The value is the line itself, byte for byte.

use tidelog::TimestampNs;
use tidelog::export::JsonPath;

use super::error::LineError;
use super::timestamp::{TimeUnit, timestamp_of, unescaped};

/// What a line tells beside its value. The key's bytes are in the scratch buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) has_key: bool,
    pub(crate) timestamp: Option<TimestampNs>,
}

/// Checks that `line` is one JSON value and takes key and time out of it; the key is written to `key_bytes`.
pub(crate) fn facts(
    line: &[u8],
    key: Option<&JsonPath>,
    timestamp: Option<&JsonPath>,
    unit: Option<TimeUnit>,
    key_bytes: &mut Vec<u8>,
) -> Result<Facts, LineError> {
    key_bytes.clear();
    if line.is_empty() || line == b"\r" {
        return Err(LineError::Empty);
    }
    let text = std::str::from_utf8(line).map_err(|error| LineError::NotUtf8 { valid_bytes: error.valid_up_to() })?;
    let [key, time] = JsonPath::find([key, timestamp], text).map_err(LineError::NotJson)?;
    let has_key = match key {
        Some(json) => key_of(json, key_bytes)?,
        None => false,
    };
    let timestamp = match (timestamp, time) {
        (None, _) => None,
        (Some(path), None | Some("null")) => return Err(LineError::NoTimestamp { path: path.to_string() }),
        (Some(_), Some(json)) => Some(timestamp_of(json, unit)?),
    };
    Ok(Facts { has_key, timestamp })
}

/// A string gives its bytes, null no key, anything else its JSON text without the spaces between.
fn key_of(json: &str, key_bytes: &mut Vec<u8>) -> Result<bool, LineError> {
    match (json.as_bytes().first(), unescaped(json)) {
        (Some(b'"'), Some(text)) => key_bytes.extend_from_slice(text.as_bytes()),
        (Some(b'"'), None) => key_bytes.extend_from_slice(serde_json::from_str::<String>(json).map_err(LineError::not_json)?.as_bytes()),
        _ if json == "null" => return Ok(false),
        _ => push_compact(json, key_bytes),
    }
    Ok(true)
}

fn push_compact(json: &str, out: &mut Vec<u8>) {
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            continue;
        } else {
            in_string = byte == b'"';
        }
        out.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(line: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let facts = facts(line.as_bytes(), Some(&".k".parse().unwrap()), None, None, &mut bytes).unwrap();
        facts.has_key.then_some(bytes)
    }

    #[test]
    fn a_string_gives_its_bytes_and_null_is_not_empty() {
        assert_eq!(key(r#"{"k":"a\u00e9\n"}"#), Some("a\u{e9}\n".into()));
        assert_eq!(key(r#"{"k":""}"#), Some(vec![]));
        assert_eq!(key(r#"{"k":null}"#), None);
        assert_eq!(key(r#"{"j":1}"#), None);
        assert_eq!(key("[]"), None);
        assert_eq!(key(r#"{"k":"null"}"#), Some(b"null".to_vec()));
    }

    #[test]
    fn anything_else_gives_its_text_as_written_without_spaces() {
        assert_eq!(key(r#"{"k": 1.50e+1 }"#), Some(b"1.50e+1".to_vec()));
        assert_eq!(key(r#"{"k":12345678901234567890123}"#), Some(b"12345678901234567890123".to_vec()));
        assert_eq!(key(r#"{"k":true}"#), Some(b"true".to_vec()));
        assert_eq!(key(r#"{"k": { "b" : [1, 2] , "a": "x y\" z\\" , "c":" " } }"#), Some(br#"{"b":[1,2],"a":"x y\" z\\","c":" "}"#.to_vec()));
    }

    #[test]
    fn lines_that_do_not_fit_say_why() {
        let check = |line: &[u8], expected: &str| {
            let error = facts(line, Some(&".k".parse().unwrap()), Some(&".t".parse().unwrap()), None, &mut Vec::new()).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        };
        check(b"", "empty line");
        check(b"\r", "empty line");
        check(b"{\"t\":\"2023-11-14T22:13:20Z\"", "not JSON");
        check(b"{\"t\":\"\xff\"}", "not UTF-8 after byte 6");
        check(b"{}", "no value at .t");
        check(b"{\"t\":null}", "no value at .t");
        check(b"{\"t\":5}", "--timestamp-unit");
        check(br#"{"k":"\ud800","t":"2023-11-14T22:13:20Z"}"#, "not JSON");
    }

    #[test]
    fn a_carriage_return_is_space_to_json() {
        let mut bytes = Vec::new();
        let found = facts(b"{\"k\":1,\"t\":2}\r", Some(&".k".parse().unwrap()), Some(&".t".parse().unwrap()), Some(TimeUnit::S), &mut bytes).unwrap();
        assert_eq!((found.has_key, found.timestamp, bytes), (true, Some(TimestampNs::new(2_000_000_000)), b"1".to_vec()));
    }
}
