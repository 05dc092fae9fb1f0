//! `relay`: the bare TCP relay as a program, pinned to one core.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use corelane_loadtest::{relay, ring};

/// Joins each connection to one of the upstream and moves the bytes.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:9200")]
    listen: SocketAddr,
    /// Whom to join each connection to.
    #[arg(long, default_value = "127.0.0.1:9100")]
    upstream: SocketAddr,
    /// The event interface.
    #[arg(long, value_enum, default_value = "auto")]
    driver: ring::Driver,
    /// The core to pin the thread to.
    #[arg(long)]
    core: Option<usize>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(core) = arguments.core
        && !ring::pin(core)
    {
        eprintln!("relay: cannot pin to core {core}");
    }
    match ring::run(arguments.driver, relay::serve(arguments.listen, arguments.upstream)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) | Err(error) => {
            eprintln!("relay: {error}");
            ExitCode::FAILURE
        }
    }
}
