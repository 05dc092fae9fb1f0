//! RFC 9112 and RFC 9110 as raw bytes: the binary between scripted callers and a scripted provider. The tables are in
//! `http_rfc9112/cases/`, one file a section; `case` says how to read them.
//!
//! How each case is run, on both drivers:
//! - plain: whole, and in two pieces for every place to cut it, a connection (or an answer) for each;
//! - TLS, towards callers and towards providers: whole, and every byte in a record of its own, which is every cut in one
//!   connection;
//! - a case of more than 1,500 bytes is cut in two near its ends and around the limits; over TLS at a fourth of these places;
//! - the parsers alone (`model`): in two pieces for every place, and byte by byte.
//!
//! The pieces are sent a few milliseconds apart. Where they are read together all the same, a case proves less, and its
//! verdict is the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's failure")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "threads of a test share what they saw and wait on conditions"
)]

#[path = "http_rfc9112/answers.rs"]
mod answers;
#[path = "http_rfc9112/case.rs"]
mod case;
#[path = "http_rfc9112/cases/mod.rs"]
mod cases;
#[path = "http_rfc9112/client.rs"]
mod client;
#[path = "http_rfc9112/drive.rs"]
mod drive;
#[path = "http_rfc9112/drive_responses.rs"]
mod drive_responses;
#[path = "http_rfc9112/interim.rs"]
mod interim;
#[path = "http_rfc9112/model.rs"]
mod model;
#[path = "http_rfc9112/provider.rs"]
mod provider;
#[path = "http_rfc9112/requests.rs"]
mod requests;
#[path = "http_rfc9112/responses.rs"]
mod responses;
mod support;
