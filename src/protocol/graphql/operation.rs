//! One operation: what it selects, how deep, how often and at what cost, and where the values in it are.
//!
//! Every definition is walked once. What a fragment adds is counted once and remembered, so that fragments that spread
//! others twice, on many levels, cost no more to count than to write.

use std::collections::{BTreeMap, BTreeSet};

use apollo_parser::cst::CstNode as _;
use apollo_parser::{Parser, SyntaxKind, SyntaxNode, SyntaxToken};

use super::place::{Spotted, Uses};
use super::source::{malformed, over};
use crate::protocol::Json;
use crate::protocol::queries::Queries;
use crate::reason::{Denial, Reason};

/// How deep selections, lists and objects nest in what is parsed at all.
const RECURSION: usize = 64;
/// How many levels of selections and fragments, each in the other, are followed.
const MAX_LEVELS: usize = 200;

/// What is done with the value of a place, in the order of the operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Used {
    /// A string value that begins here.
    Literal(usize, Uses),
    /// The variable of this name. Each is here once.
    Variable(String),
}

/// An operation.
#[derive(Debug, Default)]
pub(super) struct Operation {
    /// `Query` or `Mutation`.
    pub(super) root: &'static str,
    /// The fields of the root.
    pub(super) fields: BTreeSet<String>,
    /// What it adds up to, with fragments in their places.
    pub(super) sum: Sum,
    /// The values in it.
    pub(super) used: Vec<Used>,
    /// Where each variable is used.
    pub(super) variables: BTreeMap<String, Uses>,
    /// Models that it names.
    pub(super) models: Vec<String>,
    /// What was visited: nodes of the tree, and values of variables.
    pub(super) work: u64,
}

/// What a selection adds up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    /// Fields below each other.
    pub(super) depth: u64,
    /// Fields under another name.
    pub(super) aliases: u64,
    /// Fields, those below a list as often as it has items.
    pub(super) cost: u64,
}

/// What a variable says of the length of lists.
#[derive(Clone, Copy, Debug, Default)]
struct Sizes {
    /// The value itself, where it is a number.
    own: u64,
    /// The largest number in it under a key that means a length.
    below: u64,
}

impl Operation {
    /// Reads an operation.
    ///
    /// # Errors
    /// [`Reason::BodyShape`], [`Reason::GraphqlLimit`], [`Reason::GraphqlOperation`].
    pub(super) fn read(text: &str, queries: &Queries, variables: &Json<'_>) -> Result<Operation, Denial> {
        let tree = Parser::new(text).recursion_limit(RECURSION).token_limit(queries.tokens).parse();
        if let Some(error) = tree.errors().next() {
            let is_deep = tree.recursion_limit().high > RECURSION;
            return Err(match error.is_limit() {
                true => over(if is_deep { "depth" } else { "tokens" }),
                false => malformed(),
            });
        }
        let (mut operation, mut fragments) = (None, BTreeMap::new());
        for definition in tree.document().syntax().children() {
            match definition.kind() {
                SyntaxKind::OPERATION_DEFINITION if operation.is_none() => operation = Some(definition),
                // Which of them counts another field of the body would say.
                SyntaxKind::OPERATION_DEFINITION => return Err(refused("operationName")),
                SyntaxKind::FRAGMENT_DEFINITION => {
                    let name = fragment_name(&definition)?;
                    if fragments.insert(name, (definition, Fragment::Unread)).is_some() {
                        return Err(malformed());
                    }
                }
                _ => return Err(malformed()),
            }
        }
        let operation = operation.ok_or(malformed())?;
        let root = match child(&operation, SyntaxKind::OPERATION_TYPE) {
            None => "Query",
            Some(kind) if token(&kind, SyntaxKind::query_KW).is_some() => "Query",
            Some(kind) if token(&kind, SyntaxKind::mutation_KW).is_some() => "Mutation",
            Some(_) => return Err(refused("subscription")),
        };
        let read = Operation { root, ..Operation::default() };
        let mut walk = Walk { read, queries, values: variables, fragments, sizes: BTreeMap::new() };
        walk.definition(&operation)?;
        Ok(walk.read)
    }
}

/// What the policy does not serve.
pub(super) fn refused(param: &'static str) -> Denial {
    Denial::new(Reason::GraphqlOperation).with_param(param)
}

