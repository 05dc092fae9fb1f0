//! Behind the seed's own load balancer: a real nginx with the document's `nginx.conf`, which speaks HTTP/1.0 to us and
//! buffers. Events arrive through it as they come, and the caller's address in the row is the caller's.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::caller::{Caller, request};
use crate::client_ip::{logged, rows};
use crate::setup::{ANSWER, ASK, ASK_STREAM, CHAT, STREAM_HEAD, chunk, config, event, ok, on_both};
use crate::support::node::{Node, PATIENCE, eventually, free_address};
use crate::support::upstream::{Gate, Upstream};

/// As the seed has it.
const SEED: &str = "\
events {
    worker_connections 1024;
}
http {
    upstream bifrost {
        least_conn;
        server bifrost-1:8080;
        server bifrost-2:8080;
        server bifrost-3:8080;
    }
    server {
        listen 80;
        location / {
            proxy_pass http://bifrost;
            proxy_set_header Host $host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_connect_timeout 60s;
            proxy_send_timeout 60s;
            proxy_read_timeout 60s;
        }
        location /health {
            access_log off;
            return 200 \"healthy\\n\";
        }
    }
}
";

/// A running nginx.
struct Nginx {
    child: Child,
    address: SocketAddr,
}

impl Nginx {
    /// With the seed's file, in which the names stand for these nodes; `folder` takes what nginx writes.
    fn start(nodes: &[Node; 3], folder: &Path) -> Self {
        let address = free_address();
        let mut text = SEED.replace("listen 80;", &format!("listen {address};"));
        for (number, node) in (1..).zip(nodes) {
            text = text.replace(&format!("bifrost-{number}:8080"), &node.address.to_string());
        }
        let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {};", folder.join(name).display()));
        text = text.replacen("http {", &format!("http {{ access_log off; {}", places.concat()), 1);
        let file = folder.join("nginx.conf");
        fs::write(&file, text).unwrap();
        let mut command = Command::new(program());
        command.arg("-c").arg(&file).arg("-p").arg(folder).arg("-e").arg(folder.join("nginx.log"));
        command.args(["-g", &format!("daemon off; pid {}; {}", folder.join("nginx.pid").display(), user())]);
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let nginx = Self { child, address };
        eventually("nginx listens", || TcpStream::connect(address).ok());
        nginx
    }

    /// A caller from this address of ours.
    fn caller(&self, from: [u8; 4]) -> Caller {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(IpAddr::from(from), 0).into()).unwrap();
        socket.connect(&self.address.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Caller::on(stream)
    }
}

impl Drop for Nginx {
    /// Its worker ends with it only when it is told to.
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

/// Debian's nginx stands where an ordinary user's PATH does not look.
fn program() -> PathBuf {
    let debian = PathBuf::from("/usr/sbin/nginx");
    if debian.exists() { debian } else { PathBuf::from("nginx") }
}

/// Only root's nginx changes its worker's user, and the folder is root's then.
fn user() -> &'static str {
    use std::os::unix::fs::MetadataExt;
    if fs::metadata("/proc/self").is_ok_and(|status| status.uid() == 0) { "user root;" } else { "" }
}

#[test]
fn events_arrive_live_through_the_seeds_nginx() {
    on_both(|driver| {
        let gate = Gate::default();
        let next = gate.clone();
        let upstream = Upstream::start(move |line| {
            while let Some(request) = line.receive() {
                if !request.text().contains("\"stream\"") {
                    line.send(ok(ANSWER));
                    continue;
                }
                line.send(STREAM_HEAD);
                for number in 0..10 {
                    line.send(chunk(event(&format!("<{number}>"))));
                    if !next.pass() {
                        return;
                    }
                }
                line.send(chunk("data: [DONE]\n\n"));
                line.send("0\r\n\r\n");
            }
        });
        let mut config = logged(config(upstream.address));
        config["server"] = json!({ "trusted_proxies": ["127.0.0.1/32"] });
        let mut nodes = [0; 3].map(|_| Node::start_on(&config.to_string(), driver, 1));
        let folder = tempfile::tempdir().unwrap();
        let nginx = Nginx::start(&nodes, folder.path());
        // What it claims of itself stands left of what nginx saw.
        let claim = "x-forwarded-for: 203.0.113.9\r\nx-real-ip: 203.0.113.9\r\n";
        let mut caller = nginx.caller([127, 0, 0, 2]);
        for _ in 0..3 {
            caller.send(request(CHAT, claim, ASK_STREAM));
            for number in 0..10 {
                // No further event is written before this one is here.
                caller.until(format!("<{number}>"));
                gate.open();
            }
            let answer = caller.answer();
            assert_eq!((answer.status, answer.is_whole), (200, true));
            assert_eq!(answer.value("cache-control"), Some("no-cache"));
            assert!(answer.text().ends_with("data: [DONE]\n\n"));
            caller.send(request(CHAT, claim, ASK));
            assert_eq!(caller.answer().text(), ANSWER);
            caller.send(request("/anthropic/v1/messages", claim, "{}"));
            assert_eq!(caller.answer().json()["type"], "error");
        }
        drop(nginx);
        let found: Vec<String> =
            nodes.iter_mut().flat_map(|node| rows(node, "SELECT client_ip FROM logs")).collect();
        assert_eq!(found, vec!["127.0.0.2"; 9]);
    });
}
