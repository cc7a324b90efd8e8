//! The request's headers: what is read of them, and what the upstream gets.

use crate::assertion;
use crate::audit;
use crate::authn::Principal;
use crate::document::UpstreamHeader;
use crate::host::{Fault, Host};
use crate::policy::Policy;
use crate::quota::Session;
use crate::reason::{Denial, Hint, Reason};
use crate::transaction::context::Context;
use crate::transaction::stages::Counted;
use crate::transaction::{Edit, Header, Headers, WorkerState};
use std::fmt::Write as _;

/// Headers that carry credentials: none of them reaches the upstream unless the policy says so.
const CREDENTIALS: [&str; 4] = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];

/// The header that stands for a credential of the query.
const QUERY_CREDENTIAL: &str = "x-goog-api-key";

impl Context {
    /// The headers that are known before the body is.
    pub(super) fn upstream_headers(&self, policy: &Policy, counted: &Counted, edit: &mut Edit) {
        let principal = counted.entitled().principal();
        for header in &policy.audit.upstream_headers {
            let (name, value) = match header {
                UpstreamHeader::Subject => ("x-bartizan-subject", Some(header_safe(principal.subject()))),
                UpstreamHeader::Tenant => ("x-bartizan-tenant", principal.tenant().map(header_safe)),
                UpstreamHeader::Roles => {
                    let names: Vec<&str> = roles_of(policy, principal).collect();
                    ("x-bartizan-roles", Some(header_safe(&names.join(","))))
                }
                UpstreamHeader::Policy => {
                    ("x-bartizan-policy", Some(format!("{}@{}", policy.name, policy.digest_short())))
                }
                UpstreamHeader::Verdict | UpstreamHeader::Score | UpstreamHeader::Coverage => continue,
            };
            if let Some(value) = value {
                edit.set.push((name, value));
            }
        }
    }

    /// The headers that are known when the request is judged.
    pub(super) fn late_headers(&self, policy: &Policy, edit: &mut Edit) {
        for header in &policy.audit.upstream_headers {
            let (name, value) = match header {
                UpstreamHeader::Verdict if self.account.is_rehearsed() => (audit::VERDICT_HEADER, "shadow".to_owned()),
                UpstreamHeader::Verdict => (audit::VERDICT_HEADER, self.account.verdict().name().to_owned()),
                UpstreamHeader::Score => ("x-bartizan-score", self.account.score().to_string()),
                UpstreamHeader::Coverage => ("x-bartizan-coverage", self.account.coverage().name().to_owned()),
                _ => continue,
            };
            edit.set.push((name, value));
        }
    }
}

/// The header that tells the upstream who calls, signed, where the policy wants it.
///
/// # Errors
/// A [`Fault`] when the host has no randomness.
pub(super) fn identity(
    policy: &Policy,
    counted: &Counted,
    vm: &mut WorkerState,
    host: &mut dyn Host,
) -> Result<Option<(&'static str, String)>, Fault> {
    let Some(signer) = &policy.signer else { return Ok(None) };
    let principal = counted.entitled().principal();
    let roles: Vec<&str> = roles_of(policy, principal).collect();
    if !signer.is_slow() {
        return Ok(Some((assertion::HEADER, signer.token(principal, &roles, host)?.text)));
    }
    // All that is in it, and the key: it can't change without the policy, but with the VM.
    let ends = principal.expires().0.to_le_bytes();
    let mut parts = vec![&b"identity"[..], policy.digest.as_bytes(), &ends, principal.issuer_name().as_bytes()];
    let caller = principal.identity();
    parts.push(&caller);
    parts.extend(roles.iter().map(|role| role.as_bytes()));
    let tag = vm.hash_key().hash(&parts);
    let now = host.now();
    let token = match vm.identities.find(&tag, now) {
        Some(token) => token,
        None => {
            let token = signer.token(principal, &roles, host)?;
            vm.identities.keep(tag, token.clone(), token.fresh_until, now);
            token
        }
    };
    Ok(Some((assertion::HEADER, token.text)))
}

fn roles_of<'p>(policy: &'p Policy, principal: &'p Principal) -> impl Iterator<Item = &'p str> {
    principal.roles().iter().filter_map(|role| policy.role_at(*role)).map(|role| role.name.as_str())
}

