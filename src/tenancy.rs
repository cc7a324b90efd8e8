//! Whose data of a store a caller may reach, as the policy means it.
//!
//! Two tenants never have the same name in the store: what stands around the caller's own part of the name is fixed.
//!
//! ```
//! use bartizan::policy::Policy;
//!
//! let document = br#"{"version": 1, "name": "store", "guards": {"standard": {}}, "authn": {"unsafeAnonymous": true},
//!     "roles": {"anonymous": {"operations": ["query"], "models": ["*"]}},
//!     "routes": [{"match": {"pathPrefix": "/"}, "protocol": "pinecone", "tenancy": {"by": "namespace", "from": "tenant"}}]}"#;
//! let policy = Policy::from_json(document, &|_| None).unwrap();
//! let tenancy = policy.route("/query", "POST").unwrap().tenancy.as_ref().unwrap();
//! assert!(tenancy.tenant(&policy.authn.anonymous().unwrap()).is_err());
//! ```

use std::time::Duration;

use crate::authn::{Principal, is_pointer};
use crate::callout::{Answer, Call, HttpCall};
use crate::document::{ConfinedTo, Confinement, Errors, KeyPath, Tenancy, shortened};
use crate::enums::ConfinedBy;
use crate::protocol::{Protocol, Scope};
use crate::reason::Reason;

/// The part of the pattern that the caller's own name replaces.
const HOLE: &str = "{}";
/// The longest name of a tenant in a store, in bytes.
const MAX_NAME: usize = 256;
/// The longest answer about an id, in bytes: a collection with its metadata and schema.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// Whose data a request may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenancyPolicy {
    by: ConfinedBy,
    /// The field, with [`ConfinedBy::Field`].
    field: String,
    before: String,
    after: String,
    /// The claim that names the tenant; `None`: the caller's tenant.
    claim: Option<String>,
    /// Who is asked whose an id is, and for how long.
    store: Option<(Box<str>, Duration)>,
}

/// A question in flight: whose an id is.
#[derive(Clone, Debug)]
pub struct Ownership {
    /// The tenant and the id.
    pub of: (String, String),
    /// The call to make.
    pub call: Call,
}

impl Ownership {
    /// True: the store says that the id is the tenant's.
    ///
    /// # Errors
    /// [`Reason::AuthzUnavailable`] where it gave no answer that says either.
    pub fn is_own(&self, answer: &Answer) -> Result<bool, Reason> {
        match answer {
            Answer::Http { status: 200, body } => {
                let found: serde_json::Value = serde_json::from_slice(body).map_err(|_| Reason::AuthzUnavailable)?;
                let says = |key: &str, wanted: &str| found.get(key).and_then(serde_json::Value::as_str) == Some(wanted);
                Ok(says("id", &self.of.1) && says("tenant", &self.of.0))
            }
            Answer::Http { status: 400 | 404, .. } => Ok(false),
            _ => Err(Reason::AuthzUnavailable),
        }
    }
}

impl TenancyPolicy {
    /// Compiles `tenancy` of a route; `None`: none is wanted, or an error says what is wrong.
    pub(crate) fn compile(
        written: Option<&Tenancy>,
        protocol: &Protocol,
        at: &KeyPath,
        errors: &mut Errors,
    ) -> Option<TenancyPolicy> {
        let (known, at) = (protocol.tenancies(), at.key("tenancy"));
        let written = match (written, known) {
            (None, []) => return None,
            (Some(_), []) => {
                errors.push(&at, format!("has no effect with protocol {}", protocol.name()));
                return None;
            }
            (None, _) => {
                let message = format!(
                    "missing, but required with protocol {}: whose data a request may reach; none opts out",
                    protocol.name()
                );
                errors.push(&at, message);
                return None;
            }
            (Some(Tenancy::None), _) => return None,
            (Some(Tenancy::Own(written)), _) => written,
        };
        let by = errors.require(&at, "by", written.by).and_then(|by| {
            let words: Vec<&str> = known.iter().map(|by| by.as_str()).collect();
            if !known.contains(&by) {
                let words = words.join(", ");
                errors.push(&at.key("by"), format!("protocol {} has {words}", protocol.name()));
            }
            known.contains(&by).then_some(by)
        });
        let claim = claim(written, &at, errors);
        let by = by?;
        let (field, pattern) = match (by, &written.name) {
            (ConfinedBy::Field, None) => {
                errors.push(&at.key("name"), "missing, but required with by: field: the field's name");
                return None;
            }
            (ConfinedBy::Field, Some(field)) => (field.as_str(), HOLE),
            (_, name) => ("", name.as_deref().unwrap_or(HOLE)),
        };
        let at_name = at.key("name");
        let plain = |text: &str| !text.is_empty() && text.len() <= MAX_NAME && !text.chars().any(char::is_control);
        if by == ConfinedBy::Field && (!plain(field) || field.starts_with(['$', '#'])) {
            errors.push(&at_name, format!("expected the name of a field, found {:?}", shortened(field)));
        }
        let Some((before, after)) = pattern.split_once(HOLE).filter(|(_, after)| !after.contains(HOLE)) else {
            errors.push(&at_name, format!("expected a pattern with one {{}}, found {:?}", shortened(pattern)));
            return None;
        };
        if !plain(pattern) {
            errors.push(&at_name, format!("expected 1 to {MAX_NAME} bytes without control characters"));
        }
        let (before, after) = (before.to_owned(), after.to_owned());
        let timeout = errors.span(&at, "timeout", written.timeout, (500, 10..=30_000), "10ms to 30s");
        if written.cluster.is_some() && (by != ConfinedBy::Path || !protocol.has_unnamed_ids()) {
            errors.push(
                &at.key("cluster"),
                format!("protocol {} has no ids to ask about with by: {}", protocol.name(), by.as_str()),
            );
        }
        if written.cluster.is_none() && written.timeout.is_some() {
            errors.push(&at.key("timeout"), "has no effect without cluster");
        }
        let cluster = written.cluster.as_ref().and_then(|_| errors.filled(&at, "cluster", written.cluster.as_deref()));
        let store = cluster.map(|cluster| (cluster.into(), timeout));
        Some(TenancyPolicy { by, field: field.to_owned(), before, after, claim: claim.ok()?, store })
    }

