//! What is wrong with a caller's request, by the place where it stands: the faults that every decode half finds alike. It
//! knows no dialect.

use std::fmt::Display;

use super::json;
use crate::error::{Error, Kind};

/// What stands at `path` is not what the API takes; `words` say what it takes ([`Kind::InvalidRequest`]).
pub(super) fn wrong(path: impl Display, words: &str) -> Error {
    at(Kind::InvalidRequest, path, words)
}

/// What stands at `path` is right and yet not taken; `words` say why ([`Kind::UnsupportedParameter`]).
pub(super) fn refused(path: impl Display, words: &str) -> Error {
    at(Kind::UnsupportedParameter, path, words)
}

/// The same where it has no counterpart at the provider; `words` say what to send instead.
pub(super) fn untranslated(path: impl Display, words: &str) -> Error {
    refused(path, &format!("is not translated to this provider; {words}"))
}

/// A value that must stand at `field` of `path`.
pub(super) fn required<T>(value: Option<T>, path: &dyn Display, field: &str) -> Result<T, Error> {
    value.ok_or_else(|| wrong(format_args!("{path}{field}"), "is required"))
}

/// The tool at `path` is of another `kind` than the one that has a neutral word.
pub(super) fn other_tool(path: String, kind: &str, only: &str) -> Error {
    let shown = json::bounded(kind, json::PATH_BYTES_MAX);
    let message = format!("`{path}` is of type `{shown}`; only `{only}` tools are translated");
    Error::new(Kind::UnsupportedParameter, message).with_param(path + ".type")
}

fn at(kind: Kind, path: impl Display, words: &str) -> Error {
    let path = path.to_string();
    Error::new(kind, format!("`{path}` {words}")).with_param(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_names_its_place() {
        let error = required::<()>(None, &"messages[0]", ".text").unwrap_err();
        assert_eq!((error.kind, error.param.as_deref()), (Kind::InvalidRequest, Some("messages[0].text")));
        assert_eq!(&*error.message, "`messages[0].text` is required");
        let error = untranslated("audio", "send text");
        assert_eq!(error.kind, Kind::UnsupportedParameter);
        assert_eq!(&*error.message, "`audio` is not translated to this provider; send text");
    }
}
