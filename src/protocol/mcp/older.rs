//! The older form of the protocol: HTTP with server-sent events (revision 2024-11-05).
//!
//! A client opens the server's stream, whose first event names the address that messages are posted to; every answer
//! comes on that stream. So the address is the session, and it is bound to the caller as a session's id is: with a
//! keyed hash at its end, of which the server never knows. Nothing is stored.
//!
//! A client of this form reads no HTTP answer to a message. In the place of a request that is refused the server gets a
//! `ping`, which it must answer, under an id that says what was refused; on the stream, that answer becomes the refusal.

use subtle::ConstantTimeEq as _;

use super::Session;
use crate::reason::{Denial, Reason};

/// The revision that defines the form, and that is spoken in it alone.
pub const REVISION: &str = "2024-11-05";

/// The last parameter of the address of messages.
const PARAMETER: &str = "bartizan-session=";
/// How the id of a ping in the place of a refused request begins.
const REFUSED: &str = "bartizan-refused";
/// Longer addresses are none.
const MAX_ADDRESS: usize = 2048;

impl Session {
    /// The address of an `endpoint` event, bound to this caller. `None`: it is no address of this path, to which alone
    /// messages are guarded.
    pub fn seal_endpoint(&self, address: &str, path: &str) -> Option<String> {
        let plain = address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        let target = target(address)?;
        let own = target.split('?').next() == Some(path);
        if !own || !plain || address.len() > MAX_ADDRESS || target.contains(PARAMETER) {
            return None;
        }
        let joint = if target.contains('?') { '&' } else { '?' };
        Some(format!("{address}{joint}{PARAMETER}{}", self.endpoint_tag(target)))
    }

    /// The server's own address, of a request's path and query, when this caller got it from here.
    ///
    /// # Errors
    /// [`Reason::McpSession`].
    pub fn open_endpoint<'t>(&self, target: &'t str) -> Result<&'t str, Denial> {
        let (own, tag) = target.rsplit_once(PARAMETER).ok_or(Reason::McpSession)?;
        let own = own.strip_suffix(['?', '&']).ok_or(Reason::McpSession)?;
        let right = self.endpoint_tag(own);
        if bool::from(right.as_bytes().ct_eq(tag.as_bytes())) { Ok(own) } else { Err(Reason::McpSession.into()) }
    }

    /// The id of the ping in the place of a refused request. `id`: the request's, as JSON.
    pub fn seal_refusal(&self, reason: Reason, id: &str) -> String {
        format!("{REFUSED} {} {} {id}", self.refusal_tag(reason, id), reason.code())
    }

    /// What was refused, and the request's id as JSON, of the id of an answer.
    pub fn open_refusal<'i>(&self, id: &'i str) -> Option<(Reason, &'i str)> {
        let mut parts = id.strip_prefix(REFUSED)?.strip_prefix(' ')?.splitn(3, ' ');
        let (tag, code, id) = (parts.next()?, parts.next()?, parts.next()?);
        let reason = *Reason::ALL.iter().find(|reason| reason.code() == code)?;
        let right = self.refusal_tag(reason, id);
        bool::from(right.as_bytes().ct_eq(tag.as_bytes())).then_some((reason, id))
    }

    fn endpoint_tag(&self, target: &str) -> String {
        self.0.hex(&[b"messages", target.as_bytes()])
    }

    fn refusal_tag(&self, reason: Reason, id: &str) -> String {
        self.0.hex(&[b"refused", reason.code().as_bytes(), id.as_bytes()])
    }
}

/// The message that goes to the server in the place of a refused request.
pub fn ping(id: &str) -> Vec<u8> {
    serde_json::json!({ "jsonrpc": "2.0", "id": id, "method": "ping" }).to_string().into_bytes()
}

/// Path and query of an address with or without a host.
fn target(address: &str) -> Option<&str> {
    let rest = match address.split_once("://") {
        Some(("http" | "https", rest)) => rest.get(rest.find('/')?..)?,
        _ => address,
    };
    (rest.starts_with('/') && !rest.starts_with("//")).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::HashKey;

    #[test]
    fn an_address_is_its_callers_alone() {
        let key = HashKey::new(b"k");
        let (alice, bob) = (Session::new(&key, b"alice"), Session::new(&key, b"bob"));
        for address in ["/messages/?session_id=ab12", "/messages/", "http://a.test:8000/messages/?session_id=ab12"] {
            let sealed = alice.seal_endpoint(address, "/messages/").unwrap();
            let (sealed, own) = (target(&sealed).unwrap(), target(address).unwrap());
            assert_eq!(alice.open_endpoint(sealed), Ok(own));
            assert!(bob.open_endpoint(sealed).is_err() && alice.open_endpoint(own).is_err());
            assert!(alice.open_endpoint(&format!("{sealed}0")).is_err());
            assert!(alice.open_endpoint(&sealed.replace("/messages/", "/messages/x")).is_err());
            assert!(alice.open_endpoint(&format!("{sealed}&session_id=cd")).is_err());
        }
        for bad in [
            "/other/?session_id=1",
            "//evil.test/messages/",
            "messages/",
            "/messages/?a=b#c",
            "/messages/ ?",
            "",
            "https://a.test",
            "/messages/?bartizan-session=1",
            "javascript:/messages/",
        ] {
            assert_eq!(alice.seal_endpoint(bad, "/messages/"), None, "{bad}");
        }
    }

    #[test]
    fn a_refusal_comes_back_to_who_was_refused() {
        let key = HashKey::new(b"k");
        let (alice, bob) = (Session::new(&key, b"alice"), Session::new(&key, b"bob"));
        for id in ["7", "\"a b\"", "\"bartizan-refused\""] {
            let sealed = alice.seal_refusal(Reason::RbacTool, id);
            assert_eq!(alice.open_refusal(&sealed), Some((Reason::RbacTool, id)));
            assert_eq!(bob.open_refusal(&sealed), None);
            assert_eq!(alice.open_refusal(&sealed.replace("rbac.tool", "scan.pii")), None);
        }
        assert_eq!(alice.open_refusal("bartizan-refused"), None);
    }
}
