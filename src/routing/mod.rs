//! Decisions about where a request goes: pure, with chance and health as arguments.

mod balance;
pub mod breaker;
pub mod decision;
pub mod explain;
#[cfg(test)]
mod fixture;
pub mod health;
mod keys;
mod legs;
pub mod plan;
mod retry;
pub mod sticky;
pub mod target;
pub mod view;
