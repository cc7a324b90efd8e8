//! Searches that are written in GraphQL: `{ Get { Class(tenant: "acme", limit: 3) { text } } }`.
//!
//! Only one plain operation is read: what names a class stands right under `Get` or `Aggregate`, and no fragment brings
//! another one there. An argument that is added goes into the text behind the name, and all else stays byte for byte.

use std::borrow::Cow;

use apollo_parser::{Lexer, TokenKind};

use super::super::Json;
use super::super::confine::{Scope, share};
use super::super::graphql::source::{Source, malformed, over, value};
use crate::reason::{Denial, Reason};
use crate::sorted;

/// The most tokens of an operation, blanks counted: a vector has thousands of numbers.
const MOST_TOKENS: usize = 50_000;
/// What a search gives where the text names no number.
const DEFAULT_LIMIT: u64 = 100;

fn fault() -> Denial {
    Denial::new(Reason::Internal)
}

/// Makes a tree of the operation's text.
pub(super) fn unfold(body: &mut Json<'_>) -> Result<(), Denial> {
    super::super::graphql::unfold(body, MOST_TOKENS)
}

/// Makes the operation's text of the tree.
pub(super) fn fold(body: &mut Json<'_>) -> Result<(), Denial> {
    let Some(query @ Json::Object(_)) = body.get_mut("query") else { return Ok(()) };
    let text = query.get("source").and_then(Json::as_str).ok_or_else(fault)?;
    let source = Source::read(text, MOST_TOKENS)?;
    let Some(Json::Array(texts)) = query.get("texts") else { return Err(fault()) };
    let new: Vec<&str> = texts.iter().filter_map(Json::as_str).collect();
    let written = source.written(text, &new).ok_or_else(fault)?;
    *query = Json::String(Cow::Owned(written));
    Ok(())
}

/// An argument's value.
#[derive(Clone, Copy, Debug)]
struct Value<'s> {
    /// Where it is.
    from: usize,
    text: &'s str,
    is_variable: bool,
}

/// What is asked of one class.
#[derive(Debug)]
struct Class<'s> {
    is_get: bool,
    /// Where its name ends.
    end: usize,
    /// Where its arguments begin, behind the bracket; `None`: it has none.
    arguments: Option<usize>,
    tenant: Vec<Value<'s>>,
    limit: Vec<Value<'s>>,
    is_grouped: bool,
}

impl Class<'_> {
    /// Where an argument that is added goes, and how it is written.
    fn added(&self, argument: &str) -> (usize, String) {
        match self.arguments {
            Some(at) => (at, format!("{argument} ")),
            None => (self.end, format!("({argument})")),
        }
    }
}

/// A token that means something.
type Token<'s> = (TokenKind, usize, &'s str);

struct Tokens<'s> {
    all: Vec<Token<'s>>,
    at: usize,
}

impl<'s> Tokens<'s> {
    fn of(text: &'s str) -> Result<Tokens<'s>, Denial> {
        let mut all = Vec::new();
        for token in Lexer::new(text).with_limit(MOST_TOKENS) {
            let token = token.map_err(|error| if error.is_limit() { over("tokens") } else { malformed() })?;
            let from = token.index();
            let written = text.get(from..from + token.data().len()).ok_or(malformed())?;
            match token.kind() {
                TokenKind::Whitespace | TokenKind::Comma | TokenKind::Comment | TokenKind::Eof => {}
                kind => all.push((kind, from, written)),
            }
        }
        Ok(Tokens { all, at: 0 })
    }

    fn is(&self, kind: TokenKind) -> bool {
        self.all.get(self.at).is_some_and(|(of, _, _)| *of == kind)
    }

    /// The next one, if it is of this kind.
    fn take(&mut self, kind: TokenKind) -> Option<Token<'s>> {
        let token = self.all.get(self.at).copied().filter(|(of, _, _)| *of == kind)?;
        self.at += 1;
        Some(token)
    }

