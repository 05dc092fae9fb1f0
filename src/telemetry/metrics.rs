//! The text of `/metrics` (Prometheus text format 0.0.4) from the samples of all cores: sums over cores under Bifrost's
//! names and labels, ours (`corelane_*`) beside them. It holds no counter of its own.

mod ways;

use std::collections::BTreeMap;

use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::cells::OTHER;
use super::histogram::HistogramSample;
use super::sample::{Arriving, HttpLabels, HttpSample, InferenceLabels, InferenceSample, Sample};
use super::writer::LogGauges;
use crate::config::KeyState;

/// The `Content-Type` of what [`render`] gives.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// µs in a second.
const US: f64 = 1e6;

/// What runs: constant labels.
#[derive(Clone, Debug, Default)]
pub struct BuildInfo {
    /// The program's version.
    pub version: String,
    /// `io_uring` or `epoll`.
    pub driver: String,
}

/// The config that serves, and what became of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigGauges {
    /// Its generation.
    pub generation: u64,
    /// Its digest.
    pub digest: String,
    /// When it was read, seconds since 1970.
    pub loaded_at_s: u64,
    /// Configs applied since the start, the first not counted.
    pub reloads: u64,
    /// Reloads refused since the start.
    pub reload_failures: u64,
    /// Keys of served providers.
    pub keys: Vec<KeyState>,
    /// Of these, enabled ones that have no value.
    pub unusable_keys: u64,
}

/// The whole page. A metric that nothing was counted under is left out.
pub fn render(samples: &[Sample], log: &LogGauges, build: &BuildInfo, config: &ConfigGauges) -> String {
    let mut page = Page::default();
    http(&mut page, samples);
    let merged = merged_inference(samples);
    inference(&mut page, &merged);
    ways::ways(&mut page, samples, &merged);
    ways::health(&mut page, samples, &config.keys);
    cores(&mut page, samples);
    by_core(&mut page, samples);
    log_plane(&mut page, samples, log);
    let version = [("version", build.version.clone()), ("driver", build.driver.clone())];
    page.gauge("corelane_build_info", "What runs; always 1.", [(labels(version), 1)]);
    config_plane(&mut page, samples, config);
    let mut text = String::with_capacity(64 * 1024);
    match TextEncoder::new().encode_utf8(&page.families, &mut text) {
        Ok(()) => text,
        // Only a family without a name or metric fails, and `Page` makes none.
        Err(error) => format!("# {error}\n"),
    }
}

/// Bifrost's closed set of error types, from our fault's code and the status.
pub fn error_type(code: &str, status: u16) -> String {
    match code {
        "overloaded" | "shutting_down" | "request_dropped" | "queue_timeout" => "bifrost_dropped".to_owned(),
        "provider_credentials_exhausted" | "clock_skew" | "token_unavailable" => {
            "provider_authentication".to_owned()
        }
        "internal_error" => "bifrost_internal".to_owned(),
        "origin_not_allowed" => "policy_origin_not_allowed".to_owned(),
        "client_gone" => "caller_cancelled".to_owned(),
        "request_timed_out" => "provider_timeout".to_owned(),
        "upstream_unreachable" => "provider_unreachable".to_owned(),
        "upstream_invalid_response" => "provider_invalid_response".to_owned(),
        code if code.starts_with("upstream") => provider_error_type(status).to_owned(),
        "" | OTHER => "_OTHER".to_owned(),
        code => format!("caller_{code}"),
    }
}

fn provider_error_type(status: u16) -> &'static str {
    match status {
        401 | 403 => "provider_authentication",
        402 => "provider_quota",
        404 => "provider_not_found",
        408 | 504 => "provider_timeout",
        429 => "provider_rate_limited",
        400..500 => "provider_rejected",
        _ => "provider_server_error",
    }
}

type Labels = Vec<LabelPair>;

fn labels<const N: usize>(pairs: [(&'static str, String); N]) -> Labels {
    pairs.into_iter().map(|(name, value)| label(name, value)).collect()
}

fn label(name: &str, value: String) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value);
    pair
}

