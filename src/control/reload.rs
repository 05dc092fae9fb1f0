//! When a node's config is read again, and what became of it: one attempt at a time, in the order of the wishes, each wish
//! answered. A wish that comes while an attempt runs is for the next one, since the running one may be past the file that
//! changed. How an attempt goes is `attempt`'s.

use std::collections::{BTreeSet, VecDeque};
use std::future::pending;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::attempt::{Aim, Current, Ended, Ground, Hands, attempt, key_names, late_cores};
use super::command::{COMMANDS_MAX, ConfigStatus, Refused, ReloadFailure, Reloaded};
use super::source::Seen;
use super::watch::{Bell, watch};
use crate::config::{Loaded, key_states, nearest};
use crate::telemetry::metrics::ConfigGauges;

/// Where an answer goes.
pub(super) type Reply = oneshot::Sender<Result<Reloaded, Refused>>;

/// See the module.
pub(super) struct Reloads {
    ground: Arc<Ground>,
    current: Current,
    /// What was last seen of the files, applied or refused.
    seen: Seen,
    /// Between two attempts.
    hands: Option<Hands>,
    running: Option<Running>,
    /// In order; at most [`COMMANDS_MAX`].
    waiting: VecDeque<Wish>,
    /// `None`: nothing is watched.
    bell: Option<Bell>,
    gauges: Arc<ConfigGauges>,
    last_failure: Option<ReloadFailure>,
}

/// An attempt under way.
struct Running {
    wish: Wish,
    attempt: JoinHandle<(Ended, Hands)>,
}

/// What somebody wants.
enum Wish {
    /// To run what the files say.
    Reload { because: &'static str, replies: Vec<Reply> },
    /// The same, if they changed.
    Look,
    /// A key out of service, or back in.
    Key { name: String, is_enabled: bool, reply: Reply },
}

impl Reloads {
    /// Of a node that runs `current`.
    pub(super) fn new(ground: Ground, current: Current, is_watched: bool) -> Self {
        let (watch, bell) = is_watched.then(watch).unzip();
        let gauges = Arc::new(gauges(&current, &ConfigGauges::default()));
        let hands = Hands::new(watch);
        let seen = current.seen.clone();
        let mut reloads = Self {
            ground: Arc::new(ground),
            current,
            seen,
            hands: Some(hands),
            running: None,
            waiting: VecDeque::new(),
            bell,
            gauges,
            last_failure: None,
        };
        if is_watched {
            reloads.wish(Wish::Look); // begins the watch, and sees what changed since it was read
        }
        reloads
    }

    /// Wishes that the files be read and applied. Does not wait.
    pub(super) fn reload(&mut self, because: &'static str, reply: Option<Reply>) {
        for wish in &mut self.waiting {
            if let Wish::Reload { replies, .. } = wish
                && replies.len() < COMMANDS_MAX
            {
                replies.extend(reply);
                return;
            }
        }
        self.wish(Wish::Reload { because, replies: reply.into_iter().collect() });
    }

    /// The node drains: files are looked at no more. What is under way goes on.
    pub(super) fn rest(&mut self) {
        self.bell = None;
        self.waiting.retain(|wish| !wish.is_look());
    }

    /// Wishes a key out of service, or back in.
    pub(super) fn key(&mut self, name: String, is_enabled: bool, reply: Reply) {
        self.wish(Wish::Key { name, is_enabled, reply });
    }

    /// Goes one step on; waits for ever where there is none. Does nothing when dropped.
    pub(super) async fn work(&mut self) {
        tokio::select! {
            ended = ended(&mut self.running) => self.take(ended),
            () = rung(&mut self.bell) => self.wish(Wish::Look),
        }
    }

    /// For `/metrics`.
    pub(super) fn gauges(&self) -> Arc<ConfigGauges> {
        Arc::clone(&self.gauges)
    }

    /// The config that serves.
    pub(super) fn serving(&self) -> Arc<Loaded> {
        Arc::clone(&self.current.serving)
    }

    /// For an operator; the old snapshots are the cores' to say.
    pub(super) fn status(&self) -> ConfigStatus {
        let Current { serving, loaded_at, disabled, .. } = &self.current;
        ConfigStatus {
            path: self.ground.source.config.display().to_string(),
            generation: serving.snapshot.generation,
            digest: serving.snapshot.digest.clone(),
            secrets_digest: serving.secrets_digest.clone(),
            loaded_at: format!("{loaded_at:.3}"),
            watched: self.bell.is_some(),
            reloads: self.gauges.reloads,
            reload_failures: self.gauges.reload_failures,
            last_failure: self.last_failure.clone(),
            old_snapshots: 0,
            unusable_keys: serving.unusable_keys.iter().map(ToString::to_string).collect(),
            lacking_keys: Vec::new(), // by who fetches tokens
            disabled_keys: disabled.iter().cloned().collect(),
        }
    }

