//! When each grant's token is fetched, and what cores are told of it. Pure: it reads no clock, draws no number and fetches
//! nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::snapshot::{Grant, Provider, Snapshot};
use crate::net::tokens::{Fetched, Lack, REFETCH_INTERVAL, Token, Told};

/// Fetches that run at a time.
pub(super) const FETCHES_MAX: usize = 16;
/// After which share of its life a token is renewed: drawn, so that nodes that began together do not ask together.
const RENEWED_AFTER: std::ops::Range<f64> = 0.70..0.85;
/// How long before its end a renewal begins at the latest: a fetch's whole time, and then some.
const RENEWED_BEFORE_END: Duration = Duration::from_secs(30);
/// Wait after a failed fetch, doubled after each further one.
const BACKOFF_INITIAL: Duration = Duration::from_secs(1);
/// Longest of these.
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Longest time that an endpoint may ask to be left alone for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// What a fetch gave.
pub(crate) struct Given {
    /// The thing itself.
    pub(crate) proof: Fetched,
    /// From the fetch's beginning on.
    pub(crate) lifetime: Duration,
}

/// Why a fetch gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    /// For cores and operators.
    pub(crate) lack: Lack,
    /// How long the endpoint asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

/// A grant, and the names of the keys that have it, `provider/key`.
pub(crate) type Named = (Arc<Grant>, Vec<String>);

/// Of every key that may serve, each grant once.
pub(crate) fn grants(snapshot: &Snapshot) -> Vec<Named> {
    let mut all: Vec<Named> = Vec::new();
    let keys = |provider: &'_ Provider| {
        let usable = provider.keys.iter().filter(|key| key.is_usable());
        let named = usable
            .filter_map(|key| Some((Arc::clone(key.grant()?), format!("{}/{}", provider.name, key.name))));
        named.collect::<Vec<_>>()
    };
    for (grant, name) in snapshot.providers.iter().flat_map(keys) {
        match all.iter_mut().find(|(other, _)| *other == grant) {
            Some((_, names)) => names.push(name),
            None => all.push((grant, vec![name])),
        }
    }
    all
}

struct Record {
    grant: Arc<Grant>,
    /// The keys'.
    names: Vec<String>,
    /// The newest.
    token: Option<Token>,
    lack: Option<Lack>,
    /// Tokens so far.
    number: u64,
    /// Fetches that failed in a row.
    failures: u32,
    /// When the next fetch is due.
    due: Instant,
    /// When the one under way began.
    running_since: Option<Instant>,
    /// When a provider's refusal last made a fetch due.
    refetched_at: Option<Instant>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Schedule {
    records: Vec<Record>,
}

impl Schedule {
    /// From now on these; a grant that is as before keeps its token, of which cores are told again under the new config's
    /// address.
    pub(super) fn adopt(&mut self, grants: Vec<Named>, now: Instant) -> Vec<Told> {
        let mut before = std::mem::take(&mut self.records);
        for (grant, names) in grants {
            let at = before.iter().position(|record| record.grant == grant);
            let record = match at.map(|at| before.swap_remove(at)) {
                Some(record) => Record { grant, names, ..record },
                None => Record {
                    grant,
                    names,
                    token: None,
                    lack: None,
                    number: 0,
                    failures: 0,
                    due: now,
                    running_since: None,
                    refetched_at: None,
                },
            };
            self.records.push(record);
        }
        self.records.iter().filter_map(Record::told).collect()
    }

    /// The grants whose fetches begin now.
    pub(super) fn begin(&mut self, now: Instant) -> Vec<Arc<Grant>> {
        let running = self.records.iter().filter(|record| record.running_since.is_some()).count();
        let due = |record: &&mut Record| record.running_since.is_none() && record.due <= now;
        let begun = self.records.iter_mut().filter(due).take(FETCHES_MAX.saturating_sub(running));
        let begun = begun.map(|record| {
            record.running_since = Some(now);
            Arc::clone(&record.grant)
        });
        begun.collect()
    }

    /// When the next fetch is due; `None`: none is, or as many run as may.
    pub(super) fn next(&self) -> Option<Instant> {
        let running = self.records.iter().filter(|record| record.running_since.is_some()).count();
        let waiting = self.records.iter().filter(|record| record.running_since.is_none());
        waiting.map(|record| record.due).min().filter(|_| running < FETCHES_MAX)
    }

    /// A fetch has ended; `chance` is in [0, 1). Gives what cores are told, and whether the keys' state is another than
    /// before; `None`: no key has the grant any more.
    pub(super) fn end(
        &mut self,
        grant: &Arc<Grant>,
        outcome: Result<Given, Failed>,
        now: Instant,
        chance: f64,
    ) -> Option<(Told, Change)> {
        let record = self.records.iter_mut().find(|record| record.grant == *grant)?;
        let began = record.running_since.take().unwrap_or(now);
        let change = match outcome {
            Ok(given) => record.take(given, began, chance),
            Err(failed) => record.fail(failed, now, chance),
        };
        record.told().map(|told| (told, change))
    }

