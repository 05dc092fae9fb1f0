//! `drive`: measures servers side by side and prints the table.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use corelane_loadtest::drive::{self, Options};
use corelane_loadtest::ring::{self, Driver};

fn main() -> ExitCode {
    let options = Options::parse();
    if !ring::pin(options.load_core) {
        eprintln!("drive: cannot pin to core {}: this needs a machine of two cores", options.load_core);
        return ExitCode::FAILURE;
    }
    match ring::run(Driver::Auto, drive::run(&options)).flatten().and_then(|report| print(&options, &report))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drive: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print(options: &Options, report: &drive::report::Report) -> io::Result<()> {
    writeln!(io::stdout(), "{}", report.to_markdown())?;
    match &options.json {
        Some(path) => std::fs::write(path, report.to_json().to_string()),
        None => Ok(()),
    }
}
