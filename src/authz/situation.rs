//! What conditions are judged by: the caller, the request and the time.

use std::sync::Arc;

use crate::authn::{Principal, RoleIndex};
use crate::authz::RolePolicy;
use crate::condition::{Condition, Fact, Facts, Given, Trouble, Value};
use crate::enums::Operation;
use crate::host::Timestamp;
use crate::protocol::{Exchange, NO_LIMIT};

/// The longest header that a condition can read, in bytes.
const MAX_HEADER: usize = 1024;

/// The most models of one request that a condition is judged for.
const MAX_MODELS: usize = 16;

/// What a request's headers say, as far as conditions ask for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Situation {
    protocol: &'static str,
    method: String,
    path: String,
    /// Those that conditions name and the request has; `None`: there twice, too long, or no text.
    headers: Vec<(Arc<str>, Option<String>)>,
}

impl Situation {
    /// A request to this path, which has no query.
    pub fn new(protocol: &'static str, method: &str, path: &str) -> Situation {
        Situation { protocol, method: method.to_owned(), path: path.to_owned(), headers: Vec::new() }
    }

    /// The same with a header that a condition names, and all its values.
    pub fn add<'h>(&mut self, name: &Arc<str>, mut values: impl Iterator<Item = &'h [u8]>) {
        let Some(first) = values.next() else { return };
        let is_one = values.next().is_none() && first.len() <= MAX_HEADER;
        let text = std::str::from_utf8(first).ok().filter(|_| is_one).map(str::to_owned);
        self.headers.push((Arc::clone(name), text));
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub enum Who<'a> {
    /// A caller.
    Caller(&'a Principal),
    /// What somebody says of one: an object with `subject`, `issuer`, `tenant`, `roles` and `claims`. For explanations.
    #[cfg(feature = "cli")]
    Told(&'a serde_json::Value),
}

/// All that a condition is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// Who asks.
    pub who: Who<'a>,
    /// The names of roles.
    pub roles: &'a [RolePolicy],
    /// What the path tells.
    pub operation: Operation,
    /// What the headers say.
    pub situation: &'a Situation,
    /// What the body says, and its length; `None`: there is none, or it has not come.
    pub body: Option<(&'a Exchange, usize)>,
    /// When.
    pub now: Timestamp,
}

/// The same for one of the request's models.
struct OfModel<'a> {
    asking: &'a Asking<'a>,
    model: &'a str,
}

impl Asking<'_> {
    /// True if the condition holds for the request, with each of the models that it names. This is what a role asks:
    /// what goes wrong does not hold.
    ///
    /// # Errors
    /// What went wrong.
    pub fn holds(&self, condition: &Condition) -> Result<bool, Trouble> {
        let (mut holds, mut trouble) = (true, None);
        for one in self.each(condition)? {
            match condition.holds(&one) {
                Ok(held) => holds &= held,
                Err(found) => trouble = trouble.or(Some(found)),
            }
        }
        trouble.map_or(Ok(holds), Err)
    }

    /// True if the condition is false for the request, with each of the models that it names. This is what guards and
    /// quotas ask: what goes wrong is not false.
    pub fn fails(&self, condition: &Condition) -> bool {
        self.each(condition).is_ok_and(|all| all.iter().all(|one| condition.holds(one) == Ok(false)))
    }

    /// What of a condition does not hold, and why.
    pub fn unmet(&self, condition: &Condition) -> Vec<(String, String)> {
        match self.each(condition) {
            Ok(all) => all.iter().map(|one| condition.unmet(one)).find(|unmet| !unmet.is_empty()).unwrap_or_default(),
            Err(trouble) => vec![(condition.text().to_owned(), trouble.to_string())],
        }
    }

    /// A request that names several models is judged with each of them: which one answers is the upstream's choice.
    fn each(&self, condition: &Condition) -> Result<Vec<OfModel<'_>>, Trouble> {
        let Some((exchange, _)) = self.body else { return Ok(vec![OfModel { asking: self, model: "" }]) };
        let others = if condition.facts().contains(&Fact::Model) { exchange.models.as_slice() } else { &[] };
        if others.len() >= MAX_MODELS {
            return Err(Trouble { at: 0, message: format!("the request names more than {MAX_MODELS} models") });
        }
        let models = std::iter::once(exchange.asked()).chain(others.iter().map(String::as_str));
        Ok(models.map(|model| OfModel { asking: self, model }).collect())
    }

    fn names(&self, roles: &[RoleIndex]) -> Value<'_> {
        let names = roles.iter().filter_map(|role| self.roles.get(usize::from(role.0)));
        Value::texts(names.map(|role| role.name.as_str()).collect::<Vec<_>>())
    }

    fn of_caller<'f>(&'f self, caller: &'f Principal, fact: &Fact) -> Given<'f> {
        let value = match fact {
            Fact::Subject => Value::text(caller.subject()),
            Fact::Issuer => Value::text(caller.issuer_name()),
            Fact::Tenant => match caller.tenant() {
                Some(tenant) => Value::text(tenant),
                None => return Given::Absent,
            },
            Fact::Roles => self.names(caller.roles()),
            Fact::Claim(pointer) => {
                return match caller.claim(pointer) {
                    None => Given::Absent,
                    Some(claim) => claim.and_then(of_json).map_or(Given::Unreadable, Given::Value),
                };
            }
            _ => return Given::Absent,
        };
        Given::Value(value)
    }
}

