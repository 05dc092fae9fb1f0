//! One row of the table `logs`, made of a record on the log plane: the columns' values as both stores take them.
//! It decides no type and no name of a column (`postgres_schema`, `sqlite`).

use std::fmt::Write as _;
use std::sync::Arc;

use uuid::Uuid;

use super::attempt_trail;
use super::record::Record;
use crate::chat::Usage;
use crate::dialect::log_content::{RowContent, row_content};

/// The columns that a store writes, in the order in which it writes them.
pub const COLUMNS: &[&str] = &[
    "id",
    "timestamp",
    "object_type",
    "provider",
    "model",
    "number_of_retries",
    "fallback_index",
    "selected_key_id",
    "selected_key_name",
    "input_history",
    "output_message",
    "params",
    "tools",
    "tool_calls",
    "latency",
    "token_usage",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_read_tokens",
    "cost",
    "status",
    "error_details",
    "stream",
    "status_code",
    "error_kind",
    "attempts",
    "node",
    "core",
    "generation",
    "first_token_ms",
    "overhead_us",
    "content_truncated",
    "client_ip",
    "attempt_trail",
    "decision",
];

/// One row; every text is UTF-8 without NUL.
#[derive(Clone, Debug)]
pub struct Row {
    /// With `timestamp_us` the primary key.
    pub id: Uuid,
    /// µs since the epoch.
    pub timestamp_us: i64,
    /// The operation's name.
    pub object_type: &'static str,
    /// Provider's name, empty when none was reached.
    pub provider: String,
    /// Model as asked of the provider.
    pub model: String,
    /// Attempts that were not the first of the primary or of a fallback: retries, and moves to another key.
    pub number_of_retries: i32,
    /// Place in the list of fallbacks of whose answer the caller got, from 1; 0: the primary.
    pub fallback_index: i32,
    /// Key's id in the config.
    pub selected_key_id: String,
    /// Key's name in the config.
    pub selected_key_name: String,
    /// The content columns.
    pub content: RowContent,
    /// ms.
    pub latency_ms: f64,
    /// Tokens; `None`: the provider reported none, and the columns are NULL (0 would be a count).
    pub tokens: Option<Tokens>,
    /// `success` or `error`.
    pub status: &'static str,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// The answer's HTTP status.
    pub status_code: i32,
    /// The fault's code.
    pub error_kind: Option<&'static str>,
    /// Sends to providers.
    pub attempts: i32,
    /// The node's name.
    pub node: Arc<str>,
    /// Core index.
    pub core: i32,
    /// Snapshot's generation.
    pub generation: i64,
    /// ms.
    pub first_token_ms: Option<f64>,
    /// µs.
    pub overhead_us: i64,
    /// Whether a body was cut or left out for want of room.
    pub content_truncated: bool,
    /// The caller's address, without a port.
    pub client_ip: String,
    /// The attempts as a JSON array (`attempt_trail`); `None`: none was made.
    pub attempt_trail: Option<String>,
    /// What was decided and by what, a JSON object of at most 2 KiB.
    pub decision: Option<String>,
}

/// The token columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// All counts as a JSON object in OpenAI's names.
    pub usage: String,
    /// Input tokens.
    pub prompt: i32,
    /// Output tokens.
    pub completion: i32,
    /// Sum.
    pub total: i32,
    /// Of the input, read from the provider's cache.
    pub cached_read: i32,
}

