//! Lists of models in OpenAI's shape (<https://platform.openai.com/docs/api-reference/models/list>).

use serde::Deserialize;

use crate::dialect::ModelEntry;
use crate::dialect::json::{Array, Object};

/// Encodes a list.
pub(in crate::dialect) fn encode(models: &[ModelEntry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + models.len() * 96);
    let mut body = Object::begin(&mut out);
    body.text("object", "list");
    let mut data = Array::begin(body.field("data"));
    for model in models {
        write(data.item(), model);
    }
    data.end();
    body.end();
    out
}

/// Appends one model (<https://platform.openai.com/docs/api-reference/models/retrieve>).
pub(in crate::dialect) fn write(out: &mut Vec<u8>, model: &ModelEntry) {
    let mut entry = Object::begin(out);
    entry.text("id", &model.id);
    entry.text("object", "model");
    entry.number("created", model.created_s);
    entry.text("owned_by", &model.owned_by);
    entry.end();
}

/// The names in a provider's own list.
pub(in crate::dialect) fn decode(body: &[u8]) -> Result<Vec<String>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Models {
        data: Vec<Model>,
    }
    #[derive(Deserialize)]
    struct Model {
        id: String,
    }
    let list: Models = serde_json::from_slice(body)?;
    Ok(list.data.into_iter().map(|model| model.id).collect())
}
