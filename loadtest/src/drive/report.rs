//! The figures of a run, as a Markdown table and as JSON. It computes medians and ratios, and states what was measured.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::Options;
use super::cases::Case;
use super::load::Count;
use super::process::Cpu;
use super::servers::Kind;
use crate::stats::{Spread, spread};

/// The threads of corelane whose work is not on a request's path, by their names in `/proc`: batches, and the store.
const LOG_THREADS: [&str; 2] = ["corelane-log", "corelane-store"];

/// One measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// CPU per unit, microseconds; a unit is an answer, in a stream an event.
    cpu_per_answer_us: f64,
    cpu_per_event_us: f64,
    /// The log threads' part of the CPU, 0 to 1.
    log_share: f64,
    answers_per_s: f64,
    events_per_s: f64,
    /// The server's use of its core, 0 to 1.
    busy: f64,
    failures: u64,
    by_thread_us: BTreeMap<String, f64>,
}

impl Row {
    /// From the readings at both ends of the measured time.
    pub fn new(cpu_before: &Cpu, cpu_after: &Cpu, before: Count, after: Count, seconds: f64) -> Self {
        let cpu = cpu_after.since(cpu_before);
        let answers = (after.answers - before.answers) as f64;
        let events = (after.events - before.events) as f64;
        let log_us: f64 = LOG_THREADS.iter().filter_map(|name| cpu.by_thread_us.get(*name)).sum();
        Self {
            cpu_per_answer_us: cpu.total_us / answers,
            cpu_per_event_us: cpu.total_us / events,
            log_share: if cpu.total_us > 0.0 { log_us / cpu.total_us } else { 0.0 },
            answers_per_s: answers / seconds,
            events_per_s: events / seconds,
            busy: cpu.total_us / 1e6 / seconds,
            failures: after.failures - before.failures,
            by_thread_us: cpu.by_thread_us,
        }
    }
}

/// All measurements of a run.
pub struct Report {
    command: String,
    connections: usize,
    rows: Vec<(Case, Kind, Row)>,
    /// Resident memory of each server after its last load, KiB.
    pub resident: Vec<(Kind, u64)>,
    /// What each logging server counted of its rows over the run, as it words it in `/metrics`.
    pub log_counts: Vec<(Kind, String)>,
}

/// One line of the table.
struct Line {
    case: Case,
    kind: Kind,
    cpu_us: Spread,
    data_plane_us: Spread,
    per_second: Spread,
    busy: Spread,
    failures: u64,
}

impl Report {
    /// An empty one.
    pub fn new(options: &Options) -> Self {
        let command = std::env::args().collect::<Vec<_>>().join(" ");
        Self {
            command,
            connections: options.connections,
            rows: Vec::new(),
            resident: Vec::new(),
            log_counts: Vec::new(),
        }
    }

    /// Adds one measurement.
    pub fn add(&mut self, case: Case, kind: Kind, row: Row) {
        self.rows.push((case, kind, row));
    }

    /// The table that people read.
    pub fn to_markdown(&self) -> String {
        let mut text = String::new();
        for (name, value) in machine() {
            let _ = writeln!(text, "{name}: {value}  ");
        }
        let _ = writeln!(text, "Command: {}  ", self.command);
        let _ = writeln!(
            text,
            "{} connections, one request at a time each; the server on one core, mock, load and database on the other. \
             CPU is utime + stime of all threads of the server; medians of the rounds. Streams count per event.\n",
            self.connections
        );
        text.push_str("| load | server | CPU µs | least – most | without log threads | per second | core | × nginx | × relay | failed |\n");
        text.push_str("|---|---|---|---|---|---|---|---|---|---|\n");
        let lines = self.lines();
        for line in &lines {
            let Spread { median, least, most } = line.cpu_us;
            let _ = writeln!(
                text,
                "| {} | {} | {median:.2} | {least:.2} – {most:.2} | {:.2} | {:.0} | {:.0} % | {} | {} | {} |",
                line.case,
                line.kind,
                line.data_plane_us.median,
                line.per_second.median,
                line.busy.median * 100.0,
                ratio(&lines, line, Kind::Nginx),
                ratio(&lines, line, Kind::Relay),
                line.failures,
            );
        }
        let resident: Vec<String> = self
            .resident
            .iter()
            .map(|(kind, kib)| format!("{kind} {:.1} MiB", *kib as f64 / 1024.0))
            .collect();
        let _ = writeln!(text, "\nResident at the end: {}.", resident.join(", "));
        for (kind, counts) in &self.log_counts {
            let _ = writeln!(text, "\n{kind}: {counts}.");
        }
        text
    }

