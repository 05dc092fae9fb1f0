//! `keys[].ollama_key_config` and its like: where the requests of one key go, of providers whose servers are the operator's
//! own. What paths follow there is the provider's.

use super::Reading;
use super::document::At;
use super::fault::Printable;
use super::keys::Owner;
use super::reference::require;
use super::snapshot::{Models, Place};
use super::url::{self, BaseUrl};

/// The sections, each of one provider.
pub(crate) const SECTIONS: [&str; 3] = ["ollama_key_config", "sgl_key_config", "vllm_key_config"];

/// What stands for a URL that only the node knows.
const STAND_IN: &str = "http://127.0.0.1";

/// Reads a key's place; `None`: it has none of its own, or a faulty one, which is reported.
pub(crate) fn read(key: &At<'_>, owner: Owner<'_>, reading: &mut Reading<'_, '_>) -> Option<Box<Place>> {
    for section in SECTIONS.into_iter().filter(|section| owner.place_section != Some(section)) {
        if let Some(other) = key.member(section).filter(|_| owner.is_served) {
            reading.report.warn(other.name_spot(), "has no effect: it belongs to another provider");
        }
    }
    let section = owner.place_section?;
    let Some(url) = key.member(section).and_then(|at| at.member("url")) else {
        if !owner.has_base_url {
            let message = format!("the key has no {section}.url: at which address is the server?");
            reading.report.fault(key.spot(), message);
        }
        return None;
    };
    let Some(present) = require(&url, STAND_IN, reading)? else {
        reading.report.fault(url.spot(), "the URL is empty: at which address is the server?");
        return None;
    };
    match url::parse(present.text.expose()) {
        Ok(BaseUrl { origin, authority, path }) => {
            Some(Box::new(Place { origin, authority, base_path: path }))
        }
        Err(message) => {
            reading.report.fault(url.spot(), message);
            None
        }
    }
}

/// The models that a key of a server with one model may serve: that one, as far as its list allows it.
pub(crate) fn models(
    key: &At<'_>,
    owner: Owner<'_>,
    listed: Models,
    reading: &mut Reading<'_, '_>,
) -> Models {
    let section = owner.place_section.and_then(|section| key.member(section));
    let Some(at) = section.and_then(|section| section.member("model_name")) else { return listed };
    let Some(model) = at.text().filter(|model| !model.is_empty()) else { return listed };
    match listed {
        Models::All => Models::Only(vec![model.to_owned()]),
        Models::Only(models) => {
            if !models.iter().any(|one| one == model) {
                let message = format!(
                    "the key serves nothing: its server has \"{}\", which \"models\" does not list",
                    Printable(model)
                );
                reading.report.warn(at.spot(), message);
            }
            Models::Only(models.into_iter().filter(|one| one == model).collect())
        }
    }
}
