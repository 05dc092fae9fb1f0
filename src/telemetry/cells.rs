//! One core's counters: `Cell`s that only this core touches, so that counting needs no atomic and no lock. Another
//! thread asks the core for a [`Sample`]. A label never takes a caller's own words, and sets are bounded. It does not
//! word the metrics (`metrics`).

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;

use super::histogram::{FIRST_TOKEN_US, Histogram, LATENCY_US, OVERHEAD_US, RETRIES, SIZE_BYTES, add};
use super::labels::{LabelHash, Table};
pub use super::observation::{InferenceObservation, Observation};
use super::ring::PushOutcome;
use super::sample::{Arriving, HttpLabels, HttpSample, InferenceLabels, InferenceSample, Sample};
use super::ways::{Rotation, Ways};
use crate::error::Kind;

/// Label sets per core and table. An inference set takes about 1.2 KiB.
pub const LABEL_SETS_MAX: usize = 1000;

/// Of [`LABEL_SETS_MAX`], kept for sets whose model is `other`, so that providers stay apart when models overflow.
const OTHER_SETS_MAX: usize = 100;

/// Pairs of status and kind of error under one label set; the rest is counted under status 0, kind `other`.
const ERRORS_MAX: usize = 32;

/// Request types counted as active; there are about ten.
const REQUEST_TYPES_MAX: usize = 32;

/// The label of what is not named.
pub const OTHER: &str = "other";

/// One core's counters.
#[derive(Debug)]
pub struct Cells {
    core: u16,
    http: RefCell<Table<HttpLabels, HttpCells>>,
    inference: RefCell<Table<InferenceLabels, InferenceCells>>,
    /// Provider and model pairs that some label set named.
    known_models: RefCell<HashSet<(Box<str>, Box<str>)>>,
    ways: Ways,
    cancelled: Cell<u64>,
    active: RefCell<Vec<(&'static str, Cell<u64>)>>,
    connections_open: Cell<u64>,
    connections_accepted: Cell<u64>,
    arriving: [Cell<u64>; Arriving::COUNT],
    panics: Cell<u64>,
    generation: Cell<u64>,
    old_snapshots: Cell<u64>,
    body_bytes_held: Cell<u64>,
    records_queued: Cell<u64>,
    records_refused: Cell<u64>,
    contents_dropped: Cell<u64>,
}

/// A request under way; when it goes, however it ends, the gauge goes down.
#[derive(Debug)]
pub struct Active {
    cells: Rc<Cells>,
    request_type: &'static str,
}

impl Drop for Active {
    fn drop(&mut self) {
        self.cells.with_active(self.request_type, |count| count.set(count.get().saturating_sub(1)));
    }
}

impl Cells {
    /// The counters of the core with this index, all zero.
    pub fn new(core: u16) -> Self {
        Self {
            core,
            http: RefCell::new(Table::new()),
            inference: RefCell::new(Table::new()),
            known_models: RefCell::default(),
            ways: Ways::new(),
            cancelled: Cell::default(),
            active: RefCell::default(),
            connections_open: Cell::default(),
            connections_accepted: Cell::default(),
            arriving: Default::default(),
            panics: Cell::default(),
            generation: Cell::default(),
            old_snapshots: Cell::default(),
            body_bytes_held: Cell::default(),
            records_queued: Cell::default(),
            records_refused: Cell::default(),
            contents_dropped: Cell::default(),
        }
    }

    /// Counts a request of this type as under way until what is returned is dropped.
    pub fn begin(self: &Rc<Self>, request_type: &'static str) -> Active {
        self.with_active(request_type, |count| add(count, 1));
        Active { cells: Rc::clone(self), request_type }
    }

    /// Counts one ended request; once per request.
    pub fn observe(&self, observation: &Observation<'_>) {
        self.observe_http(observation);
        if let Some(inference) = &observation.inference {
            add(&self.cancelled, u64::from(inference.error_kind == Kind::ClientGone.code()));
            self.observe_inference(inference, observation.status);
        }
    }

