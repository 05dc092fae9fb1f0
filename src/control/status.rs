//! What a node says of itself to an operator, put together from what its parts say. Pure.

use super::Identity;
use super::command::{ConfigStatus, CoreStatus, LogStatus, Status};
use crate::telemetry::sample::Sample;
use crate::telemetry::writer::LogGauges;

/// What is known without asking a core.
pub(super) struct Known {
    /// Who the node is.
    pub(super) identity: Identity,
    /// Since it began to serve, seconds.
    pub(super) uptime_s: u64,
    /// Whether it drains.
    pub(super) is_draining: bool,
    /// How many cores it has.
    pub(super) cores: usize,
    /// Its config.
    pub(super) config: ConfigStatus,
    /// Its log.
    pub(super) log: LogGauges,
}

/// With what cores reported.
pub(super) fn status(known: Known, samples: &[Sample]) -> Status {
    let Known { identity, uptime_s, is_draining, cores, config, log } = known;
    let Identity { version, node, address, driver, driver_because, log_store } = identity;
    let refused = samples.iter().map(|sample| sample.records_refused).sum::<u64>();
    let dropped = log.dropped_backlog_full + log.dropped_store_refused + log.dropped_shutdown + refused;
    Status {
        version: version.to_owned(),
        node,
        pid: std::process::id(),
        address,
        uptime_s,
        draining: is_draining,
        driver,
        driver_because,
        config: ConfigStatus {
            old_snapshots: samples.iter().map(|sample| sample.old_snapshots).sum(),
            ..config
        },
        cores: samples.iter().map(core).collect(),
        silent_cores: (0u16..)
            .take(cores)
            .filter(|core| !samples.iter().any(|sample| sample.core == *core))
            .collect(),
        log: log.has_store.then_some(LogStatus {
            store: log_store,
            is_up: log.is_up,
            rows_written: log.written,
            rows_dropped: dropped,
        }),
    }
}

fn core(sample: &Sample) -> CoreStatus {
    let active = |wanted: fn(&str) -> bool| {
        sample.active.iter().filter(|(name, _)| wanted(name)).map(|(_, count)| count).sum()
    };
    CoreStatus {
        core: sample.core,
        generation: sample.generation,
        connections: sample.connections_open,
        requests: active(|_| true),
        streams: active(|name| name.ends_with("_stream")),
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::telemetry::cells::Cells;

    #[test]
    fn cores_are_listed_and_added_up() {
        let samples = [0, 1].map(|core| {
            let cells = Rc::new(Cells::new(core));
            cells.connection_opened();
            cells.config(7, 2);
            let _under_way = [cells.begin("chat_completion"), cells.begin("chat_completion_stream")];
            cells.sample()
        });
        let identity =
            Identity { node: "n1".to_owned(), log_store: "sqlite /a".to_owned(), ..Identity::default() };
        let log = LogGauges { has_store: true, written: 5, dropped_shutdown: 1, ..LogGauges::default() };
        let config = ConfigStatus { generation: 7, ..ConfigStatus::default() };
        let known = Known { identity, uptime_s: 9, is_draining: true, cores: 3, config, log };
        let status = status(known, &samples);
        assert_eq!((status.node.as_str(), status.uptime_s, status.draining), ("n1", 9, true));
        assert_eq!((status.config.generation, status.config.old_snapshots), (7, 4));
        let expected = CoreStatus { core: 1, generation: 7, connections: 1, requests: 2, streams: 1 };
        assert_eq!((status.cores.len(), status.cores.last()), (2, Some(&expected)));
        assert_eq!(status.silent_cores, [2]);
        let log = status.log.unwrap();
        assert_eq!((log.rows_written, log.rows_dropped, log.store.as_str()), (5, 1, "sqlite /a"));
    }
}
