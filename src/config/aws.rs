//! `keys[].bedrock_key_config`: AWS's access keys, by which requests are signed, and the region, which says where they go and
//! what the signatures are for. A key's own `value` wins over them, and a role that they take (`grant::role`) over it. It signs
//! nothing.

use super::Reading;
use super::credential::{AwsKeys, Credential};
use super::document::At;
use super::grant::{Found, role};
use super::keys::{self, Owner};
use super::reference::{Resolved, require, resolve};
use super::snapshot::{Place, Whence};
use super::url::{self, BaseUrl};
use super::validate;

/// The section.
pub(crate) const SECTION: &str = "bedrock_key_config";
/// What is read of it, and whether it is secret.
pub(crate) const MEMBERS: [(&str, bool); 4] =
    [("region", false), ("access_key", false), ("secret_key", true), ("session_token", true)];

/// The region of a key that names none, as Bifrost has it.
const REGION_DEFAULT: &str = "us-east-1";
/// Longest region, bytes; the longest that there is has 14.
const REGION_BYTES_MAX: usize = 32;
/// Longest id of a pair of access keys, bytes (<https://docs.aws.amazon.com/IAM/latest/APIReference/API_AccessKey.html>).
const ACCESS_KEY_BYTES_MAX: usize = 128;

/// How an ARN begins.
const ARN: &str = "arn:";
/// Longest ARN, bytes (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>: `modelId`).
const ARN_BYTES_MAX: usize = 2_048;

/// What the section says. Both `None`: nothing, or it is faulty, which is reported.
#[derive(Default)]
pub(crate) struct Aws {
    /// What signs, where the key has no value.
    pub(crate) found: Option<Found>,
    /// Where the region's requests go, unless the provider has another place for all.
    pub(crate) place: Option<Box<Place>>,
}

/// Reads a key's section; `has_value`: it has a value, or a faulty one, and needs no access keys.
pub(crate) fn read(key: &At<'_>, owner: Owner<'_>, has_value: bool, reading: &mut Reading<'_, '_>) -> Aws {
    if !owner.is_aws {
        if let Some(other) = key.member(SECTION).filter(|other| owner.is_served && validate::asks(other)) {
            reading.report.warn(other.name_spot(), "has no effect: it belongs to another provider");
        }
        return Aws::default();
    }
    let Some(section) = key.member(SECTION) else {
        let found = (!has_value).then(|| nothing(owner));
        return Aws { found, place: None };
    };
    let Ok(region) = region(&section, reading) else { return Aws::default() };
    let place = region.as_deref().filter(|_| !owner.has_base_url).and_then(place);
    let role = role::read(&section, region.as_deref().unwrap_or(REGION_DEFAULT), reading);
    let Ok(role) = role else { return Aws { found: None, place } };
    if has_value && role.is_none() {
        if let Some(unused) = section.member("access_key").filter(validate::asks) {
            reading.report.warn(unused.name_spot(), "has no effect: the key's value is sent instead");
        }
        return Aws { found: None, place };
    }
    let region = region.unwrap_or_else(|| REGION_DEFAULT.to_owned());
    let found = match (keys(&section, owner, region, reading), role) {
        (Some(found), Some(role)) => taken(&section, found, role, reading),
        (found, _) => found,
    };
    Aws { found, place }
}

/// The role, by the keys that were found to take it.
fn taken(
    section: &At<'_>,
    found: Found,
    role: role::Written,
    reading: &mut Reading<'_, '_>,
) -> Option<Found> {
    let is_given = found.whence != Whence::Config || found.credential.is_some();
    match found.credential {
        Some(Credential::Aws(keys)) => Some(role.with(*keys, found.whence)),
        _ if is_given => Some(Found { wins: true, ..found }),
        _ => {
            let message = "a role is taken by access keys, and AWS's own chain (environment, profiles, roles of machines) is not \
                 read: give access_key and secret_key beside role_arn";
            reading.report.fault(section.spot(), message);
            None
        }
    }
}

/// The key's aliases and its `deployments`, as older files call them; `arn` stands before what they mean, unless that is an
/// ARN itself.
pub(crate) fn aliases(
    key: &At<'_>,
    owner: Owner<'_>,
    mut aliases: Vec<(String, String)>,
    reading: &mut Reading<'_, '_>,
) -> Vec<(String, String)> {
    let Some(section) = key.member(SECTION).filter(|_| owner.is_aws) else { return aliases };
    if let Some(deployments) = section.member("deployments") {
        for (requested, model) in keys::aliases(&deployments, reading) {
            if !aliases.iter().any(|(other, _)| *other == requested) {
                aliases.push((requested, model));
            }
        }
        aliases.sort();
    }
    let Some(at) = section.member("arn") else { return aliases };
    let Some(Some(arn)) = require(&at, "", reading) else { return aliases };
    let arn = arn.text.expose().trim_end_matches('/');
    if arn.len() > ARN_BYTES_MAX || !arn.starts_with(ARN) || !arn.bytes().all(|byte| byte.is_ascii_graphic())
    {
        reading
            .report
            .fault(at.spot(), "expected an ARN such as arn:aws:bedrock:REGION:ACCOUNT:inference-profile");
    } else if aliases.is_empty() {
        let message = "has no effect: it stands before what aliases mean, and the key has none";
        reading.report.warn(at.name_spot(), message);
    }
    let models = aliases.iter_mut().map(|(_, model)| model).filter(|model| !model.starts_with(ARN));
    models.for_each(|model| *model = format!("{arn}/{model}"));
    aliases
}

