//! Names and types: what an expression asks for, and that its operators have a meaning.

use std::fmt;

use super::fact::Fact;
use super::fault::Fault;
use super::time;
use super::tree::{Binary, Id, Node, Tree};
use crate::document::{nearest, shortened};
use crate::sorted;

/// What a value can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Null,
    Bool,
    Int,
    Double,
    Text,
    Timestamp,
    Duration,
    List(&'static Type),
    /// Known only when it is there: a claim.
    Dyn,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::Null => "null",
            Type::Bool => "a truth value",
            Type::Int => "a whole number",
            Type::Double => "a fraction",
            Type::Text => "a text",
            Type::Timestamp => "a timestamp",
            Type::Duration => "a duration",
            Type::List(_) => "a list",
            Type::Dyn => "a value of any type",
        })
    }
}

impl Type {
    /// A list of these; what is in a list of lists is not checked.
    fn list(self) -> Type {
        Type::List(match self {
            Type::Null => &Type::Null,
            Type::Bool => &Type::Bool,
            Type::Int => &Type::Int,
            Type::Double => &Type::Double,
            Type::Text => &Type::Text,
            Type::Timestamp => &Type::Timestamp,
            Type::Duration => &Type::Duration,
            Type::List(_) | Type::Dyn => &Type::Dyn,
        })
    }

    /// True if a value may be of both.
    fn fits(self, other: Type) -> bool {
        match (self, other) {
            (Type::Dyn, _) | (_, Type::Dyn) => true,
            (Type::List(one), Type::List(other)) => one.fits(*other),
            _ => self == other,
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Type::Int | Type::Double)
    }
}

/// What a node stands for.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Value(Type),
    Fact(Fact, Type),
    /// A claim, which may be an object of others.
    Claim(String),
    Principal,
    Request,
    Headers,
    Claims,
}

/// What the check has found out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Checked {
    facts: Vec<Fact>,
    /// Of each node: the fact that it stands for.
    resolved: Vec<Option<usize>>,
    result: Type,
}

impl Checked {
    /// All that the expression asks for.
    pub(super) fn facts(&self) -> &[Fact] {
        &self.facts
    }

    /// The place of the fact that a node stands for, in [`Checked::facts`].
    pub(super) fn fact(&self, id: Id) -> Option<usize> {
        self.resolved.get(id.0).copied().flatten()
    }

    pub(super) fn result(&self) -> Type {
        self.result
    }
}

/// Checks a tree.
pub(super) fn check(tree: &Tree) -> Result<Checked, Fault> {
    let mut check = Check { tree, seen: Vec::new(), asked: Vec::new() };
    for id in tree.ids() {
        let seen = check.node(id)?;
        check.asked.push(match &seen {
            Seen::Fact(fact, _) => Some(fact.clone()),
            Seen::Claim(pointer) => Some(Fact::Claim(pointer.as_str().into())),
            _ => None,
        });
        // `has` and `in` ask whether a fact is there, and are no fact themselves.
        let is_presence = matches!(tree.node(id), Node::Has(..) | Node::Binary(Binary::In, ..));
        check.seen.push(match seen {
            Seen::Fact(_, of) if is_presence => Seen::Value(of),
            seen => seen,
        });
    }
    let result = check.value(tree.root())?;
    let mut facts: Vec<Fact> = check.asked.iter().flatten().cloned().collect();
    sorted::once(&mut facts);
    let resolved = check.asked.iter().map(|fact| facts.iter().position(|known| Some(known) == fact.as_ref())).collect();
    Ok(Checked { facts, resolved, result })
}

struct Check<'t> {
    tree: &'t Tree,
    seen: Vec<Seen>,
    /// Of each node: the fact that it stands for.
    asked: Vec<Option<Fact>>,
}

const NAMES: [&str; 5] = ["principal", "request", "model", "tools", "now"];
const OF_PRINCIPAL: [&str; 5] = ["subject", "issuer", "tenant", "roles", "claims"];
const OF_REQUEST: [&str; 9] =
    ["operation", "protocol", "method", "path", "headers", "stream", "choices", "maxOutputTokens", "bytes"];
