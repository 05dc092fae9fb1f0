//! The node under test: corelane as a process of its own, with a config, a folder and a SQLite log of its own; what
//! `/proc` and `/metrics` say of it. It ends with its value.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use super::answer::{AT_ONCE, Reader};
use super::identity::Identity;
use super::provider::{KEYS, Provider};
use super::tally::pause_ms;
use super::wire::Wire;

/// Longest wait for the node to say that it serves.
const START_MAX: Duration = Duration::from_secs(30);

/// Longest wait for its end: it drains what runs, of which there is nothing, and writes its rows.
const END_MAX: Duration = Duration::from_secs(20);

/// Connections to a provider that are not used end after so long, seconds.
const KEEP_ALIVE_S: u64 = 1;

/// A running node.
pub struct Node {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    folder: PathBuf,
    lines: Receiver<String>,
    /// Bound and never listened on, so that nobody else does.
    _nowhere: Socket,
}

/// What the machine says of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Open descriptors.
    pub descriptors: usize,
    /// Resident memory, KiB.
    pub resident_kib: usize,
    /// Threads.
    pub threads: usize,
}

impl Node {
    /// Starts a node before this provider and waits for its start line.
    pub fn start(
        corelane: &Path,
        driver: &str,
        tls: Option<&Identity>,
        provider: &Provider,
    ) -> io::Result<Self> {
        let (nowhere, closed) = bound_socket()?;
        let name = format!("corelane-soak-{}-{}", std::process::id(), closed.port());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder)?;
        let config = folder.join("config.json");
        fs::write(&config, config_text(&folder, provider.address, closed, tls)?)?;
        let named = |error: io::Error| io::Error::other(format!("{}: {error}", corelane.display()));
        let mut command = Command::new(corelane.canonicalize().map_err(named)?);
        command
            .args(["serve", "--port", "0", "--workers", "2", "--driver", driver])
            .arg("--config")
            .arg(&config);
        command.current_dir(&folder).env_clear().envs(KEYS).env("RUNTIME_DIRECTORY", &folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(named)?;
        let lines = lines_of(child.stderr.take());
        let tls = tls.map(Identity::client).transpose()?;
        let mut node = Self { child, address: closed, tls, folder, lines, _nowhere: nowhere };
        node.address = node.start_line()?;
        Ok(node)
    }

    fn start_line(&self) -> io::Result<SocketAddr> {
        let mut said = Vec::new();
        let deadline = Instant::now() + START_MAX;
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            let address = serde_json::from_str::<Value>(&line).ok();
            let address = address.and_then(|line| line.get("address")?.as_str()?.parse().ok());
            if let Some(address) = address {
                return Ok(address);
            }
            said.push(line);
        }
        Err(io::Error::other(format!("corelane does not start: {}", said.join("\n"))))
    }

    /// What it has said since the last call.
    pub fn said(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// What it takes of the machine now.
    pub fn usage(&self) -> io::Result<Use> {
        let folder = format!("/proc/{}", self.child.id());
        let status = fs::read_to_string(format!("{folder}/status"))?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        Ok(Use {
            descriptors: fs::read_dir(format!("{folder}/fd"))?.count(),
            resident_kib: number("VmRSS:").unwrap_or_default(),
            threads: number("Threads:").unwrap_or_default(),
        })
    }

    /// The page of `/metrics`.
    pub fn metrics(&self) -> io::Result<Metrics> {
        let mut wire = Wire::connect(self.address, self.tls.as_ref())?;
        wire.write_all(b"GET /metrics HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n")?;
        let deadline = Instant::now() + Duration::from_secs(10);
        match Reader::new(AT_ONCE).next(&mut wire, deadline, false) {
            Ok(answer) if answer.status == 200 && answer.is_whole => {
                Ok(Metrics(String::from_utf8_lossy(&answer.body).into_owned()))
            }
            other => Err(io::Error::other(format!("no metrics: {other:?}"))),
        }
    }

    /// TERM, and the end; the exit code, if there is one in time.
    pub fn end(&mut self) -> Option<i32> {
        let _ = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status();
        let deadline = Instant::now() + END_MAX;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            pause_ms(20);
        }
        None
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A page of metrics.
#[derive(Clone, Debug, Default)]
pub struct Metrics(String);

impl Metrics {
    /// The sum of this metric over all of its labels.
    pub fn sum(&self, name: &str) -> f64 {
        let values = self.0.lines().filter_map(|line| {
            let behind = line.strip_prefix(name)?;
            behind.starts_with(['{', ' ']).then(|| behind.rsplit(' ').next()?.parse::<f64>().ok())?
        });
        values.sum()
    }
}

fn bound_socket() -> io::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    let address = socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("no address"))?;
    Ok((socket, address))
}

fn lines_of(stderr: Option<ChildStderr>) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let Some(stderr) = stderr else { return };
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines
}

fn config_text(
    folder: &Path,
    provider: SocketAddr,
    nowhere: SocketAddr,
    tls: Option<&Identity>,
) -> io::Result<String> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let network = |url: String| {
        json!({
            "base_url": url,
            "default_request_timeout_in_seconds": 3,
            "stream_idle_timeout_in_seconds": 2,
            "keep_alive_timeout_in_seconds": KEEP_ALIVE_S,
            // More than all callers need, so that places which never come back are missed in the end.
            "max_conns_per_host": 64,
            "ca_cert_pem": tls.map(|identity| &identity.certificate_pem),
        })
    };
    let provider_of = |variable: &str, model: &str, url: String| {
        let key =
            json!({"name": model, "value": format!("env.{variable}"), "models": [model], "weight": 1.0});
        json!({"keys": [key], "network_config": network(url)})
    };
    let served = format!("{scheme}://localhost:{}", provider.port());
    let mut config = json!({
        "client": {"enable_logging": true, "max_request_body_size_mb": 1},
        "config_store": {"enabled": false},
        "logs_store": {"enabled": true, "type": "sqlite", "config": {"path": folder.join("logs.db")}},
        "providers": {
            "openai": provider_of("OPENAI_API_KEY", "gpt-soak", served.clone()),
            "anthropic": provider_of("ANTHROPIC_API_KEY", "claude-soak", served),
            "groq": provider_of("OPENAI_API_KEY", "gone", format!("http://{nowhere}")),
        },
    });
    if let (Some(identity), Some(fields)) = (tls, config.as_object_mut()) {
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        fs::write(&certificate, &identity.certificate_pem)?;
        fs::write(&key, &identity.key_pem)?;
        fields.insert("server".to_owned(), json!({"tls": {"cert": certificate, "key": key}}));
    }
    Ok(config.to_string())
}
