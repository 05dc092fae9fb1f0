//! One caller's connection from accept to close. A panic in it ends it, and nothing else on the core.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;

use monoio::net::TcpStream;

use crate::gateway::{self, Core, Next, catch_unwind};
use crate::net::server::{Downstream, Request};
use crate::net::{Raced, race};

/// Serves a connection in a task of its own.
pub(super) fn spawn(core: &Rc<Core>, stream: TcpStream, peer: SocketAddr) {
    let core = Rc::clone(core);
    monoio::spawn(async move {
        let waker = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
        let enrolled = core.enrol(waker);
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
            Next::Close => return downstream.close().await,
        }
    }
}

/// The next request; `None`: the connection ends.
async fn next(core: &Core, downstream: &mut Downstream) -> Option<Request> {
    let drained = poll_fn(|_| if core.is_draining() { Poll::Ready(()) } else { Poll::Pending });
    let received = match race(downstream.next_request(&core.net.budget), drained).await {
        Raced::First(received) => received,
        // What has begun to come in is still answered.
        Raced::Second(()) if downstream.is_receiving() => downstream.next_request(&core.net.budget).await,
        Raced::Second(()) => return None,
    };
    match received {
        Ok(request) => request,
        Err(error) => {
            gateway::refuse_head(core, downstream, &error).await;
            None
        }
    }
}
