//! One pinned thread's runtime: the ladder of ring flags, then epoll. It is the measuring side's own copy of the
//! gateway's ladder, so that the floor is measured under the same flags.

use std::future::Future;
use std::io;

use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

/// Submission queue entries of the ring; 256 to 1024 keep a small RLIMIT_MEMLOCK satisfied.
const RING_ENTRIES: u32 = 1024;

/// Which event interface carries the sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Driver {
    /// io_uring where the kernel lets us, else epoll.
    Auto,
    /// io_uring or a failure.
    IoUring,
    /// epoll.
    Epoll,
}

/// Runs the future on this thread until it ends; says on stderr which driver carries it.
pub fn run<F: Future>(driver: Driver, future: F) -> io::Result<F::Output> {
    let mut refused = None;
    if driver != Driver::Epoll {
        for (name, flags) in ladder() {
            let builder =
                RuntimeBuilder::<IoUringDriver>::new().with_entries(RING_ENTRIES).uring_builder(flags);
            match builder.enable_timer().build() {
                Ok(mut runtime) => {
                    eprintln!("driver: io_uring ({name})");
                    return Ok(runtime.block_on(future));
                }
                Err(error) => refused = Some(error),
            }
        }
    }
    if let (Driver::IoUring, Some(error)) = (driver, refused) {
        return Err(error);
    }
    let mut runtime = RuntimeBuilder::<LegacyDriver>::new().enable_timer().build()?;
    eprintln!("driver: epoll");
    Ok(runtime.block_on(future))
}

/// Pins the calling thread to a core by its number; false when the machine does not let us.
pub fn pin(core: usize) -> bool {
    core_affinity::set_for_current(core_affinity::CoreId { id: core })
}

fn ladder() -> [(&'static str, io_uring::Builder); 3] {
    let mut deferred = io_uring::IoUring::builder();
    deferred.setup_single_issuer().setup_coop_taskrun().setup_defer_taskrun();
    let mut cooperative = io_uring::IoUring::builder();
    cooperative.setup_single_issuer().setup_coop_taskrun();
    [
        ("single_issuer, coop_taskrun, defer_taskrun", deferred),
        ("single_issuer, coop_taskrun", cooperative),
        ("no flags", io_uring::IoUring::builder()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_drivers_run_a_future() {
        assert_eq!(run(Driver::Epoll, async { 7 }).unwrap(), 7);
        assert_eq!(run(Driver::Auto, async { 8 }).unwrap(), 8);
    }
}
