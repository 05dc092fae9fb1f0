//! `mock`: the mock provider as a program, one thread.

use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;

use clap::Parser;
use corelane_loadtest::mock::settings::Settings;
use corelane_loadtest::mock::{self, Mock};
use corelane_loadtest::ring;
use monoio::net::TcpListener;

fn main() -> ExitCode {
    let settings = Settings::parse();
    if let Some(core) = settings.core
        && !ring::pin(core)
    {
        eprintln!("mock: cannot pin to core {core}");
    }
    match ring::run(settings.driver, serve(settings)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) | Err(error) => {
            eprintln!("mock: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says on stdout where it listens, so that a test can ask for port 0.
async fn serve(settings: Settings) -> io::Result<()> {
    let listener = TcpListener::bind(settings.listen)?;
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {}", listener.local_addr()?)?;
    stdout.flush()?;
    mock::serve(listener, Rc::new(Mock::new(settings))).await
}
