//! Masking: findings in, the same text with placeholders out.
//!
//! Decides what replaces a finding, and nothing about which findings are masked: the guard
//! of the policy does that. `jane@example.org and joe@example.org` becomes `[EMAIL_1] and [EMAIL_2]`.
//!
//! Where a schema of the request asks for addresses, an address becomes one too, below a name that no host has (RFC 6761):
//! `1@email.invalid`.
//!
//! Placeholders hold no digit beyond their number and no character that a rule of the packs secrets or
//! pii starts with, so that masking a masked text changes nothing.

use std::collections::HashMap;
use std::ops::Range;

use bartizan_rules::invariant::part;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::enums::Tag;
use crate::enums::{DataAction, PiiType};
use crate::sorted;
use bartizan_rules::words::Kind;

/// The longest placeholder, in bytes: `[` a word of at most 12, `_`, a mark, 16 letters or ten digits, `]`.
pub const MAX_PLACEHOLDER: usize = 32;

/// The end of a placeholder that is an address.
const DOMAIN: &str = "@email.invalid";

/// What a placeholder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    /// A credential.
    Secret,
    /// Personal data of this type.
    Pii(PiiType),
    /// Personal data that a policy's own rule calls by a label of its own.
    Own(Tag),
    /// A text of the client's own that looks like a reversible placeholder (`restore`).
    Literal,
}

impl Label {
    /// The label of what a rule looks for; `None` for attacks: they are never masked.
    pub const fn of(kind: Kind) -> Option<Label> {
        match kind {
            Kind::Attack => None,
            Kind::Secret => Some(Label::Secret),
            Kind::Pii(kind) => Some(Label::Pii(kind)),
            Kind::Own(_, tag) => Some(Label::Own(tag)),
        }
    }

    /// The word in the placeholder.
    pub fn word(&self) -> &str {
        match self {
            Label::Own(tag) => tag.as_str(),
            Label::Secret => "SECRET",
            Label::Literal => "LITERAL",
            Label::Pii(PiiType::Email) => "EMAIL",
            Label::Pii(PiiType::Phone) => "PHONE",
            Label::Pii(PiiType::CreditCard) => "CARD",
            Label::Pii(PiiType::Iban) => "IBAN",
            Label::Pii(PiiType::UsSsn) => "SSN",
            Label::Pii(PiiType::NationalId) => "NATIONAL_ID",
            Label::Pii(PiiType::Passport) => "PASSPORT",
            Label::Pii(PiiType::IpAddress) => "IP",
            Label::Pii(PiiType::MacAddress) => "MAC",
            Label::Pii(PiiType::CryptoWallet) => "WALLET",
            Label::Pii(PiiType::BirthDate) => "BIRTH_DATE",
            Label::Pii(PiiType::Custom) => "CUSTOM",
        }
    }

    /// Every word of [`Label::word`].
    pub(super) const WORDS: [&'static str; 14] = [
        "SECRET",
        "LITERAL",
        "EMAIL",
        "PHONE",
        "CARD",
        "IBAN",
        "SSN",
        "NATIONAL_ID",
        "PASSPORT",
        "IP",
        "MAC",
        "WALLET",
        "BIRTH_DATE",
        "CUSTOM",
    ];

    /// The value in the form in which two writings of it are equal: `4111 1111` and `4111-1111`, `A@b` and `a@B`.
    fn canonical(self, value: &str) -> String {
        match self {
            Label::Secret | Label::Literal => value.to_owned(),
            Label::Pii(PiiType::Email | PiiType::IpAddress) => value.to_lowercase(),
            Label::Pii(PiiType::CryptoWallet) => value.trim().to_owned(),
            Label::Pii(_) | Label::Own(_) => {
                value.chars().filter(|c| c.is_alphanumeric() || *c == '+').flat_map(char::to_lowercase).collect()
            }
        }
    }
}

