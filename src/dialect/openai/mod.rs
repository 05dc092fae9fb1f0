//! OpenAI's chat completions (<https://platform.openai.com/docs/api-reference/chat>), each half beside its
//! twin.

pub(super) mod answer;
pub(super) mod embedding;
pub(super) mod error;
pub(super) mod message;
pub(super) mod models;
pub(super) mod request;
pub(super) mod response;
mod said;
pub(super) mod stream;
pub(super) mod usage;