    fn expect(&mut self, kind: TokenKind) -> Result<Token<'s>, Denial> {
        self.take(kind).ok_or(malformed())
    }

    /// A field's name, behind its alias, and where it ends.
    fn field(&mut self) -> Result<(&'s str, usize), Denial> {
        let mut name = self.expect(TokenKind::Name)?;
        if self.take(TokenKind::Colon).is_some() {
            name = self.expect(TokenKind::Name)?;
        }
        Ok((name.2, name.1 + name.2.len()))
    }

    /// What stands in brackets, whatever it is; the next one opens them.
    fn skip(&mut self) -> Result<(), Denial> {
        let mut open = Vec::new();
        loop {
            let (kind, _, _) = *self.all.get(self.at).ok_or(malformed())?;
            self.at += 1;
            match kind {
                TokenKind::LParen => open.push(TokenKind::RParen),
                TokenKind::LCurly => open.push(TokenKind::RCurly),
                TokenKind::LBracket => open.push(TokenKind::RBracket),
                TokenKind::RParen | TokenKind::RCurly | TokenKind::RBracket if open.pop() != Some(kind) => {
                    return Err(malformed());
                }
                _ => {}
            }
            if open.is_empty() {
                return Ok(());
            }
        }
    }

    fn value(&mut self) -> Result<Value<'s>, Denial> {
        let is_variable = self.take(TokenKind::Dollar).is_some();
        let (kind, from, text) = *self.all.get(self.at).ok_or(malformed())?;
        match kind {
            TokenKind::LCurly | TokenKind::LBracket if !is_variable => self.skip()?,
            TokenKind::StringValue | TokenKind::Int | TokenKind::Float if !is_variable => self.at += 1,
            TokenKind::Name => self.at += 1,
            _ => return Err(malformed()),
        }
        Ok(Value { from, text, is_variable })
    }
}

/// The classes that an operation asks of.
///
/// # Errors
/// [`Reason::BodyShape`] for what is not one plain search.
fn classes(text: &str) -> Result<Vec<Class<'_>>, Denial> {
    let mut tokens = Tokens::of(text)?;
    if let Some((_, _, word)) = tokens.take(TokenKind::Name) {
        if word != "query" {
            return Err(malformed());
        }
        tokens.take(TokenKind::Name);
        if tokens.is(TokenKind::LParen) {
            tokens.skip()?;
        }
    }
    tokens.expect(TokenKind::LCurly)?;
    let mut found = Vec::new();
    while tokens.take(TokenKind::RCurly).is_none() {
        let is_get = match tokens.field()?.0 {
            "Get" => true,
            "Aggregate" => false,
            _ => return Err(malformed()),
        };
        tokens.expect(TokenKind::LCurly)?;
        while tokens.take(TokenKind::RCurly).is_none() {
            found.push(class(&mut tokens, is_get)?);
        }
    }
    if tokens.at == tokens.all.len() && !found.is_empty() { Ok(found) } else { Err(malformed()) }
}

fn class<'s>(tokens: &mut Tokens<'s>, is_get: bool) -> Result<Class<'s>, Denial> {
    let (_, end) = tokens.field()?;
    let mut class = Class { is_get, end, arguments: None, tenant: Vec::new(), limit: Vec::new(), is_grouped: false };
    if let Some((_, from, _)) = tokens.take(TokenKind::LParen) {
        class.arguments = Some(from + 1);
        while tokens.take(TokenKind::RParen).is_none() {
            let (_, _, name) = tokens.expect(TokenKind::Name)?;
            tokens.expect(TokenKind::Colon)?;
            let value = tokens.value()?;
            match name {
                "tenant" => class.tenant.push(value),
                "limit" => class.limit.push(value),
                "groupBy" => class.is_grouped = true,
                _ => {}
            }
        }
    }
    tokens.is(TokenKind::LCurly).then_some(()).ok_or(malformed())?;
    tokens.skip()?;
    Ok(class)
}

/// The text with these in these places; of two in one place the first comes first.
fn with(text: &str, mut changes: Vec<(std::ops::Range<usize>, String)>) -> Result<String, Denial> {
    sorted::by_key(&mut changes, |(range, _)| range.start);
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    for (range, new) in changes {
        out.push_str(text.get(at..range.start).ok_or_else(fault)?);
        out.push_str(&new);
        at = range.end;
    }
    out.push_str(text.get(at..).ok_or_else(fault)?);
    Ok(out)
}

