//! What an answer's items look like, for whole answers and streams alike: ids, messages with their texts and annotations,
//! calls, thoughts, and the response object around them.

use super::{echo, usage};
use crate::chat::{Citation, Raw, ServiceTier, Usage};
use crate::dialect::json::{self, Array, Object};
use crate::dialect::tier;

/// Longest part of the answer's id in an item's; OpenAI takes items back with ids of at most 64 characters.
const STEM_BYTES_MAX: usize = 48;

/// Ids of an answer's items, made of its own.
#[derive(Default)]
pub(super) struct Ids {
    stem: String,
}

impl Ids {
    /// Those of the answer `response_id`. What OpenAI allows in no id is left out.
    pub(super) fn of(response_id: &str) -> Self {
        let id = response_id.strip_prefix("resp_").unwrap_or(response_id);
        let is_allowed = |one: &char| one.is_ascii_alphanumeric() || matches!(one, '_' | '-');
        Self { stem: json::bounded(id, STEM_BYTES_MAX).chars().filter(is_allowed).collect() }
    }

    /// The id of the item at `index`; `kind` is its prefix, such as `msg`.
    pub(super) fn item(&self, kind: &str, index: u64) -> String {
        format!("{kind}_{}_{index}", self.stem)
    }
}

/// One `output_text`, as far as it is said.
#[derive(Default)]
pub(super) struct Said {
    /// The words.
    pub(super) text: String,
    /// Its annotations as JSON, with commas between.
    annotations: Vec<u8>,
    /// How many.
    pub(super) annotations_count: u64,
    /// Its length, characters.
    chars: u64,
    /// Length of the answer's text before it, characters.
    before_chars: u64,
    /// What a citation without a span leans on, characters of this text.
    leaned_on: (u64, u64),
}

impl Said {
    /// Nothing yet, behind `before_chars` characters of the answer's text.
    pub(super) fn behind(before_chars: u64) -> Self {
        Self { before_chars, ..Self::default() }
    }

    /// More words.
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.chars = self.chars.saturating_add(text.chars().count() as u64);
    }

    /// From here on, what is cited begins anew.
    pub(super) fn mark(&mut self) {
        self.leaned_on = (self.chars, self.chars);
    }

    /// Characters of the answer's text up to here.
    pub(super) fn end_chars(&self) -> u64 {
        self.before_chars.saturating_add(self.chars)
    }

    /// Keeps an annotation and gives its JSON; `None`: OpenAI has no word for it, since it has only pages.
    pub(super) fn cite(&mut self, citation: &Citation<'_>) -> Option<Vec<u8>> {
        let url = citation.url.as_deref()?;
        let (start, end) = match citation.span {
            Some((start, end)) => {
                (start.saturating_sub(self.before_chars), end.saturating_sub(self.before_chars))
            }
            None => self.lean(),
        };
        let mut out = Vec::with_capacity(128);
        let mut object = Object::begin(&mut out);
        object.text("type", "url_citation");
        object.number("start_index", start);
        object.number("end_index", end);
        object.text("url", url);
        object.text("title", citation.title.as_deref().unwrap_or_default());
        object.end();
        if self.annotations_count > 0 {
            self.annotations.push(b',');
        }
        self.annotations.extend_from_slice(&out);
        self.annotations_count = self.annotations_count.saturating_add(1);
        Some(out)
    }

    /// What was said since the last citation; again the same, if nothing was.
    fn lean(&mut self) -> (u64, u64) {
        if self.chars > self.leaned_on.1 {
            self.leaned_on = (self.leaned_on.1, self.chars);
        }
        self.leaned_on
    }

    /// Writes it.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut part = Object::begin(out);
        part.text("type", "output_text");
        list(part.field("annotations"), &self.annotations);
        Array::begin(part.field("logprobs")).end();
        part.text("text", &self.text);
        part.end();
    }
}

/// Writes items that are JSON already, commas between, as a list.
fn list(out: &mut Vec<u8>, items: &[u8]) {
    out.push(b'[');
    out.extend_from_slice(items);
    out.push(b']');
}

