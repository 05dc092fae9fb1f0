//! Proxies on the way to a provider: HTTP CONNECT (RFC 9110 §9.3.6) with Basic credentials (RFC 7617), SOCKS 5 (RFC 1928)
//! with user and password (RFC 1929), as bytes, and one function that exchanges them over a stream. Names are resolved by
//! the proxy. Which proxy, if any, is the config's to say; a plain `http` origin behind an HTTP proxy needs no tunnel, its
//! requests name the whole URL instead.

use std::net::IpAddr;

use super::stream::Stream;
use crate::config::snapshot::{Origin, Proxy, ProxyKind};
use crate::http::encode;

/// Longest answer of a proxy, bytes.
const REPLY_BYTES_MAX: usize = 8 * 1024;

const SOCKS_VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const BY_PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xff;

/// The HTTP proxy that takes this origin's requests with whole URLs (RFC 9112 §3.2.2); `None`: requests go to the origin
/// itself, perhaps through a tunnel.
pub fn forwarding(origin: &Origin) -> Option<&Proxy> {
    origin.transport.proxy.as_ref().filter(|proxy| proxy.kind == ProxyKind::Http && !origin.tls)
}

/// The proxy that a tunnel to this origin leads through.
pub(super) fn tunnelling(origin: &Origin) -> Option<&Proxy> {
    origin.transport.proxy.as_ref().filter(|_| forwarding(origin).is_none())
}

/// The value of `Proxy-Authorization`, where the proxy has credentials.
pub fn authorization(proxy: &Proxy) -> Option<Vec<u8>> {
    let (user, password) = proxy.credentials.as_ref()?;
    let mut value = b"Basic ".to_vec();
    base64([user.as_bytes(), b":", password.expose().as_bytes()].concat().as_slice(), &mut value);
    Some(value)
}

/// What is wrong when the proxy answers 407.
pub(super) const CREDENTIALS_REFUSED: &str =
    "the proxy refuses the credentials (407); check proxy_config.username and proxy_config.password";

/// Has the proxy at the other end of `stream` connect to `host`; then the stream is the host's, and no read of it is in
/// flight. The caller sets a deadline. Errors: why there is no tunnel, never with a credential in it; the stream is closed.
pub(super) async fn tunnel(
    mut stream: Stream,
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> Result<Stream, String> {
    let (mut handshake, mut bytes) = Handshake::begin(proxy, host, port)?;
    loop {
        stream.write_all(bytes).await.0.map_err(lost)?;
        let mut received = Vec::with_capacity(REPLY_BYTES_MAX);
        bytes = loop {
            // A buffer that comes back unread is met as an error below.
            let _ = stream.arm(received);
            let (count, buffer) = stream.filled().await;
            received = buffer;
            if count.map_err(lost)? == 0 {
                return Err("the proxy closed the connection without a whole answer".to_owned());
            }
            match handshake.read(&received)? {
                Next::Read => {}
                Next::Write(bytes) => break bytes,
                Next::Done => return Ok(stream),
            }
        }
    }
}

fn lost(error: std::io::Error) -> String {
    format!("the connection to the proxy was lost: {error}")
}

/// What a handshake wants.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// More of the answer.
    Read,
    /// To send these; a new answer follows.
    Write(Vec<u8>),
    /// Nothing: the tunnel stands.
    Done,
}

/// One side of the conversation that opens a tunnel.
struct Handshake {
    awaits: Awaits,
    /// SOCKS: what follows the methods, and the password if there is one.
    request: Vec<u8>,
    /// SOCKS: user and password as they are sent.
    password: Option<Vec<u8>>,
}

/// Which answer of the proxy is next.
enum Awaits {
    Connect,
    Method,
    Password,
    Reply,
}