fn source(body: &Json<'_>) -> Result<String, Denial> {
    let query = body.field("query")?.map(|(_, query)| query);
    query.and_then(|query| query.get("source")).and_then(Json::as_str).map(str::to_owned).ok_or(malformed())
}

/// Every class is asked for the tenant's own: the argument is added where it is missing.
pub(super) fn confine(scope: &Scope<'_>, body: &mut Json<'_>) -> Result<bool, Denial> {
    let refused = || Denial::new(Reason::RbacTenant).with_param("tenant");
    let text = source(body)?;
    let variables = body.field("variables")?.map(|(_, variables)| variables);
    let mut changes = Vec::new();
    for class in classes(&text)? {
        match class.tenant.as_slice() {
            [] => {
                let name = serde_json::to_string(scope.value).map_err(|_| fault())?;
                let (at, argument) = class.added(&format!("tenant: {name}"));
                changes.push((at..at, argument));
            }
            [one] if one.is_variable => {
                let named = variables.and_then(|variables| variables.get(one.text)).and_then(Json::as_str);
                scope.check(named.ok_or_else(refused)?)?;
            }
            // What the lines of a block come to is not the same for every server.
            [one] if one.text.starts_with("\"\"\"") => return Err(refused()),
            [one] => scope.check(&value(one.text).ok_or_else(refused)?)?,
            _ => return Err(refused()),
        }
    }
    if changes.is_empty() {
        return Ok(false);
    }
    body.set("query", Json::String(Cow::Owned(with(&text, changes)?)));
    unfold(body)?;
    Ok(true)
}

/// How many objects a search asks for: 0 is read as none.
fn asked(class: &Class<'_>, variables: Option<&Json<'_>>) -> Result<u64, Denial> {
    let wrong = |name| Denial::new(Reason::BodyShape).with_param(name);
    // How many objects groups bring back is their own number.
    if class.is_grouped {
        return Err(wrong("groupBy"));
    }
    let asked = match class.limit.as_slice() {
        [] => 0,
        // Its type may be one of those that have a value of their own: only what is sent is known.
        [one] if one.is_variable => {
            let sent = variables.and_then(|variables| variables.get(one.text)).and_then(Json::as_u64);
            sent.ok_or_else(|| wrong("limit"))?
        }
        [one] => one.text.parse().map_err(|_| wrong("limit"))?,
        _ => return Err(wrong("limit")),
    };
    Ok(if asked == 0 { DEFAULT_LIMIT } else { asked })
}

/// Lowers `limit` of every search where together they bring back more than `most`. The texts of the tree stay where they are:
/// a number is none.
pub(super) fn cap(most: u64, body: &mut Json<'_>) -> Result<bool, Denial> {
    let text = source(body)?;
    let variables = body.field("variables")?.map(|(_, variables)| variables);
    let searches: Vec<Class<'_>> = classes(&text)?.into_iter().filter(|class| class.is_get).collect();
    let numbers = searches.iter().map(|class| asked(class, variables)).collect::<Result<Vec<u64>, Denial>>()?;
    if numbers.iter().fold(0, |sum: u64, number| sum.saturating_add(*number)) <= most {
        return Ok(false);
    }
    let most = share(most, searches.len(), "limit")?;
    let (mut changes, mut lowered) = (Vec::new(), Vec::new());
    for (class, _) in searches.iter().zip(numbers).filter(|(_, number)| *number > most) {
        match class.limit.as_slice() {
            [one] if one.is_variable => lowered.push(one.text.to_owned()),
            [one] => changes.push((one.from..one.from + one.text.len(), most.to_string())),
            _ => {
                let (at, argument) = class.added(&format!("limit: {most}"));
                changes.push((at..at, argument));
            }
        }
    }
    if changes.is_empty() && lowered.is_empty() {
        return Ok(false);
    }
    // In its place: servers refuse a text that leaves a variable of its own unused.
    if let Some(Json::Object(variables)) = body.get_mut("variables") {
        for (_, value) in variables.iter_mut().filter(|(name, _)| lowered.iter().any(|one| name == one)) {
            *value = Json::Number(most.into());
        }
    }
    let written = with(&text, changes)?;
    if let Some(query) = body.get_mut("query") {
        query.set("source", Json::String(Cow::Owned(written)));
    }
    Ok(true)
}
