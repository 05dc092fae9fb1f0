//! Which headers cross, either way. Towards a provider only those on a list; back to the caller all but those of the
//! connection and of cookies. A credential of the caller never leaves.

use crate::dialect::Dialect;

/// Bifrost's prefix for a header that the caller wants forwarded without it.
const EXTRA_PREFIX: &[u8] = b"x-bf-eh-";

/// The name under which a caller's header goes to the provider; `None`: it stays here. `same_dialect`: the body passes
/// through, and so do the dialect's own headers.
pub(super) fn upstream_name(name: &[u8], dialect: Dialect, same_dialect: bool) -> Option<&[u8]> {
    if let Some(extra) = strip_prefix(name, EXTRA_PREFIX) {
        return (!extra.is_empty() && !is_private(extra)).then_some(extra);
    }
    let passes = match name.first()?.to_ascii_lowercase() {
        b'a' => {
            same_dialect && (is(name, b"accept") || (is_anthropic(name) && dialect == Dialect::Anthropic))
        }
        b'i' => is(name, b"idempotency-key"),
        b'o' => same_dialect && dialect == Dialect::OpenAi && strip_prefix(name, b"openai-").is_some(),
        b't' => is(name, b"traceparent") || is(name, b"tracestate"),
        b'x' => same_dialect && strip_prefix(name, b"x-stainless-").is_some(),
        _ => false,
    };
    passes.then_some(name)
}

fn is_anthropic(name: &[u8]) -> bool {
    is(name, b"anthropic-version") || is(name, b"anthropic-beta")
}

/// Headers that `x-bf-eh-` must not smuggle: credentials, framing, and what we set ourselves (compat.md 2.6).
fn is_private(name: &[u8]) -> bool {
    const PRIVATE: [&[u8]; 20] = [
        b"accept-encoding",
        b"api-key",
        b"authorization",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"cookie",
        b"expect",
        b"host",
        b"keep-alive",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"x-api-key",
        b"x-goog-api-key",
        b"user-agent",
    ];
    strip_prefix(name, b"x-bf-").is_some() || PRIVATE.iter().any(|private| is(name, private))
}

/// Whether a provider's header goes back to the caller. Framing is our own; so are cookies' scope and the server's name.
/// What its `connection` header nominates is of that connection alone (RFC 9110 §7.6.1).
pub(super) fn returns(name: &[u8], connection: Option<&[u8]>) -> bool {
    const OWN: [&[u8]; 18] = [
        b"alt-svc",
        b"cache-control",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"date",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"server",
        b"set-cookie",
        b"strict-transport-security",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"x-accel-buffering",
        b"x-corelane-request-id",
    ];
    !OWN.iter().any(|own| is(name, own)) && !connection.is_some_and(|nominated| names(nominated, name))
}

/// Whether a list of header names holds `name`.
fn names(list: &[u8], name: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|one| is(one.trim_ascii(), name))
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
        upstream_name(name.as_bytes(), Dialect::OpenAi, same_dialect)
            .and_then(|name| std::str::from_utf8(name).ok())
    }

    #[test]
    fn no_credential_of_the_caller_leaves() {
        for name in
            ["Authorization", "x-api-key", "api-key", "x-goog-api-key", "Cookie", "x-bf-vk", "x-bf-api-key"]
        {
            assert_eq!(sent(name, true), None, "{name}");
            assert_eq!(sent(&format!("x-bf-eh-{name}"), true), None, "{name}");
        }
    }

    #[test]
    fn a_dialects_own_headers_pass_to_the_same_dialect_only() {
        assert_eq!(sent("OpenAI-Organization", true), Some("OpenAI-Organization"));
        assert_eq!(sent("X-Stainless-Lang", false), None);
        assert_eq!(sent("anthropic-beta", true), None);
        assert_eq!(sent("traceparent", false), Some("traceparent"));
        assert_eq!(sent("x-bf-eh-x-team", false), Some("x-team"));
    }

    #[test]
    fn framing_and_cookies_do_not_return() {
        for name in ["Transfer-Encoding", "content-length", "Set-Cookie", "connection"] {
            assert!(!returns(name.as_bytes(), None), "{name}");
        }
        for name in ["x-request-id", "retry-after", "content-type"] {
            assert!(returns(name.as_bytes(), Some(b"keep-alive, x-hop")), "{name}");
        }
        assert!(!returns(b"X-Hop", Some(b"keep-alive, x-hop")));
    }
}
