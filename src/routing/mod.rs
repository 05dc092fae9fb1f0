//! Decisions, and nothing else: which provider a model name means (`target`), which key serves it (`draw`). Pure; what
//! is random comes in as an argument.

pub mod draw;
pub mod target;
