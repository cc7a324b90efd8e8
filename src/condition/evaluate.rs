//! What an expression comes to.
//!
//! Every node costs a step, once for each item of the list that a macro goes over, and long texts and lists cost more.
//! Macros do not nest, so that the steps grow with the product of two lengths: the expression's and the list's. After
//! [`STEPS`] an evaluation ends as one that went wrong. Recursion is as deep as the tree, which is bounded.

use std::fmt;

use super::check::Checked;
use super::fact::{Fact, Facts, Given};
use super::tree::{Binary, Id, Node, Over, Tree};
use super::value::{self, Value};

/// The most steps of one evaluation.
pub const STEPS: usize = 100_000;

/// What went wrong in an evaluation. It names no value: a value may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The byte of the expression at which it went wrong.
    pub at: usize,
    /// What went wrong.
    pub message: String,
}

impl Trouble {
    pub(super) fn new(at: usize, message: impl Into<String>) -> Trouble {
        Trouble { at, message: message.into() }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What the whole comes to, and the steps that it took.
pub(super) fn evaluate<'f>(
    tree: &'f Tree,
    checked: &Checked,
    facts: &'f dyn Facts,
) -> (Result<Value<'f>, Trouble>, usize) {
    evaluate_at(tree, checked, facts, tree.root())
}

/// What a part comes to, and the steps that it took.
pub(super) fn evaluate_at<'f>(
    tree: &'f Tree,
    checked: &Checked,
    facts: &'f dyn Facts,
    part: Id,
) -> (Result<Value<'f>, Trouble>, usize) {
    let known = vec![None; checked.facts().len()];
    let mut evaluation = Evaluation { tree, checked, facts, known, item: Value::Null, steps: 0 };
    let value = evaluation.node(part);
    (value, evaluation.steps.min(STEPS))
}

/// The parts that must all hold.
pub(super) fn parts(tree: &Tree) -> Vec<Id> {
    match tree.node(tree.root()) {
        Node::And(items) => items.clone(),
        _ => vec![tree.root()],
    }
}

struct Evaluation<'f, 'c> {
    tree: &'f Tree,
    checked: &'c Checked,
    facts: &'f dyn Facts,
    /// Every fact is asked for once.
    known: Vec<Option<Given<'f>>>,
    /// The item that a macro is at.
    item: Value<'f>,
    steps: usize,
}

