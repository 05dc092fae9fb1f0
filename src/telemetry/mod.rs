//! What is observed of requests: counters per core, one record per request, the log threads and their stores.
//! It decides nothing about a request and never makes a core wait.

mod attempt_trail;
pub mod cells;
mod flusher;
pub mod histogram;
mod labels;
pub mod lookup;
pub mod metrics;
mod observation;
pub mod postgres;
mod postgres_copy;
mod postgres_schema;
mod postgres_tls;
pub mod record;
pub mod ring;
pub mod row;
pub mod sample;
pub mod sqlite;
pub mod store;
pub mod ways;
pub mod writer;
