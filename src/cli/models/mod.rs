//! `bartizan models`: the policy's models as a registry has them.

mod ask;
mod edit;
mod registry;
mod tags;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::check;
use super::output::{Exit, print, read_text};
use ask::{Credential, Server};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make `models`, and the models of roles, from a model registry's aliases and tags
    Sync(Sync),
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 fine, 1 the file does not have what the registry says (--check), what the registry says is \
                  wrong, or the policy would have errors (nothing is written), 2 wrong usage, a registry or a file that \
                  can't be read."
)]
struct Sync {
    /// The address of an MLflow tracking server
    #[arg(long, value_name = "URL")]
    mlflow: String,
    /// The environment variable that holds the token
    #[arg(long, value_name = "NAME")]
    token_env: Option<String>,
    /// The token is the password of this user
    #[arg(long, value_name = "NAME", requires = "token_env")]
    user: Option<String>,
    /// Send the token over http:// to other machines too, where a mesh encrypts
    #[arg(long, requires = "token_env")]
    plaintext: bool,
    /// Roles whose `models` the registry decides: they get what the tags `bartizan.roles` say, and nothing else
    #[arg(long, value_name = "ROLE", value_delimiter = ',')]
    roles: Vec<String>,
    /// Entries of the policy's aliases and deprecated that are its own, by name or glob; all others are the registry's
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "into")]
    keep: Vec<String>,
    /// Write it into this policy (YAML); what else is in the file stays as it is
    #[arg(long, value_name = "POLICY", conflicts_with = "output")]
    into: Option<PathBuf>,
    /// Write what is to be merged into a policy; without this and --into it is printed
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write nothing; say what the file does not have as the registry says
    #[arg(long)]
    check: bool,
    /// Seconds that the registry may take for all its answers
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let Command::Sync(arguments) = &arguments.command;
    let file = arguments.into.as_deref().or(arguments.output.as_deref());
    if file.is_some_and(|file| file.as_os_str() == "-") {
        bail!("expected a file, found -");
    }
    if arguments.check && file.is_none() {
        bail!("--check needs --into or --output (see --help)");
    }
    let user = arguments.user.as_deref();
    let credential = arguments.token_env.as_deref().map(|name| Credential::from_env(name, user)).transpose()?;
    // The file is read first: a registry need not be asked for a file that is not there.
    let before = match (&arguments.into, &arguments.output) {
        (Some(path), _) => Some(read_text(path)?),
        (None, Some(path)) if path.exists() => Some(read_text(path)?),
        _ => None,
    };
    let mut server = Server::new(&arguments.mlflow, credential, arguments.plaintext, arguments.timeout)?;
    let models = registry::read(&mut server)?;
    let wanted = match tags::wanted(&models, &arguments.roles) {
        Ok(wanted) => wanted,
        Err(faults) => {
            faults.iter().for_each(|fault| eprintln!("bartizan: {fault}"));
            return Ok(Exit::Findings);
        }
    };
    let edited = match (&arguments.into, &before) {
        (Some(path), Some(text)) => edit::into(path, text, &wanted, &arguments.keep)?,
        _ => edit::alone(&wanted, before.as_deref())?,
    };
    for note in wanted.notes.iter().chain(&edited.notes) {
        eprintln!("bartizan: note: {note}");
    }
    let Some(file) = file else {
        print(&edited.text)?;
        return Ok(Exit::Fine);
    };
    let shown = file.display();
    if edited.changes.is_empty() {
        print(&format!("{shown}: as the registry says\n"))?;
        return Ok(Exit::Fine);
    }
    if arguments.into.is_some() {
        let faults = check::faults(file, &edited.text);
        if !faults.is_empty() {
            faults.iter().for_each(|fault| eprintln!("bartizan: {shown}: with the registry's models: {fault}"));
            return Ok(Exit::Findings);
        }
    }
    let lines: String = edited.changes.iter().map(|line| format!("{line}\n")).collect();
    if arguments.check {
        print(&format!("{shown}: not as the registry says\n{lines}"))?;
        return Ok(Exit::Findings);
    }
    replace(file, &edited.text)?;
    print(&format!("{shown}: written\n{lines}"))?;
    Ok(Exit::Fine)
}

/// Writes a file whole or not at all: a proxy may be reading it. A link stays one, and rights stay as they are.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = real.file_name().context("expected a file")?.to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = real.with_file_name(name);
    let write = || -> std::io::Result<()> {
        std::fs::write(&part, text)?;
        if let Ok(known) = std::fs::metadata(&real) {
            std::fs::set_permissions(&part, known.permissions())?;
        }
        std::fs::rename(&part, &real)
    };
    write().inspect_err(|_| drop(std::fs::remove_file(&part))).with_context(|| path.display().to_string())
}
