//! "Create chat completion".

use super::super::form::Form;
use super::super::request::{Reader, Spot, host_of, newest_turn, spot_of};
use super::super::{Json, Path, UnscannedKind};
use super::{CHOICES, OUTPUT_CAPS};
use crate::enums::Zone;
use crate::reason::Denial;

/// `cap_key`: where a cap goes in a request that has none.
pub(super) fn read(reader: &mut Reader<'_, '_>, cap_key: &'static [&'static str]) -> Result<(), Denial> {
    reader.model()?;
    reader.stream(false)?;
    reader.choices(&CHOICES)?;
    reader.caps(&OUTPUT_CAPS, cap_key)?;
    reader.thinking_budget("budget_tokens")?;
    tools(reader)?;
    // Some clients (Cursor) send the Responses API's items to this path.
    if reader.take("messages")?.is_none() && reader.take("input")?.is_some() {
        return super::responses::conversation(reader);
    }
    messages(reader)
}

/// `tools`, the older `functions`, `tool_choice` and `web_search_options`: names for the role's list, and
/// every string of a definition as text, because the model reads all of it.
fn tools(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    offered(reader)?;
    if let Some((path, value)) = reader.take("functions")? {
        for (position, definition) in reader.items(value)?.iter().enumerate() {
            let name = reader.inner_text(definition, "name")?;
            reader.tool(name, &path.child(position));
            reader.free_text(&path.child(position), definition, Spot::DEVELOPER);
        }
    }
    mcp_servers(reader)?;
    tool_choice(reader)?;
    if let Some((path, value)) = reader.take("function_call")? {
        match value {
            Json::String(_) => {}
            _ => {
                let name = reader.inner_text(value, "name")?;
                reader.tool(name, &path);
            }
        }
        reader.free_text(&path, value, Spot::DEVELOPER);
    }
    if let Some((path, value)) = reader.take("web_search_options")? {
        reader.free_text(&path, value, Spot::DEVELOPER);
        reader.tool("web_search", &path);
    }
    Ok(())
}

/// `tools`.
pub(super) fn offered(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    let Some((path, value)) = reader.take("tools")? else { return Ok(()) };
    for (position, tool) in reader.items(value)?.iter().enumerate() {
        offer(reader, &path.child(position), tool)?;
        if reader.inner(tool, "type")?.and_then(Json::as_str) == Some("mcp") {
            reader.credentials(&path.child(position), tool);
        }
        reader.free_text(&path.child(position), tool, Spot::DEVELOPER);
    }
    Ok(())
}

/// `tool_choice` as an object names one tool, or holds a list of allowed ones.
pub(super) fn tool_choice(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    let Some((path, value)) = reader.take("tool_choice")? else { return Ok(()) };
    if !matches!(value, Json::String(_)) {
        let (holder, at) = match reader.inner(value, "allowed_tools")? {
            Some(allowed) => (allowed, entry(&path, value, "allowed_tools")),
            None => (value, path.clone()),
        };
        let modes = ["auto", "none", "required", "any"];
        match reader.inner(holder, "tools")? {
            Some(list) => {
                let at = entry(&at, holder, "tools");
                for (position, tool) in reader.items(list)?.iter().enumerate() {
                    offer(reader, &at.child(position), tool)?;
                }
            }
            None if reader.inner(value, "type")?.and_then(Json::as_str).is_some_and(|kind| modes.contains(&kind)) => {}
            None => offer(reader, &path, value)?,
        }
    }
    reader.free_text(&path, value, Spot::DEVELOPER);
    Ok(())
}

/// The place of an entry of this object.
fn entry(path: &Path, object: &Json<'_>, key: &str) -> Path {
    let Json::Object(entries) = object else { return path.clone() };
    entries.iter().position(|(name, _)| name == key).map_or_else(|| path.clone(), |at| path.child(at))
}

