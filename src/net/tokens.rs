//! One core's tokens: what the control plane fetched and pushed here, and who waits for it. It fetches nothing, and asks
//! nobody: that a token is wanted follows from the config, which the control plane has, too.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::config::snapshot::{AwsKeys, Grant, Secret};
use crate::error::Kind;

/// Requests of one core that may wait for tokens.
pub const WAITING_MAX: usize = 4_096;
/// How long a request may.
pub const WAIT_TIMEOUT: Duration = Duration::from_secs(5);
/// A token that a provider refused is fetched anew once in this time.
pub const REFETCH_INTERVAL: Duration = Duration::from_secs(30);

/// What is not told of for this long is told of no more: failed fetches are repeated sooner.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// What was fetched. No `Debug`: it is a secret.
#[derive(Clone)]
pub struct Token {
    /// Of its grant's tokens the how manieth, from 1.
    pub number: u64,
    /// The thing itself.
    pub proof: Fetched,
    /// From when on it is not used.
    pub until: Instant,
}

/// See [`Token::proof`].
#[derive(Clone)]
pub enum Fetched {
    /// Sent as `authorization: Bearer`.
    Bearer(Secret),
    /// What requests are signed by.
    Aws(Box<AwsKeys>),
}

impl Token {
    /// What of it must not be read in an answer or a log.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let (first, second) = match &self.proof {
            Fetched::Bearer(token) => (token, None),
            Fetched::Aws(keys) => (&keys.secret_key, keys.session_token.as_ref()),
        };
        std::iter::once(first).chain(second)
    }
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// `TokenUnavailable`, or `ClockSkew` where the node's clock is the cause.
    pub kind: Kind,
    /// A clause, without secrets.
    pub reason: String,
}

/// What a core is told.
#[derive(Clone)]
pub struct Told {
    /// By what it was fetched.
    pub grant: Arc<Grant>,
    /// A token, or why there is none; one of before stays until its end.
    pub outcome: Result<Token, Lack>,
}

struct Entry {
    grant: Arc<Grant>,
    token: Option<Rc<Token>>,
    lack: Option<Lack>,
    /// When a token was last refused by the provider.
    refused_at: Option<Instant>,
    /// When it was last told of.
    told_at: Instant,
}

/// See the module.
#[derive(Default)]
pub struct Tokens {
    entries: RefCell<Vec<Entry>>,
    waiting: RefCell<HashMap<u64, Waker>>,
    next_ticket: Cell<u64>,
}

impl Tokens {
    /// Takes what was fetched, or that nothing was. What has ended, and was not fetched again, goes.
    pub fn tell(&self, Told { grant, outcome }: Told, now: Instant) {
        let mut entries = self.entries.borrow_mut();
        let is_live = |entry: &Entry| {
            let is_new = now.saturating_duration_since(entry.told_at) < FORGET_AFTER;
            is_new || entry.token.as_ref().is_some_and(|token| token.until > now)
        };
        entries.retain(|entry| entry.grant == grant || is_live(entry));
        let at = entries.iter().position(|entry| entry.grant == grant);
        let mut entry = at.map(|at| entries.swap_remove(at)).unwrap_or_else(|| Entry {
            grant: Arc::clone(&grant),
            token: None,
            lack: None,
            refused_at: None,
            told_at: now,
        });
        entry.told_at = now;
        // The newest config's, so that it is found by its address.
        entry.grant = grant;
        match outcome {
            Ok(token) => (entry.token, entry.lack) = (Some(Rc::new(token)), None),
            Err(lack) => entry.lack = Some(lack),
        }
        entries.push(entry);
        drop(entries);
        let waiting: Vec<Waker> = self.waiting.borrow_mut().drain().map(|(_, waker)| waker).collect();
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The token of now; waits for the first one. There is no deadline here; the caller sets [`WAIT_TIMEOUT`]. Errors: the
    /// last fetch failed, or too many wait.
    pub async fn of(&self, grant: &Arc<Grant>) -> Result<Rc<Token>, Lack> {
        let ticket = self.next_ticket.get();
        self.next_ticket.set(ticket.wrapping_add(1));
        let _guard = Ticket { tokens: self, ticket };
        poll_fn(|context| self.poll(grant, ticket, context)).await
    }

    /// The provider refused this token. Whether another is to be fetched for it: once in [`REFETCH_INTERVAL`]; requests wait
    /// for it then.
    pub fn refuse(&self, grant: &Arc<Grant>, number: u64, now: Instant) -> bool {
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = found(&mut entries, grant) else { return false };
        if entry.token.as_ref().is_some_and(|token| token.number > number) {
            return true; // a newer one is here already
        }
        if entry.refused_at.is_some_and(|at| now.saturating_duration_since(at) < REFETCH_INTERVAL) {
            return false;
        }
        (entry.refused_at, entry.token) = (Some(now), None);
        true
    }

    fn poll(
        &self,
        grant: &Arc<Grant>,
        ticket: u64,
        context: &mut Context<'_>,
    ) -> Poll<Result<Rc<Token>, Lack>> {
        let mut entries = self.entries.borrow_mut();
        if let Some(entry) = found(&mut entries, grant) {
            let now = Instant::now();
            if let Some(token) = entry.token.as_ref().filter(|token| token.until > now) {
                return Poll::Ready(Ok(Rc::clone(token)));
            }
            if let Some(lack) = &entry.lack {
                return Poll::Ready(Err(lack.clone()));
            }
        }
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= WAITING_MAX && !waiting.contains_key(&ticket) {
            let reason = "too many requests wait for tokens".to_owned();
            return Poll::Ready(Err(Lack { kind: Kind::TokenUnavailable, reason }));
        }
        waiting.insert(ticket, context.waker().clone());
        Poll::Pending
    }
}

fn found<'a>(entries: &'a mut [Entry], grant: &Arc<Grant>) -> Option<&'a mut Entry> {
    let at = entries.iter().position(|entry| Arc::ptr_eq(&entry.grant, grant));
    // One of another generation is the same where it is equal.
    let at = at.or_else(|| entries.iter().position(|entry| entry.grant == *grant))?;
    entries.get_mut(at)
}