    /// Counts an attempt, unless its request was served by it at once ([`InferenceObservation::is_at_once`]).
    pub fn attempted(&self, provider: &str, outcome: &'static str) {
        self.ways.attempted(provider, outcome);
    }

    /// A request was tried again on the provider, be it with another key.
    pub fn retried(&self, provider: &str) {
        self.ways.retried(provider);
    }

    /// A request went to the provider as a fallback.
    pub fn fell_back(&self, provider: &str) {
        self.ways.fell_back(provider);
    }

    /// A request moved on to another key. A model that no label names yet counts as `other`.
    pub fn rotated(&self, mut rotation: Rotation<'_>, model_is_known: bool) {
        if !model_is_known && !self.knows(rotation.provider, rotation.model) {
            rotation.model = OTHER;
        }
        self.ways.rotated(rotation);
    }

    /// A request waited so long for a place with the provider, µs.
    pub fn queue_waited(&self, provider: &str, us: u64) {
        self.ways.queue_waited(provider, us);
    }

    /// A downstream connection was accepted.
    pub fn connection_opened(&self) {
        add(&self.connections_open, 1);
        add(&self.connections_accepted, 1);
    }

    /// A downstream connection is gone.
    pub fn connection_closed(&self) {
        self.connections_open.set(self.connections_open.get().saturating_sub(1));
    }

    /// A connection came, and this became of it.
    pub fn arrived(&self, what: Arriving) {
        self.arriving.get(what as usize).into_iter().for_each(|count| add(count, 1));
    }

    /// A panic was caught.
    pub fn panicked(&self) {
        add(&self.panics, 1);
    }

    /// New requests begin with this config, and so many older ones are still held.
    pub fn config(&self, generation: u64, old_snapshots: u64) {
        self.generation.set(generation);
        self.old_snapshots.set(old_snapshots);
    }

    /// Bodies of this many bytes are held now.
    pub fn body_bytes_held(&self, bytes: u64) {
        self.body_bytes_held.set(bytes);
    }

    /// A log record went to the ring, or did not.
    pub fn record_pushed(&self, outcome: PushOutcome) {
        match outcome {
            PushOutcome::Queued => add(&self.records_queued, 1),
            PushOutcome::QueuedWithoutContent => {
                add(&self.records_queued, 1);
                add(&self.contents_dropped, 1);
            }
            PushOutcome::Refused => add(&self.records_refused, 1),
        }
    }

    /// Everything as it stands now.
    pub fn sample(&self) -> Sample {
        let http = self.http.borrow();
        let inference = self.inference.borrow();
        Sample {
            core: self.core,
            http: http.entries().iter().map(|(labels, cells)| (*labels, cells.sample())).collect(),
            inference: inference
                .entries()
                .iter()
                .map(|(labels, cells)| (labels.clone(), cells.sample()))
                .collect(),
            ways: self.ways.sample(),
            cancelled: self.cancelled.get(),
            active: self.active.borrow().iter().map(|(name, count)| (*name, count.get())).collect(),
            connections_open: self.connections_open.get(),
            connections_accepted: self.connections_accepted.get(),
            arriving: self.arriving.each_ref().map(Cell::get),
            panics: self.panics.get(),
            generation: self.generation.get(),
            old_snapshots: self.old_snapshots.get(),
            body_bytes_held: self.body_bytes_held.get(),
            records_queued: self.records_queued.get(),
            records_refused: self.records_refused.get(),
            contents_dropped: self.contents_dropped.get(),
            keys: Vec::new(),
            origins: Vec::new(),
            queues: Vec::new(),
        }
    }

    fn with_active(&self, request_type: &'static str, change: impl Fn(&Cell<u64>)) {
        let mut active = self.active.borrow_mut();
        if let Some((_, count)) = active.iter().find(|(name, _)| *name == request_type) {
            change(count);
        } else if active.len() < REQUEST_TYPES_MAX {
            let count = Cell::new(0);
            change(&count);
            active.push((request_type, count));
        }
    }

