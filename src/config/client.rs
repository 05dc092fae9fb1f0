//! `client`: logging, limits, cross-origin rules, with their defaults. A default is the documented one, whether or not the
//! section stands in the file.

use super::document::At;
use super::fault::{Printable, Report};
use super::header_filter;
use super::network::is_header_name;
use super::origins;
use super::snapshot::{Client, Provider, ResponseHeaders};

/// Largest `max_request_body_size_mb`; a body is held in memory.
pub(crate) const BODY_MIB_MAX: u64 = 4_096;
const BODY_MIB_DEFAULT: u64 = 100;
const BYTES_PER_MIB: u64 = 1024 * 1024;

/// The words of `response_headers`.
pub(crate) const RESPONSE_HEADERS: &[&str] = &["full", "minimal", "none"];

/// Reads the section, or its defaults where it is left out.
pub(crate) fn read(root: &At<'_>, report: &mut Report<'_>) -> Client {
    let client = root.member("client");
    let member = |name: &str| client.as_ref().and_then(|client| client.member(name));
    let flag = |name: &str, default: bool| member(name).and_then(|at| at.bool()).unwrap_or(default);
    let body_mib = member("max_request_body_size_mb").and_then(|at| at.integer());
    let body_mib = body_mib.filter(|mib| *mib > 0).unwrap_or(BODY_MIB_DEFAULT); // 0 is Bifrost's word for left out
    Client {
        enable_logging: flag("enable_logging", true),
        content_logging: !flag("disable_content_logging", false),
        body_bytes_max: usize::try_from(body_mib.min(BODY_MIB_MAX) * BYTES_PER_MIB).unwrap_or(usize::MAX),
        drop_excess_requests: flag("drop_excess_requests", false),
        response_headers: match member("response_headers").and_then(|at| at.text()) {
            Some("minimal") => ResponseHeaders::Minimal,
            Some("none") => ResponseHeaders::None,
            _ => ResponseHeaders::Full,
        },
        allowed_origins: member("allowed_origins").map(|at| origins::read(&at, report)).unwrap_or_default(),
        allowed_headers: member("allowed_headers").map(|at| headers(&at, report)).unwrap_or_default(),
        header_filter: member("header_filter_config")
            .map(|at| header_filter::read(&at, report))
            .unwrap_or_default(),
    }
}

/// Says where `drop_excess_requests` waits for a queue that no provider has.
pub(crate) fn warn_of_no_queue(root: &At<'_>, providers: &[Provider], report: &mut Report<'_>) {
    let drops = root.member("client").and_then(|client| client.member("drop_excess_requests"));
    if let Some(at) = drops.filter(|at| at.bool() == Some(true))
        && providers.iter().all(|provider| provider.concurrency.is_none())
    {
        let message =
            "has no effect: no provider has \"concurrency_and_buffer_size\", and without it none has a limit";
        report.warn(at.name_spot(), message);
    }
}

fn headers(at: &At<'_>, report: &mut Report<'_>) -> Vec<String> {
    let mut headers = Vec::new();
    for element in at.elements() {
        let Some(header) = element.text() else { continue };
        if !is_header_name(header) {
            report.fault(element.spot(), format!("\"{}\" is no header name", Printable(header)));
        }
        headers.push(header.to_owned());
    }
    headers
}
