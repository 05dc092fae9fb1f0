//! Which web pages may call us from a browser (`client.allowed_origins`): the file's entries made into a matcher, and the
//! match of one `Origin` header. It answers no request and knows no header but that one (`gateway` does).

use super::document::At;
use super::fault::{Printable, Report};

/// Most entries of `client.allowed_origins`: each pattern is tried on each cross-origin request.
pub const ORIGINS_MAX: usize = 256;
/// Longest entry, and longest origin that an entry can match, bytes: a scheme, a host name's 253 and a port.
pub const ORIGIN_BYTES_MAX: usize = 320;

/// The origins that a page may come from. Pages of this machine (`http` or `https`; `localhost`, `127.0.0.1`, `0.0.0.0` or
/// `[::1]`; any port) always may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// `*` is written: any page may.
    any: bool,
    /// As a browser writes them (RFC 6454 §6.2), sorted.
    exact: Vec<String>,
    /// The same with at least one `*` in each, sorted.
    patterns: Vec<String>,
}

impl Origins {
    /// Whether a page of this origin (the `Origin` header's value, RFC 6454 §7) may read our answers. Compared byte by byte:
    /// a browser writes scheme and host in lower case, and no default port.
    pub fn allows(&self, origin: &str) -> bool {
        self.any
            || is_localhost(origin)
            || (origin.len() <= ORIGIN_BYTES_MAX
                && (self.exact.binary_search_by(|exact| exact.as_str().cmp(origin)).is_ok()
                    || self.patterns.iter().any(|pattern| matches(pattern.as_bytes(), origin.as_bytes()))))
    }

    /// Whether `*` is written: that an origin is allowed then says nothing about it.
    pub fn allows_any(&self) -> bool {
        self.any
    }

    /// Every entry that can match, normalised: `*` first.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &str> {
        let any = self.any.then_some("*");
        any.into_iter().chain(self.exact.iter().chain(&self.patterns).map(String::as_str))
    }
}

/// Reads the list; what can match nothing is named in a warning and left out.
pub(crate) fn read(at: &At<'_>, report: &mut Report<'_>) -> Origins {
    let mut origins = Origins::default();
    if at.elements().count() > ORIGINS_MAX {
        report.fault(at.spot(), format!("more than {ORIGINS_MAX} origins"));
        return origins;
    }
    for element in at.elements() {
        let Some(written) = element.text() else { continue };
        match normalised(written) {
            _ if written == "*" => {
                origins.any = true;
                report.warn(element.spot(), ANY_PAGE);
            }
            Some(origin) if origin.contains('*') => origins.patterns.push(origin),
            Some(origin) => origins.exact.push(origin),
            None => {
                let message = format!(
                    "\"{}\" matches no origin; write \"*\" or scheme://host[:port] without a path",
                    Printable(written)
                );
                report.warn(element.spot(), message);
            }
        }
    }
    for list in [&mut origins.exact, &mut origins.patterns] {
        list.sort_unstable();
        list.dedup();
    }
    origins
}

const ANY_PAGE: &str = "any web page that a user of this node opens may call it from the browser and spend the provider \
     keys; name the origins instead";

/// An entry as a browser would write it: lower case, without the scheme's own port. `None`: it can match nothing.
fn normalised(written: &str) -> Option<String> {
    let lower = written.to_ascii_lowercase();
    let (scheme, rest) = lower.split_once("://")?;
    let is_scheme_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let is_right = !scheme.is_empty()
        && scheme.bytes().all(is_scheme_byte)
        && !rest.is_empty()
        && lower.len() <= ORIGIN_BYTES_MAX
        && rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@\\".contains(&byte));
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    let origin = lower.strip_suffix(default_port).unwrap_or(&lower);
    is_right.then(|| origin.to_owned())
}

/// Whether the page was served by this machine itself. Nothing may follow the host but a port: `localhost.example.com` is
/// somebody's.
fn is_localhost(origin: &str) -> bool {
    let Some(rest) = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) else {
        return false;
    };
    ["localhost", "127.0.0.1", "0.0.0.0", "[::1]"].iter().any(|host| {
        rest.strip_prefix(host)
            .is_some_and(|port| port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
    })
}

fn is_port(digits: &str) -> bool {
    digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok()
}

