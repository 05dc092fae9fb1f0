//! Waiting for the first of two things, a deadline among them. Written as plain futures, not as async functions: those
//! keep each argument twice, and a connection's memory is its future.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use monoio::time::Sleep;
use pin_project_lite::pin_project;

/// Awaits `future` until `deadline`; `None` when it passed. What was in flight is dropped with the future, so the
/// connection it belongs to must not be used again unless the future is one of `stream`'s, which survive it.
pub fn until<F: Future>(deadline: Instant, future: F) -> Until<F> {
    Until { alarm: Alarm::default(), deadline, future }
}

pin_project! {
    /// See [`until`]. What is ready at once needs no timer.
    pub struct Until<F> {
        alarm: Alarm,
        deadline: Instant,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Until<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let until = self.project();
        until.alarm.poll_before(*until.deadline, until.future, context)
    }
}

/// A timer for one wait after the other. In its own box, made when it is first needed: monoio's stands at 640 bytes, which
/// every wait would otherwise hold in its future. It belongs to one task: monoio's timer wakes whoever polled it first.
#[derive(Default)]
pub struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Ready from `deadline` on. A task that has ceased to wait may be woken once for it all the same.
    pub fn poll(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        let deadline = deadline.into();
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(monoio::time::sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(context)
    }

    /// `future`, or `None` from `deadline` on.
    fn poll_before<F: Future>(
        &mut self,
        deadline: Instant,
        future: Pin<&mut F>,
        context: &mut Context<'_>,
    ) -> Poll<Option<F::Output>> {
        match future.poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll(deadline, context).map(|()| None),
        }
    }
}

/// [`until`] by an alarm of one's own.
pub fn within<F: Future>(alarm: &mut Alarm, deadline: Instant, future: F) -> Within<'_, F> {
    Within { alarm, deadline, future }
}

pin_project! {
    /// See [`within`].
    pub struct Within<'a, F> {
        alarm: &'a mut Alarm,
        deadline: Instant,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Within<'_, F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let within = self.project();
        within.alarm.poll_before(*within.deadline, within.future, context)
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
