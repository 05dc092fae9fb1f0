//! The settings of a request that a response repeats: read from the request, kept as JSON, written into each response object.

use crate::chat::Raw;
use crate::dialect::json::{self, Object};

/// Most bytes that are kept of a request; what does not fit has its default. A stream repeats them three times.
const ECHO_BYTES_MAX: usize = 64 * 1024;

/// Each setting with what stands there when the request does not say it: the API's default where that does not depend on
/// the model, else null.
const SETTINGS: [(&str, &str); 13] = [
    ("parallel_tool_calls", "true"),
    ("tool_choice", r#""auto""#),
    ("tools", "[]"),
    ("temperature", "null"),
    ("top_p", "null"),
    ("max_output_tokens", "null"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("metadata", "{}"),
    ("prompt_cache_key", "null"),
    ("safety_identifier", "null"),
    ("user", "null"),
    ("instructions", "null"),
];

/// The settings of a request's body as fields of an object, without its braces.
pub(in crate::dialect) fn read(body: &[u8]) -> Vec<u8> {
    let fields = json::fields(body).unwrap_or_default();
    let mut out = vec![];
    let mut object = Object::begin(&mut out);
    let mut left_bytes = ECHO_BYTES_MAX;
    for (name, default) in SETTINGS {
        let said = fields.iter().find(|(one, _)| one == name).map(|(_, value)| value.raw().0);
        let said = said.filter(|said| said.len() <= left_bytes);
        left_bytes = left_bytes.saturating_sub(said.map_or(0, str::len));
        json::write_compact(object.field(name), said.unwrap_or(default));
    }
    object.end();
    out.pop();
    out.split_off(1)
}

/// Writes them as fields of `object`; empty `settings`: the defaults.
pub(super) fn write(object: &mut Object<'_>, settings: &[u8]) {
    if settings.is_empty() {
        return SETTINGS.iter().for_each(|(name, default)| object.raw(name, Raw(default)));
    }
    object.fields(settings);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(body: &str) -> String {
        let settings = read(body.as_bytes());
        let mut out = Vec::new();
        let mut object = Object::begin(&mut out);
        object.text("id", "r");
        write(&mut object, &settings);
        object.end();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn settings_are_repeated_on_one_line_and_others_have_defaults() {
        let said = written(
            "{\"input\":\"x\",\"temperature\":0.70,\"tools\": [ {\"name\": \"a \\\" b\",\n\"type\":\"function\"} ],\"instructions\":null}",
        );
        assert!(said.starts_with(r#"{"id":"r","parallel_tool_calls":true,"tool_choice":"auto","tools":[{"name":"a \" b","type":"function"}],"temperature":0.70,"#), "{said}");
        let (mut defaults, mut out) = (Vec::new(), Vec::new());
        let mut object = Object::begin(&mut out);
        object.text("id", "r");
        write(&mut object, &defaults);
        object.end();
        defaults.extend_from_slice(written("{}").as_bytes());
        assert_eq!(defaults, out);
    }

    #[test]
    fn what_is_too_long_is_not_repeated() {
        let long = "x".repeat(ECHO_BYTES_MAX);
        let said = written(&format!(r#"{{"instructions":"{long}","user":"u"}}"#));
        assert!(said.len() < 1024 && said.contains(r#""user":"u","instructions":null}"#), "{said}");
    }
}
