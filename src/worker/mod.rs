//! The data plane: one pinned thread per core, each with its own listener, runtime, snapshot and counters. It accepts,
//! hands requests to the gateway, and drains.

mod connection;
pub mod runtime;

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use monoio::io::Canceller;

use crate::config::snapshot::Snapshot;
use crate::gateway::{Core, Facts, Message};
use crate::net::ask::{Asker, Envelope};
use crate::net::budget::Budget;
use crate::net::mailbox::{Mailbox, Post, mailbox};
use crate::net::{Driver, Net};
use crate::telemetry::ring::Producer;
use runtime::DriverChoice;

/// How long a core may take from its start to its readiness.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks at a core that is draining, or whose pool may have grown old.
const TICK: Duration = Duration::from_millis(50);
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// How long connections may take to see that they are cut.
const CUT_TIMEOUT: Duration = Duration::from_secs(1);
/// After an accept failed for want of descriptors or memory, before the next.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
/// Accepts in a row that may fail for other reasons (a caller that left already) before they count as lasting.
const ACCEPT_FAILURES_MAX: u32 = 64;

/// What a core starts with.
pub struct Plan {
    /// Its number, from 0.
    pub index: u16,
    /// The processor it is pinned to; `None`: not pinned.
    pub processor: Option<core_affinity::CoreId>,
    /// Which driver to try.
    pub driver: DriverChoice,
    /// Its own socket, bound and listening.
    pub listener: TcpListener,
    /// The config.
    pub snapshot: Snapshot,
    /// Who we are.
    pub facts: Facts,
    /// Where its rows go.
    pub log: Option<Producer>,
    /// Bytes that its bodies may hold together.
    pub body_bytes_max: usize,
    /// The way to the control plane.
    pub questions: tokio::sync::mpsc::Sender<Envelope>,
}

/// A running core.
pub struct Worker {
    /// Its mailbox.
    pub post: Post<Message>,
    /// How it does its I/O, and why not better.
    pub driver: runtime::Built,
    /// Its thread, to be joined after a drain.
    pub thread: JoinHandle<()>,
}

/// Starts a core, and waits until it can serve. Errors: no driver works, or it is not ready in 10 s.
pub fn start(plan: Plan) -> io::Result<Worker> {
    let (post, mailbox) = mailbox()?;
    let (ready, readiness) = mpsc::sync_channel(1);
    let name = format!("corelane-{}", plan.index);
    let thread = std::thread::Builder::new().name(name).spawn(move || run(plan, mailbox, &ready))?;
    let driver = readiness.recv_timeout(READY_TIMEOUT);
    let driver = driver.map_err(|_| io::Error::other("a core was not ready in 10 s"))??;
    Ok(Worker { post, driver, thread })
}

type Ready = mpsc::SyncSender<io::Result<runtime::Built>>;

fn run(plan: Plan, mailbox: Mailbox<Message>, ready: &Ready) {
    if let Some(processor) = plan.processor {
        core_affinity::set_for_current(processor);
    }
    match runtime::build(plan.driver) {
        Ok((runtime, built)) => runtime.block_on(serve(plan, mailbox, ready, built)),
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    }
}

async fn serve(plan: Plan, mailbox: Mailbox<Message>, ready: &Ready, built: runtime::Built) {
    let driver = built.driver;
    match prepare(plan, driver) {
        Ok((core, listeners)) => {
            let _ = ready.send(Ok(built));
            live(core, listeners, mailbox, driver).await;
        }
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    }
}

/// The core, its listener, and a second descriptor of it for the drain.
fn prepare(plan: Plan, driver: Driver) -> io::Result<(Rc<Core>, (monoio::net::TcpListener, TcpListener))> {
    let asker = Asker::new(usize::from(plan.index), plan.questions);
    let net = Net::new(driver, asker, Budget::new(plan.body_bytes_max)).map_err(io::Error::other)?;
    plan.listener.set_nonblocking(driver == Driver::Epoll)?;
    let backlog = plan.listener.try_clone()?;
    let listener = monoio::net::TcpListener::from_std(plan.listener)?;
    let core = Core::new(plan.index, plan.facts, plan.snapshot, net, plan.log);
    Ok((Rc::new(core), (listener, backlog)))
}