/// One finding and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Bytes of the text. Ends inside a character are moved outward.
    pub span: Range<usize>,
    /// What was found.
    pub kind: Kind,
    /// What follows. `flag` and `block` change no text, and attacks never do.
    pub action: DataAction,
}

/// One replacement that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Where the value was in the text before.
    pub before: Range<usize>,
    /// Where the placeholder is in the text after.
    pub after: Range<usize>,
    /// What it stands for.
    pub label: Label,
}

/// A text and what was done to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masked {
    /// The text with its placeholders.
    pub text: String,
    /// The replacements, in order, never overlapping.
    pub edits: Vec<Edit>,
}

/// The key of hashes and reversible placeholders. Never printed.
#[derive(Clone)]
pub struct MaskKey(Vec<u8>);

impl MaskKey {
    /// A key of a policy's own, of any length; a short one makes hashes that can be guessed.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        MaskKey(bytes.into())
    }

    /// The key of one tenant, derived from this one, so that no tenant's placeholders mean anything to another.
    #[must_use]
    pub fn for_tenant(&self, tenant: &[u8]) -> MaskKey {
        MaskKey(self.digest(&[b"tenant", tenant]).to_vec())
    }

    fn digest(&self, parts: &[&[u8]]) -> [u8; 32] {
        // HMAC accepts keys of every length; an error is not possible, and an unkeyed hash would be no better
        // than no hash, so the digest is zero then.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return [0; 32] };
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// Sixteen letters that stand for a value: 64 bits of a keyed hash. Only letters, so that no rule for
    /// numbers or tokens finds them.
    pub(super) fn letters(&self, purpose: &str, label: Label, value: &str) -> String {
        let digest = self.digest(&[purpose.as_bytes(), label.word().as_bytes(), value.as_bytes()]);
        digest.iter().take(8).flat_map(|byte| [byte >> 4, byte & 15]).map(|nibble| char::from(b'a' + nibble)).collect()
    }
}

impl std::fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MaskKey(..)")
    }
}

/// Masks the texts of one request. Equal values get the same number in all of them.
#[derive(Debug)]
pub struct Masker {
    key: MaskKey,
    keeps_addresses: bool,
    numbers: HashMap<(Label, String), u32>,
    next: HashMap<Label, u32>,
}

impl Masker {
    /// A masker for one request. Only the action `hash` uses the key.
    pub fn new(key: MaskKey) -> Self {
        Masker { key, keeps_addresses: false, numbers: HashMap::new(), next: HashMap::new() }
    }

    /// The same, where addresses become addresses, because a schema asks the model for such.
    #[must_use]
    pub fn keeping_addresses(self, keeps_addresses: bool) -> Self {
        Masker { keeps_addresses, ..self }
    }

    /// True when addresses become addresses.
    pub(super) fn keeps_addresses(&self) -> bool {
        self.keeps_addresses
    }

    /// Replaces the targets whose action is `mask` or `hash`.
    ///
    /// Spans that overlap become one: its extent is that of all of them, its label that of the most
    /// severe (a secret before personal data), then of the longest, then of any but a telephone number, then of
    /// the first. Spans inside a placeholder are left as they are. Linear in the text but for sorting the targets.
    pub fn mask(&mut self, text: &str, targets: &[Target]) -> Masked {
        let mut out = Masked { text: String::with_capacity(text.len()), edits: Vec::new() };
        let mut done = 0;
        for (span, label, action) in merge(text, targets) {
            let value = part(text, span.clone());
            out.text.push_str(part(text, done..span.start));
            let start = out.text.len();
            self.placeholder(label, action, value, &mut out.text);
            out.edits.push(Edit { before: span.clone(), after: start..out.text.len(), label });
            done = span.end;
        }
        out.text.push_str(part(text, done..text.len()));
        out
    }

    /// How many different values of each label have got a number so far.
    pub fn counts(&self) -> impl Iterator<Item = (Label, u32)> {
        self.next.iter().map(|(label, count)| (*label, *count))
    }