    /// A provider refused a token: it is fetched anew, once in [`REFETCH_INTERVAL`]. Gives what cores are told where no fetch
    /// follows: what there is.
    pub(super) fn refused(&mut self, grant: &Arc<Grant>, number: u64, now: Instant) -> Option<Told> {
        let record = self.records.iter_mut().find(|record| record.grant == *grant)?;
        if record.running_since.is_some() {
            return None;
        }
        let is_new = record.number > number;
        let is_recent =
            record.refetched_at.is_some_and(|at| now.saturating_duration_since(at) < REFETCH_INTERVAL);
        if is_new || is_recent {
            return record.told();
        }
        (record.refetched_at, record.due) = (Some(now), now);
        None
    }

    /// The keys that have no token now, each with the reason.
    pub(super) fn lacking(&self, now: Instant) -> Vec<String> {
        let is_without = |record: &&Record| record.token.as_ref().is_none_or(|token| token.until <= now);
        let lines = self.records.iter().filter(is_without).flat_map(|record| {
            let reason = record.lack.as_ref().map_or("it is being fetched", |lack| lack.reason.as_str());
            let what = record.grant.what();
            record.names.iter().map(move |name| format!("{name}: no {what}: {reason}"))
        });
        lines.collect()
    }

    /// The keys of a grant, for a line of the log.
    pub(super) fn names(&self, grant: &Arc<Grant>) -> String {
        let record = self.records.iter().find(|record| record.grant == *grant);
        record.map(|record| record.names.join(", ")).unwrap_or_default()
    }
}

/// What the end of a fetch changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// As before, or the first token.
    Nothing,
    /// It failed, by another reason than before or for the first time.
    Failed,
    /// The first token after failures.
    Recovered,
}

impl Record {
    fn take(&mut self, Given { proof, lifetime }: Given, began: Instant, chance: f64) -> Change {
        let change = if self.failures > 0 { Change::Recovered } else { Change::Nothing };
        self.number += 1;
        self.token = Some(Token { number: self.number, proof, until: began + lifetime });
        (self.lack, self.failures) = (None, 0);
        self.due = began + renewal(lifetime, chance);
        change
    }

    fn fail(&mut self, Failed { lack, retry_after }: Failed, now: Instant, chance: f64) -> Change {
        let is_new = self.lack.as_ref() != Some(&lack);
        self.lack = Some(lack);
        let doubled = BACKOFF_INITIAL.saturating_mul(1 << self.failures.min(16)).min(BACKOFF_MAX);
        self.failures = self.failures.saturating_add(1);
        let jittered = doubled.mul_f64(0.8 + 0.2 * chance);
        self.due = now + jittered.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX));
        if is_new { Change::Failed } else { Change::Nothing }
    }

    /// `None`: nothing is known yet. A failed renewal is told of beside a token that still holds, which cores keep.
    fn told(&self) -> Option<Told> {
        let grant = Arc::clone(&self.grant);
        let outcome = match (&self.lack, &self.token) {
            (Some(lack), _) => Err(lack.clone()),
            (None, Some(token)) => Ok(token.clone()),
            (None, None) => return None,
        };
        Some(Told { grant, outcome })
    }
}

