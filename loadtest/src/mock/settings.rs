//! What the mock was told: flags for every answer, and the words by which one request scripts its own. Pure.

use std::net::SocketAddr;

use clap::Parser;

use crate::ring::Driver;

/// A mock LLM provider: OpenAI chat completions and Anthropic messages, whole and streamed.
#[derive(Clone, Debug, Parser)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one and says it on stdout.
    #[arg(long, default_value = "127.0.0.1:9100")]
    pub listen: SocketAddr,
    /// The event interface.
    #[arg(long, value_enum, default_value = "auto")]
    pub driver: Driver,
    /// The core to pin the thread to.
    #[arg(long)]
    pub core: Option<usize>,
    /// The share of chat requests that are answered by an error, 0 to 1; evenly spread, not by chance.
    #[arg(long, default_value_t = 0.0)]
    pub error_rate: f64,
    /// The status of these errors, 400 to 599.
    #[arg(long, default_value_t = 500)]
    pub error_status: u16,
    /// What an answer is unless its request says otherwise.
    #[command(flatten)]
    pub script: Script,
}

impl Default for Settings {
    fn default() -> Self {
        Self::parse_from(["mock"])
    }
}

/// How a whole answer's body is delimited; a stream is chunked unless it says `close`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// By `Content-Length`.
    #[default]
    Length,
    /// By `Transfer-Encoding: chunked`.
    Chunked,
    /// By the end of the connection.
    Close,
}

/// One answer's shape. As words, divided by blanks or commas: `status=429 retry_after=2 delay_ms=200 chunks=50
/// chunk_delay_ms=20 cut_after=3 error_after=3 bytes=16384 framing=length|chunked|close finish=stop|length echo`.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
pub struct Script {
    /// Wait before the answer's first byte, milliseconds.
    #[arg(long, default_value_t = 0)]
    pub delay_ms: u64,
    /// Content events of a streamed answer, 1 and more.
    #[arg(long, default_value_t = 3)]
    pub chunks: usize,
    /// Wait before each event but the first, milliseconds.
    #[arg(long, default_value_t = 0)]
    pub chunk_delay_ms: u64,
    /// Bytes of the answer's text; 0 gives one short sentence, or a word for each streamed event.
    #[arg(long = "answer-bytes", default_value_t = 0)]
    pub bytes: usize,
    /// Answer with this status and an error in the dialect's shape.
    #[arg(skip)]
    pub status: Option<u16>,
    /// The error's `Retry-After`, seconds.
    #[arg(skip)]
    pub retry_after_s: Option<u64>,
    /// Close the connection after this many content events, or after this many bytes of a whole answer's body.
    #[arg(skip)]
    pub cut_after: Option<usize>,
    /// Send an error event after this many content events, and end the stream.
    #[arg(skip)]
    pub error_after: Option<usize>,
    /// How the body is delimited.
    #[arg(skip)]
    pub framing: Framing,
    /// The answer was stopped by the limit of tokens.
    #[arg(skip)]
    pub finish_length: bool,
    /// The answer's text is the last user text.
    #[arg(skip)]
    pub echo: bool,
}

impl Script {
    /// These settings with the words applied over them; an unknown word is named in the error.
    pub fn with_words(&self, words: &str) -> Result<Self, String> {
        let mut script = self.clone();
        for word in words.split([' ', ',', '\t', '\n']).filter(|word| !word.is_empty()) {
            script.apply(word).ok_or_else(|| format!("mock: the word `{word}` is not understood"))?;
        }
        Ok(script)
    }

    fn apply(&mut self, word: &str) -> Option<()> {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "status" => self.status = Some(value.parse().ok().filter(|status| (400..600).contains(status))?),
            "retry_after" => self.retry_after_s = Some(value.parse().ok()?),
            "delay_ms" => self.delay_ms = value.parse().ok()?,
            "chunks" => self.chunks = value.parse().ok()?,
            "chunk_delay_ms" => self.chunk_delay_ms = value.parse().ok()?,
            "cut_after" => self.cut_after = Some(value.parse().ok()?),
            "error_after" => self.error_after = Some(value.parse().ok()?),
            "bytes" => self.bytes = value.parse().ok()?,
            "framing" => self.framing = framing(value)?,
            "finish" => self.finish_length = finish_length(value)?,
            "echo" if value.is_empty() => self.echo = true,
            _ => return None,
        }
        Some(())
    }
}

fn framing(word: &str) -> Option<Framing> {
    match word {
        "length" => Some(Framing::Length),
        "chunked" => Some(Framing::Chunked),
        "close" => Some(Framing::Close),
        _ => None,
    }
}

fn finish_length(word: &str) -> Option<bool> {
    match word {
        "stop" => Some(false),
        "length" => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_reach_the_script() {
        let settings = Settings::parse_from([
            "mock",
            "--delay-ms",
            "5",
            "--answer-bytes",
            "1024",
            "--error-rate",
            "0.5",
        ]);
        assert_eq!((settings.script.delay_ms, settings.script.bytes, settings.error_rate), (5, 1024, 0.5));
    }

    #[test]
    fn words_override_flags() {
        let base = Script { chunks: 9, ..Script::default() };
        let script = base.with_words(" status=429 delay_ms=200,cut_after=3 bytes=16384 echo").unwrap();
        assert_eq!((script.status, script.delay_ms, script.cut_after), (Some(429), 200, Some(3)));
        assert_eq!((script.bytes, script.chunks, script.echo), (16384, 9, true));
        assert_eq!(base.with_words("framing=close").unwrap().framing, Framing::Close);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for word in ["stat=1", "status=200", "chunks=x", "framing=none", "echo=2"] {
            let fault = Script::default().with_words(word).unwrap_err();
            assert!(fault.contains(word), "{fault}");
        }
    }
}
