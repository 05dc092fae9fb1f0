//! Waiting for a provider while its caller may leave: what is waited for ends with the caller, or, where the config says
//! so (`on_client_gone: "finish"`), goes on without one. A plain future, like those of `net::wait`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::config::snapshot::OnClientGone;
use crate::net::server::{Downstream, Gone};

/// Awaits `future`. `has_left` is set when the caller is found to have left; nobody looks for it again then. Errors: it has,
/// and the rest is cancelled.
pub(super) fn attend<'a, F: Future>(
    downstream: &'a mut Downstream,
    has_left: &'a mut bool,
    policy: OnClientGone,
    future: F,
) -> Attend<'a, F, impl Future<Output = ()> + 'a> {
    Attend { future, gone: downstream.gone(), has_left, finishes: policy == OnClientGone::Finish }
}

pin_project! {
    /// See [`attend`].
    pub(super) struct Attend<'a, F, G> {
        #[pin]
        future: F,
        #[pin]
        gone: G,
        has_left: &'a mut bool,
        finishes: bool,
    }
}

impl<F: Future, G: Future<Output = ()>> Future for Attend<'_, F, G> {
    type Output = Result<F::Output, Gone>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let attend = self.project();
        if let Poll::Ready(output) = attend.future.poll(context) {
            return Poll::Ready(Ok(output));
        }
        if !**attend.has_left && attend.gone.poll(context).is_ready() {
            **attend.has_left = true;
        }
        match **attend.has_left && !*attend.finishes {
            true => Poll::Ready(Err(Gone)),
            false => Poll::Pending,
        }
    }
}
