//! `bartizan prompts`: versions of system prompts, to be pinned.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::bail;

use super::output::{Exit, print, print_json, read_text};
use crate::prompts::pin;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the hashes of system prompts, for `prompts` of a policy
    Hash(Hash),
}

#[derive(Debug, clap::Args)]
struct Hash {
    /// Files with one prompt each, in UTF-8; the file's name without its ending is the version's. `-` is stdin
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Hash the last line end too: by default one is left out, because editors add it
    #[arg(long)]
    exact: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let Command::Hash(arguments) = &arguments.command;
    let mut pins: BTreeMap<String, String> = BTreeMap::new();
    for file in &arguments.files {
        let text = read_text(file)?;
        let bare = text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text)).unwrap_or(&text);
        let name = match file.file_stem().filter(|_| file.as_os_str() != "-") {
            Some(stem) => stem.to_string_lossy().into_owned(),
            None => "stdin".to_owned(),
        };
        let text = if arguments.exact { &text } else { bare };
        if pins.insert(name.clone(), pin(text)).is_some() {
            bail!("{}: another file has the name {name}", file.display());
        }
    }
    if arguments.json {
        print_json(&pins)?;
    } else {
        let line = |(name, pin): (&String, &String)| format!("  {}: {pin}\n", serde_json::json!(name));
        print(&format!("prompts:\n{}", pins.iter().map(line).collect::<String>()))?;
    }
    Ok(Exit::Fine)
}
