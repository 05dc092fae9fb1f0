//! What is known of one request while it is served, and its one observation and one record when it ends, however it
//! ends.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use super::client_address::client_address;
use super::cors::Page;
use super::kept::Kept;
use super::noted::Noted;
use super::own_fields::REQUEST_ID_BYTES_MAX;
use super::tag::Known;
use super::trail::Trail;
use super::upload::Upload;
use super::{Core, Shared};
use crate::api::{self, Endpoint, Route, Surface};
use crate::chat::Usage;
use crate::config::snapshot::{Key, KeyId, Provider, ProviderId};
use crate::dialect::{Dialect, ErrorContext, ErrorShape, Operation};
use crate::error::{Error, Kind};
use crate::http::{Framing, Method};
use crate::net::server::{Gone, Request};
use crate::net::tokens::Token;
use crate::routing::plan::Attempt;
use crate::routing::target;
use crate::routing::view::{Running, View};
use crate::telemetry::cells::{Active, Cells, InferenceObservation, Observation};
use crate::telemetry::record::{CONTENT_BYTES_MAX, Record};

/// One request's facts.
pub(super) struct Exchange<'a> {
    core: &'a Core,
    /// The config that this request began with.
    pub(super) snapshot: Shared,
    /// The health of what is in it, as this core sees it.
    pub(super) health: Rc<View>,
    /// The attempt under way, as it counts there.
    pub(super) running: Option<Running>,
    /// UUIDv7, the row's id.
    pub(super) id: Uuid,
    timestamp_us: i64,
    began: Instant,
    /// No attempt begins after it, and only a stream that has begun to go down lasts longer.
    pub(super) deadline: Instant,
    method: Method,
    minor_version: u8,
    pub(super) surface: Surface,
    /// The fields of its head that decide something.
    pub(super) noted: Noted,
    /// The caller's `x-request-id`, to be echoed; at most [`REQUEST_ID_BYTES_MAX`].
    pub(super) request_id: Option<Box<[u8]>>,
    /// The caller's address, for the row.
    client_ip: IpAddr,
    /// The path's label in metrics.
    path: &'static str,
    /// The route; `None` until it is found, and when it does not take the method.
    pub(super) route: Option<&'static Route>,
    /// The provider that a bare model name means.
    pub(super) home: Option<&'static str>,
    /// The web page that calls, when one does.
    pub(super) page: Option<Box<Page>>,
    /// The methods of the route that was called with another one.
    pub(super) allow: &'static str,
    /// Whether the connection may serve on.
    pub(super) keep_alive: bool,
    /// Whether some of the request's body was not read.
    pub(super) body_pending: bool,
    /// The model, as the caller named it, then as it is asked of the provider.
    pub(super) model: String,
    /// The model as the caller named it.
    pub(super) model_requested: String,
    /// Whether a stream was asked for.
    pub(super) stream: bool,
    /// What it says of a response that was made before.
    pub(super) known: Option<Box<Known>>,
    /// Whether it is to come as one JSON array.
    pub(super) wants_array: bool,
    /// Whether a stream of Anthropic's goes to the caller as frames of InvokeModel.
    pub(super) wants_chunks: bool,
    /// Chosen provider.
    pub(super) provider: Option<ProviderId>,
    /// Chosen key.
    pub(super) key: Option<KeyId>,
    /// What was fetched for that key, once it is sent.
    pub(super) token: Option<Rc<Token>>,
    /// The caller's body, when it is long, until an answer begins to go down.
    pub(super) kept: Option<Kept>,
    /// What is still to come of a form.
    pub(super) upload: Option<Box<Upload>>,
    /// Sends to providers.
    pub(super) attempts: u32,
    /// Of the chosen provider: place in the list of fallbacks, from 1; 0: the primary.
    pub(super) leg: u16,
    /// The attempts, each with what became of it.
    pub(super) trail: Trail,
    /// What was decided and by what, as `routing::plan` writes it for the row; empty without one.
    pub(super) decision: String,
    /// Whether the caller was found to have left while the provider's answer is read to its end all the same.
    pub(super) caller_has_left: bool,
    /// The status that was answered, 0 until one was.
    pub(super) status: u16,
    /// The last error, ours or the provider's.
    pub(super) error: Option<Error>,
    /// Tokens, when reported.
    pub(super) usage: Option<Usage>,
    /// When the first content was there.
    pub(super) first_token: Option<Instant>,
    /// Time spent waiting on sockets.
    waited: Duration,
    /// Of it, for the provider; set once a provider was asked.
    pub(super) upstream: Option<Duration>,
    /// Body bytes sent to the caller.
    pub(super) response_bytes: u64,
    request_bytes: u64,
    input: Option<Vec<u8>>,
    output: Option<Vec<u8>>,
    truncated: bool,
    active: Option<Active>,
    /// When the last wait ended.
    now: Instant,
    /// When the answer's head was ready, while nothing was waited for since.
    head_at: Option<Instant>,
    settled: bool,
}

