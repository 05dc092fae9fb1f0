//! `requestMetadata` (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>): short texts by
//! which AWS's logs of invocations are searched. The caller's notes and its name for its user are such; what AWS would
//! refuse of them is named.

use std::collections::BTreeMap;

use super::{METADATA, extra};
use crate::chat::{Raw, Request};
use crate::dialect::dropped::named_once;
use crate::dialect::json::Object;

/// Most entries; most bytes of a name or a value.
const ENTRIES_MAX: usize = 16;
const TEXT_BYTES_MAX: usize = 256;

/// Writes what there is.
pub(super) fn write(body: &mut Object<'_>, request: &Request<'_>, dropped: &mut Vec<String>) {
    if let Some(own) = extra(request, METADATA) {
        body.raw(METADATA, own);
        name_rest(request, dropped);
        return;
    }
    let mut entries: BTreeMap<String, String> = BTreeMap::new();
    if let Some(Raw(notes)) = request.metadata {
        match serde_json::from_str::<BTreeMap<String, String>>(notes) {
            Ok(notes) if is_fit(&notes) => entries = notes,
            _ => named_once(dropped, "metadata"),
        }
    }
    if let Some(user) = &request.user {
        let has_room = entries.len() < ENTRIES_MAX && !entries.contains_key("user");
        match has_room && is_text(user) {
            true => drop(entries.insert("user".to_owned(), user.clone().into_owned())),
            false => named_once(dropped, "user"),
        }
    }
    if entries.is_empty() {
        return;
    }
    let mut object = Object::begin(body.field(METADATA));
    for (name, value) in &entries {
        crate::dialect::json::write_string(object.key(name), value);
    }
    object.end();
}

fn name_rest(request: &Request<'_>, dropped: &mut Vec<String>) {
    if request.metadata.is_some() {
        named_once(dropped, "metadata");
    }
    if request.user.is_some() {
        named_once(dropped, "user");
    }
}

fn is_fit(notes: &BTreeMap<String, String>) -> bool {
    notes.len() <= ENTRIES_MAX
        && notes.iter().all(|(name, value)| !name.is_empty() && is_text(name) && is_text(value))
}

/// AWS's pattern of both.
fn is_text(text: &str) -> bool {
    let is_fit = |byte: u8| {
        byte.is_ascii_alphanumeric() || byte.is_ascii_whitespace() || b":_@$#=/+,-.".contains(&byte)
    };
    text.len() <= TEXT_BYTES_MAX && text.bytes().all(is_fit)
}
