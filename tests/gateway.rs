//! The gateway between raw bytes: a scripted provider on one side, a scripted caller on the other, the real binary
//! between them, on both drivers. What crosses, what must not, and what either side gets when the other breaks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's failure")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "threads of a test share what they saw and wait on conditions"
)]

#[path = "gateway/admin.rs"]
mod admin;
#[path = "gateway/admin_places.rs"]
mod admin_places;
#[path = "gateway/bedrock.rs"]
mod bedrock;
#[path = "gateway/bodies.rs"]
mod bodies;
#[path = "gateway/broken.rs"]
mod broken;
#[path = "gateway/caller.rs"]
mod caller;
#[path = "gateway/client_ip.rs"]
mod client_ip;
#[path = "gateway/clouds.rs"]
mod clouds;
#[path = "gateway/coded.rs"]
mod coded;
#[path = "gateway/cohere.rs"]
mod cohere;
#[path = "gateway/cors.rs"]
mod cors;
#[path = "gateway/custom.rs"]
mod custom;
#[path = "gateway/drain.rs"]
mod drain;
#[path = "gateway/edge.rs"]
mod edge;
#[path = "gateway/extra_params.rs"]
mod extra_params;
#[path = "gateway/fairness.rs"]
mod fairness;
#[path = "gateway/fallbacks.rs"]
mod fallbacks;
#[path = "gateway/fidelity.rs"]
mod fidelity;
#[path = "gateway/first_content.rs"]
mod first_content;
#[path = "gateway/foreign.rs"]
mod foreign;
#[path = "gateway/gemini.rs"]
mod gemini;
#[path = "gateway/gemini_across.rs"]
mod gemini_across;
#[path = "gateway/gone.rs"]
mod gone;
#[path = "gateway/headers.rs"]
mod headers;
#[path = "gateway/health.rs"]
mod health;
#[path = "gateway/held.rs"]
mod held;
#[path = "gateway/idle.rs"]
mod idle;
#[path = "gateway/leaving.rs"]
mod leaving;
#[path = "gateway/listener_tls.rs"]
mod listener_tls;
#[path = "gateway/metrics.rs"]
mod metrics;
#[path = "gateway/models.rs"]
mod models;
#[path = "gateway/names.rs"]
mod names;
#[path = "gateway/nginx.rs"]
mod nginx;
#[path = "gateway/operations.rs"]
mod operations;
#[path = "gateway/own_fields.rs"]
mod own_fields;
#[path = "gateway/own_place.rs"]
mod own_place;
#[cfg(debug_assertions)]
#[path = "gateway/panics.rs"]
mod panics;
#[path = "gateway/passthrough.rs"]
mod passthrough;
#[path = "gateway/paths.rs"]
mod paths;
#[path = "gateway/places.rs"]
mod places;
#[path = "gateway/proxy_protocol.rs"]
mod proxy_protocol;
#[path = "gateway/reload.rs"]
mod reload;
#[path = "gateway/reload_load.rs"]
mod reload_load;
#[path = "gateway/reload_operator.rs"]
mod reload_operator;
#[path = "gateway/reload_watch.rs"]
mod reload_watch;
#[path = "gateway/resend.rs"]
mod resend;
#[path = "gateway/responses.rs"]
mod responses;
#[path = "gateway/responses_translated.rs"]
mod responses_translated;
#[path = "gateway/retries.rs"]
mod retries;
#[path = "gateway/review.rs"]
mod review;
#[path = "gateway/rotation.rs"]
mod rotation;
#[path = "gateway/routing.rs"]
mod routing;
#[path = "gateway/script.rs"]
mod script;
#[path = "gateway/setup.rs"]
mod setup;
#[path = "gateway/signed.rs"]
mod signed;
#[path = "gateway/spread.rs"]
mod spread;
#[path = "gateway/start.rs"]
mod start;
#[path = "gateway/sticky.rs"]
mod sticky;
#[path = "gateway/streams.rs"]
mod streams;
mod support;
#[path = "gateway/tls.rs"]
mod tls;
#[path = "gateway/tls_callers.rs"]
mod tls_callers;
#[path = "gateway/uploads.rs"]
mod uploads;
#[path = "gateway/uploads_large.rs"]
mod uploads_large;
#[path = "gateway/uploads_named.rs"]
mod uploads_named;
#[path = "gateway/upstream_answers.rs"]
mod upstream_answers;
#[path = "gateway/upstream_pool.rs"]
mod upstream_pool;
#[path = "gateway/upstream_proxy.rs"]
mod upstream_proxy;
#[path = "gateway/upstream_tls.rs"]
mod upstream_tls;
#[path = "gateway/usage.rs"]
mod usage;
#[path = "gateway/ways.rs"]
mod ways;
