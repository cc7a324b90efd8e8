//! `bartizan audit erase`: a caller's records go, the chain stays.
//!
//! A tombstone has the record's number and digests and nothing else of it: the records around it are checked as before,
//! and nobody learns from it what was there.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::json;

use super::keys;
use super::lines::{self, ERASED, Kind, Members};
use crate::audit::chain::{DOMAIN, key_id, public_key, split};
use crate::audit::rfc3339;
use crate::cli::capture::now;
use crate::cli::output::{Exit, print, print_json, read_text};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The log; - is stdin
    file: PathBuf,
    /// Whose records go: `user.hash` or `user.id`, exactly; may be given again
    #[arg(long, required = true, value_name = "USER")]
    user: Vec<String>,
    /// Where the log without them goes: a new file
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// The private key that signs the tombstones, as `audit keygen` writes it; not the proxies' one
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let key = arguments.key.as_deref().map(keys::private).transpose()?;
    if arguments.output.exists() {
        bail!("{}: there already", arguments.output.display());
    }
    let text = read_text(&arguments.file)?;
    let (mut out, mut erased) = (Vec::with_capacity(text.len()), 0u64);
    for line in text.split_inclusive('\n') {
        let (mut tombstones, mut others) = (Vec::new(), 0);
        lines::read(line.trim_end_matches('\n').as_bytes(), &mut |kind, own, members| {
            let Some(members) = members.filter(|_| matches!(kind, Kind::Chained | Kind::Single)) else { return };
            let is_theirs = [&members.user_hash, &members.user_id]
                .into_iter()
                .flatten()
                .any(|user| arguments.user.iter().any(|wanted| wanted == user.as_ref()));
            if is_theirs {
                tombstones.push(tombstone(own, members, key.as_ref()));
            } else {
                others += 1;
            }
        });
        if tombstones.is_empty() {
            out.extend_from_slice(line.as_bytes());
            continue;
        }
        if others > 0 {
            bail!("a line holds records of several callers: give one record a line");
        }
        for tombstone in tombstones {
            erased += 1;
            writeln!(out, "{tombstone}")?;
        }
    }
    std::fs::write(&arguments.output, out).with_context(|| arguments.output.display().to_string())?;
    if arguments.json {
        print_json(&json!({ "erased": erased, "file": arguments.output }))?;
    } else {
        print(&format!("{erased} records erased, the rest is in {}\n", arguments.output.display()))?;
    }
    Ok(Exit::Fine)
}

fn tombstone(own: &str, members: &Members<'_>, key: Option<&[u8; 32]>) -> String {
    let mut line =
        format!("{{\"@timestamp\":\"{}\",\"event.kind\":\"event\",\"event.dataset\":\"{ERASED}\"", rfc3339(now()));
    if let Some(parts) = split(own) {
        line.push_str(&format!(
            ",\"bartizan.worker\":{},\"bartizan.sequence\":{}",
            json!(members.worker),
            members.sequence
        ));
        match (&members.previous, members.every) {
            (Some(previous), _) => line.push_str(&format!(",\"bartizan.chain.previous\":{}", json!(previous))),
            (None, Some(every)) => line.push_str(&format!(",\"bartizan.chain.every\":{every}")),
            (None, None) => {}
        }
        line.push_str(&format!(",\"bartizan.chain.digest\":\"{}\"", parts.digest));
    }
    if let Some(private) = key {
        let pair = ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new(*private));
        line.push_str(&format!(",\"bartizan.chain.key\":\"{}\"", key_id(&public_key(private))));
        let signature = pair.sk.sign([DOMAIN, line.as_bytes()].concat(), None);
        line.push_str(&format!(",\"bartizan.chain.signature\":\"{}\"", BASE64.encode(signature)));
    }
    line.push('}');
    line
}
