//! `keys[].azure_key_config` and `vertex_key_config`: where a key of a cloud goes, and by which paths it asks for what.
//! The paths themselves are `crate::provider::cloud`'s; what of it tokens are fetched by is `grant`'s.

use super::Reading;
use super::document::{At, Value};
use super::grant::{Found, account, entra};
use super::keys::{self, Owner};
use super::reference::{Present, require};
use super::snapshot::{Faces, Key, Place, Whence};
use super::url::{self, BaseUrl};
use super::validate;
use crate::provider::cloud::{AzureApi, VertexPlace, vertex_host};
use crate::provider::{Cloud, Family};

/// The sections, each with its cloud.
pub(crate) const SECTIONS: [(&str, Cloud); 2] =
    [("azure_key_config", Cloud::Azure), ("vertex_key_config", Cloud::Vertex)];

/// Longest project or region, bytes; a project's id has 30 at most
/// (<https://cloud.google.com/resource-manager/docs/creating-managing-projects>), with an organisation's domain before it some more.
const NAME_BYTES_MAX: usize = 64;
/// What stands for an endpoint that only the node knows.
const STAND_IN: &str = "http://127.0.0.1";
/// What of an endpoint is the paths' own.
const ENDINGS: [&str; 3] = ["/openai/v1", "/openai", "/anthropic"];

/// What a key's section says. All `None`: nothing, or it is faulty, which is reported.
#[derive(Default)]
pub(crate) struct CloudKey {
    /// Where it goes, unless the provider has another place for all.
    pub(crate) place: Option<Box<Place>>,
    /// By which paths.
    pub(crate) faces: Option<Box<Faces>>,
    /// What tokens are fetched by.
    pub(crate) found: Option<Found>,
}

/// The section of a cloud's keys.
pub(crate) fn section_of(cloud: Cloud) -> &'static str {
    SECTIONS.iter().find(|(_, one)| *one == cloud).map_or("", |(section, _)| section)
}

/// Reads a key's section; `has_value`: it has an API key, or a faulty one.
pub(crate) fn read(
    key: &At<'_>,
    owner: Owner<'_>,
    has_value: bool,
    reading: &mut Reading<'_, '_>,
) -> CloudKey {
    for (section, _) in SECTIONS.into_iter().filter(|(_, cloud)| owner.cloud != Some(*cloud)) {
        if let Some(other) = key.member(section).filter(|other| owner.is_served && validate::asks(other)) {
            reading.report.warn(other.name_spot(), "has no effect: it belongs to another provider");
        }
    }
    let Some(cloud) = owner.cloud else { return CloudKey::default() };
    let section = key.member(section_of(cloud));
    let found = match (&section, cloud) {
        (None, _) => Ok(None),
        (Some(section), Cloud::Azure) => entra::read(section, reading),
        (Some(section), Cloud::Vertex) => account::read(section, reading),
    };
    let Ok(found) = found else { return CloudKey::default() };
    let read = match cloud {
        Cloud::Azure => azure(key, section.as_ref(), owner, reading).unwrap_or_default(),
        Cloud::Vertex => {
            // An express key is one for itself.
            let is_express = has_value && found.is_none();
            vertex(key, section.as_ref(), (owner, is_express), reading).unwrap_or_default()
        }
    };
    CloudKey { found, ..read }
}

/// Why a key without a value is never used, where the config gives it none: what would do, for a cloud's.
pub(crate) fn absence(owner: Owner<'_>, whence: &Whence, absence: String) -> String {
    match owner.cloud {
        Some(cloud) if *whence == Whence::Config && absence.is_empty() => lack(cloud).to_owned(),
        _ => absence,
    }
}

fn lack(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::Azure => {
            "it has neither a value nor a client of Entra ID, and machines' own identities are not asked: give it the resource's \
             API key, or azure_key_config with client_id, client_secret and tenant_id"
        }
        Cloud::Vertex => {
            "it has neither a value nor a service account, and Google's default credentials are not read: give it an API key, or \
             vertex_key_config with auth_credentials, such as \"env.GOOGLE_CREDENTIALS\""
        }
    }
}

/// `None`: faulty, and reported.
fn azure(
    key: &At<'_>,
    section: Option<&At<'_>>,
    owner: Owner<'_>,
    reading: &mut Reading<'_, '_>,
) -> Option<CloudKey> {
    let member = |name: &str| section.and_then(|section| section.member(name));
    let api = match member("api_version") {
        None => AzureApi::V1 { version: None },
        Some(at) => {
            let present = require(&at, "", reading)?;
            let api = AzureApi::of(present.as_ref().map_or("", |present| present.text.expose()));
            let Some(api) = api else {
                let source = present.map(|present| present.whence.source()).unwrap_or_default();
                let message = format!(
                    "the API version{source} is none: expected YYYY-MM-DD or YYYY-MM-DD-preview, or for the v1 API v1 (the \
                     default), preview or latest"
                );
                reading.report.fault(at.spot(), message);
                return None;
            };
            api
        }
    };
    let faces = Some(Box::new(Faces::of(|family, operation| api.path(family, operation))));
    let endpoint = match member("endpoint") {
        Some(at) => require(&at, STAND_IN, reading)?.map(|endpoint| (at, endpoint)),
        None => None,
    };
    let Some((at, endpoint)) = endpoint else {
        if !owner.has_base_url {
            let message = "the key has no azure_key_config.endpoint: at which address is the resource, such as \
                 https://NAME.openai.azure.com?";
            reading.report.fault(key.spot(), message);
        }
        return Some(CloudKey { faces, ..CloudKey::default() });
    };
    match url::parse(endpoint.text.expose()) {
        Ok(BaseUrl { origin, authority, path }) => {
            let base_path = ENDINGS.iter().find_map(|ending| path.strip_suffix(ending)).unwrap_or(&path);
            let base_path = base_path.to_owned();
            let place = Some(Box::new(Place { origin, authority, base_path }));
            Some(CloudKey { place, faces, found: None })
        }
        Err(message) => {
            reading.report.fault(at.spot(), message);
            None
        }
    }
}

