//! 200 MB up and 200 MB down, each as it comes: how much memory the node takes for them (`VmHWM`, printed).

use std::io::Write;

use serde_json::json;

use crate::caller::Caller;
use crate::setup::{answer, config, ok, on_both};
use crate::support::node::Node;
use crate::support::upstream::Upstream;

const LARGE_BYTES: usize = 200_000_000;
/// What 200 MB may add to a node's memory: pieces, sockets, TLS none.
const GROWTH_KB_MAX: usize = 16 * 1024;

/// The most memory that the node ever had, KB.
fn peak_kb(node: &Node) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A provider that takes files without keeping them, and has one to give.
fn provider() -> Upstream {
    Upstream::start(|line| {
        let mut bytes = Vec::new();
        loop {
            let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
                if !line.take_into(&mut bytes) {
                    return;
                }
                continue;
            };
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let length: usize = length.unwrap_or_default();
            let mut left = length.saturating_sub(bytes.len() - end - 4);
            bytes.clear();
            while left > 0 {
                if !line.take_into(&mut bytes) {
                    return;
                }
                left = left.saturating_sub(bytes.len());
                bytes.clear();
            }
            if head.starts_with("get") {
                let head = answer(200, "content-type: application/octet-stream\r\n", "");
                let head = String::from_utf8(head).unwrap();
                line.send(head.replace("content-length: 0", &format!("content-length: {LARGE_BYTES}")));
                for _ in 0..LARGE_BYTES / 100_000 {
                    line.send([7; 100_000]);
                }
            } else {
                line.send(ok(format!(r#"{{"id":"file-1","bytes":{length}}}"#)));
            }
        }
    })
}

#[test]
fn memory_stays_flat_whatever_goes_up_and_down() {
    on_both(|driver| {
        let upstream = provider();
        let mut config = config(upstream.address);
        config["client"] = json!({ "max_request_body_size_mb": 256 });
        config["providers"]["openai"]["keys"][0]["use_for_batch_api"] = json!(true);
        let node = Node::start(&config.to_string(), driver);
        let mut caller = Caller::new(&node);
        let part = "--x-y\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
        let (length, end) = (part.len() + LARGE_BYTES + 11, "\r\n--x-y--\r\n");
        // A first one, so that what a node takes once is taken.
        for bytes in [1_000_000, LARGE_BYTES] {
            let length = length - LARGE_BYTES + bytes;
            let before = peak_kb(&node);
            let mut sender = caller.sender();
            sender
                .write_all(
                    format!(
                        "POST /openai/v1/files HTTP/1.1\r\nhost: t\r\ncontent-type: multipart/form-data; boundary=x-y\r\ncontent-length: {length}\r\n\r\n{part}"
                    )
                    .as_bytes(),
                )
                .unwrap();
            for _ in 0..bytes / 100_000 {
                sender.write_all(&[7; 100_000]).unwrap();
            }
            sender.write_all(end.as_bytes()).unwrap();
            let answer = caller.answer();
            assert_eq!((answer.status, &answer.json()["bytes"]), (200, &json!(length)));
            let growth = peak_kb(&node).saturating_sub(before);
            println!("{driver}: {bytes} bytes up, VmHWM grew by {growth} KB");
            assert!(growth < GROWTH_KB_MAX);
        }
        let before = peak_kb(&node);
        caller.send("GET /openai/v1/files/file-1/content HTTP/1.1\r\nhost: t\r\n\r\n");
        caller.take_until("\r\n\r\n");
        assert_eq!(caller.discard(LARGE_BYTES), LARGE_BYTES);
        let growth = peak_kb(&node).saturating_sub(before);
        println!("{driver}: {LARGE_BYTES} bytes down, VmHWM grew by {growth} KB");
        assert!(growth < GROWTH_KB_MAX);
    });
}