/// The names of a tool, each of which the role must allow: a function's or custom tool's own; a server-side tool's type,
/// and any name that it has besides; for a remote MCP server `mcp:` and its label. The tools of a namespace are offered
/// each by itself.
///
/// A function with two names is allowed to no role: which of them a server reads is its own affair.
pub(super) fn offer(reader: &mut Reader<'_, '_>, path: &Path, tool: &Json<'_>) -> Result<(), Denial> {
    let kind = reader.inner(tool, "type")?.and_then(Json::as_str).unwrap_or_default();
    if let ("namespace", Some(tools)) = (kind, reader.inner(tool, "tools")?) {
        let at = entry(path, tool, "tools");
        for (position, inner) in reader.items(tools)?.iter().enumerate() {
            offer(reader, &at.child(position), inner)?;
        }
        return Ok(());
    }
    let mut names: Vec<String> = Vec::new();
    // Where it runs: both places of a tool that names two.
    let mut hosts: Vec<Option<String>> = Vec::new();
    match kind {
        "" | "function" | "custom" => {}
        "mcp" => {
            names.push(format!("mcp:{}", reader.inner_text(tool, "server_label")?));
            let connector = reader.inner(tool, "connector_id")?.and_then(Json::as_str);
            let address = reader.inner(tool, "server_url")?.and_then(Json::as_str);
            hosts.extend(connector.map(|id| Some(format!("connector:{id}"))));
            hosts.extend(address.map(|address| Some(host_of(address))));
        }
        _ => names.push(kind.to_owned()),
    }
    let own = names.len();
    let holders = ["function", "custom", kind].map(|key| reader.inner(tool, key));
    for holder in std::iter::once(Ok(Some(tool))).chain(holders) {
        let name = match holder? {
            Some(holder @ Json::Object(_)) => reader.inner(holder, "name")?,
            _ => None,
        };
        let name = name.and_then(Json::as_str).filter(|name| !name.is_empty());
        if let Some(name) = name.filter(|name| !names.iter().any(|other| other == name)) {
            names.push(name.to_owned());
        }
    }
    if names.is_empty() {
        return Err(reader.shape());
    }
    if own == 0 && names.len() > 1 {
        names.iter().for_each(|name| reader.ambiguous_tool(name, path));
        return Ok(());
    }
    if hosts.is_empty() {
        hosts.push(None);
    }
    for name in &names {
        hosts.iter().for_each(|host| reader.remote_tool(name, path, host.clone()));
    }
    Ok(())
}

/// The tools that an item of a conversation defines, or repeats the definition of.
pub(super) fn defined(reader: &mut Reader<'_, '_>, path: &Path, item: &Json<'_>) -> Result<(), Denial> {
    if let Some(server) = reader.inner(item, "server_label")?.and_then(Json::as_str) {
        reader.tool(&format!("mcp:{server}"), path);
        return Ok(());
    }
    if let Some(list @ Json::Array(_)) = reader.inner(item, "tools")? {
        let at = entry(path, item, "tools");
        for (position, tool) in reader.items(list)?.iter().enumerate() {
            offer(reader, &at.child(position), tool)?;
        }
    }
    if let Some(tool @ Json::Object(_)) = reader.inner(item, "tool")? {
        offer(reader, path, tool)?;
    }
    Ok(())
}

/// Servers of the Model Context Protocol, as some servers of this API take them.
pub(super) fn mcp_servers(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    let Some((path, value)) = reader.take("mcp_servers")? else { return Ok(()) };
    for (position, server) in reader.items(value)?.iter().enumerate() {
        let label = if reader.inner(server, "server_label")?.is_some() { "server_label" } else { "name" };
        let name = format!("mcp:{}", reader.inner_text(server, label)?);
        let address = if reader.inner(server, "server_url")?.is_some() { "server_url" } else { "url" };
        let host = reader.inner(server, address)?.and_then(Json::as_str).map(host_of);
        reader.remote_tool(&name, &path.child(position), host);
        reader.credentials(&path.child(position), server);
    }
    reader.free_text(&path, value, Spot::DEVELOPER);
    Ok(())
}

