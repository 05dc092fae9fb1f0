//! What was said to and by the provider, for callers that may see it (`send_back_raw_request`, `send_back_raw_response`): in
//! `extra_fields` of what `/v1/*` answers, as at Bifrost. The vendors' own paths have no such field. No secret is among it.

use super::exchange::Exchange;
use super::frames::Cut;
use super::noted::Seen;
use super::passage::Passage;
use super::relay::mask_key;
use crate::api::Surface;
use crate::config::snapshot::{Provider, SendBackRaw};
use crate::dialect::event_stream::frames;
use crate::dialect::extra_fields::{self, RawBodies};
use crate::error::Error;
use crate::http::sse::events;
use crate::net::server::Request;

/// Longest body that is sent back, bytes; a longer one is left out.
const BYTES_MAX: usize = 1024 * 1024;

/// What is to be sent back of one attempt.
#[derive(Default)]
pub(super) struct Raw {
    /// What the provider was sent, once.
    request: Option<Vec<u8>>,
    /// Whether what it says goes back.
    has_response: bool,
}

/// What the config and, where that lets it, the caller want to be sent back.
pub(super) fn wanted(
    exchange: &Exchange<'_>,
    request: &Request,
    provider: &Provider,
    is_form: bool,
) -> SendBackRaw {
    if exchange.surface != Surface::Native {
        return SendBackRaw::default();
    }
    let may_say = exchange.snapshot.client.raw_override;
    let said = |seen: Seen, otherwise: bool| match seen.value(request).filter(|_| may_say) {
        Some(value) if value.eq_ignore_ascii_case(b"true") => true,
        Some(value) if value.eq_ignore_ascii_case(b"false") => false,
        _ => otherwise,
    };
    SendBackRaw {
        // A form is no JSON, and not held.
        request: !is_form && said(exchange.noted.raw_request, provider.send_back_raw.request),
        response: said(exchange.noted.raw_response, provider.send_back_raw.response),
    }
}

impl Raw {
    /// For a request whose body, of about this length, `body` makes.
    pub(super) fn new(
        wanted: SendBackRaw,
        exchange: &Exchange<'_>,
        length: usize,
        body: impl FnOnce() -> Vec<u8>,
    ) -> Self {
        let request = (wanted.request && length <= BYTES_MAX).then(body);
        Self { request: request.map(|body| masked(body, exchange)), has_response: wanted.response }
    }

    /// Whether nothing is to be sent back.
    pub(super) fn is_none(&self) -> bool {
        self.request.is_none() && !self.has_response
    }

    /// What is kept of a provider's whole answer until the caller's is made.
    pub(super) fn kept(&self, response: &[u8]) -> Option<Vec<u8>> {
        (self.has_response && response.len() <= BYTES_MAX).then(|| response.to_vec())
    }

    /// Adds what is to be sent back to a caller's whole answer.
    pub(super) fn add(&mut self, exchange: &Exchange<'_>, body: &mut Vec<u8>, response: Option<Vec<u8>>) {
        if self.is_none() {
            return;
        }
        let response = response.map(|response| masked(response, exchange));
        let raw = RawBodies { request: self.request.as_deref(), response: response.as_deref() };
        let is_added = exchange.with_error_context(|context| extra_fields::add(body, context, raw));
        if is_added {
            self.request = None;
        }
    }

    /// Takes whole events as [`Cut::take`] does, and adds to the first that each of the provider's becomes what it was.
    pub(super) fn take(
        &mut self,
        exchange: &Exchange<'_>,
        (cut, passage): (&mut Cut, &mut Passage),
        whole: &[u8],
        text: &mut Vec<u8>,
        (is_sent, count): (bool, &mut u64),
    ) -> Result<(), Error> {
        if cut.is_framed() {
            for frame in frames(whole) {
                let frame = frame?;
                let before = text.len();
                cut.take(passage, frame.raw, text, (is_sent, count))?;
                self.mark(exchange, text, before, frame.payload);
            }
            return Ok(());
        }
        for event in events(whole) {
            let mut one = Vec::with_capacity(event.data.len() + 64);
            if let Some(name) = event.name {
                one.extend_from_slice(&[b"event: ", name, b"\n"].concat());
            }
            for line in event.data.split(|byte| *byte == b'\n') {
                one.extend_from_slice(&[b"data: ", line, b"\n"].concat());
            }
            one.push(b'\n');
            let before = text.len();
            cut.take(passage, &one, text, (is_sent, count))?;
            self.mark(exchange, text, before, &event.data);
        }
        Ok(())
    }

    /// Adds to the first event behind `before` whose data is one line.
    fn mark(&mut self, exchange: &Exchange<'_>, text: &mut Vec<u8>, before: usize, data: &[u8]) {
        const DATA: &[u8] = b"data: {";
        let behind = text.get(before..).unwrap_or_default();
        let starts =
            memchr::memmem::find_iter(behind, DATA).find(|at| *at == 0 || behind.get(at - 1) == Some(&b'\n'));
        let Some(start) = starts.map(|at| before + at + DATA.len() - 1) else { return };
        let Some(end) = memchr::memchr(b'\n', text.get(start..).unwrap_or_default()).map(|at| start + at)
        else {
            return;
        };
        let rest = text.split_off(end);
        let mut object = text.split_off(start);
        self.add(exchange, &mut object, self.kept(data));
        text.extend_from_slice(&object);
        text.extend_from_slice(&rest);
    }
}

fn masked(mut bytes: Vec<u8>, exchange: &Exchange<'_>) -> Vec<u8> {
    mask_key(&mut bytes, exchange);
    bytes
}
