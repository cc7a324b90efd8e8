//! `bartizan audit`: what can be said of the records of the past.

mod counters;
mod drift;
mod erase;
mod keys;
mod lines;
mod order;
mod report;
mod verify;

use clap::Subcommand;

use super::output::Exit;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare records with a baseline: lengths, scripts, verdicts, refusals, scores, latency; and groups with each other
    Drift(drift::Arguments),
    /// Take a caller's records out of a log, each with a tombstone in its place that keeps the chain whole
    Erase(erase::Arguments),
    /// Make a key pair: the private half into FILE, for `audit.chain.key`; the public half is what `audit verify` needs
    Keygen(keys::Arguments),
    /// Sum up audit records: traffic, refusals, rules, callers, cost, latency, as text, a page or JSON
    Report(report::Arguments),
    /// Check the chain of records: what was changed, taken out, put in, cut off or moved, by line
    Verify(verify::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    match &arguments.command {
        Command::Drift(arguments) => drift::run(arguments),
        Command::Erase(arguments) => erase::run(arguments),
        Command::Keygen(arguments) => keys::run(arguments),
        Command::Report(arguments) => report::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
    }
}

/// A time of an argument, in seconds since 1970.
fn time(text: &str) -> Result<u64, String> {
    let nanos = crate::condition::moment(text).ok_or("not a time such as 2027-01-31T08:00:00Z")?;
    Ok(crate::host::Timestamp(nanos).as_secs())
}
