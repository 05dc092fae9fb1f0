//! The admin API between raw requests and a steering that answers by a script.

use std::fmt::Debug;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::config::{self, Loaded};
use crate::control::command::{COMMANDS_MAX, LogStatus, Refused, ReloadFailure, Reloaded, Status};
use crate::gateway::{LiveStream, LiveStreams};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
const TOKEN: &str = "canary-admin-token";
/// What no answer may hold.
const SECRETS: [&str; 7] = [
    TOKEN,
    "canary-literal",
    "canary-variable",
    "canary-proxy",
    "canary-url",
    "canary-header",
    "canary-database",
];

/// A config with a secret wherever one may stand.
fn file(token: &str) -> Value {
    json!({
        "server": { "admin_address": "127.0.0.1:9", "admin_token": token },
        "client": { "enable_logging": true },
        "providers": {
            "openai": {
                "keys": [
                    { "name": "literal", "id": "id-1", "value": "canary-literal", "models": ["gpt-4o", "o1"], "weight": 1 },
                    { "name": "a/b c", "id": "id-2", "value": "env.OPENAI", "models": ["gpt-4o"], "weight": 3 },
                    { "name": "unset", "id": "id-3", "value": "env.UNSET", "models": ["gpt-9"], "weight": 3 }
                ],
                "network_config": { "extra_headers": { "x-team": "canary-header" } },
                "proxy_config": {
                    "type": "http", "url": "http://proxy.test:3128", "username": "user", "password": "canary-proxy"
                }
            },
            "groq": {
                "keys": [{ "name": "third", "value": "env.OPENAI", "models": ["*"], "weight": 1 }],
                "proxy_config": { "type": "http", "url": "http://user:canary-url@proxy.test:3128" }
            }
        },
        "logs_store": {
            "enabled": true, "type": "postgres",
            "config": { "host": "db", "port": "5432", "user": "u", "password": "canary-database", "db_name": "d" }
        }
    })
}

fn load(token: &str) -> Arc<Loaded> {
    let environment = |name: &str| (name == "OPENAI").then(|| "canary-variable".to_owned());
    let text = file(token).to_string();
    let loaded = config::load(text.as_bytes(), "config.json", &environment);
    let faults = |faults: Vec<config::Fault>| faults.iter().map(ToString::to_string).collect::<Vec<_>>();
    Arc::new(loaded.map_err(faults).unwrap())
}

/// The answers of a steering, and what it was asked.
fn steer(
    mut commands: mpsc::Receiver<Command>,
    asked: std::sync::mpsc::Sender<String>,
) -> impl Future<Output = ()> {
    let mut loaded = load(TOKEN);
    async move {
        while let Some(command) = commands.recv().await {
            let note = |text: String| drop(asked.send(text));
            match command {
                Command::Reload(reply) => {
                    note("reload".to_owned());
                    loaded = load("another-admin-token");
                    let changes = vec!["server.admin_token: another".to_owned()];
                    let _ = reply.send(Ok(Reloaded { generation: 2, changes, ..Reloaded::default() }));
                }
                Command::Key { name, enabled, reply } => {
                    note(format!("key {name:?} {enabled}"));
                    let faults = vec!["no key has this name".to_owned(), "and another fault".to_owned()];
                    let _ = reply.send(match name.as_str() {
                        "a/b c" => Ok(Reloaded::default()),
                        _ => Err(Refused { faults, is_handed_over: false }),
                    });
                }
                Command::Drain { deadline, reply } => {
                    note(format!("drain {deadline:?}"));
                    let _ = reply.send(deadline.is_some());
                }
                Command::Status(reply) => drop(reply.send(status())),
                Command::Streams(reply) => drop(reply.send(live())),
                Command::Config(reply) => drop(reply.send(Arc::clone(&loaded))),
            }
        }
    }
}

fn status() -> Status {
    let mut status = Status { node: "host".to_owned(), pid: 7, ..Status::default() };
    status.log = Some(LogStatus { is_up: true, ..LogStatus::default() });
    let faults = vec!["server.tls: needs a restart".to_owned(), "another".to_owned()];
    status.config.last_failure = Some(ReloadFailure { at: String::new(), faults });
    status
}

fn live() -> LiveStreams {
    LiveStreams { streams: vec![LiveStream { id: "s".to_owned(), ..LiveStream::default() }], left_out: 2 }
}

