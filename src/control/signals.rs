//! What the process is told by signals, as they come. It heeds none itself.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// To end the node; the signal's name.
    End(&'static str),
    /// To read the config again.
    Reload,
}

/// The signals that are heeded.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// From now on they end nothing by themselves. Errors: they cannot be taken.
    pub(super) fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// What signals ask for, as they come.
    pub(super) fn forwarded(mut self) -> mpsc::Receiver<Told> {
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(async move {
            loop {
                let told = self.next().await;
                if sender.send(told).await.is_err() {
                    return;
                }
            }
        });
        receiver
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::End("TERM"),
            _ = self.interrupt.recv() => Told::End("INT"),
            _ = self.hangup.recv() => Told::Reload,
        }
    }
}
