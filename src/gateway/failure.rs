//! An attempt that did not serve, as a value: nothing of it has gone to the caller, so that another may follow. Whether one
//! does is `routing`'s.

use std::time::Duration;

use crate::error::Error;

/// Why an attempt did not serve.
pub(super) struct Failure {
    /// The fault: ours, or the provider's.
    pub(super) error: Error,
    /// How long the provider asks to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// The provider's answer, ready for the caller; `None`: there is none, and the error is put into its words.
    pub(super) answer: Option<Box<Answered>>,
}

/// A provider's error answer, as the caller will get it if nothing better comes.
pub(super) struct Answered {
    /// Status line and returned headers, without framing and without an end.
    pub(super) head: Vec<u8>,
    /// In the caller's dialect, at most 64 KiB.
    pub(super) body: Vec<u8>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, retry_after: None, answer: None }
    }
}