/// Writes a refusal as a message's part.
pub(super) fn write_refusal(out: &mut Vec<u8>, text: &str) {
    let mut part = Object::begin(out);
    part.text("type", "refusal");
    part.text("refusal", text);
    part.end();
}

/// Writes a message; `content` is its parts as JSON, commas between.
pub(super) fn write_message(out: &mut Vec<u8>, id: &str, status: &str, content: &[u8]) {
    let mut item = Object::begin(out);
    item.text("id", id);
    item.text("type", "message");
    item.text("status", status);
    list(item.field("content"), content);
    item.text("role", "assistant");
    item.end();
}

/// A call as far as it is known.
pub(super) struct Call<'c> {
    /// The item's id.
    pub(super) id: &'c str,
    /// The id that pairs it with its result.
    pub(super) call_id: &'c str,
    /// The function's name.
    pub(super) name: &'c str,
    /// JSON text.
    pub(super) arguments: &'c str,
}

/// Writes a call.
pub(super) fn write_call(out: &mut Vec<u8>, call: &Call<'_>, status: &str) {
    let mut item = Object::begin(out);
    item.text("id", call.id);
    item.text("type", "function_call");
    item.text("status", status);
    item.text("arguments", call.arguments);
    item.text("call_id", call.call_id);
    item.text("name", call.name);
    item.end();
}

/// Writes a thought: its words, if any, and `encrypted_content`, if any.
pub(super) fn write_thought(out: &mut Vec<u8>, id: &str, text: Option<&str>, encrypted: Option<&str>) {
    let mut item = Object::begin(out);
    item.text("id", id);
    item.text("type", "reasoning");
    let mut summary = Array::begin(item.field("summary"));
    if let Some(text) = text {
        write_summary(summary.item(), text);
    }
    summary.end();
    if let Some(encrypted) = encrypted {
        item.text("encrypted_content", encrypted);
    }
    item.end();
}

/// Writes a text of a thought.
pub(super) fn write_summary(out: &mut Vec<u8>, text: &str) {
    let mut part = Object::begin(out);
    part.text("type", "summary_text");
    part.text("text", text);
    part.end();
}

/// The response object around the items.
pub(super) struct Frame<'f> {
    /// The answer's id.
    pub(super) id: &'f str,
    /// When the request began, seconds since the epoch.
    pub(super) created_s: u64,
    /// The model as the provider names it.
    pub(super) model: &'f str,
    /// `in_progress`, `completed` or `incomplete`.
    pub(super) status: &'f str,
    /// Why it is incomplete.
    pub(super) incomplete_reason: Option<&'static str>,
    /// The items as JSON, commas between.
    pub(super) output: &'f [u8],
    /// Tokens, once the answer is at its end.
    pub(super) usage: Option<Usage>,
    /// How it was served.
    pub(super) service_tier: Option<ServiceTier>,
    /// The request's settings, see [`echo`]; empty: the defaults.
    pub(super) settings: &'f [u8],
}

impl Frame<'_> {
    /// Writes it. Nothing was stored, and nothing runs on in the background.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        const NULL: Raw<'static> = Raw("null");
        let mut body = Object::begin(out);
        body.text("id", self.id);
        body.text("object", "response");
        body.number("created_at", self.created_s);
        body.text("status", self.status);
        body.raw("background", Raw("false"));
        body.raw("error", NULL);
        match self.incomplete_reason {
            Some(reason) => {
                let mut details = Object::begin(body.field("incomplete_details"));
                details.text("reason", reason);
                details.end();
            }
            None => body.raw("incomplete_details", NULL),
        }
        body.text("model", self.model);
        list(body.field("output"), self.output);
        body.raw("previous_response_id", NULL);
        body.text_or_null("service_tier", self.service_tier.map(tier::word));
        body.raw("store", Raw("false"));
        body.raw("truncation", Raw(r#""disabled""#));
        echo::write(&mut body, self.settings);
        // At the end, where a watcher of a long answer looks for it.
        match &self.usage {
            Some(usage) => usage::write(body.field("usage"), usage),
            None => body.raw("usage", NULL),
        }
        body.end();
    }
}
