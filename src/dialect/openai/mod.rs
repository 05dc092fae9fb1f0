//! OpenAI's chat completions (<https://platform.openai.com/docs/api-reference/chat>), each half beside its twin as it
//! is needed: requests are decoded, answers and streams encoded, errors and usage both.

pub(super) mod error;
pub(super) mod message;
pub(super) mod models;
pub(super) mod request;
pub(super) mod response;
pub(super) mod stream;
pub(super) mod usage;