/// The metric families in the order of the page.
#[derive(Default)]
struct Page {
    families: Vec<MetricFamily>,
}

impl Page {
    fn counter(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, u64)>) {
        let metrics = values.into_iter().map(|(labels, value)| {
            let mut counter = Counter::default();
            counter.set_value(float(value));
            let mut metric = Metric::from_label(labels);
            metric.set_counter(counter);
            metric
        });
        self.family(name, help, MetricType::COUNTER, metrics.collect());
    }

    fn gauge(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, u64)>) {
        let metrics = values.into_iter().map(|(labels, value)| {
            let mut gauge = Gauge::default();
            gauge.set_value(float(value));
            let mut metric = Metric::from_label(labels);
            metric.set_gauge(gauge);
            metric
        });
        self.family(name, help, MetricType::GAUGE, metrics.collect());
    }

    /// `unit`: by how much the observed whole numbers are more than the metric's unit. Empty histograms are left out.
    fn histogram<'a>(
        &mut self,
        name: &str,
        help: &str,
        unit: f64,
        values: impl IntoIterator<Item = (Labels, &'a HistogramSample)>,
    ) {
        let metrics = values.into_iter().filter(|(_, sample)| sample.count() > 0).map(|(labels, sample)| {
            let mut metric = Metric::from_label(labels);
            metric.set_histogram(histogram(sample, unit));
            metric
        });
        self.family(name, help, MetricType::HISTOGRAM, metrics.collect());
    }

    fn family(&mut self, name: &str, help: &str, field_type: MetricType, metrics: Vec<Metric>) {
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(field_type);
        family.set_metric(metrics);
        self.families.push(family);
    }
}

