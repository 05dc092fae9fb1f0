//! API formats as bytes, each written once for both sides: decode and encode for request, response, stream event and
//! error. Pure: no socket, no clock. Which path speaks which dialect is `api`'s table, which provider `provider`'s.

use serde::{Deserialize, Serialize};

pub mod log_content;

/// An API format that callers speak to us and we speak to providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Dialect {
    /// OpenAI's chat completions (<https://platform.openai.com/docs/api-reference/chat>).
    OpenAi,
    /// Anthropic's messages (<https://docs.anthropic.com/en/api/messages>).
    Anthropic,
}
