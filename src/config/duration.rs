//! A span of time as a config writes it: milliseconds as a whole number, or a string that Go's `time.ParseDuration` takes
//! (`500ms`, `1.5s`, `1m30s`). What a unit-less number means elsewhere, and which spans are allowed, is each reader's.

use std::time::Duration;

use super::document::{At, Value};
use super::fault::Printable;

/// Nanoseconds of each unit; both micro signs (U+00B5, U+03BC) are one.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Digits of a fraction that count: a nanosecond is the 14th of an hour.
const FRACTION_DIGITS_MAX: usize = 18;

/// Whether the value is a span: a whole number, perhaps negative, or such a string. `Err`: a string that is none, with
/// Bifrost's words about it.
pub(crate) fn check(at: &At<'_>) -> Result<bool, String> {
    match &at.node.value {
        Value::Number(digits) => Ok(digits.parse::<i64>().is_ok()),
        Value::Text(text) if nanoseconds(text).is_none() => {
            let name = at.pointer.rsplit('/').next().unwrap_or_default();
            Err(format!(
                "invalid {} \"{}\": use a Go duration string like \"500ms\", \"5s\", \"1m\"",
                Printable(name),
                Printable(text)
            ))
        }
        Value::Text(_) => Ok(true),
        _ => Ok(false),
    }
}

/// The value where a number is milliseconds; `None`: no span, 0, or less.
pub(crate) fn milliseconds(at: &At<'_>) -> Option<Duration> {
    let nanoseconds = match &at.node.value {
        Value::Number(digits) => i128::from(digits.parse::<i64>().ok()?) * 1_000_000,
        Value::Text(text) => i128::from(nanoseconds(text)?),
        _ => return None,
    };
    let nanoseconds = u128::try_from(nanoseconds).ok().filter(|nanoseconds| *nanoseconds > 0)?;
    Some(Duration::from_nanos_u128(nanoseconds))
}

/// What Go's `time.ParseDuration` makes of a text, but for the last digit of a fraction, which is exact here; `None`:
/// malformed, or over 292 years.
pub(crate) fn nanoseconds(text: &str) -> Option<i64> {
    let is_negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0_u128;
    loop {
        let (nanoseconds, after) = term(rest)?;
        // Each is under 2^64, and a file is too short for 2^64 of them.
        total += nanoseconds;
        if after.is_empty() {
            break;
        }
        rest = after;
    }
    let total = i128::try_from(total).ok()?;
    i64::try_from(if is_negative { -total } else { total }).ok()
}

/// `1.5s`, and what follows it.
fn term(text: &str) -> Option<(u128, &str)> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), digits);
    let unit_end = rest.find(|char: char| char == '.' || char.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit)?;
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction = fraction.get(..FRACTION_DIGITS_MAX).unwrap_or(fraction);
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let nanoseconds = u128::from(whole) * unit + fraction * unit / scale;
    (nanoseconds <= 1 << 63).then_some((nanoseconds, rest))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_strings_are_read() {
        for (text, expected) in [
            ("0", 0),
            ("-0", 0),
            ("+0", 0),
            ("0s", 0),
            ("5s", 5_000_000_000),
            ("500ms", 500_000_000),
            ("1m30s", 90_000_000_000),
            ("1h15m30.918s", 4_530_918_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("5.s", 5_000_000_000),
            ("-1.5h", -5_400_000_000_000),
            ("+5s", 5_000_000_000),
            ("12\u{b5}s", 12_000),
            ("12\u{3bc}s34us", 46_000),
            ("11ns", 11),
            ("1.0000000000000000000000001s", 1_000_000_000),
            ("0.9223372036854775807h", 3_320_413_933_267),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
            ("2562047h47m16.854775807s", i64::MAX),
            ("39h9m14.425s", 140_954_425_000_000),
        ] {
            assert_eq!(nanoseconds(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_strings_are_none() {
        for text in [
            "",
            "3",
            "-",
            "+",
            "s",
            ".",
            "-.",
            ".s",
            "+.s",
            "1d",
            "1w",
            "5 s",
            " 5s",
            "5s ",
            "5S",
            "1m 30s",
            "1m30",
            "--1s",
            "+-1s",
            "1e3s",
            "1,5s",
            "off",
            "9223372036854775808ns",
            "9223372036854775807ns1ns",
            "-9223372036854775809ns",
            "2562048h",
            "99999999999999999999s",
            "\u{663}s",
        ] {
            assert_eq!(nanoseconds(text), None, "{text}");
        }
    }
}
