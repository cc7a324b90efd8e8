//! What the Model Context Protocol asks of its road besides messages: sessions bound to callers, and where a client
//! without a token learns whom to ask for one (RFC 9728).

use serde_json::json;

use super::{Edit, Headers, Reply, State, Step, Transaction};
use crate::audit::{HashKey, Verdict};
use crate::protocol::Protocol;
use crate::protocol::mcp::Session;
use crate::reason::Reason;

/// The header of a session's id.
const SESSION: &str = "mcp-session-id";
/// What every address of metadata begins with.
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

impl Transaction {
    /// Answers for the metadata of a route; `None`: the request is for something else.
    pub(super) fn resource_metadata(&mut self, method: &str, path: &str) -> Option<Step> {
        if !path.starts_with(WELL_KNOWN) || !matches!(method, "GET" | "HEAD") {
            return None;
        }
        let resources = self.policy.routes.iter().filter_map(|route| route.mcp.as_ref()?.resource.as_ref());
        let resource = resources.into_iter().find(|resource| resource.metadata_path == path)?;
        let body = json!({
            "resource": resource.url,
            "authorization_servers": self.policy.authn.identifiers(),
            "bearer_methods_supported": ["header"],
        });
        self.record.route = Some(resource.metadata_path.clone());
        self.record.verdict = Verdict::Allow;
        self.record.coverage = Some("none");
        self.state = State::Refused;
        let headers = vec![("content-type", "application/json".to_owned())];
        Some(Step::Deny(Reply { status: 200, headers, body: body.to_string().into_bytes(), reason: "metadata" }))
    }

    /// The challenge of a refusal for want of a token (RFC 6750 section 3, RFC 9728 section 5.1).
    pub(super) fn challenge(&self, reason: Reason) -> String {
        let mut challenge = match reason {
            Reason::JwtMissing => "Bearer".to_owned(),
            _ => "Bearer error=\"invalid_token\"".to_owned(),
        };
        let path = self.record.route.as_deref();
        let route = self.policy.routes.iter().find(|route| Some(route.matches.as_str()) == path);
        if let Some(resource) = route.and_then(|route| route.mcp.as_ref()?.resource.as_ref()) {
            challenge.push_str(if reason == Reason::JwtMissing { " " } else { ", " });
            challenge.push_str(&format!("resource_metadata=\"{}\"", resource.metadata_url));
        }
        challenge
    }

    /// Gives the server its own id of the caller's session.
    ///
    /// # Errors
    /// [`Reason::McpSession`] for an id that this caller did not get from here, [`Reason::McpHeader`] for two of them.
    pub(super) fn open_session(
        &mut self,
        protocol: &Protocol,
        headers: Headers<'_>,
        key: &HashKey,
        identity: &[u8],
        edit: &mut Edit,
    ) -> Result<(), Reason> {
        if *protocol != Protocol::Mcp {
            return Ok(());
        }
        let session = Session::new(key, identity);
        let mut ids = headers.all(SESSION);
        if let Some(id) = ids.next() {
            if ids.next().is_some() {
                return Err(Reason::McpHeader);
            }
            let sealed = std::str::from_utf8(id).map_err(|_| Reason::McpSession)?;
            let own = session.open(sealed).map_err(|denial| denial.reason)?;
            edit.set.push((SESSION, own.to_owned()));
        }
        self.session = Some(session);
        Ok(())
    }

    /// Gives the caller an id that is worth nothing to anybody else.
    pub(super) fn seal_session(session: Option<&Session>, headers: Headers<'_>, edit: &mut Edit) {
        if let (Some(session), Some(id)) = (session, headers.text(SESSION)) {
            edit.set.push((SESSION, session.seal(id)));
        }
    }
}
