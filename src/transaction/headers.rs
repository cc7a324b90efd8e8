//! Request headers, as bytes: a client may send anything.

use crate::audit::is_ours;

/// Name (lower case, as Envoy gives it) and value.
pub type Header = (Vec<u8>, Vec<u8>);

/// All headers of a request or response.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a>(pub &'a [Header]);

impl<'a> Headers<'a> {
    /// The first value of a header.
    pub fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// Every value of a header.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value.as_slice())
    }

    /// The first value as text; `None` when it is no UTF-8.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.value(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// True when the header is there.
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// The status of a response.
    pub(super) fn status(&self) -> Option<u16> {
        self.text(":status").and_then(|status| status.parse().ok())
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.0.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    }
}

/// Tells the providers' SDKs not to send a request again: the model was called for it.
pub(super) fn no_retry() -> (&'static str, String) {
    ("x-should-retry", "false".to_owned())
}

/// The names of ours that somebody else sent.
pub(super) fn ours(headers: Headers<'_>) -> Vec<Vec<u8>> {
    headers.iter().filter(|(name, _)| is_ours(name)).map(|(name, _)| name.to_vec()).collect()
}
