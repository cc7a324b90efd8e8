//! From tokens to a tree.
//!
//! Recursion is bounded before it happens: brackets and the branches of `?:` nest at most [`MAX_DEPTH`] deep, and of one
//! level at most five operators of growing tightness wait for their right side. A test on Envoy compiles what nests deepest.

use super::fault::Fault;
use super::lexer::{Kind, Token, is_reserved, tokens};
use super::tree::{Binary, Id, Node, Over, Tree};

/// How deep brackets may nest.
pub const MAX_DEPTH: usize = 32;

/// The most choices (`?:`) that follow one another.
const MAX_CHOICES: usize = 32;

/// Parses a text.
pub(super) fn parse(text: &str) -> Result<Tree, Fault> {
    let parsed = tokens(text).and_then(|tokens| {
        let mut parser = Parser { tokens: &tokens, at: 0, tree: Tree::default(), variable: None };
        parser.expression(0)?;
        match parser.peek() {
            Token { kind: Kind::End, .. } => Ok(parser.tree),
            other => {
                Err(Fault::new(other.at, format!("expected an operator or the end, found {}", shown(&other.kind))))
            }
        }
    });
    parsed.map_err(|fault| fault.in_text(text))
}

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
    tree: Tree,
    /// The variable of the macro around, and the macro's list.
    variable: Option<(Box<str>, Id)>,
}

const END: &Token = &Token { kind: Kind::End, at: 0 };

/// How tightly `||` and `&&` bind.
const OR: u8 = 1;
const AND: u8 = 2;

