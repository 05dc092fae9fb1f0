//! The caller's address in its row: the peer's own, or what trusted proxies say; never the caller's own words.

use serde_json::{Value, json};

use crate::caller::{Caller, request};
use crate::setup::{ANSWER, ASK, CHAT, config, ok, on_both};
use crate::support::node::Node;
use crate::support::upstream::Upstream;

/// The config with rows in `logs.db` beside it.
pub(crate) fn logged(mut config: Value) -> Value {
    config["logs_store"] = json!({ "enabled": true, "type": "sqlite", "config": { "path": "logs.db" } });
    config
}

/// Ends the node, and gives the query's first column of each row in the order of requests.
pub(crate) fn rows(node: &mut Node, query: &str) -> Vec<String> {
    node.signal("TERM");
    assert!(node.wait().success());
    let file = rusqlite::Connection::open(node.folder.path().join("logs.db")).unwrap();
    let mut statement = file.prepare(&format!("{query} ORDER BY timestamp, id")).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

const SAID: [(&str, &str); 7] = [
    ("", "127.0.0.1"),
    ("x-forwarded-for: 192.0.2.7\r\n", "192.0.2.7"),
    ("x-forwarded-for: 1.1.1.1, 192.0.2.7:80, 10.1.1.1\r\nx-real-ip: 3.3.3.3\r\n", "192.0.2.7"),
    ("x-forwarded-for: 1.1.1.1\r\nX-Forwarded-For: [2a00::7]:1\r\n", "2a00::7"),
    ("x-real-ip: 192.0.2.8\r\n", "192.0.2.8"),
    ("x-forwarded-for: 192.0.2.7, nonsense\r\n", "127.0.0.1"),
    ("forwarded: for=192.0.2.7\r\nx-client-ip: 192.0.2.7\r\n", "127.0.0.1"),
];

#[test]
fn a_row_has_the_callers_address_as_trusted_proxies_say_it() {
    on_both(|driver| {
        for trusted in [json!(["127.0.0.0/8", "10.0.0.0/8"]), json!(["192.0.2.0/24"]), Value::Null] {
            let upstream = Upstream::answering(ok(ANSWER));
            let mut config = logged(config(upstream.address));
            if !trusted.is_null() {
                config["server"] = json!({ "trusted_proxies": trusted });
            }
            let mut node = Node::start(&config.to_string(), driver);
            let mut caller = Caller::new(&node);
            for (fields, _) in SAID {
                caller.send(request(CHAT, fields, ASK));
                assert_eq!(caller.answer().status, 200);
                assert!(!upstream.last().head.contains("192.0.2"), "{}", upstream.last().head);
            }
            let is_trusted = trusted.to_string().contains("127.");
            let expected = SAID.map(|(_, said)| if is_trusted { said } else { "127.0.0.1" });
            assert_eq!(rows(&mut node, "SELECT client_ip FROM logs"), expected, "{trusted}");
        }
    });
}

/// A refused page's request leaves a row, too: who tried is worth knowing.
#[test]
fn a_refused_pages_request_has_a_row() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let mut node = Node::start(&logged(config(upstream.address)).to_string(), driver);
        let mut caller = Caller::new(&node);
        caller.send(request(CHAT, "origin: https://evil.example\r\n", ASK));
        assert_eq!(caller.answer().status, 403);
        let found = rows(&mut node, "SELECT client_ip || ' ' || error_kind || ' ' || status_code FROM logs");
        assert_eq!(found, ["127.0.0.1 origin_not_allowed 403"]);
    });
}
