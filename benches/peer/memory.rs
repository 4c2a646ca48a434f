//! What Linux says of this process's memory.

/// Bytes that `/proc/self/status` gives a field in KiB; `None` where there is no such file.
fn status(field: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Most bytes that were resident at once.
pub(crate) fn peak_bytes() -> Option<u64> {
    status("VmHWM")
}

/// Bytes that are resident now.
pub(crate) fn resident_bytes() -> Option<u64> {
    status("VmRSS")
}
