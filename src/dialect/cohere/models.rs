//! Lists of models in Cohere's shape (<https://docs.cohere.com/reference/list-models>).

use serde::Deserialize;

use crate::dialect::ModelEntry;
use crate::dialect::json::{Array, Object};

/// Encodes a list.
pub(in crate::dialect) fn encode(models: &[ModelEntry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + models.len() * 48);
    let mut body = Object::begin(&mut out);
    let mut list = Array::begin(body.field("models"));
    for model in models {
        write(list.item(), model);
    }
    list.end();
    body.end();
    out
}

/// Appends one model (<https://docs.cohere.com/reference/get-model>), of which we know the name.
pub(in crate::dialect) fn write(out: &mut Vec<u8>, model: &ModelEntry) {
    let mut entry = Object::begin(out);
    entry.text("name", &model.id);
    entry.end();
}

/// The names in Cohere's own list.
pub(in crate::dialect) fn decode(body: &[u8]) -> Result<Vec<String>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Models {
        models: Vec<Model>,
    }
    #[derive(Deserialize)]
    struct Model {
        name: Option<String>,
    }
    let list: Models = serde_json::from_slice(body)?;
    Ok(list.models.into_iter().filter_map(|model| model.name).collect())
}
