//! `bedrock_key_config`'s `role_arn` and what belongs to it: a role that the key's access keys take by STS.

use super::super::Reading;
use super::super::credential::{AwsKeys, Credential};
use super::super::document::At;
use super::super::reference::{Resolved, require, resolve};
use super::super::snapshot::Place;
use super::super::url::{self, BaseUrl};
use super::super::validate;
use super::{Found, Grant, Proof, Role};

/// What is read, and whether it is secret.
pub(crate) const MEMBERS: [(&str, bool); 4] =
    [("role_arn", false), ("external_id", true), ("session_name", false), ("sts_endpoint", false)];

/// The session's name where none is said, as Bifrost has it.
const SESSION_DEFAULT: &str = "bifrost-session";
/// What stands for an endpoint that only the node knows.
const STAND_IN: &str = "https://sts.amazonaws.com";

/// What the section says of a role, but for the keys that take it.
pub(crate) struct Written {
    role_arn: Resolved,
    external_id: Option<Resolved>,
    session_name: String,
    endpoint: BaseUrl,
}

/// `Ok(None)`: it names none. Errors are reported.
pub(crate) fn read(
    section: &At<'_>,
    region: &str,
    reading: &mut Reading<'_, '_>,
) -> Result<Option<Written>, ()> {
    let Some(at) = section.member("role_arn").filter(validate::asks) else {
        for (name, _) in MEMBERS {
            if let Some(unused) = section.member(name).filter(validate::asks) {
                reading.report.warn(unused.name_spot(), "has no effect: the key takes no role (role_arn)");
            }
        }
        return Ok(None);
    };
    let role_arn = resolve(&at, reading).ok_or(())?;
    let is_arn = |text: &str| text.starts_with("arn:") && text.bytes().all(|byte| byte.is_ascii_graphic());
    judge(&at, &role_arn, (20, 2_048), is_arn, "an ARN such as arn:aws:iam::ACCOUNT:role/NAME", reading)?;
    let external_id = match section.member("external_id") {
        None => None,
        Some(at) => {
            let resolved = resolve(&at, reading).ok_or(())?;
            let is_id = |text: &str| text.bytes().all(|byte| is_word(byte) || b":/".contains(&byte));
            judge(&at, &resolved, (2, 1_224), is_id, "letters, digits and +=,.@:/-_", reading)?;
            Some(resolved)
        }
    };
    let session_name = match section.member("session_name") {
        None => SESSION_DEFAULT.to_owned(),
        Some(at) => match require(&at, SESSION_DEFAULT, reading).ok_or(())? {
            None => SESSION_DEFAULT.to_owned(),
            Some(present) => {
                let name =
                    Resolved { text: Some(present.text), whence: present.whence, absence: String::new() };
                let is_name = |text: &str| text.bytes().all(is_word);
                judge(&at, &name, (2, 64), is_name, "letters, digits and +=,.@-_", reading)?;
                name.text.as_ref().map(|text| text.expose().to_owned()).unwrap_or_default()
            }
        },
    };
    let endpoint = endpoint(section, region, reading)?;
    Ok(Some(Written { role_arn, external_id, session_name, endpoint }))
}

/// What AWS takes in all of these (`[\w+=,.@-]`).
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte)
}

fn judge(
    at: &At<'_>,
    resolved: &Resolved,
    (bytes_min, bytes_max): (usize, usize),
    is_right: impl Fn(&str) -> bool,
    expected: &str,
    reading: &mut Reading<'_, '_>,
) -> Result<(), ()> {
    let Some(text) = resolved.text.as_ref().map(|text| text.expose()) else { return Ok(()) };
    if (bytes_min..=bytes_max).contains(&text.len()) && is_right(text) {
        return Ok(());
    }
    let source = resolved.whence.source();
    let message = format!("the value{source} is none: expected {bytes_min} to {bytes_max} bytes, {expected}");
    reading.report.fault(at.spot(), message);
    Err(())
}

/// The region's own (<https://docs.aws.amazon.com/general/latest/gr/sts.html>), unless another is named.
fn endpoint(section: &At<'_>, region: &str, reading: &mut Reading<'_, '_>) -> Result<BaseUrl, ()> {
    let written = match section.member("sts_endpoint") {
        None => None,
        Some(at) => require(&at, STAND_IN, reading).ok_or(())?.map(|present| (at, present)),
    };
    let Some((at, present)) = written else {
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        return url::parse(&format!("https://sts.{region}.{domain}")).map_err(|_| ());
    };
    url::parse(present.text.expose()).map_err(|message| reading.report.fault(at.spot(), message))
}

impl Written {
    /// With the keys that take it.
    pub(crate) fn with(self, keys: AwsKeys, whence: super::Whence) -> Found {
        let Self { role_arn, external_id, session_name, endpoint } = self;
        let missing = [Some(&role_arn), external_id.as_ref()].into_iter().flatten();
        if let Some(missing) = missing.into_iter().find(|one| !one.absence.is_empty()) {
            return Found::lacking(missing);
        }
        let BaseUrl { origin, authority, path } = endpoint;
        let role = Role {
            keys,
            role_arn: role_arn.text.map(|text| text.expose().to_owned()).unwrap_or_default(),
            session_name,
            external_id: external_id.and_then(|id| id.text),
        };
        let place = Place { origin, authority, base_path: path };
        let grant = Grant { place, proof: Proof::Role(Box::new(role)) };
        Found {
            credential: Some(Credential::Fetched(grant.into())),
            whence,
            absence: String::new(),
            wins: true,
        }
    }
}