impl<'a> Exchange<'a> {
    pub(super) fn begin(core: &'a Core, peer: SocketAddr, request: &Request) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ms = u64::try_from(since_epoch.as_millis()).unwrap_or_default();
        let (snapshot, health) = core.moment();
        let noted = Noted::of(request);
        let request_id =
            noted.request_id.value(request).filter(|id| (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()));
        let client_ip = client_address(peer, &snapshot.server.trusted_proxies, request.fields());
        let deadline = request.began + snapshot.server.request_total_timeout;
        Self {
            core,
            snapshot,
            health,
            running: None,
            id: core.new_id(unix_ms),
            timestamp_us: i64::try_from(since_epoch.as_micros()).unwrap_or_default(),
            began: request.began,
            deadline,
            method: request.head.method,
            minor_version: request.head.minor_version,
            surface: api::surface_of(request.path()),
            noted,
            request_id: request_id.map(Box::from),
            client_ip,
            path: "other",
            route: None,
            home: None,
            page: None,
            allow: "",
            keep_alive: request.head.keep_alive && !core.is_draining(),
            body_pending: request.head.framing != Framing::None,
            model: String::new(),
            model_requested: String::new(),
            stream: false,
            known: None,
            wants_array: false,
            wants_chunks: false,
            provider: None,
            key: None,
            token: None,
            kept: None,
            upload: None,
            attempts: 0,
            leg: 0,
            trail: Trail::default(),
            decision: String::new(),
            caller_has_left: false,
            status: 0,
            error: None,
            usage: None,
            first_token: None,
            waited: Duration::ZERO,
            upstream: None,
            response_bytes: 0,
            request_bytes: 0,
            input: None,
            output: None,
            truncated: false,
            active: None,
            now: request.began,
            head_at: None,
            settled: false,
        }
    }

    /// Notes the route of the path, if there is one: its label, and, when it takes the method, itself.
    pub(super) fn found(&mut self, found: Option<&'static Route>, query: Option<&[u8]>) {
        self.path = found.map_or("other", |route| route.path);
        self.route = found.filter(|route| route.takes(self.method));
        let own = self.route.and_then(|route| route.home);
        let home = self.route.and_then(|route| route.home_for(query));
        let has = |name: &&str| self.snapshot.providers.iter().any(|provider| provider.name == *name);
        self.home = if home == own { own } else { home.filter(has).or(own) };
    }

    /// Counts the request as under way until it ends.
    pub(super) fn activate(&mut self) {
        self.active = Some(self.core.cells.begin(self.request_type()));
    }

    /// When the last wait ended: the time, as near as it is needed without asking the clock.
    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// Counts a wait that began at `before` and ends now.
    pub(super) fn waited_since(&mut self, before: Instant) {
        self.now = Instant::now();
        self.head_at = None;
        self.waited += self.now - before;
    }

    /// The answer's head is about to be written: the one time that it says is now.
    pub(super) fn reach_head(&mut self) {
        self.head_at = Some(Instant::now());
    }

    /// That time, so that the wait for the answer's sending begins with it and no clock is asked again.
    pub(super) fn take_head_at(&mut self) -> Option<Instant> {
        self.head_at.take()
    }

    /// Time spent here so far without waiting on sockets, µs.
    pub(super) fn overhead_us(&self) -> u64 {
        let since = self.head_at.unwrap_or(self.now).saturating_duration_since(self.began);
        micros(since.saturating_sub(self.waited))
    }

    /// Its core's counters.
    pub(super) fn cells(&self) -> &Cells {
        &self.core.cells
    }

    /// The header that names this node, whole.
    pub(super) fn node_field(&self) -> &[u8] {
        self.core.node_field()
    }

    /// Whether a model is asked for something, and it is no question about this node.
    pub(super) fn is_conversation(&self) -> bool {
        self.dialect().is_some()
    }

    /// When the request began.
    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// Appends the time of the answer's head.
    pub(super) fn write_date(&self, out: &mut Vec<u8>) {
        self.core.write_date(out, self.unix_s());
    }

    /// The time of [`Exchange::now`], seconds since the epoch.
    pub(super) fn unix_s(&self) -> i64 {
        let since = self.now.saturating_duration_since(self.began).as_micros();
        let at_us = self.timestamp_us.saturating_add(i64::try_from(since).unwrap_or(i64::MAX));
        at_us / 1_000_000
    }

    /// Seconds since the epoch when the request began.
    pub(super) fn created_s(&self) -> u64 {
        u64::try_from(self.timestamp_us / 1_000_000).unwrap_or_default()
    }

