//! `network_config` of one provider: where it is reached, with which headers, how long we wait. What stands on the way
//! there is `transport`'s, which dialect's paths follow `providers`'s.

use std::sync::Arc;
use std::time::Duration;

use super::document::At;
use super::duration;
use super::fault::{Printable, Report, looks_like_secret};
use super::reference::REDACTED;
use super::secret::Secret;
use super::snapshot::{Origin, Retry};
use super::url::{self, BaseUrl};

/// Connect to the last byte of a whole answer, or the head of a streamed one; Bifrost's documented default.
const REQUEST_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// Longest silence of a stream; the default of Bifrost's code.
const STREAM_IDLE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// How long an unused connection is kept; Bifrost's default, and under the 60 s after which most load balancers cut.
const KEEP_ALIVE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// Longest `first_token_timeout`, as long as a request's.
const FIRST_TOKEN_TIMEOUT_MAX: Duration = Duration::from_secs(86_400);
/// How long events without content are held back.
const FIRST_TOKEN_HOLD_DEFAULT: Duration = Duration::from_millis(5_000);
/// Most `first_token_hold_ms`.
pub(crate) const FIRST_TOKEN_HOLD_MS_MAX: u64 = 60_000;
/// Most extra headers of a provider: with the caller's 100 they still fit any server.
const EXTRA_HEADERS_MAX: usize = 32;
/// Longest value of an extra header, bytes.
const HEADER_VALUE_BYTES_MAX: usize = 4_096;

/// Most `max_retries`; each is another full price.
pub(crate) const RETRIES_MAX: u64 = 1_000;
/// Longest back-off, as Bifrost's API bounds it.
const BACKOFF_MAX: Duration = Duration::from_secs(1_000);
/// Shortest that Bifrost's API takes; a shorter one is honoured with a warning.
const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// One provider's network settings, defaults filled in.
pub(crate) struct Network {
    /// The base URL in parts.
    pub(crate) base: BaseUrl,
    /// Lower-case names, sorted.
    pub(crate) extra_headers: Vec<(String, String)>,
    /// See `snapshot::Provider`.
    pub(crate) request_timeout: Duration,
    /// Likewise.
    pub(crate) stream_idle_timeout: Duration,
    /// Likewise.
    pub(crate) keep_alive_timeout: Duration,
    /// Likewise.
    pub(crate) first_token_timeout: Duration,
    /// Likewise.
    pub(crate) first_token_hold: Duration,
    /// Likewise.
    pub(crate) retry: Retry,
}

/// Reads a provider's network settings; `base_url_default` is the table's, empty where it has none.
pub(crate) fn read(provider: &At<'_>, base_url_default: &str, report: &mut Report<'_>) -> Network {
    let network = provider.member("network_config");
    let member = |name: &str| network.as_ref().and_then(|network| network.member(name));
    let seconds = |name: &str, default: Duration| {
        member(name)
            .and_then(|at| at.integer())
            .filter(|seconds| *seconds > 0)
            .map_or(default, Duration::from_secs)
    };
    let request_timeout = seconds("default_request_timeout_in_seconds", REQUEST_TIMEOUT_DEFAULT);
    let stream_idle_timeout = seconds("stream_idle_timeout_in_seconds", STREAM_IDLE_TIMEOUT_DEFAULT);
    // A model that thinks may be silent for as long as a stream may: what the two allow one after the other.
    let first_token_default = (request_timeout + stream_idle_timeout).min(FIRST_TOKEN_TIMEOUT_MAX);
    let hold_ms = member("first_token_hold_ms").and_then(|at| at.integer());
    Network {
        base: base_url(member("base_url").as_ref(), base_url_default, report),
        extra_headers: member("extra_headers").map(|at| extra_headers(&at, report)).unwrap_or_default(),
        request_timeout,
        stream_idle_timeout,
        keep_alive_timeout: seconds("keep_alive_timeout_in_seconds", KEEP_ALIVE_TIMEOUT_DEFAULT),
        first_token_timeout: member("first_token_timeout")
            .and_then(|at| first_token_timeout(&at, report))
            .unwrap_or(first_token_default),
        first_token_hold: hold_ms.map_or(FIRST_TOKEN_HOLD_DEFAULT, Duration::from_millis),
        retry: network.as_ref().map(|at| retry(at, report)).unwrap_or_default(),
    }
}

/// `None`: no duration (reported), or 0 and less, which counts as left out, as for a back-off.
fn first_token_timeout(at: &At<'_>, report: &mut Report<'_>) -> Option<Duration> {
    let timeout = duration::milliseconds(at)?;
    if timeout > FIRST_TOKEN_TIMEOUT_MAX {
        report
            .fault(at.spot(), "the first token is waited for a day at most (24h); a number is milliseconds");
        return None;
    }
    Some(timeout)
}

fn retry(network: &At<'_>, report: &mut Report<'_>) -> Retry {
    let default = Retry::default();
    let retries_max = network.member("max_retries").and_then(|at| u32::try_from(at.integer()?).ok());
    let retries_max = retries_max.unwrap_or(default.retries_max);
    let initial = network.member("retry_backoff_initial").and_then(|at| backoff(at, report));
    let max = network.member("retry_backoff_max").and_then(|at| backoff(at, report));
    let (backoff_initial, backoff_max) = match (&initial, &max) {
        (Some((at, initial)), Some((_, max))) if initial > max => {
            let message = format!(
                "the first back-off, {initial:?}, is longer than retry_backoff_max, {max:?}: lower the one or raise the other"
            );
            report.fault(at.spot(), message);
            (*initial, *max)
        }
        (Some((_, initial)), Some((_, max))) => (*initial, *max),
        // No wait is longer than the longest, so that is where Bifrost begins then.
        (Some((at, initial)), None) if *initial > default.backoff_max => {
            let max = default.backoff_max;
            report.warn(
                at.spot(),
                format!("is taken as {max:?}: retry_backoff_max is left out, and that long"),
            );
            (max, max)
        }
        (Some((_, initial)), None) => (*initial, default.backoff_max),
        (None, Some((_, max))) => (default.backoff_initial.min(*max), *max),
        (None, None) => (default.backoff_initial, default.backoff_max),
    };
    Retry { retries_max, backoff_initial, backoff_max }
}