/// The sessions that quotas count by, as far as the request names them. `own`: the protocol's.
pub(super) fn sessions(policy: &Policy, headers: Headers<'_>, own: Option<&[u8]>) -> Vec<Session> {
    let name = |header: Option<&str>| {
        let value = match header {
            Some(header) => headers.value(header),
            None => own,
        };
        Some((header.map(str::to_owned), value?.to_vec()))
    };
    policy.quotas.session_headers().into_iter().filter_map(name).collect()
}

pub(super) fn credentials(headers: Headers<'_>, policy: &Policy) -> Vec<Vec<u8>> {
    let carries = |name: &[u8]| {
        CREDENTIALS.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
            || policy.authn.token_headers().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    };
    headers.iter().filter(|(name, _)| carries(name)).map(|(name, _)| name.to_vec()).collect()
}

/// The headers with this path, and with the credential that was in its query.
///
/// # Errors
/// [`Reason::JwtAmbiguous`] where it is not the only one; [`Reason::JwtMalformed`] for a signature of AWS's.
pub(super) fn with_credential(
    headers: Headers<'_>,
    policy: &Policy,
    path: &str,
    values: Vec<Vec<u8>>,
) -> Result<Vec<Header>, Denial> {
    if is_signed(headers) {
        return Err(hinted(Reason::JwtMalformed.into(), headers));
    }
    if values.len() > 1 || !credentials(headers, policy).is_empty() {
        return Err(Reason::JwtAmbiguous.into());
    }
    let kept = headers.iter().map(|(name, value)| {
        let value = if name == b":path" { path.as_bytes() } else { value };
        (name.to_vec(), value.to_vec())
    });
    let credential = values.into_iter().map(|value| (QUERY_CREDENTIAL.as_bytes().to_vec(), value));
    Ok(kept.chain(credential).collect())
}

/// An id of a provider's: nothing in it is another path's.
pub(super) fn is_id(id: &str) -> bool {
    id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:~=".contains(&byte))
        && !id.bytes().all(|byte| byte == b'.')
}

pub(super) fn present(headers: Headers<'_>, name: &str) -> Option<Vec<u8>> {
    headers.has(name).then(|| name.as_bytes().to_vec())
}

/// Asks for a reply that can be read, and changed at its end: with trailers that could not be. A request that names no
/// coding accepts every one (RFC 9110 section 12.5.3), so that the header is set where the client sent none, too.
pub(super) fn readable(headers: Headers<'_>, edit: &mut Edit) {
    edit.remove.extend(present(headers, "te"));
    edit.set.push(("accept-encoding", "identity".to_owned()));
}

/// The announced length of the body.
pub(super) fn content_length(headers: Headers<'_>) -> Result<Option<usize>, Reason> {
    let Some(value) = headers.value("content-length") else { return Ok(None) };
    let text = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    text.and_then(|text| text.parse().ok()).map(Some).ok_or(Reason::BodyLength)
}

/// A body that is not compressed.
pub(super) fn uncompressed(headers: Headers<'_>) -> Result<(), Reason> {
    let is_plain = |value: &[u8]| value.trim_ascii().eq_ignore_ascii_case(b"identity");
    if headers.all("content-encoding").all(is_plain) { Ok(()) } else { Err(Reason::BodyEncoding) }
}

/// JSON in UTF-8, not compressed. Anything else can't be read, and so can't be guarded.
pub(super) fn content_type(headers: Headers<'_>, takes_lines: bool) -> Result<(), Reason> {
    uncompressed(headers)?;
    let mut values = headers.all("content-type");
    let (Some(value), None) = (values.next(), values.next()) else { return Err(Reason::BodyContentType) };
    let text = std::str::from_utf8(value).map_err(|_| Reason::BodyContentType)?;
    let mut parts = text.split(';').map(str::trim);
    let is_known = |essence: &str| {
        essence.eq_ignore_ascii_case("application/json")
            || takes_lines && essence.eq_ignore_ascii_case("application/x-ndjson")
    };
    if !parts.next().is_some_and(is_known) {
        return Err(Reason::BodyContentType);
    }
    // Clients write the name of the encoding with and without its hyphen.
    let is_utf8 = |name: &str| name.eq_ignore_ascii_case("utf-8") || name.eq_ignore_ascii_case("utf8");
    let utf8 = |part: &str| {
        let Some((name, value)) = part.split_once('=') else { return true };
        !name.trim().eq_ignore_ascii_case("charset") || is_utf8(value.trim().trim_matches('"'))
    };
    if parts.all(utf8) { Ok(()) } else { Err(Reason::BodyContentType) }
}