impl Row {
    /// The row of a record, on the node of this name.
    pub fn new(record: Record, node: &Arc<str>) -> Self {
        let (input, output) = (record.input.as_deref(), record.output.as_deref());
        let mut content = row_content(record.dialect, input, output, record.stream);
        if record.error_kind.is_some() && content.error_details.is_none() {
            content.error_details = Some(error_details(&record));
        }
        let number_of_retries = clamped(attempt_trail::retries(&record.trail));
        let attempt_trail = attempt_trail::json(&record);
        Self {
            id: record.id,
            timestamp_us: record.timestamp_us,
            object_type: record.object_type,
            provider: without_nul(record.provider),
            model: without_nul(record.model),
            number_of_retries,
            fallback_index: i32::from(record.fallback_index),
            selected_key_id: without_nul(record.selected_key_id),
            selected_key_name: without_nul(record.selected_key_name),
            content,
            latency_ms: ms(record.latency_us),
            tokens: record.usage.as_ref().map(tokens),
            status: if record.error_kind.is_some() { "error" } else { "success" },
            stream: record.stream,
            status_code: i32::from(record.status_code),
            error_kind: record.error_kind,
            attempts: clamped(u64::from(record.attempts)),
            node: Arc::clone(node),
            core: i32::from(record.core),
            generation: i64::try_from(record.generation).unwrap_or(i64::MAX),
            first_token_ms: record.first_token_us.map(ms),
            overhead_us: i64::try_from(record.overhead_us).unwrap_or(i64::MAX),
            content_truncated: record.content_truncated,
            client_ip: record.client_ip.to_string(),
            attempt_trail,
            decision: record.decision.map(without_nul),
        }
    }

    /// Day of the timestamp in UTC, counted from the epoch.
    pub fn day(&self) -> i64 {
        self.timestamp_us.div_euclid(86_400_000_000)
    }
}

/// Counts beyond a column's width stand at its end: they are no counts that a provider means.
fn clamped(count: u64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53 µs, 285 years")]
fn ms(us: u64) -> f64 {
    us as f64 / 1000.0
}

fn without_nul(text: String) -> String {
    if memchr::memchr(0, text.as_bytes()).is_some() { text.replace('\0', "\u{fffd}") } else { text }
}

/// What is said of an error whose answer is not kept.
fn error_details(record: &Record) -> String {
    let code = record.error_kind.unwrap_or_default();
    let message = without_nul(record.error_message.clone().unwrap_or_default());
    let message = serde_json::to_string(&message).unwrap_or_default();
    format!(r#"{{"error":{{"code":"{code}","message":{message}}},"status_code":{}}}"#, record.status_code)
}

fn tokens(usage: &Usage) -> Tokens {
    let mut text = String::with_capacity(192);
    // Writing to a String does not fail.
    let _ = write!(
        text,
        r#"{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"#,
        usage.prompt_tokens, usage.completion_tokens, usage.total_tokens
    );
    let _ = write!(
        text,
        r#""prompt_tokens_details":{{"cached_tokens":{},"cached_write_tokens":{}}},"#,
        usage.cached_read_tokens, usage.cached_write_tokens
    );
    let _ =
        write!(text, r#""completion_tokens_details":{{"reasoning_tokens":{}}}}}"#, usage.reasoning_tokens);
    Tokens {
        usage: text,
        prompt: clamped(usage.prompt_tokens),
        completion: clamped(usage.completion_tokens),
        total: clamped(usage.total_tokens),
        cached_read: clamped(usage.cached_read_tokens),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::record::tests::record;

    #[test]
    fn an_error_without_content_says_its_kind_and_sentence() {
        let mut failed = record();
        failed.error_kind = Some("upstream_unreachable");
        failed.error_message = Some("no \"route\"\0".to_owned());
        failed.status_code = 502;
        let row = Row::new(failed, &"n".into());
        assert_eq!(row.status, "error");
        let details =
            r#"{"error":{"code":"upstream_unreachable","message":"no \"route\"�"},"status_code":502}"#;
        assert_eq!(row.content.error_details.as_deref(), Some(details));
        assert_eq!(row.tokens, None);
    }

    #[test]
    fn usage_is_valid_json_and_absurd_counts_are_clamped() {
        let tokens = tokens(&Usage { prompt_tokens: u64::MAX, completion_tokens: 2, ..Usage::default() });
        assert!(serde_json::from_str::<serde_json::Value>(&tokens.usage).is_ok());
        assert_eq!((tokens.prompt, tokens.completion), (i32::MAX, 2));
    }

    #[test]
    fn a_day_before_the_epoch_counts_down() {
        let mut early = record();
        early.timestamp_us = -1;
        assert_eq!(Row::new(early, &"n".into()).day(), -1);
    }
}