    fn wish(&mut self, wish: Wish) {
        let looks = |waiting: &Wish| matches!(waiting, Wish::Look | Wish::Reload { .. });
        if wish.is_look() && self.waiting.iter().any(looks) {
            return;
        }
        if self.waiting.len() >= COMMANDS_MAX {
            return refuse(wish, "too much is waiting to be done with the config; try again");
        }
        self.waiting.push_back(wish);
        self.begin();
    }

    /// The next wish, unless one is under way.
    fn begin(&mut self) {
        while self.running.is_none() {
            let Some(wish) = self.waiting.pop_front() else { return };
            let aim = match &wish {
                Wish::Reload { because, .. } => {
                    tracing::info!("{because}: reading the config again");
                    Aim::Reload
                }
                Wish::Look => Aim::Look(self.seen.clone()),
                Wish::Key { name, is_enabled, .. } => match self.switched(name, *is_enabled) {
                    Ok(Some(disabled)) => Aim::Keys(disabled),
                    Ok(None) => {
                        answer(wish, &Ok(self.as_it_is()));
                        continue;
                    }
                    Err(fault) => {
                        refuse(wish, &fault);
                        continue;
                    }
                },
            };
            let Some(hands) = self.hands.take() else { return };
            let attempt = attempt(Arc::clone(&self.ground), self.current.clone(), aim, hands);
            self.running = Some(Running { wish, attempt: tokio::spawn(attempt) });
        }
    }

    /// The keys out of service with this one so; `None`: it is. Errors: a sentence.
    fn switched(&self, name: &str, is_enabled: bool) -> Result<Option<BTreeSet<String>>, String> {
        let snapshot = &self.current.file.snapshot;
        let keys = || snapshot.providers.iter().flat_map(|provider| &provider.keys);
        let Some(key) = keys().find(|key| key.name == name) else {
            return Err(unknown(name, key_names(snapshot)));
        };
        let mut disabled = self.current.disabled.clone();
        let is_change = if is_enabled { disabled.remove(name) } else { disabled.insert(name.to_owned()) };
        match is_enabled && !key.enabled && !is_change {
            true => Err(format!(
                "the key \"{name}\" has \"enabled\": false in the config; change it there, and reload"
            )),
            false => Ok(is_change.then_some(disabled)),
        }
    }

    fn as_it_is(&self) -> Reloaded {
        let snapshot = &self.current.serving.snapshot;
        Reloaded { generation: snapshot.generation, digest: snapshot.digest.clone(), ..Reloaded::default() }
    }

    fn take(&mut self, (wish, ended): (Wish, Option<(Ended, Hands)>)) {
        self.running = None;
        let (ended, hands) = ended.unwrap_or_else(lost);
        self.hands = Some(hands);
        let result = match ended {
            Ended::Nothing => Ok(self.as_it_is()),
            Ended::Applied { current, reloaded, late } => {
                self.applied(&wish, current, &reloaded);
                self.everywhere(reloaded, &late)
            }
            Ended::Unchanged { current, reloaded, late } => {
                self.unchanged(&wish, current, &reloaded);
                self.everywhere(reloaded, &late)
            }
            // Files that cannot even be looked at: said once.
            Ended::Refused { faults, seen: None } if wish.is_look() && self.has_said(&faults) => {
                Ok(self.as_it_is())
            }
            Ended::Refused { faults, seen } => {
                self.seen = seen.unwrap_or_else(|| self.seen.clone());
                Err(self.refused(faults))
            }
            // A look comes again by itself; nothing is wrong yet.
            Ended::Unsteady(fault) if wish.is_look() => {
                tracing::info!("{fault}");
                Ok(self.as_it_is())
            }
            Ended::Unsteady(fault) => Err(self.refused(vec![fault])),
        };
        answer(wish, &result);
        self.begin();
    }

    fn applied(&mut self, wish: &Wish, current: Current, reloaded: &Reloaded) {
        self.seen = current.seen.clone();
        self.current = current;
        self.last_failure = None;
        let counted = ConfigGauges { reloads: self.gauges.reloads + 1, ..ConfigGauges::clone(&self.gauges) };
        self.gauges = Arc::new(gauges(&self.current, &counted));
        if self.bell.is_some() {
            self.wish(Wish::Look); // a file that is new in it may have changed before it was watched
        }
        reloaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        tracing::info!(
            because = wish.because(),
            generation = reloaded.generation,
            digest = reloaded.digest,
            changes = said(&reloaded.changes),
            "the config is applied"
        );
    }

    /// The answer to a wish that was handed to the cores, of which some may be late.
    fn everywhere(&mut self, reloaded: Reloaded, late: &[usize]) -> Result<Reloaded, Refused> {
        match late.is_empty() {
            true => Ok(reloaded),
            false => Err(Refused { is_handed_over: true, ..self.failed(vec![late_cores(late)], LATE) }),
        }
    }

