//! One caller's connection from accept to close. A panic in it ends it, and nothing else on the core.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use monoio::net::TcpStream;

use crate::error::Error;
use crate::gateway::{self, Core, Next, catch_unwind};
use crate::net::server::{Downstream, Request};
use crate::net::{Raced, race, until};

/// How long a connection that a draining core has just accepted may take to its first byte.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves a connection in a task of its own.
pub(super) fn spawn(core: &Rc<Core>, stream: TcpStream, peer: SocketAddr) {
    let enrolled = core.enrol();
    let core = Rc::clone(core);
    monoio::spawn(async move {
        let waker = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
        enrolled.wake_by(waker);
        // The answer leaves at once; there is nothing to gather behind it.
        let _ = stream.set_nodelay(true);
        let cut = poll_fn(|_| if core.is_cut() { Poll::Ready(()) } else { Poll::Pending });
        let served = catch_unwind(serve(&core, Downstream::new(stream, peer)));
        if let Raced::First(Err(_)) = race(served, cut).await {
            core.cells.panicked();
        }
        drop(enrolled);
    });
}

async fn serve(core: &Core, mut downstream: Downstream) {
    while let Some(request) = next(core, &mut downstream).await {
        match gateway::handle(core, &mut downstream, request).await {
            Next::KeepAlive => {}
            Next::Linger => return downstream.linger().await,
            Next::Close => return,
        }
    }
}

/// The next request; `None`: the connection ends.
async fn next(core: &Core, downstream: &mut Downstream) -> Option<Request> {
    let drained = poll_fn(|_| if core.is_draining() { Poll::Ready(()) } else { Poll::Pending });
    let received = match race(downstream.next_request(&core.net.budget), drained).await {
        Raced::First(received) => received,
        Raced::Second(()) => last(core, downstream).await?,
    };
    match received {
        Ok(request) => request,
        Err(error) => {
            gateway::refuse_head(core, downstream, &error).await;
            None
        }
    }
}

/// The last request of a connection of a draining core: one that has begun to come in, or that a connection just accepted
/// was made for.
async fn last(core: &Core, downstream: &mut Downstream) -> Option<Result<Option<Request>, Error>> {
    if !downstream.has_served() && !downstream.is_receiving() {
        let deadline = Instant::now() + FIRST_BYTE_TIMEOUT;
        let received = until(deadline, downstream.next_request(&core.net.budget));
        if let Some(received) = Box::pin(received).await {
            return Some(received);
        }
    }
    match downstream.is_receiving() {
        true => Some(downstream.next_request(&core.net.budget).await),
        false => None,
    }
}
