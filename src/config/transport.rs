//! What stands between us and one provider, and what is trusted there: the part of `network_config` and `proxy_config`
//! that makes a connection what it is. Whether an address may be connected to, and how, is decided where it is
//! connected (`net`).

use std::sync::Arc;

use super::document::At;
use super::reference::require;
use super::snapshot::{Origin, Transport};
use super::{Reading, pem, proxy};

/// Most connections to one origin that `max_conns_per_host` may ask for, as Bifrost clamps it.
const CONNECTIONS_MAX: u64 = 10_000;

/// Reads a provider's transport; equal ones are shared over all providers of the file.
pub(crate) fn read(provider: &At<'_>, origin: &Origin, reading: &mut Reading<'_, '_>) -> Arc<Transport> {
    let network = provider.member("network_config");
    let member = |name: &str| network.as_ref().and_then(|network| network.member(name));
    let is_set = |name: &str| member(name).and_then(|at| at.bool()) == Some(true);
    let insecure_skip_verify = is_set("insecure_skip_verify");
    if insecure_skip_verify && let Some(at) = member("insecure_skip_verify") {
        reading.report.warn(at.name_spot(), NOT_VERIFIED);
    }
    let connections_max = member("max_conns_per_host").and_then(|at| connections_max(&at, reading));
    let mut roots = extra_roots(network.as_ref(), reading);
    let proxy = proxy::read(provider, origin, reading);
    let proxy_roots = proxy_roots(provider, reading);
    if proxy.is_some() {
        roots.extend(proxy_roots);
    }
    let transport = Transport {
        extra_roots_pem: roots.join("\n"),
        insecure_skip_verify,
        proxy,
        allow_private_network: is_set("allow_private_network"),
        connections_max,
    };
    shared(transport, reading)
}

const NOT_VERIFIED: &str = "this provider's certificate is NOT VERIFIED: whoever stands on the way can read the keys and \
     the prompts and change the answers; name its certificate authority in ca_cert_pem instead";

fn shared(transport: Transport, reading: &mut Reading<'_, '_>) -> Arc<Transport> {
    if let Some(known) = reading.transports.get(&transport) {
        return Arc::clone(known);
    }
    let transport = Arc::new(transport);
    reading.transports.insert(Arc::clone(&transport));
    transport
}

/// 0 is Bifrost's word for left out, which is no limit here.
fn connections_max(at: &At<'_>, reading: &mut Reading<'_, '_>) -> Option<usize> {
    let written = at.integer().filter(|written| *written > 0)?;
    if written > CONNECTIONS_MAX {
        reading.report.warn(at.spot(), format!("is taken as {CONNECTIONS_MAX}, the most that it may be"));
    }
    usize::try_from(written.min(CONNECTIONS_MAX)).ok()
}

/// The PEM text of a section's `ca_cert_pem`, if it holds a root that can be used.
fn extra_roots(section: Option<&At<'_>>, reading: &mut Reading<'_, '_>) -> Vec<String> {
    let Some(at) = section.and_then(|section| section.member("ca_cert_pem")) else { return Vec::new() };
    let Some(Some(present)) = require(&at, "", reading) else { return Vec::new() };
    match pem::count_roots(present.text.expose()) {
        Ok((_, 0)) => {}
        Ok((_, unusable)) => {
            let message = format!("{unusable} of its certificates can't be read, and are not trusted");
            reading.report.warn(at.spot(), message);
        }
        Err(message) => {
            let source = present.whence.source();
            let subject = if source.is_empty() { "it".to_owned() } else { format!("the value{source}") };
            reading.report.fault(at.spot(), format!("{subject} {message}"));
            return Vec::new();
        }
    }
    vec![present.text.expose().to_owned()]
}

/// The proxy's roots, for a proxy that answers in the providers' names; nobody's where the type says that there is none.
fn proxy_roots(provider: &At<'_>, reading: &mut Reading<'_, '_>) -> Vec<String> {
    let section = provider.member("proxy_config");
    let kind = section.as_ref().and_then(|at| at.member("type")).and_then(|kind| kind.text());
    if matches!(kind, None | Some("" | "none")) {
        return Vec::new();
    }
    extra_roots(section.as_ref(), reading)
}
