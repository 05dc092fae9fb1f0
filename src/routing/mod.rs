//! Decisions, and nothing else: which provider a model name means (`target`), which key serves it (`draw`), and
//! how both came about, for an operator (`explain`). Pure; what is random comes in as an argument.

pub mod draw;
pub mod explain;
pub mod target;
