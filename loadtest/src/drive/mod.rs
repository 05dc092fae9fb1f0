//! The runner: several servers in front of one mock provider, measured in turn (A B C, A B C, …) within one run.
//! The server under measure is on one core, the mock, the load and the database on the other. It judges nothing:
//! it prints what it measured.

pub mod cases;
pub mod load;
pub mod postgres;
pub mod process;
pub mod report;
pub mod response;
pub mod servers;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::ring::Driver;
use cases::Case;
use report::{Report, Row};
use servers::{Fleet, Kind, Server};

/// Measures corelane, nginx and a bare relay side by side: CPU per request and requests per second.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// The corelane binary.
    #[arg(long, default_value = "target/release/corelane")]
    pub corelane: PathBuf,
    /// The corelane binary's event interface (`corelane-epoll` always takes epoll).
    #[arg(long, value_enum, default_value = "auto")]
    pub driver: Driver,
    /// Which servers, in the order of a round.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "relay,nginx,corelane,corelane-log,corelane-log-bodies"
    )]
    pub servers: Vec<Kind>,
    /// Which loads.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "1k,16k,stream")]
    pub cases: Vec<Case>,
    /// Rounds; the table holds their medians.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Seconds of one measurement.
    #[arg(long, default_value_t = 2.5)]
    pub seconds: f64,
    /// Seconds of load before each measurement.
    #[arg(long, default_value_t = 0.4)]
    pub warm_seconds: f64,
    /// Connections, each with one request at a time.
    #[arg(long, default_value_t = 64)]
    pub connections: usize,
    /// The core of the server under measure.
    #[arg(long, default_value_t = 0)]
    pub server_core: usize,
    /// The core of the mock, the load and the database.
    #[arg(long, default_value_t = 1)]
    pub load_core: usize,
    /// Where to write the figures as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// Longest wait for a server to become quiet after its load, so that its leftovers are not in the next one's figures.
const SETTLE_MS_MAX: u64 = 2_000;

/// Starts everything, measures, ends everything; the report also when a server failed in some case.
pub async fn run(options: &Options) -> io::Result<Report> {
    let mut fleet = Fleet::start(options).await?;
    let measured = measure_all(options, &mut fleet).await;
    fleet.stop().await;
    measured
}

async fn measure_all(options: &Options, fleet: &mut Fleet) -> io::Result<Report> {
    let mut report = Report::new(options);
    for case in &options.cases {
        for round in 0..options.rounds {
            for server in &fleet.servers {
                eprintln!("{case} round {} of {}: {}", round + 1, options.rounds, server.kind);
                let row = measure(options, *case, server).await?;
                report.add(*case, server.kind, row);
                settle(fleet, server).await?;
            }
        }
    }
    for server in &fleet.servers {
        report.resident.push((server.kind, process::resident_kib(&server.pids())));
        if server.kind.writes_rows() {
            report.log_counts.push((server.kind, server.log_counts()));
        }
    }
    Ok(report)
}

async fn measure(options: &Options, case: Case, server: &Server) -> io::Result<Row> {
    let load = load::start(server.address(case), case.request(server.kind), options.connections);
    monoio::time::sleep(Duration::from_secs_f64(options.warm_seconds)).await;
    let pids = server.pids();
    let (before, counted_before) = (process::cpu(&pids)?, load.count());
    let started = std::time::Instant::now();
    monoio::time::sleep(Duration::from_secs_f64(options.seconds)).await;
    let (after, counted_after) = (process::cpu(&pids)?, load.count());
    let seconds = started.elapsed().as_secs_f64();
    load.stop().await;
    Ok(Row::new(&before, &after, counted_before, counted_after, seconds))
}

/// Waits until neither the server nor the database burns CPU.
async fn settle(fleet: &Fleet, server: &Server) -> io::Result<()> {
    if !server.kind.writes_rows() {
        return Ok(());
    }
    let step_ms = 200;
    let mut pids = server.pids();
    pids.extend(fleet.postgres_pids());
    for _ in 0..SETTLE_MS_MAX / step_ms {
        let before = process::cpu(&pids)?;
        monoio::time::sleep(Duration::from_millis(step_ms)).await;
        if process::cpu(&pids)?.since(&before).total_us < 10_000.0 {
            break;
        }
    }
    Ok(())
}
