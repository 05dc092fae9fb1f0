//! What a process used, from `/proc`: CPU time of all its threads by name, and resident memory.

use std::collections::BTreeMap;
use std::fs;
use std::io;

/// The kernel counts user-visible CPU time in hundredths of a second on every machine (USER_HZ).
const TICK_US: f64 = 10_000.0;

/// CPU time, user and system together, of some processes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cpu {
    /// Of all threads, those that ended included, microseconds.
    pub total_us: f64,
    /// Of the threads that live, summed by their names, microseconds.
    pub by_thread_us: BTreeMap<String, f64>,
}

impl Cpu {
    /// What was used since an earlier reading.
    pub fn since(&self, earlier: &Self) -> Self {
        let used = |(name, us): (&String, &f64)| {
            (name.clone(), us - earlier.by_thread_us.get(name).copied().unwrap_or_default())
        };
        Self {
            total_us: self.total_us - earlier.total_us,
            by_thread_us: self.by_thread_us.iter().map(used).collect(),
        }
    }
}

/// What the processes have used since they began.
pub fn cpu(pids: &[u32]) -> io::Result<Cpu> {
    let mut cpu = Cpu::default();
    for pid in pids {
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        cpu.total_us += parse(&stat)?.ticks as f64 * TICK_US;
        for thread in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
            let Ok(stat) = fs::read_to_string(thread.path().join("stat")) else { continue };
            let stat = parse(&stat)?;
            *cpu.by_thread_us.entry(stat.name.to_owned()).or_default() += stat.ticks as f64 * TICK_US;
        }
    }
    Ok(cpu)
}

/// The process and its children, theirs included.
pub fn family(pid: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|child| {
            Some((child, parse(&fs::read_to_string(format!("/proc/{child}/stat")).ok()?).ok()?.parent))
        })
        .collect();
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        next += 1;
    }
    family
}

/// Resident memory of the processes, KiB.
pub fn resident_kib(pids: &[u32]) -> u64 {
    let status = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    pids.iter().map(|pid| resident_of(&status(pid))).sum()
}

fn resident_of(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// What a line of `/proc/…/stat` says (proc(5)).
#[derive(Debug, PartialEq)]
struct Stat<'a> {
    name: &'a str,
    parent: u32,
    /// Fields 14 and 15: user and system time.
    ticks: u64,
}

/// The name may hold blanks and brackets; the last bracket ends it.
fn parse(stat: &str) -> io::Result<Stat<'_>> {
    let read = || {
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Stat { name, parent: number(1)?.try_into().ok()?, ticks: number(11)? + number(12)? })
    };
    read().ok_or_else(|| io::Error::other(format!("not a stat line: {stat}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_with_a_wild_name() {
        let line = "4242 (a) b (c) S 17 4242 17 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 1 0 99 1 2 3";
        assert_eq!(parse(line).unwrap(), Stat { name: "a) b (c", parent: 17, ticks: 200 });
        assert!(parse("4242 nothing").is_err());
    }

    #[test]
    fn what_was_used_between_two_readings() {
        let reading =
            |total_us, log_us| Cpu { total_us, by_thread_us: [("corelane-log".to_owned(), log_us)].into() };
        assert_eq!(reading(30.0, 12.0).since(&reading(10.0, 2.0)), reading(20.0, 10.0));
        assert_eq!(reading(30.0, 12.0).since(&Cpu::default()), reading(30.0, 12.0));
    }

    #[test]
    fn this_process_is_found() {
        let me = std::process::id();
        assert_eq!(family(me).first(), Some(&me));
        assert!(resident_kib(&[me]) > 100);
        assert!(cpu(&[me]).unwrap().total_us >= 0.0);
        assert_eq!(resident_of("VmPeak: 9 kB\nVmRSS:\t  5120 kB\n"), 5120);
    }
}
