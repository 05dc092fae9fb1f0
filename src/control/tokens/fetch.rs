//! One fetch of a token: the request that a grant makes, by `net` as a core's own would be sent, and what its answer says. It
//! keeps nothing.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use ring::digest::{SHA256, digest};

use super::schedule::{Failed, Given};
use crate::config::snapshot::{Account, AwsKeys, EntraClient, Grant, Proof, Role, Secret};
use crate::error::{Error, Kind};
use crate::gateway::mask::mask;
use crate::gateway::retry_after;
use crate::http::sigv4::{self, Keys, Scope, Unsigned};
use crate::http::sts::{self, Assumed};
use crate::http::{Method, encode, form, jwt, oauth};
use crate::net::client::{self, Outgoing, Progress};
use crate::net::tokens::{Fetched, Lack};
use crate::net::{Net, proxy, until};

/// How long a fetch may take, its connection included.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer, bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long a connection to a token endpoint is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// From how many seconds on a difference of clocks explains a refusal: AWS's and Google's bound.
const SKEW_FATAL_S: u64 = 300;
/// What is asked of Google (<https://developers.google.com/identity/protocols/oauth2/scopes>).
const GOOGLE_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// RFC 7523 §2.1.
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// How a fetch ended.
pub(crate) struct Ended {
    /// What it gave.
    pub(crate) outcome: Result<Given, Failed>,
    /// The endpoint's clock less ours, seconds; `None`: it said no time.
    pub(crate) skew_s: Option<i64>,
}

/// Fetches, within [`FETCH_TIMEOUT`].
pub(crate) async fn fetch(net: &Net, grant: &Grant) -> Ended {
    let began = Instant::now();
    let answered = match request(grant, Timestamp::now().as_second()) {
        Ok(outgoing) => match until(began + FETCH_TIMEOUT, ask(net, grant, outgoing)).await {
            Some(answered) => answered.map_err(|error| error.message.into_owned()),
            None => Err(format!("no answer from {} in 10 s", grant.place.authority)),
        },
        Err(fault) => Err(fault),
    };
    match answered {
        Ok(answer) => judged(grant, answer, Timestamp::now().as_second()),
        Err(reason) => Ended { outcome: Err(unavailable(reason)), skew_s: None },
    }
}

fn unavailable(reason: String) -> Failed {
    Failed { lack: Lack { kind: Kind::TokenUnavailable, reason }, retry_after: None }
}

