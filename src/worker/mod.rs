//! The data plane: one pinned thread per core, each with its own listener, runtime, snapshot and counters. It accepts,
//! hands requests to the gateway, and drains.

mod connection;
mod door;
mod greeting;
pub mod runtime;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustls::ServerConfig;

use crate::config::snapshot::Snapshot;
use crate::gateway::{Adopted, Adoption, Core, Facts, Message, Neighbours};
use crate::net::ask::{Asker, Envelope};
use crate::net::budget::Budget;
use crate::net::mailbox::Mailbox;
use crate::net::pool::Position;
use crate::net::tls::Roots;
use crate::net::{Driver, Net, race};
use crate::telemetry::ring::Producer;
use connection::FIRST_BYTE_TIMEOUT;
pub use door::BACKLOG;
use door::Door;
use runtime::DriverChoice;

/// How long a core may take from its start to its readiness.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks at a core that is draining, or whose pool may have grown old.
const TICK: Duration = Duration::from_millis(50);
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// How long connections may take to see that they are cut.
const CUT_TIMEOUT: Duration = Duration::from_secs(1);

/// What a core starts with.
pub struct Plan {
    /// Its number, from 0.
    pub index: u16,
    /// How many cores the node has.
    pub cores: usize,
    /// The processor it is pinned to; `None`: not pinned.
    pub processor: Option<core_affinity::CoreId>,
    /// Which driver to try.
    pub driver: DriverChoice,
    /// Its own socket, bound and listening.
    pub listener: TcpListener,
    /// The config.
    pub snapshot: Snapshot,
    /// When it was read.
    pub loaded_at: Timestamp,
    /// Who we are.
    pub facts: Facts,
    /// Where its rows go.
    pub log: Option<Producer>,
    /// Bytes that its bodies may hold together.
    pub body_bytes_max: usize,
    /// Whom it trusts towards providers.
    pub roots: Roots,
    /// The way to the control plane.
    pub questions: tokio::sync::mpsc::Sender<Envelope>,
    /// What it is told.
    pub mailbox: Mailbox<Message>,
    /// What it has in common with the other cores.
    pub neighbours: Neighbours,
    /// What callers shake hands by; `None`: the listener is plain.
    pub certificates: Option<Arc<ServerConfig>>,
}

/// A running core.
pub struct Worker {
    /// How it does its I/O, and why not better.
    pub driver: runtime::Built,
    /// Its thread, to be joined after a drain. An error, too, is a core that ended unasked.
    pub thread: JoinHandle<io::Result<()>>,
}

/// Starts a core, and waits until it can serve. Errors: no driver works, or it is not ready in 10 s.
pub fn start(plan: Plan) -> io::Result<Worker> {
    let (ready, readiness) = mpsc::sync_channel(1);
    let name = format!("corelane-{}", plan.index);
    let thread = std::thread::Builder::new().name(name).spawn(move || run(plan, &ready))?;
    let driver = readiness.recv_timeout(READY_TIMEOUT);
    let driver = driver.map_err(|_| io::Error::other("a core was not ready in 10 s"))??;
    Ok(Worker { driver, thread })
}

type Ready = mpsc::SyncSender<io::Result<runtime::Built>>;

fn run(plan: Plan, ready: &Ready) -> io::Result<()> {
    if let Some(processor) = plan.processor {
        core_affinity::set_for_current(processor);
    }
    match runtime::build(plan.driver) {
        Ok((runtime, built)) => runtime.block_on(serve(plan, ready, built)),
        Err(error) => {
            let _ = ready.send(Err(error));
            Ok(())
        }
    }
}

async fn serve(plan: Plan, ready: &Ready, built: runtime::Built) -> io::Result<()> {
    let driver = built.driver;
    match prepare(plan, driver) {
        Ok(prepared) => {
            let _ = ready.send(Ok(built));
            live(prepared).await
        }
        Err(error) => {
            let _ = ready.send(Err(error));
            Ok(())
        }
    }
}

/// A core that may begin.
struct Prepared {
    core: Rc<Core>,
    door: Door,
    readiness: monoio::net::TcpListener,
    mailbox: Mailbox<Message>,
}

fn prepare(plan: Plan, driver: Driver) -> io::Result<Prepared> {
    let asker = Asker::new(usize::from(plan.index), plan.questions);
    let position = Position { core: usize::from(plan.index), cores: plan.cores };
    let clients = plan.roots.clients(&plan.snapshot, 1).map_err(io::Error::other)?;
    let clients = clients.into_iter().next().unwrap_or_default();
    let adopted = Adopted { snapshot: plan.snapshot, clients, loaded_at: plan.loaded_at };
    let net = Net::new(driver, asker, Budget::new(plan.body_bytes_max), position, plan.roots);
    let core = Core::new(plan.index, plan.facts, adopted, net, plan.neighbours, plan.log);
    plan.certificates.into_iter().for_each(|certificates| core.certify(certificates));
    let core = Rc::new(core);
    let door = Door::new(Rc::clone(&core), plan.listener)?;
    let readiness = door.readiness()?;
    Ok(Prepared { core, door, readiness, mailbox: plan.mailbox })
}