impl Handshake {
    /// Gives the first bytes to send. Errors: what SOCKS has no room for.
    fn begin(proxy: &Proxy, host: &str, port: u16) -> Result<(Self, Vec<u8>), String> {
        if proxy.kind == ProxyKind::Http {
            let handshake = Self { awaits: Awaits::Connect, request: Vec::new(), password: None };
            return Ok((handshake, connect_request(proxy, host, port)));
        }
        let request = socks_request(host, port)?;
        let password = proxy.credentials.as_ref();
        let password =
            password.map(|(user, password)| socks_password(user, password.expose())).transpose()?;
        let methods: &[u8] = match password {
            Some(_) => &[SOCKS_VERSION, 2, NO_AUTHENTICATION, BY_PASSWORD],
            None => &[SOCKS_VERSION, 1, NO_AUTHENTICATION],
        };
        Ok((Self { awaits: Awaits::Method, request, password }, methods.to_vec()))
    }

    /// Looks at all bytes that came since the last [`Next::Write`]. Errors: the proxy's refusal, an answer that is none, or
    /// bytes behind it, which nobody asked for.
    fn read(&mut self, received: &[u8]) -> Result<Next, String> {
        match self.awaits {
            Awaits::Connect => connect_answer(received),
            Awaits::Method => match exactly(received)? {
                None => Ok(Next::Read),
                Some([SOCKS_VERSION, NO_AUTHENTICATION]) => Ok(self.write_request()),
                Some([SOCKS_VERSION, BY_PASSWORD]) => {
                    let password =
                        self.password.take().ok_or("the proxy chose a method that was not offered")?;
                    self.awaits = Awaits::Password;
                    Ok(Next::Write(password))
                }
                Some([SOCKS_VERSION, NO_METHOD]) if self.password.is_none() => {
                    Err("the proxy wants credentials; set proxy_config.username and proxy_config.password"
                        .to_owned())
                }
                Some([SOCKS_VERSION, _]) => {
                    Err("the proxy takes neither no credentials nor a password".to_owned())
                }
                Some(_) => Err(NO_SOCKS.to_owned()),
            },
            Awaits::Password => match exactly(received)? {
                None => Ok(Next::Read),
                Some([_, 0]) => Ok(self.write_request()),
                Some([_, _]) => Err("the proxy refuses the credentials; check proxy_config.username and \
                                     proxy_config.password"
                    .to_owned()),
            },
            Awaits::Reply => socks_reply(received),
        }
    }

    fn write_request(&mut self) -> Next {
        self.awaits = Awaits::Reply;
        Next::Write(std::mem::take(&mut self.request))
    }
}

const SURPLUS: &str = "the proxy sent bytes behind its answer";
const NO_SOCKS: &str = "the proxy does not answer in SOCKS 5";

/// `None`: not all have come.
fn exactly<const COUNT: usize>(received: &[u8]) -> Result<Option<[u8; COUNT]>, String> {
    if received.len() > COUNT { Err(SURPLUS.to_owned()) } else { Ok(received.try_into().ok()) }
}

fn connect_request(proxy: &Proxy, host: &str, port: u16) -> Vec<u8> {
    let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let mut bytes = format!("CONNECT {authority} HTTP/1.1\r\n").into_bytes();
    encode::field(&mut bytes, "host", authority.as_bytes());
    if let Some(value) = authorization(proxy) {
        encode::field(&mut bytes, "proxy-authorization", value);
    }
    encode::end(&mut bytes);
    bytes
}

/// Any 2xx is a tunnel; what such an answer says of a body is not looked at (RFC 9110 §9.3.6).
fn connect_answer(received: &[u8]) -> Result<Next, String> {
    let Some(end) = memchr::memmem::find(received, b"\r\n\r\n") else {
        return match received.len() {
            0..REPLY_BYTES_MAX => Ok(Next::Read),
            _ => Err("the proxy's answer is longer than 8 KiB".to_owned()),
        };
    };
    let status = status(received).ok_or("the proxy does not answer in HTTP/1.1")?;
    match status {
        200..=299 if received.len() > end + 4 => Err(SURPLUS.to_owned()),
        200..=299 => Ok(Next::Done),
        407 => Err(CREDENTIALS_REFUSED.to_owned()),
        status => Err(format!("the proxy answered CONNECT with {status}")),
    }
}