/// An endpoint's answer.
struct Answer {
    status: u16,
    /// Seconds since 1970, by its clock.
    date_s: Option<i64>,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

async fn ask(net: &Net, grant: &Grant, mut outgoing: Outgoing) -> Result<Answer, Error> {
    let origin = &grant.place.origin;
    let (mut upstream, head) = client::exchange(net, origin, &mut outgoing, Instant::now()).await?;
    let text = |name| std::str::from_utf8(head.field(upstream.head_bytes(), name)?.trim_ascii()).ok();
    let date_s = text("date").and_then(retry_after::date_s);
    let now_s = date_s.unwrap_or_else(|| Timestamp::now().as_second());
    let retry_after = retry_after::asked(|name| head.field(upstream.head_bytes(), name), now_s);
    let mut body = Vec::new();
    while upstream.read_body(&mut body).await? == Progress::More {
        if body.len() > ANSWER_BYTES_MAX {
            return Err(Error::unusable_answer("it is over 64 KiB"));
        }
    }
    if upstream.is_reusable() {
        net.pool.release(upstream, Instant::now(), KEEP_ALIVE);
    }
    Ok(Answer { status: head.status, date_s, retry_after, body })
}

/// Errors: a clause.
fn request(grant: &Grant, unix_s: i64) -> Result<Outgoing, String> {
    let body = match &grant.proof {
        Proof::Role(role) => {
            let external_id = role.external_id.as_ref().map(|id| id.expose());
            let Role { role_arn, session_name, .. } = &**role;
            sts::query(Assumed { role_arn, session_name, external_id })
        }
        Proof::Client(client) => {
            let EntraClient { client_id, client_secret, scope } = &**client;
            form::encode(&[
                ("grant_type", "client_credentials"),
                ("client_id", client_id),
                ("client_secret", client_secret.expose()),
                ("scope", scope),
            ])
        }
        Proof::Account(account) => {
            let Account { email, private_key, key_id, audience } = &**account;
            let key_id = key_id.as_deref();
            let claims = jwt::Claims { issuer: email, audience, scope: GOOGLE_SCOPE, key_id, unix_s };
            let assertion = jwt::Signer::of_pem(private_key.expose())?.sign(claims)?;
            form::encode(&[("grant_type", JWT_BEARER), ("assertion", &assertion)])
        }
    };
    Ok(Outgoing { head: head(grant, body, unix_s), body: Vec::new(), feed: None, sends: 0 })
}

/// Head and body.
fn head(grant: &Grant, body: String, unix_s: i64) -> Vec<u8> {
    let (place, body) = (&grant.place, body.into_bytes());
    let path = if place.base_path.is_empty() { "/" } else { &place.base_path };
    let authority = place.authority.as_bytes();
    let mut out = Vec::with_capacity(1024 + body.len());
    let proxy = proxy::forwarding(&place.origin);
    match proxy {
        None => encode::request_line(&mut out, Method::Post, &[path.as_bytes()]),
        // RFC 9112 section 3.2.2.
        Some(_) => encode::request_line(&mut out, Method::Post, &[b"http://", authority, path.as_bytes()]),
    }
    encode::field(&mut out, "host", authority);
    if let Some(value) = proxy.and_then(proxy::authorization) {
        encode::field(&mut out, "proxy-authorization", value);
    }
    encode::field(&mut out, "user-agent", concat!("corelane/", env!("CARGO_PKG_VERSION")).as_bytes());
    encode::field(&mut out, "accept-encoding", b"identity");
    encode::field(&mut out, "content-type", form::CONTENT_TYPE);
    match &grant.proof {
        Proof::Role(role) => {
            out.extend_from_slice(&signature(&role.keys, (authority, path.as_bytes()), &body, unix_s));
        }
        Proof::Client(_) | Proof::Account(_) => encode::field(&mut out, "accept", b"application/json"),
    }
    encode::content_length(&mut out, body.len() as u64);
    encode::end(&mut out);
    out.extend_from_slice(&body);
    out
}

fn signature(keys: &AwsKeys, (host, target): (&[u8], &[u8]), body: &[u8], unix_s: i64) -> Vec<u8> {
    let AwsKeys { access_key, secret_key, session_token, region } = keys;
    let session_token = session_token.as_ref().map(|token| token.expose());
    let scope = Scope { region, service: sts::SERVICE, unix_s };
    let fields: [(&[u8], &[u8]); 2] = [(b"host", host), (b"content-type", form::CONTENT_TYPE)];
    let unsigned = Unsigned { method: b"POST", target, fields: &fields, body: digest(&SHA256, body) };
    sigv4::lines(Keys { access_key, secret_key: secret_key.expose(), session_token }, scope, &unsigned)
}

/// What an answer that came at `unix_s` says.
fn judged(grant: &Grant, answer: Answer, unix_s: i64) -> Ended {
    let Answer { status, date_s, retry_after, mut body } = answer;
    let skew_s = date_s.map(|date_s| date_s.saturating_sub(unix_s));
    let authority = &grant.place.authority;
    if status == 200 {
        let given = given(grant, &body, date_s.unwrap_or(unix_s));
        zeroize::Zeroize::zeroize(&mut body);
        let outcome = given.map_err(|fault| unavailable(format!("{authority}: {fault}")));
        return Ended { outcome, skew_s };
    }
    // What follows is told and logged.
    grant.secrets().for_each(|secret| mask(&mut body, secret.expose().as_bytes()));
    let said = match &grant.proof {
        Proof::Role(_) => sts::refusal(&body),
        Proof::Client(_) | Proof::Account(_) => oauth::refusal(&body),
    };
    let said = said.map(|said| format!(": {said}")).unwrap_or_default();
    let reason = format!("{authority} answered {status}{said}");
    let skewed = skew_s.filter(|skew| skew.unsigned_abs() >= SKEW_FATAL_S && (400..500).contains(&status));
    let lack = match skewed {
        Some(skew) => {
            let side = if skew > 0 { "behind" } else { "ahead of" };
            let reason = format!(
                "{reason}; this node's clock is {} s {side} that of {authority}: set the clock (NTP)",
                skew.unsigned_abs()
            );
            Lack { kind: Kind::ClockSkew, reason }
        }
        None => Lack { kind: Kind::TokenUnavailable, reason },
    };
    Ended { outcome: Err(Failed { lack, retry_after }), skew_s }
}

/// `now_s` is by the endpoint's clock, as its times are. Errors: a clause.
fn given(grant: &Grant, body: &[u8], now_s: i64) -> Result<Given, String> {
    let Proof::Role(role) = &grant.proof else {
        let oauth::Bearer { token, lifetime } = oauth::token(body)?;
        return Ok(Given { proof: Fetched::Bearer(Secret::new(token.as_str())), lifetime });
    };
    let sts::Temporary { access_key, secret_key, session_token, expires_s } = sts::temporary(body)?;
    let left_s = u64::try_from(expires_s.saturating_sub(now_s)).unwrap_or_default();
    if left_s == 0 {
        return Err("the keys had expired when they came".to_owned());
    }
    let keys = AwsKeys {
        access_key,
        secret_key: Secret::new(secret_key.as_str()),
        session_token: Some(Secret::new(session_token.as_str())),
        region: role.keys.region.clone(),
    };
    let lifetime = Duration::from_secs(left_s).min(oauth::LIFETIME_MAX);
    Ok(Given { proof: Fetched::Aws(Box::new(keys)), lifetime })
}