    fn observe_http(&self, observation: &Observation<'_>) {
        let labels =
            HttpLabels { path: observation.path, method: observation.method, status: observation.status };
        if !self.count_http(labels, observation) {
            let is_full = self.http.borrow().len() >= LABEL_SETS_MAX - 1;
            let other = HttpLabels { path: OTHER, method: OTHER, status: 0 };
            let labels = if is_full { other } else { labels };
            if is_full && self.count_http(other, observation) {
                return;
            }
            self.http.borrow_mut().insert(labels.hash(), labels, HttpCells::new());
            self.count_http(labels, observation);
        }
    }

    fn count_http(&self, labels: HttpLabels, observation: &Observation<'_>) -> bool {
        let table = self.http.borrow();
        let found = table.find(labels.hash(), |key| *key == labels);
        found.map(|cells| cells.observe(observation)).is_some()
    }

    fn observe_inference(&self, observation: &InferenceObservation<'_>, status: u16) {
        let mut named = *observation;
        if !observation.model_is_known && !self.knows(observation.provider, observation.model) {
            named.model = OTHER;
        }
        if self.count_inference(&named, status) {
            return;
        }
        named = self.admitted(named);
        if !self.count_inference(&named, status) {
            self.add_inference(&named);
            self.count_inference(&named, status);
        }
    }

    /// The labels under which a set that is not there yet may be added.
    fn admitted<'a>(&self, mut named: InferenceObservation<'a>) -> InferenceObservation<'a> {
        let len = self.inference.borrow().len();
        if len >= LABEL_SETS_MAX - OTHER_SETS_MAX {
            named.model = OTHER;
        }
        if len >= LABEL_SETS_MAX - 1 {
            (named.provider, named.request_type) = (OTHER, OTHER);
            (named.key_id, named.key_name, named.fallback_index) = ("", "", 0);
        }
        named
    }

    fn add_inference(&self, named: &InferenceObservation<'_>) {
        let labels = InferenceLabels {
            provider: named.provider.into(),
            model: named.model.into(),
            request_type: named.request_type,
            key_id: named.key_id.into(),
            key_name: named.key_name.into(),
            fallback_index: named.fallback_index,
        };
        if named.model != OTHER {
            self.known_models.borrow_mut().insert((labels.provider.clone(), labels.model.clone()));
        }
        self.inference.borrow_mut().insert(named.hash(), labels, InferenceCells::new());
    }

    /// Whether an earlier request made this model a label. Allocates; only failed requests for models that the config
    /// doesn't name come here.
    fn knows(&self, provider: &str, model: &str) -> bool {
        self.known_models.borrow().contains(&(provider.into(), model.into()))
    }

    fn count_inference(&self, named: &InferenceObservation<'_>, status: u16) -> bool {
        let table = self.inference.borrow();
        let found = table.find(named.hash(), |labels| labels.are_of(named));
        found.map(|cells| cells.observe(named, status)).is_some()
    }
}

impl HttpLabels {
    fn hash(&self) -> LabelHash {
        LabelHash::default().text(self.path).text(self.method).number(u64::from(self.status))
    }
}

impl InferenceLabels {
    fn are_of(&self, observation: &InferenceObservation<'_>) -> bool {
        *self.model == *observation.model
            && *self.provider == *observation.provider
            && self.request_type == observation.request_type
            && *self.key_id == *observation.key_id
            && *self.key_name == *observation.key_name
            && self.fallback_index == observation.fallback_index
    }
}

impl InferenceObservation<'_> {
    fn hash(&self) -> LabelHash {
        let hash = LabelHash::default().text(self.provider).text(self.model).text(self.request_type);
        hash.text(self.key_id).text(self.key_name).number(u64::from(self.fallback_index))
    }
}

#[derive(Debug)]
struct HttpCells {
    request_bytes: Histogram,
    response_bytes: Histogram,
    duration_us: Histogram,
}

