//! The processes of one run: the mock, the database, and each server under measure; started, waited for, ended by pid.

use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::cases::Case;
use super::{Options, postgres, process};
use crate::ring::Driver;

/// Longest wait for a process to serve.
const READY_MS_MAX: u64 = 15_000;

/// Longest wait for a process to end by itself.
const STOP_MS_MAX: u64 = 5_000;

/// Between two looks at a process.
const LOOK_MS: u64 = 50;

/// A server that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// The mock itself, unproxied and on the load's core.
    Mock,
    /// The bare TCP relay.
    Relay,
    /// The bare TCP relay on epoll.
    RelayEpoll,
    /// nginx `proxy_pass`, one worker, upstream keep-alive; buffering as by default for whole answers, off for streams.
    Nginx,
    /// corelane without a log store.
    Corelane,
    /// corelane without a log store, on epoll.
    CorelaneEpoll,
    /// corelane logging to Postgres, bodies left out.
    CorelaneLog,
    /// corelane logging to Postgres, bodies in the rows.
    CorelaneLogBodies,
}

impl Kind {
    /// It takes models with their provider's prefix.
    pub fn is_gateway(self) -> bool {
        matches!(self, Self::Corelane | Self::CorelaneEpoll) || self.writes_rows()
    }

    /// It writes to the database.
    pub fn writes_rows(self) -> bool {
        matches!(self, Self::CorelaneLog | Self::CorelaneLogBodies)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mock => "mock, direct",
            Self::Relay => "bare relay",
            Self::RelayEpoll => "bare relay, epoll",
            Self::Nginx => "nginx",
            Self::Corelane => "corelane, log off",
            Self::CorelaneEpoll => "corelane, log off, epoll",
            Self::CorelaneLog => "corelane, log on, bodies off",
            Self::CorelaneLogBodies => "corelane, log on, bodies on",
        })
    }
}

/// A server under measure.
pub struct Server {
    /// Which.
    pub kind: Kind,
    whole: SocketAddr,
    stream: SocketAddr,
    pid: u32,
}

impl Server {
    /// Where it takes this load.
    pub fn address(&self, case: Case) -> SocketAddr {
        if case.is_stream() { self.stream } else { self.whole }
    }

    /// What it says of its log rows in `/metrics`; empty for a server without any.
    pub fn log_counts(&self) -> String {
        let answer = fetch(self.whole, "/metrics").unwrap_or_default();
        let lines = answer.lines().filter(|line| line.starts_with("corelane_log") && !line.ends_with(" 0"));
        lines.collect::<Vec<_>>().join(", ")
    }

    /// Its processes; nginx has two.
    pub fn pids(&self) -> Vec<u32> {
        process::family(self.pid)
    }
}

