//! The measuring side of corelane: a mock provider, a bare relay, and the runner that sets servers side by side.
//! Both ends of every connection here are ours; nothing in it faces a peer that we do not own.

pub mod drive;
pub mod mock;
pub mod relay;
pub mod ring;
pub mod soak;
pub mod stats;