/// From readiness to the end of the drain.
async fn live(
    core: Rc<Core>,
    (listener, backlog): (monoio::net::TcpListener, TcpListener),
    mailbox: Mailbox<Message>,
    driver: Driver,
) {
    let deadline = Rc::new(std::cell::Cell::new(None));
    let canceller = Canceller::new();
    let accepting = monoio::spawn(accept(Rc::clone(&core), listener, canceller.handle()));
    monoio::spawn(sweep(Rc::clone(&core)));
    let (told, cut) = (Rc::clone(&core), Rc::clone(&deadline));
    monoio::spawn(async move {
        let served = mailbox.serve(driver, move |message| open(&told, &cut, message)).await;
        if let Err(error) = served {
            tracing::error!(%error, "a core lost its mailbox");
        }
    });
    while deadline.get().is_none() {
        monoio::time::sleep(TICK).await;
    }
    let _ = canceller.cancel();
    accepting.await;
    empty_backlog(&core, &backlog, driver);
    drop(backlog);
    // On io_uring the ring closes the listener, and only while this runtime turns. Were it to end first, the kernel would
    // go on filling a queue that nobody accepts from.
    monoio::time::sleep(TICK).await;
    connections_end(&core, deadline.get()).await;
    // What still runs is ended in order, so that it leaves a row.
    core.cut();
    connections_end(&core, Some(Instant::now() + CUT_TIMEOUT)).await;
}

/// Accepts what the kernel has accepted for us: these callers were told that they are connected.
fn empty_backlog(core: &Rc<Core>, backlog: &TcpListener, driver: Driver) {
    if backlog.set_nonblocking(true).is_err() {
        return;
    }
    while let Ok((stream, peer)) = backlog.accept() {
        let stream = stream.set_nonblocking(driver == Driver::Epoll).map(|()| stream);
        match stream.and_then(monoio::net::TcpStream::from_std) {
            Ok(stream) => connection::spawn(core, stream, peer),
            Err(error) => tracing::warn!(%error, "a connection was lost in the drain"),
        }
    }
}

async fn connections_end(core: &Core, deadline: Option<Instant>) {
    while core.open_connections() > 0 && deadline.is_some_and(|at| Instant::now() < at) {
        monoio::time::sleep(TICK).await;
    }
}

fn open(core: &Core, deadline: &std::cell::Cell<Option<Instant>>, message: Message) -> bool {
    match message {
        Message::Answer { ticket, answer } => core.net.asker.answer(ticket, answer),
        Message::Sample(reply) => {
            core.cells.body_bytes_held(core.net.budget.held_bytes() as u64);
            let _ = reply.send(core.cells.sample());
        }
        Message::Drain { deadline: at } => {
            deadline.set(Some(at));
            core.drain();
        }
    }
    true
}

/// Accepts until it is cancelled; a connection that was accepted in that moment is served.
async fn accept(core: Rc<Core>, listener: monoio::net::TcpListener, cancel: monoio::io::CancelHandle) {
    let mut failures = 0;
    loop {
        match listener.cancelable_accept(cancel.clone()).await {
            Ok((stream, peer)) => {
                failures = 0;
                connection::spawn(&core, stream, peer);
            }
            Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => return,
            Err(_) if core.is_draining() => return,
            Err(error) => {
                failures += 1;
                if must_back_off(&error, failures) {
                    tracing::warn!(%error, failures, "accept failed");
                    monoio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }
}

/// Whether the next accept would fail as well. Other errors are one caller's own, and those behind it must not wait;
/// but `failures` in a row are no longer that.
fn must_back_off(error: &io::Error, failures: u32) -> bool {
    let lasting = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    failures > ACCEPT_FAILURES_MAX || error.raw_os_error().is_some_and(|code| lasting.contains(&code))
}

async fn sweep(core: Rc<Core>) {
    loop {
        monoio::time::sleep(SWEEP_INTERVAL).await;
        core.net.pool.sweep(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accept_backs_off_for_what_lasts() {
        for code in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
            assert!(must_back_off(&io::Error::from_raw_os_error(code), 1));
        }
        for code in [libc::ECONNABORTED, libc::EINTR, libc::EPERM, libc::EHOSTUNREACH] {
            let error = io::Error::from_raw_os_error(code);
            assert!(!must_back_off(&error, 1) && !must_back_off(&error, ACCEPT_FAILURES_MAX));
            assert!(must_back_off(&error, ACCEPT_FAILURES_MAX + 1));
        }
    }
}