    pub(super) fn placeholder(&mut self, label: Label, action: DataAction, value: &str, out: &mut String) {
        let tail = if action == DataAction::Hash {
            format!("h{}", self.key.letters("hash", label, &label.canonical(value)))
        } else {
            let next = self.next.entry(label).or_insert(0);
            let number = *self.numbers.entry((label, label.canonical(value))).or_insert_with(|| {
                *next += 1;
                *next
            });
            number.to_string()
        };
        out.push_str(&written(label, &tail, self.keeps_addresses));
    }
}

/// A placeholder: a word in brackets, or an address where addresses become addresses.
pub(super) fn written(label: Label, tail: &str, keeps_addresses: bool) -> String {
    match label {
        Label::Pii(PiiType::Email) if keeps_addresses => format!("{tail}{DOMAIN}"),
        _ => format!("[{}_{tail}]", label.word()),
    }
}

/// True for the actions that put a placeholder in a value's place.
pub(super) fn changes(action: DataAction) -> bool {
    matches!(action, DataAction::Mask | DataAction::Hash | DataAction::Restore)
}

/// Where a placeholder begins and ends, if one begins at `start`: `[WORD_` and digits, or a mark (`h`, `r`)
/// and sixteen letters, then `]`.
pub(super) fn placeholder_at(text: &str, start: usize) -> Option<Range<usize>> {
    let rest = text.get(start..)?.strip_prefix('[')?;
    let close = rest.bytes().take(MAX_PLACEHOLDER).position(|c| c == b']')?;
    let (word, tail) = rest.get(..close)?.rsplit_once('_')?;
    let (numbered, keyed) = (is_number(tail), is_letters(tail));
    // A word that nobody knows is a label of the policy's own with a number that no request passes, so that no number
    // worth masking is in brackets.
    let is_own = Tag::new(word).is_some() && (keyed || tail.len() <= 4);
    ((Label::WORDS.contains(&word) || is_own) && (numbered || keyed)).then_some(start..start + close + 2)
}

fn is_number(tail: &str) -> bool {
    (1..=10).contains(&tail.len()) && tail.bytes().all(|c| c.is_ascii_digit())
}

fn is_letters(tail: &str) -> bool {
    tail.len() == 17 && tail.starts_with(['h', 'r']) && tail.bytes().skip(1).all(|c| (b'a'..=b'p').contains(&c))
}

/// True for a placeholder that is an address.
pub(super) fn is_address(text: &str) -> bool {
    text.strip_suffix(DOMAIN).is_some_and(|tail| is_number(tail) || is_letters(tail))
}

/// Where the address begins and ends whose [`DOMAIN`] begins at `at`, if that is a placeholder: no longer word holds it.
fn address_at(text: &str, at: usize) -> Option<Range<usize>> {
    let is_local = |c: char| c.is_alphanumeric() || "._%+'-".contains(c);
    let end = at + DOMAIN.len();
    let mut after = text.get(end..)?.chars();
    let goes_on = match after.next() {
        Some('.') => after.next().is_some_and(char::is_alphanumeric),
        Some(next) => next.is_alphanumeric() || matches!(next, '-' | '_' | '@'),
        None => false,
    };
    let before = text.get(..at)?;
    // No tail is longer than 17 bytes.
    let from = before.floor_char_boundary(at.saturating_sub(24));
    let near = before.get(from..)?;
    let start =
        near.char_indices().rev().take_while(|(_, c)| is_local(*c)).last().map_or(near.len(), |(start, _)| start);
    let (word, lead) = (near.get(start..)?, near.get(..start)?);
    // Quotes and emphasis, which are part of an address only behind its first letter.
    let word = word.trim_start_matches(|c: char| !c.is_alphanumeric());
    // In JSON the letter of `\n` is before the word.
    let escaped = word.strip_prefix(['n', 'r', 't']).filter(|_| lead.ends_with('\\'));
    let tail = [Some(word), escaped].into_iter().flatten().find(|tail| is_number(tail) || is_letters(tail))?;
    (!goes_on).then_some(at - tail.len()..end)
}

