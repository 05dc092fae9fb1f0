//! Work on a body that is too long for a core: small bodies are worked on in place, large ones on the control plane's
//! helper threads, so that no event of another request waits for them.

use std::time::Instant;

use crate::error::{Error, Kind};
use crate::net::ask::{Answer, Question, WORK_TIMEOUT};
use crate::net::until;

use super::Core;

/// Longest body that a core parses in one go, bytes.
pub(super) const INLINE_BYTES_MAX: usize = 256 * 1024;

/// Runs `work` here when `bytes` is at most [`INLINE_BYTES_MAX`], else on a helper thread. Errors: no helper was done with
/// it in [`WORK_TIMEOUT`], or it panicked there.
pub(super) async fn compute<T: Send + 'static>(
    core: &Core,
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    if bytes <= INLINE_BYTES_MAX {
        return Ok(work());
    }
    let question = Question::Compute(Box::new(move || Box::new(work())));
    let answer = until(Instant::now() + WORK_TIMEOUT, core.net.asker.ask(question)).await;
    if let Some(Answer::Panicked) = answer {
        core.cells.panicked();
    }
    result(answer.unwrap_or(Answer::Unavailable))
}

fn result<T: 'static>(answer: Answer) -> Result<T, Error> {
    match answer {
        Answer::Computed(result) => result.downcast::<T>().map(|result| *result).map_err(|_| lost()),
        Answer::Panicked => Err(lost()),
        _ => {
            Err(Error::new(Kind::Overloaded, "no helper is free for a body of this size; try again shortly"))
        }
    }
}

fn lost() -> Error {
    Error::new(Kind::Internal, "corelane met a fault of its own; this request is lost, others are not")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_the_works_result_or_says_whose_fault_it_is() {
        assert_eq!(result::<u8>(Answer::Computed(Box::new(5u8))).ok(), Some(5));
        let kind = |answer| result::<u8>(answer).map_err(|error| error.kind);
        assert_eq!(kind(Answer::Unavailable), Err(Kind::Overloaded));
        assert_eq!(kind(Answer::Panicked), Err(Kind::Internal));
        assert_eq!(kind(Answer::Computed(Box::new("another type"))), Err(Kind::Internal));
    }
}