fn histogram(sample: &HistogramSample, unit: f64) -> Histogram {
    let mut cumulative = 0;
    let buckets = sample.bounds.iter().zip(&sample.counts).map(|(bound, count)| {
        cumulative += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(float(*bound) / unit);
        bucket.set_cumulative_count(cumulative);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(sample.count());
    histogram.set_sample_sum(float(sample.sum) / unit);
    histogram
}

#[expect(clippy::cast_precision_loss, reason = "the text format's numbers are floats")]
fn float(value: u64) -> f64 {
    value as f64
}

fn http(page: &mut Page, samples: &[Sample]) {
    let mut merged: BTreeMap<HttpLabels, HttpSample> = BTreeMap::new();
    for (labels, more) in samples.iter().flat_map(|sample| &sample.http) {
        match merged.get_mut(labels) {
            None => drop(merged.insert(*labels, more.clone())),
            Some(sum) => {
                sum.request_bytes.merge(&more.request_bytes);
                sum.response_bytes.merge(&more.response_bytes);
                sum.duration_us.merge(&more.duration_us);
            }
        }
    }
    let each = |value: fn(&HttpSample) -> &HistogramSample| {
        merged.iter().map(move |(labels, sample)| (http_labels(labels), value(sample)))
    };
    let counts = each(|sample| &sample.duration_us).map(|(labels, durations)| (labels, durations.count()));
    page.counter("http_requests_total", "HTTP requests answered.", counts);
    let help = "From a request's head to the last byte of its answer.";
    page.histogram("http_request_duration_seconds", help, US, each(|sample| &sample.duration_us));
    page.histogram("http_request_size_bytes", "Request bodies.", 1.0, each(|sample| &sample.request_bytes));
    page.histogram(
        "http_response_size_bytes",
        "Answers' bodies.",
        1.0,
        each(|sample| &sample.response_bytes),
    );
}

fn http_labels(set: &HttpLabels) -> Labels {
    let status = if set.status == 0 { OTHER.to_owned() } else { set.status.to_string() };
    labels([("path", set.path.to_owned()), ("method", set.method.to_owned()), ("status", status)])
}

type Inference = BTreeMap<InferenceLabels, InferenceSample>;

fn merged_inference(samples: &[Sample]) -> Inference {
    let mut merged = Inference::new();
    for (labels, more) in samples.iter().flat_map(|sample| &sample.inference) {
        match merged.get_mut(labels) {
            None => drop(merged.insert(labels.clone(), more.clone())),
            Some(sum) => merge_inference(sum, more),
        }
    }
    merged
}

fn merge_inference(sum: &mut InferenceSample, more: &InferenceSample) {
    sum.successes += more.successes;
    sum.served_at_once += more.served_at_once;
    sum.retries.merge(&more.retries);
    for (status, kind, count) in &more.errors {
        match sum.errors.iter_mut().find(|error| (error.0, error.1) == (*status, *kind)) {
            Some((_, _, total)) => *total += count,
            None => sum.errors.push((*status, kind, *count)),
        }
    }
    sum.latency_success_us.merge(&more.latency_success_us);
    sum.latency_error_us.merge(&more.latency_error_us);
    sum.overhead_us.merge(&more.overhead_us);
    sum.first_token_us.merge(&more.first_token_us);
    sum.prompt_tokens += more.prompt_tokens;
    sum.completion_tokens += more.completion_tokens;
    sum.cached_read_tokens += more.cached_read_tokens;
}

fn inference_labels(set: &InferenceLabels) -> Labels {
    labels([
        ("provider", set.provider.to_string()),
        ("model", set.model.to_string()),
        ("method", set.request_type.to_owned()),
        ("selected_key_id", set.key_id.to_string()),
        ("selected_key_name", set.key_name.to_string()),
        ("fallback_index", set.fallback_index.to_string()),
    ])
}

fn inference(page: &mut Page, merged: &Inference) {
    let each = |value: fn(&InferenceSample) -> u64| {
        merged.iter().map(move |(labels, sample)| (inference_labels(labels), value(sample)))
    };
    let all = |sample: &InferenceSample| sample.successes + errors_total(sample);
    page.counter("bifrost_upstream_requests_total", "Requests to models, one per request.", each(all));
    page.counter(
        "bifrost_success_requests_total",
        "Of these, those that ended well.",
        each(|sample| sample.successes),
    );
    page.counter("bifrost_error_requests_total", "Of these, those that did not.", errors(merged));
    let counted = |value: fn(&InferenceSample) -> u64| each(value).filter(|(_, count)| *count > 0);
    page.counter("bifrost_input_tokens_total", "Input tokens.", counted(|sample| sample.prompt_tokens));
    page.counter("bifrost_output_tokens_total", "Output tokens.", counted(|sample| sample.completion_tokens));
    let help = "Of the input tokens, those read from the provider's cache.";
    page.counter("bifrost_cache_read_input_tokens_total", help, counted(|sample| sample.cached_read_tokens));
    let latencies = merged.iter().flat_map(|(set, sample)| {
        let with = |is_success: &str| {
            let mut labels = inference_labels(set);
            labels.push(label("is_success", is_success.to_owned()));
            labels
        };
        [(with("true"), &sample.latency_success_us), (with("false"), &sample.latency_error_us)]
    });
    page.histogram(
        "bifrost_upstream_latency_seconds",
        "From sending to the answer's last byte.",
        US,
        latencies,
    );
    let overheads = merged.iter().map(|(set, sample)| (inference_labels(set), &sample.overhead_us));
    let help = "Of a request's time, what was not spent waiting on sockets.";
    page.histogram("bifrost_overhead_latency_microseconds", help, 1.0, overheads);
    let retries = merged.iter().map(|(set, sample)| (inference_labels(set), &sample.retries));
    let help = "Attempts after the first of each request, fallbacks' first ones not counted.";
    page.histogram("bifrost_request_retries", help, 1.0, retries);
    first_tokens(page, merged);
}

fn errors_total(sample: &InferenceSample) -> u64 {
    sample.errors.iter().map(|(_, _, count)| count).sum()
}

/// Two faults of one status may share a type: they are added up, or the page would say one series twice.
fn errors(merged: &Inference) -> impl Iterator<Item = (Labels, u64)> {
    merged.iter().flat_map(|(set, sample)| {
        let mut by_type: BTreeMap<(u16, String), u64> = BTreeMap::new();
        for (status, kind, count) in &sample.errors {
            *by_type.entry((*status, error_type(kind, *status))).or_default() += count;
        }
        by_type.into_iter().map(|((status, error_type), count)| {
            let mut labels = inference_labels(set);
            let status = if status == 0 { OTHER.to_owned() } else { status.to_string() };
            labels.push(label("status_code", status));
            labels.push(label("error_type", error_type));
            (labels, count)
        })
    })
}

/// Bifrost's is of streams, by label set; ours is of every answer, by provider.
fn first_tokens(page: &mut Page, merged: &Inference) {
    let streams = merged.iter().filter(|(set, _)| set.request_type.ends_with("_stream"));
    let streams = streams.map(|(set, sample)| (inference_labels(set), &sample.first_token_us));
    let help = "To the first byte of a stream's content.";
    page.histogram("bifrost_stream_first_token_latency_seconds", help, US, streams);
    let mut by_provider: BTreeMap<&str, HistogramSample> = BTreeMap::new();
    for (set, sample) in merged {
        match by_provider.get_mut(&*set.provider) {
            Some(sum) => sum.merge(&sample.first_token_us),
            None => drop(by_provider.insert(&set.provider, sample.first_token_us.clone())),
        }
    }
    let all = by_provider.iter().map(|(name, sample)| (labels([("provider", (*name).to_owned())]), sample));
    page.histogram("corelane_first_token_seconds", "To the first byte of an answer's content.", US, all);
}

fn cores(page: &mut Page, samples: &[Sample]) {
    let mut active: BTreeMap<&str, u64> = BTreeMap::new();
    for (request_type, count) in samples.iter().flat_map(|sample| &sample.active) {
        *active.entry(request_type).or_default() += count;
    }
    let active = active.into_iter().map(|(name, count)| (labels([("method", name.to_owned())]), count));
    page.gauge("bifrost_active_requests", "Requests to models under way.", active);
    let panics = samples.iter().map(|sample| sample.panics).sum();
    page.counter(
        "corelane_panics_total",
        "Panics caught; each ended one request.",
        [(Labels::new(), panics)],
    );
}

/// What each core has and has had, by `core`.
fn by_core(page: &mut Page, samples: &[Sample]) {
    let each = |value: fn(&Sample) -> u64| {
        samples.iter().map(move |sample| (labels([("core", sample.core.to_string())]), value(sample)))
    };
    let open = each(|sample| sample.connections_open);
    page.gauge("corelane_connections", "Open downstream connections.", open);
    let streams = "Streamed answers under way.";
    page.gauge("corelane_streams", streams, each(streams_under_way));
    let generation = "The config that new requests on this core begin with.";
    page.gauge("corelane_config_generation", generation, each(|sample| sample.generation));
    let held = "Memory of bodies held.";
    page.gauge("corelane_body_bytes_held", held, each(|sample| sample.body_bytes_held));
    let requests = "Requests answered, refused heads among them.";
    page.counter("corelane_requests_total", requests, each(requests_ended));
    let accepted = "Downstream connections accepted, counted on the core that serves them.";
    let accepted_count = each(|sample| sample.connections_accepted);
    page.counter("corelane_connections_accepted_total", accepted, accepted_count);
    for (what, name, help) in ARRIVING {
        let count = |sample: &Sample| sample.arriving.get(what as usize).copied().unwrap_or_default();
        let counts =
            samples.iter().map(|sample| (labels([("core", sample.core.to_string())]), count(sample)));
        page.counter(name, help, counts);
    }
}

const ARRIVING: [(Arriving, &str, &str); Arriving::COUNT] = [
    (
        Arriving::HandedOver,
        "corelane_connections_handed_over_total",
        "Downstream connections that this core accepted and another one serves, since it had fewer.",
    ),
    (
        Arriving::Refused,
        "corelane_connections_refused_total",
        "Downstream connections over server.max_connections_per_core, answered 503 or closed.",
    ),
    (
        Arriving::Shaken,
        "corelane_tls_handshakes_total",
        "TLS handshakes with callers that came to their end.",
    ),
    (
        Arriving::Unshaken,
        "corelane_tls_handshakes_failed_total",
        "TLS handshakes with callers that did not; callers that spoke no TLS among them.",
    ),
    (
        Arriving::Unannounced,
        "corelane_proxy_headers_refused_total",
        "Connections of trusted proxies whose PROXY header was missing, malformed or late.",
    ),
];

fn streams_under_way(sample: &Sample) -> u64 {
    let streams = sample.active.iter().filter(|(request_type, _)| request_type.ends_with("_stream"));
    streams.map(|(_, count)| count).sum()
}

fn requests_ended(sample: &Sample) -> u64 {
    sample.http.iter().map(|(_, http)| http.duration_us.count()).sum()
}

fn config_plane(page: &mut Page, samples: &[Sample], config: &ConfigGauges) {
    let info = [("digest", config.digest.clone()), ("generation", config.generation.to_string())];
    page.gauge("corelane_config_info", "The config that serves; always 1.", [(labels(info), 1)]);
    let one = |value: u64| [(Labels::new(), value)];
    let help = "When the config that serves was read, seconds since 1970.";
    page.gauge("corelane_config_loaded_timestamp_seconds", help, one(config.loaded_at_s));
    let help = "Configs applied since the start, the first not counted.";
    page.counter("corelane_config_reloads_total", help, one(config.reloads));
    let help = "Reloads that were refused; the config before serves on.";
    page.counter("corelane_config_reload_failures_total", help, one(config.reload_failures));
    let old = samples.iter().map(|sample| sample.old_snapshots).sum();
    let help = "Older configs that requests under way still hold, over all cores.";
    page.gauge("corelane_config_old_snapshots", help, one(old));
    let help = "Enabled keys without a value, which are never used.";
    page.gauge("corelane_config_unusable_keys", help, one(config.unusable_keys));
    let up = config.keys.iter().map(|key| {
        let (provider, id, name) = (key.provider.clone(), key.key_id.clone(), key.key_name.clone());
        (labels([("provider", provider), ("key_id", id), ("key_name", name)]), key.up.into())
    });
    let help = "Whether a key may be drawn; 0: it has no value, or is disabled.";
    page.gauge("bifrost_provider_key_up", help, up);
}

fn log_plane(page: &mut Page, samples: &[Sample], log: &LogGauges) {
    let queued: u64 = samples.iter().map(|sample| sample.records_queued).sum();
    // The two sides are read at two moments, so their difference may be short of nothing.
    let waiting = queued.saturating_sub(log.taken) + log.kept;
    let one = |value: u64| [(Labels::new(), value)];
    page.gauge("corelane_log_records_queued", "Log records not yet in the store.", one(waiting));
    page.gauge(
        "corelane_log_kept_bytes",
        "Memory of the log records kept for the store.",
        one(log.kept_bytes),
    );
    page.counter("corelane_log_records_written_total", "Log records that the store took.", one(log.written));
    let refused = samples.iter().map(|sample| sample.records_refused).sum();
    let dropped = [
        ("ring_full", refused),
        ("backlog_full", log.dropped_backlog_full),
        ("store_refused", log.dropped_store_refused),
        ("shutdown", log.dropped_shutdown),
    ];
    let dropped = dropped.map(|(reason, count)| (labels([("reason", reason.to_owned())]), count));
    page.counter("corelane_log_records_dropped_total", "Log records that no store has.", dropped);
    let contents = samples.iter().map(|sample| sample.contents_dropped).sum();
    let help = "Log records whose bodies were dropped at the ring's byte bound.";
    page.counter("corelane_log_contents_dropped_total", help, one(contents));
    if log.has_store {
        page.gauge(
            "corelane_log_store_up",
            "Whether the log store took the last write.",
            one(log.is_up.into()),
        );
        page.counter(
            "corelane_log_store_failures_total",
            "Failed writes to the log store.",
            one(log.failures),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::telemetry::cells::Cells;
    use crate::telemetry::cells::tests::observation;

    fn page() -> String {
        let cores = [0, 1].map(|core| {
            let cells = Rc::new(Cells::new(core));
            cells.connection_opened();
            cells.config(3, 1);
            (0..=core).for_each(|_| cells.arrived(Arriving::HandedOver));
            cells.observe(&observation("gpt-4o-mini"));
            let mut failed = observation("gpt-4o-mini");
            failed.status = 429;
            if let Some(inference) = &mut failed.inference {
                (inference.is_success, inference.error_kind) = (false, "upstream_status");
                (inference.request_type, inference.first_token_us) = ("chat_completion_stream", Some(7_000));
            }
            cells.observe(&failed);
            let _active = [cells.begin("chat_completion"), cells.begin("chat_completion_stream")];
            cells.sample()
        });
        let log = LogGauges { written: 5, has_store: true, is_up: true, ..LogGauges::default() };
        let build = BuildInfo { version: "1".into(), driver: "epoll".into() };
        let keys = ["first", "second"].map(|name| KeyState {
            provider: "openai".into(),
            key_id: "1".into(),
            key_name: name.into(),
            up: name == "first",
        });
        let config = ConfigGauges { digest: "d\"\n".into(), keys: keys.into(), ..ConfigGauges::default() };
        render(&cores, &log, &build, &config)
    }

    #[test]
    fn cores_are_added_up_under_bifrosts_names() {
        let page = page();
        let labels = r#"provider="openai",model="gpt-4o-mini",method="chat_completion",selected_key_id="1",selected_key_name="first",fallback_index="0""#;
        for line in [
            r#"http_requests_total{path="/v1/chat/completions",method="POST",status="200"} 2"#,
            &format!("bifrost_success_requests_total{{{labels}}} 2"),
            &format!("bifrost_input_tokens_total{{{labels}}} 6"),
            &format!(r#"bifrost_upstream_latency_seconds_bucket{{{labels},is_success="true",le="0.025"}} 2"#),
            &format!(r#"bifrost_upstream_latency_seconds_bucket{{{labels},is_success="true",le="0.01"}} 0"#),
            &format!(r#"bifrost_upstream_latency_seconds_bucket{{{labels},is_success="true",le="+Inf"}} 2"#),
            r#"bifrost_active_requests{method="chat_completion"} 2"#,
            r#"corelane_first_token_seconds_sum{provider="openai"} 0.014"#,
            r#"corelane_connections{core="1"} 1"#,
            r#"corelane_streams{core="1"} 1"#,
            r#"corelane_requests_total{core="0"} 2"#,
            r#"corelane_connections_handed_over_total{core="0"} 1"#,
            r#"corelane_connections_handed_over_total{core="1"} 2"#,
            r#"corelane_connections_refused_total{core="1"} 0"#,
            "corelane_log_records_written_total 5",
            r#"corelane_config_info{digest="d\"\n",generation="0"} 1"#,
            "corelane_config_old_snapshots 2",
            r#"corelane_config_generation{core="1"} 3"#,
            r#"bifrost_provider_key_up{provider="openai",key_id="1",key_name="first"} 1"#,
            r#"bifrost_provider_key_up{provider="openai",key_id="1",key_name="second"} 0"#,
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\nnot in\n{page}");
        }
        assert!(page.contains(r#"status_code="429",error_type="provider_rate_limited"} 2"#), "{page}");
    }

    #[test]
    fn no_series_stands_twice() {
        let page = page();
        let mut series: Vec<_> = page
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .collect();
        let all = series.len();
        series.sort_unstable();
        series.dedup_by_key(|line| line.0);
        assert_eq!(series.len(), all);
    }

    #[test]
    fn every_fault_has_a_type_of_the_closed_set() {
        for (code, status, expected) in [
            ("overloaded", 503, "bifrost_dropped"),
            ("request_too_large", 413, "caller_request_too_large"),
            ("upstream_status", 500, "provider_server_error"),
            ("upstream_4xx", 401, "provider_authentication"),
            ("other", 0, "_OTHER"),
        ] {
            assert_eq!(error_type(code, status), expected);
        }
    }
}