/// Every placeholder of a text, in order.
pub(super) fn placeholders(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut words = text.match_indices('[').filter_map(|(at, _)| placeholder_at(text, at)).peekable();
    let mut addresses = text.match_indices(DOMAIN).filter_map(|(at, _)| address_at(text, at)).peekable();
    std::iter::from_fn(move || match (words.peek(), addresses.peek()) {
        (Some(word), Some(address)) if address.start < word.start => addresses.next(),
        (None, Some(_)) => addresses.next(),
        _ => words.next(),
    })
}

/// The spans to replace, in order and apart: those of the targets that change text, outside placeholders.
fn merge(text: &str, targets: &[Target]) -> Vec<(Range<usize>, Label, DataAction)> {
    let mut spans = labelled(text, targets);
    if spans.is_empty() {
        return spans;
    }
    let taken: Vec<Range<usize>> = placeholders(text).collect();
    spans.retain(|(span, ..)| {
        let before = taken.partition_point(|placeholder| placeholder.end < span.end);
        taken.get(before).is_none_or(|placeholder| placeholder.start > span.start)
    });
    apart(spans)
}

/// The spans of the targets that change text, on character boundaries.
pub(super) fn labelled(text: &str, targets: &[Target]) -> Vec<(Range<usize>, Label, DataAction)> {
    targets
        .iter()
        .filter(|target| changes(target.action))
        .filter_map(|target| Some((outward(text, &target.span)?, Label::of(target.kind)?, target.action)))
        .collect()
}

/// Overlapping spans made one, in order.
pub(super) fn apart(mut spans: Vec<(Range<usize>, Label, DataAction)>) -> Vec<(Range<usize>, Label, DataAction)> {
    sorted::by(&mut spans, |a, b| (a.0.start, a.0.end, a.1, b.2).cmp(&(b.0.start, b.0.end, b.1, a.2)));
    let mut out: Vec<(Range<usize>, Label, DataAction)> = Vec::with_capacity(spans.len());
    let mut longest = 0;
    for (span, label, action) in spans {
        let length = span.len();
        match out.last_mut() {
            Some((open, held, what)) if span.start < open.end => {
                open.end = open.end.max(span.end);
                let (new, old) = (label == Label::Secret, *held == Label::Secret);
                let (graver, as_grave) = (new && !old, new == old);
                // A telephone number has no check digit: of the same length, anything else is surer.
                let surer = length == longest && *held == Label::Pii(PiiType::Phone) && label != *held;
                if graver || (as_grave && (length > longest || surer)) {
                    (*held, *what, longest) = (label, action, length);
                }
            }
            _ => {
                longest = length;
                out.push((span, label, action));
            }
        }
    }
    out
}

