//! The request as the provider gets it: a head of our own, the caller's body with the model's bytes changed.

use std::borrow::Cow;
use std::fmt::Write;
use std::ops::Range;
use std::rc::Rc;

use super::fields;
use super::kept::{Body, COPY_BYTES_MAX};
use crate::api;
use crate::config::snapshot::{Credential, HeaderFilter, Key, Provider};
use crate::dialect::Dialect;
use crate::error::{Error, Kind};
use crate::http::{Method, encode};
use crate::net::client::Outgoing;
use crate::net::feed::Feed;
use crate::net::portion::Portion;
use crate::net::proxy;
use crate::net::server::Request;
use crate::provider::{self, ANTHROPIC_VERSION, Auth, MODEL};

const USER_AGENT: &str = concat!("corelane/", env!("CARGO_PKG_VERSION"));

/// A replacement of some bytes of the body.
pub(super) struct Edit {
    /// Which bytes of the body.
    pub(super) span: Range<usize>,
    /// What stands there instead.
    pub(super) bytes: Vec<u8>,
}

/// The caller's body, edited: what is long of it goes out as it stands in its buffer. `edits` are in the body's order and do
/// not overlap.
pub(super) fn passthrough(mut head: Vec<u8>, body: &Body<'_>, edits: &[Edit]) -> Outgoing {
    let bytes = body.bytes();
    let length = edits.iter().fold(bytes.len(), |length, edit| length - edit.span.len() + edit.bytes.len());
    finish(&mut head, length);
    if let Body::Short(_) = body {
        head.reserve_exact(length);
    }
    pieces(head, body, edits).into_outgoing()
}

fn pieces(head: Vec<u8>, body: &Body<'_>, edits: &[Edit]) -> Pieces {
    let mut pieces = Pieces { done: Vec::new(), last: head };
    let mut from = 0;
    for edit in edits {
        pieces.push(body, from..edit.span.start);
        pieces.last.extend_from_slice(&edit.bytes);
        from = edit.span.end;
    }
    pieces.push(body, from..body.bytes().len());
    pieces
}

/// The beginning of a body, edited, whose rest comes by the feed: with its length where that is known, else in chunks.
pub(super) fn beginning(
    mut head: Vec<u8>,
    body: &Body<'_>,
    edits: &[Edit],
    (left_bytes, feed): (Option<u64>, Rc<Feed>),
) -> Outgoing {
    let bytes = body.bytes();
    let length = edits.iter().fold(bytes.len(), |length, edit| length - edit.span.len() + edit.bytes.len());
    match left_bytes {
        Some(left_bytes) => encode::content_length(&mut head, length as u64 + left_bytes),
        None => encode::field(&mut head, "transfer-encoding", b"chunked"),
    }
    encode::end(&mut head);
    if left_bytes.is_none() {
        head.extend_from_slice(format!("{length:x}\r\n").as_bytes());
    }
    let mut pieces = pieces(head, body, edits);
    if left_bytes.is_none() {
        pieces.last.extend_from_slice(b"\r\n");
    }
    Outgoing { feed: Some(feed), ..pieces.into_outgoing() }
}

/// A body of our own making.
pub(super) fn whole(mut head: Vec<u8>, body: Vec<u8>) -> Outgoing {
    finish(&mut head, body.len());
    if body.len() <= COPY_BYTES_MAX {
        head.extend_from_slice(&body);
        return Outgoing { head, body: Vec::new(), feed: None, sends: 0 };
    }
    Outgoing { head, body: vec![body.into()], feed: None, sends: 0 }
}

/// A request that is put together: what is long stays where it is.
struct Pieces {
    done: Vec<Portion>,
    last: Vec<u8>,
}

impl Pieces {
    fn push(&mut self, body: &Body<'_>, span: Range<usize>) {
        match body {
            Body::Long(long) if span.len() > COPY_BYTES_MAX => {
                if !self.last.is_empty() {
                    self.done.push(std::mem::take(&mut self.last).into());
                }
                self.done.push(long.portion(span));
            }
            _ => self.last.extend_from_slice(body.bytes().get(span).unwrap_or_default()),
        }
    }

    fn into_outgoing(mut self) -> Outgoing {
        if self.done.is_empty() {
            return Outgoing { head: self.last, body: Vec::new(), feed: None, sends: 0 };
        }
        if !self.last.is_empty() {
            self.done.push(self.last.into());
        }
        Outgoing { head: Vec::new(), body: self.done, feed: None, sends: 0 }
    }
}