/// From readiness to the end of the drain. Errors: the mailbox is lost, and the core with it, since nobody could tell it
/// anything any more.
async fn live(Prepared { core, door, readiness, mailbox }: Prepared) -> io::Result<()> {
    let told = Rc::new(Told::default());
    monoio::spawn(sweep(Rc::clone(&core)));
    monoio::spawn(take_messages(Rc::clone(&core), mailbox, Rc::clone(&told)));
    race(door.serve(&readiness), told.any()).await;
    if let Some(error) = told.lost.take() {
        tracing::error!(%error, "a core lost its mailbox");
        return Err(error);
    }
    // On io_uring the ring closes this one, and only while this runtime turns. Were it to end first, the kernel would go
    // on filling a queue that nobody accepts from. The door's own descriptor closes at once, behind the last accept.
    drop(readiness);
    door.empty();
    monoio::time::sleep(TICK).await;
    door.empty();
    // Who is refused was told so when it came, and lingers here.
    let (refusals, refusals_end) = (door.close(), Instant::now() + FIRST_BYTE_TIMEOUT);
    let are_refused = || refusals.get() == 0 || Instant::now() >= refusals_end;
    let all_end = || core.open_connections() == 0 && are_refused();
    connections_end(all_end, || told.deadline.get()).await;
    // What still runs is ended in order, so that it leaves a row.
    core.cut();
    let cut_end = Instant::now() + CUT_TIMEOUT;
    connections_end(all_end, || Some(cut_end)).await;
    Ok(())
}

/// What the mailbox brought that ends a core.
#[derive(Default)]
struct Told {
    /// The drain's deadline.
    deadline: Cell<Option<Instant>>,
    /// The mailbox itself ended.
    lost: RefCell<Option<io::Error>>,
}

impl Told {
    async fn any(&self) {
        while self.deadline.get().is_none() && self.lost.borrow().is_none() {
            monoio::time::sleep(TICK).await;
        }
    }
}

async fn take_messages(core: Rc<Core>, mailbox: Mailbox<Message>, told: Rc<Told>) {
    let (driver, cell) = (core.net.driver, Rc::clone(&told));
    let served = mailbox.serve(driver, move |message| open(&core, &cell, message)).await;
    let ended = served.err().unwrap_or_else(|| io::Error::other("nobody can send to it"));
    *told.lost.borrow_mut() = Some(ended);
}

/// The deadline is asked for at each look: a drain may be told to be sooner.
async fn connections_end(all_end: impl Fn() -> bool, deadline: impl Fn() -> Option<Instant>) {
    while !all_end() && deadline().is_some_and(|at| Instant::now() < at) {
        monoio::time::sleep(TICK).await;
    }
}

fn open(core: &Rc<Core>, told: &Told, message: Message) -> bool {
    match message {
        Message::Answer { ticket, answer } => core.net.asker.answer(ticket, answer),
        Message::Connection(arrival) => connection::spawn(core, arrival),
        Message::Cooldown(cooldown) => core.health().cool(&cooldown),
        Message::Place { ticket } => core.places.grant(ticket),
        Message::Token(told) => core.tokens.tell(*told, Instant::now()),
        // Theirs to whom tokens are fetched by.
        Message::TokenRefused { .. } | Message::Lacking(_) => {}
        Message::Adopt(adoption) => adopt(core, *adoption),
        Message::Streams(reply) => {
            let _ = reply.send(core.streams.list(core.index, Instant::now()));
        }
        Message::Sample(reply) => {
            core.cells.body_bytes_held(core.net.budget.held_bytes() as u64);
            core.cells.config(core.snapshot().generation, core.forget_older() as u64);
            let _ = reply.send(core.sample(Instant::now()));
        }
        Message::Drain { deadline: at } => {
            told.deadline.set(Some(at));
            core.drain();
        }
    }
    true
}

/// In one go: no request begins between its parts.
fn adopt(core: &Core, Adoption { adopted, certificates, reply }: Adoption) {
    adopted.into_iter().for_each(|adopted| core.adopt(adopted));
    certificates.into_iter().for_each(|certificates| core.certify(certificates));
    let _ = reply.send(());
}

async fn sweep(core: Rc<Core>) {
    loop {
        monoio::time::sleep(SWEEP_INTERVAL).await;
        core.net.pool.sweep(Instant::now());
        core.forget_older();
    }
}
