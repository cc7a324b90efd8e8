//! An expression in the one way to write it.

use super::tree::{Id, Node, Tree};

/// How tightly a choice, a minus and a name bind; see `Binary::tightness`.
const CHOICE: u8 = 0;
const OR: u8 = 1;
const AND: u8 = 2;
const UNARY: u8 = 6;
const MEMBER: u8 = 7;

/// The whole.
pub(super) fn print(tree: &Tree) -> String {
    print_at(tree, tree.root())
}

/// A part.
pub(super) fn print_at(tree: &Tree, id: Id) -> String {
    let mut out = String::new();
    node(tree, id, CHOICE, &mut out);
    out
}

fn tightness(of: &Node) -> u8 {
    match of {
        Node::Choice(..) => CHOICE,
        Node::Or(_) => OR,
        Node::And(_) => AND,
        Node::Binary(binary, ..) => binary.tightness(),
        Node::Not(_) | Node::Negate(_) => UNARY,
        Node::Int(number) if *number < 0 => UNARY,
        Node::Double(number) if number.is_sign_negative() => UNARY,
        _ => MEMBER,
    }
}

/// Writes a node, in brackets where it binds less tightly than what is around it.
fn node(tree: &Tree, id: Id, least: u8, out: &mut String) {
    let of = tree.node(id);
    let is_loose = tightness(of) < least;
    if is_loose {
        out.push('(');
    }
    match of {
        Node::Null => out.push_str("null"),
        Node::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Node::Int(number) => out.push_str(&number.to_string()),
        Node::Double(number) => out.push_str(&format!("{number:?}")),
        Node::Text(text) => quote(text, out),
        Node::List(items) => {
            out.push('[');
            list(tree, items, ", ", CHOICE, out);
            out.push(']');
        }
        Node::Name(name) | Node::Local(name, _) => out.push_str(name),
        Node::Select(of, field) => {
            node(tree, *of, MEMBER, out);
            out.push('.');
            out.push_str(field);
        }
        Node::Has(of, field) => {
            out.push_str("has(");
            node(tree, *of, MEMBER, out);
            out.push('.');
            out.push_str(field);
            out.push(')');
        }
        Node::Index(of, at) => {
            node(tree, *of, MEMBER, out);
            out.push('[');
            node(tree, *at, CHOICE, out);
            out.push(']');
        }
        Node::Not(of) => {
            out.push('!');
            node(tree, *of, if is_pair(tree, *of, |of| matches!(of, Node::Not(_))) { UNARY } else { MEMBER }, out);
        }
        Node::Negate(of) => {
            out.push('-');
            let (below, number) = match tree.node(*of) {
                Node::Negate(_) if is_pair(tree, *of, |of| matches!(of, Node::Negate(_))) => (UNARY, false),
                Node::Int(_) | Node::Double(_) => (CHOICE, true),
                _ => (MEMBER, false),
            };
            // Without its brackets a number would take the sign.
            if number {
                out.push('(');
            }
            node(tree, *of, below, out);
            if number {
                out.push(')');
            }
        }
        Node::Binary(binary, left, right) => {
            let tightness = binary.tightness();
            node(tree, *left, tightness, out);
            out.push(' ');
            out.push_str(binary.sign());
            out.push(' ');
            node(tree, *right, tightness.saturating_add(1), out);
        }
        Node::Choice(test, then, other) => {
            node(tree, *test, OR, out);
            out.push_str(" ? ");
            node(tree, *then, OR, out);
            out.push_str(" : ");
            node(tree, *other, CHOICE, out);
        }
        Node::And(items) => list(tree, items, " && ", AND.saturating_add(1), out),
        Node::Or(items) => list(tree, items, " || ", OR.saturating_add(1), out),
        Node::Call(name, items) => {
            out.push_str(name);
            out.push('(');
            list(tree, items, ", ", CHOICE, out);
            out.push(')');
        }
        Node::Method(name, items) => {
            if let Some((of, arguments)) = items.split_first() {
                node(tree, *of, MEMBER, out);
                out.push('.');
                out.push_str(name);
                out.push('(');
                list(tree, arguments, ", ", CHOICE, out);
                out.push(')');
            }
        }
        Node::Loop(over, of, variable, body) => {
            node(tree, *of, MEMBER, out);
            out.push_str(&format!(".{}({variable}, ", over.name()));
            node(tree, *body, CHOICE, out);
            out.push(')');
        }
    }
    if is_loose {
        out.push(')');
    }
}

/// True for a sign below another one that can go without brackets: of three in a row the parser keeps one.
fn is_pair(tree: &Tree, id: Id, is_sign: fn(&Node) -> bool) -> bool {
    match tree.node(id) {
        of @ (Node::Not(below) | Node::Negate(below)) => is_sign(of) && !is_sign(tree.node(*below)),
        _ => false,
    }
}

fn list(tree: &Tree, items: &[Id], between: &str, least: u8, out: &mut String) {
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.push_str(between);
        }
        node(tree, *item, least, out);
    }
}

fn quote(text: &str, out: &mut String) {
    out.push('\'');
    for c in text.chars() {
        match c {
            '\'' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\U{:08x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('\'');
}
