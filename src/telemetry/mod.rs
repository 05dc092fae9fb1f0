//! What is observed of requests: counters per core, one record per request, the log thread and its stores.
//! It decides nothing about a request and never makes a core wait.

pub mod record;
