//! Requests that are signed over all of their bytes, once these are there: AWS's access keys. The signature itself is
//! `http::sigv4`'s, the keys are the config's.

use std::time::Duration;

use memchr::memmem;
use ring::digest::{Context, Digest, SHA256};

use super::compute::INLINE_BYTES_MAX;
use super::failure::Failure;
use crate::config::snapshot::{AwsKeys, Credential, Key, Provider};
use crate::error::{Error, Kind};
use crate::http::sigv4::{self, Keys, Scope, Unsigned};
use crate::net::client::Outgoing;
use crate::net::portion::Portion;

/// The name that Bedrock signs by, whatever its host.
const SERVICE: &str = "bedrock";
/// What AWS says of a time that is not its own: the first two of signatures
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/signature-v4-troubleshooting.html>), the last of some services.
const OUT_OF_TIME: [&str; 3] =
    ["Signature expired", "Signature not yet current", "the current time is too large"];
/// How long others are served between two pieces of a long body, which is hashed here: it is shared with writes under way,
/// and no other thread may have it.
const YIELD: Duration = Duration::from_millis(1);

/// The request as it may be sent at `unix_s`, seconds since 1970.
pub(super) async fn signed(mut outgoing: Outgoing, keys: &AwsKeys, unix_s: i64) -> Outgoing {
    let is_beside = outgoing.head.is_empty();
    // A long body has its head in the portion before it.
    let mut first = match outgoing.body.first() {
        Some(portion) if is_beside => portion.bytes().to_vec(),
        _ => std::mem::take(&mut outgoing.head),
    };
    let head_end = memmem::find(&first, b"\r\n\r\n").map_or(first.len(), |at| at + 2);
    let rest = outgoing.body.iter().skip(usize::from(is_beside));
    let body = hash(first.get(head_end + 2..).unwrap_or_default(), rest).await;
    let lines = lines(first.get(..head_end).unwrap_or_default(), keys, unix_s, body);
    first.splice(head_end..head_end, lines);
    put_back(outgoing, first, is_beside)
}

/// The request with a bearer's token.
pub(super) fn borne(mut outgoing: Outgoing, token: &str) -> Outgoing {
    let is_beside = outgoing.head.is_empty();
    let mut first = match outgoing.body.first() {
        Some(portion) if is_beside => portion.bytes().to_vec(),
        _ => std::mem::take(&mut outgoing.head),
    };
    let head_end = memmem::find(&first, b"\r\n\r\n").map_or(first.len(), |at| at + 2);
    first.splice(head_end..head_end, format!("authorization: Bearer {token}\r\n").into_bytes());
    put_back(outgoing, first, is_beside)
}

/// With this for its beginning; `is_beside`: that is the first piece of its body.
fn put_back(mut outgoing: Outgoing, first: Vec<u8>, is_beside: bool) -> Outgoing {
    match outgoing.body.first_mut() {
        Some(portion) if is_beside => *portion = Portion::from(first),
        _ => outgoing.head = first,
    }
    outgoing
}

/// A signature that the provider finds past, or still to come, is the fault of a clock, and of no key.
pub(super) fn judged(failure: Failure, provider: &Provider, key: Option<&Key>) -> Failure {
    let Some(key) = key.filter(|key| key.credential.as_ref().is_some_and(Credential::signs)) else {
        return failure;
    };
    let said = failure.error.upstream.as_ref().map_or("", |upstream| upstream.message.as_str());
    if !OUT_OF_TIME.iter().any(|words| said.contains(words)) {
        return failure;
    }
    let message = format!(
        "provider {} finds the signature by key {} out of its time, so that this node's clock must be wrong: {said}; set the \
         clock (NTP)",
        provider.name, key.name
    );
    Error::new(Kind::ClockSkew, message).into()
}

/// SHA-256 of all pieces, with a rest behind each [`INLINE_BYTES_MAX`].
async fn hash<'a>(first: &'a [u8], rest: impl Iterator<Item = &'a Portion>) -> Digest {
    let mut context = Context::new(&SHA256);
    let mut since_rest = 0;
    for piece in
        std::iter::once(first).chain(rest.map(Portion::bytes)).flat_map(|all| all.chunks(INLINE_BYTES_MAX))
    {
        if since_rest + piece.len() > INLINE_BYTES_MAX {
            monoio::time::sleep(YIELD).await;
            since_rest = 0;
        }
        context.update(piece);
        since_rest += piece.len();
    }
    context.finish()
}