    /// Every measurement of every round.
    pub fn to_json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|(case, kind, row)| {
                json!({
                    "load": case.to_string(),
                    "server": kind.to_string(),
                    "cpu_per_answer_us": row.cpu_per_answer_us,
                    "cpu_per_event_us": row.cpu_per_event_us,
                    "log_share": row.log_share,
                    "answers_per_s": row.answers_per_s,
                    "events_per_s": row.events_per_s,
                    "busy": row.busy,
                    "failures": row.failures,
                    "by_thread_us": row.by_thread_us,
                })
            })
            .collect();
        let resident: BTreeMap<String, u64> =
            self.resident.iter().map(|(kind, kib)| (kind.to_string(), *kib)).collect();
        let machine: BTreeMap<&str, String> = machine().into_iter().collect();
        json!({
            "machine": machine,
            "command": self.command,
            "connections": self.connections,
            "rounds": rows,
            "resident_kib": resident,
        })
    }

    fn lines(&self) -> Vec<Line> {
        let mut seen: Vec<(Case, Kind)> = Vec::new();
        for (case, kind, _) in &self.rows {
            if !seen.contains(&(*case, *kind)) {
                seen.push((*case, *kind));
            }
        }
        seen.into_iter().filter_map(|(case, kind)| self.line(case, kind)).collect()
    }

    fn line(&self, case: Case, kind: Kind) -> Option<Line> {
        let rows: Vec<&Row> =
            self.rows.iter().filter(|row| (row.0, row.1) == (case, kind)).map(|row| &row.2).collect();
        let over =
            |figure: &dyn Fn(&Row) -> f64| spread(&rows.iter().map(|row| figure(row)).collect::<Vec<_>>());
        let cpu = |row: &Row| if case.is_stream() { row.cpu_per_event_us } else { row.cpu_per_answer_us };
        let rate = |row: &Row| if case.is_stream() { row.events_per_s } else { row.answers_per_s };
        Some(Line {
            case,
            kind,
            cpu_us: over(&cpu)?,
            data_plane_us: over(&|row| cpu(row) * (1.0 - row.log_share))?,
            per_second: over(&rate)?,
            busy: over(&|row| row.busy)?,
            failures: rows.iter().map(|row| row.failures).sum(),
        })
    }
}

fn ratio(lines: &[Line], line: &Line, to: Kind) -> String {
    let other = lines.iter().find(|other| other.case == line.case && other.kind == to);
    other.map_or("–".to_owned(), |other| format!("{:.2}", line.cpu_us.median / other.cpu_us.median))
}

/// What the figures depend on.
fn machine() -> Vec<(&'static str, String)> {
    let first = |text: String, prefix: &str| {
        let line = text.lines().find(|line| line.starts_with(prefix)).unwrap_or_default().to_owned();
        line.rsplit_once(':').map_or(line.clone(), |(_, value)| value.trim().to_owned())
    };
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let nginx =
        Command::new("/usr/sbin/nginx").arg("-v").output().map(|output| output.stderr).unwrap_or_default();
    let cores = read("/proc/cpuinfo").lines().filter(|line| line.starts_with("processor")).count();
    vec![
        ("Machine", format!("{cores} cores, {}", first(read("/proc/cpuinfo"), "model name"))),
        ("Kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
        ("nginx", String::from_utf8_lossy(&nginx).trim().replace("nginx version: nginx/", "")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn medians_and_ratios() {
        let mut report = Report::new(&Options::parse_from(["drive"]));
        for (kind, totals) in [(Kind::Nginx, [20.0, 30.0, 10.0]), (Kind::Corelane, [15.0, 15.0, 15.0])] {
            for total_us in totals {
                let after =
                    Cpu { total_us, by_thread_us: [(LOG_THREADS[0].to_owned(), total_us / 5.0)].into() };
                let count = Count { answers: 1, events: 10, failures: 1 };
                report.add(
                    Case::Whole1,
                    kind,
                    Row::new(&Cpu::default(), &after, Count::default(), count, 1.0),
                );
            }
        }
        let table = report.to_markdown();
        assert!(
            table.contains("| 1 KB | nginx | 20.00 | 10.00 – 30.00 | 16.00 | 1 | 0 % | 1.00 | – | 3 |"),
            "{table}"
        );
        assert!(table.contains("| 0.75 | – | 3 |"), "{table}");
        assert_eq!(report.to_json()["rounds"].as_array().unwrap().len(), 6);
    }
}
