//! Lists of models in Gemini's shape (<https://ai.google.dev/api/models>), always one whole page, and those of Gemini read.

use serde::Deserialize;

use crate::dialect::ModelEntry;
use crate::dialect::json::{Array, Object, write_string};

/// What a model's resource name begins with.
const PREFIX: &str = "models/";

/// Encodes a list.
pub(in crate::dialect) fn encode(models: &[ModelEntry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(96 + models.len() * 160);
    let mut body = Object::begin(&mut out);
    let mut list = Array::begin(body.field("models"));
    for model in models {
        write(list.item(), model);
    }
    list.end();
    body.end();
    out
}

/// Appends one model. What we don't know of it is left out.
pub(in crate::dialect) fn write(out: &mut Vec<u8>, model: &ModelEntry) {
    let mut entry = Object::begin(out);
    entry.text("name", &format!("{PREFIX}{}", model.id));
    entry.text("displayName", &model.id);
    let mut methods = Array::begin(entry.field("supportedGenerationMethods"));
    for method in ["generateContent", "streamGenerateContent"] {
        write_string(methods.item(), method);
    }
    methods.end();
    entry.end();
}

/// The names in Gemini's own list, without what each begins with.
pub(in crate::dialect) fn decode(body: &[u8]) -> Result<Vec<String>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Models {
        #[serde(default)]
        models: Vec<Model>,
    }
    #[derive(Deserialize)]
    struct Model {
        name: String,
    }
    let list: Models = serde_json::from_slice(body)?;
    let bare = |model: Model| model.name.strip_prefix(PREFIX).map(str::to_owned).unwrap_or(model.name);
    Ok(list.models.into_iter().map(bare).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let model = |id: &str| ModelEntry { id: id.to_owned(), owned_by: "gemini".to_owned(), created_s: 7 };
        let list = encode(&[model("gemini/a"), model("b")]);
        assert_eq!(decode(&list).unwrap(), ["gemini/a", "b"]);
        assert_eq!(
            String::from_utf8(list).unwrap(),
            r#"{"models":[{"name":"models/gemini/a","displayName":"gemini/a","supportedGenerationMethods":["generateContent","streamGenerateContent"]},{"name":"models/b","displayName":"b","supportedGenerationMethods":["generateContent","streamGenerateContent"]}]}"#
        );
        assert_eq!(decode(b"{}").unwrap(), [""; 0]);
        assert!(decode(b"").is_err() && decode(br#"{"models":[{}]}"#).is_err());
    }
}