/// How long after its beginning a token is renewed.
fn renewal(lifetime: Duration, chance: f64) -> Duration {
    let share = RENEWED_AFTER.start + chance * (RENEWED_AFTER.end - RENEWED_AFTER.start);
    let drawn = lifetime.mul_f64(share);
    match lifetime.checked_sub(RENEWED_BEFORE_END * 2) {
        // One that hardly lives is not asked for without a pause.
        None => drawn.max(BACKOFF_INITIAL),
        Some(_) => drawn.min(lifetime - RENEWED_BEFORE_END),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::snapshot::{EntraClient, Origin, Place, Proof, Secret};
    use crate::error::Kind;

    fn grant(client_id: &str) -> Arc<Grant> {
        let origin = Origin { tls: false, host: "h".to_owned(), port: 1, transport: Arc::default() };
        let (client_id, scope) = (client_id.to_owned(), "s".to_owned());
        let client = EntraClient { client_id, client_secret: Secret::new("x"), scope };
        let place = Place { origin, authority: "h:1".to_owned(), base_path: "/t".to_owned() };
        Arc::new(Grant { place, proof: Proof::Client(Box::new(client)) })
    }

    fn given(lifetime_s: u64) -> Result<Given, Failed> {
        let proof = Fetched::Bearer(Secret::new("t"));
        Ok(Given { proof, lifetime: Duration::from_secs(lifetime_s) })
    }

    fn failed(reason: &str, retry_after_s: Option<u64>) -> Result<Given, Failed> {
        let lack = Lack { kind: Kind::TokenUnavailable, reason: reason.to_owned() };
        Err(Failed { lack, retry_after: retry_after_s.map(Duration::from_secs) })
    }

    fn schedule(names: &[&str], now: Instant) -> Schedule {
        let mut schedule = Schedule::default();
        let grants = names.iter().map(|name| (grant(name), vec![format!("azure/{name}")])).collect();
        assert!(schedule.adopt(grants, now).is_empty());
        schedule
    }

    fn after_s(now: Instant, at: Option<Instant>) -> f64 {
        at.map_or(f64::NAN, |at| at.saturating_duration_since(now).as_secs_f64())
    }

    #[test]
    fn a_token_is_renewed_well_before_its_end() {
        let now = Instant::now();
        for (lifetime_s, chance, due_s) in [
            (3600, 0.0, 2520.0),
            (3600, 0.999_999, 3060.0),
            (120, 0.999_999, 90.0),
            (50, 0.0, 35.0),
            (1, 0.0, 1.0),
        ] {
            let mut schedule = schedule(&["a"], now);
            assert_eq!(schedule.begin(now).len(), 1);
            assert_eq!((schedule.begin(now).len(), schedule.next()), (0, None), "one at a time");
            let later = now + Duration::from_secs(3);
            let (told, change) = schedule.end(&grant("a"), given(lifetime_s), later, chance).unwrap();
            let Ok(token) = told.outcome else { panic!("a token") };
            assert_eq!((token.number, change), (1, Change::Nothing));
            assert_eq!(token.until, now + Duration::from_secs(lifetime_s), "from the fetch's beginning");
            assert!((after_s(now, schedule.next()) - due_s).abs() < 0.01, "{lifetime_s}");
        }
    }

    #[test]
    fn failures_are_repeated_with_growing_pauses() {
        let now = Instant::now();
        let mut schedule = schedule(&["a"], now);
        for (retry_after_s, due_s, change) in [
            (None, 0.8, Change::Failed),
            (None, 1.6, Change::Nothing),
            (Some(200), 200.0, Change::Nothing),
            (Some(9_999), 300.0, Change::Nothing),
            (None, 12.8, Change::Nothing),
            (None, 25.6, Change::Nothing),
            (None, 48.0, Change::Nothing),
            (None, 48.0, Change::Nothing),
        ] {
            let (told, changed) = schedule.end(&grant("a"), failed("no", retry_after_s), now, 0.0).unwrap();
            assert_eq!((changed, told.outcome.err().unwrap().reason), (change, "no".to_owned()));
            assert!((after_s(now, schedule.next()) - due_s).abs() < 0.01, "{due_s}");
        }
        assert_eq!(schedule.lacking(now), ["azure/a: no token of Entra ID: no"]);
        assert_eq!(schedule.end(&grant("a"), failed("other", None), now, 0.0).unwrap().1, Change::Failed);
        assert_eq!(schedule.end(&grant("a"), given(60), now, 0.0).unwrap().1, Change::Recovered);
        assert!(schedule.lacking(now).is_empty());
        assert_eq!(schedule.lacking(now + Duration::from_secs(60)).len(), 1);
    }

    #[test]
    fn only_so_many_run_at_a_time() {
        let now = Instant::now();
        let names: Vec<String> = (0..FETCHES_MAX + 3).map(|number| number.to_string()).collect();
        let mut schedule = schedule(&names.iter().map(String::as_str).collect::<Vec<_>>(), now);
        assert_eq!((schedule.begin(now).len(), schedule.begin(now).len()), (FETCHES_MAX, 0));
        schedule.end(&grant("0"), given(60), now, 0.0);
        assert_eq!(schedule.next(), Some(now));
        assert_eq!(schedule.begin(now).len(), 1);
    }

    #[test]
    fn a_refused_token_is_fetched_anew_once_in_a_while() {
        let now = Instant::now();
        let mut schedule = schedule(&["a"], now);
        schedule.begin(now);
        schedule.end(&grant("a"), given(3600), now, 0.0);
        assert!(schedule.refused(&grant("a"), 1, now).is_none());
        assert_eq!(schedule.begin(now).len(), 1);
        assert!(schedule.refused(&grant("a"), 1, now).is_none(), "it is on its way");
        schedule.end(&grant("a"), given(3600), now, 0.0);
        let again = |schedule: &mut Schedule, number, at| schedule.refused(&grant("a"), number, at).is_some();
        assert!(again(&mut schedule, 1, now), "another core's, which is told of the new one");
        assert!(again(&mut schedule, 2, now + Duration::from_secs(29)), "told of the same");
        assert!(!again(&mut schedule, 2, now + REFETCH_INTERVAL));
        assert!(schedule.refused(&grant("gone"), 1, now).is_none());
    }

    #[test]
    fn a_grant_that_stays_keeps_its_token() {
        let now = Instant::now();
        let mut schedule = schedule(&["a", "b"], now);
        schedule.begin(now);
        schedule.end(&grant("a"), given(3600), now, 0.0);
        let named = |name: &str| (grant(name), vec![format!("azure/{name}")]);
        let told = schedule.adopt(vec![named("c"), named("a")], now);
        assert_eq!(told.len(), 1);
        assert!(told.iter().all(|told| told.outcome.as_ref().is_ok_and(|token| token.number == 1)));
        assert_eq!(schedule.begin(now).len(), 1, "the new one");
        assert!(schedule.end(&grant("b"), given(3600), now, 0.0).is_none(), "nobody has it");
    }
}