impl HttpCells {
    fn new() -> Self {
        Self {
            request_bytes: Histogram::new(SIZE_BYTES),
            response_bytes: Histogram::new(SIZE_BYTES),
            duration_us: Histogram::new(LATENCY_US),
        }
    }

    fn observe(&self, observation: &Observation<'_>) {
        self.request_bytes.observe(observation.request_bytes);
        self.response_bytes.observe(observation.response_bytes);
        self.duration_us.observe(observation.duration_us);
    }

    fn sample(&self) -> HttpSample {
        HttpSample {
            request_bytes: self.request_bytes.sample(),
            response_bytes: self.response_bytes.sample(),
            duration_us: self.duration_us.sample(),
        }
    }
}

#[derive(Debug)]
struct InferenceCells {
    successes: Cell<u64>,
    served_at_once: Cell<u64>,
    retries: Histogram,
    errors: RefCell<Vec<(u16, &'static str, u64)>>,
    latency_success_us: Histogram,
    latency_error_us: Histogram,
    overhead_us: Histogram,
    first_token_us: Histogram,
    prompt_tokens: Cell<u64>,
    completion_tokens: Cell<u64>,
    cached_read_tokens: Cell<u64>,
}

impl InferenceCells {
    fn new() -> Self {
        Self {
            successes: Cell::default(),
            served_at_once: Cell::default(),
            retries: Histogram::new(RETRIES),
            errors: RefCell::default(),
            latency_success_us: Histogram::new(LATENCY_US),
            latency_error_us: Histogram::new(LATENCY_US),
            overhead_us: Histogram::new(OVERHEAD_US),
            first_token_us: Histogram::new(FIRST_TOKEN_US),
            prompt_tokens: Cell::default(),
            completion_tokens: Cell::default(),
            cached_read_tokens: Cell::default(),
        }
    }

    fn observe(&self, observation: &InferenceObservation<'_>, status: u16) {
        let latency_us = if observation.is_success {
            add(&self.successes, 1);
            add(&self.served_at_once, u64::from(observation.is_at_once));
            &self.latency_success_us
        } else {
            self.count_error(status, observation.error_kind);
            &self.latency_error_us
        };
        if let Some(us) = observation.upstream_latency_us {
            latency_us.observe(us);
        }
        self.overhead_us.observe(observation.overhead_us);
        self.retries.observe(observation.retries);
        if let Some(us) = observation.first_token_us {
            self.first_token_us.observe(us);
        }
        if let Some(usage) = &observation.usage {
            add(&self.prompt_tokens, usage.prompt_tokens);
            add(&self.completion_tokens, usage.completion_tokens);
            add(&self.cached_read_tokens, usage.cached_read_tokens);
        }
    }

    fn count_error(&self, status: u16, kind: &'static str) {
        let mut errors = self.errors.borrow_mut();
        let (status, kind) =
            if errors.len() < ERRORS_MAX { (status, kind) } else { known(&errors, status, kind) };
        match errors.iter_mut().find(|error| (error.0, error.1) == (status, kind)) {
            Some((_, _, count)) => *count = count.wrapping_add(1),
            None => errors.push((status, kind, 1)),
        }
    }

