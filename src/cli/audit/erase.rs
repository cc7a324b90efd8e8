//! `bartizan audit erase`: a caller's records go, the chain stays.
//!
//! A tombstone has the record's number and digests and nothing else of it: the records around it are checked as before,
//! and nobody learns from it what was there.

use std::io::{Read as _, Write as _};
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
use crate::cli::output::{Exit, print, print_json};

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
    let bytes = read_bytes(&arguments.file)?;
    let (mut out, mut erased, mut left) = (Vec::with_capacity(bytes.len()), 0u64, Vec::new());
    for (number, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let (mut tombstones, mut others, mut is_damaged) = (Vec::new(), 0, false);
        let own = line.strip_suffix(b"\n").unwrap_or(line);
        lines::read(own, &mut |kind, own, members| {
            is_damaged |= kind == Kind::Damaged;
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
        if !tombstones.is_empty() && (others > 0 || is_damaged) {
            bail!("line {}: holds more than records of this caller: give one record a line", number + 1);
        }
        if tombstones.is_empty() {
            // Part of a record, a record in too many wrappings, a line of the responder's.
            if arguments.user.iter().any(|user| memchr::memmem::find(own, user.as_bytes()).is_some()) {
                left.push(number + 1);
            }
            out.extend_from_slice(line);
            continue;
        }
        for tombstone in tombstones {
            erased += 1;
            writeln!(out, "{tombstone}")?;
        }
    }
    std::fs::write(&arguments.output, out).with_context(|| arguments.output.display().to_string())?;
    if arguments.json {
        print_json(&json!({ "erased": erased, "file": arguments.output, "left": left }))?;
    } else {
        print(&format!("{erased} records erased, the rest is in {}\n", arguments.output.display()))?;
    }
    if left.is_empty() {
        return Ok(Exit::Fine);
    }
    let shown: Vec<String> = left.iter().take(20).map(usize::to_string).collect();
    let more = if left.len() > 20 { " and others" } else { "" };
    eprintln!(
        "bartizan: {} lines name the caller and are no whole records; they stay: {}{more}",
        left.len(),
        shown.join(", ")
    );
    Ok(Exit::Findings)
}

fn read_bytes(file: &std::path::Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if file.as_os_str() == "-" {
        std::io::stdin().lock().read_to_end(&mut bytes)?;
    } else {
        bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    }
    Ok(bytes)
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
