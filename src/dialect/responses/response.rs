//! A neutral answer to the bytes of a whole response. Texts that follow each other are one `output_text` of one message,
//! as OpenAI's models say them; a call or a thought between them begins another message. The way back is `answer`'s.

use super::output::{self, Call, Frame, Ids, Said};
use super::{incomplete_reason, thought};
use crate::chat::{Part, Response};

/// Encodes an answer made at `created_s`, seconds since the epoch, for a request with these `settings` (see
/// [`super::echo`]; empty: the defaults).
pub(in crate::dialect) fn encode(response: &Response<'_>, created_s: u64, settings: &[u8]) -> Vec<u8> {
    let is_refused = response.parts.iter().any(|part| matches!(part, Part::Refusal { .. }));
    let incomplete_reason = incomplete_reason(response.finish, is_refused);
    let status = if incomplete_reason.is_some() { "incomplete" } else { "completed" };
    let mut items = Items { ids: Ids::of(&response.id), output: Vec::new(), count: 0, said_chars: 0 };
    let groups = || response.parts.chunk_by(|one, next| is_said(one) && is_said(next));
    let last = groups().count().saturating_sub(1);
    for (index, group) in groups().enumerate() {
        // Only the last can be cut.
        items.push(group, if index == last { status } else { "completed" });
    }
    let mut out = Vec::with_capacity(1024 + items.output.len());
    let frame = Frame {
        id: &response.id,
        created_s,
        model: &response.model,
        status,
        incomplete_reason,
        output: &items.output,
        usage: Some(response.usage),
        service_tier: response.service_tier,
        settings,
    };
    frame.write(&mut out);
    out
}

/// Whether it is a piece of a message.
fn is_said(part: &Part<'_>) -> bool {
    matches!(part, Part::Text { .. } | Part::Refusal { .. } | Part::Citation(_))
}

/// Items as JSON, commas between.
struct Items {
    ids: Ids,
    output: Vec<u8>,
    count: u64,
    /// Characters of text so far.
    said_chars: u64,
}

impl Items {
    fn push(&mut self, group: &[Part<'_>], status: &str) {
        match group {
            [Part::Reasoning { text, signature }] => {
                let encrypted = signature.as_deref().map(thought::signed);
                // One that has no words has its proof, as in a stream.
                let text = Some(&**text).filter(|text| !text.is_empty() || encrypted.is_none());
                self.thought(text, Some(encrypted.as_deref().unwrap_or(thought::UNPROVEN)));
            }
            [Part::ReasoningEncrypted { data }] => self.thought(None, Some(&thought::redacted(data))),
            [Part::ToolCall { id, name, arguments }] => {
                let arguments = if arguments.is_empty() { "{}" } else { arguments };
                let item = self.next("fc");
                let call = Call { id: &item, call_id: id, name, arguments };
                output::write_call(&mut self.output, &call, status);
            }
            [first, ..] if is_said(first) => {
                let content = self.content(group);
                let id = self.next("msg");
                output::write_message(&mut self.output, &id, status, &content);
            }
            // A picture: the model shows none here but by a tool of OpenAI's own.
            _ => {}
        }
    }

    fn thought(&mut self, text: Option<&str>, encrypted: Option<&str>) {
        let id = self.next("rs");
        output::write_thought(&mut self.output, &id, text, encrypted);
    }

    /// Has room made for one more item and gives its id.
    fn next(&mut self, kind: &str) -> String {
        if self.count > 0 {
            self.output.push(b',');
        }
        let id = self.ids.item(kind, self.count);
        self.count += 1;
        id
    }

    /// A message's parts: each run of texts is one, each run of refusals.
    fn content(&mut self, group: &[Part<'_>]) -> Vec<u8> {
        let is_refusal = |part: &Part<'_>| matches!(part, Part::Refusal { .. });
        let mut content = Vec::new();
        for run in group.chunk_by(|one, next| is_refusal(one) == is_refusal(next)) {
            if !content.is_empty() {
                content.push(b',');
            }
            if run.first().is_some_and(is_refusal) {
                output::write_refusal(&mut content, &refusal(run));
            } else {
                self.said(run).write(&mut content);
            }
        }
        content
    }

    fn said(&mut self, run: &[Part<'_>]) -> Said {
        let mut said = Said::behind(self.said_chars);
        for part in run {
            match part {
                Part::Text { text, .. } => {
                    said.mark();
                    said.push(text);
                }
                Part::Citation(citation) => {
                    said.cite(citation);
                }
                _ => {}
            }
        }
        self.said_chars = said.end_chars();
        said
    }
}

fn refusal(run: &[Part<'_>]) -> String {
    let texts = run.iter().filter_map(|part| match part {
        Part::Refusal { text } => Some(&**text),
        _ => None,
    });
    texts.collect()
}
