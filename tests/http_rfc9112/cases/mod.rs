//! The tables, one file for a section of RFC 9112 (or of RFC 9110, where that one decides). They are data: who runs them
//! is elsewhere, so that the gateway, the parsers alone and hyper all read the same.

#[path = "body_length.rs"]
pub(crate) mod body_length;
#[path = "chunked.rs"]
pub(crate) mod chunked;
#[path = "close.rs"]
pub(crate) mod close;
#[path = "dialects.rs"]
pub(crate) mod dialects;
#[path = "expect.rs"]
pub(crate) mod expect;
#[path = "fields.rs"]
pub(crate) mod fields;
#[path = "host.rs"]
pub(crate) mod host;
#[path = "limits.rs"]
pub(crate) mod limits;
#[path = "message_format.rs"]
pub(crate) mod message_format;
#[path = "persistence.rs"]
pub(crate) mod persistence;
#[path = "pipelining.rs"]
pub(crate) mod pipelining;
#[path = "request_line.rs"]
pub(crate) mod request_line;
#[path = "response_body.rs"]
pub(crate) mod response_body;
#[path = "response_fields.rs"]
pub(crate) mod response_fields;
#[path = "smuggling.rs"]
pub(crate) mod smuggling;
#[path = "status_line.rs"]
pub(crate) mod status_line;
#[path = "target.rs"]
pub(crate) mod target;
#[path = "transfer_coding.rs"]
pub(crate) mod transfer_coding;
#[path = "versions.rs"]
pub(crate) mod versions;

use super::case::Case;

/// Every table of requests, by its name.
pub(crate) const REQUESTS: [(&str, &[Case]); 16] = [
    ("message_format", message_format::CASES),
    ("versions", versions::CASES),
    ("request_line", request_line::CASES),
    ("target", target::CASES),
    ("host", host::CASES),
    ("fields", fields::CASES),
    ("body_length", body_length::CASES),
    ("transfer_coding", transfer_coding::CASES),
    ("chunked", chunked::CASES),
    ("persistence", persistence::CASES),
    ("pipelining", pipelining::CASES),
    ("close", close::CASES),
    ("expect", expect::CASES),
    ("limits", limits::CASES),
    ("smuggling", smuggling::CASES),
    ("dialects", dialects::CASES),
];

/// Every table of responses, by its name.
pub(crate) const RESPONSES: [(&str, &[Case]); 3] = [
    ("status_line", status_line::CASES),
    ("response_fields", response_fields::CASES),
    ("response_body", response_body::CASES),
];