/// Both doors before a scripted steering.
struct Node {
    socket: PathBuf,
    http: SocketAddr,
    asked: std::sync::mpsc::Receiver<String>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    _folder: TempDir,
}

impl Node {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("a.sock");
        let bound = socket::bind(std::slice::from_ref(&socket)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let http = listener.local_addr().unwrap();
        let (asked_sender, asked) = std::sync::mpsc::channel();
        let (end, ended) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (commands, commanded) = mpsc::channel(COMMANDS_MAX);
                let doors = Doors { socket: Some(bound), awaited: Vec::new(), http: Some(listener) };
                let _doors = doors.open(&commands).unwrap();
                tokio::spawn(steer(commanded, asked_sender));
                let _ = ended.await;
            });
        });
        Self { socket, http, asked, end: Some(end), thread: Some(thread), _folder: folder }
    }

    fn end(&mut self) {
        drop(self.end.take());
        self.thread.take().into_iter().for_each(|thread| thread.join().unwrap());
    }

    /// Over the socket.
    fn ask(&self, method: &str, target: &str, body: &str) -> Answer {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        exchange(stream, &request(method, target, "", body))
    }

    /// Over HTTP, with these fields.
    fn call(&self, method: &str, target: &str, fields: &str) -> Answer {
        let stream = TcpStream::connect(self.http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        exchange(stream, &request(method, target, fields, ""))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end();
    }
}

fn request(method: &str, target: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {target} HTTP/1.1\r\nhost: evil.test\r\norigin: http://evil.test\r\n{fields}content-length: {length}\r\n\r\n{body}"
    )
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn message(&self) -> String {
        self.json().pointer("/error/message").and_then(Value::as_str).unwrap().to_owned()
    }
}

/// Sends, and reads until the node closes.
fn exchange(mut stream: impl Read + Write, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), text: text.to_owned() }
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

/// Every route, with a body where one is read.
const ROUTES: [(&str, &str); 13] = [
    ("GET", "/api/status"),
    ("GET", "/api/streams"),
    ("POST", "/api/drain"),
    ("POST", "/api/keys/a%2Fb%20c/disable"),
    ("POST", "/api/keys/other/enable"),
    ("GET", "/api/version"),
    ("GET", "/api/providers"),
    ("GET", "/api/providers/openai"),
    ("GET", "/api/providers/groq"),
    ("GET", "/api/keys"),
    ("GET", "/api/models?limit=1000"),
    ("GET", "/api/config"),
    ("POST", "/api/reload"),
];

fn check<T: PartialEq<V> + Debug, V: Debug>(found: T, expected: V) {
    assert_eq!(found, expected);
}

#[test]
fn what_a_node_says_of_itself() {
    let node = Node::start();
    let answer = node.ask("GET", "/api/status", "");
    check((answer.status, serde_json::from_value::<Status>(answer.json()).unwrap()), (200, status()));
    assert!(answer.head.contains("cache-control: no-store") && answer.head.contains("application/json"));
    let answer = node.ask("GET", "/api/streams", "");
    check((answer.status, serde_json::from_value::<LiveStreams>(answer.json()).unwrap()), (200, live()));
    check(node.ask("GET", "/api/version", "").json(), json!(env!("CARGO_PKG_VERSION")));
    let config = node.ask("GET", "/api/config", "").json();
    check(config["client_config"]["enable_logging"].clone(), json!(true));
    check(config["is_logs_connected"].clone(), json!(true));
    let restart = json!({ "required": true, "reason": "server.tls: needs a restart" });
    check(config["restart_required"].clone(), restart);
}

