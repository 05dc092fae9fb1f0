//! What `providers.<name>` says of choosing among its keys, and of how much it bears: `balance`, `breaker`,
//! `concurrency_and_buffer_size`, `on_client_gone`. All but the third are ours. Retries are `network`'s, fallbacks
//! `fallbacks`'s; nothing is counted here.

use std::time::Duration;

use super::document::{At, Value};
use super::fault::Report;
use super::snapshot::{Balance, Breaker, Concurrency, OnClientGone};

/// Most `concurrency` and `buffer_size`.
pub(crate) const CONCURRENCY_MAX: u64 = u32::MAX as u64;
/// What a 0 of `concurrency` stands for: Bifrost's default.
const REQUESTS_DEFAULT: u32 = 1_000;
/// What a 0 of `buffer_size` stands for: Bifrost's default.
const WAITING_DEFAULT: u32 = 5_000;

/// Most `breaker.failures_in_a_row`.
pub(crate) const FAILURES_MAX: u64 = 1_000;
/// Most `breaker.requests_min`.
pub(crate) const REQUESTS_MIN_MAX: u64 = 100_000;
/// Longest `breaker.window_seconds`: what is older says little.
pub(crate) const WINDOW_SECONDS_MAX: u64 = 60;
/// Longest `breaker.open_seconds`.
pub(crate) const OPEN_SECONDS_MAX: u64 = 3_600;

/// The words of `balance`.
pub(crate) const BALANCES: &[&str] = &["weighted", "least_busy", "latency"];
/// The words of `on_client_gone`.
pub(crate) const CLIENT_GONE: &[&str] = &["cancel", "finish"];

/// One provider's, defaults filled in.
pub(crate) struct Pacing {
    /// See `snapshot::Provider`, like the others.
    pub(crate) balance: Balance,
    /// Likewise.
    pub(crate) breaker: Breaker,
    /// Likewise.
    pub(crate) concurrency: Option<Concurrency>,
    /// Likewise.
    pub(crate) on_client_gone: OnClientGone,
}

/// Reads them.
pub(crate) fn read(provider: &At<'_>, report: &mut Report<'_>) -> Pacing {
    let word = |name: &str| provider.member(name).and_then(|at| at.text()).unwrap_or_default();
    Pacing {
        balance: match word("balance") {
            "least_busy" => Balance::LeastBusy,
            "latency" => Balance::Latency,
            _ => Balance::Weighted,
        },
        breaker: provider.member("breaker").map(|at| breaker(&at, report)).unwrap_or_default(),
        concurrency: provider.member("concurrency_and_buffer_size").and_then(|at| concurrency(&at, report)),
        on_client_gone: if word("on_client_gone") == "finish" {
            OnClientGone::Finish
        } else {
            OnClientGone::Cancel
        },
    }
}

fn breaker(at: &At<'_>, report: &mut Report<'_>) -> Breaker {
    let default = Breaker::default();
    let integer = |name: &str| at.member(name).and_then(|at| at.integer());
    let count = |name: &str| integer(name).and_then(|count| u32::try_from(count).ok());
    let ratio = at.member("failure_ratio");
    if let Some(ratio) = ratio.as_ref().filter(|ratio| ratio.number() == Some(0.0)) {
        let message = "expected a number over 0, to 1: with 0 the breaker would open without a failure";
        report.fault(ratio.spot(), message);
    }
    Breaker {
        failures_in_a_row: count("failures_in_a_row").unwrap_or(default.failures_in_a_row),
        failure_ratio: ratio.and_then(|ratio| ratio.number()).unwrap_or(default.failure_ratio),
        requests_min: count("requests_min").unwrap_or(default.requests_min),
        window: integer("window_seconds").map_or(default.window, Duration::from_secs),
        open: integer("open_seconds").map_or(default.open, Duration::from_secs),
    }
}

/// `None`: no object, or not whole; reported.
fn concurrency(at: &At<'_>, report: &mut Report<'_>) -> Option<Concurrency> {
    if !matches!(at.node.value, Value::Object(_)) {
        return None;
    }
    let mut count = |name: &str, default: u32| {
        let Some(member) = at.member(name) else {
            let message = format!("no \"{name}\": \"concurrency\" and \"buffer_size\" go together");
            report.fault(at.name_spot(), message);
            return None;
        };
        let count = u32::try_from(member.integer()?).ok()?;
        Some(if count == 0 { default } else { count })
    };
    let (requests, waiting) = (count("concurrency", REQUESTS_DEFAULT), count("buffer_size", WAITING_DEFAULT));
    let (requests_max, waiting_max) = (requests?, waiting?);
    if requests_max > waiting_max {
        let message = format!(
            "concurrency ({requests_max}) may not be more than buffer_size ({waiting_max}), as Bifrost's API has it; 0 \
             stands for {REQUESTS_DEFAULT} and {WAITING_DEFAULT}"
        );
        report.fault(at.spot(), message);
    }
    Some(Concurrency { requests_max, waiting_max })
}

#[cfg(test)]
mod tests {
    use super::super::document::parse;
    use super::*;

    fn checked(json: &str) -> (Pacing, usize) {
        let mut report = Report::new("c", json.as_bytes());
        let node = parse(json, &mut report).expect("JSON");
        let pacing = read(&At::root(&node), &mut report);
        (pacing, report.faults_count())
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let (pacing, faults) = checked(r#"{"breaker": {"open_seconds": 3}}"#);
        assert_eq!(pacing.breaker, Breaker { open: Duration::from_secs(3), ..Breaker::default() });
        assert_eq!((pacing.balance, pacing.on_client_gone), (Balance::Weighted, OnClientGone::Cancel));
        assert_eq!((pacing.concurrency, faults), (None, 0));
    }

    #[test]
    fn places_and_queue_go_together() {
        let check = |json: &str| {
            let (pacing, faults) = checked(&format!("{{\"concurrency_and_buffer_size\": {json}}}"));
            (pacing.concurrency.map(|both| (both.requests_max, both.waiting_max)), faults)
        };
        assert_eq!(check(r#"{"concurrency": 3, "buffer_size": 3}"#), (Some((3, 3)), 0));
        assert_eq!(check(r#"{"concurrency": 0, "buffer_size": 0}"#), (Some((1_000, 5_000)), 0));
        assert_eq!(check(r#"{"concurrency": 4, "buffer_size": 3}"#).1, 1);
        assert_eq!(check(r#"{"concurrency": 0, "buffer_size": 999}"#).1, 1);
        assert_eq!(check(r#"{"concurrency": 4}"#), (None, 1));
        assert_eq!(check("{}"), (None, 2));
    }
}
