//! Where the messages and parts of a neutral request stand in its caller's, for the errors of encode halves, and the faults
//! that these find alike. An Anthropic or Gemini caller's `system` stands outside its list and is not counted.

use std::fmt;

use super::json;
use crate::chat::{Message, Part, Request};
use crate::error::{Error, Kind};

/// A part's place.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The message's index; `None`: the caller's `system`.
    pub(super) message: Option<usize>,
    /// The part's index there.
    pub(super) part: usize,
    /// Inside a result.
    pub(super) inner: Option<usize>,
}

/// A part and its place.
#[derive(Clone, Copy)]
pub(super) struct Placed<'r, 'a> {
    pub(super) part: &'r Part<'a>,
    pub(super) place: Place,
}

/// The messages, each with its index as [`Place`] has it.
pub(super) fn messages<'r, 'a>(
    request: &'r Request<'a>,
) -> impl Iterator<Item = (Option<usize>, &'r Message<'a>)> {
    let outside = usize::from(request.system_first);
    request.messages.iter().enumerate().map(move |(index, message)| (index.checked_sub(outside), message))
}

/// A message's parts.
pub(super) fn parts<'r, 'a>(
    (index, message): (Option<usize>, &'r Message<'a>),
) -> impl Iterator<Item = Placed<'r, 'a>> {
    let place = move |part| Place { message: index, part, inner: None };
    message.parts.iter().enumerate().map(move |(at, part)| Placed { part, place: place(at) })
}

/// What stands there, for words to the caller.
pub(super) fn shown(part: &Part<'_>) -> String {
    match part {
        Part::Unknown { kind } => format!("a `{}`", json::bounded(kind, json::PATH_BYTES_MAX)),
        _ => "what stands there".to_owned(),
    }
}

impl Placed<'_, '_> {
    /// `vendor` takes only `wanted` there.
    pub(super) fn refused_by(&self, vendor: &str, wanted: &str) -> Error {
        let path = self.place.to_string();
        let message = format!("{vendor} takes only {wanted} at `{path}`; send that, or ask another provider");
        Error::new(Kind::UnsupportedParameter, message).with_param(path)
    }

    /// `vendor` has no word for a part of this `kind`.
    pub(super) fn unknown_to(&self, vendor: &str, kind: &str) -> Error {
        let path = self.place.to_string();
        let kind = json::bounded(kind, json::PATH_BYTES_MAX);
        let message =
            format!("`{path}` is of type `{kind}`, which is not translated to {vendor}; leave it out");
        Error::new(Kind::UnsupportedParameter, message).with_param(path)
    }

    /// The arguments of the call of this `id` are no object.
    pub(super) fn bad_arguments(&self, id: &str) -> Error {
        let path = self.place.field("tool_calls");
        let id = json::bounded(id, json::PATH_BYTES_MAX);
        let message =
            format!("the arguments of call `{id}` in `{path}` are not a JSON object; send them as one");
        Error::new(Kind::InvalidRequest, message).with_param(path)
    }
}

impl Place {
    /// The path of its message's `field`.
    pub(super) fn field(self, field: &str) -> String {
        self.message.map_or_else(|| "system".to_owned(), |message| format!("messages[{message}].{field}"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message {
            Some(message) => write!(f, "messages[{message}].content[{}]", self.part)?,
            None => write!(f, "system[{}]", self.part)?,
        }
        self.inner.map_or(Ok(()), |inner| write!(f, ".content[{inner}]"))
    }
}

#[cfg(test)]
mod tests {
    use crate::dialect::{Dialect, Operation, Quirks, translate_request};

    fn refused(from: Dialect, to: Dialect, body: &str) -> String {
        let asked =
            translate_request(from, to, Operation::Chat, body.as_bytes(), "gemini-2.5-pro", Quirks::OPENAI);
        asked.unwrap_err().param.unwrap().into_owned()
    }

    #[test]
    fn a_system_outside_the_list_is_not_counted() {
        let anthropic = r#"{"system":"s","messages":[{"role":"user","content":[{"type":"video"}]}]}"#;
        for to in [Dialect::OpenAi, Dialect::Gemini, Dialect::Responses] {
            assert_eq!(refused(Dialect::Anthropic, to, anthropic), "messages[0].content[0]", "{to:?}");
        }
        let gemini = r#"{"systemInstruction":{"parts":[{"text":"s"}]},"contents":[{"role":"user","parts":[{"text":"a"},{"executableCode":{}}]}]}"#;
        for to in [Dialect::OpenAi, Dialect::Anthropic, Dialect::Responses] {
            assert_eq!(refused(Dialect::Gemini, to, gemini), "contents[0].parts[1]", "{to:?}");
        }
        let pictures = r#"{"system":[{"type":"image","source":{"type":"url","url":"https://e.com/a.png"}}],"messages":[{"role":"user","content":"x"}]}"#;
        for to in [Dialect::OpenAi, Dialect::Gemini] {
            assert_eq!(refused(Dialect::Anthropic, to, pictures), "system[0]", "{to:?}");
        }
    }
}
