//! `bartizan token`: a development issuer. Keys, a key set for the policy, tokens: also bad ones.
//!
//! Never for production: the private keys lie in plain files.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, bail};
use clap::Subcommand;
use jwt_simple::prelude::{
    Claims, Duration, ECDSAP256KeyPairLike, ES256KeyPair, Ed25519KeyPair, EdDSAKeyPairLike, JWTClaims, RS256KeyPair,
    RSAKeyPairLike,
};
use serde_json::{Map, Value, json};

use super::output::{Exit, print, print_json, read_text, write_private};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)] // there is one in a process
enum Command {
    /// Make keys (DIR/rs256.pem, es256.pem, eddsa.pem) and their public key set (DIR/jwks.json)
    Keys(Keys),
    /// Sign a token and print it
    Sign(Sign),
}

#[derive(Debug, clap::Args)]
struct Keys {
    /// Where to write; created when it does not exist
    dir: PathBuf,
    /// Which keys, separated by commas
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = [KeyType::Rs256, KeyType::Es256, KeyType::Eddsa])]
    algorithms: Vec<KeyType>,
    /// Replace keys that are already there
    #[arg(long)]
    force: bool,
    /// Print the files and the key set as JSON; otherwise the key set is printed as the policy needs it
    #[arg(long)]
    json: bool,
}

/// A kind of key, named as its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum KeyType {
    Rs256,
    Es256,
    Eddsa,
}

impl KeyType {
    const fn file(self) -> &'static str {
        match self {
            KeyType::Rs256 => "rs256.pem",
            KeyType::Es256 => "es256.pem",
            KeyType::Eddsa => "eddsa.pem",
        }
    }
}

#[derive(Debug, clap::Args)]
struct Sign {
    /// A private key in PEM, as `token keys` writes it
    #[arg(long)]
    key: PathBuf,
    /// `iss`
    #[arg(long)]
    issuer: String,
    /// `aud`; several make a list
    #[arg(long, required = true)]
    audience: Vec<String>,
    /// `sub`
    #[arg(long)]
    subject: String,
    /// Roles, separated by commas
    #[arg(long, value_delimiter = ',')]
    roles: Vec<String>,
    /// JSON Pointer to where the roles go
    #[arg(long, default_value = "/roles", value_name = "POINTER")]
    roles_at: String,
    /// The tenant
    #[arg(long)]
    tenant: Option<String>,
    /// JSON Pointer to where the tenant goes
    #[arg(long, default_value = "/tenant", value_name = "POINTER")]
    tenant_at: String,
    /// Seconds until it expires; a negative number makes a token that has expired
    #[arg(long, default_value_t = 3600, allow_negative_numbers = true, value_name = "SECONDS")]
    ttl: i64,
    /// Another claim, as NAME=VALUE or /json/pointer=VALUE; VALUE is JSON, or else a string; null removes a claim
    #[arg(long, value_name = "NAME=VALUE")]
    claim: Vec<String>,
    /// `kid`; default: the key's thumbprint (RFC 7638)
    #[arg(long)]
    key_id: Option<String>,
    /// Print the token with its claims as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    match &arguments.command {
        Command::Keys(arguments) => keys(arguments)?,
        Command::Sign(arguments) => sign(arguments)?,
    }
    Ok(Exit::Fine)
}

/// A private key of one of the three kinds.
#[allow(clippy::large_enum_variant)] // never in a list
enum Key {
    Rs256(RS256KeyPair),
    Es256(ES256KeyPair),
    EdDsa(Ed25519KeyPair),
}

impl Key {
    fn from_pem(pem: &str) -> Option<Key> {
        let rsa = RS256KeyPair::from_pem(pem).map(Key::Rs256);
        let ec = rsa.or_else(|_| ES256KeyPair::from_pem(pem).map(Key::Es256));
        ec.or_else(|_| Ed25519KeyPair::from_pem(pem).map(Key::EdDsa)).ok()
    }

    fn to_pem(&self) -> anyhow::Result<String> {
        match self {
            Key::Rs256(key) => key.to_pem(),
            Key::Es256(key) => key.to_pem(),
            Key::EdDsa(key) => Ok(key.to_pem()),
        }
        .map_err(|error| anyhow!("{error}"))
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Key::Rs256(_) => "RS256",
            Key::Es256(_) => "ES256",
            Key::EdDsa(_) => "EdDSA",
        }
    }

    fn thumbprint(&self) -> String {
        match self {
            Key::Rs256(key) => key.public_key().jwk_thumbprint(),
            Key::Es256(key) => key.public_key().jwk_thumbprint(),
            Key::EdDsa(key) => key.public_key().jwk_thumbprint(),
        }
    }

    /// The public key as a JWK, named by its thumbprint.
    fn to_jwk(&self) -> anyhow::Result<Map<String, Value>> {
        let text = match self {
            Key::Rs256(key) => key.public_key().to_jwk(),
            Key::Es256(key) => key.public_key().to_jwk(),
            Key::EdDsa(key) => key.public_key().to_jwk(),
        };
        let mut jwk: Map<String, Value> = serde_json::from_str(&text)?;
        jwk.insert("kid".to_owned(), self.thumbprint().into());
        jwk.insert("use".to_owned(), "sig".into());
        jwk.insert("alg".to_owned(), self.algorithm().into());
        Ok(jwk)
    }

    fn sign(self, key_id: &str, claims: JWTClaims<Map<String, Value>>) -> anyhow::Result<String> {
        match self {
            Key::Rs256(key) => key.with_key_id(key_id).sign(claims),
            Key::Es256(key) => key.with_key_id(key_id).sign(claims),
            Key::EdDsa(key) => key.with_key_id(key_id).sign(claims),
        }
        .map_err(|error| anyhow!("{error}"))
    }
}

