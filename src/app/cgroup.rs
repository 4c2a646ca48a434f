//! Limits of the control groups (cgroup v1 and v2) that this process is in: what a container may use.
//!
//! A limit of any group on the path from the mount point of the hierarchy down to the process' own group holds for the
//! process, so the least of them counts. `memory.high` counts like `memory.max`: a process above it is slowed down until it
//! is of no use. See `cgroups(7)` and the kernel's `cgroup-v1/memory.rst`, `cgroup-v2.rst`.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// The least limits along the path; `None` where there is none, or it cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// Bytes.
    pub(super) memory: Option<u64>,
    /// Whole cores of the quota of processor time, which may be 0.
    pub(super) cores: Option<usize>,
}

/// A mounted hierarchy of control groups.
#[derive(Debug)]
struct Mount {
    /// Path within the hierarchy that is visible at `point`.
    root: PathBuf,
    point: PathBuf,
    /// Controllers of a v1 hierarchy; `None` for v2, which has all that v1 has not.
    controllers: Option<Vec<String>>,
}

impl Limits {
    /// Limits of this process, as `/proc` and the mounted hierarchies below `root` tell them.
    pub(super) fn read(root: &Path) -> Self {
        let text = |path| fs::read_to_string(root.join(path)).unwrap_or_default();
        let mounts: Vec<_> = text("proc/self/mountinfo").lines().filter_map(parse_mount).collect();
        let mut limits = Self::default();
        for (controllers, group) in text("proc/self/cgroup").lines().filter_map(parse_group) {
            for folder in folders(root, &mounts, controllers, group) {
                if controllers.is_empty() {
                    limits.add_v2(&folder);
                } else {
                    limits.add_v1(&folder);
                }
            }
        }
        limits
    }

    fn add_v2(&mut self, folder: &Path) {
        for file in ["memory.max", "memory.high"] {
            self.add_memory(read(folder, file).and_then(|text| text.parse().ok()));
        }
        if let Some((quota, period)) = read(folder, "cpu.max").as_deref().and_then(|text| text.split_once(' ')) {
            self.add_quota(quota.parse().ok(), period.parse().ok());
        }
    }

    fn add_v1(&mut self, folder: &Path) {
        self.add_memory(read(folder, "memory.limit_in_bytes").and_then(|text| text.parse().ok()));
        // Limits of groups above the mount point, which are not visible otherwise.
        let stat = read(folder, "memory.stat").unwrap_or_default();
        let above = stat.lines().find_map(|line| line.strip_prefix("hierarchical_memory_limit "));
        self.add_memory(above.and_then(|text| text.parse().ok()));
        let number = |file| read(folder, file).and_then(|text| text.parse().ok());
        self.add_quota(number("cpu.cfs_quota_us"), number("cpu.cfs_period_us"));
    }

    fn add_memory(&mut self, bytes: Option<u64>) {
        self.memory = self.memory.into_iter().chain(bytes).min();
    }

    /// Adds a quota of processor time, in microseconds a period; v1 says -1 where there is none.
    fn add_quota(&mut self, quota: Option<i64>, period: Option<i64>) {
        let (Some(quota), Some(period)) = (quota, period) else { return };
        if let (Ok(quota), Ok(period)) = (usize::try_from(quota), usize::try_from(period)) {
            self.cores = self.cores.into_iter().chain(quota.checked_div(period)).min();
        }
    }
}

fn read(folder: &Path, file: &str) -> Option<String> {
    Some(fs::read_to_string(folder.join(file)).ok()?.trim().to_owned())
}

