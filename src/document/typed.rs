//! From the tree to the typed document: a serde deserializer that knows its path and says plainly
//! what it expected.
//!
//! It is stricter than `serde_json`: an object is never read from a list, and a value that the
//! document should not hold is not repeated in the message when it could be a secret.

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::errors::{KeyPath, Step, shortened};
use super::tree::Node;

/// The first thing that is wrong with the types of a tree.
#[derive(Debug)]
pub(crate) struct TypeFault {
    /// From the innermost step to the outermost.
    reversed: Vec<Step>,
    pub(crate) message: String,
    /// For an unknown field: the sibling that was probably meant.
    pub(crate) meant: Option<&'static str>,
    /// For an unknown field.
    pub(crate) unknown: bool,
}

impl TypeFault {
    fn new(message: String) -> Self {
        TypeFault { reversed: Vec::new(), message, meant: None, unknown: false }
    }

    fn below(mut self, step: Step) -> Self {
        self.reversed.push(step);
        self
    }

    pub(crate) fn path(&self) -> KeyPath {
        self.reversed.iter().rev().cloned().collect()
    }
}

impl std::fmt::Display for TypeFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TypeFault {}

impl de::Error for TypeFault {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        TypeFault::new(message.to_string())
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        TypeFault::new(format!("expected {}, found {}", plain_words(&expected.to_string()), kind(&found)))
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let found = match found {
            de::Unexpected::Str(text) => format!("{:?}", shortened(text)),
            de::Unexpected::Signed(number) => number.to_string(),
            de::Unexpected::Unsigned(number) => number.to_string(),
            de::Unexpected::Float(number) => number.to_string(),
            other => kind(&other).to_owned(),
        };
        TypeFault::new(format!("expected {}, found {found}", plain_words(&expected.to_string())))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let meant = nearest(field, expected);
        let hint = meant.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        TypeFault {
            meant,
            unknown: true,
            ..TypeFault::new(format!("unknown field, expected one of {}{hint}", expected.join(", ")))
        }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        if expected.contains(&"RS256")
            && let Some(reason) = never(variant)
        {
            let expected = expected.join(", ");
            return TypeFault::new(format!("{} {reason}; expected one of {expected}", shortened(variant)));
        }
        let hint = nearest(variant, expected).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        let expected = expected.join(", ");
        TypeFault::new(format!("unknown value {:?}, expected one of {expected}{hint}", shortened(variant)))
    }
}

/// Why an algorithm of tokens has no place in the document: no near word was meant.
fn never(variant: &str) -> Option<&'static str> {
    match variant {
        "HS256" | "HS384" | "HS512" => Some(
            "is never accepted: its key is a secret that checks tokens and makes them, and a policy holds no secret",
        ),
        "none" => Some("is never accepted: such a token is not signed"),
        _ => None,
    }
}

