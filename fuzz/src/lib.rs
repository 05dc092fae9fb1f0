//! What must hold for any bytes that a stranger sends: one function for each reader, which panics when it does not hold.
//! libFuzzer calls them (`targets/`), and so does `tests/corpus.rs` of the gateway with every kept input. Beside the
//! reader stands, where it can, a second and slower reading of the same bytes, written from the standard alone.

#![allow(clippy::expect_used, clippy::panic, reason = "a panic is the finding")]

mod body;
mod coding;
mod config;
mod cut;
mod dialect;
mod events;
mod form;
mod frames;
mod head;
mod look;
mod places;
mod proxy;
mod stream;
mod stretch;
mod token_answer;
mod websocket;

pub use body::chunked_body;
pub use coding::coded_body;
pub use config::config_file;
pub use dialect::{anthropic_body, bedrock_body, cohere_body, gemini_body, openai_body, responses_body};
pub use events::event_stream;
pub use form::form;
pub use frames::event_frames;
pub use head::{request_head, response_head};
pub use look::look;
pub use places::passing_places;
pub use proxy::proxy_header;
pub use stream::{
    anthropic_stream, bedrock_stream, cohere_stream, gemini_stream, openai_stream, responses_stream,
};
pub use token_answer::token_answer;
pub use websocket::websocket;

/// A check of one reader; panics when something does not hold for these bytes.
pub type Check = fn(&[u8]);

/// Every check under the name of its target and of its folder in `corpus/`.
pub const CHECKS: [(&str, Check); 25] = [
    ("anthropic_body", anthropic_body),
    ("anthropic_stream", anthropic_stream),
    ("bedrock_body", bedrock_body),
    ("bedrock_stream", bedrock_stream),
    ("chunked_body", chunked_body),
    ("coded_body", coded_body),
    ("cohere_body", cohere_body),
    ("cohere_stream", cohere_stream),
    ("config_file", config_file),
    ("event_frames", event_frames),
    ("event_stream", event_stream),
    ("form", form),
    ("gemini_body", gemini_body),
    ("gemini_stream", gemini_stream),
    ("look", look),
    ("openai_body", openai_body),
    ("openai_stream", openai_stream),
    ("passing_places", passing_places),
    ("proxy_header", proxy_header),
    ("request_head", request_head),
    ("response_head", response_head),
    ("responses_body", responses_body),
    ("responses_stream", responses_stream),
    ("token_answer", token_answer),
    ("websocket", websocket),
];
