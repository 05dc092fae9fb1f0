//! `azure_key_config`'s `client_id`, `client_secret` and `tenant_id`: a client of Entra ID, whose tokens a key's requests
//! bear.

use super::super::Reading;
use super::super::credential::Credential;
use super::super::document::At;
use super::super::reference::{Resolved, require, resolve};
use super::super::snapshot::{Place, Whence};
use super::super::url::{self, BaseUrl};
use super::super::validate;
use super::{Client, Found, Grant, Proof};

/// What goes together.
pub(crate) const MEMBERS: [&str; 3] = ["client_id", "client_secret", "tenant_id"];

/// Who gives tokens, unless another is named (<https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud>).
const AUTHORITY_DEFAULT: &str = "https://login.microsoftonline.com";
/// What is asked for where nothing is said, as Bifrost has it.
const SCOPE_DEFAULT: &str = "https://cognitiveservices.azure.com/.default";
/// Longest id of a client or a tenant, bytes; a tenant may be a domain.
const ID_BYTES_MAX: usize = 253;
/// Longest secret, bytes.
const SECRET_BYTES_MAX: usize = 1_024;
/// Longest list of scopes, bytes.
const SCOPE_BYTES_MAX: usize = 2_048;

/// `Ok(None)`: it names no client. Errors are reported.
pub(crate) fn read(section: &At<'_>, reading: &mut Reading<'_, '_>) -> Result<Option<Found>, ()> {
    let written = MEMBERS.map(|name| section.member(name).filter(validate::asks));
    let [Some(client_id), Some(client_secret), Some(tenant_id)] = &written else {
        if written.iter().any(Option::is_some) {
            let message = "client_id, client_secret and tenant_id go together: give all three, or none";
            reading.report.fault(section.spot(), message);
            return Err(());
        }
        for name in ["scopes", "authority_host"] {
            if let Some(unused) = section.member(name).filter(validate::asks) {
                reading.report.warn(unused.name_spot(), "has no effect: the key has no client of Entra ID");
            }
        }
        return Ok(None);
    };
    let is_id = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    let id = part(client_id, ID_BYTES_MAX, is_id, "letters, digits, . and -", reading)?;
    let tenant = part(tenant_id, ID_BYTES_MAX, is_id, "letters, digits, . and -", reading)?;
    let secret =
        part(client_secret, SECRET_BYTES_MAX, |byte| byte.is_ascii_graphic(), "visible characters", reading)?;
    if secret.whence == Whence::Config && secret.text.is_some() {
        validate::warn_of_secret(client_secret, "AZURE_CLIENT_SECRET", reading.report);
    }
    let (scope, base) = (scope(section, reading)?, authority(section, reading)?);
    if let Some(missing) = [&id, &secret, &tenant].into_iter().find(|one| one.text.is_none()) {
        return Ok(Some(Found::lacking(missing)));
    }
    let text = |resolved: Resolved| resolved.text.map(|text| text.expose().to_owned()).unwrap_or_default();
    let BaseUrl { origin, authority, path } = base;
    let base_path = format!("{path}/{}/oauth2/v2.0/token", text(tenant));
    let place = Place { origin, authority, base_path };
    let whence = secret.whence.clone();
    let client = Client { client_id: text(id), client_secret: secret.text.ok_or(())?, scope };
    let grant = Grant { place, proof: Proof::Client(Box::new(client)) };
    let credential = Some(Credential::Fetched(grant.into()));
    Ok(Some(Found { credential, whence, absence: String::new(), wins: true }))
}

fn part(
    at: &At<'_>,
    bytes_max: usize,
    is_right: impl Fn(u8) -> bool,
    expected: &str,
    reading: &mut Reading<'_, '_>,
) -> Result<Resolved, ()> {
    let resolved = resolve(at, reading).ok_or(())?;
    let text = resolved.text.as_ref().map_or("", |text| text.expose());
    if text.len() > bytes_max || !text.bytes().all(is_right) {
        let source = resolved.whence.source();
        let message = format!("the value{source} is none: expected at most {bytes_max} bytes, {expected}");
        reading.report.fault(at.spot(), message);
        return Err(());
    }
    Ok(resolved)
}

fn scope(section: &At<'_>, reading: &mut Reading<'_, '_>) -> Result<String, ()> {
    let Some(at) = section.member("scopes") else { return Ok(SCOPE_DEFAULT.to_owned()) };
    let scope = at.texts().join(" ");
    if scope.len() > SCOPE_BYTES_MAX || !scope.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        let message = format!("expected scopes such as {SCOPE_DEFAULT}, at most {SCOPE_BYTES_MAX} bytes");
        reading.report.fault(at.spot(), message);
        return Err(());
    }
    Ok(if scope.is_empty() { SCOPE_DEFAULT.to_owned() } else { scope })
}

fn authority(section: &At<'_>, reading: &mut Reading<'_, '_>) -> Result<BaseUrl, ()> {
    let written = match section.member("authority_host") {
        None => None,
        Some(at) => require(&at, AUTHORITY_DEFAULT, reading).ok_or(())?.map(|present| (at, present)),
    };
    let Some((at, present)) = written else { return url::parse(AUTHORITY_DEFAULT).map_err(|_| ()) };
    url::parse(present.text.expose()).map_err(|message| reading.report.fault(at.spot(), message))
}