fn kind(found: &de::Unexpected<'_>) -> &'static str {
    match found {
        de::Unexpected::Bool(_) => "a boolean",
        de::Unexpected::Unsigned(_) | de::Unexpected::Signed(_) => "a number",
        de::Unexpected::Float(_) => "a fraction",
        de::Unexpected::Str(_) | de::Unexpected::Char(_) => "a string",
        de::Unexpected::Seq => "a list",
        de::Unexpected::Map => "an object",
        _ => "another type",
    }
}

fn plain_words(expected: &str) -> &str {
    match expected {
        "u64" => "a whole number, 0 or more",
        "a sequence" => "a list",
        "a boolean" => "true or false",
        "a map" => "an object",
        other if other.starts_with("struct ") => "an object",
        other if other.starts_with("enum ") || other == "variant identifier" => "one of the words of the schema",
        other => other,
    }
}

/// The name that was probably meant, if one is near enough.
pub(crate) fn nearest<T: AsRef<str> + Copy>(written: &str, names: &[T]) -> Option<T> {
    // A document is small, but a hostile one must not be able to make this slow.
    if written.len() > 48 {
        return None;
    }
    let folded = fold(written);
    names
        .iter()
        .filter(|name| name.as_ref().len() <= 48)
        .map(|name| (distance(&folded, &fold(name.as_ref())), *name))
        .filter(|(distance, name)| *distance <= 1 + name.as_ref().len() / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `max_body_bytes`, `MaxBodyBytes` and `maxBodyBytes` are one.
fn fold(name: &str) -> Vec<char> {
    name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

/// Levenshtein's distance with swapped neighbours as one step.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    let mut previous = None;
    for (row, a) in left.iter().enumerate() {
        let mut line = vec![row + 1];
        let mut beside = None;
        for (column, b) in right.iter().enumerate() {
            let at = |cells: &[usize], place: usize| cells.get(place).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&above, column) + usize::from(a != b);
            let mut best = replaced.min(at(&above, column + 1) + 1).min(at(&line, column) + 1);
            if previous == Some(b) && beside == Some(a) && column > 0 {
                best = best.min(at(&before, column - 1) + 1);
            }
            line.push(best);
            beside = Some(b);
        }
        before = std::mem::replace(&mut above, line);
        previous = Some(a);
    }
    above.last().copied().unwrap_or(0)
}

/// Its methods are compiled once for each type and not once for each field that has it (`inline(never)`): a policy is read
/// seldom, and the module has a size.
impl<'de> Deserializer<'de> for &'de Node {
    type Error = TypeFault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeFault> {
        match self {
            Node::Bool(value) => visitor.visit_bool(*value),
            Node::Number(number) => {
                if let Some(value) = number.as_u64() {
                    visitor.visit_u64(value)
                } else if let Some(value) = number.as_i64() {
                    visitor.visit_i64(value)
                } else {
                    visitor.visit_f64(number.as_f64().unwrap_or_default())
                }
            }
            Node::String(text) => visitor.visit_str(text),
            Node::List(items) => visitor.visit_seq(Items(items.iter())),
            Node::Object(entries) => visitor.visit_map(Entries { rest: entries.iter(), value: None }),
        }
    }

    #[inline(never)]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeFault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, TypeFault> {
        visitor.visit_newtype_struct(self)
    }

    /// serde would read a struct from a list too, field by field: a policy would change with the order of this code.
    #[inline(never)]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TypeFault> {
        match self {
            Node::List(_) => Err(de::Error::invalid_type(de::Unexpected::Seq, &visitor)),
            _ => self.deserialize_any(visitor),
        }
    }

    #[inline(never)]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TypeFault> {
        match self {
            Node::String(word) => visitor.visit_enum(Choice { word, content: None }),
            Node::Object(entries) => match entries.as_slice() {
                [(word, content)] => visitor.visit_enum(Choice { word, content: Some(content) }),
                _ => Err(TypeFault::new(format!("expected exactly one of the keys {}", variants.join(", ")))),
            },
            other => {
                let found = match other {
                    Node::Bool(_) => "a boolean",
                    Node::Number(_) => "a number",
                    _ => "a list",
                };
                Err(TypeFault::new(format!("expected one of {}, found {found}", variants.join(", "))))
            }
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

struct Items<'de>(std::slice::Iter<'de, (usize, Node)>);

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = TypeFault;

    #[inline(never)]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, TypeFault> {
        let Some((index, node)) = self.0.next() else { return Ok(None) };
        seed.deserialize(node).map(Some).map_err(|fault| fault.below(Step::Index(*index)))
    }
}

struct Entries<'de> {
    rest: std::slice::Iter<'de, (String, Node)>,
    value: Option<&'de (String, Node)>,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = TypeFault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, TypeFault> {
        self.value = self.rest.next();
        let Some((key, _)) = self.value else { return Ok(None) };
        seed.deserialize(Word(key)).map(Some).map_err(|fault| fault.below(Step::Key(key.clone())))
    }

    #[inline(never)]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, TypeFault> {
        let Some((key, node)) = self.value.take() else { return Err(de::Error::custom("a value without its key")) };
        seed.deserialize(node).map_err(|fault| fault.below(Step::Key(key.clone())))
    }
}

/// A key: a string, or the word of a choice.
struct Word<'de>(&'de str);

impl<'de> Deserializer<'de> for Word<'de> {
    type Error = TypeFault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeFault> {
        visitor.visit_borrowed_str(self.0)
    }

    #[inline(never)]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TypeFault> {
        visitor.visit_enum(Choice { word: self.0, content: None })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// An externally tagged choice: `openai`, or `generic: {...}`.
struct Choice<'de> {
    word: &'de str,
    content: Option<&'de Node>,
}

impl<'de> de::EnumAccess<'de> for Choice<'de> {
    type Error = TypeFault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), TypeFault> {
        let word: StrDeserializer<'_, TypeFault> = self.word.into_deserializer();
        Ok((seed.deserialize(word)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for Choice<'de> {
    type Error = TypeFault;

    fn unit_variant(self) -> Result<(), TypeFault> {
        match self.content {
            None => Ok(()),
            Some(_) => {
                let message = format!("`{0}` has no value: write only `{0}`", self.word);
                Err(TypeFault::new(message))
            }
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, TypeFault> {
        match self.content {
            Some(node) => seed.deserialize(node).map_err(|fault| fault.below(Step::Key(self.word.to_owned()))),
            None => Err(TypeFault::new(format!("`{0}` needs its settings: write `{{{0}: {{...}}}}`", self.word))),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, TypeFault> {
        Err(de::Error::custom("a form that the document does not have"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, TypeFault> {
        Err(de::Error::custom("a form that the document does not have"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested() {
        let names = ["operations", "models", "requests", "maxBodyBytes"];
        assert_eq!(nearest("requets", &names), Some("requests"));
        assert_eq!(nearest("reqeusts", &names), Some("requests"));
        assert_eq!(nearest("max_body_bytes", &names), Some("maxBodyBytes"));
        assert_eq!(nearest("colour", &names), None);
        assert_eq!(distance(&[], &['a']), 1);
    }
}
