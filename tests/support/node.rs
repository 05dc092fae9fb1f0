//! Programs under test: corelane as its users start it, and the mock provider. Each listens on a free loopback port and
//! ends when dropped.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Longest wait for a program to come up, or to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Both drivers; every test of a running node is made on each.
pub(crate) const DRIVERS: [&str; 2] = ["io_uring", "epoll"];

/// The variables that the fixtures' keys name.
pub(crate) const KEYS: [(&str, &str); 2] =
    [("OPENAI_API_KEY", "sk-openai-under-test"), ("ANTHROPIC_API_KEY", "sk-ant-under-test")];

/// Where in its folder a node keeps its admin socket.
pub(crate) const RUNTIME_FOLDER: &str = "run";

/// A running corelane.
pub(crate) struct Node {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its config and whatever its config names.
    pub(crate) folder: TempDir,
    lines: mpsc::Receiver<String>,
    /// What it said before.
    pub(crate) before: Vec<String>,
    /// The line that it said when it began to serve.
    pub(crate) start_line: String,
}

impl Node {
    /// Starts with this config, and waits for the start line.
    pub(crate) fn start(config: &str, driver: &str) -> Self {
        Self::try_start(config, driver, &KEYS).unwrap_or_else(|lines| panic!("no start: {lines:#?}"))
    }

    /// The same with other variables; on failure all that was said.
    pub(crate) fn try_start(
        config: &str,
        driver: &str,
        variables: &[(&str, &str)],
    ) -> Result<Self, Vec<String>> {
        Self::try_start_with(config, &["--workers", "2", "--driver", driver], variables)
    }

    /// With this many cores.
    pub(crate) fn start_on(config: &str, driver: &str, workers: usize) -> Self {
        let workers = workers.to_string();
        Self::try_start_with(config, &["--workers", &workers, "--driver", driver], &KEYS)
            .unwrap_or_else(|lines| panic!("no start: {lines:#?}"))
    }

    /// With these flags beside the port and the config.
    pub(crate) fn try_start_with(
        config: &str,
        flags: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Self, Vec<String>> {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("config.json");
        fs::write(&path, config).unwrap();
        let flags = [flags, &["--config", path.to_str().unwrap()]].concat();
        Self::spawn(folder, &flags, variables)
    }

    /// With these flags, which name the config.
    pub(crate) fn try_start_at(flags: &[&str], variables: &[(&str, &str)]) -> Result<Self, Vec<String>> {
        Self::spawn(TempDir::new().unwrap(), flags, variables)
    }

    fn spawn(folder: TempDir, flags: &[&str], variables: &[(&str, &str)]) -> Result<Self, Vec<String>> {
        let runtime_folder = folder.path().join(RUNTIME_FOLDER);
        fs::create_dir(&runtime_folder).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_corelane"));
        command.args(["serve", "--port", "0"]).args(flags);
        command.current_dir(folder.path()).env_clear();
        command.env("RUNTIME_DIRECTORY", runtime_folder).envs(variables.iter().copied());
        let mut child = command.stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let lines = lines_of(child.stderr.take().unwrap());
        let mut said = Vec::new();
        while let Ok(line) = lines.recv_timeout(PATIENCE) {
            if let Some(address) = address_in(&line) {
                return Ok(Self { child, address, folder, lines, before: said, start_line: line });
            }
            said.push(line);
        }
        let _ = child.kill();
        let _ = child.wait();
        Err(said)
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said on standard error since the start line, as far as it came through.
    pub(crate) fn said(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Sends a signal by its number.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            pause();
        }
        panic!("corelane did not end in {PATIENCE:?}: {:#?}", self.said());
    }

    /// A connection to it, with a deadline on reads.
    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// One request on a connection of its own; the whole answer until the node closes.
    pub(crate) fn ask(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    }

    /// POSTs JSON and closes.
    pub(crate) fn post(&self, path: &str, body: &str) -> String {
        self.ask(post(path, body, "connection: close\r\n").as_bytes())
    }

    /// GETs and closes.
    pub(crate) fn get(&self, path: &str) -> String {
        self.ask(format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").as_bytes())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text of a POST of JSON; `fields` are further header lines, each with its CRLF.
pub(crate) fn post(path: &str, body: &str, fields: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n{fields}content-length: {length}\r\n\r\n{body}"
    )
}

/// A connection with a deadline on reads.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A moment between two looks at a condition that has a deadline.
pub(crate) fn pause() {
    let (_sender, receiver) = mpsc::channel::<()>();
    let _ = receiver.recv_timeout(Duration::from_millis(10));
}

/// Waits until `condition` gives a value.
pub(crate) fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(value) = condition() {
            return value;
        }
        pause();
    }
    panic!("not in {PATIENCE:?}: {what}");
}

fn lines_of(stream: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    line.get("address")?.as_str()?.parse().ok()
}

/// A running mock provider (`loadtest/`, which `make test` builds first).
pub(crate) struct Mock {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Mock {
    /// Starts one, with further flags.
    pub(crate) fn start(flags: &[&str]) -> Self {
        let address = free_address();
        let mut command = Command::new(mock_binary());
        command
            .args(["--listen", &address.to_string()])
            .args(flags)
            .stderr(Stdio::null())
            .stdout(Stdio::null());
        let child = command.spawn().unwrap();
        let mock = Self { child, address };
        eventually("the mock provider listens", || TcpStream::connect(address).ok());
        mock
    }

    /// What the mock saw: `GET /mock/requests`.
    pub(crate) fn requests(&self) -> serde_json::Value {
        let mut stream = connect(self.address);
        stream.write_all(b"GET /mock/requests HTTP/1.1\r\nhost: m\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }

    /// The quickstart's config with both providers at this mock.
    pub(crate) fn config(&self) -> String {
        let quickstart = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/quickstart/config.json");
        fs::read_to_string(quickstart).unwrap().replace("127.0.0.1:9100", &self.address.to_string())
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mock_binary() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("loadtest/target");
    let built = ["debug", "release"].map(|profile| folder.join(profile).join("mock"));
    built.into_iter().find(|path| path.exists()).unwrap_or_else(|| {
        panic!("the mock provider is not built; `make test` does it: cargo build --manifest-path loadtest/Cargo.toml")
    })
}

/// A loopback address that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
