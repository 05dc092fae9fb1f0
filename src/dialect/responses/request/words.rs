//! What a target says of a request, in the words of a responses caller: encode halves name things as the other dialects do.

use crate::dialect::dropped::named_once;
use crate::dialect::responses::item::Neutral;
use crate::error::Error;

/// Names of other dialects with the caller's.
const NAMES: [(&str, &str); 9] = [
    ("messages", "input"),
    ("messages.reasoning_details", "input.reasoning"),
    ("messages.content.thinking", "input.reasoning"),
    ("messages.content.file.filename", "input.content.filename"),
    ("messages.content.cache_control", "input.content.prompt_cache_breakpoint"),
    ("response_format", "text.format"),
    ("tools.function.strict", "tools.strict"),
    ("reasoning_effort", "reasoning.effort"),
    ("metadata.user_id", "user"),
];

/// An encode half's error about the request in `body`, in its caller's words: the param, and where the sentence repeats it.
pub(in crate::dialect) fn renamed(mut error: Error, body: &[u8]) -> Error {
    let Some(param) = error.param.take() else { return error };
    let place = Neutral::of(&param).and_then(|place| place.path(body));
    let renamed = place.unwrap_or_else(|| name(&param));
    error.message = error.message.replace(&format!("`{param}`"), &format!("`{renamed}`")).into();
    error.with_param(renamed)
}

/// What was left out, likewise, each name once.
pub(in crate::dialect) fn renamed_all(dropped: Vec<String>) -> Vec<String> {
    let mut all = Vec::new();
    dropped.iter().for_each(|one| named_once(&mut all, &name(one)));
    all
}

fn name(word: &str) -> String {
    if let Some((_, ours)) = NAMES.iter().find(|(theirs, _)| *theirs == word) {
        return (*ours).to_owned();
    }
    let inside = |theirs: &str, ours: &str| word.strip_prefix(theirs).map(|rest| format!("{ours}{rest}"));
    inside("messages.", "input.")
        .or_else(|| inside("response_format.json_schema.", "text.format."))
        .unwrap_or_else(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn names_are_the_callers_and_stand_once() {
        let named = ["messages.content.thinking", "messages.reasoning_details", "user", "messages.x"];
        let renamed = renamed_all(named.map(str::to_owned).to_vec());
        assert_eq!(renamed, ["input.reasoning", "user", "input.x"]);
    }

    #[test]
    fn an_error_names_the_callers_place() {
        let message = "not `messages[0].content[1]`, `messages`";
        let error = Error::new(Kind::InvalidRequest, message).with_param("messages[0].content[1]");
        let body = br#"{"input":[{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_text","text":"b"}]}]}"#;
        let error = renamed(error, body);
        assert_eq!(error.param.as_deref(), Some("input[0].content[1]"));
        assert_eq!(error.message, "not `input[0].content[1]`, `messages`");
        let plain = Error::new(Kind::InvalidRequest, "m");
        assert_eq!(renamed(plain.clone(), body), plain);
    }
}
