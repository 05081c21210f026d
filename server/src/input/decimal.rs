//! Turns a decimal number as written into a whole count of nanoseconds, exactly. Never goes through a float, never rounds.

/// Why a number is no count of nanoseconds in an `i64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecimalError {
    /// Not of the form `-12.5e3`.
    #[error("not a decimal number")]
    Syntax,
    /// Digits below a nanosecond, which could only be kept by rounding.
    #[error("finer than a nanosecond")]
    TooFine,
    /// Outside of what an `i64` of nanoseconds can say.
    #[error("outside of 1677-09-21 to 2262-04-11, what 64 bits of nanoseconds can hold")]
    OutOfRange,
}

/// `text` times ten to the power of `scale`, as a whole number.
pub(crate) fn scaled(text: &str, scale: i64) -> Result<i64, DecimalError> {
    let (negative, unsigned) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (mantissa, exponent) = split_exponent(unsigned)?;
    let (whole, fraction) = split_fraction(mantissa)?;
    let mut digits: Vec<u8> = whole.iter().chain(fraction).copied().skip_while(|digit| *digit == b'0').collect();
    let mut power = exponent.saturating_add(scale).saturating_sub(fraction.len() as i64);
    while digits.last() == Some(&b'0') {
        digits.pop();
        power = power.saturating_add(1);
    }
    if digits.is_empty() {
        return Ok(0);
    }
    if power < 0 {
        return Err(DecimalError::TooFine);
    }
    if power.saturating_add(digits.len() as i64) > I64_DIGITS {
        return Err(DecimalError::OutOfRange);
    }
    let magnitude = digits.iter().fold(0i128, |sum, digit| sum * 10 + i128::from(digit - b'0')) * 10i128.pow(power as u32);
    i64::try_from(if negative { -magnitude } else { magnitude }).map_err(|_| DecimalError::OutOfRange)
}

fn split_exponent(text: &[u8]) -> Result<(&[u8], i64), DecimalError> {
    let Some(at) = text.iter().position(|byte| matches!(byte, b'e' | b'E')) else { return Ok((text, 0)) };
    let (negative, digits) = match &text[at + 1..] {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(DecimalError::Syntax);
    }
    let exponent = digits.iter().fold(0i64, |sum, digit| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    Ok((&text[..at], if negative { -exponent } else { exponent }))
}

fn split_fraction(text: &[u8]) -> Result<(&[u8], &[u8]), DecimalError> {
    let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(at) if at + 1 == text.len() => return Err(DecimalError::Syntax),
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &text[text.len()..]),
    };
    let digits_only = whole.iter().chain(fraction).all(u8::is_ascii_digit);
    if whole.is_empty() || !digits_only { Err(DecimalError::Syntax) } else { Ok((whole, fraction)) }
}

const I64_DIGITS: i64 = 19;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn exact_where_a_float_would_round() {
        assert_eq!(scaled("1700000000.123456789", 9), Ok(1_700_000_000_123_456_789));
        assert_eq!(scaled("-1700000000.123456789", 9), Ok(-1_700_000_000_123_456_789));
        assert_eq!(scaled("0.1", 9), Ok(100_000_000));
        assert_eq!(scaled("1.7e9", 9), Ok(1_700_000_000_000_000_000));
        assert_eq!(scaled("1700000000000000000E-9", 9), Ok(1_700_000_000_000_000_000));
        assert_eq!(scaled("9223372036854775807", 0), Ok(i64::MAX));
        assert_eq!(scaled("-9223372036854775808", 0), Ok(i64::MIN));
        assert_eq!(scaled("-9223372036.854775808", 9), Ok(i64::MIN));
        assert_eq!(scaled("1.500000000000000000000000000000000000000000000000", 3), Ok(1500));
        assert_eq!(scaled("-0.0e99999999999999999999", 9), Ok(0));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(scaled("9223372036854775808", 0), Err(DecimalError::OutOfRange));
        assert_eq!(scaled("-9223372036854775809", 0), Err(DecimalError::OutOfRange));
        assert_eq!(scaled("1e99999999999999999999", 0), Err(DecimalError::OutOfRange));
        assert_eq!(scaled("1e-99999999999999999999", 0), Err(DecimalError::TooFine));
        assert_eq!(scaled("1700000000.1234567891", 9), Err(DecimalError::TooFine));
        for text in ["", "-", ".", "1.", ".5", "1e", "1e+", "--1", "1_0", "0x10", "NaN", "inf", "1.2.3", "1e1e1", "\u{661}"] {
            assert_eq!(scaled(text, 0), Err(DecimalError::Syntax), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_nanosecond_comes_back_from_seconds(ns: i64) {
            let magnitude = i128::from(ns).unsigned_abs();
            let text = format!("{}{}.{:09}", if ns < 0 { "-" } else { "" }, magnitude / 1_000_000_000, magnitude % 1_000_000_000);
            prop_assert_eq!(scaled(&text, 9), Ok(ns));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.eE]{0,40}", scale in 0i64..10) {
            let _ = scaled(&text, scale);
        }
    }
}