/// The roles of messages.
pub(super) const ROLES: [&str; 6] = ["system", "developer", "user", "assistant", "tool", "function"];

/// The types of parts of a message's content.
const TYPES: [&str; 11] = [
    "text",
    "refusal",
    "input_text",
    "output_text",
    "summary_text",
    "reasoning_text",
    "image_url",
    "input_image",
    "input_audio",
    "file",
    "input_file",
];

fn messages(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    let (path, value) = reader.require("messages")?;
    let messages = reader.items(value)?;
    let mut zones = Vec::with_capacity(messages.len());
    for message in messages {
        zones.push(zone_of(reader.inner_text(message, "role")?).ok_or(reader.shape())?);
    }
    let current = newest_turn(&zones);
    for (index, (message, zone)) in messages.iter().zip(zones).enumerate() {
        read_message(reader, &path.child(index), message, spot_of(zone, index, current))?;
    }
    Ok(())
}

fn read_message<'j>(reader: &mut Reader<'_, 'j>, path: &Path, message: &Json<'j>, spot: Spot) -> Result<(), Denial> {
    defined(reader, path, message)?;
    // Refuses the look-alikes of `content` too, which a lenient upstream would read in its place.
    for (at, (key, value)) in reader.entries(message, &["content"])?.iter().enumerate() {
        let place = path.child(at);
        match (key.as_ref(), value) {
            (_, Json::Null | Json::Bool(_) | Json::Number(_)) => {}
            ("role", _) => {
                reader.parameter(value, Form::Word(&ROLES));
            }
            ("content", Json::Array(_)) => {
                for (index, part) in reader.items(value)?.iter().enumerate() {
                    read_part(reader, &place.child(index), part, spot)?;
                }
            }
            ("content", Json::Object(_)) => return Err(reader.shape()),
            // An assistant message may refer to audio that it produced earlier: an id, no content.
            _ => reader.free_text(&place, value, spot),
        }
        reader.key(&place, key, spot);
    }
    Ok(())
}

/// One part of a message's content.
pub(super) fn read_part<'j>(
    reader: &mut Reader<'_, 'j>,
    path: &Path,
    part: &Json<'j>,
    spot: Spot,
) -> Result<(), Denial> {
    if let Json::String(_) = part {
        // Not in the reference, but servers take it.
        reader.segment(path, false, spot);
        return Ok(());
    }
    let kind = reader.inner(part, "type")?.and_then(Json::as_str).unwrap_or_default();
    let unscanned = match kind {
        "text" | "refusal" | "input_text" | "output_text" | "summary_text" | "reasoning_text" => None,
        "image_url" | "input_image" | "computer_screenshot" => Some(UnscannedKind::Image),
        "input_audio" => Some(UnscannedKind::Audio),
        "file" | "input_file" => {
            let is_here = part.get("file").unwrap_or(part).get("file_data").is_some();
            Some(if is_here { UnscannedKind::File } else { UnscannedKind::Reference })
        }
        // Servers read a part without a type as text.
        "" if part.get("text").is_some() => None,
        _ => {
            reader.unknown(path, part, kind, spot);
            return Ok(());
        }
    };
    if let Some(kind) = unscanned {
        reader.unscanned(kind, path);
    }
    // The bytes are the unscanned part; the strings around them (a link, a file name) are text.
    for (at, (key, value)) in reader.entries(part, &["text"])?.iter().enumerate() {
        let place = path.child(at);
        if key != "type" || !reader.parameter(value, Form::Word(&TYPES)) {
            reader.text_beside(&place, value, spot, unscanned);
        }
        reader.key(&place, key, spot);
    }
    Ok(())
}