    /// The claim that must be kept of a token.
    pub fn claim(&self) -> Option<&String> {
        self.claim.as_ref()
    }

    /// What the caller's tenant is called in the store.
    ///
    /// # Errors
    /// [`Reason::RbacTenant`] for a caller without one, or whose name is none that a store could have.
    pub fn tenant(&self, caller: &Principal) -> Result<String, Reason> {
        let own = match &self.claim {
            None => caller.tenant(),
            Some(claim) => caller.claim_counted(claim),
        };
        let own = own.filter(|own| !own.is_empty() && !own.chars().any(char::is_control)).ok_or(Reason::RbacTenant)?;
        let name = format!("{}{own}{}", self.before, self.after);
        // A path of several parts, or of none, would be another's.
        let is_part = |name: &str| !name.contains(['/', '\\', '%', '?', '#']) && name != "." && name != "..";
        if name.len() > MAX_NAME || self.by != ConfinedBy::Field && !is_part(&name) {
            return Err(Reason::RbacTenant);
        }
        Ok(name)
    }

    /// Asks the store whose an id is. `path`: where it says so. `None`: nobody is asked.
    pub fn ask(&self, tenant: &str, id: &str, path: String) -> Option<Ownership> {
        let (cluster, timeout) = self.store.as_ref()?;
        let call = Call::Http(HttpCall {
            cluster: cluster.to_string(),
            method: "GET",
            authority: cluster.to_string(),
            path,
            headers: vec![("accept", "application/json".to_owned())],
            body: Vec::new(),
            timeout: *timeout,
            most: MAX_ANSWER_BYTES,
        });
        Some(Ownership { of: (tenant.to_owned(), id.to_owned()), call })
    }

    /// Tenants share what has a name in the store.
    pub fn is_shared(&self) -> bool {
        self.by == ConfinedBy::Field
    }

    /// That part of the store.
    pub fn scope<'s>(&'s self, tenant: &'s str) -> Scope<'s> {
        Scope { by: self.by, field: &self.field, value: tenant }
    }
}

/// The claim that names the tenant; an error: one is wanted, and none is there that could be read.
fn claim(written: &Confinement, at: &KeyPath, errors: &mut Errors) -> Result<Option<String>, ()> {
    let from = errors.require(at, "from", written.from).ok_or(())?;
    let at = at.key("claim");
    match (from, &written.claim) {
        (ConfinedTo::Tenant, None) => Ok(None),
        (ConfinedTo::Tenant, Some(_)) => {
            errors.push(&at, "has a meaning with from: claim only");
            Ok(None)
        }
        (ConfinedTo::Claim, None) => {
            errors.push(&at, "missing, but required with from: claim");
            Err(())
        }
        (ConfinedTo::Claim, Some(text)) if text.len() > 256 || !is_pointer(text) => {
            errors.push(&at, format!("{:?} is not a JSON Pointer of at most 256 bytes (RFC 6901)", shortened(text)));
            Err(())
        }
        (ConfinedTo::Claim, Some(text)) => Ok(Some(text.clone())),
    }
}
