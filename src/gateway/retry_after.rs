//! How long a provider asks to be left alone, by the headers of its answer, or by what its body was found to say. Pure; what is made of it is `routing`'s.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Longest time that is believed; it keeps what is reckoned with it in bounds.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The date's form, and the two obsolete ones that must be read (RFC 9110 §5.6.7).
const DATES: [&str; 3] = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

/// By `retry-after-ms` (OpenAI's, milliseconds) or else `retry-after` (RFC 9110 §10.2.3: seconds, which some send with a
/// fraction, or a date), at most a day. `field` gives a header's value; a date is taken from `now_s`, seconds since the
/// epoch. `None`: neither is there, or neither can be read.
pub fn asked<'a>(field: impl Fn(&str) -> Option<&'a [u8]>, now_s: i64) -> Option<Duration> {
    let text = |name| field(name).and_then(|value| std::str::from_utf8(value.trim_ascii()).ok());
    let milliseconds = text("retry-after-ms").and_then(|text| number(text, 1000.0));
    let asked = milliseconds.or_else(|| text("retry-after").and_then(|text| delay(text, now_s)));
    asked.map(|asked| asked.min(LONGEST))
}

/// So many seconds, not negative and finite, as far as they are believed.
pub(super) fn of_seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST)
}

fn delay(text: &str, now_s: i64) -> Option<Duration> {
    number(text, 1.0).or_else(|| {
        let then_s = date_s(text)?;
        // One that has passed asks for nothing.
        Some(Duration::from_secs(u64::try_from(then_s.saturating_sub(now_s)).unwrap_or_default()))
    })
}

/// A date of HTTP, as seconds since the epoch.
pub fn date_s(text: &str) -> Option<i64> {
    let date = DATES.iter().find_map(|form| DateTime::strptime(form, text).ok())?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

/// A number without a sign, `to_second` of which make a second.
fn number(text: &str, to_second: f64) -> Option<Duration> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = text.parse::<f64>().ok().filter(|_| is_plain)? / to_second;
    Some(of_seconds(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const THEN_S: i64 = 784_111_777;

    fn asked_by(fields: &[(&str, &'static str)], now_s: i64) -> Option<Duration> {
        let value = |name: &str| fields.iter().find(|(found, _)| *found == name).map(|(_, value)| *value);
        asked(|name| value(name).map(str::as_bytes), now_s)
    }

    #[test]
    fn seconds_and_milliseconds_are_read_and_the_finer_wins() {
        for (fields, ms) in [
            (&[("retry-after", "7")][..], 7000),
            (&[("retry-after", " 0 ")], 0),
            (&[("retry-after", "0.25")], 250),
            (&[("retry-after-ms", "1500")], 1500),
            (&[("retry-after-ms", "20.5")], 20),
            (&[("retry-after", "7"), ("retry-after-ms", "40")], 40),
            (&[("retry-after", "7"), ("retry-after-ms", "soon")], 7000),
            (&[("retry-after", "99999999999999999999999999")], 24 * 3600 * 1000),
        ] {
            assert_eq!(asked_by(fields, 0).map(|asked| asked.as_millis()), Some(ms), "{fields:?}");
        }
    }

    #[test]
    fn a_date_is_read_in_its_three_forms() {
        for date in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            let by = |now_s| asked_by(&[("retry-after", date)], now_s).map(|asked| asked.as_secs());
            assert_eq!((by(THEN_S - 90), by(THEN_S), by(THEN_S + 5)), (Some(90), Some(0), Some(0)), "{date}");
            assert_eq!(by(0), Some(24 * 3600), "{date}");
        }
    }

    #[test]
    fn what_is_neither_asks_for_nothing() {
        for value in ["", "-1", "+1", "1e3", "inf", "NaN", "1.2.3", ".", "soon", "Sun, 06 Nov 1994", "é"] {
            assert_eq!(asked_by(&[("retry-after", value)], 0), None, "{value}");
        }
        assert_eq!(asked_by(&[], 0), None);
        assert_eq!(asked(|_| Some(b"\xff".as_slice()), 0), None);
    }
}