impl<'f> Evaluation<'f, '_> {
    fn trouble(&self, id: Id, message: impl Into<String>) -> Trouble {
        Trouble::new(self.tree.at(id), message)
    }

    fn step(&mut self, id: Id, cost: usize) -> Result<(), Trouble> {
        self.steps = self.steps.saturating_add(cost);
        if self.steps > STEPS { Err(self.trouble(id, format!("more than {STEPS} steps"))) } else { Ok(()) }
    }

    fn given(&mut self, place: usize) -> Given<'f> {
        if let Some(Some(given)) = self.known.get(place) {
            return given.clone();
        }
        let given = self.checked.facts().get(place).map_or(Given::Absent, |fact| self.facts.given(fact));
        if let Some(known) = self.known.get_mut(place) {
            *known = Some(given.clone());
        }
        given
    }

    fn node(&mut self, id: Id) -> Result<Value<'f>, Trouble> {
        self.step(id, 1)?;
        let tree = self.tree;
        if let Some(place) = self.checked.fact(id) {
            let given = self.given(place);
            if matches!(tree.node(id), Node::Has(..) | Node::Binary(..)) {
                return Ok(Value::Bool(given != Given::Absent));
            }
            let name = self.checked.facts().get(place).map(Fact::name).unwrap_or_default();
            return match given {
                Given::Value(value) => Ok(value),
                Given::Absent => Err(self.trouble(id, format!("{name} is not there"))),
                Given::Unreadable => Err(self.trouble(id, format!("{name} can't be read"))),
            };
        }
        match tree.node(id) {
            Node::Null => Ok(Value::Null),
            Node::Bool(value) => Ok(Value::Bool(*value)),
            Node::Int(number) => Ok(Value::Int(*number)),
            Node::Double(number) => Ok(Value::Double(*number)),
            Node::Text(text) => Ok(Value::text(text)),
            Node::Local(..) => Ok(self.item.clone()),
            Node::List(items) => Ok(Value::List(self.all(items)?.into())),
            // Each of these is a fact, or was refused.
            Node::Name(_) | Node::Select(..) | Node::Has(..) => Err(self.trouble(id, "no such name")),
            Node::Index(of, at) => {
                let (of, at) = (self.node(*of)?, self.node(*at)?);
                value::index(&of, &at).map_err(|message| self.trouble(id, message))
            }
            Node::Not(of) => Ok(Value::Bool(!self.truth(*of)?)),
            Node::Negate(of) => {
                let of = self.node(*of)?;
                value::negate(&of).map_err(|message| self.trouble(id, message))
            }
            Node::And(items) => self.absorb(items, false),
            Node::Or(items) => self.absorb(items, true),
            Node::Choice(test, then, other) => {
                let chosen = if self.truth(*test)? { *then } else { *other };
                self.node(chosen)
            }
            Node::Binary(binary, left, right) => {
                let (left, right) = (self.node(*left)?, self.node(*right)?);
                let cost = match binary {
                    Binary::In => right.size(),
                    _ => left.size().saturating_add(right.size()),
                };
                self.step(id, cost)?;
                value::binary(*binary, &left, &right).map_err(|message| self.trouble(id, message))
            }
            Node::Call(name, items) | Node::Method(name, items) => {
                let items = self.all(items)?;
                self.step(id, items.iter().map(Value::size).fold(0, usize::saturating_add))?;
                value::call(name, &items).map_err(|message| self.trouble(id, message))
            }
            Node::Loop(over, list, _, body) => self.over(id, *over, *list, *body),
        }
    }

    fn all(&mut self, ids: &[Id]) -> Result<Vec<Value<'f>>, Trouble> {
        ids.iter().map(|id| self.node(*id)).collect()
    }

    fn truth(&mut self, id: Id) -> Result<bool, Trouble> {
        match self.node(id)? {
            Value::Bool(value) => Ok(value),
            other => Err(self.trouble(id, format!("expected a truth value, found {}", other.kind()))),
        }
    }

    /// `&&` (of which one `false` decides) and `||` (of which one `true` does): what decides wins over what goes wrong,
    /// wherever it stands.
    fn absorb(&mut self, ids: &[Id], deciding: bool) -> Result<Value<'f>, Trouble> {
        let mut trouble = None;
        for id in ids {
            match self.truth(*id) {
                Ok(value) if value == deciding => return Ok(Value::Bool(deciding)),
                Ok(_) => {}
                Err(found) => trouble = trouble.or(Some(found)),
            }
        }
        trouble.map_or(Ok(Value::Bool(!deciding)), Err)
    }

    fn over(&mut self, id: Id, over: Over, list: Id, body: Id) -> Result<Value<'f>, Trouble> {
        let Value::List(items) = self.node(list)? else { return Err(self.trouble(id, "expected a list")) };
        let (mut trouble, mut count) = (None, 0_usize);
        for item in items.iter() {
            self.item = item.clone();
            match (self.truth(body), over) {
                (Ok(true), Over::Exists) => return Ok(Value::Bool(true)),
                (Ok(false), Over::All) => return Ok(Value::Bool(false)),
                (Ok(true), Over::ExistsOne) => count = count.saturating_add(1),
                (Ok(_), _) => {}
                (Err(found), Over::ExistsOne) => return Err(found),
                (Err(found), _) => {
                    if self.steps > STEPS {
                        return Err(found);
                    }
                    trouble = trouble.or(Some(found));
                }
            }
        }
        match (trouble, over) {
            (Some(trouble), _) => Err(trouble),
            (None, Over::All) => Ok(Value::Bool(true)),
            (None, Over::Exists) => Ok(Value::Bool(false)),
            (None, Over::ExistsOne) => Ok(Value::Bool(count == 1)),
        }
    }
}
