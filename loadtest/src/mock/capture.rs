//! What reached the mock, byte by byte, so that a test can see what a gateway really sent. No I/O.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

/// Requests that are kept beside the counters.
const RECENT_MAX: usize = 16;

/// Paths that are counted by name; the rest is counted as `other`.
const PATHS_MAX: usize = 64;

/// The counters, and the last few requests as they came.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Requests received, those to `/mock/` left out.
    pub requests: u64,
    /// Connections that brought at least one of these requests.
    pub connections: u64,
    /// Connections that the peer closed in the middle of an answer.
    pub aborted: u64,
    by_path: BTreeMap<String, u64>,
    recent: VecDeque<Vec<u8>>,
}

impl Ledger {
    /// Notes a request. Takes its bytes, and leaves an emptied buffer in their place.
    pub fn note(&mut self, path: &str, raw: &mut Vec<u8>) {
        self.requests += 1;
        match self.by_path.get_mut(path) {
            Some(count) => *count += 1,
            None => *self.by_path.entry(self.path_label(path)).or_default() += 1,
        }
        let mut kept = if self.recent.len() < RECENT_MAX {
            Vec::new()
        } else {
            self.recent.pop_front().unwrap_or_default()
        };
        kept.clear();
        std::mem::swap(&mut kept, raw);
        self.recent.push_back(kept);
    }

    /// Everything, as the tests read it.
    pub fn to_json(&self) -> Value {
        let recent: Vec<Value> = self.recent.iter().map(|raw| exchange(raw)).collect();
        json!({
            "requests": self.requests,
            "connections": self.connections,
            "aborted": self.aborted,
            "by_path": self.by_path,
            "last": recent.last(),
            "recent": recent,
        })
    }

    fn path_label(&self, path: &str) -> String {
        if self.by_path.len() < PATHS_MAX { path.to_owned() } else { "other".to_owned() }
    }
}

/// One request: `head` and `body` as they came (not UTF-8: replaced), and the head taken apart. A chunked body shows
/// its chunk lines.
fn exchange(raw: &[u8]) -> Value {
    let head_end = memchr::memmem::find(raw, b"\r\n\r\n").map_or(raw.len(), |at| at + 4);
    let (head, body) = raw.split_at(head_end);
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().splitn(3, ' ');
    let headers: Vec<Value> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| json!([name, value.trim()]))
        .collect();
    json!({
        "method": first.next(),
        "target": first.next(),
        "version": first.next(),
        "headers": headers,
        "head": head,
        "body": String::from_utf8_lossy(body),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_bytes_as_they_came() {
        let mut ledger = Ledger::default();
        let mut raw = b"POST /v1/x?a=1 HTTP/1.1\r\nX-CaSe: Yes\r\n\r\n{\"a\":1}".to_vec();
        ledger.note("/v1/x", &mut raw);
        assert!(raw.is_empty());
        let seen = ledger.to_json();
        assert_eq!(seen["requests"], 1);
        assert_eq!(seen["by_path"]["/v1/x"], 1);
        assert_eq!(seen["last"]["target"], "/v1/x?a=1");
        assert_eq!(seen["last"]["headers"][0], json!(["X-CaSe", "Yes"]));
        assert_eq!(seen["last"]["body"], "{\"a\":1}");
    }

    #[test]
    fn keeps_a_bounded_number() {
        let mut ledger = Ledger::default();
        for number in 0..100 {
            ledger.note(&format!("/{number}"), &mut b"GET / HTTP/1.1\r\n\r\n".to_vec());
        }
        assert_eq!(ledger.to_json()["recent"].as_array().unwrap().len(), RECENT_MAX);
        assert_eq!(ledger.to_json()["by_path"]["other"], 36);
    }
}
