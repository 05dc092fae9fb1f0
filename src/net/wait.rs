//! Waiting for the first of two things, a deadline among them. Written as plain futures, not as async functions: those
//! keep each argument twice, and a connection's memory is its future.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use monoio::time::Timeout;
use pin_project_lite::pin_project;

/// Awaits `future` until `deadline`; `None` when it passed. What was in flight is dropped with the future, so the
/// connection it belongs to must not be used again unless the future is one of `stream`'s, which survive it.
pub fn until<F: Future>(deadline: Instant, future: F) -> Until<F> {
    Until { inner: monoio::time::timeout_at(deadline.into(), future) }
}

pin_project! {
    /// See [`until`].
    pub struct Until<F> {
        #[pin]
        inner: Timeout<F>,
    }
}

impl<F: Future> Future for Until<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(context).map(Result::ok)
    }
}

/// The first of two futures to end.
pub enum Raced<A, B> {
    /// The first argument's output.
    First(A),
    /// The second's.
    Second(B),
}

/// Awaits whichever ends first; the first argument wins a tie.
pub fn race<A: Future, B: Future>(first: A, second: B) -> Race<A, B> {
    Race { first, second }
}

pin_project! {
    /// See [`race`].
    pub struct Race<A, B> {
        #[pin]
        first: A,
        #[pin]
        second: B,
    }
}

impl<A: Future, B: Future> Future for Race<A, B> {
    type Output = Raced<A::Output, B::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let race = self.project();
        if let Poll::Ready(output) = race.first.poll(context) {
            return Poll::Ready(Raced::First(output));
        }
        race.second.poll(context).map(Raced::Second)
    }
}
