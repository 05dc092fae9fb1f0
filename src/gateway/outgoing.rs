//! The request as the provider gets it: a head of our own, the caller's body with the model's bytes changed.

use std::ops::Range;

use super::fields;
use crate::config::snapshot::{Key, Provider};
use crate::dialect::Dialect;
use crate::http::{Method, encode};
use crate::net::client::Outgoing;
use crate::net::proxy;
use crate::net::server::Request;
use crate::provider::{self, ANTHROPIC_VERSION, Auth};

/// Bodies up to this are copied behind the head, and leave in one send; longer ones are edited where they are.
const COPY_BYTES_MAX: usize = 64 * 1024;

const USER_AGENT: &str = concat!("corelane/", env!("CARGO_PKG_VERSION"));

/// A replacement of some bytes of the body.
pub(super) struct Edit {
    /// Which bytes of the body.
    pub(super) span: Range<usize>,
    /// What stands there instead.
    pub(super) bytes: Vec<u8>,
}

/// The caller's body, edited. Takes the body out of `request` when it is too long to be copied. `edits` are in the
/// body's order and do not overlap.
pub(super) fn passthrough(mut head: Vec<u8>, request: &mut Request, edits: &[Edit]) -> Outgoing {
    let body = request.body();
    let length = edits.iter().fold(body.len(), |length, edit| length - edit.span.len() + edit.bytes.len());
    finish(&mut head, length);
    if body.len() <= COPY_BYTES_MAX {
        head.reserve_exact(length);
        append_edited(&mut head, body, edits);
        return Outgoing { head, body: None, sends: 0 };
    }
    let mut start = request.head.head_bytes;
    let mut bytes = std::mem::take(&mut request.bytes);
    for edit in edits.iter().rev() {
        replace(&mut bytes, &mut start, edit);
    }
    Outgoing { head, body: Some((bytes, start)), sends: 0 }
}

/// A body of our own making.
pub(super) fn whole(mut head: Vec<u8>, body: Vec<u8>) -> Outgoing {
    finish(&mut head, body.len());
    if body.len() <= COPY_BYTES_MAX {
        head.extend_from_slice(&body);
        return Outgoing { head, body: None, sends: 0 };
    }
    Outgoing { head, body: Some((body, 0)), sends: 0 }
}

fn append_edited(out: &mut Vec<u8>, body: &[u8], edits: &[Edit]) {
    let mut from = 0;
    for edit in edits {
        out.extend_from_slice(body.get(from..edit.span.start).unwrap_or_default());
        out.extend_from_slice(&edit.bytes);
        from = edit.span.end;
    }
    out.extend_from_slice(body.get(from..).unwrap_or_default());
}

/// Replaces a span of the body that begins at `start`, moving whichever side of it is shorter.
fn replace(bytes: &mut Vec<u8>, start: &mut usize, edit: &Edit) {
    let span = *start + edit.span.start..*start + edit.span.end;
    let shrinks_bytes = span.len().checked_sub(edit.bytes.len());
    match shrinks_bytes {
        Some(shrinks_bytes) if edit.span.start < bytes.len() - span.end => {
            bytes.copy_within(*start..span.start, *start + shrinks_bytes);
            *start += shrinks_bytes;
            let target = bytes.get_mut(span.start + shrinks_bytes..span.end);
            target.into_iter().flatten().zip(&edit.bytes).for_each(|(to, from)| *to = *from);
        }
        _ => {
            bytes.splice(span, edit.bytes.iter().copied());
        }
    }
}

/// Whose headers go along.
pub(super) struct Caller<'a> {
    pub(super) request: &'a Request,
    /// As in [`fields::upstream_name`].
    pub(super) same_dialect: bool,
    /// Whether its `connection` nominates headers: these stay.
    pub(super) nominates: bool,
}

/// The request line and every header but `content-length`. `path` is the provider's.
pub(super) fn head(
    method: Method,
    path: &str,
    target: &Provider,
    key: Option<&Key>,
    dialect: Dialect,
    caller: Option<Caller<'_>>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    match proxy::forwarding(&target.origin) {
        None => encode::request_line(&mut out, method, &[path.as_bytes()]),
        // RFC 9112 section 3.2.2.
        Some(_) => {
            let url = [b"http://".as_slice(), target.authority.as_bytes(), path.as_bytes()];
            encode::request_line(&mut out, method, &url);
        }
    }
    encode::field(&mut out, "host", target.authority.as_bytes());
    if let Some(value) = proxy::forwarding(&target.origin).and_then(proxy::authorization) {
        encode::field(&mut out, "proxy-authorization", value);
    }
    if let Some(secret) = key.and_then(|key| key.secret.as_ref()) {
        credential(&mut out, provider::auth(dialect), secret.expose());
    }
    // What the operator set stands once: neither a caller nor we add a second value to it.
    let is_set = |name: &[u8]| {
        target.extra_headers.iter().any(|(extra, _)| name.eq_ignore_ascii_case(extra.as_bytes()))
    };
    if !is_set(b"user-agent") {
        encode::field(&mut out, "user-agent", USER_AGENT.as_bytes());
    }
    encode::field(&mut out, "accept-encoding", b"identity");
    let mut has_version = is_set(b"anthropic-version");
    if let Some(Caller { request, same_dialect, nominates }) = caller {
        encode::field(&mut out, "content-type", b"application/json");
        let nominated = if nominates { fields::nominated(request.fields()) } else { Vec::new() };
        for (name, value) in request.fields().filter(|(name, _)| !fields::is_nominated(name, &nominated)) {
            let name = fields::upstream_name(name, dialect, same_dialect);
            if let Some(name) = name.filter(|name| !is_set(name)) {
                has_version |= name.eq_ignore_ascii_case(b"anthropic-version");
                encode::field(&mut out, name, value);
            }
        }
    }
    if dialect == Dialect::Anthropic && !has_version {
        encode::field(&mut out, "anthropic-version", ANTHROPIC_VERSION);
    }
    for (name, value) in &target.extra_headers {
        encode::field(&mut out, name, value.as_bytes());
    }
    out
}

fn credential(out: &mut Vec<u8>, auth: Auth, secret: &str) {
    match auth {
        Auth::Bearer => {
            out.extend_from_slice(b"authorization: Bearer ");
            out.extend_from_slice(secret.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        Auth::AnthropicApiKey => encode::field(out, "x-api-key", secret.as_bytes()),
    }
}

fn finish(head: &mut Vec<u8>, length: usize) {
    encode::content_length(head, length as u64);
    encode::end(head);
}

/// Ends a head that has no body.
pub(super) fn bodyless(mut head: Vec<u8>) -> Outgoing {
    encode::end(&mut head);
    Outgoing { head, body: None, sends: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_moves_the_shorter_side_and_means_the_same() {
        let body = b"{\"model\":\"openai/gpt\",\"messages\":[]}";
        for (span, new) in
            [(9..21, "\"gpt\""), (9..21, "\"a-longer-name-than-it-was\""), (33..35, "[1]"), (9..21, "")]
        {
            let edit = Edit { span: span.clone(), bytes: new.as_bytes().to_vec() };
            let mut expected = Vec::new();
            append_edited(&mut expected, body, std::slice::from_ref(&edit));
            let mut bytes = [b"head".as_slice(), body].concat();
            let mut start = 4;
            replace(&mut bytes, &mut start, &edit);
            assert_eq!(bytes.get(start..), Some(expected.as_slice()), "{span:?} {new}");
        }
    }
}
