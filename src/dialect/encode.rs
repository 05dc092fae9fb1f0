//! What the encode halves of a request do alike, whatever the target: they refuse what would change the answer's shape, send
//! the tools that may be called, and name what stays behind. It knows no dialect's words.

use std::borrow::Cow;
use std::collections::HashSet;

use super::json::Object;
use crate::chat::{Raw, Request, Tool, ToolChoice};
use crate::error::{Error, Kind};

/// Errors: several answers, token probabilities or sound are wanted, of which the neutral answer holds none; `words` say so of
/// each, in this order.
pub(super) fn refuse_other_shapes(request: &Request<'_>, words: [&'static str; 3]) -> Result<(), Error> {
    let is_wanted = [request.choices.is_some_and(|choices| choices > 1), request.logprobs, request.audio];
    let mut shapes = is_wanted.into_iter().zip(["n", "logprobs", "modalities"]).zip(words);
    match shapes.find(|((is_wanted, _), _)| *is_wanted) {
        Some(((_, param), words)) => Err(Error::new(Kind::UnsupportedParameter, words).with_param(param)),
        None => Ok(()),
    }
}

/// The tools that may be called, all of them or those of an allow list. Errors: the list names none.
pub(super) fn offered_tools<'r, 'a>(request: &'r Request<'a>) -> Result<Vec<&'r Tool<'a>>, Error> {
    let Some(ToolChoice::Allowed { names, .. }) = &request.tool_choice else {
        return Ok(request.tools.iter().collect());
    };
    let names: HashSet<&str> = names.iter().map(AsRef::as_ref).collect();
    let tools: Vec<_> = request.tools.iter().filter(|tool| names.contains(tool.name.as_ref())).collect();
    if tools.is_empty() {
        let message = "the choice of tools names no tool of `tools`";
        return Err(Error::new(Kind::InvalidRequest, message).with_param("tool_choice"));
    }
    Ok(tools)
}

/// Errors: no message is left to be sent.
pub(super) fn check_turns(is_empty: bool) -> Result<(), Error> {
    if is_empty {
        let message = "`messages` needs at least one user message with content";
        return Err(Error::new(Kind::InvalidRequest, message).with_param("messages"));
    }
    Ok(())
}

/// Writes the keys that are the target's `own` as they stand, and names the others.
pub(super) fn write_extra(
    body: &mut Object<'_>,
    extra: &[(Cow<'_, str>, Raw<'_>)],
    own: &[&str],
    dropped: &mut Vec<String>,
) {
    for (name, value) in extra {
        if own.contains(&&**name) {
            body.raw(name, *value);
        } else {
            dropped.push(name.clone().into_owned());
        }
    }
}

/// Names each that `is_left`.
pub(super) fn name_left<const N: usize>(dropped: &mut Vec<String>, left: [(bool, &str); N]) {
    dropped.extend(left.into_iter().filter(|(is_left, _)| *is_left).map(|(_, name)| name.to_owned()));
}

/// A tool's schema; `None`: it takes no arguments, for which OpenAI has none or an empty one, too, which others refuse.
pub(super) fn filled_schema<'r>(tool: &'r Tool<'_>) -> Option<&'r str> {
    let is_empty = |raw: &str| {
        let inside = raw.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        inside.is_some_and(|inside| inside.trim().is_empty())
    };
    tool.schema.as_deref().filter(|schema| !is_empty(schema))
}

/// What stands before the words of a failed call where a target has no mark for it.
pub(super) const CALL_FAILED: &str = "The call failed:";

/// What a schema is called where the target demands a name and the caller gave none.
pub(super) const SCHEMA_NAME: &str = "answer";
