//! `soak`: callers and providers that misbehave, around corelane; prints what it saw and fails on anything amiss.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use corelane_loadtest::soak::{self, Options};

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all rounds went well.
fn run(options: &Options) -> io::Result<bool> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = if options.seed == 0 { now.as_secs() } else { options.seed };
    let rounds = u32::try_from(options.rounds.len()).unwrap_or(1).max(1);
    let length = Duration::from_secs(options.seconds) / rounds;
    let mut stdout = io::stdout();
    let mut is_well = true;
    for driver in &options.rounds {
        writeln!(stdout, "soak: {driver}, {} s, seed {seed}", length.as_secs())?;
        let began = Instant::now();
        let verdict = soak::round(options, driver, length, seed)?;
        writeln!(stdout, "{verdict}  took {:.1} s", began.elapsed().as_secs_f64())?;
        is_well &= verdict.is_well();
    }
    writeln!(stdout, "soak: {}", if is_well { "well" } else { "NOT well; repeat it with --seed" })?;
    Ok(is_well)
}
