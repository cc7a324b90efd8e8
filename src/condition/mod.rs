//! Conditions: `when` of roles, guards and quotas, in a subset of CEL (Common Expression Language).
//!
//! A text becomes a [`Condition`] when the policy is loaded: its length and depth are bounded before it is parsed, its
//! names and types are checked, and what is wrong with it has a place ([`Fault`]). A condition that loaded can still go
//! wrong: a claim is missing, a number overflows ([`Trouble`]). Who asks decides what follows from that.
//!
//! ```
//! use bartizan::condition::{Condition, Fact, Facts, Given, Value};
//!
//! struct Model(&'static str);
//!
//! impl Facts for Model {
//!     fn given(&self, fact: &Fact) -> Given<'_> {
//!         match fact {
//!             Fact::Model => Given::Value(Value::text(self.0)),
//!             _ => Given::Absent,
//!         }
//!     }
//! }
//!
//! let condition = Condition::compile("model.startsWith('gpt-') && !model.endsWith('-mini')").unwrap();
//! assert_eq!(condition.holds(&Model("gpt-4o")), Ok(true));
//! assert_eq!(condition.holds(&Model("gpt-4o-mini")), Ok(false));
//! assert!(Condition::compile("has(principal.tenant) && principal.tenant == 'acme'").unwrap().holds(&Model("")).is_ok());
//! assert!(Condition::compile("principal.tenant == 'acme'").unwrap().holds(&Model("")).is_err());
//!
//! let fault = Condition::compile("modle == 'gpt-4o'").unwrap_err();
//! assert_eq!(fault.to_string(), "unknown name \"modle\"; did you mean `model`? (column 1)");
//! ```
//!
//! A parser of our own, and not the `cel` crate (0.15): that one parses by ANTLR and recursion and adds far more to the
//! module than the filter's whole authorisation. The figures are in the manual (`conditions.md`).

mod check;
mod evaluate;
mod fact;
mod fault;
mod lexer;
mod parser;
mod print;
mod time;
mod tree;
mod value;

pub use evaluate::{STEPS, Trouble};
pub use fact::{Fact, Facts, Given};
pub use fault::Fault;
pub use lexer::MAX_BYTES;
pub use parser::MAX_DEPTH;
pub use tree::MAX_LEVELS;
pub use value::Value;

use check::{Checked, Type};
use tree::Tree;

use crate::document::{Errors, KeyPath};

/// An expression that was parsed and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    text: String,
    tree: Tree,
    checked: Checked,
}

/// An expression that is true or false.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition(Expression);

// No literal is NaN.
impl Eq for Condition {}

/// The nanoseconds since 1970 of a moment as RFC 3339 writes it.
#[cfg(feature = "cli")]
pub fn moment(text: &str) -> Option<u64> {
    u64::try_from(time::read_timestamp(text)?).ok()
}

/// Compiles `when` of a section, if it has one.
pub(crate) fn compile(written: Option<&str>, at: &KeyPath, errors: &mut Errors) -> Option<Condition> {
    let compiled = Condition::compile(written?);
    compiled.map_err(|fault| errors.push(&at.key("when"), fault.to_string())).ok()
}

impl Expression {
    /// Parses and checks an expression of any type.
    ///
    /// # Errors
    /// The first [`Fault`].
    pub fn compile(text: &str) -> Result<Expression, Fault> {
        let tree = parser::parse(text)?;
        let checked = check::check(&tree).map_err(|fault| fault.in_text(text))?;
        Ok(Expression { text: text.to_owned(), tree, checked })
    }

    /// What it comes to.
    ///
    /// # Errors
    /// A [`Trouble`].
    pub fn value<'f>(&'f self, facts: &'f dyn Facts) -> Result<Value<'f>, Trouble> {
        evaluate::evaluate(&self.tree, &self.checked, facts).0
    }

    /// How many steps that took, at most [`STEPS`].
    pub fn steps(&self, facts: &dyn Facts) -> usize {
        evaluate::evaluate(&self.tree, &self.checked, facts).1
    }

    /// The same in the one way to write it: parsed again, it is the same.
    pub fn canonical(&self) -> String {
        print::print(&self.tree)
    }
}

impl Condition {
    /// Parses and checks a condition.
    ///
    /// # Errors
    /// The first [`Fault`].
    pub fn compile(text: &str) -> Result<Condition, Fault> {
        let expression = Expression::compile(text)?;
        match expression.checked.result() {
            Type::Bool | Type::Dyn => Ok(Condition(expression)),
            other => Err(Fault::new(0, format!("expected a condition that is true or false, found {other}"))),
        }
    }

    /// True if it holds.
    ///
    /// # Errors
    /// A [`Trouble`].
    pub fn holds(&self, facts: &dyn Facts) -> Result<bool, Trouble> {
        match self.0.value(facts)? {
            Value::Bool(holds) => Ok(holds),
            other => Err(Trouble::new(0, format!("the result is {}, not true or false", other.kind()))),
        }
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// What it asks for, each once.
    pub fn facts(&self) -> &[Fact] {
        self.0.checked.facts()
    }

    /// True if it asks for what only the body tells.
    pub fn needs_body(&self) -> bool {
        self.facts().iter().any(Fact::is_of_body)
    }

    /// The parts of it that do not hold, each with why: `false`, or what went wrong. For explanations.
    pub fn unmet(&self, facts: &dyn Facts) -> Vec<(String, String)> {
        let parts = evaluate::parts(&self.0.tree);
        let judged = parts.into_iter().filter_map(|part| {
            let why = match evaluate::evaluate_at(&self.0.tree, &self.0.checked, facts, part).0 {
                Ok(Value::Bool(true)) => return None,
                Ok(Value::Bool(false)) => "false".to_owned(),
                Ok(other) => format!("is {}", other.kind()),
                Err(trouble) => trouble.to_string(),
            };
            Some((print::print_at(&self.0.tree, part), why))
        });
        judged.collect()
    }
}
