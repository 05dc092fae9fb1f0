//! The shared `config.json`: the file's words (`file`), all of its faults at once (`validate`), what it means
//! (`snapshot`). Nothing here listens, connects or reads a clock.

pub mod snapshot;