fn status(received: &[u8]) -> Option<u16> {
    let line = received.strip_prefix(b"HTTP/1.1 ").or_else(|| received.strip_prefix(b"HTTP/1.0 "))?;
    let (digits, rest) = line.split_at_checked(3)?;
    let is_status = digits.iter().all(u8::is_ascii_digit) && matches!(rest.first(), Some(b' ' | b'\r'));
    std::str::from_utf8(digits).ok().filter(|_| is_status)?.parse().ok()
}

/// To connect to an address as such, and to anything else as a name that the proxy resolves.
fn socks_request(host: &str, port: u16) -> Result<Vec<u8>, String> {
    let mut bytes = vec![SOCKS_VERSION, 1, 0];
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            bytes.push(1);
            bytes.extend_from_slice(&address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            bytes.push(4);
            bytes.extend_from_slice(&address.octets());
        }
        Err(_) => {
            bytes.push(3);
            push_field(&mut bytes, host, "the host's name")?;
        }
    }
    bytes.extend_from_slice(&port.to_be_bytes());
    Ok(bytes)
}

fn socks_password(user: &str, password: &str) -> Result<Vec<u8>, String> {
    let mut bytes = vec![1];
    push_field(&mut bytes, user, "proxy_config.username")?;
    push_field(&mut bytes, password, "proxy_config.password")?;
    Ok(bytes)
}

/// Length and text.
fn push_field(bytes: &mut Vec<u8>, text: &str, what: &str) -> Result<(), String> {
    let length = u8::try_from(text.len());
    let length =
        length.map_err(|_| format!("{what} is longer than the 255 bytes that SOCKS has room for"))?;
    bytes.push(length);
    bytes.extend_from_slice(text.as_bytes());
    Ok(())
}

/// The reply names the address that the proxy connects from, which is of no use here.
fn socks_reply(received: &[u8]) -> Result<Next, String> {
    let length = match received {
        [] | [SOCKS_VERSION] | [SOCKS_VERSION, 0] | [SOCKS_VERSION, 0, _] => return Ok(Next::Read),
        [SOCKS_VERSION, 0, _, 1, ..] => 4 + 4 + 2,
        [SOCKS_VERSION, 0, _, 4, ..] => 4 + 16 + 2,
        [SOCKS_VERSION, 0, _, 3] => return Ok(Next::Read),
        [SOCKS_VERSION, 0, _, 3, length, ..] => 4 + 1 + usize::from(*length) + 2,
        [SOCKS_VERSION, code, ..] if *code != 0 => return Err(socks_refusal(*code)),
        _ => return Err(NO_SOCKS.to_owned()),
    };
    match received.len() {
        count if count < length => Ok(Next::Read),
        count if count == length => Ok(Next::Done),
        _ => Err(SURPLUS.to_owned()),
    }
}

/// RFC 1928 §6.
fn socks_refusal(code: u8) -> String {
    let reason = match code {
        2 => "its rules do not allow it",
        3 => "the network is unreachable",
        4 => "the host is unreachable, or its name unknown",
        5 => "the host refused the connection",
        6 => "the host did not answer in time",
        _ => "a general failure",
    };
    format!("the proxy did not connect: {reason} (SOCKS reply {code})")
}

