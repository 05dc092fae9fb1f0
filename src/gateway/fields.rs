//! Which headers cross, either way. Towards a provider only those on a list; back to the caller all but those of the
//! connection, of cookies and of what is ours to say. A credential of the caller never leaves, nor does its address.

use crate::config::snapshot::HeaderFilter;
use crate::dialect::Dialect;

/// Bifrost's prefix for a header that the caller wants forwarded without it.
const EXTRA_PREFIX: &[u8] = b"x-bf-eh-";

/// The name under which a caller's header goes to the provider; `None`: it stays here. `same_dialect`: the body passes
/// through, and so do the dialect's own headers. What the caller's `connection` nominates stays, too ([`nominated`]).
pub(super) fn upstream_name<'n>(
    name: &'n [u8],
    dialect: Dialect,
    same_dialect: bool,
    filter: &HeaderFilter,
) -> Option<&'n [u8]> {
    if let Some(extra) = strip_prefix(name, EXTRA_PREFIX) {
        return (!extra.is_empty() && !is_private(extra) && filter.allows(extra)).then_some(extra);
    }
    let passes = passes(name, dialect, same_dialect);
    let goes = match filter.is_empty() {
        true => passes,
        false => passes && !filter.denies(name) || filter.forwards(name) && !is_private(name),
    };
    goes.then_some(name)
}

/// Whether a header goes along that no filter names.
fn passes(name: &[u8], dialect: Dialect, same_dialect: bool) -> bool {
    let Some(first) = name.first() else { return false };
    match first.to_ascii_lowercase() {
        b'a' => {
            same_dialect && (is(name, b"accept") || (is_anthropic(name) && dialect == Dialect::Anthropic))
        }
        b'i' => is(name, b"idempotency-key"),
        b'o' => {
            same_dialect
                && matches!(dialect, Dialect::OpenAi | Dialect::Responses)
                && strip_prefix(name, b"openai-").is_some()
        }
        b't' => is(name, b"traceparent") || is(name, b"tracestate"),
        b'x' => {
            same_dialect
                && (strip_prefix(name, b"x-stainless-").is_some()
                    || (dialect == Dialect::Gemini && is(name, b"x-goog-api-client"))
                    || (dialect == Dialect::Cohere && is(name, b"x-client-name")))
        }
        _ => false,
    }
}

fn is_anthropic(name: &[u8]) -> bool {
    is(name, b"anthropic-version") || is(name, b"anthropic-beta")
}

/// Headers that `x-bf-eh-` must not smuggle: credentials, framing, who the caller is, and what we set ourselves
/// (compat.md 2.6). `_` counts as `-`: some servers read both alike (RFC 3875 §4.1.18).
fn is_private(name: &[u8]) -> bool {
    const PRIVATE: [&[u8]; 27] = [
        b"accept-encoding",
        b"api-key",
        b"authorization",
        b"cf-connecting-ip",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"cookie",
        b"expect",
        b"forwarded",
        b"host",
        b"http2-settings",
        b"keep-alive",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"true-client-ip",
        b"upgrade",
        b"user-agent",
        b"via",
        b"x-api-key",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-goog-api-key",
        b"x-original-forwarded-for",
        b"x-real-ip",
    ];
    // What AWS's signature stands on: a second value would break it, and the key would be blamed.
    const PREFIXES: [&[u8]; 6] =
        [b"proxy-", b"sec-websocket-", b"x-amz-", b"x-bf-", b"x-corelane-", b"x-forwarded-"];
    PREFIXES.iter().any(|prefix| name.get(..prefix.len()).is_some_and(|front| is_like(front, prefix)))
        || PRIVATE.iter().any(|private| is_like(name, private))
}

/// Equal, whatever the case, with `_` for `-`.
fn is_like(name: &[u8], expected: &[u8]) -> bool {
    let fold = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == expected.len() && name.iter().zip(expected).all(|(byte, other)| fold(*byte) == *other)
}

/// Whether a provider's header goes back to the caller. Framing is our own; so are cookies' scope, the server's name, what
/// web pages may do here, and orders to a proxy in front of us or to the browser about our origin.
pub(super) fn returns(name: &[u8], nominated: &[&[u8]]) -> bool {
    const OWN: [&[u8]; 21] = [
        b"alt-svc",
        b"cache-control",
        b"clear-site-data",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"date",
        b"keep-alive",
        b"nel",
        b"proxy-authenticate",
        b"proxy-connection",
        b"report-to",
        b"reporting-endpoints",
        b"server",
        b"set-cookie",
        b"strict-transport-security",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"x-sendfile",
    ];
    // `x-accel-*` are orders that nginx takes from whom it proxies: `x-accel-redirect` opens its internal locations.
    const PREFIXES: [&[u8]; 3] = [b"access-control-", b"x-accel-", b"x-corelane-"];
    let may_begin_so = matches!(name.first(), Some(b'a' | b'A' | b'x' | b'X'));
    let stays = OWN.iter().any(|own| is(name, own))
        || (may_begin_so && PREFIXES.iter().any(|prefix| strip_prefix(name, prefix).is_some()))
        || is_nominated(name, nominated);
    !stays
}

