//! How cores come to a new config: copies made ready for each of them off the cores, handed over by mailbox, and waited for.
//! It decides nothing about the config.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::ServerConfig;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::config::snapshot::Snapshot;
use crate::gateway::{Adopted, Adoption, Message};
use crate::net::listen_tls::Certified;
use crate::net::mailbox::Post;
use crate::net::tls::Roots;

/// How long all cores together may take to run what they were handed.
pub(super) const ADOPT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two tries to hand over to a core whose mailbox is full.
const RETELL_INTERVAL: Duration = Duration::from_millis(50);

/// What one core is handed.
pub(super) struct Share {
    adopted: Option<Adopted>,
    certificates: Option<Arc<ServerConfig>>,
}

/// A share for each core: the snapshot, when there is a new one, and the certificates, when these are. Takes long: not for
/// the control plane's own thread. Errors: see [`Roots::clients`].
pub(super) fn shares(
    snapshot: Option<(&Snapshot, Timestamp)>,
    certified: Option<&Certified>,
    roots: &Roots,
    cores: usize,
) -> Result<Vec<Share>, String> {
    let certificates = || certified.map(Certified::for_core);
    let Some((snapshot, loaded_at)) = snapshot else {
        return Ok((0..cores).map(|_| Share { adopted: None, certificates: certificates() }).collect());
    };
    let clients = roots.clients(snapshot, cores).map_err(|error| error.to_string())?;
    let share = |clients| Share {
        adopted: Some(Adopted { snapshot: snapshot.clone(), clients, loaded_at }),
        certificates: certificates(),
    };
    Ok(clients.into_iter().map(share).collect())
}

/// Hands each core its share. Gives the cores that do not run it after [`ADOPT_TIMEOUT`]; one whose mailbox stays full is
/// told on by `tellers`, until these are dropped.
pub(super) async fn hand_over(
    posts: &[Post<Message>],
    shares: Vec<Share>,
    tellers: &mut JoinSet<()>,
) -> Vec<usize> {
    let deadline = Instant::now() + ADOPT_TIMEOUT;
    let mut awaited = Vec::with_capacity(shares.len());
    for (post, Share { adopted, certificates }) in posts.iter().zip(shares) {
        let (reply, runs) = oneshot::channel();
        let message = Message::Adopt(Box::new(Adoption { adopted, certificates, reply }));
        if let Err(message) = post.send(message) {
            tellers.spawn(tell(post.clone(), message));
        }
        awaited.push(runs);
    }
    let mut late = Vec::new();
    for (core, runs) in awaited.into_iter().enumerate() {
        if !matches!(timeout_at(deadline, runs).await, Ok(Ok(()))) {
            late.push(core);
        }
    }
    late
}

/// Hands who fetches tokens its share, and does not wait: requests do, for a token.
pub(super) fn tell_clerk(post: &Post<Message>, Share { adopted, .. }: Share) {
    let (reply, _runs) = oneshot::channel();
    let adoption = Adoption { adopted, certificates: None, reply };
    let _ended = post.insist(Message::Adopt(Box::new(adoption)));
}

async fn tell(post: Post<Message>, mut message: Message) {
    loop {
        tokio::time::sleep(RETELL_INTERVAL).await;
        match post.send(message) {
            Ok(()) => return,
            Err(back) => message = back,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Driver;
    use crate::net::mailbox::{Mailbox, mailbox};

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    const CONFIG: &[u8] =
        br#"{"providers":{"openai":{"keys":[{"name":"only","value":"k","models":["*"],"weight":1}]}}}"#;

    fn snapshot() -> Snapshot {
        let mut snapshot = crate::config::load(CONFIG, "config.json", &|_: &str| None).unwrap().snapshot;
        snapshot.generation = 7;
        snapshot
    }

    /// The generations that come to a core, until its posts are gone.
    fn serve(mailbox: Mailbox<Message>) -> std::sync::mpsc::Receiver<u64> {
        let (sender, generations) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().build();
            let served = mailbox.serve(Driver::Epoll, move |message| {
                if let Message::Adopt(adoption) = message {
                    let _ = sender.send(adoption.adopted.map(|adopted| adopted.snapshot.generation).unwrap());
                    let _ = adoption.reply.send(());
                }
                true
            });
            runtime.unwrap().block_on(served)
        });
        generations
    }

    #[test]
    fn a_core_whose_mailbox_is_full_is_told_again() {
        let (free, busy) = (mailbox().unwrap(), mailbox().unwrap());
        while busy.0.send(Message::Sample(oneshot::channel().0)).is_ok() {}
        let generations = serve(free.1);
        let shares = shares(Some((&snapshot(), Timestamp::UNIX_EPOCH)), None, &Roots::bundled(), 2).unwrap();
        run(async {
            let mut tellers = JoinSet::new();
            let posts = [free.0, busy.0];
            let handed = hand_over(&posts, shares, &mut tellers);
            let served = async {
                tokio::time::sleep(RETELL_INTERVAL).await;
                serve(busy.1)
            };
            let (late, busy) = tokio::join!(handed, served);
            assert_eq!(late, [0; 0]);
            assert_eq!((busy.recv(), generations.recv()), (Ok(7), Ok(7)));
        });
    }

    #[test]
    fn a_core_that_has_ended_is_named() {
        let (free, ended) = (mailbox().unwrap(), mailbox().unwrap());
        let _generations = serve(free.1);
        let shares = shares(Some((&snapshot(), Timestamp::UNIX_EPOCH)), None, &Roots::bundled(), 2).unwrap();
        // It takes the message and never runs it.
        let queue = ended.1;
        run(async {
            let mut tellers = JoinSet::new();
            let posts = [free.0, ended.0];
            let handed = hand_over(&posts, shares, &mut tellers);
            let gone = async { drop(queue) };
            let (late, ()) = tokio::join!(handed, gone);
            assert_eq!(late, [1]);
        });
    }
}
