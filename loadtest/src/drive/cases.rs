//! The loads: which bytes each connection sends. Pure.

use std::fmt;

use bytes::Bytes;
use serde_json::json;

use super::servers::Kind;

/// One load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Case {
    /// A body of 1 KiB, a whole answer of about 1.2 KiB.
    #[value(name = "1k")]
    Whole1,
    /// A body of 16 KiB, the same answer.
    #[value(name = "16k")]
    Whole16,
    /// A body of 1 KiB, an answer of 100 events, one each 2 ms.
    Stream,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole1 => "1 KB",
            Self::Whole16 => "16 KB",
            Self::Stream => "100-chunk stream",
        })
    }
}

impl Case {
    /// Figures are per event of the stream instead of per request.
    pub fn is_stream(self) -> bool {
        self == Self::Stream
    }

    /// The request's bytes, made once. A gateway is asked for `openai/…`, the others what the provider itself takes.
    pub fn request(self, kind: Kind) -> Bytes {
        let model = if kind.is_gateway() { "openai/gpt-4o-mini" } else { "gpt-4o-mini" };
        let script = if self.is_stream() { "mock: chunks=100 chunk_delay_ms=2" } else { "mock: bytes=700" };
        let body_bytes = if self == Self::Whole16 { 16 * 1024 } else { 1024 };
        let body = |filler: &str| {
            let messages = json!([{"role": "user", "content": filler}, {"role": "user", "content": script}]);
            json!({"model": model, "stream": self.is_stream(), "temperature": 0.7, "messages": messages})
                .to_string()
        };
        let filler = "lorem ipsum ".repeat(body_bytes / 12 + 1);
        let room = body_bytes.saturating_sub(body("").len());
        let body = body(filler.get(..room).unwrap_or_default());
        Bytes::from(format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n\
             Authorization: Bearer bench-key\r\nUser-Agent: corelane-drive\r\nAccept: */*\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_their_size() {
        for (case, bytes) in [(Case::Whole1, 1024), (Case::Whole16, 16 * 1024), (Case::Stream, 1024)] {
            for kind in [Kind::Nginx, Kind::Corelane] {
                let request = String::from_utf8(case.request(kind).to_vec()).unwrap();
                let (head, body) = request.split_once("\r\n\r\n").unwrap();
                assert_eq!(body.len(), bytes);
                assert!(head.contains(&format!("Content-Length: {bytes}")));
                assert_eq!(body.contains("openai/"), kind == Kind::Corelane);
            }
        }
    }
}
