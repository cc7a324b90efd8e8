//! Values, and what the operators make of them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use super::time;
use super::tree::Binary;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'f> {
    /// `null`.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A fraction.
    Double(f64),
    /// A text.
    Text(Cow<'f, str>),
    /// A list.
    List(Rc<[Value<'f>]>),
    /// A moment, in nanoseconds since 1970.
    Timestamp(i128),
    /// A time, in nanoseconds.
    Duration(i128),
}

const OVERFLOW: &str = "the number is out of range";

impl<'f> Value<'f> {
    /// A text.
    pub fn text(text: &'f str) -> Value<'f> {
        Value::Text(Cow::Borrowed(text))
    }

    /// A list of texts.
    pub fn texts(texts: impl IntoIterator<Item = &'f str>) -> Value<'f> {
        Value::List(texts.into_iter().map(Value::text).collect())
    }

    /// The word for its type.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a truth value",
            Value::Int(_) => "a whole number",
            Value::Double(_) => "a fraction",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Timestamp(_) => "a timestamp",
            Value::Duration(_) => "a duration",
        }
    }

    /// What it costs to look at all of it, in steps.
    pub(super) fn size(&self) -> usize {
        match self {
            Value::Text(text) => text.len() / 64,
            Value::List(items) => items.len(),
            _ => 0,
        }
    }

    /// Equality as CEL has it: values of two types are unequal, but a whole number may equal a fraction.
    pub(super) fn equals(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(one), Value::Bool(other)) => one == other,
            (Value::Text(one), Value::Text(other)) => one == other,
            (Value::List(one), Value::List(other)) => {
                one.len() == other.len() && one.iter().zip(other.iter()).all(|(one, other)| one.equals(other))
            }
            (Value::Timestamp(one), Value::Timestamp(other)) | (Value::Duration(one), Value::Duration(other)) => {
                one == other
            }
            _ => numbers(self, other) == Some(Some(Ordering::Equal)),
        }
    }

    /// Which of two values comes first; `None`: they are not of one type. `Some(None)`: neither, as with NaN.
    fn order(&self, other: &Value<'_>) -> Option<Option<Ordering>> {
        match (self, other) {
            (Value::Bool(one), Value::Bool(other)) => Some(Some(one.cmp(other))),
            (Value::Text(one), Value::Text(other)) => Some(Some(one.cmp(other))),
            (Value::Timestamp(one), Value::Timestamp(other)) | (Value::Duration(one), Value::Duration(other)) => {
                Some(Some(one.cmp(other)))
            }
            _ => numbers(self, other),
        }
    }
}

fn numbers(one: &Value<'_>, other: &Value<'_>) -> Option<Option<Ordering>> {
    match (one, other) {
        (Value::Int(one), Value::Int(other)) => Some(Some(one.cmp(other))),
        (Value::Double(one), Value::Double(other)) => Some(one.partial_cmp(other)),
        (Value::Int(whole), Value::Double(fraction)) => Some(compare(*whole, *fraction)),
        (Value::Double(fraction), Value::Int(whole)) => Some(compare(*whole, *fraction).map(Ordering::reverse)),
        _ => None,
    }
}

/// Exactly, also where a fraction can't tell two whole numbers apart.
fn compare(whole: i64, fraction: f64) -> Option<Ordering> {
    if fraction.is_nan() {
        return None;
    }
    // 2 to the 63rd.
    const EDGE: f64 = 9_223_372_036_854_775_808.0;
    if fraction >= EDGE {
        return Some(Ordering::Less);
    }
    if fraction < -EDGE {
        return Some(Ordering::Greater);
    }
    let floor = fraction.floor();
    let order = whole.cmp(&(floor as i64));
    Some(if order == Ordering::Equal && fraction > floor { Ordering::Less } else { order })
}