impl<'t> Parser<'t> {
    fn peek(&self) -> &'t Token {
        self.tokens.get(self.at).or(self.tokens.last()).unwrap_or(END)
    }

    fn next(&mut self) -> &'t Token {
        let token = self.peek();
        self.at = self.at.saturating_add(1);
        token
    }

    /// Goes over a sign, if it comes next.
    fn eat(&mut self, sign: &str) -> bool {
        let is_next = matches!(self.peek().kind, Kind::Sign(found) if found == sign);
        self.at = self.at.saturating_add(usize::from(is_next));
        is_next
    }

    fn expect(&mut self, sign: &str) -> Result<(), Fault> {
        if self.eat(sign) {
            return Ok(());
        }
        let Token { kind, at } = self.peek();
        Err(Fault::new(*at, format!("expected {sign:?}, found {}", shown(kind))))
    }

    fn push(&mut self, node: Node, at: usize) -> Result<Id, Fault> {
        self.tree.push(node, at)
    }

    /// A choice, or what is no choice.
    fn expression(&mut self, depth: usize) -> Result<Id, Fault> {
        if depth > MAX_DEPTH {
            return Err(Fault::new(
                self.peek().at,
                format!("nested too deeply, expected at most {MAX_DEPTH} brackets"),
            ));
        }
        let mut tests = Vec::new();
        let last = loop {
            let test = self.operation(OR, depth)?;
            let at = self.peek().at;
            if !self.eat("?") {
                break test;
            }
            if tests.len() >= MAX_CHOICES {
                return Err(Fault::new(at, format!("expected at most {MAX_CHOICES} choices")));
            }
            // CEL has no choice here that is not in brackets.
            let then = self.operation(OR, depth)?;
            self.expect(":")?;
            tests.push((test, then, at));
        };
        let mut other = last;
        for (test, then, at) in tests.into_iter().rev() {
            other = self.push(Node::Choice(test, then, other), at)?;
        }
        Ok(other)
    }

    /// The operator that comes next, and how tightly it binds.
    fn operator(&self) -> Option<(u8, Option<Binary>)> {
        let binary = match &self.peek().kind {
            Kind::Sign("||") => return Some((OR, None)),
            Kind::Sign("&&") => return Some((AND, None)),
            Kind::Sign(sign) => Binary::ALL.into_iter().find(|one| one.sign() == *sign),
            Kind::Word("in") => Some(Binary::In),
            _ => None,
        };
        binary.map(|one| (one.tightness(), Some(one)))
    }

    /// Operators that bind at least so tightly.
    fn operation(&mut self, least: u8, depth: usize) -> Result<Id, Fault> {
        let mut left = self.unary(depth)?;
        while let Some((tightness, binary)) = self.operator().filter(|(tightness, _)| *tightness >= least) {
            let at = self.next().at;
            let right = self.operation(tightness.saturating_add(1), depth)?;
            let node = match binary {
                Some(binary) => Node::Binary(binary, left, right),
                None => {
                    let mut items = vec![left, right];
                    let sign = if tightness == AND { "&&" } else { "||" };
                    while self.eat(sign) {
                        items.push(self.operation(tightness.saturating_add(1), depth)?);
                    }
                    if tightness == AND { Node::And(items) } else { Node::Or(items) }
                }
            };
            left = self.push(node, at)?;
        }
        Ok(left)
    }

    fn unary(&mut self, depth: usize) -> Result<Id, Fault> {
        let begin = self.peek().at;
        for sign in ["!", "-"] {
            let mut places = Vec::new();
            while let (at, true) = (self.peek().at, self.eat(sign)) {
                places.push(at);
            }
            if places.is_empty() {
                continue;
            }
            let mut of = match self.peek().kind.clone() {
                // The least number has no positive.
                Kind::Int(digits, is_hex) if sign == "-" => {
                    self.next();
                    let at = places.pop().unwrap_or(begin);
                    let number = number(&format!("-{digits}"), is_hex, at)?;
                    let id = self.push(Node::Int(number), at)?;
                    self.members(id, depth)?
                }
                Kind::Double(number) if sign == "-" => {
                    self.next();
                    let at = places.pop().unwrap_or(begin);
                    let id = self.push(Node::Double(-number), at)?;
                    self.members(id, depth)?
                }
                _ => self.member(depth)?,
            };
            // Of three only one counts, of four two: what they say is checked, and no more is kept.
            let kept = if places.len() % 2 == 1 { 1 } else { places.len().min(2) };
            for at in places.into_iter().rev().take(kept) {
                let node = if sign == "!" { Node::Not(of) } else { Node::Negate(of) };
                of = self.push(node, at)?;
            }
            return Ok(of);
        }
        self.member(depth)
    }

    fn member(&mut self, depth: usize) -> Result<Id, Fault> {
        let of = self.primary(depth)?;
        self.members(of, depth)
    }

    /// What is written behind a value: `.name`, `.function(...)`, `[...]`.
    fn members(&mut self, mut of: Id, depth: usize) -> Result<Id, Fault> {
        loop {
            let at = self.peek().at;
            if self.eat(".") {
                let Token { kind: Kind::Name(name), at } = self.next() else {
                    return Err(Fault::new(at, "expected a name behind the point"));
                };
                of = if self.eat("(") {
                    self.method(of, name, *at, depth)?
                } else {
                    self.push(Node::Select(of, name.clone()), *at)?
                };
            } else if self.eat("[") {
                let index = self.expression(depth.saturating_add(1))?;
                self.expect("]")?;
                of = self.push(Node::Index(of, index), at)?;
            } else {
                return Ok(of);
            }
        }
    }

    fn method(&mut self, of: Id, name: &str, at: usize, depth: usize) -> Result<Id, Fault> {
        let over = match name {
            "all" => Over::All,
            "exists" => Over::Exists,
            "exists_one" | "existsOne" => Over::ExistsOne,
            "map" | "filter" => {
                return Err(Fault::new(at, format!("{name} is not offered, expected all, exists or exists_one")));
            }
            _ => {
                let mut items = vec![of];
                items.extend(self.list(")", depth)?);
                return self.push(Node::Method(name.into(), items), at);
            }
        };
        if self.variable.is_some() {
            return Err(Fault::new(at, format!("{name} within another macro is not offered")));
        }
        let Token { kind: Kind::Name(variable), at: place } = self.next() else {
            return Err(Fault::new(at, format!("expected the name of a variable: {name}(x, ...)")));
        };
        if is_reserved(variable) {
            return Err(Fault::new(*place, format!("{variable} is a reserved word")));
        }
        self.expect(",")?;
        self.variable = Some((variable.clone(), of));
        let body = self.expression(depth.saturating_add(1));
        self.variable = None;
        let body = body?;
        self.expect(")")?;
        self.push(Node::Loop(over, of, variable.clone(), body), at)
    }

    /// Expressions with commas between them, up to this bracket.
    fn list(&mut self, end: &str, depth: usize) -> Result<Vec<Id>, Fault> {
        let mut items = Vec::new();
        while !self.eat(end) {
            items.push(self.expression(depth.saturating_add(1))?);
            // A list may end with a comma.
            if !self.eat(",") || (end == ")" && matches!(self.peek().kind, Kind::Sign(")"))) {
                self.expect(end)?;
                break;
            }
        }
        Ok(items)
    }

    fn primary(&mut self, depth: usize) -> Result<Id, Fault> {
        let Token { kind, at } = self.next();
        let at = *at;
        let node = match kind {
            Kind::Word("true") => Node::Bool(true),
            Kind::Word("false") => Node::Bool(false),
            Kind::Word("null") => Node::Null,
            Kind::Int(digits, is_hex) => Node::Int(number(digits, *is_hex, at)?),
            Kind::Double(number) => Node::Double(*number),
            Kind::Text(text) => Node::Text(text.clone()),
            Kind::Sign("(") => {
                let inner = self.expression(depth.saturating_add(1))?;
                self.expect(")")?;
                return Ok(inner);
            }
            Kind::Sign("[") => Node::List(self.list("]", depth)?),
            Kind::Sign("{") => return Err(Fault::new(at, "maps are not offered")),
            Kind::Name(name) if is_reserved(name) => return Err(Fault::new(at, format!("{name} is a reserved word"))),
            Kind::Name(name) if self.eat("(") => return self.call(name, at, depth),
            Kind::Name(name) => match &self.variable {
                Some((variable, list)) if variable == name => Node::Local(name.clone(), *list),
                _ => Node::Name(name.clone()),
            },
            other => return Err(Fault::new(at, format!("expected a value, found {}", shown(other)))),
        };
        self.push(node, at)
    }

    fn call(&mut self, name: &str, at: usize, depth: usize) -> Result<Id, Fault> {
        let items = self.list(")", depth)?;
        if name != "has" {
            return self.push(Node::Call(name.into(), items), at);
        }
        let selected = match items.as_slice() {
            [one] => match self.tree.node(*one) {
                Node::Select(of, field) => Some((*of, field.clone())),
                _ => None,
            },
            _ => None,
        };
        let Some((of, field)) = selected else {
            return Err(Fault::new(at, "expected one name behind a point: has(principal.claims.name)"));
        };
        self.tree.drop_last();
        self.push(Node::Has(of, field), at)
    }
}

fn number(digits: &str, is_hex: bool, at: usize) -> Result<i64, Fault> {
    let base = if is_hex { 16 } else { 10 };
    i64::from_str_radix(digits, base).map_err(|_| Fault::new(at, "not a whole number of 64 bits"))
}

/// A token in a message.
fn shown(kind: &Kind) -> String {
    match kind {
        Kind::Name(name) => format!("{name:?}"),
        Kind::Word(word) => format!("{word:?}"),
        Kind::Int(..) | Kind::Double(_) => "a number".to_owned(),
        Kind::Text(_) => "a text".to_owned(),
        Kind::Sign(sign) => format!("{sign:?}"),
        Kind::End => "the end".to_owned(),
    }
}