    fn sample(&self) -> InferenceSample {
        InferenceSample {
            successes: self.successes.get(),
            served_at_once: self.served_at_once.get(),
            retries: self.retries.sample(),
            errors: self.errors.borrow().clone(),
            latency_success_us: self.latency_success_us.sample(),
            latency_error_us: self.latency_error_us.sample(),
            overhead_us: self.overhead_us.sample(),
            first_token_us: self.first_token_us.sample(),
            prompt_tokens: self.prompt_tokens.get(),
            completion_tokens: self.completion_tokens.get(),
            cached_read_tokens: self.cached_read_tokens.get(),
        }
    }
}

/// The pair itself when it is counted already, else that of the rest.
fn known(errors: &[(u16, &'static str, u64)], status: u16, kind: &'static str) -> (u16, &'static str) {
    if errors.iter().any(|error| (error.0, error.1) == (status, kind)) { (status, kind) } else { (0, OTHER) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::chat::Usage;

    pub(in crate::telemetry) fn observation(model: &str) -> Observation<'_> {
        Observation {
            path: "/v1/chat/completions",
            method: "POST",
            status: 200,
            request_bytes: 1000,
            response_bytes: 2000,
            duration_us: 30_000,
            inference: Some(InferenceObservation {
                provider: "openai",
                model,
                model_is_known: true,
                request_type: "chat_completion",
                key_id: "1",
                key_name: "first",
                fallback_index: 0,
                retries: 0,
                is_at_once: true,
                is_success: true,
                error_kind: "",
                upstream_latency_us: Some(20_000),
                overhead_us: 40,
                first_token_us: None,
                usage: Some(Usage { prompt_tokens: 3, completion_tokens: 4, ..Usage::default() }),
            }),
        }
    }

    fn models(sample: &Sample) -> Vec<&str> {
        sample.inference.iter().map(|(labels, _)| &*labels.model).collect()
    }

    fn failed(model: &str) -> Observation<'_> {
        let mut failed = observation(model);
        failed.status = 502;
        if let Some(inference) = &mut failed.inference {
            (inference.is_success, inference.model_is_known) = (false, false);
            inference.error_kind = "upstream_unreachable";
        }
        failed
    }

    #[test]
    fn a_callers_word_is_no_label_until_a_provider_answered_it() {
        let cells = Cells::new(0);
        cells.observe(&failed("m"));
        assert_eq!(models(&cells.sample()), ["other"]);
        cells.observe(&observation("m"));
        cells.observe(&failed("m"));
        let sample = cells.sample();
        assert_eq!(models(&sample), ["other", "m"]);
        assert_eq!(sample.inference[1].1.errors, [(502, "upstream_unreachable", 1)]);
    }

    #[test]
    fn label_sets_stay_in_their_bound_and_nothing_goes_uncounted() {
        let cells = Cells::new(0);
        let total = 3 * LABEL_SETS_MAX;
        for number in 0..total {
            let (model, key) = (format!("m{number}"), format!("k{number}"));
            let mut observation = observation(&model);
            if let Some(inference) = &mut observation.inference {
                inference.key_id = &key;
            }
            cells.observe(&observation);
        }
        let sample = cells.sample();
        assert_eq!(sample.inference.len(), LABEL_SETS_MAX);
        assert_eq!(sample.inference.iter().map(|(_, counts)| counts.successes).sum::<u64>(), total as u64);
        assert_eq!(sample.inference.last().map(|(labels, _)| &*labels.provider), Some("other"));
    }

    #[test]
    fn http_sets_stay_in_their_bound() {
        let cells = Cells::new(0);
        for status in 0..1200 {
            cells.observe(&Observation { status, inference: None, ..observation("m") });
        }
        let sample = cells.sample();
        assert_eq!(sample.http.len(), LABEL_SETS_MAX);
        assert_eq!(sample.http.iter().map(|(_, counts)| counts.duration_us.count()).sum::<u64>(), 1200);
    }

    #[test]
    fn errors_of_one_set_stay_in_their_bound() {
        let cells = Cells::new(0);
        for status in 400..500 {
            cells.observe(&Observation { status, ..failed("m") });
        }
        let errors = &cells.sample().inference[0].1.errors;
        assert_eq!(errors.len(), ERRORS_MAX + 1);
        assert_eq!(errors.iter().map(|error| error.2).sum::<u64>(), 100);
    }

    #[test]
    fn the_active_gauge_falls_however_a_request_ends() {
        let cells = Rc::new(Cells::new(0));
        let first = cells.begin("chat_completion");
        let _second = cells.begin("chat_completion");
        drop(first);
        assert_eq!(cells.sample().active, [("chat_completion", 1)]);
    }
}
