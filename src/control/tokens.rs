//! Tokens: one thread fetches what keys' grants give, before it is needed and again before it ends, and pushes it to every
//! core. It is a core that serves nobody: names, the guard, proxies and certificates are judged as for a request. When to
//! fetch is `schedule`'s.

pub(super) mod fetch;
pub(super) mod schedule;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use monoio::LegacyDriver;
use tokio::sync::mpsc;

use crate::config::snapshot::{Grant, Snapshot};
use crate::error::Kind;
use crate::gateway::{Adopted, Message, catch_unwind};
use crate::net::ask::{Asker, Envelope};
use crate::net::budget::Budget;
use crate::net::mailbox::{Mailbox, Post};
use crate::net::pool::Position;
use crate::net::tls::Roots;
use crate::net::tokens::{Lack, Told};
use crate::net::{Driver, Net, until};
use fetch::Ended;
use schedule::{Change, Failed, Schedule, grants};

/// How long nothing may be looked at.
const REST: Duration = Duration::from_secs(3600);
/// From which difference of clocks on an operator is warned, seconds.
const SKEW_WARNED_S: u64 = 60;

/// What the thread begins with.
pub struct Plan {
    /// The config.
    pub snapshot: Snapshot,
    /// The cores.
    pub posts: Vec<Post<Message>>,
    /// What it is told: of a new config, as cores are, and of refused tokens.
    pub mailbox: Mailbox<Message>,
    /// The way to the control plane; it asks as the core behind the last one.
    pub questions: mpsc::Sender<Envelope>,
    /// Whom it trusts.
    pub roots: Roots,
}

/// Starts the thread, which ends with the process. Errors: no thread, or no certificates can be had.
pub fn start(plan: Plan) -> io::Result<()> {
    let clients = plan.roots.clients(&plan.snapshot, 1).map_err(io::Error::other)?;
    let clients = clients.into_iter().next().unwrap_or_default();
    let Plan { snapshot, posts, mailbox, questions, roots } = plan;
    std::thread::Builder::new().name("corelane-tokens".to_owned()).spawn(move || {
        // On epoll, which is there wherever io_uring is not.
        let built = monoio::RuntimeBuilder::<LegacyDriver>::new().enable_timer().build();
        let mut runtime = match built {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "no token can be fetched"),
        };
        runtime.block_on(async move {
            let core = posts.len();
            let position = Position { core: 0, cores: 1 };
            let net = Net::new(Driver::Epoll, Asker::new(core, questions), Budget::new(0), position, roots);
            let keeper = Rc::new(Keeper::new(net, posts));
            let loaded_at = jiff::Timestamp::now();
            keeper.adopt(Adopted { snapshot, clients, loaded_at });
            let opener = Rc::clone(&keeper);
            monoio::spawn(mailbox.serve(Driver::Epoll, move |message| {
                opener.open(message);
                true
            }));
            keeper.keep().await;
        });
    })?;
    Ok(())
}

/// What the thread has.
struct Keeper {
    net: Net,
    posts: Vec<Post<Message>>,
    schedule: RefCell<Schedule>,
    random: RefCell<fastrand::Rng>,
    is_rung: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    warned_of_skew: Cell<bool>,
}

impl Keeper {
    fn new(net: Net, posts: Vec<Post<Message>>) -> Self {
        Self {
            net,
            posts,
            schedule: RefCell::default(),
            random: RefCell::new(fastrand::Rng::new()),
            is_rung: Cell::new(false),
            waker: RefCell::default(),
            warned_of_skew: Cell::new(false),
        }
    }

    fn open(&self, message: Message) {
        match message {
            Message::Answer { ticket, answer } => self.net.asker.answer(ticket, answer),
            Message::Adopt(adoption) => {
                adoption.adopted.into_iter().for_each(|adopted| self.adopt(adopted));
                let _gone = adoption.reply.send(());
            }
            Message::TokenRefused { grant, number } => {
                let told = self.schedule.borrow_mut().refused(&grant, number, Instant::now());
                told.iter().for_each(|told| self.tell(told));
                self.ring();
            }
            Message::Lacking(reply) => {
                let _gone = reply.send(self.schedule.borrow().lacking(Instant::now()));
            }
            _ => {}
        }
    }

    fn adopt(&self, Adopted { snapshot, clients, .. }: Adopted) {
        self.net.adopt(clients);
        self.net.forget(&[]);
        let told = self.schedule.borrow_mut().adopt(grants(&snapshot), Instant::now());
        told.iter().for_each(|told| self.tell(told));
        self.ring();
    }

    /// A message that must arrive: there are as many at a time as grants.
    fn tell(&self, told: &Told) {
        for post in &self.posts {
            let _ended = post.insist(Message::Token(Box::new(told.clone())));
        }
    }

    /// Begins what is due, for ever.
    async fn keep(self: &Rc<Self>) {
        loop {
            let begun = self.schedule.borrow_mut().begin(Instant::now());
            for grant in begun {
                monoio::spawn(Rc::clone(self).fetch(grant));
            }
            let next = self.schedule.borrow().next();
            let next = next.unwrap_or_else(|| Instant::now() + REST);
            until(next, self.rung()).await;
        }
    }

    async fn fetch(self: Rc<Self>, grant: Arc<Grant>) {
        let ended = catch_unwind(fetch::fetch(&self.net, &grant)).await;
        let Ended { outcome, skew_s } = ended.unwrap_or_else(|_| {
            let reason = "corelane met a fault of its own while it fetched it".to_owned();
            let lack = Lack { kind: Kind::TokenUnavailable, reason };
            Ended { outcome: Err(Failed { lack, retry_after: None }), skew_s: None }
        });
        self.warn_of_skew(&grant, skew_s);
        let reason = outcome.as_ref().err().map(|failed| failed.lack.reason.clone()).unwrap_or_default();
        let chance = self.random.borrow_mut().f64();
        let told = self.schedule.borrow_mut().end(&grant, outcome, Instant::now(), chance);
        if let Some((told, change)) = told {
            self.tell(&told);
            let (keys, what) = (self.schedule.borrow().names(&grant), grant.what());
            match change {
                Change::Failed => tracing::warn!(keys, reason, "no {what} can be fetched"),
                Change::Recovered => tracing::info!(keys, "the {what} is fetched again"),
                Change::Nothing => tracing::debug!(keys, reason, "a fetch has ended"),
            }
        }
        self.ring();
    }

    /// Once, until the clocks agree again.
    fn warn_of_skew(&self, grant: &Grant, skew_s: Option<i64>) {
        let Some(skew_s) = skew_s else { return };
        let is_wrong = skew_s.unsigned_abs() >= SKEW_WARNED_S;
        if is_wrong && !self.warned_of_skew.get() {
            let of = &grant.place.authority;
            tracing::warn!(of, skew_s, "this node's clock and another differ; set the clock (NTP)");
        }
        self.warned_of_skew.set(is_wrong);
    }

    fn ring(&self) {
        self.is_rung.set(true);
        self.waker.borrow_mut().take().into_iter().for_each(Waker::wake);
    }

    async fn rung(&self) {
        poll_fn(|context| {
            if self.is_rung.replace(false) {
                return Poll::Ready(());
            }
            *self.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
