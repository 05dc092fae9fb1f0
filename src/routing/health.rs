//! What a plan asks of the health of keys and origins, as plain facts of one moment: the states of breakers and cooldowns,
//! and what balance goes by. It is one core's view; who keeps it, and what changes it, is not said here.

use std::time::Instant;

use crate::config::snapshot::{KeyId, ProviderId};

/// The health of a provider's key, its origin's counted in; asked for each candidate of a plan.
pub trait Health {
    /// Of `key`, or of the origin alone for a provider without keys.
    fn standing(&self, provider: ProviderId, key: Option<KeyId>, now: Instant) -> Standing;
}

/// What is known of a candidate at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Whether it should be chosen.
    pub state: State,
    /// Of its weight, what counts now: 1, or less while it starts slowly after its breaker has closed. Over 0.
    pub share: f64,
    /// Requests of this core that are under way by it.
    pub in_flight: u32,
    /// Peak-EWMA of the time to the first token, µs; 0: not known.
    pub latency_us: f64,
}

/// See [`Standing::state`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The breaker is closed, and there is no cooldown.
    Passing,
    /// The breaker was open for its time: this request may be its one probe.
    HalfOpen,
    /// Another request probes.
    Probing,
    /// The breaker is open.
    Open {
        /// When it half-opens.
        until: Instant,
    },
    /// The provider asked to be left alone, or refused the key.
    Cooling {
        /// When that ends.
        until: Instant,
    },
}

/// Nobody's health is known: all are good.
pub struct Untroubled;

impl Health for Untroubled {
    fn standing(&self, _: ProviderId, _: Option<KeyId>, _: Instant) -> Standing {
        Standing::GOOD
    }
}

impl Standing {
    /// Nothing speaks against it.
    pub const GOOD: Self = Self { state: State::Passing, share: 1.0, in_flight: 0, latency_us: 0.0 };

    /// Whether it may be chosen while others can serve.
    pub fn is_fit(&self) -> bool {
        matches!(self.state, State::Passing | State::HalfOpen)
    }
}
