//! Requests to a server that is not trusted with much: a bounded number of bytes and seconds, no redirect, no proxy of the
//! environment, and no word of its body in a message but an error code.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use crate::document::shortened;

/// The longest answer, in bytes.
const MAX_PAGE: u64 = 8 * 1024 * 1024;
/// All answers together, in bytes.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Requests of one run.
const MAX_REQUESTS: usize = 1000;

/// Who asks: what is sent as `authorization`. It is in no message, and has no `Debug`.
pub(super) struct Credential(String);

impl Credential {
    /// The value of an environment variable, as a bearer token or as a user's password.
    pub(super) fn from_env(name: &str, user: Option<&str>) -> anyhow::Result<Credential> {
        let value = std::env::var(name).unwrap_or_default();
        if value.is_empty() {
            bail!("the environment variable {name} is not set");
        }
        if !value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            bail!("the environment variable {name} holds no token: expected printable ASCII in one line");
        }
        Ok(Credential(match user {
            Some(user) => {
                use base64::Engine as _;
                let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{value}"));
                format!("Basic {pair}")
            }
            None => format!("Bearer {value}"),
        }))
    }
}

/// One server, and what may still be asked of it.
pub(super) struct Server {
    agent: ureq::Agent,
    base: String,
    credential: Option<Credential>,
    end: Instant,
    seconds: u64,
    bytes: u64,
    requests: usize,
}

impl Server {
    /// A server at a base address, to be asked for so many seconds. A credential goes over TLS or to this machine, unless
    /// `is_plaintext` allows the rest.
    pub(super) fn new(
        url: &str,
        credential: Option<Credential>,
        is_plaintext: bool,
        seconds: u64,
    ) -> anyhow::Result<Server> {
        let base = url.trim_end_matches('/');
        let uri: Uri = base.parse().ok().context("--mlflow: not an address, expected https://host[:port][/path]")?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => bail!("--mlflow: expected an address that begins with https:// or http://"),
        };
        // What is before an @ may be a password, and the address is in messages.
        if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
            bail!("--mlflow: expected an address without a user; --token-env names the variable of a token");
        }
        if uri.query().is_some() || base.contains('#') {
            bail!("--mlflow: expected an address without ? and #");
        }
        let host = uri.host().unwrap_or_default();
        if credential.is_some() && !is_tls && !is_plaintext && !is_loopback(host) {
            bail!("{base}: the token would be sent in plain text; use https://, or --plaintext where a mesh encrypts");
        }
        let mut config = ureq::Agent::config_builder()
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("bartizan/", env!("CARGO_PKG_VERSION")))
            .accept("application/json");
        if is_tls {
            config = config.tls_config(tls()?);
        }
        let end = Instant::now() + Duration::from_secs(seconds);
        let agent = config.build().new_agent();
        Ok(Server { agent, base: base.to_owned(), credential, end, seconds, bytes: MAX_BYTES, requests: MAX_REQUESTS })
    }

    /// What the server has at a path, of the type that is expected there.
    pub(super) fn get<T: DeserializeOwned>(&mut self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<T> {
        let at = format!("{}{path}", self.base);
        self.requests =
            self.requests.checked_sub(1).with_context(|| format!("{at}: more than {MAX_REQUESTS} pages"))?;
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            bail!("{at}: not at an end after {} s (--timeout)", self.seconds);
        }
        let mut request = self.agent.get(&at).config().timeout_global(Some(left)).build();
        for (name, value) in query {
            request = request.query(name, value);
        }
        if let Some(Credential(value)) = &self.credential {
            request = request.header("authorization", value);
        }
        let mut response = request.call().map_err(|error| anyhow::anyhow!("{at}: {}", self.said(&error)))?;
        let status = response.status().as_u16();
        let limit = MAX_PAGE.min(self.bytes);
        let body = response.body_mut().with_config().limit(limit).read_to_vec();
        let body = body.map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(_) => anyhow::anyhow!("{at}: an answer of more than {limit} bytes"),
            error => anyhow::anyhow!("{at}: {}", self.said(&error)),
        })?;
        self.bytes = self.bytes.saturating_sub(body.len() as u64);
        match status {
            200 => {}
            401 | 403 if self.credential.is_none() => {
                bail!("{at}: {status}, it wants to know who asks: --token-env NAME")
            }
            401 | 403 => bail!("{at}: {status}, it does not accept the token"),
            300..=399 => bail!("{at}: {status}, a redirect, which is not followed: give the address that it leads to"),
            404 if code(&body).is_empty() => bail!("{at}: {status}: is it the address of an MLflow server?"),
            _ => bail!("{at}: {status}{}", code(&body)),
        }
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_json = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
        if !is_json {
            let kind = if kind.is_empty() { "no content-type".to_owned() } else { format!("{:?}", shortened(kind)) };
            bail!("{at}: not JSON but {kind}: is it the address of an MLflow server?");
        }
        serde_json::from_slice(&body).map_err(|error| {
            let error: String = error.to_string().chars().take(200).collect();
            anyhow::anyhow!("{at}: not what MLflow answers: {error}")
        })
    }

    /// A fault of the network, in one line.
    fn said(&self, error: &ureq::Error) -> String {
        match error {
            ureq::Error::Timeout(_) => format!("not at an end after {} s (--timeout)", self.seconds),
            ureq::Error::HostNotFound => "no host of this name".to_owned(),
            error => error.to_string().lines().next().unwrap_or_default().chars().take(200).collect(),
        }
    }
}

fn tls() -> anyhow::Result<TlsConfig> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        bail!("this machine has no trusted certificates: SSL_CERT_FILE names a file of them");
    }
    let roots: Vec<Certificate<'static>> =
        found.certs.iter().map(|one| Certificate::from_der(one).to_owned()).collect();
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::new_with_certs(&roots))
        .build())
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// MLflow's word for an error, where the body has one.
fn code(body: &[u8]) -> String {
    let value: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let code = value.as_ref().and_then(|value| value.get("error_code")?.as_str());
    let is_word = |code: &&str| code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    code.filter(is_word).map(|code| format!(" ({code})")).unwrap_or_default()
}
