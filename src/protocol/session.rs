//! Sessions of a server of tools with its clients, each bound to one caller.
//!
//! Nothing is stored: the id or address that a client sees is the server's own and a keyed hash of it and of the caller, so
//! that one that leaked is worth nothing to another.

use subtle::ConstantTimeEq as _;

use crate::keyed::HashKey;
use crate::reason::{Denial, Reason};

/// The last parameter of the address of messages.
const PARAMETER: &str = "bartizan-session=";
/// How the id of a ping in the place of a refused request begins.
const REFUSED: &str = "bartizan-refused";
/// Longer addresses are none.
const MAX_ADDRESS: usize = 2048;

/// Binds a server's sessions to one caller: the id that a client sees is the server's own and a keyed hash of it
/// and of the caller, so that an id that leaked is worth nothing to another. Nothing is stored.
#[derive(Clone, Debug)]
pub struct Session {
    key: HashKey,
    header: &'static str,
}

impl Session {
    /// For the caller of this identity. `key` is shared by all workers; by several proxies only when
    /// `audit.hashKey` is set. `header`: the one that carries its id.
    pub fn new(key: &HashKey, identity: &[u8], header: &'static str) -> Session {
        Session { key: HashKey::new(&key.hash(&[b"session", identity])), header }
    }

    /// The header that carries its id.
    pub fn header(&self) -> &'static str {
        self.header
    }

    /// The id that the client gets in the place of the server's.
    pub fn seal(&self, id: &str) -> String {
        format!("{id}.{}", self.key.hex(&[id.as_bytes()]))
    }

    /// The server's id, when this caller got it from here.
    ///
    /// # Errors
    /// [`Reason::McpSession`].
    pub fn open<'s>(&self, sealed: &'s str) -> Result<&'s str, Denial> {
        let (id, tag) = sealed.rsplit_once('.').ok_or(Reason::McpSession)?;
        let right = self.key.hex(&[id.as_bytes()]);
        if bool::from(right.as_bytes().ct_eq(tag.as_bytes())) { Ok(id) } else { Err(Reason::McpSession.into()) }
    }
}

impl Session {
    /// The address of an `endpoint` event, bound to this caller. `None`: it is no address of this path, the only one
    /// at which messages are guarded.
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

    /// The id of the ping in the place of a refused request. `request`: the id by which the
    /// caller can report it, without a space; `id`: the request's, as JSON.
    pub fn seal_refusal(&self, reason: Reason, request: &str, id: &str) -> String {
        format!("{REFUSED} {} {} {request} {id}", self.refusal_tag(reason, request, id), reason.code())
    }

    /// Why it was refused, the id to report it by, and the request's id as JSON, of the id of an answer.
    pub fn open_refusal<'i>(&self, id: &'i str) -> Option<(Reason, &'i str, &'i str)> {
        let mut parts = id.strip_prefix(REFUSED)?.strip_prefix(' ')?.splitn(4, ' ');
        let (tag, code, request, id) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let reason = *Reason::ALL.iter().find(|reason| reason.code() == code)?;
        let right = self.refusal_tag(reason, request, id);
        bool::from(right.as_bytes().ct_eq(tag.as_bytes())).then_some((reason, request, id))
    }

    fn endpoint_tag(&self, target: &str) -> String {
        self.key.hex(&[b"messages", target.as_bytes()])
    }

    fn refusal_tag(&self, reason: Reason, request: &str, id: &str) -> String {
        self.key.hex(&[b"refused", reason.code().as_bytes(), request.as_bytes(), id.as_bytes()])
    }
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
    use crate::keyed::HashKey;

    #[test]
    fn an_address_is_its_callers_alone() {
        let key = HashKey::new(b"k");
        let (alice, bob) = (Session::new(&key, b"alice", "session-id"), Session::new(&key, b"bob", "session-id"));
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
        let (alice, bob) = (Session::new(&key, b"alice", "session-id"), Session::new(&key, b"bob", "session-id"));
        for id in ["7", "\"a b\"", "\"bartizan-refused\""] {
            let sealed = alice.seal_refusal(Reason::RbacTool, "r-1", id);
            assert_eq!(alice.open_refusal(&sealed), Some((Reason::RbacTool, "r-1", id)));
            assert_eq!(alice.open_refusal(&sealed.replace("r-1", "r-2")), None);
            assert_eq!(bob.open_refusal(&sealed), None);
            assert_eq!(alice.open_refusal(&sealed.replace("rbac.tool", "scan.pii")), None);
        }
        assert_eq!(alice.open_refusal("bartizan-refused"), None);
    }

    #[test]
    fn a_session_is_its_callers_alone() {
        let key = HashKey::new(b"k");
        let (alice, bob) = (Session::new(&key, b"alice", "session-id"), Session::new(&key, b"bob", "session-id"));
        let sealed = alice.seal("a.b-1");
        assert_eq!(alice.open(&sealed), Ok("a.b-1"));
        for (session, text) in
            [(&bob, sealed.as_str()), (&alice, "a.b-1"), (&alice, "plain"), (&alice, ""), (&alice, ".")]
        {
            assert_eq!(session.open(text).map_err(|denial| denial.reason), Err(Reason::McpSession), "{text}");
        }
    }
}
