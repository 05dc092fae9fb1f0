//! Lists of models in Anthropic's shape (<https://docs.anthropic.com/en/api/models-list>), always one whole page.

use crate::chat::Raw;
use crate::dialect::ModelEntry;
use crate::dialect::json::{Array, Object};

/// Encodes a list.
pub(in crate::dialect) fn encode(models: &[ModelEntry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(96 + models.len() * 160);
    let mut body = Object::begin(&mut out);
    let mut data = Array::begin(body.field("data"));
    for model in models {
        write(data.item(), model);
    }
    data.end();
    body.raw("has_more", Raw("false"));
    body.text_or_null("first_id", models.first().map(|model| &*model.id));
    body.text_or_null("last_id", models.last().map(|model| &*model.id));
    body.end();
    out
}

/// Appends one model (<https://docs.anthropic.com/en/api/models>). What we don't know of it is left out; `lifecycle` is
/// required by newer SDKs' types, and what is listed is served.
pub(in crate::dialect) fn write(out: &mut Vec<u8>, model: &ModelEntry) {
    let mut entry = Object::begin(out);
    entry.text("type", "model");
    entry.text("id", &model.id);
    entry.text("display_name", &model.id);
    entry.text("created_at", &rfc3339(model.created_s));
    entry.text("lifecycle", "active");
    entry.end();
}

/// The epoch stands for an unknown date, and for one that no calendar has.
fn rfc3339(seconds: u64) -> String {
    let timestamp =
        i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    timestamp.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}