/// The zone that a message's role claims.
pub(super) fn zone_of(role: &str) -> Option<Zone> {
    Some(match role {
        "system" => Zone::System,
        "developer" => Zone::Developer,
        "user" => Zone::User,
        "assistant" => Zone::Assistant,
        "tool" | "function" => Zone::Tool,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{OUTPUT_CAPS, Openai};
    use super::*;
    use crate::enums::Operation;
    use crate::protocol::{Exchange, NO_LIMIT, Protocol};
    use crate::reason::Reason;

    fn of_json(json: &Json<'_>) -> Result<Exchange, Denial> {
        Protocol::new(Openai::default()).read_request(Operation::Chat, None, json)
    }

    fn read(body: &str) -> Result<Exchange, Denial> {
        of_json(&Json::parse(body.as_bytes(), 32).unwrap())
    }

    /// Every segment as `zone position pointer text`.
    fn listing(body: &str) -> Vec<String> {
        let json = Json::parse(body.as_bytes(), 32).unwrap();
        let exchange = of_json(&json).unwrap();
        exchange
            .segments
            .iter()
            .map(|segment| {
                let text = if segment.is_key {
                    format!("key {}", json.key_at(&segment.path).unwrap())
                } else {
                    json.at(&segment.path).and_then(Json::as_str).unwrap().to_owned()
                };
                let pointer = json.pointer(&segment.path, &|key| Protocol::new(Openai::default()).knows_key(key));
                format!("{:?} {:?} {pointer} {text}", segment.zone, segment.position)
            })
            .collect()
    }

    #[test]
    fn every_text_of_a_conversation_is_a_segment() {
        let body = r#"{"model":"m","messages":[
            {"role":"system","content":"sys"},
            {"role":"user","content":[{"type":"text","text":"one"},{"type":"text","text":"two"}],"name":"bob"},
            {"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"q\":1}"}}]},
            {"role":"tool","tool_call_id":"c1","content":"result"},
            {"role":"user","content":"now"}],
            "user":"u-1","x_new":{"note":"hidden"}}"#;
        assert_eq!(
            listing(body),
            [
                "System Current /messages/0/content sys",
                "User History /messages/1/content/0/text one",
                "User History /messages/1/content/1/text two",
                "User History /messages/1/name bob",
                "Assistant History /messages/2/tool_calls/0/id c1",
                "Assistant History /messages/2/tool_calls/0/type function",
                "Assistant History /messages/2/tool_calls/0/function/name f",
                "Assistant History /messages/2/tool_calls/0/function/arguments {\"q\":1}",
                "Tool History /messages/3/tool_call_id c1",
                "Tool History /messages/3/content result",
                "User Current /messages/4/content now",
                "User Current /user u-1",
                "User Current /* key x_new",
                "User Current /*/* key note",
                "User Current /*/* hidden",
            ]
        );
    }

    #[test]
    fn images_are_recorded_and_their_links_are_text() {
        let body = r#"{"model":"m","messages":[{"role":"user","content":[
            {"type":"image_url","image_url":{"url":"https://a.example/x.png"}},
            {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},
            {"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}},
            {"type":"hologram","hologram":{"text":"hi"}}]}]}"#;
        let exchange = read(body).unwrap();
        let kinds: Vec<_> = exchange.unscanned.iter().map(|(kind, _)| kind.name()).collect();
        assert_eq!(kinds, ["image", "image", "audio"]);
        assert_eq!(exchange.unknown, ["hologram"]);
        let texts = listing(body);
        assert!(texts.iter().any(|line| line.ends_with("https://a.example/x.png")));
        assert!(texts.iter().any(|line| line.ends_with(" hi")));
        // Bytes so short are scanned.
        assert!(texts.iter().any(|line| line.contains("AAAA")));
    }

    #[test]
    fn tools_are_named_in_every_form() {
        let body = r#"{"model":"m","messages":[],"tools":[
            {"type":"function","function":{"name":"f","description":"d"}},
            {"type":"custom","custom":{"name":"c"}},{"type":"web_search"}],
            "functions":[{"name":"old"}],"tool_choice":{"type":"function","function":{"name":"g"}},
            "function_call":{"name":"h"},"web_search_options":{}}"#;
        assert_eq!(
            read(body).unwrap().tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(),
            ["f", "c", "web_search", "old", "g", "h", "web_search"]
        );
    }

    #[test]
    fn two_names_of_one_tool_are_refused_and_nested_tools_are_named() {
        for tool in [
            r#"{"type":"function","name":"a","function":{"name":"b"}}"#,
            r#"{"type":"function","function":{"name":"a"},"custom":{"name":"b"}}"#,
        ] {
            let exchange = read(&format!(r#"{{"model":"m","messages":[],"tools":[{tool}]}}"#)).unwrap();
            assert!(exchange.tools.len() == 2 && exchange.tools.iter().all(|tool| tool.is_ambiguous), "{tool}");
        }
        let body = r#"{"model":"m","messages":[],"tool_choice":{"type":"auto"},"tools":[{"name":"flat","parameters":{}},
            {"type":"namespace","name":"crm","tools":[{"type":"function","name":"inner"}]},
            {"type":"bash_20250124","name":"bash"},{"type":"web_search","web_search":{"name":"x"}},
            {"type":"mcp","server_label":"l","server_url":"https://User@Tools.Example.com:8443/x"}]}"#;
        let exchange = read(body).unwrap();
        let names: Vec<&str> = exchange.tools.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!(names, ["flat", "inner", "bash_20250124", "bash", "web_search", "x", "mcp:l"]);
        assert_eq!(exchange.tools[6].host.as_deref(), Some("tools.example.com"));
    }

    #[test]
    fn caps_are_read_under_every_alias_and_the_lowest_counts() {
        for key in OUTPUT_CAPS {
            let body = format!(r#"{{"model":"m","messages":[],"{key}":7}}"#);
            assert_eq!(read(&body).unwrap().output_cap.unwrap().tokens, 7);
        }
        let both = r#"{"model":"m","messages":[],"max_tokens":7,"max_completion_tokens":9,"n_predict":-1}"#;
        let cap = read(both).unwrap().output_cap.unwrap();
        assert_eq!((cap.tokens, cap.places.len(), cap.agree), (7, 3, false));
        for none in ["-1", "0", "-2.0"] {
            let body = format!(r#"{{"model":"m","messages":[],"max_tokens":{none}}}"#);
            assert_eq!(read(&body).unwrap().output_cap.unwrap().tokens, NO_LIMIT);
        }
        let whole = r#"{"model":"m","messages":[],"max_tokens":2048.0}"#;
        assert_eq!(read(whole).unwrap().output_cap.unwrap().tokens, 2048);
    }

    #[test]
    fn bad_shapes_name_the_parameter() {
        for (body, param) in [
            (r#"{"messages":[]}"#, "model"),
            (r#"{"model":7,"messages":[]}"#, "model"),
            (r#"{"model":"m"}"#, "messages"),
            (r#"{"model":"m","messages":"x"}"#, "messages"),
            (r#"{"model":"m","messages":[{"content":"x"}]}"#, "messages"),
            (r#"{"model":"m","messages":[{"role":"root","content":"x"}]}"#, "messages"),
            (r#"{"model":"m","messages":[{"role":"user","Content":"x"}]}"#, "messages"),
            (r#"{"model":"m","messages":[{"role":"user","content":{"a":1}}]}"#, "messages"),
            (r#"{"model":"m","messages":[],"stream":"yes"}"#, "stream"),
            (r#"{"model":"m","messages":[],"max_tokens":"7"}"#, "max_tokens"),
            (r#"{"model":"m","messages":[],"max_tokens":1.5}"#, "max_tokens"),
            (r#"{"model":"m","messages":[],"n":"2"}"#, "n"),
            (r#"{"model":"m","messages":[],"tools":[{"type":"function","function":{}}]}"#, "tools"),
        ] {
            let denial = read(body).unwrap_err();
            assert_eq!((denial.reason, denial.param), (Reason::BodyShape, Some(param)), "{body}");
        }
    }
}