/// Whether the whole text is as the pattern says, where a `*` stands for one or more of letters, digits, `-` and `_`: never
/// for a dot, a slash, a colon or an `@`. It goes back to the last `*` only, which suffices: what lies between two of
/// them is found at its first place, and leaves the later one the most.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let is_of_label = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let (mut in_pattern, mut in_text) = (0, 0);
    // Where the last `*` stands, and the end of what it stands for.
    let mut last: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(in_pattern), text.get(in_text)) {
            (None, None) => return true,
            (Some(b'*'), Some(byte)) if is_of_label(*byte) => {
                last = Some((in_pattern, in_text + 1));
                (in_pattern, in_text) = (in_pattern + 1, in_text + 1);
                continue;
            }
            (Some(literal), Some(byte)) if *literal != b'*' && literal == byte => {
                (in_pattern, in_text) = (in_pattern + 1, in_text + 1);
                continue;
            }
            _ => {}
        }
        match last {
            Some((star, end)) if text.get(end).copied().is_some_and(is_of_label) => {
                last = Some((star, end + 1));
                (in_pattern, in_text) = (star + 1, end + 1);
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::parse;
    use super::*;

    fn origins(json: &str) -> (Origins, Vec<String>) {
        let mut report = Report::new("c", json.as_bytes());
        let node = parse(json, &mut report).expect("JSON");
        let origins = read(&At::root(&node), &mut report);
        (origins, report.into_notices().iter().map(|notice| notice.message.clone()).collect())
    }

    #[test]
    fn this_machine_always_may_and_nobody_else_by_default() {
        for origin in [
            "http://localhost",
            "https://localhost",
            "http://localhost:3000",
            "http://127.0.0.1:65535",
            "https://[::1]:5173",
            "http://0.0.0.0:8080",
        ] {
            assert!(Origins::default().allows(origin), "{origin}");
        }
        for origin in [
            "",
            "null",
            "localhost",
            "http://",
            "http://localhost.evil.com",
            "http://localhost:3000.evil.com",
            "http://127.0.0.1.evil.com",
            "http://127.0.0.11",
            "http://localhost@evil.com",
            "http://localhost:3000@evil.com",
            "http://evil.com@localhost",
            "http://user:pass@localhost:3000",
            "http://localhost:",
            "http://localhost:+80",
            "http://localhost:99999",
            "http://localhost:000001",
            "http://localhost/",
            "http://localhost/../evil",
            "http://localhost\u{0}",
            "http://localhost ",
            " http://localhost",
            "http://LOCALHOST",
            "HTTP://localhost",
            "http://localhost.",
            "http://[::1].evil.com",
            "http://[::1",
            "http://::1",
            "ftp://localhost",
            "file://localhost",
            "http://mylocalhost",
            "https://app.example.com",
        ] {
            assert!(!Origins::default().allows(origin), "{origin}");
        }
    }

    #[test]
    fn an_entry_matches_its_own_origin_only() {
        let (origins, warnings) = origins(
            r#"["https://App.Example.com", "http://a.com:80", "https://b.com:443", "https://c.com:8443", "tauri://localhost"]"#,
        );
        assert!(warnings.is_empty());
        for origin in [
            "https://app.example.com",
            "http://a.com",
            "https://b.com",
            "https://c.com:8443",
            "tauri://localhost",
        ] {
            assert!(origins.allows(origin), "{origin}");
        }
        for origin in [
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com.evil.com",
            "https://evil-app.example.com",
            "https://c.com",
            "https://a.com",
            "null",
            "tauri://localhost.evil.com",
        ] {
            assert!(!origins.allows(origin), "{origin}");
        }
    }

    #[test]
    fn a_star_stands_for_one_label_or_a_part_of_it() {
        let table = [
            ("https://*.example.com", "https://app.example.com", true),
            ("https://*.example.com", "https://a-b_1.example.com", true),
            ("https://*.example.com", "https://example.com", false),
            ("https://*.example.com", "https://.example.com", false),
            ("https://*.example.com", "https://a.b.example.com", false),
            ("https://*.example.com", "http://app.example.com", false),
            ("https://*.example.com", "https://evil.com/.example.com", false),
            ("https://*.example.com", "https://evil.com:1@x.example.com", false),
            ("https://*.example.com", "https://u@x.example.com", false),
            ("https://*.example.com", "https://app.example.com:8443", false),
            ("https://*.example.com", "https://app.example.com.evil.com", false),
            ("https://*.*.example.com", "https://a.b.example.com", true),
            ("https://*.*.example.com", "https://b.example.com", false),
            ("https://pr-*-web.example.com", "https://pr-12-x-web.example.com", true),
            ("https://pr-*-web.example.com", "https://pr--web.example.com", false),
            ("https://*a*b.c", "https://aaabab.c", true),
            ("https://*a*b.c", "https://ab.c", false),
            ("https://*.example.com:*", "https://a.example.com:8443", true),
            ("https://*.example.com:*", "https://a.example.com", false),
            ("https://*", "https://intranet", true),
            ("https://*", "https://example.com", false),
            ("*://app.example.com", "https://app.example.com", false), // a scheme is written out
        ];
        for (pattern, origin, expected) in table {
            let (origins, _) = origins(&format!("[\"{pattern}\"]"));
            assert_eq!(origins.allows(origin), expected, "{pattern} {origin}");
        }
    }

    #[test]
    fn any_page_is_warned_of_and_what_matches_nothing_is_named() {
        let (any, warnings) = origins(r#"["*"]"#);
        assert!(any.allows("https://evil.com") && any.allows("null"));
        assert_eq!(warnings, [ANY_PAGE]);
        for written in
            ["", "null", "example.com", "https://", "https://a.com/", "https://u@a.com", "https://a b"]
        {
            let (none, warnings) = origins(&format!("[\"{written}\"]"));
            assert_eq!(none, Origins::default(), "{written}");
            assert_eq!(warnings.len(), 1, "{written}");
        }
    }

    #[test]
    fn the_bounds_hold() {
        let list = |count: usize| format!("[{}]", vec!["\"https://a.com\""; count].join(","));
        assert_eq!(origins(&list(ORIGINS_MAX)).0.exact.len(), 1);
        assert_eq!(origins(&list(ORIGINS_MAX + 1)).0, Origins::default());
        let long = "a".repeat(ORIGIN_BYTES_MAX);
        assert_eq!(origins(&format!("[\"https://{long}\"]")).1.len(), 1);
        assert!(!origins("[\"https://*\"]").0.allows(&format!("https://{long}")));
        let slow = format!("[\"https://{}\"]", "*a".repeat(150));
        assert!(!origins(&slow).0.allows(&format!("https://{}b", "a".repeat(ORIGIN_BYTES_MAX - 9))));
    }
}
