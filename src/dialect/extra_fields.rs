//! `extra_fields`, as Bifrost adds them to its answers: who was asked, and what was said to and by the provider, byte for byte.
//! Whether a caller may see that is `gateway`'s.

use memchr::memmem;
use serde_json::value::RawValue;

use super::ErrorContext;
use super::json::{Object, write_string};

const KEY: &[u8] = b"\"extra_fields\"";

/// What was said to and by a provider.
#[derive(Clone, Copy, Debug, Default)]
pub struct RawBodies<'a> {
    /// The JSON body that it was sent.
    pub request: Option<&'a [u8]>,
    /// The JSON that it answered, or an event's data.
    pub response: Option<&'a [u8]>,
}

/// Adds them to an object that ends `body`, as its last member; `false`: it ends with none, or has some already, and nothing
/// was done.
pub fn add(body: &mut Vec<u8>, context: &ErrorContext<'_>, raw: RawBodies<'_>) -> bool {
    let Some(brace) = body.iter().rposition(|byte| !byte.is_ascii_whitespace()) else { return false };
    if body.get(brace) != Some(&b'}') || memmem::find(body, KEY).is_some() {
        return false;
    }
    let behind = body.split_off(brace);
    let last = body.iter().rev().find(|byte| !byte.is_ascii_whitespace());
    if last != Some(&b'{') {
        body.push(b',');
    }
    body.extend_from_slice(KEY);
    body.push(b':');
    let mut fields = Object::begin(body);
    fields.text("provider", context.provider);
    fields.text("model_requested", context.model_requested);
    fields.text("request_type", context.request_type);
    for (name, bytes) in [("raw_request", raw.request), ("raw_response", raw.response)] {
        if let Some(bytes) = bytes {
            write_raw(fields.field(name), bytes);
        }
    }
    fields.end();
    body.extend_from_slice(&behind);
    true
}

/// As it stands where it is JSON, else as a text.
fn write_raw(out: &mut Vec<u8>, bytes: &[u8]) {
    match std::str::from_utf8(bytes).ok().filter(|text| serde_json::from_str::<&RawValue>(text).is_ok()) {
        Some(text) => out.extend_from_slice(text.trim_ascii().as_bytes()),
        None => write_string(out, &String::from_utf8_lossy(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: ErrorContext<'static> =
        ErrorContext { provider: "p", model_requested: "m", request_type: "t", request_id: "" };

    fn added(body: &str, raw: RawBodies<'_>) -> (String, bool) {
        let mut body = body.as_bytes().to_vec();
        let is_added = add(&mut body, &CONTEXT, raw);
        (String::from_utf8(body).unwrap(), is_added)
    }

    #[test]
    fn they_are_the_last_member() {
        let raw = RawBodies { request: Some(b" {\"a\":1.50}\n"), response: Some(b"[DONE]") };
        let fields = r#""provider":"p","model_requested":"m","request_type":"t""#;
        for (body, expected) in [
            (
                "{}",
                format!(
                    r#"{{"extra_fields":{{{fields},"raw_request":{{"a":1.50}},"raw_response":"[DONE]"}}}}"#
                ),
            ),
            (
                "{\"x\":{} } \n",
                format!(
                    "{{\"x\":{{}} ,\"extra_fields\":{{{fields},\"raw_request\":{{\"a\":1.50}},\"raw_response\":\"[DONE]\"}}}} \n"
                ),
            ),
        ] {
            assert_eq!(added(body, raw), (expected, true));
        }
    }

    #[test]
    fn what_is_no_object_or_has_them_stays() {
        for body in ["", " ", "[1]", "[DONE]", r#"{"extra_fields":{}}"#] {
            assert_eq!(added(body, RawBodies::default()), (body.to_owned(), false));
        }
    }
}