/// Folders of a group and of those above it, as far as they are visible.
fn folders(root: &Path, mounts: &[Mount], controllers: &str, group: &str) -> Vec<PathBuf> {
    let of_this: Vec<_> = mounts.iter().filter(|mount| mount.shows(controllers)).collect();
    let group = Path::new(group);
    let is_plain =
        |path: &Path| path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let below = |mount: &&Mount| {
        let inner = group.strip_prefix(&mount.root).ok().filter(|inner| is_plain(inner) && is_plain(&mount.root))?;
        Some((mount.point.clone(), inner.to_owned()))
    };
    let mut visible: Vec<_> = of_this.iter().filter_map(below).collect();
    if visible.is_empty() {
        // In another namespace of groups than that of the mount: the mount point is the nearest group that can be seen.
        visible = of_this.iter().map(|mount| (mount.point.clone(), PathBuf::new())).collect();
    }
    let folders = |(point, inner): (PathBuf, PathBuf)| {
        let point = root.join(point.strip_prefix("/").unwrap_or(&point));
        inner.ancestors().map(|inner| point.join(inner)).collect::<Vec<_>>()
    };
    visible.into_iter().flat_map(folders).collect()
}

impl Mount {
    /// Whether this is the hierarchy of a line of `/proc/self/cgroup`.
    fn shows(&self, controllers: &str) -> bool {
        match &self.controllers {
            None => controllers.is_empty(),
            Some(mounted) => controllers.split(',').any(|name| mounted.iter().any(|other| other == name)),
        }
    }
}

/// Controllers and path of a line of `/proc/self/cgroup` whose limits we read; no controllers for v2.
fn parse_group(line: &str) -> Option<(&str, &str)> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let matters = controllers.is_empty() || controllers.split(',').any(|name| name == "memory" || name == "cpu");
    matters.then_some((controllers, path))
}

/// A line of `/proc/self/mountinfo`, if it is a hierarchy of control groups.
fn parse_mount(line: &str) -> Option<Mount> {
    let (mount, kind) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(3);
    let (root, point) = (unescape(fields.next()?), unescape(fields.next()?));
    let mut kind = kind.split(' ');
    let controllers = match kind.next()? {
        "cgroup2" => None,
        "cgroup" => Some(kind.nth(1)?.split(',').map(str::to_owned).collect()),
        _ => return None,
    };
    Some(Mount { root, point, controllers })
}

/// A path without the octal escapes of `/proc`.
fn unescape(text: &str) -> PathBuf {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(text.to_owned(), |text, (escape, character)| text.replace(escape, character)).into()
}

