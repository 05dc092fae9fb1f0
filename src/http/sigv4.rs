//! AWS's signature of a request, version 4
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>): the lines that sign it, from
//! its bytes as they are sent. Pure; the hashes are ring's. It signs what it is given: paths and headers that AWS would read
//! otherwise (`.`, `..` and empty segments) are its caller's not to send.

use std::fmt::Write as _;

use jiff::Timestamp;
use ring::{digest, hmac};

/// Access keys of AWS. No `Debug`: two of them are secrets.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    /// The pair's id.
    pub access_key: &'a str,
    /// What signs.
    pub secret_key: &'a str,
    /// Of temporary keys; it is sent, and signed.
    pub session_token: Option<&'a str>,
}

/// Where and when a signature holds: AWS takes one within 5 minutes of its own clock (15 in some services).
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Such as `us-east-1`.
    pub region: &'a str,
    /// The name that the service signs by, which is not always its host's: `bedrock`, `sts`.
    pub service: &'a str,
    /// Seconds since 1970.
    pub unix_s: i64,
}

/// A request as it is sent, but for the lines that sign it.
pub struct Unsigned<'a> {
    /// Such as `POST`.
    pub method: &'a [u8],
    /// Origin form (RFC 9112 §3.2.1).
    pub target: &'a [u8],
    /// Those headers that are signed, in any case and order: `host` among them, and every `x-amz-*`.
    pub fields: &'a [(&'a [u8], &'a [u8])],
    /// SHA-256 of the body.
    pub body: digest::Digest,
}

/// The lines to add to the request's head, each with its end: `x-amz-date`, `x-amz-security-token` for temporary keys, and
/// `authorization`.
pub fn lines(keys: Keys<'_>, scope: Scope<'_>, request: &Unsigned<'_>) -> Vec<u8> {
    let time = time(scope.unix_s);
    let date = time.get(..8).unwrap_or_default();
    let fields = fields(request.fields, &time, keys.session_token);
    let names = fields.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let canonical = canonical(request, &fields, &names);
    let Scope { region, service, .. } = scope;
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{time}\n{date}/{region}/{service}/aws4_request\n{}",
        hex(digest::digest(&digest::SHA256, &canonical).as_ref())
    );
    let secret = [b"AWS4", keys.secret_key.as_bytes()].concat();
    let key = [date, region, service, "aws4_request"]
        .iter()
        .fold(hmac::Key::new(hmac::HMAC_SHA256, &secret), |key, part| {
            hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref())
        });
    let signature = hex(hmac::sign(&key, to_sign.as_bytes()).as_ref());
    let token = keys.session_token.map(|token| format!("x-amz-security-token: {token}\r\n"));
    format!(
        "x-amz-date: {time}\r\n{}authorization: AWS4-HMAC-SHA256 Credential={}/{date}/{region}/{service}/aws4_request, \
         SignedHeaders={names}, Signature={signature}\r\n",
        token.unwrap_or_default(),
        keys.access_key,
    )
    .into_bytes()
}

/// `20150830T123600Z`; 1970 for what no calendar has.
fn time(unix_s: i64) -> String {
    let time = Timestamp::from_second(unix_s).unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The signed headers: names in lower case and sorted, values trimmed and their runs of spaces one, those of one name joined.
fn fields(given: &[(&[u8], &[u8])], time: &str, token: Option<&str>) -> Vec<(String, Vec<u8>)> {
    let own = [(b"x-amz-date".as_slice(), Some(time)), (b"x-amz-security-token", token)];
    let own = own.into_iter().filter_map(|(name, value)| Some((name, value?.as_bytes())));
    let mut sorted: Vec<(String, Vec<u8>)> = Vec::with_capacity(given.len() + 2);
    for (name, value) in given.iter().copied().chain(own) {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let words = value.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let value = words.collect::<Vec<_>>().join(&b' ');
        match sorted.iter_mut().find(|(other, _)| *other == name) {
            Some((_, values)) => {
                values.push(b',');
                values.extend(value);
            }
            None => sorted.push((name, value)),
        }
    }
    sorted.sort();
    sorted
}

fn canonical(request: &Unsigned<'_>, fields: &[(String, Vec<u8>)], names: &str) -> Vec<u8> {
    let mut parts = request.target.splitn(2, |byte| *byte == b'?');
    let path = parts.next().unwrap_or_default();
    let mut out = [request.method, b"\n"].concat();
    // Every service but S3 encodes the path once more.
    escape(&mut out, if path.is_empty() { b"/" } else { path }, true);
    out.push(b'\n');
    out.extend(query(parts.next().unwrap_or_default()));
    out.push(b'\n');
    for (name, value) in fields {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        out.extend_from_slice(value);
        out.push(b'\n');
    }
    out.push(b'\n');
    out.extend_from_slice(names.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(hex(request.body.as_ref()).as_bytes());
    out
}

/// Its pairs sorted, each with a `=`, and escaped in one way only.
fn query(query: &[u8]) -> Vec<u8> {
    let pairs = query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = pairs
        .map(|pair| {
            let mut parts = pair.splitn(2, |byte| *byte == b'=');
            let mut part = || {
                let mut escaped = Vec::new();
                escape(&mut escaped, &unescaped(parts.next().unwrap_or_default()), false);
                escaped
            };
            (part(), part())
        })
        .collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| [name.as_slice(), value].join(&b'=')).collect::<Vec<_>>().join(&b'&')
}

fn escape(out: &mut Vec<u8>, bytes: &[u8], is_path: bool) {
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(*byte),
            b'/' if is_path => out.push(b'/'),
            byte => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
}

/// RFC 3986 §2.1; what is no escape stands for itself.
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escaped = digit(at + 1).zip(digit(at + 2)).filter(|_| *byte == b'%');
        let escaped = escaped.and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        at += if escaped.is_some() { 3 } else { 1 };
        out.push(escaped.unwrap_or(*byte));
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}"); // writing to a String can't fail
        hex
    })
}

#[cfg(test)]
mod tests;
