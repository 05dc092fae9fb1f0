//! One caller's connection from accept to close. A panic in it ends it, and nothing else on the core.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::door::Refusal;
use super::greeting::{cut_short, greet, is_greeted};
use crate::error::{Error, Kind};
use crate::gateway::{self, Arrival, Core, Next, catch_unwind};
use crate::net::server::{Downstream, Request};
use crate::net::stream::Stream;
use crate::net::{Driver, Raced, race, until};

/// How long a connection that a draining core has just accepted may take to its first byte.
pub(super) const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves a connection in a task of its own. Ten thousand of them may be at rest: the task holds the connection once, and
/// the wait for its next request; all else is boxed while it lasts.
pub(super) fn spawn(core: &Rc<Core>, Arrival { stream, peer, seat }: Arrival) {
    let Some(stream) = adopt(core, stream) else { return };
    let enrolled = core.enrol(seat);
    let (mut downstream, greeting) = match is_greeted(core, peer) {
        true => (None, Some(Box::pin(greet(Rc::clone(core), stream, peer)))),
        false => (Some(Downstream::new(stream, peer, Vec::new())), None),
    };
    let core = Rc::clone(core);
    monoio::spawn(async move {
        let waker = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
        enrolled.wake_by(waker);
        let cut = poll_fn(|_| if core.is_cut() { Poll::Ready(()) } else { Poll::Pending });
        let served = catch_unwind(async {
            if let Some(greeting) = greeting {
                downstream = greeting.await;
            }
            if let Some(downstream) = &mut downstream {
                serve(&core, downstream).await;
            }
        });
        if let Raced::First(Err(_)) = race(served, cut).await {
            core.cells.panicked();
        }
        drop(enrolled);
    });
}

/// Answers a caller who is one too many, and closes, lingering.
pub(super) fn refuse(core: &Rc<Core>, stream: TcpStream, peer: SocketAddr, refusal: Refusal) {
    let Some(stream) = adopt(core, stream) else { return };
    let core = Rc::clone(core);
    monoio::spawn(async move {
        let error = Error::new(Kind::TooManyConnections, "this node serves as many connections as it may");
        gateway::refuse_head(&core, &mut Downstream::new(stream, peer, Vec::new()), &error).await;
        drop(refusal);
    });
}

/// The connection on this core's driver. `None`: the driver refuses it, which is said; the caller sees it closed.
fn adopt(core: &Core, stream: TcpStream) -> Option<Stream> {
    match adopted(core.net.driver, stream) {
        Ok(stream) => Some(Stream::plain(stream)),
        Err(error) => {
            tracing::warn!(%error, "a connection was accepted and could not be served");
            None
        }
    }
}

/// On io_uring it stays blocking, as it was accepted (see [`Driver`]).
fn adopted(driver: Driver, stream: TcpStream) -> io::Result<monoio::net::TcpStream> {
    if driver == Driver::Epoll {
        stream.set_nonblocking(true)?;
    }
    monoio::net::TcpStream::from_std(stream)
}

async fn serve(core: &Core, downstream: &mut Downstream) {
    loop {
        let request = next(core, downstream).await;
        let Some(serving) = serving(core, request, downstream) else { break };
        match serving.await {
            Next::KeepAlive => {}
            Next::Linger => {
                let _ended = Box::pin(race(downstream.linger(), cut_short(core))).await;
                return;
            }
            Next::Close => break,
        }
    }
    Box::pin(downstream.close()).await;
}

type Serving<'a> = Pin<Box<dyn Future<Output = Next> + 'a>>;

/// A request's service, in its box. Not an async function, so that the request stands nowhere else.
fn serving<'a>(
    core: &'a Core,
    request: Option<Request>,
    downstream: &'a mut Downstream,
) -> Option<Serving<'a>> {
    let request = request?;
    // Its box first: the future is then made in it, and its 7 KiB are not copied there.
    let place = Box::new_uninit();
    let serving = Box::write(place, gateway::handle(core, downstream, request));
    Some(Box::into_pin(serving))
}

/// The next request; `None`: the connection ends.
async fn next(core: &Core, downstream: &mut Downstream) -> Option<Request> {
    let drained = poll_fn(|_| if core.is_draining() { Poll::Ready(()) } else { Poll::Pending });
    let received = match race(downstream.next_request(&core.net.budget), drained).await {
        Raced::First(received) => received,
        Raced::Second(()) => Box::pin(last(core, downstream)).await?,
    };
    let error = match received {
        Ok(request) => return request,
        Err(error) => Box::new(error),
    };
    Box::pin(race(gateway::refuse_head(core, downstream, &error), cut_short(core))).await;
    None
}

/// The last request of a connection of a draining core: one that has begun to come in, or that a connection just accepted
/// was made for.
async fn last(core: &Core, downstream: &mut Downstream) -> Option<Result<Option<Request>, Error>> {
    if !downstream.has_served() && !downstream.is_receiving() {
        let deadline = Instant::now() + FIRST_BYTE_TIMEOUT;
        let received = until(deadline, downstream.next_request(&core.net.budget));
        if let Some(received) = received.await {
            return Some(received);
        }
    }
    match downstream.is_receiving() {
        true => Some(downstream.next_request(&core.net.budget).await),
        false => None,
    }
}
