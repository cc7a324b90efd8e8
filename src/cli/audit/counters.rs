//! What the proxies counted: requests, and lines that access loggers dropped.

/// What Envoy's counters say.
#[derive(Debug, Default)]
pub(super) struct Stats {
    pub(super) requests: u64,
    pub(super) dropped: u64,
}

impl Stats {
    /// Reads `NAME: VALUE` lines of Envoy's `/stats`, or Prometheus' text. False: it has no counter of ours.
    pub(super) fn add(&mut self, text: &str) -> bool {
        let mut is_ours = false;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once([' ', ':']) else { continue };
            let Ok(value) = value.trim().parse::<u64>() else { continue };
            let name = name.trim_end_matches(':').split('{').next().unwrap_or_default();
            if name.contains("bartizan.requests") || name.ends_with("bartizan_requests") {
                is_ours = true;
                self.requests = self.requests.saturating_add(value);
            } else if ["logs_dropped", "write_failed"].iter().any(|word| name.ends_with(word)) {
                self.dropped = self.dropped.saturating_add(value);
            }
        }
        is_ours
    }
}