/// Forgets a wait whose request went away.
struct Ticket<'a> {
    tokens: &'a Tokens,
    ticket: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.tokens.waiting.borrow_mut().remove(&self.ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::snapshot::{EntraClient, Origin, Place, Proof};

    fn grant(client_id: &str) -> Arc<Grant> {
        let origin = Origin { tls: false, host: "h".to_owned(), port: 1, transport: Arc::default() };
        let (client_id, scope) = (client_id.to_owned(), "s".to_owned());
        let client = EntraClient { client_id, client_secret: Secret::new("x"), scope };
        let place = Place { origin, authority: "h:1".to_owned(), base_path: "/t".to_owned() };
        Arc::new(Grant { place, proof: Proof::Client(Box::new(client)) })
    }

    fn token(number: u64, until: Instant) -> Token {
        Token { number, proof: Fetched::Bearer(Secret::new("t")), until }
    }

    fn poll(tokens: &Tokens, grant: &Arc<Grant>) -> Option<Result<u64, Lack>> {
        let future = std::pin::pin!(tokens.of(grant));
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(found) => Some(found.map(|token| token.number)),
            Poll::Pending => None,
        }
    }

    fn lack() -> Lack {
        Lack { kind: Kind::TokenUnavailable, reason: "no".to_owned() }
    }

    #[test]
    fn a_token_is_waited_for_and_a_failed_fetch_is_not() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        let (one, other) = (grant("one"), grant("other"));
        let until = now + Duration::from_secs(60);
        assert_eq!(poll(&tokens, &one), None);
        assert_eq!(tokens.waiting.borrow().len(), 0, "who left does not wait");
        tokens.tell(Told { grant: Arc::clone(&one), outcome: Err(lack()) }, now);
        assert_eq!((poll(&tokens, &one), poll(&tokens, &other)), (Some(Err(lack())), None));
        tokens.tell(Told { grant: Arc::clone(&one), outcome: Ok(token(1, until)) }, now);
        assert_eq!(poll(&tokens, &one), Some(Ok(1)));
        tokens.tell(Told { grant: Arc::clone(&one), outcome: Err(lack()) }, now);
        assert_eq!(poll(&tokens, &grant("one")), Some(Ok(1)), "it holds to its end, and for its equal");
        tokens.tell(Told { grant: Arc::clone(&one), outcome: Ok(token(2, now)) }, now);
        assert_eq!(poll(&tokens, &one), None, "it has ended");
        tokens.tell(Told { grant: other, outcome: Ok(token(1, until)) }, now + FORGET_AFTER);
        assert_eq!(tokens.entries.borrow().len(), 1, "what has ended goes");
    }

    #[test]
    fn a_refused_token_is_fetched_anew_once_in_a_while() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        let (one, until) = (grant("one"), now + Duration::from_secs(3600));
        assert!(!tokens.refuse(&one, 1, now), "there is none");
        let tell =
            |number| tokens.tell(Told { grant: Arc::clone(&one), outcome: Ok(token(number, until)) }, now);
        tell(1);
        assert!(tokens.refuse(&one, 1, now));
        assert_eq!(poll(&tokens, &one), None, "the next is waited for");
        tell(2);
        assert!(tokens.refuse(&one, 1, now), "it was refused before the next came");
        assert!(!tokens.refuse(&one, 2, now + Duration::from_secs(29)));
        assert_eq!(poll(&tokens, &one), Some(Ok(2)));
        assert!(tokens.refuse(&one, 2, now + REFETCH_INTERVAL));
    }

    #[test]
    fn no_more_wait_than_may() {
        let (tokens, one) = (Tokens::default(), grant("one"));
        let mut context = Context::from_waker(Waker::noop());
        let mut waits: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(tokens.of(&one))).collect();
        assert!(waits.iter_mut().all(|wait| wait.as_mut().poll(&mut context).is_pending()));
        let refused = poll(&tokens, &one).and_then(Result::err).map(|lack| lack.reason);
        assert_eq!(refused.as_deref(), Some("too many requests wait for tokens"));
        drop(waits);
        assert_eq!(poll(&tokens, &one), None);
    }
}
