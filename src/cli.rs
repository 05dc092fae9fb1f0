//! Arguments and environment to exit code. This is the one place that reads the process's environment and writes to its
//! standard streams.

mod admin;
mod check;
mod config;
mod explain;
mod output;
mod place;
mod serve;
mod why;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::worker::runtime::DriverChoice;
use place::ConfigPlace;

/// An LLM gateway: one API, many providers, several nodes from one shared config.json.
#[derive(Debug, Parser)]
#[command(name = "corelane", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until TERM: then finish what runs (30 s), write the log, and exit 0.
    Serve(Serve),
    /// Say whether a config can be served (alias -t): exit 0 if so, 1 with every fault, 2 for wrong words.
    Check(check::Check),
    /// Say which provider and keys a model's name leads to, how likely each is, and why others are not.
    Explain(explain::Explain),
    /// Say what became of one request and why, from its row: who could serve it, what was tried, what came of it. Exit 0:
    /// found; 1: not; 2: that is no id.
    Why(why::Why),
    /// What a config means, what may stand in one, and what changed between two.
    #[command(subcommand)]
    Config(config::Config),
    /// Say how a running node is: its config, its cores, its log.
    Status(admin::AdminPlace),
    /// List the streams that a running node serves.
    Streams(admin::AdminPlace),
    /// Read the config again; returns when every core runs it, with what changed, or with every fault.
    Reload(admin::AdminPlace),
    /// Let a running node finish what runs and end, as TERM does.
    Drain(admin::Drain),
    /// Take a key out of service, or back in, until told otherwise or the node ends.
    Key(admin::KeySwitch),
}

/// `corelane serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Where the config is.
    #[command(flatten)]
    pub source: ConfigPlace,
    /// The address to listen on.
    #[arg(long, env = "APP_HOST", default_value = "127.0.0.1")]
    pub host: String,
    /// The port to listen on; 0 takes a free one.
    #[arg(long, env = "APP_PORT", default_value_t = 8080)]
    pub port: u16,
    /// Cores to serve on [default: those that this process may use].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// How cores do their I/O.
    #[arg(long, value_enum, default_value = "auto")]
    pub driver: DriverChoice,
    /// Reload by itself when the config's files change (the default).
    #[arg(long, overrides_with = "no_watch")]
    pub watch: bool,
    /// Reload on HUP or when told to only.
    #[arg(long, overrides_with = "watch")]
    pub no_watch: bool,
    /// Do not start when there is any warning, or a key without a value.
    #[arg(long)]
    pub strict: bool,
    /// Where an operator's commands are taken: the path of a UNIX socket, or none [default: corelane-PORT.sock in
    /// $RUNTIME_DIRECTORY, /run (root), $XDG_RUNTIME_DIR, $TMPDIR or /tmp].
    #[arg(long, value_name = "PATH")]
    pub admin_socket: Option<OsString>,
    /// What is said of the run, on standard error.
    #[arg(long, env = "LOG_LEVEL", value_enum, default_value = "info")]
    pub log_level: LogLevel,
    /// How it is said.
    #[arg(long, env = "LOG_STYLE", value_enum, default_value = "json")]
    pub log_style: LogStyle,
}

/// Bifrost's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What an operator wants to know.
    Info,
    /// What is not as it should be.
    Warn,
    /// What failed.
    Error,
}

/// Bifrost's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogStyle {
    /// A JSON object a line.
    Json,
    /// For eyes.
    Pretty,
}

/// Runs the program. 0: an orderly end; 1: what was asked failed; 2: it was asked in wrong words.
pub fn run() -> ExitCode {
    match Arguments::parse_from(with_aliases(std::env::args_os())).command {
        Command::Check(arguments) => check::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Why(arguments) => why::run(&arguments),
        Command::Status(place) => admin::status(&place),
        Command::Streams(place) => admin::streams(&place),
        Command::Reload(place) => admin::reload(&place),
        Command::Drain(arguments) => admin::drain(&arguments),
        Command::Key(arguments) => admin::key(&arguments),
        Command::Serve(arguments) => {
            listen_to_ourselves(arguments.log_level, arguments.log_style);
            serve::run(&arguments)
        }
        Command::Config(config) => config::run(&config),
    }
}

/// nginx's habits: `-t` as the first word is `check`, `-T` is `config print`; what follows stays.
fn with_aliases(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = words.collect();
    let meant: &[&str] = match words.get(1).and_then(|word| word.to_str()) {
        Some("-t") => &["check"],
        Some("-T") => &["config", "print"],
        _ => return words,
    };
    words.splice(1..2, meant.iter().map(OsString::from));
    words
}

fn listen_to_ourselves(level: LogLevel, style: LogStyle) {
    let level = match level {
        LogLevel::Debug => tracing::Level::DEBUG,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Error => tracing::Level::ERROR,
    };
    let subscriber = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    match style {
        LogStyle::Json => subscriber.json().flatten_event(true).init(),
        LogStyle::Pretty => subscriber.init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        // The place, never the payload: that may hold a caller's bytes.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn parse(words: &[&str]) -> Result<Serve, String> {
        let words = ["corelane", "serve"].iter().chain(words);
        match Arguments::try_parse_from(words).map_err(|error| error.to_string())?.command {
            Command::Serve(serve) => Ok(serve),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_first_word_may_be_nginxs() {
        for (words, meant) in [
            (&["corelane", "-t"][..], &["corelane", "check"][..]),
            (&["corelane", "-t", "--json", "-t"], &["corelane", "check", "--json", "-t"]),
            (&["corelane", "-T", "--config", "x"], &["corelane", "config", "print", "--config", "x"]),
            (&["corelane", "serve", "-t"], &["corelane", "serve", "-t"]),
            (&["corelane"], &["corelane"]),
            (&[], &[]),
        ] {
            assert_eq!(with_aliases(words.iter().map(OsString::from)), meant);
        }
    }

    #[test]
    fn an_app_dir_holds_the_config() {
        let serve = parse(&["--app-dir", "/srv/corelane"]).unwrap();
        assert_eq!(serve.source.source().config, Path::new("/srv/corelane/config.json"));
        assert_eq!((serve.host.as_str(), serve.port), ("127.0.0.1", 8080));
    }

    #[test]
    fn wrong_words_are_refused() {
        assert!(parse(&["--port", "70000"]).is_err());
        assert!(parse(&["--workers", "0"]).is_err());
        assert!(parse(&["--driver", "kqueue"]).is_err());
    }
}
