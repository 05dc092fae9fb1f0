//! Which way a request goes: its first attempt, and after each that failed, the next. Pure: the snapshot, the request's
//! features, this core's health view, the time, and a seed made of the request's id decide, so that a decision can be
//! explained and replayed. It sends nothing and waits for nothing.

use std::time::{Duration, Instant};

use super::draw;
use super::health::Health;
use super::target;
use crate::config::snapshot::{KeyId, ProviderId, Snapshot};
use crate::error::{Error, Kind};

/// What a request says that decides where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Features<'a> {
    /// The model, as the caller names it.
    pub model: &'a str,
    /// The vendor whose path is called; `None`: nobody's.
    pub home: Option<&'static str>,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// The one key that may serve the primary, and any fallback that has it.
    pub pin: Option<Pin<'a>>,
    /// A number made of the caller's session, or of the request's cached prefix: equal ones go to the same key.
    pub session: Option<u64>,
    /// The caller's own fallbacks in its order, each as it would name a model; `None`: the config's.
    pub fallbacks: Option<&'a [String]>,
    /// No attempt begins after it.
    pub deadline: Instant,
}

/// A key that the caller names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin<'a> {
    /// `x-bf-api-key`.
    Name(&'a str),
    /// `x-bf-api-key-id`.
    Id(&'a str),
}

/// One send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// From 1.
    pub number: u32,
    /// Place in the list of fallbacks, from 1; 0: the primary.
    pub leg: u16,
    /// To whom.
    pub provider: ProviderId,
    /// By which key; `None` for a provider without keys.
    pub key: Option<KeyId>,
    /// The model without the provider's prefix.
    pub model: &'a str,
    /// The model that the provider is asked for.
    pub wire_model: &'a str,
}

/// What failed of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What kind of failure it is.
    pub class: Class,
    /// How long the provider asks to be left alone.
    pub retry_after: Option<Duration>,
}

/// What a failure calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The same again after a while: unreachable, timed out, 500, 502, 503, 504, 529, an answer that cannot be used.
    Transient,
    /// Another key at once: 429.
    Limited,
    /// Another key at once, and not this one again for this request: 401, 402, 403.
    Refused,
    /// A fallback, and no retry: other statuses (404, 410), no place in the provider's queue, an address that must not be
    /// connected to.
    Elsewhere,
    /// The answer that the caller gets: its own fault (400, 413, 415, 422), or ours.
    Final,
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next<'a> {
    /// Whether the caller is answered with this failure if nothing better comes; it takes the place of one kept before.
    pub keep: bool,
    /// What is to be done.
    pub step: Step<'a>,
}

/// See [`Next::step`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Another attempt, after a wait.
    Attempt {
        /// Which.
        attempt: Attempt<'a>,
        /// How long to wait before it.
        after: Duration,
    },
    /// The caller is answered with the failure that was kept.
    GiveUp,
    /// Likewise, as [`Kind::ProviderCredentialsExhausted`]: every key of the primary was refused.
    CredentialsExhausted,
}

/// A request's way so far.
pub struct Plan<'a> {
    snapshot: &'a Snapshot,
    features: Features<'a>,
}

/// Plans a request. Errors: what the caller is answered when there is no first attempt to make.
pub fn plan<'a>(
    snapshot: &'a Snapshot,
    features: Features<'a>,
    _health: &dyn Health,
    _now: Instant,
    seed: u64,
) -> Result<(Plan<'a>, Attempt<'a>), Error> {
    let target = target::resolve(snapshot, features.model, features.home)?;
    let provider = snapshot
        .providers
        .get(usize::from(target.provider.0))
        .ok_or_else(|| Error::new(Kind::Internal, "the chosen provider has left the config"))?;
    target::permit(provider, features.stream)?;
    let draw = draw::draw(provider, target.model, fastrand::Rng::with_seed(seed).f64())?;
    let attempt = Attempt {
        number: 1,
        leg: 0,
        provider: target.provider,
        key: draw.key,
        model: target.model,
        wire_model: draw.wire_model,
    };
    Ok((Plan { snapshot, features }, attempt))
}

impl<'a> Plan<'a> {
    /// What follows the failure of the last attempt.
    pub fn next(&mut self, _failed: Failed, _health: &dyn Health, now: Instant) -> Next<'a> {
        let _ = (self.snapshot, self.features.deadline > now);
        Next { keep: true, step: Step::GiveUp }
    }
}

/// What a failure calls for, by its kind and status.
pub fn classify(error: &Error) -> Class {
    match error.kind {
        Kind::UpstreamUnreachable | Kind::UpstreamTimeout | Kind::UpstreamInvalidResponse => Class::Transient,
        Kind::UpstreamStatus => classify_status(error.status()),
        Kind::UpstreamAddressRefused | Kind::RequestDropped | Kind::QueueTimeout => Class::Elsewhere,
        _ => Class::Final,
    }
}

fn classify_status(status: u16) -> Class {
    match status {
        500 | 502 | 503 | 504 | 529 => Class::Transient,
        429 => Class::Limited,
        401..=403 => Class::Refused,
        400 | 413 | 415 | 422 => Class::Final,
        _ => Class::Elsewhere,
    }
}