fn keys(arguments: &Keys) -> anyhow::Result<()> {
    let dir = &arguments.dir;
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let mut jwks = Vec::new();
    let mut files = Vec::new();
    for kind in &arguments.algorithms {
        let path = dir.join(kind.file());
        let key = if path.exists() && !arguments.force { read_key(&path)? } else { make_key(*kind, &path)? };
        jwks.push(Value::Object(key.to_jwk()?));
        files.push(path.display().to_string());
    }
    let jwks = json!({ "keys": jwks });
    let path = dir.join("jwks.json");
    let text = serde_json::to_string_pretty(&jwks)? + "\n";
    std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    if arguments.json {
        return print_json(&json!({ "keys": files, "jwksFile": path.display().to_string(), "jwks": jwks }));
    }
    print(&format!("# for authn.issuers[...].jwks of a policy; private keys: {}\ninline: {jwks}\n", files.join(", ")))
}

fn make_key(kind: KeyType, path: &Path) -> anyhow::Result<Key> {
    let key = match kind {
        KeyType::Rs256 => Key::Rs256(RS256KeyPair::generate(2048).map_err(|error| anyhow!("{error}"))?),
        KeyType::Es256 => Key::Es256(ES256KeyPair::generate()),
        KeyType::Eddsa => Key::EdDsa(Ed25519KeyPair::generate()),
    };
    write_private(path, &key.to_pem()?)?;
    Ok(key)
}

fn read_key(path: &Path) -> anyhow::Result<Key> {
    let pem = read_text(path)?;
    Key::from_pem(&pem)
        .with_context(|| format!("{}: not a private key for RS256, ES256 or EdDSA in PEM", path.display()))
}

fn sign(arguments: &Sign) -> anyhow::Result<()> {
    let key = read_key(&arguments.key)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let payload = payload(arguments, now)?;
    let mut claims = Claims::with_custom_claims(payload.clone(), Duration::from_secs(0));
    // All claims are in the payload, so that each of them can be changed or removed.
    (claims.issued_at, claims.expires_at, claims.invalid_before) = (None, None, None);
    let key_id = arguments.key_id.clone().unwrap_or_else(|| key.thumbprint());
    let algorithm = key.algorithm();
    let token = key.sign(&key_id, claims)?;
    if arguments.json {
        return print_json(&json!({ "token": token, "algorithm": algorithm, "keyId": key_id, "claims": payload }));
    }
    print(&(token + "\n"))
}

fn payload(arguments: &Sign, now: u64) -> anyhow::Result<Map<String, Value>> {
    let expires = now.checked_add_signed(arguments.ttl).context("--ttl: out of range")?;
    // A token that has expired was issued before that.
    let issued = now.min(expires.saturating_sub(60));
    let audience = match arguments.audience.as_slice() {
        [one] => json!(one),
        several => json!(several),
    };
    let standard = json!({
        "iss": arguments.issuer, "aud": audience, "sub": arguments.subject,
        "iat": if arguments.ttl < 0 { issued } else { now }, "exp": expires,
    });
    let mut root = standard;
    if !arguments.roles.is_empty() {
        place(&mut root, &arguments.roles_at, json!(arguments.roles)).context("--roles-at")?;
    }
    if let Some(tenant) = &arguments.tenant {
        place(&mut root, &arguments.tenant_at, json!(tenant)).context("--tenant-at")?;
    }
    for claim in &arguments.claim {
        let (name, text) = claim.split_once('=').with_context(|| format!("--claim {claim:?}: expected NAME=VALUE"))?;
        let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
        let pointer = if name.starts_with('/') {
            name.to_owned()
        } else {
            format!("/{}", name.replace('~', "~0").replace('/', "~1"))
        };
        place(&mut root, &pointer, value).with_context(|| format!("--claim {claim:?}"))?;
    }
    match root {
        Value::Object(claims) => Ok(claims),
        _ => bail!("the claims are no object"),
    }
}

/// Puts a value where a JSON Pointer says and makes the objects on the way; null removes.
fn place(root: &mut Value, pointer: &str, value: Value) -> anyhow::Result<()> {
    let rest = pointer.strip_prefix('/').with_context(|| format!("{pointer:?} is not a JSON Pointer"))?;
    let mut parts: Vec<String> = rest.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect();
    let last = parts.pop().unwrap_or_default();
    let mut node = root;
    for part in parts {
        let object =
            node.as_object_mut().with_context(|| format!("{pointer:?} leads through a value that is no object"))?;
        node = object.entry(part).or_insert_with(|| json!({}));
    }
    let object =
        node.as_object_mut().with_context(|| format!("{pointer:?} leads through a value that is no object"))?;
    if value.is_null() {
        object.remove(&last);
    } else {
        object.insert(last, value);
    }
    Ok(())
}
