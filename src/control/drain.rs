//! A drain under way: every core is told its deadline, again where its mailbox is full, and one that does not end in time
//! is given up. It waits for nothing itself.

use std::time::{Duration, Instant};

use crate::gateway::Message;
use crate::net::mailbox::Post;

/// Between two tries to tell a core to drain.
const RETELL_INTERVAL: Duration = Duration::from_millis(50);
/// Longest drain that may be asked for.
pub(super) const DRAIN_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the node's end may take.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// What runs may run on so long.
    pub(super) drain: Duration,
    /// A core may take so long to end after that.
    pub(super) end: Duration,
}

/// See the module.
pub(super) struct Drain {
    /// When cores cut what still runs.
    deadline: Instant,
    /// When a core that has not ended is wedged.
    given_up: Instant,
    /// A signal asked for it, so that a second one means at once.
    pub(super) is_signalled: bool,
    /// The cores that could not be told yet.
    untold: Vec<Post<Message>>,
    /// When they are told again.
    retell: Instant,
}

impl Drain {
    /// Tells the cores.
    pub(super) fn begin(posts: Vec<Post<Message>>, patience: Patience, is_signalled: bool) -> Self {
        let now = Instant::now();
        let deadline = now + patience.drain.min(DRAIN_MAX);
        let given_up = deadline + patience.end;
        let mut drain = Self { deadline, given_up, is_signalled, untold: posts, retell: now };
        drain.tell(now);
        if !drain.untold.is_empty() {
            tracing::warn!(cores = drain.untold.len(), "a core's mailbox is full; telling it again to drain");
        }
        drain
    }

    /// The one that ends first. Cores heed the last deadline that they are told.
    pub(super) fn or_sooner(self, posts: Vec<Post<Message>>, patience: Patience) -> Self {
        match Instant::now() + patience.drain < self.deadline {
            true => Self::begin(posts, patience, true),
            false => Self { is_signalled: true, ..self },
        }
    }

    fn tell(&mut self, now: Instant) {
        let deadline = self.deadline;
        self.untold.retain(|post| post.send(Message::Drain { deadline }).is_err());
        self.retell = now + RETELL_INTERVAL;
    }

    /// When [`Drain::goes_on`] is to be asked.
    pub(super) fn next(&self) -> Instant {
        if self.untold.is_empty() { self.given_up } else { self.given_up.min(self.retell) }
    }

    /// `false`: it has taken too long.
    pub(super) fn goes_on(&mut self) -> bool {
        let now = Instant::now();
        if now >= self.given_up {
            tracing::error!("a core did not end in its time after the drain; ending the node without it");
            return false;
        }
        self.tell(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Driver;
    use crate::net::mailbox::mailbox;
    use tokio::sync::oneshot;

    #[test]
    fn a_core_whose_mailbox_is_full_is_told_again() {
        let (post, mailbox) = mailbox().unwrap();
        while post.send(Message::Sample(oneshot::channel().0)).is_ok() {}
        let patience = Patience { drain: Duration::from_secs(9), end: Duration::from_secs(9) };
        let mut drain = Drain::begin(vec![post], patience, true);
        assert!(drain.next() < drain.deadline && drain.goes_on());
        assert_eq!(drain.untold.len(), 1);
        let (told, deadlines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().build();
            let served = mailbox.serve(Driver::Epoll, move |message| match message {
                Message::Drain { deadline } => told.send(deadline).is_ok(),
                _ => true,
            });
            runtime.unwrap().block_on(served)
        });
        let test = async {
            while !drain.untold.is_empty() {
                tokio::time::sleep_until(drain.next().into()).await;
                assert!(drain.goes_on());
            }
        };
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
        assert_eq!(deadlines.recv(), Ok(drain.deadline));
        assert_eq!(drain.next(), drain.given_up);
    }

    #[test]
    fn a_signal_shortens_a_drain_and_never_lengthens_one() {
        let (post, _mailbox) = mailbox().unwrap();
        let within = |seconds| Patience { drain: Duration::from_secs(seconds), end: Duration::from_secs(1) };
        let asked = Drain::begin(vec![post.clone()], within(60), false);
        let long = asked.deadline;
        let kept = asked.or_sooner(vec![post.clone()], within(600));
        assert!(kept.deadline == long && kept.is_signalled);
        assert!(kept.or_sooner(vec![post], within(30)).deadline < long);
    }
}
