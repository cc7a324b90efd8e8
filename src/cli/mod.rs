//! The command line over the same core as the filter: `bartizan --help`.
//!
//! It reads files and the clock, asks the core, and prints. Exit codes: 0 fine, 1 findings (a
//! document with errors, a rule whose test fails), 2 wrong usage or a file that can't be read.
//! Results go to stdout, everything about the run itself to stderr.

mod audit;
mod capture;
mod check;
mod cost;
mod estimate;
mod eval;
mod explain;
mod marks;
mod models;
mod output;
mod page;
mod pins;
mod prompts;
mod records;
mod render;
mod replay;
mod rules;
mod samples;
pub mod schema;
mod source;
mod token;

use std::process::ExitCode;

use clap::builder::ValueParser;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub use output::Exit;

/// Checks, explains and tests Bartizan policies.
#[derive(Debug, Parser)]
#[command(
    name = "bartizan",
    version,
    about,
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 fine, 1 findings (a policy with errors, a refused text, a rule whose sample fails), \
                  2 wrong usage or a file that can't be read."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)] // there is one in a process
enum Command {
    /// What can be said of the records of the past
    Audit(audit::Arguments),
    /// Keys for captured requests, and the requests themselves
    Capture(capture::Arguments),
    /// Check policies: plain documents (YAML, JSON), WasmPlugins, EnvoyFilters, Envoy and ECDS files
    Check(check::Arguments),
    /// Say what requests of the past have cost
    Cost(cost::Arguments),
    /// Estimate the tokens of texts, as quotas do
    Estimate(estimate::Arguments),
    /// Measure recall and false positives of a policy on labelled text
    Eval(eval::Arguments),
    /// Say what would happen to a text or a request, and why
    Explain(explain::Arguments),
    /// The policy's models as a registry has them
    Models(models::Arguments),
    /// Print the hashes of what an MCP server defines, for `routes[].mcp.definitions`
    Pins(pins::Arguments),
    /// Versions of system prompts, for `prompts` and roles' `systemPrompts`
    Prompts(prompts::Arguments),
    /// Write a policy in the form that a proxy reads: JSON for Envoy, in an Envoy file, or as a WasmPlugin
    Render(render::Arguments),
    /// Say what a changed policy would have done with past requests
    Replay(replay::Arguments),
    /// List, test and bundle detection rules
    Rules(rules::Arguments),
    /// Print the JSON Schema of the policy document
    Schema(schema::Arguments),
    /// Keys and tokens for development: never for production
    Token(token::Arguments),
}

/// The command line. Any text may be an option's value: keys in base64url and ids begin with a hyphen, too.
fn command() -> clap::Command {
    fn takes_any_text(command: clap::Command) -> clap::Command {
        let text = ValueParser::string().type_id();
        let command = command.mut_args(|arg| {
            let is_option = !arg.is_positional() && arg.get_action().takes_values();
            let is_text = is_option && arg.get_value_parser().type_id() == text;
            if is_text { arg.allow_hyphen_values(true) } else { arg }
        });
        command.mut_subcommands(takes_any_text)
    }
    takes_any_text(Arguments::command())
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let found = command().try_get_matches().and_then(|found| Arguments::from_arg_matches(&found));
    let arguments = match found {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let outcome = match arguments.command {
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Capture(arguments) => capture::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Cost(arguments) => cost::run(&arguments),
        Command::Estimate(arguments) => estimate::run(&arguments),
        Command::Eval(arguments) => eval::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Models(arguments) => models::run(&arguments),
        Command::Pins(arguments) => pins::run(&arguments),
        Command::Prompts(arguments) => prompts::run(&arguments),
        Command::Render(arguments) => render::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Rules(arguments) => rules::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Token(arguments) => token::run(&arguments),
    };
    match outcome {
        Ok(Exit::Fine) => ExitCode::SUCCESS,
        Ok(Exit::Findings) => ExitCode::from(1),
        Ok(Exit::Unreadable) => ExitCode::from(2),
        Err(error) => {
            // A reader that left (`bartizan ... | head`) is no fault of the caller's.
            if error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe) {
                return ExitCode::SUCCESS;
            }
            eprintln!("bartizan: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Help and version are answers; everything else is one clear line.
fn usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    match error.kind() {
        DisplayHelp | DisplayVersion => {
            print!("{}", error.render());
            ExitCode::SUCCESS
        }
        DisplayHelpOnMissingArgumentOrSubcommand => {
            eprint!("{}", error.render());
            ExitCode::from(2)
        }
        _ => {
            let text = error.render().to_string();
            let mut lines = text.lines().map(str::trim);
            let first: Vec<&str> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
            let mut line = first.join(" ");
            for tip in lines.filter_map(|line| line.strip_prefix("tip: ")) {
                line.push_str("; ");
                line.push_str(tip);
            }
            eprintln!("bartizan: {} (see --help)", line.trim_start_matches("error: "));
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_a_value_of_every_option_that_takes_text() {
        let sign =
            ["bartizan", "token", "sign", "--key", "k.pem", "--issuer", "-i", "--audience", "-a", "--subject", "-s"];
        let verify = ["bartizan", "audit", "verify", "--eraser", "-Ixk", "--key", "--k", "--json", "a.log"];
        let explain = ["bartizan", "explain", "--record", "a.log", "--id", "-7f"];
        for line in [&sign[..], &verify, &explain] {
            assert!(command().try_get_matches_from(line).is_ok(), "{line:?}");
        }
        // A file is none: an option that was forgotten before one is told.
        assert!(command().try_get_matches_from(["bartizan", "token", "sign", "--key", "--json"]).is_err());
    }
}