#[test]
fn what_is_asked_becomes_a_command() {
    let node = Node::start();
    check(node.ask("POST", "/api/reload", "").json()["generation"].clone(), json!(2));
    check(node.ask("POST", "/api/keys/a%2Fb%20c/disable", "").status, 200);
    let refused = node.ask("POST", "/api/keys/other/enable", "");
    check(
        (refused.status, refused.json()["faults"].clone()),
        (422, json!(["no key has this name", "and another fault"])),
    );
    let drain = |body: &str| {
        let answer = node.ask("POST", "/api/drain", body);
        (answer.status, answer.json()["was_draining"].clone())
    };
    check(drain(r#"{"deadline_s": 600}"#), (202, json!(false)));
    check(drain("{}"), (202, json!(true)));
    check(drain(" "), (202, json!(true)));
    let asked: Vec<String> = node.asked.try_iter().collect();
    let expected = [
        "reload",
        "key \"a/b c\" false",
        "key \"other\" true",
        "drain Some(600s)",
        "drain None",
        "drain None",
    ];
    assert_eq!(asked, expected);
}

#[test]
fn a_wrong_body_is_refused_and_nothing_is_done() {
    let node = Node::start();
    for body in [r#"{"deadline_s": -1}"#, r#"{"deadline": 1}"#, "x", "[]", r#"{"deadline_s": 86401}"#] {
        check(node.ask("POST", "/api/drain", body).status, 400);
    }
    let long = " ".repeat(BODY_BYTES_MAX + 1);
    check(node.ask("POST", "/api/drain", &long).status, 413);
    let fields = format!("x-long: {}\r\n", "x".repeat(HEAD_BYTES_MAX));
    check(node.call("GET", "/api/status", &fields).status, 431);
    assert!(node.asked.try_iter().next().is_none());
}

#[test]
fn over_http_every_path_asks_for_the_token_first() {
    let node = Node::start();
    let bare = "Authorization: canary-admin-token\r\n".to_owned();
    let twice = bearer(TOKEN) + &bearer(TOKEN);
    let basic = bearer(TOKEN).replace("Bearer", "Basic");
    let wrong = [
        String::new(),
        bearer("canary-admin-toke"),
        bearer(&format!("{TOKEN}n")),
        bearer(""),
        bare,
        twice,
        basic,
    ];
    let elsewhere = [
        ("GET", "/"),
        ("GET", "/api/nothing"),
        ("PUT", "/api/config"),
        ("OPTIONS", "/api/status"),
        ("GET", "/health"),
    ];
    for (method, target) in ROUTES.into_iter().chain(elsewhere) {
        for fields in &wrong {
            let answer = node.call(method, target, fields);
            check((answer.status, method), (401, method));
            assert!(answer.head.contains("www-authenticate: bearer "), "{}", answer.head);
            assert!(!answer.head.contains("access-control-"), "{}", answer.head);
        }
    }
    assert!(node.asked.try_iter().next().is_none(), "nothing was done");
    let right = node.call("GET", "/api/status", &bearer(TOKEN).replace("Bearer", "bearer"));
    check(right.status, 200);
    assert!(!right.head.contains("access-control-"), "{}", right.head);
    check(node.call("GET", "/api/nothing", &bearer(TOKEN)).status, 404);
}

#[test]
fn a_changed_token_takes_effect_at_once() {
    let node = Node::start();
    check(node.call("POST", "/api/reload", &bearer(TOKEN)).status, 200);
    check(node.call("GET", "/api/status", &bearer(TOKEN)).status, 401);
    check(node.call("GET", "/api/status", &bearer("another-admin-token")).status, 200);
}

#[test]
fn no_answer_holds_a_secret() {
    let node = Node::start();
    for (method, target) in ROUTES {
        let answer = node.ask(method, target, "");
        for secret in SECRETS {
            assert!(!answer.text.contains(secret), "{target}: {}", answer.text);
        }
        assert!(!answer.text.contains("canary"), "{target}: {}", answer.text);
    }
}

#[test]
fn providers_are_bifrosts_in_shape() {
    let node = Node::start();
    let all = node.ask("GET", "/api/providers", "").json();
    check(all["total"].clone(), json!(2));
    let openai = node.ask("GET", "/api/providers/OpenAI", "").json();
    check(all["providers"][1].clone(), openai.clone());
    check((openai["name"].clone(), openai["provider_status"].clone()), (json!("openai"), json!("active")));
    let literal = json!({ "value": "********", "env_var": "", "from_env": false });
    check(openai["keys"][0]["value"].clone(), literal);
    let reference = json!({ "value": "", "env_var": "env.OPENAI", "from_env": true });
    check(openai["keys"][1]["value"].clone(), reference);
    check(openai["keys"][1]["weight"].clone(), json!(3));
    check(openai["network_config"]["extra_headers"].clone(), json!({ "x-team": "********" }));
    check(openai["proxy_config"]["password"]["value"].clone(), json!("********"));
    check(node.ask("GET", "/api/providers/none", "").status, 404);
    for (method, path) in [("GET", "/api/providers/%ff"), ("POST", "/api/keys/%ff/disable")] {
        let answer = node.ask(method, path, "");
        check(answer.status, 400);
        check(answer.json()["error"]["message"].as_str(), Some("the name in the path is not UTF-8"));
    }
    let keys = node.ask("GET", "/api/keys", "").json();
    let first = json!({ "key_id": "id-1", "name": "literal", "provider": "openai", "enabled": true });
    assert!(keys.as_array().unwrap().contains(&first), "{keys}");
}

#[test]
fn a_key_that_an_operator_took_out_of_service_is_not_enabled() {
    let mut loaded = Loaded::clone(&load(TOKEN));
    let openai = loaded.snapshot.providers.iter_mut().find(|provider| provider.name == "openai").unwrap();
    openai.keys[0].enabled = false;
    let shown = bifrost::provider(&loaded, "openai").unwrap();
    let enabled = |index: usize| shown["keys"][index]["enabled"].clone();
    check((enabled(0), enabled(1)), (json!(false), json!(true)));
    check(bifrost::keys(&loaded.snapshot)[1]["enabled"].clone(), json!(false));
}

#[test]
fn models_are_those_that_the_config_names() {
    let node = Node::start();
    let ask = |query: &str| node.ask("GET", &format!("/api/models{query}"), "").json();
    let gpt = json!({ "name": "gpt-4o", "provider": "openai", "accessible_by_keys": ["id-1", "id-2"] });
    let o1 = json!({ "name": "o1", "provider": "openai", "accessible_by_keys": ["id-1"] });
    check(ask(""), json!({ "models": [gpt, o1], "total": 2 }));
    check(ask("?query=GPT&provider=OpenAI"), json!({ "models": [gpt], "total": 1 }));
    check(ask("?limit=1"), json!({ "models": [gpt], "total": 2 }));
    check(ask("?keys=id-9,literal&query=o1&unfiltered=true"), json!({ "models": [o1], "total": 1 }));
    check(ask("?provider=groq"), json!({ "models": [], "total": 0 }));
    check(node.ask("GET", "/api/models?limit=x", "").status, 400);
}

#[test]
fn nothing_is_written() {
    let node = Node::start();
    for (method, target, status) in [
        ("POST", "/api/providers", 405),
        ("DELETE", "/api/providers/openai", 405),
        ("PUT", "/api/config", 405),
        ("POST", "/api/governance/virtual-keys", 501),
    ] {
        let answer = node.ask(method, target, "{}");
        check((answer.status, target), (status, target));
        assert!(answer.message().contains("the file is the only truth"), "{answer:?}");
        assert_eq!(answer.head.contains("\r\nallow: get"), status == 405, "{}", answer.head);
    }
    check(node.ask("GET", "/api/logs", "").status, 404);
    assert!(node.ask("GET", "/api/logs", "").message().contains("Bifrost has this path"));
}

#[test]
fn a_connection_serves_one_request_and_so_many_are_served_at_a_time() {
    let node = Node::start();
    let idle: Vec<UnixStream> =
        (0..CONNECTIONS_MAX).map(|_| UnixStream::connect(&node.socket).unwrap()).collect();
    let mut waiting = UnixStream::connect(&node.socket).unwrap();
    waiting.write_all(request("GET", "/api/version", "", "").as_bytes()).unwrap();
    waiting.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(waiting.read(&mut [0]).is_err(), "all places are taken");
    let over_http = node.call("GET", "/api/version", &bearer(TOKEN));
    check(over_http.status, 200);
    drop(idle);
    waiting.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "and the node closed: {answer}");
}

#[test]
fn at_the_end_the_socket_is_gone() {
    let mut node = Node::start();
    assert!(Path::new(&node.socket).exists());
    node.end();
    assert!(!Path::new(&node.socket).exists());
}

#[test]
fn a_node_that_ends_says_so() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (commands, commanded) = mpsc::channel(1);
    let desk = Desk { commands, guard: Guard::Socket };
    runtime.block_on(async {
        let held = tokio::spawn({
            let desk = desk.clone();
            async move { desk.ask(Command::Status).await.unwrap_err().message }
        });
        tokio::task::yield_now().await;
        let full = desk.ask(Command::Status).await.unwrap_err();
        check(full.message.as_str(), "the node has too many commands waiting; ask again");
        drop(commanded);
        check(held.await.unwrap().as_str(), "the node is ending");
        check(desk.ask(Command::Status).await.unwrap_err().status.as_u16(), 503);
    });
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let node = Node::start();
    let stream = UnixStream::connect(&node.socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "POST /api/drain HTTP/1.1\r\nhost: node\r\ncontent-length: 20\r\n\r\n{";
    check(exchange(stream, head).status, 408);
}
