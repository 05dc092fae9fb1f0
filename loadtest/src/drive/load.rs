//! The load: connections that each send the same request again as soon as its answer is whole. A failed connection is
//! counted and opened again.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::TcpStream;
use monoio::task::JoinHandle;

use super::response::Reader;

/// Bytes of one connection's reading buffer.
const READ_BYTES: usize = 32 * 1024;

/// Wait after a failed connection, so that a dead server does not spin the load.
const RECONNECT_MS: u64 = 20;

/// Longest wait for the last answers.
const STOP_MS_MAX: u64 = 5_000;

/// What was counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Answers that came whole, with status 200.
    pub answers: u64,
    /// Events in them and in those that still run.
    pub events: u64,
    /// Connections that failed.
    pub failures: u64,
}

/// Connections at work.
pub struct Load {
    shared: Rc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    count: Cell<Count>,
    is_over: Cell<bool>,
    /// The first failure is told; the others are counted.
    told: RefCell<bool>,
}

/// Opens the connections and lets them work.
pub fn start(address: SocketAddr, request: Bytes, connections: usize) -> Load {
    let shared = Rc::<Shared>::default();
    let tasks =
        (0..connections).map(|_| monoio::spawn(work(address, request.clone(), shared.clone()))).collect();
    Load { shared, tasks }
}

impl Load {
    /// What was counted so far.
    pub fn count(&self) -> Count {
        self.shared.count.get()
    }

    /// Lets the running answers end, then closes.
    pub async fn stop(self) {
        self.shared.is_over.set(true);
        let all = async {
            for task in self.tasks {
                task.await;
            }
        };
        if monoio::time::timeout(Duration::from_millis(STOP_MS_MAX), all).await.is_err() {
            eprintln!("load: some answers never ended");
        }
    }
}

async fn work(address: SocketAddr, request: Bytes, shared: Rc<Shared>) {
    while !shared.is_over.get() {
        let Err(error) = converse(address, &request, &shared).await else { return };
        let count = shared.count.get();
        shared.count.set(Count { failures: count.failures + 1, ..count });
        if !shared.told.replace(true) {
            eprintln!("load: {error}");
        }
        monoio::time::sleep(Duration::from_millis(RECONNECT_MS)).await;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "an address, not a name, and the future is never dropped midway"
)]
async fn converse(address: SocketAddr, request: &Bytes, shared: &Shared) -> io::Result<()> {
    let mut stream = TcpStream::connect_addr(address).await?;
    stream.set_nodelay(true)?;
    let mut reader = Reader::default();
    let mut buffer = Vec::with_capacity(READ_BYTES);
    while !shared.is_over.get() {
        stream.write_all(request.clone()).await.0?;
        loop {
            let (outcome, filled) = stream.read(buffer).await;
            if outcome? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let progress = reader.feed(&filled).map_err(io::Error::other)?;
            buffer = filled;
            let count = shared.count.get();
            let answers = count.answers + u64::from(progress.is_whole);
            shared.count.set(Count { answers, events: count.events + progress.events, ..count });
            if progress.is_whole {
                break;
            }
        }
    }
    Ok(())
}