#[cfg(test)]
pub(super) mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A root of a file system with these files.
    pub(in crate::app) fn tree(files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        root
    }

    fn limits(files: &[(&str, &str)]) -> (Option<u64>, Option<usize>) {
        let Limits { memory, cores } = Limits::read(tree(files).path());
        (memory, cores)
    }

    const V2: (&str, &str) = ("proc/self/mountinfo", "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n");
    const V1: (&str, &str) = (
        "proc/self/mountinfo",
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
         35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 master:2 - cgroup cgroup rw,memory\n\
         36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n",
    );
    const UNLIMITED: &str = "9223372036854771712\n";

    #[test]
    fn v2_takes_the_least_along_the_path() {
        let group = ("proc/self/cgroup", "0::/a.slice/b.service\n");
        let own = ("sys/fs/cgroup/a.slice/b.service/memory.max", "4000\n");
        assert_eq!(limits(&[V2, group, own]), (Some(4000), None));
        let above =
            [("sys/fs/cgroup/a.slice/memory.max", "3000\n"), ("sys/fs/cgroup/a.slice/cpu.max", "400000 100000\n")];
        assert_eq!(limits(&[V2, group, own, above[0], above[1]]), (Some(3000), Some(4)));
        let cpu = ("sys/fs/cgroup/a.slice/b.service/cpu.max", "150000 50000\n");
        assert_eq!(limits(&[V2, group, cpu, above[0], above[1]]), (Some(3000), Some(3)));
        let none = [
            ("sys/fs/cgroup/a.slice/b.service/memory.max", "max\n"),
            ("sys/fs/cgroup/a.slice/cpu.max", "max 100000\n"),
        ];
        assert_eq!(limits(&[V2, group, none[0], none[1]]), (None, None));
        let high = ("sys/fs/cgroup/a.slice/b.service/memory.high", "2000\n");
        assert_eq!(limits(&[V2, group, own, high]).0, Some(2000), "what is above it is slowed down");
        let beside = ("sys/fs/cgroup/other/memory.max", "1\n");
        assert_eq!(limits(&[V2, group, own, beside]).0, Some(4000));
    }

    #[test]
    fn v1_takes_the_least_along_each_path() {
        let group = ("proc/self/cgroup", "9:name=systemd:/\n4:memory:/docker/x/y\n2:cpu,cpuacct:/docker/x\n");
        let memory = |folder: &'static str, bytes: &'static str| (folder, bytes);
        let own = memory("sys/fs/cgroup/memory/docker/x/y/memory.limit_in_bytes", UNLIMITED);
        let above = memory("sys/fs/cgroup/memory/docker/memory.limit_in_bytes", "5000\n");
        let quota = ("sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us", "250000\n");
        let period = ("sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_period_us", "100000\n");
        assert_eq!(limits(&[V1, group, own, above, quota, period]), (Some(5000), Some(2)));
        let no_quota = ("sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us", "-1\n");
        assert_eq!(limits(&[V1, group, own, no_quota, period]), (Some(9_223_372_036_854_771_712), None));
        // The group above the mount point has a limit.
        let stat = ("sys/fs/cgroup/memory/docker/x/y/memory.stat", "cache 1\nhierarchical_memory_limit 700\nrss 2\n");
        assert_eq!(limits(&[V1, group, own, stat]).0, Some(700));
    }

    #[test]
    fn a_container_sees_its_own_group_at_the_mount_point() {
        // Docker on v1, without a namespace of groups: the path is the machine's, the mount shows the container's part.
        let mounts = ("proc/self/mountinfo", "9 8 0:3 /docker/x /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
        let own = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "800\n");
        for path in ["/docker/x", "/docker/x/gone", "/", "/elsewhere", "/../../docker/x", "/docker/xy"] {
            let group = format!("4:memory:{path}\n");
            assert_eq!(limits(&[mounts, ("proc/self/cgroup", &group), own]).0, Some(800), "{path}");
        }
        // v2 in a namespace of groups, and a process that has entered it from outside.
        let own = ("sys/fs/cgroup/memory.max", "900\n");
        for path in ["/", "/../..", "/../x", "/child"] {
            let group = format!("0::{path}\n");
            assert_eq!(limits(&[V2, ("proc/self/cgroup", &group), own]).0, Some(900), "{path}");
        }
        let outside = ("proc/self/mountinfo", "30 24 0:26 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        assert_eq!(limits(&[outside, ("proc/self/cgroup", "0::/\n"), own]).0, Some(900));
    }

    #[test]
    fn a_hybrid_counts_both_versions() {
        let mounts = format!("{}41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", V1.1);
        let group = ("proc/self/cgroup", "4:memory:/a\n1:cpu,cpuacct:/\n0::/b\n");
        let memory = ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "600\n");
        let cpu = ("sys/fs/cgroup/unified/b/cpu.max", "100000 100000\n");
        assert_eq!(limits(&[("proc/self/mountinfo", &mounts), group, memory, cpu]), (Some(600), Some(1)));
    }

    #[test]
    fn what_is_missing_or_malformed_is_no_limit() {
        assert_eq!(limits(&[]), (None, None));
        assert_eq!(limits(&[V2]), (None, None));
        let group = ("proc/self/cgroup", "0::/a\n\nx\n7:\n");
        let file = |path: &'static str, text: &'static str| (path, text);
        let (memory, cpu) = ("sys/fs/cgroup/a/memory.max", "sys/fs/cgroup/a/cpu.max");
        for text in ["", "-1", "many", "1.5", "99999999999999999999999"] {
            assert_eq!(limits(&[V2, group, file(memory, text)]), (None, None), "{text}");
        }
        for text in ["", "max", "100000", "100000 0", "x 100000", "-1 100000", "100000 100000 1"] {
            assert_eq!(limits(&[V2, group, file(cpu, text)]), (None, None), "{text}");
        }
        let mounts =
            ("proc/self/mountinfo", "nothing\n1 2 3 - cgroup2\n30 24 0:26 / /sys/my\\040groups rw - cgroup2 x rw\n");
        let spaced = file("sys/my groups/a/memory.max", "500");
        assert_eq!(limits(&[mounts, group, spaced]).0, Some(500));
    }
}
