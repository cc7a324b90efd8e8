//! Chat of version 2.

use super::super::form::Form;
use super::super::request::{Reader, Spot};
use super::super::turns::{self, Roles};
use super::super::{Json, Path, UnscannedKind};
use crate::enums::Zone;
use crate::reason::Denial;

const ROLES: Roles = Roles {
    known: &[("system", Zone::System), ("user", Zone::User), ("assistant", Zone::Assistant), ("tool", Zone::Tool)],
    others: None,
};
/// The types of parts of a message's content.
const TYPES: [&str; 4] = ["text", "thinking", "image_url", "document"];

pub(super) fn read(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    // Version 1, with tools and connectors of its own, needs this field.
    if reader.take("message")?.is_some() {
        return Err(reader.shape());
    }
    reader.model()?;
    reader.stream(false)?;
    reader.caps(&["max_tokens"], &["max_tokens"])?;
    reader.thinking_budget("token_budget")?;
    tools(reader)?;
    reader.texts("response_format", Spot::DEVELOPER)?;
    documents(reader)?;
    messages(reader)
}

fn tools(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    let Some((path, value)) = reader.take("tools")? else { return Ok(()) };
    for (position, tool) in reader.items(value)?.iter().enumerate() {
        let function = reader.inner(tool, "function")?.ok_or(reader.shape())?;
        let name = reader.inner_text(function, "name")?;
        reader.tool(name, &path.child(position));
        reader.free_text(&path.child(position), tool, Spot::DEVELOPER);
    }
    Ok(())
}

/// Texts, or objects with fields of any name.
fn documents(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    let Some((path, value)) = reader.take("documents")? else { return Ok(()) };
    for (position, document) in reader.items(value)?.iter().enumerate() {
        match document {
            Json::String(_) | Json::Object(_) => reader.free_text(&path.child(position), document, Spot::DOCUMENT),
            _ => return Err(reader.shape()),
        }
    }
    Ok(())
}

fn messages(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    let (path, value) = reader.require("messages")?;
    turns::read(reader, &path, value, &ROLES, &["content"], &|reader, path, field, spot| match field {
        ("content", Json::Array(_)) => {
            for (position, part) in reader.items(field.1)?.iter().enumerate() {
                read_part(reader, &path.child(position), part, spot)?;
            }
            Ok(true)
        }
        ("content", Json::Object(_)) => Err(reader.shape()),
        _ => Ok(false),
    })
}

/// One part of a message's content. What is in a picture's place and is no bytes is text.
pub(super) fn read_part<'j>(
    reader: &mut Reader<'_, 'j>,
    path: &Path,
    part: &Json<'j>,
    spot: Spot,
) -> Result<(), Denial> {
    if let Json::String(_) = part {
        reader.segment(path, false, spot);
        return Ok(());
    }
    let kind = reader.inner(part, "type")?.and_then(Json::as_str).unwrap_or_default();
    let unscanned = match kind {
        "text" | "thinking" | "document" => None,
        "image_url" => Some(UnscannedKind::Image),
        // The SDK leaves the type out where only one is possible.
        "" if part.get("text").is_some() || part.get("document").is_some() => None,
        _ => {
            reader.unknown(path, part, kind, spot);
            return Ok(());
        }
    };
    if let Some(kind) = unscanned {
        reader.unscanned(kind, path);
    }
    for (at, (key, value)) in reader.entries(part, &["text"])?.iter().enumerate() {
        let place = path.child(at);
        if key != "type" || !reader.parameter(value, Form::Word(&TYPES)) {
            reader.text_beside(&place, value, spot, unscanned);
        }
        reader.key(&place, key, spot);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Cohere;
    use super::*;
    use crate::enums::Operation;
    use crate::protocol::{Exchange, Position, Protocol};
    use crate::reason::Reason;

    fn read(body: &str) -> Result<Exchange, Denial> {
        let json = Json::parse(body.as_bytes(), 16).unwrap();
        Protocol::new(Cohere).read_request(Operation::Chat, None, &json)
    }

    #[test]
    fn each_role_has_its_zone() {
        let body = r#"{"model":"command-a","stream":true,"max_tokens":50,"thinking":{"type":"enabled","token_budget":20},
            "messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"u1"}]},
            {"role":"assistant","tool_plan":"p","tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"1","content":[{"type":"document","document":{"id":"d","data":{"text":"t"}}}]},
            {"role":"user","content":"u2"}],"documents":["d1",{"data":{"title":"d2"}}],
            "tools":[{"type":"function","function":{"name":"f","description":"x"}}]}"#;
        let exchange = read(body).unwrap();
        let json = Json::parse(body.as_bytes(), 16).unwrap();
        let spot = |text: &str| {
            let found = exchange
                .segments
                .iter()
                .find(|one| !one.is_key && json.at(&one.path).and_then(Json::as_str) == Some(text));
            found.map(|one| (one.zone, one.position)).unwrap()
        };
        use Position::{Current, History};
        for (text, zone, position) in [
            ("s", Zone::System, Current),
            ("u1", Zone::User, History),
            ("p", Zone::Assistant, History),
            ("t", Zone::Tool, History),
            ("u2", Zone::User, Current),
            ("d1", Zone::Document, History),
            ("d2", Zone::Document, History),
            ("x", Zone::Developer, Current),
        ] {
            assert_eq!(spot(text), (zone, position), "{text}");
        }
        assert!(exchange.stream && exchange.tools.len() == 1 && exchange.tools[0].name == "f");
        assert_eq!((exchange.output_cap.unwrap().tokens, exchange.thinking_budget.unwrap().tokens), (50, 20));
    }

    #[test]
    fn bad_shapes_name_the_parameter() {
        for (body, param) in [
            (r#"{"messages":[]}"#, "model"),
            (r#"{"model":"m"}"#, "messages"),
            (r#"{"model":"m","message":"hello","messages":[]}"#, "message"),
            (r#"{"model":"m","messages":[{"role":"CHATBOT","content":"x"}]}"#, "messages"),
            (r#"{"model":"m","messages":[{"role":"user","content":{"text":"x"}}]}"#, "messages"),
            (r#"{"model":"m","messages":[],"documents":"d"}"#, "documents"),
            (r#"{"model":"m","messages":[],"tools":[{"name":"f"}]}"#, "tools"),
            (r#"{"model":"m","messages":[],"max_tokens":"9"}"#, "max_tokens"),
        ] {
            let denial = read(body).unwrap_err();
            assert_eq!((denial.reason, denial.param), (Reason::BodyShape, Some(param)), "{body}");
        }
    }
}
