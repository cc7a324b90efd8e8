//! Workloads: callers that the mesh's mTLS names, by the SPIFFE ID in the certificate of the connection's peer.
//!
//! The peer is whoever opened the connection. Behind a gateway that is the gateway, for all its callers.

use super::{MAX_NAME_BYTES, Principal, RoleIndex};
use crate::glob::Glob;
use crate::host::Host;

/// The most entries of one policy.
pub(super) const MAX_WORKLOADS: usize = 1024;

/// The URI in the certificate of the connection's peer.
const PEER: [&str; 2] = ["connection", "uri_san_peer_certificate"];

/// The workload that sent the request, by its mTLS certificate: a SPIFFE ID. `None`: no certificate, or none with a URI.
pub fn workload(host: &mut dyn Host) -> Option<String> {
    host.property(&PEER).and_then(|id| String::from_utf8(id).ok()).filter(|id| !id.is_empty())
}

/// Workloads that need no credential.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) matches: Glob,
    pub(super) roles: Vec<RoleIndex>,
    pub(super) tenant: Option<String>,
}

/// The caller that the connection's peer is, by the first rule that matches it. An ID over 256 bytes matches none.
pub(super) fn principal(rules: &[Rule], host: &mut dyn Host) -> Option<Principal> {
    if rules.is_empty() {
        return None;
    }
    let id = workload(host).filter(|id| id.len() <= MAX_NAME_BYTES && id.starts_with(SCHEME))?;
    let rule = rules.iter().find(|rule| rule.matches.matches(&id))?;
    Some(Principal::from_workload(&id, rule.tenant.as_deref(), rule.roles.clone()))
}

/// How every SPIFFE ID begins.
pub(super) const SCHEME: &str = "spiffe://";
