//! Which web pages may call (<https://fetch.spec.whatwg.org/#http-cors-protocol>): a request with an `Origin` that
//! `client.allowed_origins` does not allow is refused, whatever its method and path, and before anything is asked of a
//! provider. So no page that a developer opens can spend the keys of a gateway on the developer's machine, not even by
//! the requests that browsers send without asking first.
//!
//! An origin that is our own `Host` is no exception: we serve no pages, and a page whose name was bound anew to our
//! address (DNS rebinding) sends just that. A page served beside us by the same proxy is named in the config as any other.

use super::exchange::Exchange;
use super::noted::{Noted, Seen};
use super::{not_found, reply, skip_body};
use crate::api::Route;
use crate::config::origins::ORIGIN_BYTES_MAX;
use crate::config::snapshot::Client;
use crate::error::{Error, Kind};
use crate::http::encode;
use crate::net::server::{Downstream, Request};

/// A page that may call.
pub(super) struct Page {
    /// Its origin, as it is echoed.
    origin: String,
    /// Whether its requests may carry the browser's own credentials: cookies and certificates of our address.
    with_credentials: bool,
}

/// What a page may read of an answer beside the safelisted headers. The star is for requests without the browser's own
/// credentials, the names for those with them.
const EXPOSED: &str = "*, x-corelane-request-id, x-corelane-dropped-params, x-corelane-provider, x-corelane-key, \
     x-corelane-attempts, x-corelane-attempt-trail, x-request-id, request-id, retry-after, retry-after-ms, x-should-retry";

/// What a page may send beside the safelisted headers: what callers' SDKs set, and what we understand.
const ALLOWED: &str = "accept, anthropic-beta, anthropic-dangerous-direct-browser-access, anthropic-version, api-key, \
     authorization, content-encoding, content-type, idempotency-key, openai-beta, openai-organization, openai-project, \
     traceparent, tracestate, user-agent, x-api-key, x-goog-api-client, x-goog-api-key, x-request-id, x-requested-with, \
     x-stainless-timeout";
/// And all that begin so, when they are asked for.
const ALLOWED_PREFIXES: [&[u8]; 2] = [b"x-stainless-", b"x-bf-"];
/// Of those at most so many, each of at most so many bytes.
const ECHOED_MAX: usize = 64;
/// See [`ECHOED_MAX`].
const ECHOED_BYTES_MAX: usize = 128;

/// How long a browser may remember the answer, seconds; browsers cut it shorter.
const MAX_AGE_S: &[u8] = b"86400";

/// The page that calls; `None`: none does, as the request has no `Origin`. Errors: its origin is not allowed, or stands
/// twice.
pub(super) fn admit(request: &Request, noted: Noted, client: &Client) -> Result<Option<Box<Page>>, Error> {
    if noted.origin == Seen::Never {
        return Ok(None);
    }
    let Some(origin) = noted.origin.value(request) else {
        return Err(Error::new(Kind::BadHead, "Origin stands twice; send it once").with_param("origin"));
    };
    judge(origin, client).map(Box::new).map(Some)
}

fn judge(origin: &[u8], client: &Client) -> Result<Page, Error> {
    let origins = &client.allowed_origins;
    let text = std::str::from_utf8(origin).ok().filter(|text| (1..=ORIGIN_BYTES_MAX).contains(&text.len()));
    match text.filter(|text| origins.allows(text)) {
        // With `*` any page may call, but not as somebody: it could be one that its visitor never meant to trust.
        Some(text) => Ok(Page { origin: text.to_owned(), with_credentials: !origins.allows_any() }),
        None => Err(refusal(origin)),
    }
}

fn refusal(origin: &[u8]) -> Error {
    let shown: String =
        String::from_utf8_lossy(origin).chars().filter(|c| !c.is_control()).take(100).collect();
    let message = format!(
        "pages of the origin {shown:?} may not call this gateway; if they should, add it to client.allowed_origins"
    );
    Error::new(Kind::OriginNotAllowed, message).with_param("origin")
}

impl Page {
    /// The fields by which its browser lets it read the answer.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        encode::field(out, "access-control-allow-origin", &self.origin);
        if self.with_credentials {
            encode::field(out, "access-control-allow-credentials", b"true");
        }
        encode::field(out, "access-control-expose-headers", EXPOSED);
        encode::field(out, "vary", b"Origin");
    }
}

/// The methods that any route takes, for `OPTIONS *`.
const METHODS: &str = "GET, HEAD, POST, OPTIONS";

/// Answers OPTIONS: what the path takes, and, when a browser asks before it sends a page's request, what that page may
/// send.
pub(super) async fn options(
    downstream: &mut Downstream,
    request: &mut Request,
    exchange: &mut Exchange<'_>,
    route: Option<&Route>,
) -> Result<(), Error> {
    let methods = match route {
        Some(route) => route.allow(),
        None if request.path() == b"*" => METHODS,
        None => return Err(not_found(request)),
    };
    skip_body(downstream, request, exchange).await?;
    let mut out = Vec::with_capacity(1024);
    encode::status_line(&mut out, 204);
    encode::field(&mut out, "allow", methods);
    if exchange.page.is_some() && request.field("access-control-request-method").is_some() {
        encode::field(&mut out, "access-control-allow-methods", methods);
        encode::field(&mut out, "access-control-allow-headers", allowed(request, &exchange.snapshot.client));
        encode::field(&mut out, "access-control-max-age", MAX_AGE_S);
    }
    reply::finish(&mut out, exchange);
    exchange.status = 204;
    reply::timed_send(downstream, exchange, out).await.map(drop).map_err(Error::from)
}

/// Our list, the config's, and of what is asked for what has one of our prefixes.
fn allowed(request: &Request, client: &Client) -> Vec<u8> {
    let mut list = ALLOWED.as_bytes().to_vec();
    let asked = request.field("access-control-request-headers").unwrap_or_default();
    let asked = asked.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let echoed = asked.filter(|name| name.len() <= ECHOED_BYTES_MAX && is_ours(name)).take(ECHOED_MAX);
    for name in client.allowed_headers.iter().map(String::as_bytes).chain(echoed) {
        list.extend_from_slice(b", ");
        list.extend_from_slice(name);
    }
    list
}

fn is_ours(name: &[u8]) -> bool {
    let begins =
        |prefix: &&[u8]| name.get(..prefix.len()).is_some_and(|front| front.eq_ignore_ascii_case(prefix));
    let is_plain = name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    is_plain && ALLOWED_PREFIXES.iter().any(begins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_may_send_is_named_and_nothing_else() {
        for name in ["X-Stainless-Lang", "x-stainless-retry-count", "x-bf-vk"] {
            assert!(is_ours(name.as_bytes()), "{name}");
        }
        for name in ["", "x-stainless", "x-evil", "x-bf-\u{fc}", "x-stainless-a b", "x-bf-a\tb", "cookie"] {
            assert!(!is_ours(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn a_refused_origin_is_named_in_bounds() {
        let error = refusal(&[b"http://evil\r\n\x00\xff".as_slice(), &[b'x'; 5000]].concat());
        assert_eq!((error.kind, error.status()), (Kind::OriginNotAllowed, 403));
        assert!(error.message.len() < 400 && error.message.contains("\"http://evil"), "{error}");
        assert!(error.message.contains("client.allowed_origins"));
    }
}