/// Whose headers go along.
pub(super) struct Caller<'a> {
    pub(super) request: &'a Request,
    /// As in [`fields::upstream_name`].
    pub(super) same_dialect: bool,
    /// `client.header_filter_config`.
    pub(super) filter: &'a HeaderFilter,
    /// Whether its `connection` nominates headers: these stay.
    pub(super) nominates: bool,
    /// Whether its body is a form, whose boundary its type names.
    pub(super) is_form: bool,
}

/// The request line and every header but `content-length`. `path` is the provider's; a key with a place of its own has it there.
pub(super) fn head(
    method: Method,
    path: &str,
    target: &Provider,
    key: Option<&Key>,
    dialect: Dialect,
    caller: Option<Caller<'_>>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let place = key.and_then(|key| key.place.as_deref());
    let origin = target.origin_of(key);
    let authority = place.map_or(&target.authority, |place| &place.authority).as_bytes();
    let base_path = place.map_or("", |place| &place.base_path).as_bytes();
    match proxy::forwarding(origin) {
        None => encode::request_line(&mut out, method, &[base_path, path.as_bytes()]),
        // RFC 9112 section 3.2.2.
        Some(_) => {
            let url = [b"http://".as_slice(), authority, base_path, path.as_bytes()];
            encode::request_line(&mut out, method, &url);
        }
    }
    encode::field(&mut out, "host", authority);
    if let Some(value) = proxy::forwarding(origin).and_then(proxy::authorization) {
        encode::field(&mut out, "proxy-authorization", value);
    }
    // Any other credential is over the whole request, which is not there yet.
    if let Some(Credential::Value(secret)) = key.and_then(|key| key.credential.as_ref()) {
        credential(&mut out, provider::auth(target.cloud, dialect), secret.expose());
    }
    // What the operator set stands once: neither a caller nor we add a second value to it.
    let is_set = |name: &[u8]| {
        target.extra_headers.iter().any(|(extra, _)| name.eq_ignore_ascii_case(extra.as_bytes()))
    };
    if !is_set(b"user-agent") {
        encode::field(&mut out, "user-agent", USER_AGENT.as_bytes());
    }
    encode::field(&mut out, "accept-encoding", b"identity");
    // Where the body has the version, a second one has no place.
    let is_wrapped = target.cloud.is_some_and(|cloud| cloud.wraps(dialect));
    let mut has_version = is_wrapped || is_set(b"anthropic-version");
    if let Some(Caller { request, same_dialect, filter, nominates, is_form }) = caller {
        if method == Method::Post {
            let form = if is_form { request.field("content-type") } else { None };
            encode::field(&mut out, "content-type", form.unwrap_or(b"application/json"));
        }
        let nominated = if nominates { fields::nominated(request.fields()) } else { Vec::new() };
        for (name, value) in request.fields().filter(|(name, _)| !fields::is_nominated(name, &nominated)) {
            let name = fields::upstream_name(name, dialect, same_dialect, filter);
            if let Some(name) = name.filter(|name| !is_set(name)) {
                let is_version = name.eq_ignore_ascii_case(b"anthropic-version");
                if is_version && is_wrapped {
                    continue;
                }
                has_version |= is_version;
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

/// A target with the model's name where it has a place for one: percent-encoded whole (RFC 3986 §2.1), so that it stays one
/// segment. Errors: a name of which a segment is empty or of dots.
pub(super) fn with_model<'t>(target: &'t str, model: &str) -> Result<Cow<'t, str>, Error> {
    with_name(target, MODEL, model)
}

/// The same with what stands for another name.
pub(super) fn with_name<'t>(target: &'t str, place: &str, model: &str) -> Result<Cow<'t, str>, Error> {
    // Most targets have no name; a search for a text costs ten times one for its brace.
    let has_place = memchr::memchr(b'{', target.as_bytes()).is_some();
    let found = if has_place { target.split_once(place) } else { None };
    let Some((before, behind)) = found else {
        return Ok(Cow::Borrowed(target));
    };
    if !api::is_plain(model) {
        let message = "no provider can have a model of this name, which is none in a path";
        return Err(Error::new(Kind::ModelNotFound, message).with_param("model"));
    }
    let mut whole = String::with_capacity(target.len() + model.len());
    whole.push_str(before);
    for byte in model.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                whole.push(char::from(byte));
            }
            _ => {
                let _ = write!(whole, "%{byte:02X}");
            }
        }
    }
    whole.push_str(behind);
    Ok(Cow::Owned(whole))
}

