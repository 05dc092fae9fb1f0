//! What was read of the section of a cloud's key, in the normal form. `deployments` stand among the aliases.

use serde_json::{Map, Value};

use super::{Literal, Writer, place_url};
use crate::config::document::{At, joined};
use crate::config::grant::role;
use crate::config::reference::Resolved;
use crate::config::snapshot::{Place, Whence};
use crate::config::{aws, clouds, validate};
use crate::provider::Cloud;

impl Writer<'_> {
    /// What was read of `bedrock_key_config`.
    pub(super) fn aws(&mut self, at: &At<'_>, pointer: &str) -> Map<String, Value> {
        let mut form = Map::new();
        for (name, is_secret) in aws::MEMBERS.into_iter().chain(role::MEMBERS) {
            let Some(at) = at.member(name) else { continue };
            let resolved = self.found.at(&at.pointer);
            let says_nothing =
                |resolved: &Resolved| resolved.whence == Whence::Config && resolved.text.is_none();
            if resolved.is_none_or(says_nothing) {
                continue;
            }
            let literal = if is_secret { Literal::Secret } else { Literal::AsItStands };
            form.insert(name.to_owned(), self.value(Some(at), joined(pointer, name), literal));
        }
        form
    }

    /// The section of `key`, and what it is called; empty where the file says nothing of it.
    pub(super) fn cloud(
        &mut self,
        cloud: Cloud,
        key: &At<'_>,
        place: Option<&Place>,
        pointer: &str,
    ) -> (&'static str, Map<String, Value>) {
        let name = clouds::section_of(cloud);
        let (section, pointer) = (key.member(name), joined(pointer, name));
        let mut form = Map::new();
        let client = section.as_ref().and_then(|section| section.member("client_id"));
        let has_client = client.filter(validate::asks).is_some();
        let members: &[&str] = match cloud {
            Cloud::Azure if !has_client => &["endpoint", "api_version"],
            Cloud::Azure => {
                &["endpoint", "api_version", "client_id", "client_secret", "tenant_id", "authority_host"]
            }
            Cloud::Vertex => &["project_id", "region", "auth_credentials"],
        };
        for member in members {
            let Some(at) = section.as_ref().and_then(|section| section.member(member)) else { continue };
            let literal = match (*member, place) {
                ("endpoint", Some(place)) => Literal::Shown(Value::from(place_url(place))),
                ("client_secret" | "auth_credentials", _) => Literal::Secret,
                _ => Literal::AsItStands,
            };
            let value = self.value(Some(at), joined(&pointer, member), literal);
            if value != "" && !(*member == "api_version" && value == "v1") {
                form.insert((*member).to_owned(), value);
            }
        }
        let scopes = section.as_ref().and_then(|section| section.member("scopes"));
        if let Some(scopes) =
            scopes.map(|at| at.texts().join(" ")).filter(|_| cloud == Cloud::Azure && has_client)
            && !scopes.is_empty()
        {
            form.insert("scopes".to_owned(), serde_json::json!([scopes]));
        }
        let single = section.and_then(|section| section.member("force_single_region"));
        if single.and_then(|at| at.bool()) == Some(true) && cloud == Cloud::Vertex {
            form.insert("force_single_region".to_owned(), Value::Bool(true));
        }
        (name, form)
    }
}