const FUNCTIONS: [&str; 7] = ["size", "int", "double", "string", "timestamp", "duration", "dyn"];
const METHODS: [&str; 9] =
    ["size", "startsWith", "endsWith", "contains", "lowerAscii", "upperAscii", "all", "exists", "exists_one"];

fn unknown(what: &str, name: &str, names: &[&str]) -> String {
    match nearest(name, names) {
        Some(near) => format!("unknown {what} {:?}; did you mean `{near}`?", shortened(name)),
        None => format!("unknown {what} {:?}, expected one of {}", shortened(name), names.join(", ")),
    }
}

impl Check<'_> {
    fn fault(&self, id: Id, message: impl Into<String>) -> Fault {
        Fault::new(self.tree.at(id), message)
    }

    fn seen(&self, id: Id) -> &Seen {
        self.seen.get(id.0).unwrap_or(&Seen::Value(Type::Dyn))
    }

    /// The type of a node that is used as a value.
    fn value(&self, id: Id) -> Result<Type, Fault> {
        let whole = |name: &str, instead: &str| Err(self.fault(id, format!("{name} is no value, expected {instead}")));
        match self.seen(id) {
            Seen::Value(of) | Seen::Fact(_, of) => Ok(*of),
            Seen::Claim(_) => Ok(Type::Dyn),
            Seen::Principal => whole("principal", "for example principal.subject"),
            Seen::Request => whole("request", "for example request.operation"),
            Seen::Headers => whole("request.headers", "request.headers['x-name']"),
            Seen::Claims => whole("principal.claims", "principal.claims.name"),
        }
    }

    fn expect(&self, id: Id, wanted: Type) -> Result<(), Fault> {
        let found = self.value(id)?;
        if found.fits(wanted) { Ok(()) } else { Err(self.fault(id, format!("expected {wanted}, found {found}"))) }
    }

    fn node(&mut self, id: Id) -> Result<Seen, Fault> {
        let tree = self.tree;
        let value = match tree.node(id) {
            Node::Null => Type::Null,
            Node::Bool(_) => Type::Bool,
            Node::Int(_) => Type::Int,
            Node::Double(_) => Type::Double,
            Node::Text(_) => Type::Text,
            Node::List(items) => {
                let mut of = None;
                for item in items {
                    let found = self.value(*item)?;
                    of = Some(of.map_or(found, |of| if of == found { of } else { Type::Dyn }));
                }
                of.unwrap_or(Type::Dyn).list()
            }
            Node::Name(name) => return self.name(id, name),
            Node::Local(_, list) => match self.value(*list)? {
                Type::List(of) => *of,
                _ => Type::Dyn,
            },
            Node::Select(of, field) => return self.select(id, *of, field),
            Node::Has(of, field) => {
                let fact = match self.select(id, *of, field)? {
                    Seen::Fact(fact, _) => fact,
                    Seen::Claim(pointer) => Fact::Claim(pointer.into()),
                    _ => return Err(self.fault(id, format!("{field} is always there"))),
                };
                return Ok(Seen::Fact(fact, Type::Bool));
            }
            Node::Index(of, at) => return self.index(id, *of, *at),
            Node::Not(of) => {
                self.expect(*of, Type::Bool)?;
                Type::Bool
            }
            Node::Negate(of) => match self.value(*of)? {
                found @ (Type::Int | Type::Double | Type::Dyn) => found,
                found => return Err(self.fault(id, format!("- has no meaning for {found}"))),
            },
            Node::And(items) | Node::Or(items) => {
                for item in items {
                    self.expect(*item, Type::Bool)?;
                }
                Type::Bool
            }
            Node::Choice(test, then, other) => {
                self.expect(*test, Type::Bool)?;
                let (then, found) = (self.value(*then)?, self.value(*other)?);
                if !then.fits(found) {
                    return Err(self.fault(*other, format!("expected {then} as before the colon, found {found}")));
                }
                if then == found { then } else { Type::Dyn }
            }
            Node::Binary(Binary::In, left, right) => return self.within(id, *left, *right),
            Node::Binary(binary, left, right) => {
                let (left, right) = (self.value(*left)?, self.value(*right)?);
                let none = || format!("{} has no meaning for {left} and {right}", binary.sign());
                operator(*binary, left, right).ok_or_else(|| self.fault(id, none()))?
            }
            Node::Call(name, items) => self.call(id, name, items)?,
            Node::Method(name, items) => self.method(id, name, items)?,
            Node::Loop(_, list, _, body) => {
                self.expect(*list, Type::List(&Type::Dyn))?;
                self.expect(*body, Type::Bool)?;
                Type::Bool
            }
        };
        Ok(Seen::Value(value))
    }

    fn name(&self, id: Id, name: &str) -> Result<Seen, Fault> {
        Ok(match name {
            "principal" => Seen::Principal,
            "request" => Seen::Request,
            "model" => Seen::Fact(Fact::Model, Type::Text),
            "tools" => Seen::Fact(Fact::Tools, Type::List(&Type::Text)),
            "now" => Seen::Fact(Fact::Now, Type::Timestamp),
            _ => return Err(self.fault(id, unknown("name", name, &NAMES))),
        })
    }

    fn select(&mut self, id: Id, of: Id, field: &str) -> Result<Seen, Fault> {
        let fact = |fact, of| Ok(Seen::Fact(fact, of));
        match (self.seen(of).clone(), field) {
            (Seen::Principal, "subject") => fact(Fact::Subject, Type::Text),
            (Seen::Principal, "issuer") => fact(Fact::Issuer, Type::Text),
            (Seen::Principal, "tenant") => fact(Fact::Tenant, Type::Text),
            (Seen::Principal, "roles") => fact(Fact::Roles, Type::List(&Type::Text)),
            (Seen::Principal, "claims") => Ok(Seen::Claims),
            (Seen::Principal, _) => Err(self.fault(id, unknown("field of principal", field, &OF_PRINCIPAL))),
            (Seen::Request, "operation") => fact(Fact::Operation, Type::Text),
            (Seen::Request, "protocol") => fact(Fact::Protocol, Type::Text),
            (Seen::Request, "method") => fact(Fact::Method, Type::Text),
            (Seen::Request, "path") => fact(Fact::Path, Type::Text),
            (Seen::Request, "headers") => Ok(Seen::Headers),
            (Seen::Request, "stream") => fact(Fact::Stream, Type::Bool),
            (Seen::Request, "choices") => fact(Fact::Choices, Type::Int),
            (Seen::Request, "maxOutputTokens") => fact(Fact::MaxOutputTokens, Type::Int),
            (Seen::Request, "bytes") => fact(Fact::Bytes, Type::Int),
            (Seen::Request, _) => Err(self.fault(id, unknown("field of request", field, &OF_REQUEST))),
            (Seen::Headers, name) => self.header(id, name),
            (Seen::Claims, name) => Ok(self.claim(of, "", name)),
            (Seen::Claim(pointer), name) => Ok(self.claim(of, &pointer, name)),
            _ => Err(self.fault(id, format!("{} has no fields", self.value(of)?))),
        }
    }

    /// A claim below another one, which is no value of its own then.
    fn claim(&mut self, of: Id, pointer: &str, name: &str) -> Seen {
        if let Some(asked) = self.asked.get_mut(of.0) {
            *asked = None;
        }
        Seen::Claim(format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")))
    }

    fn header(&self, id: Id, name: &str) -> Result<Seen, Fault> {
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
        if name.is_empty() || name.len() > 128 || !name.bytes().all(is_plain) {
            let message = format!("{:?} is no header's name, expected a-z, 0-9, -, _ and .", shortened(name));
            return Err(self.fault(id, message));
        }
        Ok(Seen::Fact(Fact::Header(name.into()), Type::Text))
    }

    fn index(&mut self, id: Id, of: Id, at: Id) -> Result<Seen, Fault> {
        let written = match self.tree.node(at) {
            Node::Text(text) => Some(text.clone()),
            _ => None,
        };
        match (self.seen(of).clone(), written) {
            (Seen::Headers, Some(name)) => return self.header(at, &name),
            (Seen::Claims, Some(name)) => return Ok(self.claim(of, "", &name)),
            (Seen::Claim(pointer), Some(name)) => return Ok(self.claim(of, &pointer, &name)),
            (Seen::Headers | Seen::Claims, None) => return Err(self.fault(at, "expected a name in quotes")),
            _ => {}
        }
        match self.value(of)? {
            Type::List(item) => {
                self.expect(at, Type::Int)?;
                Ok(Seen::Value(*item))
            }
            Type::Dyn => {
                self.expect(at, Type::Int)?;
                Ok(Seen::Value(Type::Dyn))
            }
            found => Err(self.fault(id, format!("{found} has no places"))),
        }
    }

    fn within(&mut self, id: Id, left: Id, right: Id) -> Result<Seen, Fault> {
        if matches!(self.seen(right), Seen::Headers | Seen::Claims) {
            let Node::Text(name) = self.tree.node(left) else {
                return Err(self.fault(left, "expected a name in quotes"));
            };
            let fact = match self.select(left, right, name)? {
                Seen::Fact(fact, _) => fact,
                Seen::Claim(pointer) => Fact::Claim(pointer.into()),
                other => return Ok(other),
            };
            return Ok(Seen::Fact(fact, Type::Bool));
        }
        let (found, list) = (self.value(left)?, self.value(right)?);
        match list {
            Type::Dyn => {}
            Type::List(of) if of.fits(found) => {}
            Type::List(of) => return Err(self.fault(id, format!("a list of {of} never holds {found}"))),
            other => return Err(self.fault(right, format!("expected a list, found {other}"))),
        }
        Ok(Seen::Value(Type::Bool))
    }

    /// Checks one argument, which may be of one of these types.
    fn argument(&self, name: &str, id: Id, wanted: &[Type]) -> Result<(), Fault> {
        let found = self.value(id)?;
        if wanted.is_empty() || wanted.iter().any(|wanted| found.fits(*wanted)) {
            return Ok(());
        }
        let wanted: Vec<String> = wanted.iter().map(Type::to_string).collect();
        Err(self.fault(id, format!("{name} expects {}, found {found}", wanted.join(" or "))))
    }

    fn call(&self, id: Id, name: &str, items: &[Id]) -> Result<Type, Fault> {
        let (wanted, result): (&[Type], Type) = match name {
            "size" => (&[Type::Text, Type::List(&Type::Dyn)], Type::Int),
            "int" => (&[Type::Int, Type::Double, Type::Text, Type::Timestamp], Type::Int),
            "double" => (&[Type::Double, Type::Int, Type::Text], Type::Double),
            "string" => (&[Type::Text, Type::Int, Type::Bool], Type::Text),
            "timestamp" => (&[Type::Text, Type::Int, Type::Timestamp], Type::Timestamp),
            "duration" => (&[Type::Text, Type::Duration], Type::Duration),
            "dyn" => (&[], Type::Dyn),
            "matches" => return Err(self.fault(id, PATTERNS)),
            "uint" | "bytes" | "type" | "bool" => return Err(self.fault(id, format!("{name} is not offered"))),
            _ if METHODS.contains(&name) => {
                return Err(self.fault(id, format!("expected {name} behind a point: x.{name}(...)")));
            }
            _ => return Err(self.fault(id, unknown("function", name, &FUNCTIONS))),
        };
        let [item] = items else {
            return Err(self.fault(id, format!("{name} expects 1 argument, found {}", items.len())));
        };
        self.argument(name, *item, wanted)?;
        if let Node::Text(text) = self.tree.node(*item) {
            let is_read = match name {
                "timestamp" => time::read_timestamp(text).is_some(),
                "duration" => time::read_duration(text).is_some(),
                _ => true,
            };
            if !is_read {
                let wanted = if name == "timestamp" { "2027-01-31T08:00:00Z" } else { "1h30m" };
                let found = shortened(text);
                return Err(self.fault(*item, format!("{found:?} is no {name}, expected for example {wanted}")));
            }
        }
        Ok(result)
    }

    fn method(&self, id: Id, name: &str, items: &[Id]) -> Result<Type, Fault> {
        let found = items.len().saturating_sub(1);
        let arguments = |wanted: usize| {
            if found == wanted {
                Ok(())
            } else {
                Err(self.fault(id, format!("{name} expects {wanted} arguments, found {found}")))
            }
        };
        let mut each = items.iter();
        let Some(of) = each.next() else { return Err(self.fault(id, "expected a value before the point")) };
        match name {
            "size" => {
                arguments(0)?;
                self.argument(name, *of, &[Type::Text, Type::List(&Type::Dyn)])?;
                Ok(Type::Int)
            }
            "startsWith" | "endsWith" | "contains" => {
                arguments(1)?;
                items.iter().try_for_each(|item| self.argument(name, *item, &[Type::Text]))?;
                Ok(Type::Bool)
            }
            "lowerAscii" | "upperAscii" => {
                arguments(0)?;
                self.argument(name, *of, &[Type::Text])?;
                Ok(Type::Text)
            }
            "matches" => Err(self.fault(id, PATTERNS)),
            _ if time::FIELDS.contains(&name) => {
                let is_part = time::PARTS.contains(&name);
                let wanted: &[Type] = if is_part { &[Type::Timestamp, Type::Duration] } else { &[Type::Timestamp] };
                self.argument(name, *of, wanted)?;
                if let Some(zone) = each.next() {
                    self.argument(name, *of, &[Type::Timestamp])?;
                    arguments(1)?;
                    self.zone(*zone)?;
                }
                Ok(Type::Int)
            }
            _ if FUNCTIONS.contains(&name) => {
                Err(self.fault(id, format!("expected {name} before its argument: {name}(...)")))
            }
            _ => {
                let names: Vec<&str> = METHODS.into_iter().chain(time::FIELDS).collect();
                Err(self.fault(id, unknown("function", name, &names)))
            }
        }
    }

    fn zone(&self, id: Id) -> Result<(), Fault> {
        let Node::Text(zone) = self.tree.node(id) else { return Err(self.fault(id, "expected an offset in quotes")) };
        if time::offset(zone).is_some() {
            return Ok(());
        }
        let message = "names of zones are not offered, because their rules change: expected \"UTC\" or an offset such as \
                       \"+02:00\"";
        Err(self.fault(id, message))
    }
}

