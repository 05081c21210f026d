//! What stands between raw values: any bytes, written with escapes. Nothing else is interpreted.

use std::str::FromStr;

/// Bytes behind each value; a newline unless told otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delimiter(Vec<u8>);

/// Why a text is no delimiter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown escape {0:?}; there are \\n \\r \\t \\0 \\\\ and \\xHH")]
pub(crate) struct BadDelimiter(String);

impl Delimiter {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Default for Delimiter {
    fn default() -> Self {
        Self(b"\n".to_vec())
    }
}

impl FromStr for Delimiter {
    type Err = BadDelimiter;

    fn from_str(text: &str) -> Result<Self, BadDelimiter> {
        let mut bytes = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('\\') {
            bytes.extend_from_slice(&rest.as_bytes()[..at]);
            let escape = &rest[at + 1..];
            let (byte, len) = unescape(escape).ok_or_else(|| BadDelimiter(rest[at..].chars().take(4).collect()))?;
            bytes.push(byte);
            rest = &escape[len..];
        }
        bytes.extend_from_slice(rest.as_bytes());
        Ok(Self(bytes))
    }
}

/// The byte that the text behind a backslash begins with, and how much of the text it takes.
fn unescape(text: &str) -> Option<(u8, usize)> {
    let byte = match text.as_bytes().first()? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'0' => 0,
        b'\\' => b'\\',
        b'x' => {
            let digits = text.get(1..3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
            return Some((u8::from_str_radix(digits, 16).ok()?, 3));
        }
        _ => return None,
    };
    Some((byte, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_bytes() {
        assert_eq!(r"\n".parse(), Ok(Delimiter(b"\n".to_vec())));
        assert_eq!(r"a\0\t\r\\\xFf\x00b".parse(), Ok(Delimiter(b"a\0\t\r\\\xff\x00b".to_vec())));
        assert_eq!("".parse(), Ok(Delimiter(vec![])));
        for text in [r"\", r"\q", r"\x", r"\x1", r"\xzz", r"\x+1", "\\x\u{e9}"] {
            assert!(text.parse::<Delimiter>().is_err(), "{text}");
        }
    }
}