    fn unchanged(&mut self, wish: &Wish, current: Current, reloaded: &Reloaded) {
        self.seen = current.seen.clone();
        self.current = current;
        // What stands in the files now is what runs.
        self.last_failure = None;
        let (because, changes) = (wish.because(), said(&reloaded.changes));
        match reloaded.changes.is_empty() {
            true => tracing::info!(because, "the config is what runs already; nothing changed"),
            false => tracing::info!(because, "{changes}"),
        }
    }

    fn has_said(&self, faults: &[String]) -> bool {
        self.last_failure.as_ref().is_some_and(|failure| failure.faults == faults)
    }

    fn refused(&mut self, faults: Vec<String>) -> Refused {
        self.failed(faults, "the config is refused; the one before serves on")
    }

    fn failed(&mut self, faults: Vec<String>, what: &str) -> Refused {
        let failures = self.gauges.reload_failures + 1;
        self.gauges =
            Arc::new(ConfigGauges { reload_failures: failures, ..ConfigGauges::clone(&self.gauges) });
        for fault in &faults {
            tracing::error!(fault, "{what}");
        }
        self.last_failure =
            Some(ReloadFailure { at: format!("{:.3}", Timestamp::now()), faults: faults.clone() });
        Refused { faults, is_handed_over: false }
    }
}

const LATE: &str = "the config is applied, but not yet on every core";

/// Changes that are said in one line of the log; all of them are in the answer.
const CHANGES_SAID_MAX: usize = 20;

fn said(changes: &[String]) -> String {
    let mut said: Vec<&str> = changes.iter().take(CHANGES_SAID_MAX).map(String::as_str).collect();
    let more = changes.len().saturating_sub(CHANGES_SAID_MAX);
    let more = format!("and {more} more");
    if changes.len() > CHANGES_SAID_MAX {
        said.push(&more);
    }
    said.join("; ")
}

impl Wish {
    fn is_look(&self) -> bool {
        matches!(self, Self::Look)
    }

    fn because(&self) -> &'static str {
        match self {
            Self::Reload { because, .. } => because,
            Self::Look => "the files changed",
            Self::Key { .. } => "an operator's key switch",
        }
    }
}

/// Whoever asked may have gone.
fn answer(wish: Wish, result: &Result<Reloaded, Refused>) {
    let replies = match wish {
        Wish::Reload { replies, .. } => replies,
        Wish::Key { reply, .. } => vec![reply],
        Wish::Look => Vec::new(),
    };
    for reply in replies {
        let _ = reply.send(result.clone());
    }
}

fn refuse(wish: Wish, fault: &str) {
    answer(wish, &Err(Refused { faults: vec![fault.to_owned()], is_handed_over: false }));
}

/// An attempt that panicked. Its watch is gone; files are polled.
fn lost() -> (Ended, Hands) {
    let fault = "corelane met a fault of its own while it reloaded".to_owned();
    let hands = Hands::new(None);
    (Ended::Refused { faults: vec![fault], seen: None }, hands)
}

async fn ended(running: &mut Option<Running>) -> (Wish, Option<(Ended, Hands)>) {
    let Some(under_way) = running else { return pending().await };
    let ended = (&mut under_way.attempt).await.ok();
    match running.take() {
        Some(Running { wish, .. }) => (wish, ended),
        None => pending().await,
    }
}

async fn rung(bell: &mut Option<Bell>) {
    match bell {
        Some(bell) => bell.rung().await,
        None => pending().await,
    }
}

/// Names that are listed to whoever misspelt one.
const NAMES_SAID_MAX: usize = 20;

fn unknown<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    let known: Vec<&str> = known.collect();
    let hint = match nearest(name, known.iter().copied()) {
        Some(near) => format!("; did you mean \"{near}\"?"),
        None => ".".to_owned(),
    };
    let more = if known.len() > NAMES_SAID_MAX { ", …" } else { "" };
    let listed: Vec<&str> = known.iter().copied().take(NAMES_SAID_MAX).collect();
    format!("the config has no key \"{name}\"{hint} It has: {}{more}", listed.join(", "))
}

/// What the cores run, under the counts so far.
fn gauges(current: &Current, counted: &ConfigGauges) -> ConfigGauges {
    let snapshot = &current.serving.snapshot;
    ConfigGauges {
        generation: snapshot.generation,
        digest: snapshot.digest.clone(),
        loaded_at_s: u64::try_from(current.loaded_at.as_second()).unwrap_or_default(),
        reloads: counted.reloads,
        reload_failures: counted.reload_failures,
        keys: key_states(snapshot),
        unusable_keys: current.serving.unusable_keys.len() as u64,
    }
}