/// No content type, or the one that `curl -d` makes up.
pub(super) fn is_untyped(headers: Headers<'_>) -> bool {
    let encoded = headers.all("content-encoding").next().is_some();
    let mut values = headers.all("content-type");
    const MADE_UP: [&[u8]; 2] = [b"application/x-www-form-urlencoded", b"application/octet-stream"];
    let made_up = |value: &[u8]| MADE_UP.iter().any(|known| value.trim_ascii().eq_ignore_ascii_case(known));
    !encoded && values.next().is_none_or(made_up) && values.next().is_none()
}

/// The content type of a form of files, which is all that says that it is one.
pub(super) fn form_type(headers: Headers<'_>) -> Option<String> {
    let mut values = headers.all("content-type");
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let value = std::str::from_utf8(value).ok()?;
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("multipart/form-data").then(|| value.to_owned())
}

/// A preflight of a browser (CORS, Fetch standard section 3.2.2): it never carries a credential.
pub(super) fn is_preflight(method: &str, headers: Headers<'_>) -> bool {
    method == "OPTIONS" && headers.has("origin") && headers.has("access-control-request-method")
}

pub(super) fn known_method(method: &str) -> Option<&'static str> {
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]
        .into_iter()
        .find(|known| *known == method)
}

/// Envoy's own ids are UUIDs, and so are most of others. A client may send what it likes: what has another form may be a
/// key or a name, and gets an id of ours.
pub(super) fn is_request_id(id: &str) -> bool {
    id.len() == 36
        && id.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// What providers' API keys begin with.
const PROVIDER_KEYS: [&[u8]; 8] = [b"sk-", b"sk_", b"gsk_", b"hf_", b"xai-", b"AIza", b"pplx-", b"r8_"];

/// True for a request that its caller signed with a key of AWS's, in a header or in the query.
fn is_signed(headers: Headers<'_>) -> bool {
    let query = headers.text(":path").and_then(|path| path.split_once('?')).map_or("", |(_, query)| query);
    headers.all("authorization").any(|value| value.trim_ascii().starts_with(b"AWS4-"))
        || query.split('&').any(|pair| pair.to_ascii_lowercase().starts_with("x-amz-signature="))
}

/// The same denial, and that a provider's key was sent, where it was. Such a key is no token of anybody's here.
pub(super) fn hinted(mut denial: Denial, headers: Headers<'_>) -> Denial {
    let mut sent = CREDENTIALS.iter().flat_map(|name| headers.all(name));
    let is_key = |value: &[u8]| {
        let value = value.trim_ascii();
        let bare = match value.split_at_checked(7) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer ") => rest.trim_ascii_start(),
            _ => value,
        };
        PROVIDER_KEYS.iter().any(|known| bare.starts_with(known))
    };
    if denial.status() == 401 && denial.hint.is_none() {
        let is_key = sent.any(is_key).then_some(Hint::ProviderKey);
        denial.hint = if is_signed(headers) { Some(Hint::Signed) } else { is_key };
    }
    denial
}

/// A model's name as a part of a path: what RFC 3986 has no place for there is percent-escaped.
pub(super) fn path_segment(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~:@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing into a string can't fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// A value that can be in a header: what is not printable ASCII is percent-escaped.
pub(super) fn header_safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | 0..=0x20 | 0x7f.. => {
                out.push('%');
                out.extend(
                    [byte >> 4, byte & 15]
                        .map(|nibble| char::from_digit(u32::from(nibble), 16).unwrap_or('0').to_ascii_uppercase()),
                );
            }
            _ => out.push(char::from(byte)),
        }
    }
    out
}