/// `Ok(None)`: it names none. Errors are reported.
fn region(section: &At<'_>, reading: &mut Reading<'_, '_>) -> Result<Option<String>, ()> {
    let Some(at) = section.member("region") else { return Ok(None) };
    let Some(present) = require(&at, REGION_DEFAULT, reading).ok_or(())? else { return Ok(None) };
    let region = present.text.expose();
    let is_region_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if region.len() > REGION_BYTES_MAX || !region.bytes().all(is_region_byte) {
        let source = present.whence.source();
        let message = format!(
            "the region{source} is none: expected lower-case letters, digits and -, such as us-east-1"
        );
        reading.report.fault(at.spot(), message);
        return Err(());
    }
    Ok(Some(region.to_owned()))
}

/// <https://docs.aws.amazon.com/general/latest/gr/bedrock.html>; those of China end in another domain.
fn place(region: &str) -> Option<Box<Place>> {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let BaseUrl { origin, authority, path } =
        url::parse(&format!("https://bedrock-runtime.{region}.{domain}")).ok()?;
    Some(Box::new(Place { origin, authority, base_path: path }))
}

fn keys(section: &At<'_>, owner: Owner<'_>, region: String, reading: &mut Reading<'_, '_>) -> Option<Found> {
    let mut look = |name: &str| {
        let Some(at) = section.member(name) else {
            return Some(Resolved { text: None, whence: Whence::Config, absence: String::new() });
        };
        let resolved = resolve(&at, reading)?;
        check(&at, name, &resolved, reading)?;
        Some(resolved)
    };
    let (access_key, secret_key, token) = (look("access_key")?, look("secret_key")?, look("session_token")?);
    let is_given = |one: &Resolved| one.text.is_some() || one.whence != Whence::Config;
    match (is_given(&access_key), is_given(&secret_key)) {
        (false, false) => return Some(nothing(owner)),
        (true, true) => {}
        _ => {
            let message = "access_key and secret_key go together: give both, or the key a value";
            reading.report.fault(section.spot(), message);
            return None;
        }
    }
    let missing = [&access_key, &secret_key, &token].into_iter().find(|one| !one.absence.is_empty()).cloned();
    if let Some(Resolved { whence, absence, .. }) = missing {
        return Some(Found { credential: None, whence, absence, wins: false });
    }
    let keys = AwsKeys {
        access_key: access_key.text?.expose().to_owned(),
        secret_key: secret_key.text?,
        session_token: token.text,
        region,
    };
    let credential = Some(Credential::Aws(Box::new(keys)));
    Some(Found { credential, whence: secret_key.whence, absence: String::new(), wins: false })
}

/// `None`: faulty, and reported.
fn check(at: &At<'_>, name: &str, resolved: &Resolved, reading: &mut Reading<'_, '_>) -> Option<()> {
    let Some(text) = resolved.text.as_ref().map(|text| text.expose()) else { return Some(()) };
    let is_secret = name != "access_key";
    let is_right = match is_secret {
        true => text.bytes().all(|byte| byte.is_ascii_graphic()),
        false => {
            text.len() <= ACCESS_KEY_BYTES_MAX
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        }
    };
    if !is_right {
        let source = resolved.whence.source();
        let message = format!(
            "the {name}{source} holds a space, a line break or another character that no such key has"
        );
        reading.report.fault(at.spot(), message);
        return None;
    }
    if is_secret && resolved.whence == Whence::Config {
        let variable = if name == "secret_key" { "AWS_SECRET_ACCESS_KEY" } else { "AWS_SESSION_TOKEN" };
        validate::warn_of_secret(at, variable, reading.report);
    }
    Some(())
}

/// Neither a value nor access keys.
fn nothing(owner: Owner<'_>) -> Found {
    let absence = format!(
        "it has neither a value nor access keys, and AWS's own chain (environment, profiles, roles of machines) is not read: \
         give it a value, or {SECTION} with access_key \"env.AWS_ACCESS_KEY_ID\" and secret_key \"env.AWS_SECRET_ACCESS_KEY\""
    );
    let absence = if owner.is_served { absence } else { String::new() };
    Found { credential: None, whence: Whence::Config, absence, wins: false }
}
