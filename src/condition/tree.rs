//! An expression as a list of nodes: every node comes behind those below it, so that no walk over it needs a stack.

use super::fault::Fault;

/// The most levels of a tree. A chain of one operator is as deep as it is long, but for `&&` and `||`.
pub const MAX_LEVELS: usize = 48;

/// A node's place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(pub(super) usize);

/// An operator with two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Equal,
    Unequal,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Binary {
    pub(super) const ALL: [Binary; 12] = [
        Binary::Equal,
        Binary::Unequal,
        Binary::Less,
        Binary::LessEqual,
        Binary::Greater,
        Binary::GreaterEqual,
        Binary::In,
        Binary::Add,
        Binary::Subtract,
        Binary::Multiply,
        Binary::Divide,
        Binary::Remainder,
    ];

    pub(super) const fn sign(self) -> &'static str {
        match self {
            Binary::Equal => "==",
            Binary::Unequal => "!=",
            Binary::Less => "<",
            Binary::LessEqual => "<=",
            Binary::Greater => ">",
            Binary::GreaterEqual => ">=",
            Binary::In => "in",
            Binary::Add => "+",
            Binary::Subtract => "-",
            Binary::Multiply => "*",
            Binary::Divide => "/",
            Binary::Remainder => "%",
        }
    }

    /// How tightly it binds: 3 to 5. `||` is 1 and `&&` is 2.
    pub(super) const fn tightness(self) -> u8 {
        match self {
            Binary::Add | Binary::Subtract => 4,
            Binary::Multiply | Binary::Divide | Binary::Remainder => 5,
            _ => 3,
        }
    }
}

/// A macro that goes over a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    All,
    Exists,
    ExistsOne,
}

impl Over {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Over::All => "all",
            Over::Exists => "exists",
            Over::ExistsOne => "exists_one",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Box<str>),
    List(Vec<Id>),
    Name(Box<str>),
    /// The variable of a macro, and the macro's list.
    Local(Box<str>, Id),
    Select(Id, Box<str>),
    Has(Id, Box<str>),
    Index(Id, Id),
    Not(Id),
    Negate(Id),
    Binary(Binary, Id, Id),
    Choice(Id, Id, Id),
    And(Vec<Id>),
    Or(Vec<Id>),
    /// A function of all its arguments.
    Call(Box<str>, Vec<Id>),
    /// The same, written behind its first argument.
    Method(Box<str>, Vec<Id>),
    /// Macro, list, variable, body.
    Loop(Over, Id, Box<str>, Id),
}

impl Node {
    /// The nodes right below.
    fn below(&self) -> Vec<Id> {
        match self {
            Node::Null
            | Node::Bool(_)
            | Node::Int(_)
            | Node::Double(_)
            | Node::Text(_)
            | Node::Name(_)
            | Node::Local(..) => Vec::new(),
            Node::List(items) | Node::And(items) | Node::Or(items) => items.clone(),
            Node::Call(_, items) | Node::Method(_, items) => items.clone(),
            Node::Select(of, _) | Node::Has(of, _) | Node::Not(of) | Node::Negate(of) => vec![*of],
            Node::Index(of, at) => vec![*of, *at],
            Node::Binary(_, left, right) => vec![*left, *right],
            Node::Choice(test, then, other) => vec![*test, *then, *other],
            Node::Loop(_, list, _, body) => vec![*list, *body],
        }
    }
}

/// An expression.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// Where each node is written, in bytes.
    places: Vec<usize>,
    levels: Vec<usize>,
}

impl PartialEq for Tree {
    /// Wherever it is written.
    fn eq(&self, other: &Tree) -> bool {
        self.nodes == other.nodes
    }
}

impl Tree {
    /// Puts a node behind those below it.
    pub(super) fn push(&mut self, node: Node, at: usize) -> Result<Id, Fault> {
        let deepest = node.below().into_iter().map(|id| self.level(id)).max().unwrap_or(0);
        let level = deepest.saturating_add(1);
        if level > MAX_LEVELS {
            return Err(Fault::new(at, format!("nested too deeply, expected at most {MAX_LEVELS} levels")));
        }
        let id = Id(self.nodes.len());
        self.nodes.push(node);
        self.places.push(at);
        self.levels.push(level);
        Ok(id)
    }

    /// Takes back the node that was put last.
    pub(super) fn drop_last(&mut self) {
        self.nodes.pop();
        self.places.pop();
        self.levels.pop();
    }

    pub(super) fn node(&self, id: Id) -> &Node {
        self.nodes.get(id.0).unwrap_or(&Node::Null)
    }

    pub(super) fn at(&self, id: Id) -> usize {
        self.places.get(id.0).copied().unwrap_or_default()
    }

    /// The whole.
    pub(super) fn root(&self) -> Id {
        Id(self.nodes.len().saturating_sub(1))
    }

    /// All nodes, those below a node before it.
    pub(super) fn ids(&self) -> impl Iterator<Item = Id> + use<> {
        (0..self.nodes.len()).map(Id)
    }

    fn level(&self, id: Id) -> usize {
        self.levels.get(id.0).copied().unwrap_or_default()
    }
}