/// What an operator makes of two values.
pub(super) fn binary<'f>(binary: Binary, left: &Value<'f>, right: &Value<'f>) -> Result<Value<'f>, String> {
    let none = || format!("{} has no meaning for {} and {}", binary.sign(), left.kind(), right.kind());
    let ordered = |is_met: fn(Ordering) -> bool| {
        let order = left.order(right).ok_or_else(none)?;
        Ok(Value::Bool(order.is_some_and(is_met)))
    };
    match binary {
        Binary::Equal => Ok(Value::Bool(left.equals(right))),
        Binary::Unequal => Ok(Value::Bool(!left.equals(right))),
        Binary::Less => ordered(Ordering::is_lt),
        Binary::LessEqual => ordered(Ordering::is_le),
        Binary::Greater => ordered(Ordering::is_gt),
        Binary::GreaterEqual => ordered(Ordering::is_ge),
        Binary::In => match right {
            Value::List(items) => Ok(Value::Bool(items.iter().any(|item| item.equals(left)))),
            _ => Err(none()),
        },
        Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Divide | Binary::Remainder => {
            arithmetic(binary, left, right).unwrap_or_else(|| Err(none()))
        }
    }
}

/// `None`: the operator has no meaning for these.
fn arithmetic<'f>(binary: Binary, left: &Value<'f>, right: &Value<'f>) -> Option<Result<Value<'f>, String>> {
    let done = match (left, right) {
        (Value::Int(left), Value::Int(right)) => {
            if *right == 0 && matches!(binary, Binary::Divide | Binary::Remainder) {
                return Some(Err("division by zero".to_owned()));
            }
            let number = match binary {
                Binary::Add => left.checked_add(*right),
                Binary::Subtract => left.checked_sub(*right),
                Binary::Multiply => left.checked_mul(*right),
                Binary::Divide => left.checked_div(*right),
                Binary::Remainder => left.checked_rem(*right),
                _ => return None,
            };
            number.map(Value::Int)
        }
        (Value::Double(left), Value::Double(right)) => Some(Value::Double(match binary {
            Binary::Add => left + right,
            Binary::Subtract => left - right,
            Binary::Multiply => left * right,
            Binary::Divide => left / right,
            _ => return None,
        })),
        (Value::Text(left), Value::Text(right)) if binary == Binary::Add => {
            Some(Value::Text(Cow::Owned(format!("{left}{right}"))))
        }
        (Value::List(left), Value::List(right)) if binary == Binary::Add => {
            Some(Value::List(left.iter().chain(right.iter()).cloned().collect()))
        }
        (Value::Timestamp(moment), Value::Duration(time)) | (Value::Duration(time), Value::Timestamp(moment))
            if binary == Binary::Add =>
        {
            time::timestamp(moment.saturating_add(*time)).map(Value::Timestamp)
        }
        (Value::Timestamp(moment), Value::Duration(time)) if binary == Binary::Subtract => {
            time::timestamp(moment.saturating_sub(*time)).map(Value::Timestamp)
        }
        (Value::Timestamp(left), Value::Timestamp(right)) if binary == Binary::Subtract => {
            time::duration(left.saturating_sub(*right)).map(Value::Duration)
        }
        (Value::Duration(left), Value::Duration(right)) => {
            let nanos = match binary {
                Binary::Add => left.saturating_add(*right),
                Binary::Subtract => left.saturating_sub(*right),
                _ => return None,
            };
            time::duration(nanos).map(Value::Duration)
        }
        _ => return None,
    };
    Some(done.ok_or_else(|| OVERFLOW.to_owned()))
}

/// The negative of a number.
pub(super) fn negate<'f>(value: &Value<'f>) -> Result<Value<'f>, String> {
    match value {
        Value::Int(number) => number.checked_neg().map(Value::Int).ok_or_else(|| OVERFLOW.to_owned()),
        Value::Double(number) => Ok(Value::Double(-number)),
        other => Err(format!("- has no meaning for {}", other.kind())),
    }
}

/// One of a list.
pub(super) fn index<'f>(of: &Value<'f>, at: &Value<'f>) -> Result<Value<'f>, String> {
    let place = match at {
        Value::Int(number) => usize::try_from(*number).ok(),
        Value::Double(number) if number.fract() == 0.0 && *number >= 0.0 => Some(*number as usize),
        other => return Err(format!("a list has no place that is {}", other.kind())),
    };
    match of {
        Value::List(items) => {
            let found = place.and_then(|place| items.get(place));
            found.cloned().ok_or_else(|| "the list has no such place".to_owned())
        }
        other => Err(format!("{} has no places", other.kind())),
    }
}

