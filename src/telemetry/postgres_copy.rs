//! Rows as the bytes of PostgreSQL's binary COPY (<https://www.postgresql.org/docs/current/sql-copy.html>, "Binary
//! Format"), in the order of `COLUMNS` and the types of `postgres_schema`. Pure: it knows no connection.

use super::row::{COLUMNS, Row};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// µs from the UNIX epoch to PostgreSQL's, 2000-01-01.
const EPOCH_US: i64 = 946_684_800_000_000;

/// Appends a whole COPY stream of these rows.
pub(super) fn encode(rows: &[Row], buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(SIGNATURE);
    // No flags, no header extension.
    buffer.extend_from_slice(&[0; 8]);
    for row in rows {
        #[expect(clippy::cast_possible_truncation, reason = "some thirty columns")]
        buffer.extend_from_slice(&(COLUMNS.len() as i16).to_be_bytes());
        encode_row(&mut Fields(buffer), row);
    }
    buffer.extend_from_slice(&(-1_i16).to_be_bytes());
}

fn encode_row(fields: &mut Fields<'_>, row: &Row) {
    let tokens = row.tokens.as_ref();
    let content = &row.content;
    fields.bytes(row.id.as_bytes());
    fields.bytes(&row.timestamp_us.saturating_sub(EPOCH_US).to_be_bytes());
    fields.text(row.object_type);
    fields.text(&row.provider);
    fields.text(&row.model);
    fields.integer(row.number_of_retries);
    fields.integer(row.fallback_index);
    fields.text(&row.selected_key_id);
    fields.text(&row.selected_key_name);
    fields.optional_text(content.input_history.as_deref());
    fields.optional_text(content.output_message.as_deref());
    fields.optional_text(content.params.as_deref());
    fields.optional_text(content.tools.as_deref());
    fields.optional_text(content.tool_calls.as_deref());
    fields.bytes(&row.latency_ms.to_be_bytes());
    fields.optional_text(tokens.map(|tokens| tokens.usage.as_str()));
    fields.optional_integer(tokens.map(|tokens| tokens.prompt));
    fields.optional_integer(tokens.map(|tokens| tokens.completion));
    fields.optional_integer(tokens.map(|tokens| tokens.total));
    fields.optional_integer(tokens.map(|tokens| tokens.cached_read));
    fields.null();
    fields.text(row.status);
    fields.optional_text(content.error_details.as_deref());
    fields.bytes(&[u8::from(row.stream)]);
    fields.integer(row.status_code);
    fields.optional_text(row.error_kind);
    fields.integer(row.attempts);
    fields.text(&row.node);
    fields.integer(row.core);
    fields.bytes(&row.generation.to_be_bytes());
    match row.first_token_ms {
        Some(ms) => fields.bytes(&ms.to_be_bytes()),
        None => fields.null(),
    }
    fields.bytes(&row.overhead_us.to_be_bytes());
    fields.bytes(&[u8::from(row.content_truncated)]);
    fields.text(&row.client_ip);
    fields.optional_text(row.attempt_trail.as_deref());
    fields.optional_text(row.decision.as_deref());
}

/// Fields, each behind its length.
struct Fields<'a>(&'a mut Vec<u8>);

impl Fields<'_> {
    /// Texts are bounded far below the length's width (bodies by `CONTENT_BYTES_MAX`); one past it would be NULL.
    fn bytes(&mut self, bytes: &[u8]) {
        match i32::try_from(bytes.len()) {
            Ok(length) => {
                self.0.extend_from_slice(&length.to_be_bytes());
                self.0.extend_from_slice(bytes);
            }
            Err(_) => self.null(),
        }
    }

    fn null(&mut self) {
        self.0.extend_from_slice(&(-1_i32).to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn optional_text(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.null(),
        }
    }

    fn integer(&mut self, number: i32) {
        self.bytes(&number.to_be_bytes());
    }

    fn optional_integer(&mut self, number: Option<i32>) {
        match number {
            Some(number) => self.integer(number),
            None => self.null(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::record::tests::record;

    #[test]
    fn a_row_has_as_many_fields_as_there_are_columns() {
        let mut buffer = Vec::new();
        encode(&[Row::new(record(), &"n".into())], &mut buffer);
        let mut rest = &buffer[SIGNATURE.len() + 8..];
        let mut take = |count: usize| {
            let (taken, left) = rest.split_at(count);
            rest = left;
            taken.to_vec()
        };
        let fields = i16::from_be_bytes(take(2).try_into().unwrap());
        assert_eq!(usize::try_from(fields).unwrap(), COLUMNS.len());
        for _ in 0..fields {
            let length = i32::from_be_bytes(take(4).try_into().unwrap());
            take(usize::try_from(length).unwrap_or(0));
        }
        assert_eq!(i16::from_be_bytes(take(2).try_into().unwrap()), -1);
        assert!(rest.is_empty());
    }
}
