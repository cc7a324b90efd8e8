//! What the operator adds to refusals: words of its own, and who is told the cause.

use crate::sorted::SortedMap;

use super::unknown;
use crate::authn::RoleIndex;
use crate::authz::RolePolicy;
use crate::document::{Document, Errors, KeyPath, shortened};
use crate::reason::Reason;

/// What refusals say beside their class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefusalPolicy {
    words: SortedMap<Reason, Words>,
    /// Whom rules and spans are told.
    trusted: Vec<RoleIndex>,
}

/// The operator's words for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    message: Option<String>,
    url: Option<String>,
}

impl Words {
    /// The message, else `own`, and the address.
    pub fn say(&self, own: &str) -> String {
        let message = self.message.as_deref().unwrap_or(own);
        match &self.url {
            Some(url) => format!("{message} See {url}"),
            None => message.to_owned(),
        }
    }
}

impl RefusalPolicy {
    /// The operator's words for this reason.
    pub fn words(&self, reason: Reason) -> Option<&Words> {
        self.words.get(&reason)
    }

    /// True for a caller who has a role that rules and spans are told.
    pub fn explains(&self, roles: &[RoleIndex]) -> bool {
        roles.iter().any(|role| self.trusted.contains(role))
    }
}

/// The longest message, in bytes.
const MAX_MESSAGE: usize = 500;

/// The longest address, in bytes.
const MAX_URL: usize = 512;

pub(super) fn compile(document: &Document, roles: &[RolePolicy], errors: &mut Errors) -> RefusalPolicy {
    let root = KeyPath::root();
    let (mut compiled, mut worded) = (RefusalPolicy::default(), Vec::new());
    let at = root.key("refusals");
    for (code, written) in document.refusals.iter().flatten() {
        let at = at.key(code);
        let Some(reason) = Reason::ALL.iter().find(|reason| reason.code() == code) else {
            errors.push(&at, unknown("reason", code, Reason::ALL.iter().map(|reason| reason.code())));
            continue;
        };
        if written.message.is_none() && written.url.is_none() {
            errors.push(&at, "expected message, url or both");
        }
        if let Some(message) = &written.message
            && (message.trim().is_empty() || message.len() > MAX_MESSAGE || message.chars().any(char::is_control))
        {
            let wanted = format!("expected 1 to {MAX_MESSAGE} bytes on one line");
            errors.push(&at.key("message"), format!("{wanted}, found {:?}", shortened(message)));
        }
        if let Some(url) = &written.url
            && !is_address(url)
        {
            let wanted = "expected an address such as https://wiki.example.com/llm";
            errors.push(&at.key("url"), format!("{wanted}, found {:?}", shortened(url)));
        }
        let words = Words { message: written.message.clone(), url: written.url.clone() };
        worded.push((*reason, words));
    }
    compiled.words = SortedMap::of(worded);
    let at = root.key("explainRefusals");
    for (place, name) in document.explain_refusals.iter().flatten().enumerate() {
        match roles.iter().position(|role| role.name == *name) {
            Some(role) => compiled.trusted.extend(u16::try_from(role).ok().map(RoleIndex)),
            None if document.roles.as_ref().is_some_and(|roles| roles.contains_key(name)) => {}
            None => errors.push(&at.index(place), unknown("role", name, roles.iter().map(|role| role.name.as_str()))),
        }
    }
    compiled
}

fn is_address(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    url.len() <= MAX_URL
        && rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic()))
}
