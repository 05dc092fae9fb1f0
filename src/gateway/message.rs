//! What a core is told by the control plane, through its mailbox: plain data.

use std::time::Instant;

use crate::net::ask::Answer;
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
    /// To report its counters.
    Sample(tokio::sync::oneshot::Sender<Sample>),
    /// To stop accepting, and to end when what runs has ended or at `deadline`.
    Drain {
        /// When what still runs is cut.
        deadline: Instant,
    },
}
