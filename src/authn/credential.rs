//! Which bytes of a request are its credential.

use super::Authenticator;
use crate::reason::{Denial, Hint, Reason};

impl Authenticator {
    /// Finds the one credential in the headers that the policy names; `None` when there is none.
    ///
    /// `authorization` carries the Bearer scheme (RFC 6750 section 2.1), every other header the bare
    /// token. Proxies join repeated headers with a comma, which no token holds, so a joined value
    /// counts as several.
    ///
    /// # Errors
    /// [`Reason::JwtMalformed`] for an empty value, another scheme or a token over
    /// `authn.maxTokenBytes`; [`Reason::JwtAmbiguous`] for two credentials that differ.
    pub fn credential<'h>(
        &self,
        headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Result<Option<&'h [u8]>, Denial> {
        let mut found: Option<&[u8]> = None;
        for (name, value) in headers {
            let Some(header) = self.token_from.iter().find(|header| name.eq_ignore_ascii_case(header.as_bytes()))
            else {
                continue;
            };
            for part in value.split(|byte| *byte == b',') {
                let part = part.trim_ascii();
                let token = if **header == *"authorization" { bearer(part) } else { Some(part) };
                let token = token.filter(|token| !token.is_empty()).ok_or(Reason::JwtMalformed)?;
                let (length, limit) = (token.len(), self.max_token_bytes);
                if length > limit {
                    return Err(Denial::new(Reason::JwtMalformed).with_hint(Hint::TokenTooLong { length, limit }));
                }
                match found {
                    Some(first) if first != token => return Err(Reason::JwtAmbiguous.into()),
                    _ => found = Some(token),
                }
            }
        }
        Ok(found)
    }
}

/// The token behind the scheme, which is case-insensitive (RFC 9110 section 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii_start())
}
