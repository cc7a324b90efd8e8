//! `bartizan estimate`: the tokens that a quota would reserve for a text, before any calibration.

use std::path::PathBuf;

use super::output::{Exit, print, print_json, read_text};
use crate::estimate::Estimate;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Texts; `-` is stdin
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Print JSON: the numbers, in the order of the files
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let mut tokens = Vec::with_capacity(arguments.files.len());
    for file in &arguments.files {
        tokens.push(Estimate::of(&read_text(file)?).tokens());
    }
    if arguments.json {
        print_json(&tokens)?;
    } else {
        let line = |(tokens, file): (&u64, &PathBuf)| format!("{tokens:>9}  {}\n", file.display());
        print(&tokens.iter().zip(&arguments.files).map(line).collect::<String>())?;
    }
    Ok(Exit::Fine)
}