/// A fragment, as far as it was read.
#[derive(Clone, Debug, PartialEq)]
enum Fragment {
    Unread,
    /// It is being read: who meets it now is in a circle.
    Open,
    Read(Sum),
}

struct Walk<'w> {
    read: Operation,
    queries: &'w Queries,
    values: &'w Json<'w>,
    fragments: BTreeMap<String, (SyntaxNode, Fragment)>,
    sizes: BTreeMap<String, Sizes>,
}

impl Walk<'_> {
    fn definition(&mut self, operation: &SyntaxNode) -> Result<(), Denial> {
        let mut defaults = Vec::new();
        let definitions = child(operation, SyntaxKind::VARIABLE_DEFINITIONS);
        for definition in definitions.iter().flat_map(|all| all.children()) {
            self.read.work += 1;
            let name = child(&definition, SyntaxKind::VARIABLE).and_then(|name| name_of(&name)).ok_or(malformed())?;
            let default = child(&definition, SyntaxKind::DEFAULT_VALUE).and_then(|default| default.first_child());
            let sizes = match (self.values.get(&name), &default) {
                (None, Some(default)) => self.sizes_of(default),
                (None, None) => Sizes::default(),
                (Some(value), _) => self.sizes_in(value),
            };
            if self.sizes.insert(name.clone(), sizes).is_some() {
                return Err(malformed());
            }
            defaults.extend(default.map(|default| (name, default)));
            self.directives(&definition)?;
        }
        self.directives(operation)?;
        let selections = child(operation, SyntaxKind::SELECTION_SET).ok_or(malformed())?;
        self.read.sum = self.selections(&selections, 0)?;
        self.roots(selections)?;
        // What no selection spreads a server does not run. Its text is text all the same.
        let names: Vec<String> = self.fragments.keys().cloned().collect();
        for name in names {
            self.fragment(&name, 0)?;
        }
        // A variable's first value is where the variable is.
        for (name, default) in defaults {
            let uses = self.read.variables.get(&name).cloned().unwrap_or(Spotted::NOWHERE.into());
            self.value(&default, &uses, false)?;
        }
        Ok(())
    }

    /// The names of the root's fields.
    fn roots(&mut self, selections: SyntaxNode) -> Result<(), Denial> {
        let (mut sets, mut seen) = (vec![selections], BTreeSet::new());
        while let Some(set) = sets.pop() {
            for selection in set.children() {
                self.read.work += 1;
                match selection.kind() {
                    SyntaxKind::FIELD => {
                        self.read.fields.insert(name_of(&selection).ok_or(malformed())?);
                    }
                    SyntaxKind::INLINE_FRAGMENT => sets.extend(child(&selection, SyntaxKind::SELECTION_SET)),
                    _ => {
                        let name = fragment_name(&selection)?;
                        let definition =
                            self.fragments.get(&name).and_then(|(one, _)| child(one, SyntaxKind::SELECTION_SET));
                        if seen.insert(name) {
                            sets.extend(definition);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// What a selection adds up to.
    fn selections(&mut self, set: &SyntaxNode, level: usize) -> Result<Sum, Denial> {
        if level > MAX_LEVELS {
            return Err(over("depth"));
        }
        let mut sum = Sum::default();
        for selection in set.children() {
            self.read.work += 1;
            let one = match selection.kind() {
                SyntaxKind::FIELD => self.field(&selection, level)?,
                SyntaxKind::INLINE_FRAGMENT => {
                    self.directives(&selection)?;
                    let set = child(&selection, SyntaxKind::SELECTION_SET).ok_or(malformed())?;
                    self.selections(&set, level + 1)?
                }
                SyntaxKind::FRAGMENT_SPREAD => {
                    self.directives(&selection)?;
                    self.fragment(&fragment_name(&selection)?, level + 1)?
                }
                _ => return Err(malformed()),
            };
            sum.depth = sum.depth.max(one.depth);
            sum.aliases = sum.aliases.saturating_add(one.aliases);
            sum.cost = sum.cost.saturating_add(one.cost);
        }
        Ok(sum)
    }

    /// A field costs 1, and what is below it as often as its list has items.
    fn field(&mut self, field: &SyntaxNode, level: usize) -> Result<Sum, Denial> {
        let name = name_of(field).ok_or(malformed())?;
        if matches!(name.as_str(), "__schema" | "__type") && !self.queries.introspection {
            return Err(refused("introspection"));
        }
        let items = self.arguments(field, &name)?.max(1);
        self.directives(field)?;
        let below = match child(field, SyntaxKind::SELECTION_SET) {
            Some(set) => self.selections(&set, level + 1)?,
            None => Sum::default(),
        };
        Ok(Sum {
            depth: below.depth.saturating_add(1),
            aliases: below.aliases.saturating_add(u64::from(child(field, SyntaxKind::ALIAS).is_some())),
            cost: below.cost.saturating_mul(items).saturating_add(1),
        })
    }

    /// What a fragment adds up to.
    fn fragment(&mut self, name: &str, level: usize) -> Result<Sum, Denial> {
        let (definition, state) = self.fragments.get_mut(name).ok_or(malformed())?;
        match state {
            Fragment::Read(sum) => return Ok(*sum),
            Fragment::Open => return Err(malformed()),
            Fragment::Unread => *state = Fragment::Open,
        }
        let definition = definition.clone();
        self.directives(&definition)?;
        let set = child(&definition, SyntaxKind::SELECTION_SET).ok_or(malformed())?;
        let sum = self.selections(&set, level)?;
        if let Some((_, state)) = self.fragments.get_mut(name) {
            *state = Fragment::Read(sum);
        }
        Ok(sum)
    }

    fn directives(&mut self, holder: &SyntaxNode) -> Result<(), Denial> {
        for directive in child(holder, SyntaxKind::DIRECTIVES).iter().flat_map(|all| all.children()) {
            self.read.work += 1;
            let name = name_of(&directive).ok_or(malformed())?;
            // Their answers come in parts, by a media type that is not read.
            if matches!(name.as_str(), "defer" | "stream") {
                return Err(refused("defer"));
            }
            self.arguments(&directive, &format!("@{name}"))?;
        }
        Ok(())
    }

    /// Notes the values of all arguments. The largest length of a list among them.
    fn arguments(&mut self, holder: &SyntaxNode, field: &str) -> Result<u64, Denial> {
        let mut items = 0;
        for argument in child(holder, SyntaxKind::ARGUMENTS).iter().flat_map(|all| all.children()) {
            self.read.work += 1;
            let name = name_of(&argument).ok_or(malformed())?;
            let uses = Spotted::argument(&self.queries.places, field, &name).into();
            let value = argument.last_child().ok_or(malformed())?;
            items = items.max(self.value(&value, &uses, self.is_length(&name))?);
        }
        Ok(items)
    }

    fn is_length(&self, name: &str) -> bool {
        self.queries.lists.iter().any(|list| list == name)
    }

    /// Notes a value and what is in it. The largest length of a list in it.
    fn value(&mut self, value: &SyntaxNode, uses: &Uses, is_length: bool) -> Result<u64, Denial> {
        self.read.work += 1;
        let mut items = 0;
        match value.kind() {
            SyntaxKind::STRING_VALUE => {
                let token = token(value, SyntaxKind::STRING).ok_or(malformed())?;
                self.read.used.push(Used::Literal(usize::from(token.text_range().start()), uses.clone()));
                items = if is_length { length(value) } else { 0 };
            }
            SyntaxKind::VARIABLE => {
                let name = name_of(value).ok_or(malformed())?;
                let sizes = self.sizes.get(&name).copied().unwrap_or_default();
                items = if is_length { sizes.below.max(sizes.own) } else { sizes.below };
                if !self.read.variables.contains_key(&name) {
                    self.read.used.push(Used::Variable(name.clone()));
                }
                self.read.variables.entry(name).or_default().join(uses);
            }
            SyntaxKind::LIST_VALUE => {
                for item in value.children() {
                    items = items.max(self.value(&item, uses, is_length)?);
                }
            }
            SyntaxKind::OBJECT_VALUE => {
                for field in value.children() {
                    let name = name_of(&field).ok_or(malformed())?;
                    let inner = field.last_child().ok_or(malformed())?;
                    let below = uses.below(&self.queries.places, &name);
                    items = items.max(self.value(&inner, &below, self.is_length(&name))?);
                }
            }
            SyntaxKind::ENUM_VALUE if uses.is_model() => self.read.models.extend(name_of(value)),
            _ if is_length => items = length(value),
            _ => {}
        }
        Ok(items)
    }

    /// What a default value says of lengths.
    fn sizes_of(&mut self, value: &SyntaxNode) -> Sizes {
        self.read.work += 1;
        let (mut own, mut below) = (length(value), 0);
        for inner in value.children() {
            let (name, inner) = match inner.kind() {
                SyntaxKind::OBJECT_FIELD => (name_of(&inner), inner.last_child()),
                _ => (None, Some(inner)),
            };
            let Some(inner) = inner else { continue };
            let sizes = self.sizes_of(&inner);
            below = below.max(sizes.below);
            match name {
                Some(name) if self.is_length(&name) => below = below.max(sizes.own),
                Some(_) => {}
                // Of a list the largest number counts, as in a value that is sent.
                None => own = own.max(sizes.own),
            }
        }
        Sizes { own, below }
    }

    /// The same for a value that the request brings.
    fn sizes_in(&mut self, value: &Json<'_>) -> Sizes {
        self.read.work += 1;
        match value {
            Json::Number(number) => {
                let whole = number.as_u64().or(number.whole().map(|whole| u64::try_from(whole).unwrap_or_default()));
                Sizes { own: whole.unwrap_or(u64::MAX), below: 0 }
            }
            Json::Array(items) => {
                let sizes = items.iter().map(|item| self.sizes_in(item));
                sizes.fold(Sizes::default(), |a, b| Sizes { own: a.own.max(b.own), below: a.below.max(b.below) })
            }
            Json::Object(entries) => {
                let mut below = 0;
                for (key, inner) in entries {
                    let sizes = self.sizes_in(inner);
                    below = below.max(sizes.below);
                    if self.is_length(key) {
                        below = below.max(sizes.own);
                    }
                }
                Sizes { own: 0, below }
            }
            // Some servers have scalars that take a number as a text.
            Json::String(text) => Sizes { own: number_in(text), below: 0 },
            Json::Null | Json::Bool(_) => Sizes::default(),
        }
    }
}

/// The number that is written here; what no list's length can be counts as one without end.
fn length(value: &SyntaxNode) -> u64 {
    match value.kind() {
        SyntaxKind::INT_VALUE => match token(value, SyntaxKind::INT) {
            Some(token) if token.text().starts_with('-') => 0,
            Some(token) => token.text().parse().unwrap_or(u64::MAX),
            None => u64::MAX,
        },
        SyntaxKind::FLOAT_VALUE => u64::MAX,
        SyntaxKind::STRING_VALUE => {
            let written = token(value, SyntaxKind::STRING).map(|token| token.text().to_owned());
            number_in(&written.as_deref().and_then(super::source::value).unwrap_or_default())
        }
        _ => 0,
    }
}

/// The number that a text is, rounded up; 0 for one that is none.
fn number_in(text: &str) -> u64 {
    let text = text.trim();
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '.')) {
        return 0;
    }
    text.parse::<u64>().ok().or_else(|| Some(text.parse::<f64>().ok()?.ceil().max(0.0) as u64)).unwrap_or_default()
}

/// The first node of this kind right below.
fn child(node: &SyntaxNode, kind: SyntaxKind) -> Option<SyntaxNode> {
    node.children().find(|child| child.kind() == kind)
}

fn token(node: &SyntaxNode, kind: SyntaxKind) -> Option<SyntaxToken> {
    node.children_with_tokens().filter_map(|one| one.into_token()).find(|token| token.kind() == kind)
}

/// The name of a field, an argument, a variable, a directive.
fn name_of(node: &SyntaxNode) -> Option<String> {
    token(&child(node, SyntaxKind::NAME)?, SyntaxKind::IDENT).map(|token| token.text().to_owned())
}

fn fragment_name(spread: &SyntaxNode) -> Result<String, Denial> {
    child(spread, SyntaxKind::FRAGMENT_NAME).and_then(|name| name_of(&name)).ok_or(malformed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::queries::{Coordinate, Meaning};

    fn queries() -> Queries {
        let places = vec![Coordinate::parse("f(input.text)", Meaning::Document).unwrap()];
        Queries { tokens: 1_000_000, introspection: true, places, ..Queries::default() }
    }

    fn read(text: &str, variables: &str) -> Result<Operation, (Reason, &'static str)> {
        let json = Json::parse(variables.as_bytes(), 64).unwrap();
        Operation::read(text, &queries(), &json).map_err(|denial| (denial.reason, denial.param.unwrap_or_default()))
    }

    #[test]
    fn depth_aliases_and_cost_are_counted_with_fragments_in_their_places() {
        for (text, variables, depth, aliases, cost) in [
            ("{ a }", "{}", 1, 0, 1),
            ("{ a { b { c } } x: d }", "{}", 3, 1, 4),
            ("{ a(first: 10) { b c } }", "{}", 2, 0, 21),
            ("{ a(first: 10, last: 3) { b(limit: 5) { c } } }", "{}", 3, 0, 61),
            ("{ a(page: {first: 10}) { b } }", "{}", 2, 0, 11),
            ("{ a(first: 0) { b } }", "{}", 2, 0, 2),
            ("{ a(first: -7) { b } }", "{}", 2, 0, 2),
            ("{ a(first: 99999999999999999999) { b } }", "{}", 2, 0, u64::MAX),
            ("query($n: Int) { a(first: $n) { b } }", r#"{"n": 7}"#, 2, 0, 8),
            ("query($n: Int) { a(first: $n) { b } }", r#"{"n": 7.0}"#, 2, 0, 8),
            ("query($n: Int = 5) { a(first: $n) { b } }", "{}", 2, 0, 6),
            ("query($n: Int = 5) { a(first: $n) { b } }", r#"{"n": 7}"#, 2, 0, 8),
            ("query($n: Int = 5) { a(first: $n) { b } }", r#"{"n": null}"#, 2, 0, 2),
            ("query($p: P) { a(page: $p) { b } }", r#"{"p": {"x": [{"first": 9}]}}"#, 2, 0, 10),
            ("query($p: P = {x: [{first: 9}]}) { a(page: $p) { b } }", "{}", 2, 0, 10),
            ("{ ...F ...F } fragment F on T { x: a { ...G } } fragment G on T { b c }", "{}", 2, 2, 6),
            ("{ ... on T { a { ... @include(if: true) { b } } } }", "{}", 2, 0, 2),
        ] {
            let sum = read(text, variables).unwrap_or_else(|error| panic!("{text}: {error:?}")).sum;
            assert_eq!((sum.depth, sum.aliases, sum.cost), (depth, aliases, cost), "{text}");
        }
    }

    #[test]
    fn the_fields_of_the_root_are_named_whatever_spreads_them() {
        let text = "mutation { x: a ... on M { b { c } ...F } } fragment F on M { d ...G } fragment G on M { e }";
        let read = read(text, "{}").unwrap();
        assert_eq!(read.root, "Mutation");
        assert_eq!(read.fields.into_iter().collect::<Vec<_>>(), ["a", "b", "d", "e"]);
    }

    #[test]
    fn what_is_not_one_operation_is_refused() {
        let shape = (Reason::BodyShape, "query");
        let operation = |param| (Reason::GraphqlOperation, param);
        let deep = format!("{}a{}", "{a".repeat(70), "}".repeat(70));
        let list = format!("{{ a(b: {}1{}) }}", "[".repeat(70), "]".repeat(70));
        let levels: String = (0..300).map(|n| format!(" fragment F{n} on T {{ ...F{} }}", n + 1)).collect();
        let levels = format!("{{ ...F0 }}{levels} fragment F300 on T {{ a }}");
        for (text, refusal) in [
            ("", shape),
            ("{}", shape),
            ("{ a", shape),
            ("{ a(b:) }", shape),
            ("type A { b: C }", shape),
            ("{ a } type A { b: C }", shape),
            ("fragment F on T { a }", shape),
            ("{ ...F }", shape),
            ("{ ...F } fragment F on T { ...F }", shape),
            ("{ ...F } fragment F on T { a { ...G } } fragment G on T { ...F }", shape),
            ("{ a } fragment F on T { ...F }", shape),
            ("{ a } fragment F on T { b } fragment F on T { c }", shape),
            ("query($a: A, $a: A) { b }", shape),
            ("{ a } { b }", operation("operationName")),
            ("query A { a } query B { b }", operation("operationName")),
            ("subscription { a }", operation("subscription")),
            ("{ a @defer { b } }", operation("defer")),
            ("{ ... @defer { b } }", operation("defer")),
            ("{ a @stream(initialCount: 1) }", operation("defer")),
            (deep.as_str(), (Reason::GraphqlLimit, "depth")),
            (list.as_str(), (Reason::GraphqlLimit, "depth")),
            (levels.as_str(), (Reason::GraphqlLimit, "depth")),
        ] {
            assert_eq!(read(text, "{}").map(|_| ()), Err(refusal), "{text}");
        }
        let closed = Queries::default();
        for text in ["{ __schema { types { name } } }", "{ a { x: __type(name: \"T\") { name } } }"] {
            let denial = Operation::read(text, &closed, &Json::Null).unwrap_err();
            assert_eq!((denial.reason, denial.param), (Reason::GraphqlOperation, Some("introspection")), "{text}");
        }
        assert!(Operation::read("{ __typename }", &closed, &Json::Null).is_ok());
    }

    /// Twice as much to read is at most about twice the work, whatever it is that there is more of.
    #[test]
    fn work_grows_with_the_text_and_no_faster() {
        type Family = (&'static str, fn(usize) -> (String, String));
        let families: [Family; 7] = [
            ("fields", |n| (format!("{{ {} }}", "a ".repeat(n)), "{}".to_owned())),
            ("a fragment that is spread often", |n| {
                (format!("{{ {} }} fragment F on T {{ {} }}", "...F ".repeat(n), "a ".repeat(n)), "{}".to_owned())
            }),
            ("fragments that spread others twice", |n| {
                let all: String = (0..n).map(|at| format!("fragment F{at} on T {{ a{{...G{at}}} }} ")).collect();
                let low: String = (0..n).map(|at| format!("fragment G{at} on T {{ b c }} ")).collect();
                let top: String = (0..n).map(|at| format!("...F{at} ...F{at} ")).collect();
                (format!("{{ {top} }} {all} {low}"), "{}".to_owned())
            }),
            ("a large value that is used often", |n| {
                let uses: String = (0..n).map(|at| format!("f(a{at}: $v) ")).collect();
                let value = format!("[{}0]", r#"{"text": "x", "first": 1},"#.repeat(n));
                (format!("query($v: V) {{ {uses} }}"), format!(r#"{{"v": {value}}}"#))
            }),
            ("variables", |n| {
                let all: String = (0..n).map(|at| format!("$v{at}: V = {{text: \"a\"}} ")).collect();
                let uses: String = (0..n).map(|at| format!("f(input: $v{at}) ")).collect();
                (format!("query({all}) {{ {uses} }}"), "{}".to_owned())
            }),
            ("lists", |n| (format!("{{ f(input: [{}]) }}", "[{text: \"a\"}] ".repeat(n)), "{}".to_owned())),
            ("directives", |n| (format!("{{ f {} }}", "@a(b: \"c\") ".repeat(n)), "{}".to_owned())),
        ];
        for (name, family) in families {
            let work = |n| {
                let (text, variables) = family(n);
                read(&text, &variables).unwrap_or_else(|error| panic!("{name}: {error:?}")).work
            };
            let (one, two) = (work(100), work(200));
            println!("{name}: {one} and {two}");
            assert!(one >= 100 && two * 10 <= one * 21, "{name}: {one} and {two}");
        }
        // On many levels the count doubles on each, and the work does not.
        let doubling = |levels: usize| {
            let all: String =
                (0..levels).map(|at| format!("fragment F{at} on T {{ ...F{0} ...F{0} }} ", at + 1)).collect();
            read(&format!("{{ ...F0 }} {all} fragment F{levels} on T {{ x: a }}"), "{}").unwrap()
        };
        let (some, more) = (doubling(40), doubling(80));
        assert_eq!((some.sum.cost, more.sum.cost, more.sum.aliases), (1 << 40, u64::MAX, u64::MAX));
        assert!(more.work * 10 <= some.work * 21, "{} and {}", some.work, more.work);
    }
}
