//! Memory and cores that this process may use: those of the machine, or less where its container says so.

use std::path::Path;

use super::cgroup;

/// What the defaults of a server are made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resources {
    /// Bytes; `None` where the system does not tell them.
    pub(super) memory: Option<u64>,
    /// Threads that can run at once, at least 1.
    pub(super) threads: usize,
}

impl Resources {
    pub(super) fn of_this_process() -> Self {
        // Follows the affinity mask, and with it cpusets.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::below(Path::new("/"), cores)
    }

    /// Those of a process that sees this root of the file system and so many cores.
    fn below(root: &Path, cores: usize) -> Self {
        let container = cgroup::Limits::read(root);
        let memory = total_memory(root).into_iter().chain(container.memory).min();
        Self { memory, threads: container.cores.map_or(cores, |quota| quota.min(cores)).max(1) }
    }
}

/// The machine's memory.
fn total_memory(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::cgroup::tests::tree;

    #[test]
    fn the_least_of_machine_and_container_counts() {
        let meminfo = ("proc/meminfo", "MemFree: 1 kB\nMemTotal:       24580096 kB\n");
        let group = ("proc/self/cgroup", "0::/\n");
        let mounts = ("proc/self/mountinfo", "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        let of = |max: &str, cpu: &str| {
            let root =
                tree(&[meminfo, group, mounts, ("sys/fs/cgroup/memory.max", max), ("sys/fs/cgroup/cpu.max", cpu)]);
            let Resources { memory, threads } = Resources::below(root.path(), 8);
            (memory.expect("it is known"), threads)
        };
        let machine = 24_580_096 << 10;
        assert_eq!(of("max\n", "max 100000\n"), (machine, 8));
        assert_eq!(of("1073741824\n", "250000 100000\n"), (1 << 30, 2));
        assert_eq!(of("99999999999999\n", "9900000 100000\n"), (machine, 8), "more than there is gives no more");
        assert_eq!(of("99999999999999999999\n", "50000 100000\n"), (machine, 1), "there is at least one thread");
        let nothing = tempfile::tempdir().expect("a folder");
        assert_eq!(Resources::below(nothing.path(), 3), Resources { memory: None, threads: 3 });
        assert!(Resources::of_this_process().threads >= 1);
    }
}
