//! Questions that a core asks of the control plane: what would block it, or needs every core. Asked by ticket; the
//! answer comes back through the core's mailbox. It answers nothing itself.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::sync::mpsc;

/// Questions of all cores that may wait for the control plane.
pub const QUESTIONS_MAX: usize = 4096;

/// How long a piece of work may wait for its turn, and who asked for its end.
pub const WORK_TIMEOUT: Duration = Duration::from_secs(30);

/// What a core asks.
pub enum Question {
    /// The addresses of a host.
    Resolve {
        /// Host name, lower case.
        host: String,
        /// Port to put into the addresses.
        port: u16,
    },
    /// The metrics of all cores as Prometheus text.
    Metrics,
    /// To run a piece of work that is too long for a core.
    Compute(Work),
}

/// Work for a helper thread: plain data in, plain data out.
pub type Work = Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>;

/// What a name resolved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// As the resolver ordered them, IPv6 before IPv4 unless it knows better.
    pub addresses: Vec<SocketAddr>,
    /// How much longer they may be used without asking again.
    pub lifetime: Duration,
}

/// What it is told.
pub enum Answer {
    /// To `Resolve`: at least one address, or why there is none.
    Addresses(Result<Resolved, String>),
    /// To `Metrics`.
    Metrics(String),
    /// To `Compute`: what the work returned.
    Computed(Box<dyn Any + Send>),
    /// To `Compute`: the work panicked; where it did went to the panic hook.
    Panicked,
    /// The control plane is too busy or gone.
    Unavailable,
}

/// A question on its way, with the way back.
pub struct Envelope {
    /// The asking core's index.
    pub core: usize,
    /// Which question of that core.
    pub ticket: u64,
    /// The question.
    pub question: Question,
}

enum Slot {
    Waiting(Option<Waker>),
    Answered(Answer),
    /// Nobody waits; this takes the answer.
    Told(Box<dyn FnOnce(Answer)>),
}

/// One core's side.
pub struct Asker {
    core: usize,
    outbox: mpsc::Sender<Envelope>,
    next_ticket: Cell<u64>,
    slots: RefCell<HashMap<u64, Slot>>,
}

impl Asker {
    /// For core `core`, sending to the control plane.
    pub fn new(core: usize, outbox: mpsc::Sender<Envelope>) -> Self {
        Self { core, outbox, next_ticket: Cell::new(0), slots: RefCell::default() }
    }

    /// Asks, and waits for the answer. There is no deadline here; the caller sets one.
    pub async fn ask(&self, question: Question) -> Answer {
        let ticket = self.next_ticket.get();
        self.next_ticket.set(ticket.wrapping_add(1));
        self.slots.borrow_mut().insert(ticket, Slot::Waiting(None));
        let _guard = Ticket { asker: self, ticket };
        if self.outbox.try_send(Envelope { core: self.core, ticket, question }).is_err() {
            return Answer::Unavailable;
        }
        poll_fn(|context| self.poll_answer(ticket, context.waker())).await
    }

    /// Asks without waiting: `then` takes the answer on this core, whoever has gone away meanwhile. Gives the ticket, to
    /// forget the question by. `None`: too many questions wait, or the control plane is gone; `then` is dropped.
    pub fn ask_then(&self, question: Question, then: impl FnOnce(Answer) + 'static) -> Option<u64> {
        let ticket = self.next_ticket.get();
        self.next_ticket.set(ticket.wrapping_add(1));
        self.outbox.try_send(Envelope { core: self.core, ticket, question }).ok()?;
        self.slots.borrow_mut().insert(ticket, Slot::Told(Box::new(then)));
        Some(ticket)
    }

    /// Forgets a question; an answer that still comes is dropped.
    pub fn forget(&self, ticket: u64) {
        let _slot = self.slots.borrow_mut().remove(&ticket);
    }

    /// Delivers an answer; one that nobody waits for any more is dropped.
    pub fn answer(&self, ticket: u64, answer: Answer) {
        let mut slots = self.slots.borrow_mut();
        match slots.remove(&ticket) {
            Some(Slot::Waiting(waker)) => {
                slots.insert(ticket, Slot::Answered(answer));
                drop(slots);
                waker.into_iter().for_each(Waker::wake);
            }
            Some(Slot::Told(then)) => {
                // It may ask again.
                drop(slots);
                then(answer);
            }
            Some(Slot::Answered(_)) | None => {}
        }
    }

    fn poll_answer(&self, ticket: u64, waker: &Waker) -> Poll<Answer> {
        let mut slots = self.slots.borrow_mut();
        match slots.remove(&ticket) {
            Some(Slot::Answered(answer)) => Poll::Ready(answer),
            Some(Slot::Waiting(_)) => {
                slots.insert(ticket, Slot::Waiting(Some(waker.clone())));
                Poll::Pending
            }
            Some(Slot::Told(_)) | None => Poll::Ready(Answer::Unavailable),
        }
    }
}

/// Forgets a question whose asker went away.
struct Ticket<'a> {
    asker: &'a Asker,
    ticket: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.asker.forget(self.ticket);
    }
}