/// Everything that runs.
pub struct Fleet {
    /// In the order of a round.
    pub servers: Vec<Server>,
    processes: Vec<(Child, &'static str)>,
    postgres: Option<(u32, u16)>,
    mock: SocketAddr,
    folder: PathBuf,
}

impl Fleet {
    /// Starts everything that the options name, and waits until it serves.
    pub async fn start(options: &Options) -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("corelane-bench-{}", std::process::id()));
        fs::create_dir(&folder)?;
        let mock = free_address()?;
        let mut fleet = Self { servers: Vec::new(), processes: Vec::new(), postgres: None, mock, folder };
        let started = fleet.start_all(options).await;
        if let Err(error) = started {
            fleet.stop().await;
            return Err(error);
        }
        Ok(fleet)
    }

    /// The database's processes.
    pub fn postgres_pids(&self) -> Vec<u32> {
        self.postgres.map(|(pid, _)| process::family(pid)).unwrap_or_default()
    }

    /// Ends everything, the last started first, and removes the run's folder.
    pub async fn stop(&mut self) {
        self.servers.clear();
        while let Some((child, signal)) = self.processes.pop() {
            end(child, signal).await;
        }
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("drive: {}: {error}", self.folder.display());
        }
    }

    async fn start_all(&mut self, options: &Options) -> io::Result<()> {
        let mut mock = pinned(options.load_core, &beside("mock")?);
        mock.args(["--listen", &self.mock.to_string()]);
        let pid = self.spawn("mock", mock, "TERM")?;
        self.wait_for("mock", self.mock, "/mock/aborted").await?;
        if options.servers.iter().any(|kind| kind.writes_rows()) {
            self.start_postgres(options).await?;
        }
        for kind in &options.servers {
            let server = match kind {
                Kind::Mock => Server { kind: *kind, whole: self.mock, stream: self.mock, pid },
                Kind::Relay => self.start_relay(options, *kind, Driver::Auto)?,
                Kind::RelayEpoll => self.start_relay(options, *kind, Driver::Epoll)?,
                Kind::Nginx => self.start_nginx(options)?,
                _ => self.start_corelane(options, *kind)?,
            };
            let path = if kind.is_gateway() { "/health" } else { "/mock/aborted" };
            self.wait_for(&kind.to_string(), server.whole, path).await?;
            self.servers.push(server);
        }
        Ok(())
    }

    async fn start_postgres(&mut self, options: &Options) -> io::Result<()> {
        let port = free_address()?.port();
        let mut plan = postgres::plan(&self.folder, port, options.load_core)?;
        if !plan.initdb.status()?.success() {
            return Err(io::Error::other("initdb failed"));
        }
        let child = plan.serve.spawn()?;
        self.postgres = Some((child.id(), port));
        self.processes.push((child, "INT"));
        for _ in 0..READY_MS_MAX / LOOK_MS {
            if plan.is_ready.status()?.success() {
                return Ok(());
            }
            monoio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
        Err(io::Error::other("postgres did not become ready"))
    }

    fn start_relay(&mut self, options: &Options, kind: Kind, driver: Driver) -> io::Result<Server> {
        let address = free_address()?;
        let mut relay = pinned(options.server_core, &beside("relay")?);
        relay.args([
            "--listen",
            &address.to_string(),
            "--upstream",
            &self.mock.to_string(),
            "--driver",
            word(driver),
        ]);
        let pid = self.spawn("relay", relay, "TERM")?;
        Ok(Server { kind, whole: address, stream: address, pid })
    }

    fn start_nginx(&mut self, options: &Options) -> io::Result<Server> {
        let (whole, stream) = (free_address()?, free_address()?);
        let config = self.folder.join("nginx.conf");
        fs::write(&config, nginx_config(&self.folder, self.mock, whole, stream))?;
        let mut nginx = pinned(options.server_core, &nginx_program());
        nginx.arg("-c").arg(&config).arg("-p").arg(&self.folder).arg("-e").arg(self.folder.join("nginx.log"));
        let pid = self.spawn("nginx", nginx, "TERM")?;
        Ok(Server { kind: Kind::Nginx, whole, stream, pid })
    }

    fn start_corelane(&mut self, options: &Options, kind: Kind) -> io::Result<Server> {
        let address = free_address()?;
        let name = format!("corelane-{}", address.port());
        let config = self.folder.join(format!("{name}.json"));
        let port = self.postgres.map(|(_, port)| port);
        fs::write(&config, corelane_config(self.mock, kind, port).to_string())?;
        let driver = if kind == Kind::CorelaneEpoll { Driver::Epoll } else { options.driver };
        let mut corelane = pinned(options.server_core, &options.corelane);
        corelane.arg("serve").arg("--config").arg(&config).args(["--host", "127.0.0.1", "--workers", "1"]);
        corelane.args(["--port", &address.port().to_string(), "--driver", word(driver)]);
        corelane.env("OPENAI_API_KEY", "bench-key").env("LOG_LEVEL", "warn");
        corelane.env("RUNTIME_DIRECTORY", &self.folder);
        let pid = self.spawn(&name, corelane, "TERM")?;
        Ok(Server { kind, whole: address, stream: address, pid })
    }

    fn spawn(&mut self, name: &str, mut command: Command, signal: &'static str) -> io::Result<u32> {
        let log = fs::File::create(self.folder.join(format!("{name}.out")))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().map_err(|error| io::Error::other(format!("{command:?}: {error}")))?;
        let pid = child.id();
        self.processes.push((child, signal));
        Ok(pid)
    }

    async fn wait_for(&mut self, name: &str, address: SocketAddr, path: &str) -> io::Result<()> {
        for _ in 0..READY_MS_MAX / LOOK_MS {
            if answers_200(address, path).unwrap_or(false) {
                return Ok(());
            }
            let has_ended =
                self.processes.last_mut().is_some_and(|(child, _)| !matches!(child.try_wait(), Ok(None)));
            if has_ended {
                break;
            }
            monoio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
        Err(io::Error::other(format!("{name} does not serve on {address}: {}", self.last_words())))
    }

    /// What the processes wrote, for the one that failed.
    fn last_words(&self) -> String {
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let logs = files.filter(|path| path.extension().is_some_and(|extension| extension == "out"));
        logs.filter_map(|path| fs::read_to_string(path).ok()).collect::<Vec<_>>().join("\n")
    }
}

/// The program that was built beside this one.
fn beside(name: &str) -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}

