//! `bartizan audit`: what the audit log says.

mod report;

use clap::Subcommand;

use super::output::Exit;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sum up audit records: traffic, refusals, rules, callers, cost, latency, as text, a page or JSON
    Report(report::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    match &arguments.command {
        Command::Report(arguments) => report::run(arguments),
    }
}
