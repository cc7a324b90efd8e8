//! What a condition can ask for.

use super::value::Value;

/// Something that a condition asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fact {
    /// `principal.subject`.
    Subject,
    /// `principal.issuer`: its name in the policy.
    Issuer,
    /// `principal.tenant`.
    Tenant,
    /// `principal.roles`: the names of those that the policy knows.
    Roles,
    /// `principal.claims.NAME`, as a JSON Pointer.
    Claim(Box<str>),
    /// `request.operation`, which the path tells.
    Operation,
    /// `request.protocol`.
    Protocol,
    /// `request.method`.
    Method,
    /// `request.path`, without its query.
    Path,
    /// `request.headers['NAME']`.
    Header(Box<str>),
    /// `request.stream`.
    Stream,
    /// `request.choices`.
    Choices,
    /// `request.maxOutputTokens`: what the client asks for.
    MaxOutputTokens,
    /// `request.bytes`: the body's length.
    Bytes,
    /// `model`; empty where a request names none.
    Model,
    /// `tools`: the names of those that the request offers.
    Tools,
    /// `now`.
    Now,
}

impl Fact {
    /// As it is written in a condition.
    pub fn name(&self) -> String {
        let fixed = match self {
            Fact::Claim(pointer) => return format!("principal.claims{}", pointer.replace('/', ".")),
            Fact::Header(name) => return format!("request.headers['{name}']"),
            Fact::Subject => "principal.subject",
            Fact::Issuer => "principal.issuer",
            Fact::Tenant => "principal.tenant",
            Fact::Roles => "principal.roles",
            Fact::Operation => "request.operation",
            Fact::Protocol => "request.protocol",
            Fact::Method => "request.method",
            Fact::Path => "request.path",
            Fact::Stream => "request.stream",
            Fact::Choices => "request.choices",
            Fact::MaxOutputTokens => "request.maxOutputTokens",
            Fact::Bytes => "request.bytes",
            Fact::Model => "model",
            Fact::Tools => "tools",
            Fact::Now => "now",
        };
        fixed.to_owned()
    }

    /// True for what only the body tells.
    pub fn is_of_body(&self) -> bool {
        matches!(self, Fact::Stream | Fact::Choices | Fact::MaxOutputTokens | Fact::Bytes | Fact::Model | Fact::Tools)
    }
}

/// Who knows what a condition asks for.
pub trait Facts {
    /// What there is.
    fn given(&self, fact: &Fact) -> Given<'_>;
}

/// What there is of a fact.
#[derive(Clone, Debug, PartialEq)]
pub enum Given<'f> {
    /// This.
    Value(Value<'f>),
    /// Nothing: `has` says false.
    Absent,
    /// Something that no condition can read: too long, of another type, or there twice. `has` says true.
    Unreadable,
}
