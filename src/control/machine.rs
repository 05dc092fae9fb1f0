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

/// Files that this process may have open (RLIMIT_NOFILE, soft).
pub fn open_files() -> u64 {
    rlimit::Resource::NOFILE.get_soft().unwrap_or_default()
}

/// A sentence when `server.max_connections_per_core` on each of `workers` cores is more than this process may have open:
/// a connection in and one out is two.
pub fn short_of_files(connections_per_core_max: usize, workers: usize) -> Option<String> {
    let wanted = (connections_per_core_max as u64).saturating_mul(workers as u64).saturating_mul(2);
    let open_files = open_files();
    (wanted > open_files).then(|| {
        format!(
            "server.max_connections_per_core wants {wanted} open files with a connection out for each, and the limit is \
             {open_files}: connections beyond it wait to be accepted; raise the hard limit (ulimit -Hn, LimitNOFILE) and \
             restart, or lower the key"
        )
    })
}

/// Bytes that the bodies of one of `workers` cores may hold together: a quarter of the memory, shared out.
pub fn body_budget_bytes(workers: usize) -> usize {
    memory_bytes() / 4 / workers.max(1)
}

/// What is assumed where the kernel does not tell.
const MEMORY_BYTES_FALLBACK: usize = 1024 * 1024 * 1024;
/// Where cgroup v2 is mounted, and the memory controller of v1.
const UNIFIED_ROOT: &str = "/sys/fs/cgroup";
const MEMORY_ROOT: &str = "/sys/fs/cgroup/memory";

fn memory_bytes() -> usize {
    let read = |path: &str| fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| total_bytes(&text));
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    let limit = limit_files(&groups).iter().filter_map(|path| limit_bytes(&read(path)?)).min();
    let machine = machine.unwrap_or(MEMORY_BYTES_FALLBACK);
    limit.map_or(machine, |limit| limit.min(machine))
}

/// The files that hold the memory limits of this process's cgroup and of those around it, for `/proc/self/cgroup`'s text:
/// each of them binds. The outermost is always among them, since in a container it is the container's own.
fn limit_files(groups: &str) -> Vec<String> {
    let mut files =
        vec![format!("{UNIFIED_ROOT}/memory.max"), format!("{MEMORY_ROOT}/memory.limit_in_bytes")];
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = match controllers {
            "" => (UNIFIED_ROOT, "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (MEMORY_ROOT, "memory.limit_in_bytes")
            }
            _ => continue,
        };
        files.extend(with_parents(path).map(|path| format!("{root}{path}/{file}")));
    }
    files
}

/// `/a/b`, then `/a`. Nothing of a path that leads out of the cgroup namespace, which we cannot see.
fn with_parents(path: &str) -> impl Iterator<Item = &str> {
    let is_inside = !path.split('/').any(|part| part == "..");
    let path = Some(path.trim_end_matches('/')).filter(|path| is_inside && !path.is_empty());
    std::iter::successors(path, |path| path.rsplit_once('/').map(|(parent, _)| parent))
        .filter(|path| !path.is_empty())
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

    #[test]
    fn a_nested_cgroups_limits_are_found_up_to_the_root() {
        let (unified, old) = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes");
        for groups in ["", "0::/\n", "0::/../../other\n", "nonsense"] {
            assert_eq!(limit_files(groups), [unified, old], "{groups}");
        }
        assert_eq!(
            limit_files("0::/system.slice/corelane.service\n"),
            [
                unified,
                old,
                "/sys/fs/cgroup/system.slice/corelane.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
            ]
        );
        assert_eq!(
            limit_files("12:cpu,cpuacct:/a\n9:memory:/docker/1:2\n1:name=systemd:/b\n"),
            [
                unified,
                old,
                "/sys/fs/cgroup/memory/docker/1:2/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
            ]
        );
    }
}