/// `None`: no duration (reported by `validate`), or 0 and less, which Bifrost takes as left out.
fn backoff<'t>(at: At<'t>, report: &mut Report<'_>) -> Option<(At<'t>, Duration)> {
    let backoff = duration::milliseconds(&at)?;
    if backoff > BACKOFF_MAX {
        report.fault(at.spot(), "a back-off may have at most 1,000,000 ms (1000s); a number is milliseconds");
        return None;
    }
    if backoff < BACKOFF_MIN {
        report.warn(at.spot(), format!("{backoff:?} is honoured; Bifrost's own minimum is 100 ms"));
    }
    Some((at, backoff))
}

fn base_url(at: Option<&At<'_>>, default: &str, report: &mut Report<'_>) -> BaseUrl {
    let nowhere = || BaseUrl {
        origin: Origin { tls: true, host: String::new(), port: 443, transport: Arc::default() },
        authority: String::new(),
        path: String::new(),
    };
    let given = at.and_then(|at| at.text()).filter(|url| !url.is_empty());
    match url::parse(given.unwrap_or(default)) {
        Ok(base) => base,
        Err(_) if given.is_none() => nowhere(),
        Err(message) => {
            if let Some(at) = at {
                report.fault(at.spot(), message);
            }
            nowhere()
        }
    }
}

fn extra_headers(at: &At<'_>, report: &mut Report<'_>) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, member) in at.members() {
        let Some(value) = member.text() else { continue };
        let lower = name.to_ascii_lowercase();
        if let Some(message) = header_fault(&lower, value) {
            report.fault(member.name_spot(), message);
        } else if headers.iter().any(|(known, _)| *known == lower) {
            report.fault(member.name_spot(), format!("the header \"{lower}\" stands twice; keep one"));
        } else if headers.len() == EXTRA_HEADERS_MAX {
            report.fault(member.name_spot(), format!("more than {EXTRA_HEADERS_MAX} extra headers"));
            break;
        } else {
            if value.starts_with("env.") {
                report.warn(member.spot(), "is sent as it stands: extra headers do not read variables");
            }
            headers.push((lower, value.to_owned()));
        }
    }
    headers.sort();
    headers
}

/// Whether a header carries a secret, by its looks: a config that is printed does not show it.
pub(crate) fn is_secret_header(lower: &str, value: &str) -> bool {
    let is_secret_word = |word: &str| SECRET_WORDS.contains(&word);
    let has_scheme =
        |scheme: &str| value.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    lower.split(['-', '_', '.']).any(is_secret_word)
        || SCHEMES.into_iter().any(has_scheme)
        || looks_like_secret(value)
}

/// Shortest secret that is masked, bytes: a shorter text is no secret, and stands by chance in many answers.
pub(crate) const SECRET_BYTES_MIN: usize = 8;

/// What of headers' values is secret.
pub(crate) fn header_secrets(headers: &[(String, String)]) -> Vec<Secret> {
    let secret = headers.iter().filter(|(name, value)| is_secret_header(name, value));
    let bare = secret.map(|(_, value)| match value.split_once(' ') {
        Some((scheme, rest)) if SCHEMES.iter().any(|one| scheme.eq_ignore_ascii_case(one.trim_end())) => {
            rest.trim()
        }
        _ => value.as_str(),
    });
    bare.filter(|value| value.len() >= SECRET_BYTES_MIN).map(Secret::new).collect()
}

const SCHEMES: [&str; 2] = ["bearer ", "basic "];

const SECRET_WORDS: [&str; 13] = [
    "auth",
    "authorization",
    "authentication",
    "token",
    "key",
    "apikey",
    "secret",
    "password",
    "passwd",
    "credential",
    "credentials",
    "cookie",
    "signature",
];

fn header_fault(lower: &str, value: &str) -> Option<String> {
    let name = Printable(lower);
    if !is_header_name(lower) {
        return Some(format!("\"{name}\" is no header name"));
    }
    if AUTHENTICATION.contains(&lower) {
        return Some(format!("the header \"{name}\" carries credentials; they stand in `keys`"));
    }
    if CONNECTION.contains(&lower) {
        return Some(format!("the header \"{name}\" is set by corelane itself; remove it"));
    }
    if value.len() > HEADER_VALUE_BYTES_MAX {
        return Some(format!("the header's value is longer than {HEADER_VALUE_BYTES_MAX} bytes"));
    }
    if value.contains(REDACTED) {
        return Some(format!(
            "\"{REDACTED}\" is what a printed config says in place of a secret: write the value"
        ));
    }
    let is_printable = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    (!is_printable || value.trim() != value)
        .then(|| "the header's value may hold printable ASCII only, and no space around it".to_owned())
}

/// Whether this is a token (RFC 9110 §5.6.2) of at most 128 bytes.
pub(crate) fn is_header_name(name: &str) -> bool {
    let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.len() <= 128 && name.bytes().all(is_token_byte)
}

const AUTHENTICATION: [&str; 10] = [
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
    "cookie",
    "x-bf-vk",
];

/// What decides framing, routing or the coding of an answer, and is ours to set.
const CONNECTION: [&str; 15] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "content-type",
    "content-encoding",
    "accept-encoding",
    "via",
    "http2-settings",
];
