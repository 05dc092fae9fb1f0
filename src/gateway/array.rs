//! A stream as one JSON array, for a caller of Gemini's `streamGenerateContent` without `alt=sse`
//! (<https://cloud.google.com/apis/docs/system-parameters>): each event's data is an element, written as it comes in, and the
//! bracket that closes the array says that nothing is missing. What the events say is not looked at.

use crate::http::sse::events;

/// An array under way.
#[derive(Default)]
pub(super) struct Elements {
    has_begun: bool,
}

impl Elements {
    /// Turns the events in `text`, whole ones but for the last of a stream, into elements. What holds no event, a comment,
    /// becomes a line end, which readers of JSON pass over: something between us may wait for bytes.
    pub(super) fn take(&mut self, text: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        // The last event of a stream may lack its empty line.
        text.extend_from_slice(b"\n\n");
        let mut out = Vec::with_capacity(text.len());
        for event in events(text).filter(|event| is_element(&event.data)) {
            out.extend_from_slice(self.before());
            out.extend_from_slice(event.data.trim_ascii());
        }
        if out.is_empty() {
            out.push(b'\n');
        }
        *text = out;
    }

    /// Closes it.
    pub(super) fn end(&mut self, text: &mut Vec<u8>) {
        text.extend_from_slice(if self.has_begun { b"]" } else { b"[]" });
    }

    fn before(&mut self) -> &'static [u8] {
        if std::mem::replace(&mut self.has_begun, true) { b",\n" } else { b"[" }
    }
}

/// An error in place of a stream, as Google answers such a caller: its status, and a list of the one error. What is no object
/// stays.
pub(super) fn of_error(body: Vec<u8>) -> Vec<u8> {
    if body.trim_ascii_start().first() == Some(&b'{') { [b"[", &*body, b"]"].concat() } else { body }
}

/// Nothing, and the last word of those that took OpenAI's for everybody's, is none.
fn is_element(data: &[u8]) -> bool {
    !matches!(data.trim_ascii(), b"" | b"[DONE]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(pieces: &[&str]) -> String {
        let (mut elements, mut out) = (Elements::default(), Vec::new());
        for piece in pieces {
            let mut text = piece.as_bytes().to_vec();
            elements.take(&mut text);
            out.extend(text);
        }
        elements.end(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_error_is_a_list_of_one() {
        for (body, expected) in
            [("{}", "[{}]"), (" {\"error\":1}\n", "[ {\"error\":1}\n]"), ("[{}]", "[{}]"), ("", "")]
        {
            assert_eq!(of_error(body.into()), expected.as_bytes());
        }
    }

    #[test]
    fn events_are_elements() {
        let whole = ["data: {\"a\":1}\n\ndata: {\ndata: }\n\n", "", "event: x\r\ndata: {\"b\":[]} \r\n\r\n"];
        assert_eq!(array(&whole), "[{\"a\":1},\n{\n},\n{\"b\":[]}]");
        assert_eq!(
            array(&["data: 1\n\n", ": waits\n\n", "data: [DONE]\n\n", "data:\n\n", "data: 2"]),
            "[1\n\n\n,\n2]"
        );
        assert_eq!(array(&[]), "[]");
        assert_eq!(array(&[":\n\n"]), "\n[]");
    }
}
