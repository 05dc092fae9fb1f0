//! A node's answers as people read them. Pure.

use std::fmt::Write as _;

use serde::Deserialize;

use crate::control::command::{ConfigStatus, LogStatus, Reloaded, Status};
use crate::gateway::{LiveStream, LiveStreams};

/// Lines of a table with a head, each column as wide as its widest cell; `right` are those of numbers.
fn table<const N: usize>(head: [&str; N], right: [bool; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(head.get(column).map(|word| word.chars().count())).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |cells: &[String; N]| {
        let cells = cells.iter().zip(&widths).zip(right).map(|((cell, width), right)| match right {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let head = head.map(str::to_owned);
    std::iter::once(&head).chain(rows).map(line).collect()
}

/// `corelane status`.
pub(super) fn status(status: &Status) -> String {
    let Status {
        version,
        node,
        pid,
        address,
        uptime_s,
        draining,
        driver,
        driver_because,
        config,
        cores,
        silent_cores,
        log,
    } = status;
    let state = if *draining { "draining" } else { "serving" };
    let mut out = format!("corelane {version} on {node}, {address}, process {pid}\n");
    line(&mut out, "state", &format!("{state} since {}", span(*uptime_s)));
    let because = if driver_because.is_empty() { String::new() } else { format!(" ({driver_because})") };
    line(&mut out, "driver", &format!("{driver}{because}"));
    out.push_str(&config_lines(config));
    line(&mut out, "log", &log.as_ref().map_or_else(|| "no row is written".to_owned(), log_words));
    for core in silent_cores {
        line(&mut out, "SILENT", &format!("core {core} did not report in its time: is it stuck?"));
    }
    let rows: Vec<[String; 5]> = cores
        .iter()
        .map(|core| {
            let numbers = [core.generation, core.connections, core.requests, core.streams];
            let [generation, connections, requests, streams] = numbers.map(|number| number.to_string());
            [core.core.to_string(), generation, connections, requests, streams]
        })
        .collect();
    out.push('\n');
    out.push_str(&table(["core", "generation", "connections", "requests", "streams"], [true; 5], &rows));
    out
}

fn line(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "{name:<14}{value}"); // writing to a String can't fail
}

fn config_lines(config: &ConfigStatus) -> String {
    let mut out = String::new();
    line(&mut out, "config", &config.path);
    let loaded = format!("{}, digest {}, loaded {}", config.generation, config.digest, config.loaded_at);
    line(&mut out, "generation", &loaded);
    if let Some(digest) = &config.secrets_digest {
        line(&mut out, "secrets", &format!("digest {digest}"));
    }
    let watched = if config.watched { "watched" } else { "not watched" };
    let reloads = format!("{} applied, {} refused, {watched}", config.reloads, config.reload_failures);
    line(&mut out, "reloads", &reloads);
    if config.old_snapshots > 0 {
        line(&mut out, "older", &format!("{} held by requests", config.old_snapshots));
    }
    for key in &config.unusable_keys {
        line(&mut out, "without value", key);
    }
    for key in &config.lacking_keys {
        line(&mut out, "cannot serve", key);
    }
    for key in &config.disabled_keys {
        line(&mut out, "disabled key", key);
    }
    if let Some(failure) = &config.last_failure {
        line(&mut out, "refused", &format!("the newest config, {}:", failure.at));
        failure.faults.iter().for_each(|fault| line(&mut out, "", fault));
    }
    out
}

fn log_words(log: &LogStatus) -> String {
    let LogStatus { store, is_up, rows_written, rows_dropped } = log;
    let state = if *is_up { "up" } else { "DOWN" };
    format!("{store}, {state}, {rows_written} rows written, {rows_dropped} lost")
}

/// The two greatest units.
fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// `corelane streams`: the oldest first.
pub(super) fn streams(live: &LiveStreams) -> String {
    if live.streams.is_empty() {
        return "no stream runs\n".to_owned();
    }
    let mut streams: Vec<&LiveStream> = live.streams.iter().collect();
    streams.sort_by(|one, other| other.age_ms.cmp(&one.age_ms).then_with(|| one.id.cmp(&other.id)));
    let rows: Vec<[String; 8]> = streams
        .iter()
        .map(|stream| {
            let LiveStream { core, id, provider, key, model, generation, age_ms, events } = stream;
            let (core, generation, events) = (core.to_string(), generation.to_string(), events.to_string());
            let (provider, key, model) = (cell(provider), cell(key), cell(model));
            [id.clone(), core, provider, key, model, generation, age(*age_ms), events]
        })
        .collect();
    let head = ["id", "core", "provider", "key", "model", "generation", "age", "events"];
    let mut out = table(head, [false, true, false, false, false, true, true, true], &rows);
    if live.left_out > 0 {
        let _ = writeln!(out, "and {} more", live.left_out);
    }
    out
}

/// Longest name in a table, characters: a model's is as long as its caller made it.
const CELL_CHARS_MAX: usize = 80;

/// A name on one line of a table.
fn cell(name: &str) -> String {
    let printable = |char: char| if char.is_control() { '\u{fffd}' } else { char };
    match name.char_indices().nth(CELL_CHARS_MAX) {
        Some((end, _)) => name.get(..end).unwrap_or_default().chars().map(printable).chain(['…']).collect(),
        None => name.chars().map(printable).collect(),
    }
}

fn age(age_ms: u64) -> String {
    match age_ms {
        0..60_000 => format!("{}.{} s", age_ms / 1000, age_ms / 100 % 10),
        _ => span(age_ms / 1000),
    }
}

/// `corelane reload` and `corelane key`.
pub(super) fn reloaded(reloaded: &Reloaded) -> String {
    let Reloaded { generation, digest, changes, warnings } = reloaded;
    let mut out = match changes.is_empty() {
        true => format!("nothing changed: generation {generation}, digest {digest}\n"),
        false => format!("every core runs generation {generation}, digest {digest}\n"),
    };
    changes.iter().for_each(|change| line_of(&mut out, change));
    warnings.iter().for_each(|warning| line_of(&mut out, &format!("warning: {warning}")));
    out
}

fn line_of(out: &mut String, text: &str) {
    let _ = writeln!(out, "  {text}");
}

/// The answer to a drain.
#[derive(Deserialize)]
pub(super) struct Draining {
    was_draining: bool,
}

/// `corelane drain`.
pub(super) fn draining(draining: &Draining) -> String {
    match draining.was_draining {
        true => "the node was draining already\n".to_owned(),
        false => "the node drains, and ends when what runs has ended, or at the deadline\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::command::{CoreStatus, ReloadFailure};

    #[test]
    fn a_callers_model_keeps_to_its_cell() {
        let stream = |model: &str| LiveStream { model: model.to_owned(), ..LiveStream::default() };
        let live = LiveStreams { streams: vec![stream(&"m".repeat(70_000)), stream("a\nb")], left_out: 0 };
        let text = streams(&live);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.contains("a\u{fffd}b") && text.contains("mmm…") && text.len() < 1000, "{text}");
    }

    #[test]
    fn a_status_is_read_at_a_glance() {
        let config = ConfigStatus {
            path: "/etc/corelane/config.json".to_owned(),
            generation: 3,
            digest: "00aa".to_owned(),
            secrets_digest: Some("11bb".to_owned()),
            loaded_at: "2026-11-23T12:00:00Z".to_owned(),
            watched: true,
            reloads: 2,
            reload_failures: 1,
            last_failure: Some(ReloadFailure {
                at: "2026-11-23T12:01:00Z".to_owned(),
                faults: vec!["one".to_owned(), "two".to_owned()],
            }),
            old_snapshots: 4,
            unusable_keys: vec!["the key \"a\" has no value".to_owned()],
            lacking_keys: vec!["azure/c: no token of Entra ID: no".to_owned()],
            disabled_keys: vec!["b".to_owned()],
        };
        let core = CoreStatus { core: 0, generation: 3, connections: 120, requests: 7, streams: 5 };
        let whole = Status {
            version: "0.1.0".to_owned(),
            node: "host".to_owned(),
            pid: 42,
            address: "127.0.0.1:8080".to_owned(),
            uptime_s: 3 * 3600 + 125,
            draining: false,
            driver: "epoll".to_owned(),
            driver_because: "io_uring: no".to_owned(),
            config,
            cores: vec![core],
            silent_cores: vec![1],
            log: Some(LogStatus {
                store: "sqlite a.db".to_owned(),
                is_up: false,
                rows_written: 9,
                rows_dropped: 1,
            }),
        };
        let expected = "\
corelane 0.1.0 on host, 127.0.0.1:8080, process 42
state         serving since 3 h 2 min
driver        epoll (io_uring: no)
config        /etc/corelane/config.json
generation    3, digest 00aa, loaded 2026-11-23T12:00:00Z
secrets       digest 11bb
reloads       2 applied, 1 refused, watched
older         4 held by requests
without value the key \"a\" has no value
cannot serve  azure/c: no token of Entra ID: no
disabled key  b
refused       the newest config, 2026-11-23T12:01:00Z:
              one
              two
log           sqlite a.db, DOWN, 9 rows written, 1 lost
SILENT        core 1 did not report in its time: is it stuck?

core  generation  connections  requests  streams
   0           3          120         7        5
";
        assert_eq!(status(&whole), expected);
    }

    #[test]
    fn streams_are_a_table_the_oldest_first() {
        let stream = |id: &str, age_ms, events| LiveStream {
            core: 1,
            id: id.to_owned(),
            provider: "openai".to_owned(),
            key: "first".to_owned(),
            model: "gpt-4o".to_owned(),
            generation: 2,
            age_ms,
            events,
        };
        let live =
            LiveStreams { streams: vec![stream("a", 1_250, 3), stream("b", 61_000, 1000)], left_out: 5 };
        let expected = "\
id  core  provider  key    model   generation        age  events
b      1  openai    first  gpt-4o           2  1 min 1 s    1000
a      1  openai    first  gpt-4o           2      1.2 s       3
and 5 more
";
        assert_eq!(streams(&live), expected);
        assert_eq!(streams(&LiveStreams::default()), "no stream runs\n");
    }

    #[test]
    fn a_reload_says_what_changed() {
        let same = Reloaded { generation: 2, digest: "00aa".to_owned(), ..Reloaded::default() };
        assert_eq!(reloaded(&same), "nothing changed: generation 2, digest 00aa\n");
        let changed = Reloaded {
            changes: vec!["key a: added".to_owned()],
            warnings: vec!["key b has no value".to_owned()],
            ..same
        };
        let expected =
            "every core runs generation 2, digest 00aa\n  key a: added\n  warning: key b has no value\n";
        assert_eq!(reloaded(&changed), expected);
    }

    #[test]
    fn spans_have_two_units() {
        let spans = [0, 59, 61, 3_660, 90_000].map(span);
        assert_eq!(spans, ["0 s", "59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
    }
}