/// The headers that a head's `connection` makes its connection's own (RFC 9110 §7.6.1); `keep-alive` and `close` are no
/// headers. Usually none, and then nothing is allocated.
pub(super) fn nominated<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<&'a [u8]> {
    let mut nominated = Vec::new();
    for (name, value) in fields {
        if name.len() == 10 && is(name, b"connection") && !is_persistence(value) {
            let options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            nominated.extend(options.filter(|option| !is_persistence(option)));
        }
    }
    nominated
}

/// Whether an option of `connection` says only whether it stays open.
pub(super) fn is_persistence(option: &[u8]) -> bool {
    option.is_empty() || is(option, b"close") || is(option, b"keep-alive")
}

/// Whether `name` is one of them.
pub(super) fn is_nominated(name: &[u8], nominated: &[&[u8]]) -> bool {
    nominated.iter().any(|one| is(one, name))
}

fn is(name: &[u8], expected: &[u8]) -> bool {
    name.eq_ignore_ascii_case(expected)
}

fn strip_prefix<'a>(name: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (front, rest) = name.split_at_checked(prefix.len())?;
    front.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(name: &str, same_dialect: bool) -> Option<&str> {
        upstream_name(name.as_bytes(), Dialect::OpenAi, same_dialect, &HeaderFilter::default())
            .and_then(|name| std::str::from_utf8(name).ok())
    }

    #[test]
    fn no_credential_of_the_caller_leaves_nor_its_address() {
        for name in [
            "Authorization",
            "x-api-key",
            "X_Api_Key",
            "api-key",
            "x-goog-api-key",
            "X-Amz-Date",
            "x_amz_security_token",
            "Cookie",
            "Proxy-Authorization",
            "Proxy-Anything",
            "Sec-WebSocket-Key",
            "x-bf-vk",
            "X_BF_VK",
            "x-bf-api-key",
            "x-corelane-request-id",
            "Forwarded",
            "X-Forwarded-For",
            "x_forwarded_for",
            "X-Forwarded-Proto",
            "X-Real-IP",
            "Via",
            "True-Client-IP",
            "content_length",
            "Transfer_Encoding",
            "Host",
        ] {
            assert_eq!(sent(name, true), None, "{name}");
            assert_eq!(sent(&format!("x-bf-eh-{name}"), true), None, "{name}");
        }
    }

    #[test]
    fn a_dialects_own_headers_pass_to_the_same_dialect_only() {
        assert_eq!(sent("OpenAI-Organization", true), Some("OpenAI-Organization"));
        assert_eq!(sent("X-Stainless-Lang", false), None);
        assert_eq!(sent("anthropic-beta", true), None);
        assert_eq!(sent("x-goog-api-client", true), None);
        let google = |name: &'static str, same| {
            upstream_name(name.as_bytes(), Dialect::Gemini, same, &HeaderFilter::default()).is_some()
        };
        assert!(google("X-Goog-Api-Client", true) && !google("x-goog-api-client", false));
        assert!(!google("x-goog-api-key", true) && !google("x-bf-eh-x-goog-api-key", true));
        assert!(!google("x-goog-user-project", true));
        let cohere =
            |same| upstream_name(b"X-Client-Name", Dialect::Cohere, same, &HeaderFilter::default()).is_some();
        assert!(cohere(true) && !cohere(false) && sent("x-client-name", true).is_none());
        assert_eq!(sent("traceparent", false), Some("traceparent"));
        assert_eq!(sent("x-bf-eh-x-team", false), Some("x-team"));
        assert_eq!(sent("x-bf-eh-http-referer", false), Some("http-referer"));
    }

    #[test]
    fn framing_cookies_and_orders_do_not_return() {
        for name in [
            "Transfer-Encoding",
            "content-length",
            "Set-Cookie",
            "connection",
            "Access-Control-Allow-Origin",
            "X-Accel-Redirect",
            "X-Sendfile",
            "NEL",
            "x-corelane-dropped-params",
        ] {
            assert!(!returns(name.as_bytes(), &[]), "{name}");
        }
        for name in ["x-request-id", "retry-after", "content-type"] {
            assert!(returns(name.as_bytes(), &[b"x-hop"]), "{name}");
        }
        assert!(!returns(b"X-Hop", &[b"x-other", b"x-hop"]));
    }

    #[test]
    fn every_connection_field_nominates() {
        let fields: [(&[u8], &[u8]); 4] = [
            (b"Connection", b"keep-alive, X-Hop"),
            (b"x-hop", b"1"),
            (b"connection", b"close,x-other ,"),
            (b"connections", b"x-none"),
        ];
        let nominated = nominated(fields.into_iter());
        assert!(is_nominated(b"x-hop", &nominated) && is_nominated(b"X-Other", &nominated));
        assert!(!is_nominated(b"x-none", &nominated) && !is_nominated(b"keep-alive", &nominated));
    }
}
