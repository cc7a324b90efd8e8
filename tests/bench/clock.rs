//! Processor time, so that a busy machine measures nearly what a quiet one does.

/// Nanoseconds of processor time that this thread has used; in wasm, what the host's clock says: `scan.mjs` gives its own
/// process's.
pub fn cpu() -> u64 {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
    }
    #[cfg(not(unix))]
    {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0, |now| now.as_nanos() as u64)
    }
}

/// Nanoseconds of processor time since then.
pub fn since(start: u64) -> f64 {
    cpu().saturating_sub(start) as f64
}
