//! corelane, an LLM gateway: one API, many providers, several nodes from one shared `config.json`.
//!
//! Rooms stand on floors, and a room uses lower floors only (`tests/tidy.rs` checks):
//!
//! | floor | rooms | what they are |
//! |---|---|---|
//! | 8 | `cli` | arguments to exit code |
//! | 7 | `worker`, `control` | threads: pin, accept, serve, drain; signals, names, metrics |
//! | 6 | `gateway` | the life of one request |
//! | 5 | `net`, `telemetry` | effects: sockets, pool, TLS; counters, records, stores |
//! | 4 | `routing` | decisions: pure; `now` and `rng` are arguments |
//! | 3 | `config` | file to validated snapshot |
//! | 2 | `api`, `provider` | two tables |
//! | 1 | `dialect`, `http` | APIs as bytes; HTTP/1.1 and SSE as bytes |
//! | 0 | `chat`, `error` | ground: uses nothing of ours |
//!
//! Words: downstream (callers) and upstream (providers); an attempt is one send; a record is one request's log row.

pub mod api;
pub mod chat;
pub mod cli;
pub mod config;
pub mod control;
pub mod dialect;
pub mod error;
pub mod gateway;
pub mod http;
pub mod net;
pub mod provider;
pub mod routing;
pub mod telemetry;
pub mod worker;
