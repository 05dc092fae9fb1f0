//! The column `attempt_trail`: a request's attempts as JSON, one object each, bounded. Written on the log plane; what the
//! attempts were is the record's.

use std::fmt::Write as _;

use super::record::{Attempted, Outcome, Record};

/// Longest text, bytes; attempts that do not fit are counted in a last object, `{"left_out":9}`.
const TRAIL_BYTES_MAX: usize = 32 * 1024;
/// Kept free for that object.
const LEFT_OUT_BYTES: usize = 32;

/// `[{"leg":0,"provider":"openai","key":"first","status":429,"wait_ms":0,"took_ms":12.3}]`; in place of `status` stands
/// `error`, the fault's code, when there was no status that counts. `queued_ms` follows where a place with the provider was waited
/// for: a part of `took_ms`. `None`: no attempt was made.
pub(super) fn json(record: &Record) -> Option<String> {
    if record.trail.is_empty() {
        return None;
    }
    let mut out = String::with_capacity(128 * record.trail.len().min(8));
    for (index, attempted) in record.trail.iter().enumerate() {
        let before = out.len();
        out.push(if index == 0 { '[' } else { ',' });
        push(&mut out, record, attempted);
        if out.len() > TRAIL_BYTES_MAX - LEFT_OUT_BYTES {
            out.truncate(before);
            out.push(if index == 0 { '[' } else { ',' });
            let _ = write!(out, "{{\"left_out\":{}}}", record.trail.len() - index); // writing to a String can't fail
            break;
        }
    }
    out.push(']');
    Some(out)
}

/// Attempts that were not the first of their leg; a leg may be returned to.
pub(super) fn retries(trail: &[Attempted]) -> u64 {
    let is_retry =
        |(at, tried): &(usize, &Attempted)| trail.iter().take(*at).any(|before| before.leg == tried.leg);
    trail.iter().enumerate().filter(is_retry).count() as u64
}

fn push(out: &mut String, record: &Record, attempted: &Attempted) {
    let (provider, key) = match attempted.by.as_deref() {
        Some((provider, key)) => (provider, key),
        None => (&record.provider, &record.selected_key_name),
    };
    // Writing to a String does not fail.
    let _ = write!(out, "{{\"leg\":{},\"provider\":{}", attempted.leg, quoted(provider));
    if !key.is_empty() {
        let _ = write!(out, ",\"key\":{}", quoted(key));
    }
    let _ = match attempted.outcome {
        Outcome::Status(status) => write!(out, ",\"status\":{status}"),
        Outcome::Fault(code) => write!(out, ",\"error\":\"{code}\""),
        Outcome::CutOff => write!(out, ",\"error\":\"cut_off\""),
    };
    let _ = write!(out, ",\"wait_ms\":{},\"took_ms\":{}", ms(attempted.wait_us), ms(attempted.took_us));
    if attempted.queued_us > 0 {
        let _ = write!(out, ",\"queued_ms\":{}", ms(attempted.queued_us));
    }
    out.push('}');
}

/// A string of JSON; NUL, which PostgreSQL takes in no text, is escaped by it.
fn quoted(name: &str) -> String {
    serde_json::to_string(name).unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53 µs, 285 years")]
fn ms(us: u64) -> f64 {
    us as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::telemetry::record::TRAIL_MAX;
    use crate::telemetry::record::tests::record;

    fn attempted(leg: u16, outcome: Outcome) -> Attempted {
        Attempted { leg, by: None, outcome, wait_us: 0, took_us: 1, queued_us: 0 }
    }

    fn parsed(record: &Record) -> Value {
        serde_json::from_str(&json(record).expect("a trail")).expect("JSON")
    }

    #[test]
    fn each_attempt_is_an_object() {
        let mut record = record();
        let by = Some(Box::new(("an\"thropic".to_owned(), String::new())));
        record.trail = vec![
            Attempted { wait_us: 0, took_us: 12_345, ..attempted(0, Outcome::Status(429)) },
            Attempted { wait_us: 1_500, queued_us: 1, ..attempted(0, Outcome::Fault("request_timed_out")) },
            Attempted { by, ..attempted(1, Outcome::CutOff) },
        ];
        assert_eq!(
            parsed(&record),
            json!([
                {"leg": 0, "provider": "openai", "key": "first", "status": 429, "wait_ms": 0, "took_ms": 12.345},
                {"leg": 0, "provider": "openai", "key": "first", "error": "request_timed_out", "wait_ms": 1.5, "took_ms": 0.001, "queued_ms": 0.001},
                {"leg": 1, "provider": "an\"thropic", "error": "cut_off", "wait_ms": 0, "took_ms": 0.001},
            ])
        );
        assert_eq!(retries(&record.trail), 1);
        record.trail.clear();
        assert_eq!((json(&record), retries(&record.trail)), (None, 0));
    }

    #[test]
    fn a_long_trail_is_cut_between_attempts_and_counted() {
        let mut record = record();
        let by = Some(Box::new(("\u{1}".repeat(256), "k".to_owned())));
        record.trail = vec![Attempted { by, ..attempted(0, Outcome::Status(503)) }; TRAIL_MAX];
        let text = json(&record).expect("a trail");
        assert!(text.len() <= TRAIL_BYTES_MAX, "{}", text.len());
        let parsed = parsed(&record);
        let all = parsed.as_array().expect("a list");
        let left_out = all.last().and_then(|last| last["left_out"].as_u64()).expect("a count");
        assert_eq!(all.len() as u64 - 1 + left_out, TRAIL_MAX as u64);
        record.trail.truncate(TRAIL_MAX);
        record.trail.iter_mut().for_each(|attempted| attempted.by = None);
        assert!(
            json(&record).is_some_and(|text| text.len() <= TRAIL_BYTES_MAX && !text.contains("left_out"))
        );
    }
}
