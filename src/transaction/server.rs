//! What a server of tools needs besides its messages: sessions bound to callers, and where a client
//! without a token learns whom to ask for one (RFC 9728).

use serde_json::json;

use super::context::{Context, Elsewhere};
use super::{Denied, Edit, Headers, Next, Passed, Refused, Reply, Step};
use crate::audit::{Coverage, Verdict};
use crate::keyed::HashKey;
use crate::protocol::{Json, Session};
use crate::reason::{Denial, Reason};
use crate::route::{RoutePolicy, ServerPart};

/// What every address of metadata begins with.
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

impl Context {
    /// Answers for the metadata of a route; `None`: the request is for something else.
    pub(super) fn resource_metadata(&mut self, method: &str, path: &str) -> Option<Next> {
        if !path.starts_with(WELL_KNOWN) || !matches!(method, "GET" | "HEAD") {
            return None;
        }
        let resources = self.policy.routes.iter().filter_map(|route| route.server.as_ref()?.resource.as_ref());
        let resource = resources.into_iter().find(|resource| resource.metadata_path == path)?;
        let body = json!({
            "resource": resource.url,
            "authorization_servers": self.policy.authn.identifiers(),
            "bearer_methods_supported": ["header"],
        });
        self.account.record.set_route(&resource.metadata_path);
        self.account.record.set_status(Some(200));
        self.account.decide(Verdict::Allow);
        self.account.cover(Coverage::None);
        let headers = vec![("content-type", "application/json".to_owned())];
        let body = body.to_string().into_bytes();
        Some(Next::new(Denied, Step::Deny(Reply { status: 200, headers, body, reason: "metadata" })))
    }

    /// The challenge of a refusal without a token (RFC 6750 section 3, RFC 9728 section 5.1).
    pub(super) fn challenge(&self, reason: Reason) -> String {
        let mut challenge = match reason {
            Reason::JwtMissing => "Bearer".to_owned(),
            _ => "Bearer error=\"invalid_token\"".to_owned(),
        };
        let route = self.route.and_then(|route| self.policy.route_at(route));
        if let Some(resource) = route.and_then(|route| route.server.as_ref()?.resource.as_ref()) {
            challenge.push_str(if reason == Reason::JwtMissing { " " } else { ", " });
            challenge.push_str(&format!("resource_metadata=\"{}\"", resource.metadata_url));
        }
        challenge
    }

    /// Gives the server its own id of the caller's session, which is what comes of it; `None`: the request names none.
    ///
    /// # Errors
    /// [`Reason::McpSession`] for an id that this caller did not get from here, [`Reason::McpHeader`] for two of them.
    pub(super) fn open_session<'h>(
        &mut self,
        route: &RoutePolicy,
        headers: Headers<'h>,
        key: &HashKey,
        identity: &[u8],
        edit: &mut Edit,
    ) -> Result<Option<&'h [u8]>, Reason> {
        let Some(header) = route.protocol.session_header() else { return Ok(None) };
        let session = Session::new(key, identity, header);
        let mut named = None;
        if *route.server_part() == ServerPart::Messages {
            let target = headers.text(":path").ok_or(Reason::McpSession)?;
            let own = session.open_endpoint(target).map_err(|denial| denial.reason)?;
            edit.set.push((":path", own.to_owned()));
            named = Some(own.as_bytes());
            self.elsewhere = Some(Elsewhere::default());
        }
        let mut ids = headers.all(header);
        if let Some(id) = ids.next() {
            if ids.next().is_some() {
                return Err(Reason::McpHeader);
            }
            let sealed = std::str::from_utf8(id).map_err(|_| Reason::McpSession)?;
            let own = session.open(sealed).map_err(|denial| denial.reason)?;
            edit.set.push((header, own.to_owned()));
            named = Some(own.as_bytes());
        }
        self.session = Some(session);
        Ok(named)
    }

    /// Notes how a message is refused whose answer comes on another stream.
    pub(super) fn note_message(&mut self, message: &Json<'_>, edit: &Edit) {
        if let Some(elsewhere) = &mut self.elsewhere {
            elsewhere.edit = edit.clone();
            elsewhere.answers = message.get("method").is_none();
        }
    }

    /// Refuses a message whose answer comes on another stream; where that can't be, and in every other form, as HTTP
    /// does.
    ///
    /// Nothing of the message goes on: the server gets a `ping`, or where the client answered, an error.
    pub(super) fn refuse_message(&mut self, refused: Refused) -> Next {
        let (Some(elsewhere), Some(session), Some(id)) = (self.elsewhere.take(), &self.session, &self.rpc_id) else {
            return self.refuse(refused);
        };
        let denial = refused.denial;
        let body = match elsewhere.answers {
            // A revision is named to clients only: a server of an older one knows none but its own.
            true => self.refusal(&Denial::new(denial.reason)).body,
            false => {
                let request = self.teller.request.as_deref().unwrap_or_default();
                let id = session.seal_refusal(denial.reason, request, id);
                match self.protocol().and_then(|protocol| protocol.stand_in(&id)) {
                    Some(message) => message,
                    None => return self.refuse(Refused { denial, ..refused }),
                }
            }
        };
        self.account.refuse(denial.reason);
        let mut edit = elsewhere.edit;
        if self.policy.hold_headers {
            edit.set.push(("content-length", body.len().to_string()));
        }
        edit.body = Some(body);
        Next::new(Passed, Step::Release(edit))
    }

    /// Gives the caller an id that is worth nothing to anybody else.
    pub(super) fn seal_session(session: Option<&Session>, headers: Headers<'_>, edit: &mut Edit) {
        if let Some(session) = session
            && let Some(id) = headers.text(session.header())
        {
            edit.set.push((session.header(), session.seal(id)));
        }
    }
}