fn credential(out: &mut Vec<u8>, auth: Auth, secret: &str) {
    match auth {
        Auth::Bearer => {
            out.extend_from_slice(b"authorization: Bearer ");
            out.extend_from_slice(secret.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        Auth::AnthropicApiKey => encode::field(out, "x-api-key", secret.as_bytes()),
        Auth::GoogleApiKey => encode::field(out, "x-goog-api-key", secret.as_bytes()),
        Auth::AzureApiKey => encode::field(out, "api-key", secret.as_bytes()),
    }
}

fn finish(head: &mut Vec<u8>, length: usize) {
    encode::content_length(head, length as u64);
    encode::end(head);
}

/// Ends a head that has no body.
pub(super) fn bodyless(mut head: Vec<u8>) -> Outgoing {
    encode::end(&mut head);
    Outgoing { head, body: Vec::new(), feed: None, sends: 0 }
}

#[cfg(test)]
mod tests {
    use super::super::kept::Kept;
    use super::*;
    use crate::net::budget::Budget;

    #[test]
    fn a_models_name_stays_one_segment() {
        let target = |model: &str| with_model("/v1beta/models/{model}:x?alt=sse", model).map(Cow::into_owned);
        for (model, expected) in [
            ("gemini-2.5-flash", "gemini-2.5-flash"),
            ("a/..b/...", "a%2F..b%2F..."),
            ("a b?c#d%2e", "a%20b%3Fc%23d%252e"),
            ("...", "..."),
            ("ü:x", "%C3%BC%3Ax"),
        ] {
            assert_eq!(target(model), Ok(format!("/v1beta/models/{expected}:x?alt=sse")));
        }
        for model in ["", ".", "..", "a/../b", "../../v1beta/models/x", "a/.", "a//b", "/a", "a/"] {
            assert_eq!(target(model).unwrap_err().kind, Kind::ModelNotFound, "{model}");
            assert_eq!(with_model("/v1/x", model), Ok(Cow::Borrowed("/v1/x")));
        }
    }

    fn edit(span: Range<usize>, bytes: &str) -> Edit {
        Edit { span, bytes: bytes.into() }
    }

    fn whole_of(outgoing: &Outgoing) -> Vec<u8> {
        let behind = outgoing.body.iter().map(Portion::bytes);
        std::iter::once(outgoing.head.as_slice()).chain(behind).collect::<Vec<_>>().concat()
    }

    fn expected(body: &[u8], edits: &[Edit]) -> Vec<u8> {
        let mut edited = body.to_vec();
        for edit in edits.iter().rev() {
            edited.splice(edit.span.clone(), edit.bytes.iter().copied());
        }
        [format!("head\r\ncontent-length: {}\r\n\r\n", edited.len()).as_bytes(), &edited].concat()
    }

    #[test]
    fn a_body_is_edited_whatever_its_length_and_a_long_one_is_not_copied() {
        let text: Vec<u8> = (b'a'..=b'z').cycle().take(3 * COPY_BYTES_MAX + 7).collect();
        let end = text.len();
        let cases = [
            (vec![], 1),
            (vec![edit(9..21, "gpt")], 1),
            (vec![edit(0..0, "x"), edit(end - 5..end, "")], 1),
            (vec![edit(COPY_BYTES_MAX..COPY_BYTES_MAX + 4, "longer than it was")], 1),
            (vec![edit(COPY_BYTES_MAX + 1..COPY_BYTES_MAX + 4, "y"), edit(end - 1..end, "z")], 2),
        ];
        for (edits, long_pieces) in cases {
            let (bytes, start) = ([b"a head", text.as_slice()].concat(), 6);
            let long = Kept::new(bytes, start, Budget::new(0).hold());
            let outgoing = passthrough(b"head\r\n".to_vec(), &Body::Long(&long), &edits);
            assert_eq!(whole_of(&outgoing), expected(&text, &edits));
            let buffer = long.bytes().as_ptr_range();
            let shared = outgoing.body.iter().filter(|piece| buffer.contains(&piece.bytes().as_ptr()));
            assert_eq!(shared.count(), long_pieces);
            let short = passthrough(b"head\r\n".to_vec(), &Body::Short(&text), &edits);
            assert_eq!((whole_of(&short), short.body.len()), (expected(&text, &edits), 0));
        }
    }
}