/// The span on character boundaries, moved outward, within the text; `None`: empty or outside.
fn outward(text: &str, span: &Range<usize>) -> Option<Range<usize>> {
    let start = text.floor_char_boundary(span.start.min(text.len()));
    let end = text.ceil_char_boundary(span.end.min(text.len()));
    (start < end).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn target(span: Range<usize>, kind: Kind, action: DataAction) -> Target {
        Target { span, kind, action }
    }

    fn email(span: Range<usize>) -> Target {
        target(span, Kind::Pii(PiiType::Email), DataAction::Mask)
    }

    fn masker() -> Masker {
        Masker::new(MaskKey::new("a key"))
    }

    #[test]
    fn equal_values_get_one_number_over_all_texts_of_a_request() {
        let mut masker = masker();
        let first = masker.mask("A@b.example to c@d.example", &[email(0..11), email(15..26)]);
        assert_eq!(first.text, "[EMAIL_1] to [EMAIL_2]");
        assert_eq!(first.edits[1], Edit { before: 15..26, after: 13..22, label: Label::Pii(PiiType::Email) });
        assert_eq!(
            masker.mask("c@d.example, a@B.example", &[email(0..11), email(13..24)]).text,
            "[EMAIL_2], [EMAIL_1]"
        );
    }

    #[test]
    fn a_hash_is_keyed_and_stays_the_same() {
        let hash = |key: &str, text: &str| {
            let targets = [target(0..text.len(), Kind::Pii(PiiType::Phone), DataAction::Hash)];
            Masker::new(MaskKey::new(key)).mask(text, &targets).text
        };
        assert_eq!(hash("k", "+49 30 1234"), hash("k", "+49-30-1234"));
        assert_ne!(hash("k", "+49 30 1234"), hash("l", "+49 30 1234"));
        let text = hash("k", "+49 30 1234");
        assert!(text.starts_with("[PHONE_h") && text.len() <= MAX_PLACEHOLDER);
        assert!(!text.bytes().any(|c| c.is_ascii_digit()));
    }

    #[test]
    fn of_overlapping_spans_the_gravest_then_the_longest_names_the_whole() {
        let secret = target(4..8, Kind::Secret, DataAction::Mask);
        assert_eq!(masker().mask("0123456789", &[email(0..6), secret.clone()]).text, "[SECRET_1]89");
        let card = target(2..9, Kind::Pii(PiiType::CreditCard), DataAction::Mask);
        assert_eq!(masker().mask("0123456789", &[email(0..4), card]).text, "[CARD_1]9");
        assert_eq!(masker().mask("0123456789", &[secret.clone(), secret]).text, "0123[SECRET_1]89");
    }

    #[test]
    fn flags_blocks_and_attacks_change_nothing() {
        let targets = [
            target(0..2, Kind::Secret, DataAction::Flag),
            target(2..4, Kind::Secret, DataAction::Block),
            target(4..6, Kind::Attack, DataAction::Mask),
        ];
        assert_eq!(masker().mask("abcdef", &targets), Masked { text: "abcdef".into(), edits: vec![] });
    }

    #[test]
    fn spans_move_out_to_whole_characters_and_into_the_text() {
        assert_eq!(masker().mask("aéb", &[email(2..3)]).text, "a[EMAIL_1]b");
        assert_eq!(masker().mask("ab", &[email(1..99)]).text, "a[EMAIL_1]");
        #[allow(clippy::reversed_empty_ranges)]
        let odd = [email(5..9), email(2..1), email(1..1)];
        assert_eq!(masker().mask("ab", &odd).text, "ab");
    }

    #[test]
    fn placeholders_are_known_and_nothing_else_is() {
        for text in [
            "[EMAIL_1]",
            "[OWN_LABEL_1234]",
            "[NATIONAL_ID_12]",
            "[SECRET_habcdefghijklmnop]",
            "[BIRTH_DATE_rabcdefghijklmnop]",
        ] {
            assert_eq!(placeholder_at(text, 0), Some(0..text.len()), "{text}");
        }
        for text in [
            "[EMAIL_]",
            "[EMAIL_x]",
            "[mail_1]",
            "[OWN_12345]",
            "[LONGER_THAN_IT_IS_1]",
            "[EMAIL_1",
            "[SECRET_hABC]",
            "EMAIL_1]",
            "[EMAIL_12345678901]",
        ] {
            assert_eq!(placeholder_at(text, 0), None, "{text}");
        }
        for word in Label::WORDS {
            assert!(word.len() + 20 <= MAX_PLACEHOLDER, "{word}");
        }
    }

    #[test]
    fn an_address_becomes_an_address_where_a_schema_asks_for_one() {
        let mut masker = masker().keeping_addresses(true);
        let text = masker.mask("a@b.example, c@d.example", &[email(0..11), email(13..24)]).text;
        assert_eq!(text, "1@email.invalid, 2@email.invalid");
        let again = [email(0..15), email(17..32), email(0..32)];
        assert_eq!(masker.mask(&text, &again[..2]).text, text);
        let phone = target(0..4, Kind::Pii(PiiType::Phone), DataAction::Mask);
        assert_eq!(masker.mask("1234", &[phone]).text, "[PHONE_1]");
    }

    #[test]
    fn addresses_are_placeholders_in_whatever_stands_around_them() {
        let one = "rabcdefghijklmnop@email.invalid";
        for (before, after) in [
            ("", ""),
            ("(", ")."),
            ("\"", "\""),
            ("to:", ", "),
            ("\\n", "\\n"),
            ("[EMAIL_1] é", "."),
            ("[", "]"),
            ("<", ">"),
        ] {
            let before = before.replace('é', "\u{2014}");
            let text = format!("{before}{one}{after}");
            let found: Vec<&str> = placeholders(&text).map(|span| &text[span]).collect();
            assert!(found.contains(&one), "{text}");
            assert!(is_address(one) && one.len() <= MAX_PLACEHOLDER);
        }
        for text in [
            "xrabcdefghijklmnop@email.invalid",
            "rabcdefghijklmnop@email.invalid.example",
            "rabcdefghijklmnop@email.invalids",
            "rabcdefghijklmnoq@email.invalid",
            "jane@email.invalid",
            "a.1@email.invalid",
            "12345678901@email.invalid",
            "@email.invalid",
            "nrabcdefghijklmnop@email.invalid",
        ] {
            assert_eq!(placeholders(text).count(), 0, "{text}");
        }
    }

    fn any_target() -> impl Strategy<Value = Target> {
        let kind =
            prop_oneof![Just(Kind::Secret), Just(Kind::Pii(PiiType::Email)), Just(Kind::Pii(PiiType::BirthDate))];
        let action = prop_oneof![Just(DataAction::Mask), Just(DataAction::Hash), Just(DataAction::Flag)];
        (0usize..60, 0usize..20, kind, action)
            .prop_map(|(at, length, kind, action)| target(at..at + length, kind, action))
    }

    proptest! {
        #[test]
        fn masking_a_masked_text_by_its_placeholders_changes_nothing(
            text in "\\PC{0,40}", targets in prop::collection::vec(any_target(), 0..6)
        ) {
            let mut masker = masker();
            let once = masker.mask(&text, &targets);
            let again: Vec<Target> = once.edits.iter().map(|edit| target(edit.after.clone(), Kind::Secret, DataAction::Mask)).collect();
            prop_assert_eq!(&masker.mask(&once.text, &again).text, &once.text);
        }

        #[test]
        fn what_lies_outside_the_spans_stays_and_nothing_inside_does(
            text in "\\PC{0,40}", targets in prop::collection::vec(any_target(), 0..6)
        ) {
            let masked = masker().mask(&text, &targets);
            let mut rebuilt = String::new();
            let (mut before, mut after) = (0, 0);
            for edit in &masked.edits {
                prop_assert_eq!(&text[before..edit.before.start], &masked.text[after..edit.after.start]);
                rebuilt.push_str(&masked.text[after..edit.after.start]);
                rebuilt.push_str(&text[edit.before.clone()]);
                (before, after) = (edit.before.end, edit.after.end);
            }
            rebuilt.push_str(&masked.text[after..]);
            prop_assert_eq!(rebuilt, text);
        }

        #[test]
        fn the_order_of_the_targets_does_not_matter(
            text in "\\PC{0,40}", targets in prop::collection::vec(any_target(), 0..6)
        ) {
            let mut reversed = targets.clone();
            reversed.reverse();
            let spans = |targets: &[Target]| masker().mask(&text, targets).edits.iter().map(|edit| (edit.before.clone(), edit.label)).collect::<Vec<_>>();
            prop_assert_eq!(spans(&targets), spans(&reversed));
        }
    }
}
