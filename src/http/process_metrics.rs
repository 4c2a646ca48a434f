//! `process_*` of `/metrics`: figures of the operating system on this process, under the names that all Prometheus clients
//! use.
//!
//! Written as text, for the recorder's counters hold whole numbers and a time is none. Where there is no `/proc`, as outside
//! Linux, they are absent.

use std::fmt::Write;

/// The figures as Prometheus reads them; what the system does not tell is left out. **Blocks.**
pub(super) fn render() -> String {
    let mut text = String::new();
    for (name, kind, help, value) in figures() {
        if let Some(value) = value {
            let figure = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n");
            figure.expect("a string takes everything");
        }
    }
    text
}

type Figure = (&'static str, &'static str, &'static str, Option<f64>);

#[cfg(target_os = "linux")]
fn figures() -> [Figure; 7] {
    let stat = std::fs::read_to_string("/proc/self/stat").ok();
    let stat = stat.as_deref().and_then(Stat::parse);
    let of = |value: fn(&Stat) -> f64| stat.as_ref().map(value);
    let open = std::fs::read_dir("/proc/self/fd").ok();
    // The folder is read through one of its own.
    let open = open.map(|entries| entries.count().saturating_sub(1) as f64);
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let resident = std::fs::read_to_string("/proc/self/status").ok().and_then(|text| resident_bytes(&text));
    let boot = std::fs::read_to_string("/proc/stat").ok().and_then(|text| boot_time(&text));
    [
        ("process_cpu_seconds_total", "counter", "Time on processors, of user and system.", of(Stat::cpu_seconds)),
        ("process_resident_memory_bytes", "gauge", "Memory that is in RAM.", resident),
        ("process_virtual_memory_bytes", "gauge", "Size of the address space.", of(Stat::virtual_bytes)),
        ("process_open_fds", "gauge", "File descriptors that are open.", open),
        ("process_max_fds", "gauge", "File descriptors that may be open.", most.map(|most| most as f64)),
        ("process_threads", "gauge", "Threads.", of(Stat::threads)),
        (
            "process_start_time_seconds",
            "gauge",
            "When the process started, in seconds since 1970.",
            boot.zip(of(Stat::start_seconds)).map(|(boot, start)| boot + start),
        ),
    ]
}

#[cfg(not(target_os = "linux"))]
fn figures() -> [Figure; 0] {
    []
}

/// What `/proc/self/stat` says (proc_pid_stat(5)).
#[cfg(target_os = "linux")]
struct Stat {
    /// Ticks of the clock in user mode, and in the kernel.
    ticks: [u64; 2],
    threads: u64,
    /// Ticks from the system's boot to the process's start.
    start: u64,
    bytes: u64,
}

/// Ticks of the clock in a second, as `/proc` counts them: USER_HZ, which is 100 on every architecture of today.
#[cfg(target_os = "linux")]
const TICKS: f64 = 100.0;

#[cfg(target_os = "linux")]
impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in brackets, and may hold anything.
        let fields: Vec<_> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        // Counted as the manual does, in which the first field after the name is the third.
        let field = |number: usize| fields.get(number - 3)?.parse().ok();
        Some(Self { ticks: [field(14)?, field(15)?], threads: field(20)?, start: field(22)?, bytes: field(23)? })
    }

    fn seconds(ticks: u64) -> f64 {
        ticks as f64 / TICKS
    }

    fn cpu_seconds(&self) -> f64 {
        Self::seconds(self.ticks[0] + self.ticks[1])
    }

    fn start_seconds(&self) -> f64 {
        Self::seconds(self.start)
    }

    fn threads(&self) -> f64 {
        self.threads as f64
    }

    fn virtual_bytes(&self) -> f64 {
        self.bytes as f64
    }
}

/// Bytes in RAM, as `/proc/self/status` says.
#[cfg(target_os = "linux")]
fn resident_bytes(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// When the system booted, in seconds since 1970, as `/proc/stat` says.
#[cfg(target_os = "linux")]
fn boot_time(text: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_programs_name_may_hold_anything() {
        let fields = (3..=52).map(|number| number.to_string()).collect::<Vec<_>>().join(" ");
        let stat = Stat::parse(&format!("1 (a) b ) {fields}")).expect("all fields");
        assert_eq!((stat.ticks, stat.threads, stat.start), ([14, 15], 20, 22));
        assert_eq!(stat.bytes, 23);
        assert_eq!(resident_bytes("VmSize:\t  9 kB\nVmRSS:\t  12 kB\n"), Some(12_288.0));
        assert!(Stat::parse("1 (a) S 1").is_none());
        assert_eq!(boot_time("cpu 1 2\nbtime 1700000000\nprocesses 3\n"), Some(1_700_000_000.0));
    }

    #[test]
    fn this_process_is_told_of() {
        let found: Vec<_> = figures().into_iter().map(|(name, .., value)| (name, value.expect(name))).collect();
        assert!(found.iter().all(|(_, value)| *value >= 0.0), "{found:?}");
        let started = found.iter().find(|(name, _)| *name == "process_start_time_seconds").expect("it is there").1;
        let now = jiff::Timestamp::now().as_second() as f64;
        assert!((0.0..86_400.0).contains(&(now - started)), "{started} is within a day before {now}");
        assert!(render().contains("\nprocess_resident_memory_bytes "));
    }
}