/// `None`: faulty, and reported.
fn vertex(
    key: &At<'_>,
    section: Option<&At<'_>>,
    (owner, is_express): (Owner<'_>, bool),
    reading: &mut Reading<'_, '_>,
) -> Option<CloudKey> {
    let member = |name: &str| section.and_then(|section| section.member(name));
    if let Some(at) = member("project_number").filter(validate::asks) {
        reading.report.warn(at.name_spot(), "has no effect: tuned models are not served by this version");
    }
    let mut name = |name: &str, stand_in: &str| match member(name) {
        None => Some(None),
        Some(at) => named(&at, name, stand_in, reading),
    };
    let (project, region) = (name("project_id", "project")?, name("region", "global")?);
    let is_single = member("force_single_region").and_then(|at| at.bool()).unwrap_or(false);
    let place = match (project, region) {
        (Some(project), Some(region)) => VertexPlace::Project { project, region },
        (None, None) if is_express => VertexPlace::Express,
        _ => {
            let message = "vertex_key_config needs both project_id and region (such as us-central1, or global); without either, \
                 the key's value is one of express mode";
            reading.report.fault(key.spot(), message);
            return None;
        }
    };
    let faces = Some(Box::new(Faces::of(|family, operation| place.path(family, operation))));
    let host = match &place {
        VertexPlace::Project { region, .. } if !owner.has_base_url => vertex_host(region, is_single),
        _ => return Some(CloudKey { faces, ..CloudKey::default() }),
    };
    let BaseUrl { origin, authority, path } = url::parse(&format!("https://{host}")).ok()?;
    let place = Some(Box::new(Place { origin, authority, base_path: path }));
    Some(CloudKey { place, faces, found: None })
}

/// A project or a region. `Some(None)`: it says nothing; `None`: faulty, and reported.
fn named(at: &At<'_>, name: &str, stand_in: &str, reading: &mut Reading<'_, '_>) -> Option<Option<String>> {
    let Some(Present { text, whence }) = require(at, stand_in, reading)? else { return Some(None) };
    let text = text.expose();
    let is_right = |byte: u8| match name {
        "region" => byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-',
        // A domain may stand before an old project's name.
        _ => byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b':'),
    };
    if text.len() > NAME_BYTES_MAX || text.starts_with(['-', '.']) || !text.bytes().all(is_right) {
        let source = whence.source();
        let message = format!(
            "the {name}{source} is none: expected at most {NAME_BYTES_MAX} lower-case letters, digits and -"
        );
        reading.report.fault(at.spot(), message);
        return None;
    }
    Some(Some(text.to_owned()))
}

/// What of an alias says where a model is, which a key's section says for all of its models.
const ELSEWHERE: [&str; 4] = ["endpoint", "region", "api_version", "project_id"];

/// The key's aliases and its `deployments`, as older files call them.
pub(crate) fn aliases(
    key: &At<'_>,
    owner: Owner<'_>,
    mut aliases: Vec<(String, String)>,
    reading: &mut Reading<'_, '_>,
) -> Vec<(String, String)> {
    let Some(cloud) = owner.cloud else { return aliases };
    let deployments = key.member(section_of(cloud)).and_then(|section| section.member("deployments"));
    for at in [key.member("aliases"), deployments.clone()].iter().flatten() {
        refuse_elsewhere(at, reading);
    }
    if let Some(deployments) = deployments.filter(|at| matches!(at.node.value, Value::Object(_))) {
        for (requested, model) in keys::aliases(&deployments, reading) {
            if !aliases.iter().any(|(other, _)| *other == requested) {
                aliases.push((requested, model));
            }
        }
        aliases.sort();
    }
    aliases
}

fn refuse_elsewhere(aliases: &At<'_>, reading: &mut Reading<'_, '_>) {
    for (_, alias) in aliases.members() {
        let found = ELSEWHERE.iter().filter_map(|name| alias.member(name)).filter(validate::asks);
        for at in found {
            let message =
                "an alias has no place of its own in this version: give that model a key of its own";
            reading.report.fault(at.spot(), message);
        }
    }
}

/// Paths of keys without a place of their own stand behind the provider's.
pub(crate) fn settle(keys: &mut [Key], base_path: &str) {
    let here = keys.iter_mut().filter(|key| key.place.is_none() && !base_path.is_empty());
    for faces in here.filter_map(|key| key.faces.as_deref_mut()) {
        Family::ALL.into_iter().for_each(|family| faces.stand_behind(family, base_path));
    }
}
