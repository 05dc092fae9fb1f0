//! Parameters of a caller that no dialect of ours knows, put into the body that was made for a provider of another dialect,
//! when the caller asks for it (`x-bf-passthrough-extra-params`). What stands in that body stays: objects are merged, any
//! other parameter of the same name is left out. It judges no parameter.

use std::borrow::Cow;
use std::collections::HashMap;

use super::json::{self, write_string};
use super::{Dialect, anthropic, bedrock, cohere, gemini, openai, responses};
use crate::chat::Raw;

/// Deepest object of a body that is merged; what would go deeper is left out.
const DEPTH_MAX: usize = 8;

type Parameters<'a> = [(Cow<'a, str>, Raw<'a>)];

/// What of `extra` its caller's own dialect does not know either: only that was added by the caller for the provider.
pub(super) fn unknown<'a>(from: Dialect, extra: &Parameters<'a>) -> Vec<(Cow<'a, str>, Raw<'a>)> {
    let is_known = |name: &str| match from {
        Dialect::OpenAi => openai::request::OWN_KEYS.contains(&name),
        Dialect::Anthropic => anthropic::request::OWN_KEYS.contains(&name),
        Dialect::Gemini => gemini::request::is_own(name),
        Dialect::Responses => responses::request::OWN_KEYS.contains(&name),
        Dialect::Cohere => cohere::request::OWN_KEYS.contains(&name),
        Dialect::Bedrock => bedrock::request::is_own(name),
    };
    extra.iter().filter(|(name, _)| !is_known(name)).cloned().collect()
}

/// The body with `extra` in it, and the names that it took, sorted. `None`: there is nothing to add.
pub(super) fn merged<'a>(body: &[u8], extra: &'a Parameters<'_>) -> Option<(Vec<u8>, Vec<&'a str>)> {
    let body = std::str::from_utf8(body).ok().filter(|_| !extra.is_empty())?;
    let added: HashMap<&str, Raw<'_>> = extra.iter().map(|(name, value)| (&**name, *value)).collect();
    let mut out = Vec::with_capacity(body.len() * 2);
    let mut left = write(&mut out, body, added, 1)?;
    left.sort_unstable();
    let taken = extra.iter().map(|(name, _)| &**name);
    let mut taken: Vec<_> = taken.filter(|name| left.binary_search(name).is_err()).collect();
    taken.sort_unstable();
    Some((out, taken))
}

/// Writes an object with what is added to it; gives the names that were left out. `None`: it is none.
fn write<'a>(
    out: &mut Vec<u8>,
    object: &str,
    mut added: HashMap<&'a str, Raw<'_>>,
    depth: usize,
) -> Option<Vec<&'a str>> {
    let members = json::members(object)?;
    let mut left = Vec::new();
    let mut separator = b'{';
    for (name, value) in &members {
        key(out, &mut separator, name);
        let (standing, other) = (value.raw().0, added.remove_entry(&**name));
        let Some((name, Raw(other))) = other else {
            out.extend_from_slice(standing.as_bytes());
            continue;
        };
        let inner = json::members(other).filter(|_| depth < DEPTH_MAX && standing.starts_with('{'));
        let inner = inner.as_ref().map(|inner| inner.iter().map(|(name, value)| (&**name, value.raw())));
        let written = inner.and_then(|inner| write(out, standing, inner.collect(), depth + 1));
        match written {
            Some(inside) if inside.is_empty() => {}
            Some(_) => left.push(name),
            None => {
                out.extend_from_slice(standing.as_bytes());
                left.push(name);
            }
        }
    }
    let mut rest: Vec<_> = added.into_iter().collect();
    rest.sort_unstable_by_key(|(name, _)| *name);
    for (name, Raw(value)) in rest {
        key(out, &mut separator, name);
        out.extend_from_slice(value.as_bytes());
    }
    if separator == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
    Some(left)
}

fn key(out: &mut Vec<u8>, separator: &mut u8, name: &str) {
    out.push(*separator);
    *separator = b',';
    write_string(out, name);
    out.push(b':');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added<'a>(text: &'a str) -> Vec<(Cow<'a, str>, Raw<'a>)> {
        json::members(text).unwrap().into_iter().map(|(name, value)| (name, value.raw())).collect()
    }

    #[test]
    fn what_is_new_is_added_and_objects_are_merged() {
        for (body, extra, expected, names) in [
            ("{}", r#"{"b":1,"a":[2.50]}"#, r#"{"a":[2.50],"b":1}"#, vec!["a", "b"]),
            (
                r#"{"m":"x","c":{"t":1,"n":{"a":1}}}"#,
                r#"{"c":{"k":2,"n":{"b":{}}},"z":null}"#,
                r#"{"m":"x","c":{"t":1,"n":{"a":1,"b":{}},"k":2},"z":null}"#,
                vec!["c", "z"],
            ),
        ] {
            let (extra, expected) = (added(extra), (expected.as_bytes().to_vec(), names));
            assert_eq!(merged(body.as_bytes(), &extra), Some(expected));
        }
        assert_eq!(merged(b"{}", &[]), None);
    }

    #[test]
    fn what_stands_stays_and_is_told() {
        let extra = added(r#"{"m":"y","c":{"t":2,"k":3},"l":{"a":1},"n":[1]}"#);
        let (body, names) = merged(br#"{"m":"x","c":{"t":1},"l":[1],"n":{}}"#, &extra).unwrap();
        assert_eq!(String::from_utf8(body).unwrap(), r#"{"m":"x","c":{"t":1,"k":3},"l":[1],"n":{}}"#);
        assert!(names.is_empty(), "{names:?}");
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        let within = nested(DEPTH_MAX).replace('1', r#"{"x":1}"#).replace("\"x\"", "\"y\"");
        let extra = added(&within);
        let standing = nested(DEPTH_MAX).replace('1', r#"{"x":1}"#);
        let (body, names) = merged(standing.as_bytes(), &extra).unwrap();
        assert_eq!((String::from_utf8(body).unwrap(), names.len()), (standing, 0));
    }

    #[test]
    fn a_dialects_own_word_is_no_extra() {
        let extra = added(r#"{"logit_bias":{},"top_magic":1}"#);
        let names = |from| unknown(from, &extra).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(Dialect::OpenAi), ["top_magic"]);
        assert_eq!(names(Dialect::Anthropic), ["logit_bias", "top_magic"]);
    }
}
