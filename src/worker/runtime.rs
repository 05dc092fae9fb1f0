//! The ladder of drivers, walked on the core's own thread: io_uring with all flags, with fewer, with none, then epoll.
//! Each step is taken on the real error of the one before, and a ring that was built must first carry a timer and an
//! echo. A ring made for a single issuer on another thread would hang without a word.

use std::future::Future;
use std::io;
use std::time::{Duration, Instant};

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::time::TimeDriver;
use monoio::{IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder};

use crate::net::{Driver, connect, until};

/// Submission entries of a core's ring; more needs more locked memory (`ulimit -l`).
const RING_ENTRIES: u32 = 1024;
/// How long a new runtime may take for its timer and its echo.
const SELF_TEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Which driver the operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DriverChoice {
    /// The best that works.
    Auto,
    /// io_uring or nothing.
    #[value(name = "io_uring")]
    IoUring,
    /// epoll.
    Epoll,
}

/// What was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The driver.
    pub driver: Driver,
    /// The ring's flags; empty for a plain ring and for epoll.
    pub flags: &'static str,
    /// Why it is not a better one, a reason for each step that failed.
    pub because: Vec<String>,
}

/// A core's runtime.
pub enum CoreRuntime {
    /// On io_uring.
    IoUring(Runtime<TimeDriver<IoUringDriver>>),
    /// On epoll.
    Epoll(Runtime<TimeDriver<LegacyDriver>>),
}

impl CoreRuntime {
    /// Runs `future` to its end on this thread.
    pub fn block_on<F: Future>(mut self, future: F) -> F::Output {
        self.run(future)
    }

    fn run<F: Future>(&mut self, future: F) -> F::Output {
        match self {
            Self::IoUring(runtime) => runtime.block_on(future),
            Self::Epoll(runtime) => runtime.block_on(future),
        }
    }
}

const ALL_FLAGS: &str = "SINGLE_ISSUER|COOP_TASKRUN|DEFER_TASKRUN";
const FEWER_FLAGS: &str = "SINGLE_ISSUER|COOP_TASKRUN";

/// Builds the best runtime that `choice` allows and that passes its self-test. Errors: every step's reason.
pub fn build(choice: DriverChoice) -> io::Result<(CoreRuntime, Built)> {
    let mut because = Vec::new();
    if choice != DriverChoice::Epoll {
        for flags in [ALL_FLAGS, FEWER_FLAGS, ""] {
            match ring(flags).and_then(|runtime| tested(CoreRuntime::IoUring(runtime), Driver::IoUring)) {
                Ok(runtime) => return Ok((runtime, Built { driver: Driver::IoUring, flags, because })),
                Err(error) => because.push(format!("io_uring({flags}): {error}")),
            }
        }
    }
    if choice == DriverChoice::IoUring {
        return Err(io::Error::other(because.join("; ")));
    }
    let runtime = RuntimeBuilder::<LegacyDriver>::new().enable_timer().build()?;
    let runtime = tested(CoreRuntime::Epoll(runtime), Driver::Epoll)?;
    Ok((runtime, Built { driver: Driver::Epoll, flags: "", because }))
}

fn ring(flags: &str) -> io::Result<Runtime<TimeDriver<IoUringDriver>>> {
    let mut ring = io_uring::IoUring::builder();
    if !flags.is_empty() {
        ring.setup_single_issuer().setup_coop_taskrun();
    }
    if flags == ALL_FLAGS {
        ring.setup_defer_taskrun();
    }
    let builder = RuntimeBuilder::<IoUringDriver>::new().uring_builder(ring).with_entries(RING_ENTRIES);
    builder.enable_timer().build()
}

fn tested(mut runtime: CoreRuntime, driver: Driver) -> io::Result<CoreRuntime> {
    runtime.run(async {
        let deadline = Instant::now() + SELF_TEST_TIMEOUT;
        monoio::time::sleep(Duration::from_millis(1)).await;
        let echoed = until(deadline, echo(driver, deadline)).await;
        echoed.unwrap_or_else(|| Err(io::Error::new(io::ErrorKind::TimedOut, "the self-test hung")))
    })?;
    Ok(runtime)
}

/// Bytes to ourselves over loopback.
async fn echo(driver: Driver, deadline: Instant) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (mut near, _) = connect::connect(driver, &[address], deadline).await?;
    let (mut far, _): (TcpStream, _) = listener.accept().await?;
    near.write_all(b"echo".to_vec()).await.0?;
    let (read, bytes) = far.read(vec![0; 8]).await;
    match bytes.get(..read?) {
        Some(b"echo") => Ok(()),
        _ => Err(io::Error::other("the self-test read other bytes than it wrote")),
    }
}
