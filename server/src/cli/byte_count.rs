//! Sizes as people write them: `65536`, `64KiB`, `1GiB`. Knows no powers of ten.

use std::str::FromStr;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByteCount(pub(crate) u64);

/// Why a text is no size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a number of bytes such as 65536, 64KiB, 16MiB or 1GiB")]
pub(crate) struct BadByteCount;

impl FromStr for ByteCount {
    type Err = BadByteCount;

    fn from_str(text: &str) -> Result<Self, BadByteCount> {
        const UNITS: [(&str, u32); 4] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
        let (digits, shift) = UNITS.iter().find_map(|(suffix, shift)| Some((text.strip_suffix(suffix)?, *shift))).unwrap_or((text, 0));
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(BadByteCount);
        }
        digits.parse::<u64>().ok().and_then(|count| count.checked_mul(1 << shift)).map(Self).ok_or(BadByteCount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_powers_of_two() {
        assert_eq!("65536".parse(), Ok(ByteCount(65536)));
        assert_eq!("64KiB".parse(), Ok(ByteCount(65536)));
        assert_eq!("3GiB".parse(), Ok(ByteCount(3 << 30)));
        for text in ["", "KiB", "-1", "+1", "1.5MiB", "1KB", "64 KiB", "99999999999999999999", "18446744073709551615KiB"] {
            assert_eq!(text.parse::<ByteCount>(), Err(BadByteCount), "{text}");
        }
    }
}
