//! What a round came to: figures, and which of them must not be so.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::tally::Tally;
use super::{Outcome, Rest};

/// By how much resident memory may grow from the end of the warm-up to the end, KiB. The allocator keeps pages by its own
/// lights; a leak of 220 bytes a request shows in a round of two and a half minutes, which has 80,000 behind its warm-up.
const GROWTH_KIB_MAX: usize = 16 * 1024;

/// The same where the warm-up was under [`WARM_UP_MIN`]: it has not met the largest bodies at once, which are 20 MiB.
const GROWTH_SHORT_KIB_MAX: usize = 128 * 1024;

/// See [`GROWTH_SHORT_KIB_MAX`].
const WARM_UP_MIN: Duration = Duration::from_secs(20);

/// Threads that the control plane may keep for work like the last.
const THREADS_MORE_MAX: usize = 4;

/// Longest that a well-behaved caller may wait, seconds.
const SLOWEST_S_MAX: f64 = 10.0;

/// One round's figures.
pub struct Verdict {
    figures: Vec<Figure>,
    counts: BTreeMap<&'static str, u64>,
    anomalies: Vec<String>,
    faults_said: Vec<String>,
}

struct Figure {
    name: &'static str,
    value: String,
    is_well: bool,
}

impl Verdict {
    /// Of a round, and what its actors saw.
    pub fn new(outcome: &Outcome, tally: &Tally) -> Self {
        let Outcome { rests, warm_up, upstream_connections, exit_code, said } = outcome;
        let [before, warm, after, last] = rests;
        let (anomalies_count, anomalies) = tally.anomalies();
        let faults_said: Vec<String> =
            said.iter().filter(|line| line.contains("\"ERROR\"")).cloned().collect();
        let mut verdict = Self { figures: Vec::new(), counts: tally.counts(), anomalies, faults_said };
        let sum = |name: &str| last.metrics.sum(name);
        verdict.figure("anomalies", anomalies_count, anomalies_count == 0);
        let slowest_s = tally.slowest().as_secs_f64();
        verdict.figure(
            "slowest answer to a well-behaved caller",
            format!("{slowest_s:.3} s"),
            slowest_s < SLOWEST_S_MAX,
        );
        verdict.figure("requests, all routes", sum("http_requests_total"), true);
        verdict.figure("downstream connections", sum("corelane_connections_accepted_total"), true);
        verdict.figure("upstream connections", upstream_connections, true);
        for (name, rest) in [
            ("before", before),
            ("after the warm-up", warm),
            ("at the end", after),
            ("after clean requests", last),
        ] {
            verdict.rest(name, rest);
        }
        let (grown_from, grown_to) = (warm.usage.resident_kib, after.usage.resident_kib);
        let allowed = if *warm_up < WARM_UP_MIN { GROWTH_SHORT_KIB_MAX } else { GROWTH_KIB_MAX };
        let growth = format!("{} KiB, {allowed} allowed", grown_to as i64 - grown_from as i64);
        verdict.figure("growth of memory since the warm-up", growth, grown_to <= grown_from + allowed);
        verdict.figure(
            "threads",
            last.usage.threads,
            last.usage.threads <= before.usage.threads + THREADS_MORE_MAX,
        );
        let panics = sum("corelane_panics_total");
        verdict.figure("panics", panics, panics == 0.0 && !said.iter().any(|line| line.contains("panic")));
        verdict.log(last);
        verdict.figure("errors said", verdict.faults_said.len(), verdict.faults_said.is_empty());
        verdict.figure("exit code after TERM", format!("{exit_code:?}"), *exit_code == Some(0));
        verdict
    }

    fn figure(&mut self, name: &'static str, value: impl fmt::Display, is_well: bool) {
        self.figures.push(Figure { name, value: value.to_string(), is_well });
    }

    fn rest(&mut self, name: &'static str, rest: &Rest) {
        let settled = rest
            .settled_after
            .map_or("NOT at rest".to_owned(), |after| format!("at rest after {:.1} s", after.as_secs_f64()));
        let connections = rest.metrics.sum("corelane_connections");
        let value = format!(
            "{} descriptors, {} KiB, {} downstream and {} upstream connections, {} active, {settled}",
            rest.usage.descriptors,
            rest.usage.resident_kib,
            connections,
            rest.upstream,
            rest.metrics.sum("bifrost_active_requests"),
        );
        // What it waited for is what it must come to.
        self.figure(name, value, rest.settled_after.is_some());
    }

    /// Each chat request is one row.
    fn log(&mut self, last: &Rest) {
        let sum = |name: &str| last.metrics.sum(name);
        let (asked, written) =
            (sum("bifrost_upstream_requests_total"), sum("corelane_log_records_written_total"));
        let dropped = sum("corelane_log_records_dropped_total");
        self.figure("chat requests", asked, asked > 0.0);
        self.figure("log rows written", written, written == asked);
        self.figure("log rows dropped", dropped, dropped == 0.0);
    }

    /// Whether nothing is amiss.
    pub fn is_well(&self) -> bool {
        self.figures.iter().all(|figure| figure.is_well)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Figure { name, value, is_well } in &self.figures {
            writeln!(f, "  {} {name}: {value}", if *is_well { "ok  " } else { "FAIL" })?;
        }
        let counts: Vec<String> = self.counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
        writeln!(f, "  seen: {}", counts.join(" · "))?;
        for line in &self.faults_said {
            writeln!(f, "  the node said: {line}")?;
        }
        for line in &self.anomalies {
            writeln!(f, "  anomaly: {line}")?;
        }
        Ok(())
    }
}