    /// Whether the caller speaks HTTP/1.0: no chunks (RFC 9112 §7.1).
    pub(super) fn is_http_1_0(&self) -> bool {
        self.minor_version == 0
    }

    /// Whether only the head of the answer is wanted.
    pub(super) fn is_head(&self) -> bool {
        self.method == Method::Head
    }

    /// What chance goes by: the same for the same request, wherever it is looked at.
    pub(super) fn seed(&self) -> u64 {
        self.id.as_u64_pair().1
    }

    /// Notes whom an attempt goes to, or whose failure is answered.
    pub(super) fn choose(&mut self, attempt: &Attempt<'_>) {
        self.provider = Some(attempt.provider);
        self.key = attempt.key;
        self.leg = attempt.leg;
        if self.model != attempt.model {
            attempt.model.clone_into(&mut self.model);
        }
    }

    /// Forgets what the attempt before reached, and notes this one, `waited` after it.
    pub(super) fn begin_attempt(&mut self, attempt: &Attempt<'_>, waited: Duration) {
        self.running = self.health.begin(attempt.provider, attempt.key, self.now);
        self.trail.begin(attempt, waited);
        self.status = 0;
        self.first_token = None;
        self.upstream = None;
        self.usage = None;
        self.error = None;
    }

    /// Notes that the first content is there, of what was asked for at `sent`.
    pub(super) fn has_first_token(&mut self, sent: Instant) {
        self.first_token = Some(self.now);
        if let Some(running) = &mut self.running {
            running.first_token(self.now.saturating_duration_since(sent), self.now);
        }
    }

    /// The chosen provider and key.
    pub(super) fn chosen(&self) -> (Option<&Provider>, Option<&Key>) {
        let provider = self.provider.and_then(|id| self.snapshot.providers.get(usize::from(id.0)));
        let key = provider.zip(self.key).and_then(|(provider, id)| provider.keys.get(usize::from(id.0)));
        (provider, key)
    }

    /// The id of an answer whose provider gives none.
    pub(super) fn answer_id(&self) -> String {
        format!("msg_{}", self.id.simple())
    }

    /// Whose error bodies the caller expects.
    pub(super) fn error_shape(&self) -> ErrorShape {
        match self.surface {
            Surface::Native => ErrorShape::Native,
            Surface::OpenAi => ErrorShape::OpenAi,
            Surface::Anthropic => ErrorShape::Anthropic,
            Surface::Gemini => ErrorShape::Gemini,
            Surface::Cohere => ErrorShape::Cohere,
            Surface::Bedrock => ErrorShape::Bedrock,
        }
    }

    /// Runs `encode` with the facts that error bodies carry.
    pub(super) fn with_error_context<T>(&self, encode: impl FnOnce(&ErrorContext<'_>) -> T) -> T {
        let (provider, _) = self.chosen();
        encode(&ErrorContext {
            provider: provider.map_or("", |provider| provider.name.as_str()),
            model_requested: &self.model_requested,
            request_type: self.request_type(),
            request_id: &self.id.to_string(),
        })
    }

    /// Notes a fault; the answer's status follows from it unless one was sent already.
    pub(super) fn fail(&mut self, error: &Error) {
        if self.status == 0 || error.kind == Kind::ClientGone {
            self.status = error.status();
        }
        self.error = Some(error.clone());
    }

    /// Keeps the caller's body for the row.
    pub(super) fn log_input(&mut self, body: &[u8]) {
        self.request_bytes = body.len() as u64;
        if self.logs_content() {
            self.truncated |= body.len() > CONTENT_BYTES_MAX;
            self.input = Some(body.get(..CONTENT_BYTES_MAX).unwrap_or(body).to_vec());
        }
    }

    /// Keeps what the caller is sent, or would have been, for the row.
    pub(super) fn log_output(&mut self, data: &[u8]) {
        if !self.caller_has_left {
            self.response_bytes += data.len() as u64;
        }
        if !self.logs_content() {
            return;
        }
        let output = self.output.get_or_insert_default();
        let room = CONTENT_BYTES_MAX - output.len().min(CONTENT_BYTES_MAX);
        self.truncated |= data.len() > room;
        output.extend_from_slice(data.get(..room).unwrap_or(data));
    }

    /// Counts what the caller is sent and no row keeps.
    pub(super) fn count_output(&mut self, bytes: usize) {
        if !self.caller_has_left {
            self.response_bytes += bytes as u64;
        }
    }

    /// Says in the row what the answer was whose bytes it does not keep.
    pub(super) fn note_output(&mut self, media: &str) {
        if self.logs_content() {
            self.output = Some(format!("[{media}, {} bytes]", self.response_bytes).into_bytes());
        }
    }

    /// The same of the request: its form's length.
    pub(super) fn note_input(&mut self, bytes: u64) {
        self.request_bytes = bytes;
        if self.logs_content() {
            self.input = Some(format!("[multipart/form-data, {bytes} bytes]").into_bytes());
        }
    }

    /// Whether a row is written of it.
    pub(super) fn logs(&self) -> bool {
        self.snapshot.client.enable_logging && self.core.log().is_some()
    }

    fn logs_content(&self) -> bool {
        self.logs() && self.snapshot.client.content_logging
    }

    fn dialect(&self) -> Option<Dialect> {
        match self.route?.endpoint {
            Endpoint::Inference(_, dialect) => Some(dialect),
            _ => None,
        }
    }

    /// What is asked of a provider; `None`: nothing, or that is not known yet.
    pub(super) fn operation(&self) -> Option<Operation> {
        match self.route?.endpoint {
            Endpoint::Inference(operation, _) => Some(operation.streamed(self.stream)),
            Endpoint::Models(_) | Endpoint::Model(_) => Some(Operation::ListModels),
            Endpoint::Health | Endpoint::Metrics => None,
        }
    }

    fn request_type(&self) -> &'static str {
        self.operation().map_or("", Operation::name)
    }

