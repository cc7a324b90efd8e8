//! Captures: flagged requests, which only the operator can read, so that a changed policy can be rehearsed on them.
//!
//! Off unless the policy has a `capture` section. Then a request in which something was found goes, with what the
//! record says of it and without any credential, into a line of its own, sealed to the operator's public key: the
//! proxy itself can't open it again. The line carries the time until which it may be opened, and the seal covers
//! that time. It is no lock: whoever has the private key could open it later, and the log store must delete the line.
//!
//! The audit record stays free of content. It says `bartizan.capture`: `sealed`, `tooLarge` or `tooMany`.
//!
//! ```
//! use bartizan::capture::Pace;
//! use bartizan::host::Timestamp;
//!
//! let mut pace = Pace::default();
//! let now = Timestamp::from_secs(60);
//! assert!(pace.allows(2, now) && pace.allows(2, now) && !pace.allows(2, now));
//! assert!(pace.allows(2, Timestamp::from_secs(120)), "the next minute");
//! ```

mod hpke;
mod sealed;

#[cfg(feature = "cli")]
pub use sealed::{Opened, Unopened, public_key};
pub use sealed::{Sealed, key_id};

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::Serialize;

use crate::document::{self, Errors, KeyPath};
use crate::host::Timestamp;

/// `event.dataset` of a capture.
pub const DATASET: &str = "bartizan.capture";

/// The `capture` section, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturePolicy {
    /// To whom.
    pub public_key: [u8; 32],
    /// How long a capture may be opened.
    pub keep_for: Duration,
    /// Longer bodies are not captured.
    pub max_bytes: usize,
    /// Captures a minute and worker, at most.
    pub per_minute: u32,
}

impl CapturePolicy {
    /// Compiles the section found at `path`; what is wrong with it is in `errors`.
    pub fn compile(section: &document::Capture, path: &KeyPath, errors: &mut Errors) -> Option<CapturePolicy> {
        let key = errors.require(path, "publicKey", section.public_key.as_deref())?;
        let bytes: Option<[u8; 32]> = BASE64.decode(key).ok().and_then(|bytes| bytes.try_into().ok());
        // Sealing refuses a point of small order.
        let public_key = bytes.filter(|key| hpke::seal(key, [1; 32], b"", b"", b"").is_some());
        if public_key.is_none() {
            errors.push(&path.key("publicKey"), "not an X25519 key as `bartizan capture keygen` prints it");
        }
        let keep_for = section.keep_for.map_or(Duration::from_secs(86_400), |span| span.0);
        if !(Duration::from_secs(60)..=Duration::from_secs(31 * 86_400)).contains(&keep_for) {
            errors.push(&path.key("keepFor"), "out of bounds, expected 1m to 31d");
        }
        let max_bytes = section.max_bytes.unwrap_or(65_536);
        if !(1024..=1_048_576).contains(&max_bytes) {
            errors.push(&path.key("maxBytes"), "out of bounds, expected 1024 to 1048576");
        }
        let per_minute = section.per_minute.unwrap_or(60);
        if !(1..=6000).contains(&per_minute) {
            errors.push(&path.key("perMinute"), "out of bounds, expected 1 to 6000");
        }
        Some(CapturePolicy {
            public_key: public_key?,
            keep_for,
            max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX),
            per_minute: u32::try_from(per_minute).unwrap_or(u32::MAX),
        })
    }
}

/// Who made a captured request, in the words of its record: as a keyed hash unless `audit.subject` says otherwise.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "cli", derive(serde::Deserialize))]
pub struct Caller {
    /// The issuer's name in the policy.
    pub issuer: String,
    /// The subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// All roles of the caller.
    pub roles: Vec<String>,
}

/// A request on its way, as far as a capture of it needs it.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// The path without its query.
    pub path: String,
    /// Who asks.
    pub caller: Caller,
    /// The body, once something was found in it.
    pub body: Option<Vec<u8>>,
}

impl Draft {
    /// What is sealed: one JSON object.
    pub fn to_json(&self, record: &str) -> String {
        let text = |value: &str| serde_json::to_string(value).unwrap_or_default();
        format!(
            r#"{{"version":1,"path":{},"caller":{},"record":{record},"body":{}}}"#,
            text(&self.path),
            serde_json::to_string(&self.caller).unwrap_or_default(),
            text(&String::from_utf8_lossy(self.body.as_deref().unwrap_or_default())),
        )
    }
}

/// How many captures one worker has made in the current minute.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    minute: u64,
    count: u32,
}

impl Pace {
    /// Counts one more; false when that is more than the policy allows.
    pub fn allows(&mut self, per_minute: u32, now: Timestamp) -> bool {
        let minute = now.as_secs() / 60;
        if self.minute != minute {
            *self = Pace { minute, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count <= per_minute
    }
}
