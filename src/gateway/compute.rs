//! Work on a body that is too long for a core: small bodies are worked on in place, large ones on the control plane's
//! helper threads, so that no event of another request waits for them.

use crate::error::{Error, Kind};
use crate::net::ask::{Answer, Question};

use super::Core;

/// Longest body that a core parses in one go, bytes.
pub(super) const INLINE_BYTES_MAX: usize = 256 * 1024;

/// Runs `work` here when `bytes` is at most [`INLINE_BYTES_MAX`], else on a helper thread.
pub(super) async fn compute<T: Send + 'static>(
    core: &Core,
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    if bytes <= INLINE_BYTES_MAX {
        return Ok(work());
    }
    let question = Question::Compute(Box::new(move || Box::new(work())));
    match core.net.asker.ask(question).await {
        Answer::Computed(result) => match result.downcast::<T>() {
            Ok(result) => Ok(*result),
            Err(_) => Err(unavailable()),
        },
        _ => Err(unavailable()),
    }
}

fn unavailable() -> Error {
    Error::new(Kind::Overloaded, "no helper is free for a body of this size; try again shortly")
}
