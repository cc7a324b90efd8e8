//! Which buckets a request is charged to.

use super::Quota;
use crate::authn::Principal;
use crate::document::Per;
use crate::enums::Operation;
use crate::protocol::Offered;

/// The most tools of one request that a quota per tool counts. A request with more never fits.
pub const MAX_TOOLS: usize = 64;

/// What a request is charged for.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// The call itself, known from its headers: all but the quotas per model and per tool.
    Call(&'a Principal, Operation),
    /// The model and the tools, known from the body: quotas per model and per tool.
    Model(&'a str),
    /// All of it, after every other stage.
    Whole(&'a Principal, Operation, Option<&'a str>),
}

/// A session that a request says it is of: the header that names it (`None`: the protocol's own) and its name.
pub type Session = (Option<String>, Vec<u8>);

/// A scope, with what else names buckets in it.
#[derive(Clone, Copy, Debug)]
pub struct Bill<'a> {
    /// What the request is charged for.
    pub scope: Scope<'a>,
    /// The connection's peer, by its certificate.
    pub workload: Option<&'a str>,
    /// The sessions that the request names.
    pub sessions: &'a [Session],
    /// The tools that the request calls or offers; names that come again count once.
    pub tools: &'a [Offered],
}

impl<'a> From<Scope<'a>> for Bill<'a> {
    fn from(scope: Scope<'a>) -> Bill<'a> {
        Bill { scope, workload: None, sessions: &[], tools: &[] }
    }
}

impl<'a> Bill<'a> {
    fn caller(&self) -> Option<(&'a Principal, Operation)> {
        match self.scope {
            Scope::Call(principal, operation) | Scope::Whole(principal, operation, _) => Some((principal, operation)),
            Scope::Model(_) => None,
        }
    }

    fn model(&self) -> Option<&'a str> {
        match self.scope {
            Scope::Call(..) => None,
            Scope::Model(model) => Some(model),
            Scope::Whole(_, _, model) => model,
        }
    }

    /// The names of the tools, each once; one more than [`MAX_TOOLS`] where there are too many.
    fn tools(&self) -> Vec<&'a str> {
        let mut names: Vec<&str> = Vec::new();
        if matches!(self.scope, Scope::Call(..)) {
            return names;
        }
        for tool in self.tools {
            if names.len() <= MAX_TOOLS && !names.contains(&tool.name.as_str()) {
                names.push(&tool.name);
            }
        }
        names
    }
}

impl Quota {
    /// True for a quota that can't tell its buckets before the body has come.
    pub(super) fn needs_body(&self) -> bool {
        matches!(self.per, Per::Model | Per::Tool)
    }

    /// True where a request has more tools than this quota counts.
    pub(super) fn is_swamped(&self, bill: &Bill<'_>) -> bool {
        self.per == Per::Tool && bill.tools().len() > MAX_TOOLS
    }

    /// The bytes that name the buckets of a request; none when the quota is charged in another scope.
    ///
    /// Role and quota are part of every bucket's name already.
    pub(super) fn buckets(&self, bill: &Bill<'_>) -> Vec<Vec<u8>> {
        if self.per == Per::Tool {
            return bill.tools().into_iter().take(MAX_TOOLS).map(|name| name.as_bytes().to_vec()).collect();
        }
        self.bucket(bill).into_iter().collect()
    }

    fn bucket(&self, bill: &Bill<'_>) -> Option<Vec<u8>> {
        let bytes = match (self.per, bill.caller()) {
            (Per::Model, _) => bill.model()?.as_bytes().to_vec(),
            (Per::Subject, Some((principal, _))) => principal.identity(),
            (Per::Tenant, Some((principal, _))) => principal.tenancy(),
            (Per::Issuer, Some((principal, _))) => principal.issuance(),
            (Per::Operation, Some((_, operation))) => operation.as_str().as_bytes().to_vec(),
            (Per::Role, Some(_)) => Vec::new(),
            (Per::Claim, Some((principal, _))) => principal.counted(self.claim.as_deref()?),
            (Per::Workload, Some(_)) => bill.workload.unwrap_or_default().as_bytes().to_vec(),
            (Per::Session, Some((principal, _))) => {
                let mut bytes = principal.identity();
                let own = bill.sessions.iter().find(|(header, _)| *header == self.header);
                // The identity is a prefix code, and no name is the same as none.
                bytes.push(u8::from(own.is_some()));
                bytes.extend(own.iter().flat_map(|(_, name)| name));
                bytes
            }
            (Per::Tool, _) | (_, None) => return None,
        };
        Some(bytes)
    }

    /// What the fleet's service knows a bucket by, where it is a name that providers write; else none.
    pub(super) fn plain_name<'n>(&self, bucket: &'n [u8]) -> Option<&'n str> {
        let name = std::str::from_utf8(bucket).ok()?;
        (self.needs_body() && is_plain(name)).then_some(name)
    }
}

/// A model's or a tool's name as providers write them.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:/-".contains(&b))
}