impl Facts for OfModel<'_> {
    fn given(&self, fact: &Fact) -> Given<'_> {
        let asking = self.asking;
        let situation = asking.situation;
        let exchange = asking.body.map(|(exchange, _)| exchange);
        let number = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
        let value = match fact {
            Fact::Subject | Fact::Issuer | Fact::Tenant | Fact::Roles | Fact::Claim(_) => {
                return match asking.who {
                    Who::Caller(caller) => asking.of_caller(caller, fact),
                    #[cfg(feature = "cli")]
                    Who::Told(told) => of_told(told, fact),
                };
            }
            Fact::Operation => Value::text(asking.operation.as_str()),
            Fact::Protocol => Value::text(situation.protocol),
            Fact::Method => Value::text(&situation.method),
            Fact::Path => Value::text(&situation.path),
            Fact::Header(name) => match situation.headers.iter().find(|(known, _)| **known == **name) {
                None => return Given::Absent,
                Some((_, None)) => return Given::Unreadable,
                Some((_, Some(text))) => Value::text(text),
            },
            Fact::Stream => Value::Bool(exchange.is_some_and(|exchange| exchange.stream)),
            Fact::Choices => number(exchange.map_or(0, Exchange::answers)),
            Fact::MaxOutputTokens => match exchange.and_then(|exchange| exchange.output_cap.as_ref()) {
                None => return Given::Absent,
                Some(cap) if cap.tokens == NO_LIMIT => Value::Int(i64::MAX),
                Some(cap) => number(cap.tokens),
            },
            Fact::Bytes => number(asking.body.map_or(0, |(_, bytes)| bytes as u64)),
            Fact::Model => Value::text(self.model),
            Fact::Tools => {
                let tools = exchange.map(|exchange| exchange.tools.as_slice()).unwrap_or_default();
                Value::texts(tools.iter().map(|tool| tool.name.as_str()))
            }
            Fact::Now => Value::Timestamp(i128::from(asking.now.0)),
        };
        Given::Value(value)
    }
}

/// A claim's value; `None`: an object, or a list of others than scalars.
fn of_json(value: &serde_json::Value) -> Option<Value<'_>> {
    use serde_json::Value as Json;
    Some(match value {
        Json::Bool(value) => Value::Bool(*value),
        Json::String(text) => Value::text(text),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Double(number.as_f64()?),
        },
        Json::Array(items) if !items.iter().any(|item| item.is_array() || item.is_object() || item.is_null()) => {
            Value::List(items.iter().map(of_json).collect::<Option<Vec<_>>>()?.into())
        }
        Json::Null | Json::Array(_) | Json::Object(_) => return None,
    })
}

#[cfg(feature = "cli")]
fn of_told<'f>(told: &'f serde_json::Value, fact: &Fact) -> Given<'f> {
    let found = match fact {
        Fact::Subject => told.get("subject"),
        Fact::Issuer => told.get("issuer"),
        Fact::Tenant => told.get("tenant"),
        Fact::Roles => told.get("roles"),
        Fact::Claim(pointer) => told.get("claims").and_then(|claims| claims.pointer(pointer)),
        _ => None,
    };
    match found.filter(|found| !found.is_null()) {
        None => Given::Absent,
        Some(found) => of_json(found).map_or(Given::Unreadable, Given::Value),
    }
}
