//! A connection to an origin: its name resolved, its addresses judged and raced, a tunnel through its proxy, TLS. All under
//! one deadline. What it says when it fails names no credential.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use rustls::pki_types::ServerName;

use super::stream::Stream;
use super::{CONNECT_TIMEOUT, Net, address, connect, proxy, until};
use crate::config::snapshot::{Origin, Proxy};
use crate::error::{Error, Kind};

/// Opens a connection, at `now`. Errors: unreachable, or an address that must not be connected to.
pub(super) async fn open(net: &Net, origin: &Origin, now: Instant) -> Result<Stream, Error> {
    check_literal(origin)?;
    let deadline = now + CONNECT_TIMEOUT;
    let stream = dial(net, origin, now, deadline).await?;
    let stream = match proxy::tunnelling(origin) {
        None => stream,
        Some(proxy) => {
            let tunnel = proxy::tunnel(stream, proxy, &origin.host, origin.port);
            let opened = until(deadline, tunnel).await;
            let opened = opened.unwrap_or_else(|| Err("the proxy did not open a tunnel in time".to_owned()));
            opened.map_err(|reason| unreachable(origin, &reason))?
        }
    };
    if !origin.tls {
        return Ok(stream);
    }
    let secured = secure(net, origin, stream, deadline).await;
    secured.map_err(|error| unreachable(origin, &explained(&error)))
}

/// The error of an origin that could not be connected to.
pub(super) fn unreachable(origin: &Origin, reason: &str) -> Error {
    let Origin { host, port, .. } = origin;
    let message = match &origin.transport.proxy {
        None => format!("could not connect to {host}:{port}: {reason}"),
        Some(proxy) => {
            format!(
                "could not connect to {host}:{port} through the proxy {}:{}: {reason}",
                proxy.host, proxy.port
            )
        }
    };
    Error::new(Kind::UpstreamUnreachable, message)
}

/// An address in the URL itself goes to no proxy either, when it is one that nobody should connect to.
fn check_literal(origin: &Origin) -> Result<(), Error> {
    let by_proxy = origin.transport.proxy.is_some();
    let literal = origin.address().filter(|_| by_proxy);
    literal.and_then(address::proxy_refusal).map_or(Ok(()), |reason| Err(refused(origin, &reason)))
}

fn refused(origin: &Origin, reason: &str) -> Error {
    Error::new(
        Kind::UpstreamAddressRefused,
        format!("{}:{} is not connected to: {reason}", origin.host, origin.port),
    )
}

/// A TCP connection to the proxy, where there is one, else to the origin.
async fn dial(net: &Net, origin: &Origin, now: Instant, deadline: Instant) -> Result<Stream, Error> {
    let proxy = origin.transport.proxy.as_ref();
    let (host, port) =
        proxy.map_or((origin.host.as_str(), origin.port), |proxy| (proxy.host.as_str(), proxy.port));
    let resolved = until(deadline, net.resolve(host, port, now)).await;
    let resolved = resolved.unwrap_or_else(|| Err("its name was not resolved in time".to_owned()));
    let found = resolved.map_err(|reason| unreachable(origin, &reason))?;
    let allowed = allowed(&found, proxy, origin.transport.allow_private_network);
    let allowed = allowed.map_err(|reason| refused(origin, &reason))?;
    let ordered = connect::in_order(&allowed, net.names.last_good(host, port));
    let connected = connect::connect(net.driver, &ordered, deadline).await;
    let (stream, address) = connected.map_err(|error| unreachable(origin, &error.to_string()))?;
    net.names.connected(host, port, address);
    Ok(Stream::plain(stream))
}

/// The addresses that may be connected to. Errors: none may, and why the first may not.
fn allowed(
    found: &[SocketAddr],
    proxy: Option<&Proxy>,
    allow_private: bool,
) -> Result<Vec<SocketAddr>, String> {
    let refusal = |address: IpAddr| match proxy {
        Some(_) => address::proxy_refusal(address),
        None => address::refusal(address, allow_private),
    };
    let mut first = None;
    let mut allowed = Vec::with_capacity(found.len());
    for address in found {
        match refusal(address.ip()) {
            None => allowed.push(*address),
            Some(reason) => first = first.or(Some(reason)),
        }
    }
    match first {
        Some(reason) if allowed.is_empty() => Err(reason),
        _ => Ok(allowed),
    }
}

/// Shakes hands under the name or address that the origin has.
async fn secure(net: &Net, origin: &Origin, stream: Stream, deadline: Instant) -> io::Result<Stream> {
    let name = ServerName::try_from(origin.host.clone())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not a name that TLS can verify"))?;
    let config = net.tls.config(&origin.transport).map_err(io::Error::other)?;
    stream.connect_tls(config, name, deadline).await
}

/// With what to do about it, where that is known.
fn explained(error: &io::Error) -> String {
    let reason = error.to_string();
    match reason.contains("UnknownIssuer") {
        true => format!("{reason} (network_config.ca_cert_pem may name further roots)"),
        false => reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 443)).collect()
    }

    #[test]
    fn addresses_that_may_not_be_connected_to_are_left_out() {
        let found = addresses(&["169.254.169.254", "10.0.0.1", "192.0.2.1", "::1"]);
        assert_eq!(allowed(&found, None, false), Ok(addresses(&["192.0.2.1", "::1"])));
        assert_eq!(allowed(&found, None, true), Ok(addresses(&["10.0.0.1", "192.0.2.1", "::1"])));
        let refused = allowed(&found[..2], None, false).unwrap_err();
        assert!(refused.starts_with("169.254.169.254"), "{refused}");
        assert!(allowed(&found[1..2], None, false).unwrap_err().contains("allow_private_network"));
        assert_eq!(allowed(&[], None, false), Ok(Vec::new()));
    }
}