/// What a function makes of its arguments; the argument behind a method's point is the first.
pub(super) fn call<'f>(name: &str, items: &[Value<'f>]) -> Result<Value<'f>, String> {
    let none = || {
        let kinds: Vec<&str> = items.iter().map(Value::kind).collect();
        format!("{name} has no meaning for {}", kinds.join(" and "))
    };
    match (name, items) {
        ("dyn", [value]) => Ok(value.clone()),
        ("size", [Value::Text(text)]) => whole(text.chars().count()),
        ("size", [Value::List(items)]) => whole(items.len()),
        ("startsWith", [Value::Text(text), Value::Text(part)]) => Ok(Value::Bool(text.starts_with(&**part))),
        ("endsWith", [Value::Text(text), Value::Text(part)]) => Ok(Value::Bool(text.ends_with(&**part))),
        ("contains", [Value::Text(text), Value::Text(part)]) => Ok(Value::Bool(text.contains(&**part))),
        ("lowerAscii", [Value::Text(text)]) => Ok(Value::Text(Cow::Owned(text.to_ascii_lowercase()))),
        ("upperAscii", [Value::Text(text)]) => Ok(Value::Text(Cow::Owned(text.to_ascii_uppercase()))),
        ("int", [value]) => int(value).unwrap_or_else(|| Err(none())),
        ("double", [Value::Double(number)]) => Ok(Value::Double(*number)),
        ("double", [Value::Int(number)]) => Ok(Value::Double(*number as f64)),
        ("double", [Value::Text(text)]) => {
            text.parse().map(Value::Double).map_err(|_| "the text is no number".to_owned())
        }
        ("string", [Value::Text(text)]) => Ok(Value::Text(text.clone())),
        ("string", [Value::Int(number)]) => Ok(Value::Text(Cow::Owned(number.to_string()))),
        ("string", [Value::Bool(value)]) => Ok(Value::text(if *value { "true" } else { "false" })),
        ("timestamp", [Value::Timestamp(moment)]) => Ok(Value::Timestamp(*moment)),
        ("timestamp", [Value::Int(seconds)]) => {
            let moment = time::timestamp(i128::from(*seconds).saturating_mul(time::SECOND));
            moment.map(Value::Timestamp).ok_or_else(|| OVERFLOW.to_owned())
        }
        ("timestamp", [Value::Text(text)]) => {
            time::read_timestamp(text).map(Value::Timestamp).ok_or_else(|| "the text is no timestamp".to_owned())
        }
        ("duration", [Value::Duration(time)]) => Ok(Value::Duration(*time)),
        ("duration", [Value::Text(text)]) => {
            time::read_duration(text).map(Value::Duration).ok_or_else(|| "the text is no duration".to_owned())
        }
        (_, [Value::Timestamp(moment)]) => field(name, *moment, "UTC").ok_or_else(none),
        (_, [Value::Timestamp(moment), Value::Text(zone)]) => field(name, *moment, zone).ok_or_else(none),
        (_, [Value::Duration(time)]) => time::part(name, *time).map(Value::Int).ok_or_else(none),
        _ => Err(none()),
    }
}

fn field<'f>(name: &str, moment: i128, zone: &str) -> Option<Value<'f>> {
    time::field(name, moment.saturating_add(time::offset(zone)?)).map(Value::Int)
}

fn whole<'f>(number: usize) -> Result<Value<'f>, String> {
    i64::try_from(number).map(Value::Int).map_err(|_| OVERFLOW.to_owned())
}

fn int<'f>(value: &Value<'_>) -> Option<Result<Value<'f>, String>> {
    let number = match value {
        Value::Int(number) => Some(*number),
        Value::Double(number) => {
            // Toward zero, and both ends left out, as CEL says.
            let fits = *number > i64::MIN as f64 && *number < i64::MAX as f64;
            fits.then_some(*number as i64)
        }
        Value::Text(text) => {
            return Some(text.parse().map(Value::Int).map_err(|_| "the text is no whole number".to_owned()));
        }
        Value::Timestamp(moment) => i64::try_from(moment.div_euclid(time::SECOND)).ok(),
        _ => return None,
    };
    Some(number.map(Value::Int).ok_or_else(|| OVERFLOW.to_owned()))
}
