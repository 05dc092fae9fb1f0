//! The listener's certificates after the start: read again on HUP by a helper thread, checked whole, and handed to every
//! core, or not at all. Connections that are open go on as they are.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::UnixTime;
use tokio::task::{JoinError, JoinHandle};

use crate::config::snapshot::ServerTls;
use crate::gateway::Message;
use crate::net::listen_tls::{self, Certified};
use crate::net::mailbox::Post;

/// Threads that a reading needs.
pub(super) const THREADS_MAX: usize = 1;
/// Between two tries to tell a core whose mailbox is full.
const RETELL_INTERVAL: Duration = Duration::from_millis(50);

type Reading = JoinHandle<Result<Certified, String>>;

/// See the module.
pub(super) struct Certificates {
    tls: Option<ServerTls>,
    posts: Vec<Post<Message>>,
    reading: Option<Reading>,
    /// Asked for while a reading ran, which may have been past the file that changed.
    again: bool,
    /// The cores that could not be told yet.
    untold: Vec<(Post<Message>, Arc<ServerConfig>)>,
}

impl Certificates {
    /// Of the listener that the cores with these mailboxes serve; `tls` is absent when it is plain.
    pub(super) fn new(tls: Option<ServerTls>, posts: Vec<Post<Message>>) -> Self {
        Self { tls, posts, reading: None, again: false, untold: Vec::new() }
    }

    /// Begins to read them again. Does not wait.
    pub(super) fn reload(&mut self) {
        let Some(tls) = self.tls.clone() else {
            tracing::warn!("HUP: this version does not reload; restart to apply a changed config");
            return;
        };
        if self.reading.is_some() {
            self.again = true;
            return;
        }
        tracing::info!(
            "HUP: reading the certificates of server.tls again; the config itself is not reloaded: restart to apply a change"
        );
        self.reading = Some(tokio::task::spawn_blocking(move || listen_tls::read(&tls, UnixTime::now())));
    }

    /// Goes one step on with what is to be done; waits for ever when that is nothing. Does nothing when dropped.
    pub(super) async fn work(&mut self) {
        if let Some(reading) = &mut self.reading {
            let read = reading.await;
            self.reading = None;
            self.take(read);
        } else if !self.untold.is_empty() {
            tokio::time::sleep(RETELL_INTERVAL).await;
            self.tell();
        } else {
            pending().await
        }
    }

    fn take(&mut self, read: Result<Result<Certified, String>, JoinError>) {
        match read {
            Ok(Ok(certified)) => {
                if let Some(warning) = &certified.warning {
                    tracing::warn!("{warning}");
                }
                self.untold = self.posts.iter().map(|post| (post.clone(), certified.for_core())).collect();
                self.tell();
                tracing::info!("the certificates of server.tls were read again; new connections have them");
            }
            Ok(Err(fault)) => tracing::error!(fault, "the certificates of server.tls stay as they were"),
            Err(error) => tracing::error!(%error, "the certificates of server.tls stay as they were"),
        }
        if std::mem::take(&mut self.again) {
            self.reload();
        }
    }

    fn tell(&mut self) {
        self.untold.retain(|(post, config)| post.send(Message::Certificates(Arc::clone(config))).is_err());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::snapshot::{Pem, Secret, Whence};
    use crate::net::mailbox::{Mailbox, mailbox};
    use tokio::sync::oneshot;

    fn tls() -> ServerTls {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let pem = |name: &str, text: String| Pem::Text { whence: Whence::Variable(name.to_owned()), text: Secret::new(text) };
        let (cert, key) = (pem("CERT", made.cert.pem()), pem("KEY", made.signing_key.serialize_pem()));
        ServerTls { cert, key, client_ca: None }
    }

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    /// How many configs came to a core, until the posts are gone.
    fn count(mailbox: Mailbox<Message>) -> std::thread::JoinHandle<usize> {
        std::thread::spawn(move || {
            let count = std::rc::Rc::new(std::cell::Cell::new(0));
            let counted = std::rc::Rc::clone(&count);
            let runtime = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().build();
            let served = mailbox.serve(crate::net::Driver::Epoll, move |message| {
                counted.set(counted.get() + usize::from(matches!(message, Message::Certificates(_))));
                true
            });
            runtime.unwrap().block_on(served).unwrap();
            count.get()
        })
    }

    #[test]
    fn each_core_is_told_once_for_each_reading_also_one_that_is_busy() {
        let (free, busy) = (mailbox().unwrap(), mailbox().unwrap());
        while busy.0.send(Message::Sample(oneshot::channel().0)).is_ok() {}
        let counted = [count(free.1)];
        let busy_counted = run(async {
            let mut certificates = Certificates::new(Some(tls()), vec![free.0, busy.0]);
            certificates.reload();
            certificates.reload();
            certificates.reload();
            certificates.work().await;
            assert_eq!((certificates.untold.len(), certificates.reading.is_some()), (1, true));
            certificates.work().await;
            assert_eq!((certificates.untold.len(), certificates.reading.is_some()), (1, false));
            let busy_counted = count(busy.1);
            while !certificates.untold.is_empty() {
                certificates.work().await;
            }
            busy_counted
        });
        // The busy one has the newest only.
        assert_eq!(counted.map(|core| core.join().unwrap()), [2]);
        assert_eq!(busy_counted.join().unwrap(), 1);
    }

    #[test]
    fn a_fault_changes_nothing() {
        let (post, mailbox) = mailbox().unwrap();
        let counted = count(mailbox);
        run(async {
            let mut tls = tls();
            tls.key = Pem::File("/nonexistent/key.pem".into());
            let mut certificates = Certificates::new(Some(tls), vec![post]);
            certificates.reload();
            certificates.work().await;
            assert!(certificates.untold.is_empty() && certificates.reading.is_none());
        });
        assert_eq!(counted.join().unwrap(), 0);
    }
}
