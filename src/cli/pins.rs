//! `bartizan pins`: the hashes of what an MCP server defines, to be approved.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail};

use super::output::{Exit, print, print_json, read_text};
use crate::protocol::Json;
use crate::protocol::registry::{FORMATS, Format};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The server's answers to tools/list, prompts/list and resources/list, as JSON; `-` is stdin
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let mut pins: BTreeMap<String, String> = BTreeMap::new();
    let servers: Vec<_> = FORMATS.iter().map(Format::adapter).filter(|format| format.serves_tools()).collect();
    for file in &arguments.files {
        let text = read_text(file)?;
        let json = Json::parse(text.as_bytes(), 100).ok().with_context(|| format!("{}: not JSON", file.display()))?;
        let found: Vec<_> = servers.iter().flat_map(|server| server.definitions(&json)).collect();
        if found.is_empty() {
            bail!("{}: no list of tools, prompts or resources", file.display());
        }
        pins.extend(found);
    }
    if arguments.json {
        print_json(&pins)?;
    } else {
        let line = |(name, pin): (&String, &String)| format!("  {}: {pin}\n", serde_json::json!(name));
        print(&format!("definitions:\n{}", pins.iter().map(line).collect::<String>()))?;
    }
    Ok(Exit::Fine)
}