/// taskset becomes the program, so that its pid is the program's.
fn pinned(core: usize, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

/// Debian's nginx stands where an ordinary user's PATH does not look.
fn nginx_program() -> PathBuf {
    let debian = PathBuf::from("/usr/sbin/nginx");
    if debian.exists() { debian } else { PathBuf::from("nginx") }
}

fn word(driver: Driver) -> &'static str {
    match driver {
        Driver::Auto => "auto",
        Driver::IoUring => "io_uring",
        Driver::Epoll => "epoll",
    }
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn answers_200(address: SocketAddr, path: &str) -> io::Result<bool> {
    Ok(fetch(address, path)?.starts_with("HTTP/1.1 200"))
}

/// Head and body of one answer, read to the connection's end.
fn fetch(address: SocketAddr, path: &str) -> io::Result<String> {
    let wait = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&address, wait)?;
    stream.set_read_timeout(Some(wait))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn end(mut child: Child, signal: &str) {
    if !matches!(child.try_wait(), Ok(None)) {
        return;
    }
    let _ = Command::new("sh").args(["-c", &format!("kill -{signal} {}", child.id())]).status();
    for _ in 0..STOP_MS_MAX / LOOK_MS {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        monoio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
    eprintln!("drive: process {} did not end by {signal} within {STOP_MS_MAX} ms", child.id());
    let _ = child.kill();
    let _ = child.wait();
}

fn corelane_config(mock: SocketAddr, kind: Kind, postgres_port: Option<u16>) -> Value {
    let key =
        json!({"name": "bench", "value": "env.OPENAI_API_KEY", "models": ["gpt-4o-mini"], "weight": 1.0});
    let mut config = json!({
        "client": {
            "drop_excess_requests": false,
            "enable_logging": kind.writes_rows(),
            "disable_content_logging": kind == Kind::CorelaneLog,
        },
        "config_store": {"enabled": false},
        "providers": {"openai": {"keys": [key], "network_config": {"base_url": format!("http://{mock}")}}},
    });
    if let (true, Some(port), Some(fields)) = (kind.writes_rows(), postgres_port, config.as_object_mut()) {
        let place = json!({
            "host": "127.0.0.1",
            "port": port.to_string(),
            "user": postgres::USER,
            "password": "unused",
            "db_name": "postgres",
            "ssl_mode": "disable",
        });
        fields.insert("logs_store".to_owned(), json!({"enabled": true, "type": "postgres", "config": place}));
    }
    config
}

/// nginx as one would set it for this: one worker, no access log, bodies kept in memory, upstream connections kept.
fn nginx_config(folder: &Path, mock: SocketAddr, whole: SocketAddr, stream: SocketAddr) -> String {
    let folder = folder.display();
    let server = |listen: SocketAddr, buffering: &str| {
        format!(
            "server {{ listen {listen}; location / {{ proxy_pass http://mock; proxy_http_version 1.1; \
             proxy_set_header Connection \"\"; proxy_buffering {buffering}; }} }}\n"
        )
    };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {folder}/{name};\n"))
        .concat();
    format!(
        "{user}worker_processes 1;\ndaemon off;\npid {folder}/nginx.pid;\nerror_log {folder}/nginx.log warn;\n\
         events {{ worker_connections 4096; }}\nhttp {{\naccess_log off;\nkeepalive_requests 1000000000;\n\
         client_body_buffer_size 256k;\nclient_max_body_size 100m;\n{temporary}\
         upstream mock {{ server {mock}; keepalive 256; keepalive_requests 1000000000; }}\n{}{}}}\n",
        server(whole, "on"),
        server(stream, "off"),
        user = if is_root() { "user root;\n" } else { "" },
    )
}

/// Only root's nginx changes its worker's user, and the run's folder belongs to who runs this.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|status| status.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configs_name_what_they_must() {
        let address: SocketAddr = "127.0.0.1:9100".parse().unwrap();
        let config = corelane_config(address, Kind::CorelaneLogBodies, Some(5432));
        assert_eq!(config["logs_store"]["config"]["port"], "5432");
        assert_eq!(config["client"]["disable_content_logging"], false);
        assert_eq!(corelane_config(address, Kind::Corelane, Some(5432)).get("logs_store"), None);
        let config = nginx_config(Path::new("/tmp/x"), address, address, address);
        assert_eq!(config.matches("proxy_buffering on").count(), 1);
        assert_eq!(config.matches("proxy_buffering off").count(), 1);
    }
}