/// What is to stand at the end of this head, whose lines are our own.
fn lines(head: &[u8], keys: &AwsKeys, unix_s: i64, body: Digest) -> Vec<u8> {
    let mut lines_of = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let mut words = lines_of.next().unwrap_or_default().split(|byte| *byte == b' ');
    let method = words.next().unwrap_or_default();
    let target = origin_form(words.next().unwrap_or_default());
    let fields = lines_of.filter_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?);
        is_signed(name).then_some((name, value))
    });
    let fields: Vec<_> = fields.collect();
    let AwsKeys { access_key, secret_key, session_token, region } = keys;
    let session_token = session_token.as_ref().map(|token| token.expose());
    let keys = Keys { access_key, secret_key: secret_key.expose(), session_token };
    sigv4::lines(
        keys,
        Scope { region, service: SERVICE, unix_s },
        &Unsigned { method, target, fields: &fields, body },
    )
}

/// AWS wants these; what else a proxy may change is not signed.
fn is_signed(name: &[u8]) -> bool {
    let begins =
        |prefix: &[u8]| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    name.eq_ignore_ascii_case(b"host") || name.eq_ignore_ascii_case(b"content-type") || begins(b"x-amz-")
}

/// Without the scheme and the host that a forwarding proxy is told (RFC 9112 §3.2.2).
fn origin_form(target: &[u8]) -> &[u8] {
    let Some(rest) = target.strip_prefix(b"http://") else { return target };
    memchr::memchr(b'/', rest).and_then(|at| rest.get(at..)).unwrap_or(b"/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::snapshot::Secret;
    use ring::digest::digest;

    const HEAD: &str = "POST /model/a%3A0/converse HTTP/1.1\r\nhost: h\r\nuser-agent: c\r\nX-Amz-Odd: 1\r\n\
        content-type: application/json\r\ncontent-length: 2\r\n\r\n";

    fn keys() -> AwsKeys {
        AwsKeys {
            access_key: "AKIDEXAMPLE".to_owned(),
            secret_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: Some(Secret::new("a-token")),
            region: "eu-west-1".to_owned(),
        }
    }

    fn sign(outgoing: Outgoing) -> Vec<u8> {
        let mut runtime =
            monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().enable_timer().build().unwrap();
        let Outgoing { head, body, .. } = runtime.block_on(signed(outgoing, &keys(), 1_440_938_160));
        let pieces = std::iter::once(head.as_slice()).chain(body.iter().map(Portion::bytes));
        pieces.collect::<Vec<_>>().concat()
    }

    #[test]
    fn a_signature_stands_at_the_heads_end_wherever_the_body_is() {
        let body: Vec<u8> = (0..3 * INLINE_BYTES_MAX + 5).map(|at| at as u8).collect();
        let all = [HEAD.as_bytes(), &body].concat();
        let near = Outgoing { head: all.clone(), body: Vec::new(), feed: None, sends: 0 };
        let beside = Outgoing {
            head: HEAD.as_bytes().to_vec(),
            body: vec![Portion::from(body.clone())],
            feed: None,
            sends: 0,
        };
        let split = HEAD.len() + 7;
        let behind = Outgoing {
            head: Vec::new(),
            body: vec![Portion::from(all[..split].to_vec()), Portion::from(all[split..].to_vec())],
            feed: None,
            sends: 0,
        };
        let signed = sign(near);
        let head_end = memmem::find(&signed, b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8(signed[..head_end].to_vec()).unwrap();
        assert!(signed[head_end..] == body && head.starts_with(HEAD.trim_end()), "{head}");
        assert!(
            head.contains("\r\nx-amz-date: 20150830T123600Z\r\nx-amz-security-token: a-token\r\n"),
            "{head}"
        );
        let names = "SignedHeaders=content-type;host;x-amz-date;x-amz-odd;x-amz-security-token, ";
        assert!(head.contains("Credential=AKIDEXAMPLE/20150830/eu-west-1/bedrock/aws4_request, "), "{head}");
        assert!(head.contains(names), "{head}");
        assert!(sign(beside) == signed && sign(behind) == signed);
        let other =
            Outgoing { head: [HEAD, "other"].concat().into_bytes(), body: Vec::new(), feed: None, sends: 0 };
        assert!(!sign(other).starts_with(head.as_bytes()));
    }

    #[test]
    fn what_is_signed_is_what_a_forwarding_proxy_sends_on() {
        let head = |target: &str| HEAD.replace("/model/a%3A0/converse", target);
        let sign = |target: &str| lines(head(target).as_bytes(), &keys(), 0, digest(&SHA256, b""));
        assert_eq!(sign("http://h:80/x/y"), sign("/x/y"));
        assert_eq!(sign("http://h"), sign("/"));
        assert_ne!(sign("/x/y"), sign("/x"));
    }
}
