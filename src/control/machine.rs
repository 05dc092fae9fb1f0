//! What the machine, or the container, gives this process: processors, memory, its name. Read once, at start.

use std::fs;
use std::num::NonZero;

/// The processors that this process may use: affinity, cpuset and the cgroup's quota honoured.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// The host's name; in a container its own.
pub fn node_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "unknown".to_owned() } else { name.to_owned() }
}

/// Bytes that the bodies of one of `workers` cores may hold together: a quarter of the memory, shared out.
pub fn body_budget_bytes(workers: usize) -> usize {
    memory_bytes() / 4 / workers.max(1)
}

/// What is assumed where the kernel does not tell.
const MEMORY_BYTES_FALLBACK: usize = 1024 * 1024 * 1024;

fn memory_bytes() -> usize {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_bytes(&text));
    let limit = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit =
        limit.iter().find_map(|path| fs::read_to_string(path).ok()).and_then(|text| limit_bytes(&text));
    let machine = machine.unwrap_or(MEMORY_BYTES_FALLBACK);
    limit.map_or(machine, |limit| limit.min(machine))
}

fn total_bytes(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// `max` means none.
fn limit_bytes(text: &str) -> Option<usize> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_the_kernels_words() {
        assert_eq!(total_bytes("MemTotal:       24652000 kB\nMemFree: 1 kB\n"), Some(24_652_000 * 1024));
        assert_eq!(limit_bytes("268435456\n"), Some(268_435_456));
        assert_eq!(limit_bytes("max\n"), None);
    }
}