const PATTERNS: &str = "matches is not offered, expected startsWith, endsWith or contains";

/// What an operator makes of two types; `None`: it has no meaning for them.
fn operator(binary: Binary, left: Type, right: Type) -> Option<Type> {
    let both = |wanted: Type| left.fits(wanted) && right.fits(wanted);
    match binary {
        Binary::Equal | Binary::Unequal => left.fits(right).then_some(Type::Bool),
        Binary::Less | Binary::LessEqual | Binary::Greater | Binary::GreaterEqual => {
            let is_ordered = |of: Type| !matches!(of, Type::Null | Type::List(_));
            let fits = left.fits(right) || (left.is_number() && right.is_number());
            (fits && is_ordered(left) && is_ordered(right)).then_some(Type::Bool)
        }
        Binary::In => None,
        Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Divide | Binary::Remainder => {
            let is_sum = matches!(binary, Binary::Add | Binary::Subtract);
            match (left, right) {
                (Type::Dyn, Type::Dyn) => Some(Type::Dyn),
                (Type::Timestamp, Type::Duration) if is_sum => Some(Type::Timestamp),
                (Type::Duration, Type::Timestamp) if binary == Binary::Add => Some(Type::Timestamp),
                (Type::Timestamp, Type::Timestamp) if binary == Binary::Subtract => Some(Type::Duration),
                (Type::Timestamp | Type::Duration, Type::Dyn) | (Type::Dyn, Type::Timestamp | Type::Duration)
                    if is_sum =>
                {
                    Some(Type::Dyn)
                }
                (Type::List(one), Type::List(other)) if binary == Binary::Add => {
                    Some(if one == other { left } else { Type::List(&Type::Dyn) })
                }
                (Type::List(_), Type::Dyn) | (Type::Dyn, Type::List(_)) if binary == Binary::Add => {
                    Some(Type::List(&Type::Dyn))
                }
                _ if both(Type::Duration) && is_sum => Some(Type::Duration),
                _ if both(Type::Int) => Some(Type::Int),
                _ if both(Type::Double) && binary != Binary::Remainder => Some(Type::Double),
                _ if both(Type::Text) && binary == Binary::Add => Some(Type::Text),
                _ => None,
            }
        }
    }
}