/// RFC 4648 §4.
fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let value = (0..3).fold(0, |value, at| value << 8 | usize::from(group.get(at).copied().unwrap_or(0)));
        for place in 0..4 {
            let digit = DIGITS.get(value >> (18 - 6 * place) & 63).copied().unwrap_or(b'=');
            out.push(if place <= group.len() { digit } else { b'=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::snapshot::Secret;

    fn proxy(kind: ProxyKind, credentials: bool) -> Proxy {
        let credentials = credentials.then(|| ("Aladdin".to_owned(), Secret::new("open sesame")));
        Proxy { kind, host: "proxy.test".to_owned(), port: 3128, credentials }
    }

    fn begin(kind: ProxyKind, credentials: bool) -> (Handshake, Vec<u8>) {
        Handshake::begin(&proxy(kind, credentials), "api.test", 443).unwrap()
    }

    /// Feeds an answer byte by byte: only its last byte brings it on.
    fn answer(handshake: &mut Handshake, bytes: &[u8]) -> Result<Next, String> {
        for end in 1..bytes.len() {
            assert_eq!(handshake.read(&bytes[..end]), Ok(Next::Read), "{end} of {}", bytes.escape_ascii());
        }
        handshake.read(bytes)
    }

    #[test]
    fn base64_is_the_rfcs() {
        for (text, expected) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            let mut out = Vec::new();
            base64(text.as_bytes(), &mut out);
            assert_eq!(out, expected.as_bytes());
        }
        let value = authorization(&proxy(ProxyKind::Http, true)).unwrap();
        assert_eq!(value, b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "RFC 7617's own example");
        assert_eq!(authorization(&proxy(ProxyKind::Http, false)), None);
    }

    #[test]
    fn connect_asks_for_a_tunnel_and_takes_any_2xx() {
        let (_, bytes) = begin(ProxyKind::Http, false);
        assert_eq!(bytes, b"CONNECT api.test:443 HTTP/1.1\r\nhost: api.test:443\r\n\r\n");
        let (_, bytes) = Handshake::begin(&proxy(ProxyKind::Http, true), "2001:db8::1", 8443).unwrap();
        let bytes = String::from_utf8(bytes).unwrap();
        assert!(
            bytes.starts_with("CONNECT [2001:db8::1]:8443 HTTP/1.1\r\nhost: [2001:db8::1]:8443\r\n"),
            "{bytes}"
        );
        assert!(
            bytes.ends_with("proxy-authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"),
            "{bytes}"
        );
        for answered in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.0 200\r\nVia: x\r\n\r\n",
            "HTTP/1.1 204 Fine\r\nTransfer-Encoding: chunked\r\nContent-Length: 7\r\n\r\n",
        ] {
            let (mut handshake, _) = begin(ProxyKind::Http, false);
            assert_eq!(answer(&mut handshake, answered.as_bytes()), Ok(Next::Done), "{answered}");
        }
    }

    #[test]
    fn what_a_proxy_refuses_is_told() {
        let long = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(REPLY_BYTES_MAX));
        for (answered, reason) in [
            ("HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\n\r\nbody", "proxy_config.username"),
            ("HTTP/1.1 403 No\r\n\r\n", "403"),
            ("HTTP/1.1 100 Continue\r\n\r\n", "100"),
            ("HTTP/1.1 200 OK\r\n\r\n\x16", "behind its answer"),
            ("HTTP/2 200 OK\r\n\r\n", "does not answer in HTTP"),
            ("HTTP/1.1 2000 OK\r\n\r\n", "does not answer in HTTP"),
            ("HTTP/1.1 +20 OK\r\n\r\n", "does not answer in HTTP"),
            ("SSH-2.0\r\n\r\n", "does not answer in HTTP"),
            ("\r\n\r\n", "does not answer in HTTP"),
            (&long, "8 KiB"),
        ] {
            let (mut handshake, _) = begin(ProxyKind::Http, true);
            let error = handshake.read(answered.as_bytes()).unwrap_err();
            assert!(error.contains(reason) && !error.contains("sesame"), "{answered}: {error}");
        }
    }

    const GREETED: &[u8] = &[5, 0];
    const CONNECTED: &[u8] = &[5, 0, 0, 1, 127, 0, 0, 1, 4, 56];

    #[test]
    fn socks_resolves_the_name_at_the_proxy() {
        let (mut handshake, bytes) = begin(ProxyKind::Socks5, false);
        assert_eq!(bytes, [5, 1, 0]);
        let request = b"\x05\x01\x00\x03\x08api.test\x01\xbb".to_vec();
        assert_eq!(answer(&mut handshake, GREETED), Ok(Next::Write(request)));
        assert_eq!(answer(&mut handshake, CONNECTED), Ok(Next::Done));
        assert_eq!(socks_request("192.0.2.1", 80).unwrap(), [5, 1, 0, 1, 192, 0, 2, 1, 0, 80]);
        let mut expected = vec![5, 1, 0, 4, 0x20, 1, 0xd, 0xb8];
        expected.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80]);
        assert_eq!(socks_request("2001:db8::1", 80).unwrap(), expected);
        assert!(socks_request(&"a".repeat(255), 80).is_ok() && socks_request(&"a".repeat(256), 80).is_err());
    }

    #[test]
    fn socks_replies_may_name_any_kind_of_address() {
        let named = [&[5, 0, 0, 3, 3][..], b"abc", &[0, 80]].concat();
        let sixteen = [&[5, 0, 0, 4][..], &[0; 18]].concat();
        for reply in [CONNECTED, &named, &sixteen] {
            let (mut handshake, _) = begin(ProxyKind::Socks5, false);
            assert!(matches!(answer(&mut handshake, GREETED), Ok(Next::Write(_))));
            assert_eq!(answer(&mut handshake, reply), Ok(Next::Done));
            let surplus = [reply, b"x"].concat();
            assert_eq!(socks_reply(&surplus), Err(SURPLUS.to_owned()));
        }
    }

    #[test]
    fn socks_gives_a_password_when_it_is_asked_for() {
        let (mut handshake, bytes) = begin(ProxyKind::Socks5, true);
        assert_eq!(bytes, [5, 2, 0, 2]);
        let password = b"\x01\x07Aladdin\x0bopen sesame".to_vec();
        assert_eq!(answer(&mut handshake, &[5, 2]), Ok(Next::Write(password)));
        assert!(
            matches!(answer(&mut handshake, &[1, 0]), Ok(Next::Write(request)) if request[..4] == [5, 1, 0, 3])
        );
        assert_eq!(answer(&mut handshake, CONNECTED), Ok(Next::Done));
        let (mut unasked, _) = begin(ProxyKind::Socks5, true);
        assert!(
            matches!(answer(&mut unasked, GREETED), Ok(Next::Write(request)) if request[..4] == [5, 1, 0, 3])
        );
        assert!(
            socks_password(&"a".repeat(256), "b").is_err() && socks_password("a", &"b".repeat(256)).is_err()
        );
    }

    #[test]
    fn what_a_socks_proxy_refuses_is_told() {
        let refused = |credentials: bool, answers: &[&[u8]]| {
            let (mut handshake, _) = begin(ProxyKind::Socks5, credentials);
            let (last, before) = answers.split_last().unwrap();
            assert!(before.iter().all(|bytes| matches!(handshake.read(bytes), Ok(Next::Write(_)))));
            let error = handshake.read(last).unwrap_err();
            assert!(!error.contains("sesame"), "{error}");
            error
        };
        for (credentials, answers, reason) in [
            (false, &[&[5, 0xff][..]][..], "proxy_config.username"),
            (true, &[&[5, 0xff]], "neither"),
            (false, &[&[5, 2]], "not offered"),
            (true, &[&[5, 1]], "neither"),
            (true, &[b"HT"], "SOCKS 5"),
            (true, &[&[5, 0, 0]], "behind its answer"),
            (true, &[&[5, 2], &[1, 1]], "proxy_config.password"),
            (true, &[&[5, 2], &[1, 0, 5]], "behind its answer"),
            (true, &[GREETED, &[5, 2, 0, 1]], "rules"),
            (true, &[GREETED, &[5, 4]], "unreachable"),
            (true, &[GREETED, &[5, 9]], "general"),
            (true, &[GREETED, &[4, 0, 0, 1]], "SOCKS 5"),
            (true, &[GREETED, &[5, 0, 0, 2]], "SOCKS 5"),
        ] {
            let error = refused(credentials, answers);
            assert!(error.contains(reason), "{answers:?}: {error}");
        }
    }
}