    /// Counts and records the request: once, at its end.
    pub(super) fn settle(mut self) {
        self.settle_once();
    }

    fn settle_once(&mut self) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let latency = self.now.saturating_duration_since(self.began);
        self.tally();
        self.observe(latency);
        if let Some(dialect) = self.dialect()
            && self.logs()
        {
            self.record(dialect, latency);
        }
    }

    fn observe(&self, latency: Duration) {
        let (provider, key) = self.chosen();
        let inference = self.dialect().map(|_| InferenceObservation {
            provider: provider.map_or("", |provider| provider.name.as_str()),
            model: &self.model,
            model_is_known: self.error.is_none() && self.status < 300
                || provider.is_some_and(|provider| target::lists(provider, &self.model)),
            request_type: self.request_type(),
            key_id: key.map_or("", |key| key.id.as_str()),
            key_name: key.map_or("", |key| key.name.as_str()),
            fallback_index: self.leg,
            retries: self.retries(),
            is_at_once: self.is_served_at_once(),
            is_success: self.error.is_none(),
            error_kind: self.error.as_ref().map_or("", |error| error.kind.code()),
            upstream_latency_us: self.upstream.map(micros),
            overhead_us: micros(latency.saturating_sub(self.waited)),
            first_token_us: self.first_token_us(),
            usage: self.usage,
        });
        self.core.cells.observe(&Observation {
            path: self.path,
            method: self.method.name(),
            status: self.status,
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            duration_us: micros(latency),
            inference,
        });
    }

    fn first_token_us(&self) -> Option<u64> {
        self.first_token.map(|at| micros(at.saturating_duration_since(self.began)))
    }

    fn record(&mut self, dialect: Dialect, latency: Duration) {
        let (input, output) = (self.input.take(), self.output.take());
        let decision = Some(std::mem::take(&mut self.decision)).filter(|decision| !decision.is_empty());
        let (provider, key) = self.chosen();
        let record = Record {
            id: self.id,
            timestamp_us: self.timestamp_us,
            dialect,
            object_type: self.operation().map_or("", |operation| operation.object_type(dialect)),
            provider: provider.map(|provider| provider.name.clone()).unwrap_or_default(),
            model: self.model.clone(),
            status_code: self.status,
            error_kind: self.error.as_ref().map(|error| error.kind.code()),
            error_message: self.error.as_ref().map(|error| error.message.clone().into_owned()),
            stream: self.stream,
            selected_key_name: key.map(|key| key.name.clone()).unwrap_or_default(),
            selected_key_id: key.map(|key| key.id.clone()).unwrap_or_default(),
            attempts: self.attempts,
            fallback_index: self.leg,
            trail: self.trail.iter().map(|tried| self.attempted(tried)).collect(),
            decision,
            latency_us: micros(latency),
            first_token_us: self.first_token_us(),
            overhead_us: micros(latency.saturating_sub(self.waited)),
            usage: self.usage,
            client_ip: self.client_ip,
            core: self.core.index,
            generation: self.snapshot.generation,
            input,
            output,
            content_truncated: self.truncated,
        };
        if let Some(log) = self.core.log() {
            self.core.cells.record_pushed(log.push(record));
        }
    }
}

impl Drop for Exchange<'_> {
    /// A connection's future may be dropped with a request under way (the core ends): its row is still written.
    fn drop(&mut self) {
        if !self.settled {
            let error = match self.caller_has_left {
                true => Gone.into(),
                false => Error::new(Kind::ShuttingDown, "the node ended while it served this request"),
            };
            self.fail(&error);
            self.settle_once();
        }
    }
}

/// Whole µs.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
