//! `bartizan capture`: the operator's key, and what was sealed to it.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use clap::Subcommand;
use serde_json::{Value, json};

use super::output::{Exit, print, print_json, read_text, write_private};
use super::records::{objects, read_log};
use crate::capture::{Sealed, Unopened, key_id, public_key};
use crate::host::Timestamp;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key pair: the private half into FILE, the public half for the policy's `capture.publicKey`
    Keygen(Keygen),
    /// Open captures found in logs and print them, one JSON object a line
    Open(Open),
}

#[derive(Debug, clap::Args)]
struct Keygen {
    /// Where the private key goes; keep it away from the proxies
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Open {
    /// The private key, as `capture keygen` writes it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Logs with captures; - is stdin
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
    /// Print one JSON object with all of them, and why others were not opened
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    match &arguments.command {
        Command::Keygen(arguments) => keygen(arguments),
        Command::Open(arguments) => open(arguments),
    }
}

fn keygen(arguments: &Keygen) -> anyhow::Result<Exit> {
    if arguments.file.exists() {
        bail!("{}: there already; captures sealed to it could not be opened any more", arguments.file.display());
    }
    let private: [u8; 32] = rand::random();
    let public = public_key(&private).context("the key pair could not be made")?;
    write_private(&arguments.file, &format!("{}\n", BASE64.encode(private)))?;
    let (id, key) = (key_id(&public), BASE64.encode(public));
    if arguments.json {
        print_json(&json!({"publicKey": key, "id": id, "file": arguments.file}))?;
    } else {
        print(&format!("capture:\n  publicKey: {key}  # {id}\n"))?;
    }
    Ok(Exit::Fine)
}

/// Reads a private key.
pub(super) fn private_key(file: &Path) -> anyhow::Result<[u8; 32]> {
    let text = read_text(file)?;
    let key = BASE64.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
    key.with_context(|| format!("{}: not a key as `bartizan capture keygen` writes it", file.display()))
}

/// The time of this machine.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

fn open(arguments: &Open) -> anyhow::Result<Exit> {
    let (key, now) = (private_key(&arguments.key)?, now());
    let (mut opened, mut unopened) = (Vec::new(), std::collections::BTreeMap::<&str, u64>::new());
    for log in &arguments.logs {
        for line in objects(&read_log(log)?).into_iter().filter(Sealed::is_one) {
            match unseal(line, &key, now) {
                Ok(capture) => opened.push(capture),
                Err(why) => *unopened.entry(word(why)).or_default() += 1,
            }
        }
    }
    if arguments.json {
        print_json(&json!({"captures": opened, "unopened": unopened}))?;
    } else {
        let lines: Vec<String> = opened.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())?;
        for (why, count) in &unopened {
            eprintln!("bartizan: {count} not opened: {why}");
        }
    }
    Ok(if unopened.is_empty() { Exit::Fine } else { Exit::Findings })
}

/// Opens the capture that a line is.
pub(super) fn unseal(line: Value, key: &[u8; 32], now: Timestamp) -> Result<crate::capture::Opened, Unopened> {
    serde_json::from_value::<Sealed>(line).map_err(|_| Unopened::Broken)?.open(key, now)
}

/// Why a capture was not opened.
pub(super) const fn word(why: Unopened) -> &'static str {
    match why {
        Unopened::Expired => "expired",
        Unopened::OtherKey => "otherKey",
        Unopened::Broken => "broken",
    }
}
