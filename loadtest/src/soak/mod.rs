//! The soak: corelane as a process, a provider that does everything wrong that a provider can, callers that do the same,
//! and among them some that behave. Afterwards everyone leaves, and the node must be as it was: descriptors, memory,
//! connections, log, and no answer that was another's. It measures no speed.
//!
//! Everything is blocking threads: a peer that misbehaves is easiest to write, and to read, as a sequence. A run's choices
//! come from its seed; what the machine does between them does not.

pub mod answer;
pub mod caller;
pub mod chance;
pub mod deeds;
pub mod faults;
pub mod identity;
pub mod node;
pub mod provider;
pub mod speech;
pub mod tally;
pub mod verdict;
pub mod wire;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;

use caller::{Caller, Place};
use identity::Identity;
use node::{Metrics, Node, Use};
use provider::Provider;
use tally::{Tally, pause, pause_ms};
use verdict::Verdict;

/// Callers and providers that misbehave, around corelane; fails when the node is not afterwards what it was before.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// The program under test.
    #[arg(long, default_value = "target/release/corelane")]
    pub corelane: PathBuf,
    /// How long all rounds together put load on their nodes, seconds.
    #[arg(long, default_value_t = 600)]
    pub seconds: u64,
    /// Drivers, each with `+tls` behind it or not; a round and a node for each.
    #[arg(long, value_delimiter = ',', default_value = "io_uring,epoll,io_uring+tls,epoll+tls")]
    pub rounds: Vec<String>,
    /// Repeats a run's choices; 0: one of its own, which is printed.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Callers that misbehave.
    #[arg(long, default_value_t = 24)]
    pub callers: usize,
    /// Callers that behave.
    #[arg(long, default_value_t = 6)]
    pub controls: usize,
}

/// The part of a round that comes before the first look at memory, out of so many.
const WARM_UP_PART: u32 = 4;

/// Longest wait for the node to be at rest after everyone has left.
const SETTLE_MAX: Duration = Duration::from_secs(30);

/// Runs one round: `driver` is its word in [`Options::rounds`].
pub fn round(options: &Options, driver: &str, length: Duration, seed: u64) -> io::Result<Verdict> {
    let (driver, with_tls) = match driver.strip_suffix("+tls") {
        Some(driver) => (driver, true),
        None => (driver, false),
    };
    let identity = with_tls.then(Identity::new).transpose()?;
    let tally = Arc::new(Tally::default());
    let provider = Provider::start(seed, identity.as_ref().map(Identity::server).transpose()?, &tally)?;
    let mut node = Node::start(&options.corelane, driver, identity.as_ref(), &provider)?;
    let tls = identity.as_ref().map(Identity::client).transpose()?;
    let place = Place { address: node.address, tls, tally, seed };
    deeds::ask_cleanly(&mut Caller::new(&place, 900_001));
    let before = at_rest(&node, Some(&provider), None)?;
    let warm_up = length / WARM_UP_PART;
    load(options, &place, warm_up, 0);
    let warm = at_rest(&node, Some(&provider), Some(before.usage.descriptors))?;
    load(options, &place, length - warm_up, 1000);
    let after = at_rest(&node, Some(&provider), Some(before.usage.descriptors))?;
    deeds::ask_cleanly(&mut Caller::new(&place, 900_002));
    let last = at_rest(&node, None, None)?;
    let exit_code = node.end();
    let outcome = Outcome {
        rests: [before, warm, after, last],
        warm_up,
        upstream_connections: provider.accepted(),
        exit_code,
        said: node.said(),
    };
    Ok(Verdict::new(&outcome, &place.tally))
}

/// Everyone calls for so long, then comes to an end.
fn load(options: &Options, place: &Place, length: Duration, first: usize) {
    place.tally.stop(false);
    thread::scope(|scope| {
        for number in 1..=options.callers {
            scope.spawn(move || {
                let mut caller = Caller::new(place, first + number);
                while !place.tally.stops() {
                    deeds::act(&mut caller);
                }
            });
        }
        for number in 1..=options.controls {
            scope.spawn(move || deeds::behave(&mut Caller::new(place, first + 500 + number)));
        }
        pause(length);
        place.tally.stop(true);
    });
}

/// What a round ends with.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The node at rest: before, after the warm-up, at the end, and after the last clean requests.
    pub rests: [Rest; 4],
    /// How long the warm-up was.
    pub warm_up: Duration,
    /// Connections that the node made.
    pub upstream_connections: u64,
    /// After TERM; `None`: it did not end.
    pub exit_code: Option<i32>,
    /// Its lines since the start line.
    pub said: Vec<String>,
}

/// What the node is like when nobody wants anything of it.
#[derive(Clone, Debug)]
pub struct Rest {
    /// What it takes of the machine.
    pub usage: Use,
    /// What it counts.
    pub metrics: Metrics,
    /// Connections that it still holds to its provider.
    pub upstream: usize,
    /// How long it took to come to rest; `None`: it did not.
    pub settled_after: Option<Duration>,
}

/// Waits until nothing is under way; `provider`: and until no connection to it is left; `descriptors`: and until no more
/// are open than these.
fn at_rest(node: &Node, provider: Option<&Provider>, descriptors: Option<usize>) -> io::Result<Rest> {
    let began = Instant::now();
    loop {
        let (metrics, usage, upstream) = (node.metrics()?, node.usage()?, provider.map_or(0, Provider::open));
        let is_quiet = metrics.sum("bifrost_active_requests") == 0.0
            // The one that asks.
            && metrics.sum("corelane_connections") <= 1.0
            && metrics.sum("corelane_log_records_queued") == 0.0
            && metrics.sum("corelane_body_bytes_held") == 0.0;
        let is_back = descriptors.is_none_or(|before| usage.descriptors <= before);
        let has_rested = is_quiet && is_back && upstream == 0;
        if has_rested || began.elapsed() > SETTLE_MAX {
            let settled_after = has_rested.then(|| began.elapsed());
            return Ok(Rest { usage, metrics, upstream, settled_after });
        }
        pause_ms(100);
    }
}
