//! Decisions about where a request goes: pure, with chance and health as arguments.

pub mod breaker;
pub mod draw;
pub mod explain;
pub mod health;
pub mod plan;
pub mod target;
pub mod view;
