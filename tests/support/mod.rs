//! What several test files share. Each of them uses a part, so that what one leaves unused is no fault.
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod node;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod seed;
pub(crate) mod tls;
pub(crate) mod upstream;
