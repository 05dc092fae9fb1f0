//! What a core is told by the control plane, through its mailbox: plain data.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use rustls::ServerConfig;
use serde::{Deserialize, Serialize};

use crate::config::snapshot::{Grant, Snapshot};
use crate::net::ask::Answer;
use crate::net::spread::Seat;
use crate::net::tls::Clients;
use crate::net::tokens::Told;
use crate::routing::view::Cooldown;
use crate::telemetry::sample::Sample;

/// What a core is told.
pub enum Message {
    /// The answer to a question of its own.
    Answer {
        /// The question's ticket.
        ticket: u64,
        /// The answer.
        answer: Answer,
    },
    /// To serve a connection that another core accepted.
    Connection(Arrival),
    /// That a key is cooling down, as another core has learned.
    Cooldown(Cooldown),
    /// That the turn of a request of its own has come, which waits for a place with a provider.
    Place {
        /// The request's ticket.
        ticket: u64,
    },
    /// What was fetched for keys, or why nothing was.
    Token(Box<Told>),
    /// To whom tokens are fetched by: that a provider refused one.
    TokenRefused {
        /// By what it was fetched.
        grant: Arc<Grant>,
        /// Its number.
        number: u64,
    },
    /// To the same: to name the keys that lack a token, each with the reason.
    Lacking(tokio::sync::oneshot::Sender<Vec<String>>),
    /// To serve by this from now on.
    Adopt(Box<Adoption>),
    /// To list the streams that it serves.
    Streams(tokio::sync::oneshot::Sender<LiveStreams>),
    /// To report its counters.
    Sample(tokio::sync::oneshot::Sender<Sample>),
    /// To stop accepting, and to end when what runs has ended or at `deadline`.
    Drain {
        /// When what still runs is cut.
        deadline: Instant,
    },
}

/// A config for one core, whole and ready: nothing in it can fail any more.
pub struct Adoption {
    /// `None`: the one of now stays.
    pub adopted: Option<Adopted>,
    /// What new callers shake hands by; `None`: as before.
    pub certificates: Option<Arc<ServerConfig>>,
    /// Answered when the core runs it.
    pub reply: tokio::sync::oneshot::Sender<()>,
}

/// A snapshot, and what serving it needs.
pub struct Adopted {
    /// This core's own copy.
    pub snapshot: Snapshot,
    /// For its providers.
    pub clients: Clients,
    /// When it was read.
    pub loaded_at: Timestamp,
}

/// A connection that was accepted, and that no core has touched: a plain descriptor, which may go to any thread.
#[derive(Debug)]
pub struct Arrival {
    /// The connection; blocking, as the kernel made it.
    pub stream: TcpStream,
    /// The TCP peer.
    pub peer: SocketAddr,
    /// Its place on the core that serves it.
    pub seat: Seat,
}

/// The streams that run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveStreams {
    /// In no order; of each core at most [`STREAMS_LISTED_MAX`](super::STREAMS_LISTED_MAX).
    pub streams: Vec<LiveStream>,
    /// How many more there are.
    pub left_out: u64,
}

/// A stream that runs, for an operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveStream {
    /// The core that serves it.
    pub core: u16,
    /// The request's id, as its row has it.
    pub id: String,
    /// The provider's name.
    pub provider: String,
    /// The key's name; empty: the provider has none.
    pub key: String,
    /// The model, without the provider's prefix.
    pub model: String,
    /// Generation of the config that it began with.
    pub generation: u64,
    /// Since the request's head was read, ms.
    pub age_ms: u64,
    /// The provider's events that were passed on so far.
    pub events: u64,
}
