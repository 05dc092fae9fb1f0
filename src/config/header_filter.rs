//! Which headers of callers may go to providers (`client.header_filter_config`): the file's lists made into a filter, and the
//! judgement of one name. What never goes whatever the file says, credentials and framing, is `gateway`'s.

use super::document::At;
use super::fault::{Printable, Report};
use super::network::is_header_name;

/// Most entries of each list: all are tried on each header that a caller sends along.
pub(super) const ENTRIES_MAX: usize = 256;

/// Two lists of names without the prefix `x-bf-eh-`, in any case, `_` as `-`; an entry that ends in `*` is of every name that
/// begins so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderFilter {
    /// Lower case with `-`, sorted, like the next.
    allowlist: Vec<String>,
    denylist: Vec<String>,
}

impl HeaderFilter {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.allowlist.is_empty() && self.denylist.is_empty()
    }

    /// Whether a header that came as `x-bf-eh-` and this name may go: an allowlist must have it, the denylist must not.
    pub fn allows(&self, name: &[u8]) -> bool {
        (self.allowlist.is_empty() || self.allowlist.iter().any(|entry| is_of(entry, name)))
            && !self.denies(name)
    }

    /// Whether a header that came under this name is to go along as it is: the allowlist has it, and not just by `*`, which
    /// is for those that ask to go.
    pub fn forwards(&self, name: &[u8]) -> bool {
        self.allowlist.iter().any(|entry| entry != "*" && is_of(entry, name)) && !self.denies(name)
    }

    /// Whether the denylist has it.
    pub fn denies(&self, name: &[u8]) -> bool {
        self.denylist.iter().any(|entry| is_of(entry, name))
    }

    /// Every entry of the allowlist, then of the denylist, normalised.
    pub fn entries(&self) -> [&[String]; 2] {
        [&self.allowlist, &self.denylist]
    }
}

fn is_of(entry: &str, name: &[u8]) -> bool {
    match entry.strip_suffix('*') {
        Some(start) => name.get(..start.len()).is_some_and(|front| is_like(front, start)),
        None => is_like(name, entry),
    }
}

/// Equal, whatever the case, with `_` for `-`: some servers read both alike (RFC 3875 §4.1.18).
fn is_like(name: &[u8], entry: &str) -> bool {
    let fold = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == entry.len() && name.iter().zip(entry.bytes()).all(|(byte, other)| fold(*byte) == other)
}

/// Reads the section.
pub(crate) fn read(at: &At<'_>, report: &mut Report<'_>) -> HeaderFilter {
    let mut list = |name: &str| at.member(name).map(|at| entries(&at, report)).unwrap_or_default();
    HeaderFilter { allowlist: list("allowlist"), denylist: list("denylist") }
}

fn entries(at: &At<'_>, report: &mut Report<'_>) -> Vec<String> {
    let mut entries = Vec::new();
    for element in at.elements() {
        let Some(entry) = element.text() else { continue };
        let start = entry.strip_suffix('*').unwrap_or(entry);
        if entry != "*" && (start.contains('*') || !is_header_name(start)) {
            let message = format!(
                "\"{}\" is no header name, nor the beginning of one with * behind it",
                Printable(entry)
            );
            report.fault(element.spot(), message);
        } else if entries.len() == ENTRIES_MAX {
            report.fault(element.spot(), format!("more than {ENTRIES_MAX} entries"));
            break;
        }
        entries.push(entry.to_ascii_lowercase().replace('_', "-"));
    }
    entries.sort();
    entries.dedup();
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(allowlist: &[&str], denylist: &[&str]) -> HeaderFilter {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        HeaderFilter { allowlist: list(allowlist), denylist: list(denylist) }
    }

    #[test]
    fn an_empty_filter_lets_pass_what_asks_for_it_and_no_more() {
        let empty = filter(&[], &[]);
        assert!(empty.is_empty() && empty.allows(b"x-team") && !empty.forwards(b"x-team"));
    }

    #[test]
    fn an_allowlist_is_all_that_goes_and_a_denylist_is_stronger() {
        let some = filter(&["x-team", "x-trace-*"], &["x-trace-secret"]);
        for name in ["X-Team", "x_team", "x-trace-", "X-Trace-Id"] {
            assert!(some.allows(name.as_bytes()) && some.forwards(name.as_bytes()), "{name}");
        }
        for name in ["x-tea", "x-teams", "x-trace", "X_Trace_Secret"] {
            assert!(!some.allows(name.as_bytes()) && !some.forwards(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn a_star_alone_is_for_those_that_ask() {
        let all = filter(&["*"], &["x-a"]);
        assert!(all.allows(b"x-b") && !all.forwards(b"x-b") && !all.allows(b"x-a"));
        assert!(!filter(&[], &["*"]).allows(b"x-b"));
    }
}
