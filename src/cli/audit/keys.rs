//! The keys that sign records, checkpoints and erasures.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::json;

use crate::audit::chain::{key_id, public_key};
use crate::cli::output::{Exit, print, print_json, read_text, write_private};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where the private key goes
    file: PathBuf,
    /// Print the public half of the key that FILE holds already
    #[arg(long)]
    public: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let file = &arguments.file;
    let private = if arguments.public {
        private(file)?
    } else {
        if file.exists() {
            bail!("{}: there already; `--public` prints its public half", file.display());
        }
        let private: [u8; 32] = rand::random();
        write_private(file, &format!("{}\n", BASE64.encode(private)))?;
        private
    };
    let public = public_key(&private);
    let (id, key) = (key_id(&public), BASE64.encode(public));
    if arguments.json {
        print_json(&json!({"publicKey": key, "id": id, "file": file}))?;
    } else {
        print(&format!("{key}  # public key {id}, for `bartizan audit verify --key`\n"))?;
    }
    Ok(Exit::Fine)
}

/// Reads a private key.
pub(super) fn private(file: &Path) -> anyhow::Result<[u8; 32]> {
    let text = read_text(file)?;
    crate::assertion::private_key(text.as_bytes())
        .map_err(|message| anyhow::anyhow!("{}: {message}, as `bartizan audit keygen` writes it", file.display()))
}

/// A public key, as `audit keygen` prints it: itself, or the file that holds it.
pub(super) fn public(option: &str, text: &str) -> anyhow::Result<[u8; 32]> {
    let from_file = if Path::new(text).exists() { Some(read_text(Path::new(text))?) } else { None };
    let written = from_file.as_deref().unwrap_or(text).split_whitespace().next().unwrap_or_default();
    let key = BASE64.decode(written).ok().and_then(|bytes| bytes.try_into().ok());
    key.with_context(|| format!("{option}: {text}: neither a public key of 32 bytes in base64url nor a file with one"))
}
