//! OpenAI's HTTP API: chat completions.
//!
//! Shape: the public API reference, "Create chat completion". Every string of the body ends in
//! exactly one of three places: a segment (text that a model may read), a parameter that is checked
//! elsewhere (`model`), or the unscanned list. Fields that this version does not know are segments
//! too, so that a new field of the API is scanned before it is understood.

pub(super) mod reply;

use serde_json::json;

use super::{Exchange, Json, OutputCap, Path, Position, Segment, UnscannedKind, keys, message};
use crate::config::document::Zone;
use crate::reason::{Denial, Reason};

/// Every spelling of the cap on output tokens that an OpenAI-compatible server takes.
const OUTPUT_CAPS: [&str; 3] = ["max_tokens", "max_completion_tokens", "max_output_tokens"];

/// More messages, parts or tools than this is no chat.
const MAX_ITEMS: usize = 10_000;

pub(super) fn read_chat(body: &Json<'_>) -> Result<Exchange, Denial> {
    let mut reader = Reader { body, out: Exchange { choices: 1, ..Exchange::default() }, consumed: Vec::new() };
    reader.parameters()?;
    reader.tools()?;
    reader.messages()?;
    reader.everything_else();
    Ok(reader.out)
}

struct Reader<'b, 'j> {
    body: &'b Json<'j>,
    out: Exchange,
    /// Fields of the body that were taken apart already, by position.
    consumed: Vec<usize>,
}

impl<'b, 'j> Reader<'b, 'j> {
    /// A field of the body that will be read here and nowhere else.
    fn take(&mut self, name: &'static str) -> Result<Option<(Path, &'b Json<'j>)>, Denial> {
        let found = self.body.field(name).map_err(|reason| Denial::new(reason).with_param(name))?;
        Ok(found.map(|(position, value)| {
            self.consumed.push(position);
            (Path::default().child(position), value)
        }))
    }

    fn parameters(&mut self) -> Result<(), Denial> {
        let (_, model) = self.take("model")?.ok_or(shape("model"))?;
        self.out.model = model.as_str().filter(|model| !model.is_empty()).ok_or(shape("model"))?.to_owned();
        if let Some((_, stream)) = self.take("stream")? {
            let Json::Bool(stream) = stream else { return Err(shape("stream")) };
            self.out.stream = *stream;
        }
        if let Some((_, choices)) = self.take("n")? {
            self.out.choices = choices.as_u64().ok_or(shape("n"))?;
        }
        for name in OUTPUT_CAPS {
            let Some((path, value)) = self.take(name)? else { continue };
            let tokens = value.as_u64().ok_or(shape(name))?;
            if self.out.output_cap.is_some() {
                return Err(Denial::new(Reason::RbacParameter).with_param(name));
            }
            self.out.output_cap = Some(OutputCap { path, tokens });
        }
        self.out.output_cap_key = Some("max_completion_tokens");
        Ok(())
    }

    /// `tools`, the older `functions`, `tool_choice` and `web_search_options`: names for the role's
    /// list, and every string of a definition as text, because the model reads all of it.
    fn tools(&mut self) -> Result<(), Denial> {
        for (list, inner) in [("tools", true), ("functions", false)] {
            let Some((path, value)) = self.take(list)? else { continue };
            for (position, definition) in items(value, list)?.iter().enumerate() {
                let name = if inner { tool_name(definition)? } else { required_name(definition, "functions")? };
                self.out.tools.push(name.to_owned());
                self.free_text(&path.child(position), definition, Zone::Developer, Position::Current);
            }
        }
        for choice in ["tool_choice", "function_call"] {
            let Some((path, value)) = self.take(choice)? else { continue };
            match value {
                Json::String(_) => {}
                Json::Object(_) if choice == "function_call" => {
                    self.out.tools.push(required_name(value, choice)?.to_owned());
                }
                Json::Object(_) => self.chosen_tools(value)?,
                _ => return Err(shape(choice)),
            }
            self.free_text(&path, value, Zone::Developer, Position::Current);
        }
        if let Some((path, value)) = self.take("web_search_options")? {
            self.out.tools.push("web_search".to_owned());
            self.free_text(&path, value, Zone::Developer, Position::Current);
        }
        Ok(())
    }

    /// `tool_choice` as an object names one tool, or holds a list of allowed ones.
    fn chosen_tools(&mut self, value: &Json<'_>) -> Result<(), Denial> {
        let allowed = match value.field("allowed_tools").map_err(|_| shape("tool_choice"))? {
            Some((_, allowed)) => allowed.field("tools").map_err(|_| shape("tool_choice"))?,
            None => value.field("tools").map_err(|_| shape("tool_choice"))?,
        };
        match allowed {
            Some((_, list)) => {
                for tool in items(list, "tool_choice")? {
                    self.out.tools.push(tool_name(tool)?.to_owned());
                }
            }
            None => self.out.tools.push(tool_name(value)?.to_owned()),
        }
        Ok(())
    }

    fn messages(&mut self) -> Result<(), Denial> {
        let (path, value) = self.take("messages")?.ok_or(shape("messages"))?;
        let messages = items(value, "messages")?;
        let mut roles = Vec::with_capacity(messages.len());
        for message in messages {
            let (_, role) = message.field("role").map_err(|_| shape("messages"))?.ok_or(shape("messages"))?;
            roles.push(zone_of(role.as_str()).ok_or(shape("messages"))?);
        }
        let current = newest_turn(&roles);
        for (index, (message, zone)) in messages.iter().zip(roles).enumerate() {
            let position = match zone {
                Zone::System | Zone::Developer => Position::Current,
                Zone::User if index >= current => Position::Current,
                _ => Position::History,
            };
            self.message(&path.child(index), message, zone, position)?;
        }
        Ok(())
    }

    fn message(&mut self, path: &Path, message: &Json<'j>, zone: Zone, position: Position) -> Result<(), Denial> {
        let Json::Object(entries) = message else { return Err(shape("messages")) };
        // Refuses the look-alikes of `content` too, which a lenient upstream would read in its place.
        message.field("content").map_err(|_| shape("messages"))?;
        for (at, (key, value)) in entries.iter().enumerate() {
            let place = path.child(at);
            match (key.as_ref(), value) {
                (_, Json::Null | Json::Bool(_) | Json::Number(_)) | ("role", _) => {}
                ("content", Json::Array(parts)) => {
                    if parts.len() > MAX_ITEMS {
                        return Err(shape("messages"));
                    }
                    for (index, part) in parts.iter().enumerate() {
                        self.part(&place.child(index), part, zone, position)?;
                    }
                }
                ("content", Json::Object(_)) => return Err(shape("messages")),
                // An assistant message may refer to audio that it produced earlier: an id, no content.
                _ => self.free_text(&place, value, zone, position),
            }
            if !keys::knows(key) {
                self.segment(&place, true, zone, position);
            }
        }
        Ok(())
    }

    /// One part of a message's content.
    fn part(&mut self, path: &Path, part: &Json<'j>, zone: Zone, position: Position) -> Result<(), Denial> {
        if let Json::String(_) = part {
            // Not in the reference, but servers take it.
            self.segment(path, false, zone, position);
            return Ok(());
        }
        let kind = part.field("type").map_err(|_| shape("messages"))?.and_then(|(_, kind)| kind.as_str());
        let (kind, payload) = match kind {
            Some("text") => (None, None),
            Some("refusal") => (None, None),
            Some("image_url") => (Some(UnscannedKind::Image), Some("image_url")),
            Some("input_audio") => (Some(UnscannedKind::Audio), Some("input_audio")),
            Some("file") => (Some(UnscannedKind::File), Some("file")),
            _ => (Some(UnscannedKind::Other), None),
        };
        let Json::Object(entries) = part else { return Err(shape("messages")) };
        if let Some(kind) = kind {
            self.out.unscanned.push((kind, path.clone()));
        }
        for (at, (key, value)) in entries.iter().enumerate() {
            let place = path.child(at);
            if payload == Some(key.as_ref()) {
                self.payload(&place, value, zone, position);
            } else if key != "type" {
                self.free_text(&place, value, zone, position);
            }
            if !keys::knows(key) {
                self.segment(&place, true, zone, position);
            }
        }
        Ok(())
    }

    /// The payload of an image, audio or file part: its bytes are the unscanned part, the strings
    /// around them (a link, a file name) are text.
    fn payload(&mut self, path: &Path, value: &Json<'j>, zone: Zone, position: Position) {
        let mut texts = Vec::new();
        value.visit_strings(path, &mut |place, is_key, text| {
            let key = value.key_at_below(path, place);
            let bytes = matches!(key, Some("data" | "file_data")) || text.starts_with("data:");
            if !is_key && !bytes {
                texts.push(place.clone());
            }
        });
        for place in texts {
            self.segment(&place, false, zone, position);
        }
    }

    /// Every field that was not read by name: text of the caller's, as strict as the caller's words.
    fn everything_else(&mut self) {
        let Json::Object(entries) = self.body else { return };
        for (position, (key, value)) in entries.iter().enumerate() {
            if self.consumed.contains(&position) {
                continue;
            }
            let path = Path::default().child(position);
            if !keys::knows(key) {
                self.segment(&path, true, Zone::User, Position::Current);
            }
            self.free_text(&path, value, Zone::User, Position::Current);
        }
    }

    /// All strings at or below `path`, keys that are not the protocol's among them.
    fn free_text(&mut self, path: &Path, value: &Json<'j>, zone: Zone, position: Position) {
        let mut found = Vec::new();
        value.visit_strings(path, &mut |place, is_key, text| {
            let known = is_key && keys::knows(text);
            if !text.is_empty() && !known {
                found.push((place.clone(), is_key));
            }
        });
        for (place, is_key) in found {
            self.segment(&place, is_key, zone, position);
        }
    }

    fn segment(&mut self, path: &Path, is_key: bool, zone: Zone, position: Position) {
        self.out.segments.push(Segment { zone, position, path: path.clone(), is_key });
    }
}

impl Json<'_> {
    /// The key of the entry at `place`, which lies below this value, itself at `base`.
    fn key_at_below(&self, base: &Path, place: &Path) -> Option<&str> {
        place.below(base).and_then(|rest| self.key_at(&rest))
    }
}

fn shape(param: &'static str) -> Denial {
    Denial::new(Reason::BodyShape).with_param(param)
}

fn items<'v, 'j>(value: &'v Json<'j>, param: &'static str) -> Result<&'v [Json<'j>], Denial> {
    match value {
        Json::Array(items) if items.len() <= MAX_ITEMS => Ok(items),
        _ => Err(shape(param)),
    }
}

/// The zone that a message's role claims.
fn zone_of(role: Option<&str>) -> Option<Zone> {
    Some(match role? {
        "system" => Zone::System,
        "developer" => Zone::Developer,
        "user" => Zone::User,
        "assistant" => Zone::Assistant,
        "tool" | "function" => Zone::Tool,
        _ => return None,
    })
}

/// The index of the first message of the caller's newest turn: what follows the last reply of the
/// model, not counting a reply that stands at the very end (a prefill).
fn newest_turn(roles: &[Zone]) -> usize {
    let end = roles.iter().rposition(|zone| *zone != Zone::Assistant).map_or(0, |last| last + 1);
    let turns = roles.get(..end).unwrap_or(roles);
    turns.iter().rposition(|zone| *zone == Zone::Assistant).map_or(0, |reply| reply + 1)
}

/// The name of a tool: a function's or custom tool's own, a server-side tool's type.
fn tool_name<'v>(tool: &'v Json<'_>) -> Result<&'v str, Denial> {
    let (_, kind) = tool.field("type").map_err(|_| shape("tools"))?.ok_or(shape("tools"))?;
    let kind = kind.as_str().ok_or(shape("tools"))?;
    match tool.field(kind).map_err(|_| shape("tools"))? {
        Some((_, inner)) => required_name(inner, "tools"),
        // A server-side tool has no name of its own; an allowed-tools list names functions flatly.
        None if kind == "function" || kind == "custom" => required_name(tool, "tools"),
        None => Ok(kind),
    }
}

fn required_name<'v>(value: &'v Json<'_>, param: &'static str) -> Result<&'v str, Denial> {
    let (_, name) = value.field("name").map_err(|_| shape(param))?.ok_or(shape(param))?;
    name.as_str().filter(|name| !name.is_empty()).ok_or(shape(param))
}

/// `{"error":{"message","type","param","code"}}` with the codes that OpenAI's own callers branch on.
pub(super) fn error_body(denial: &Denial) -> Vec<u8> {
    let (kind, code) = match denial.reason {
        Reason::JwtAmbiguous => ("invalid_request_error", "invalid_request"),
        reason if reason.status() == 401 => ("invalid_request_error", "invalid_api_key"),
        Reason::RbacModel => ("invalid_request_error", "model_not_found"),
        Reason::RbacOperation | Reason::RbacTool | Reason::RbacParameter => {
            ("invalid_request_error", "insufficient_permissions")
        }
        Reason::QuotaRequests => ("requests", "rate_limit_exceeded"),
        Reason::RouteUnmatched => ("invalid_request_error", "unknown_url"),
        Reason::ScanInjection | Reason::ScanSecret | Reason::ScanPii | Reason::BodyUnscanned => {
            ("invalid_request_error", "content_filter")
        }
        Reason::Internal | Reason::Overloaded => ("server_error", "service_unavailable"),
        _ => ("invalid_request_error", "invalid_request"),
    };
    json!({ "error": { "message": message(denial.reason), "type": kind, "param": denial.param, "code": code } })
        .to_string()
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Exchange, Denial> {
        read_chat(&Json::parse(body.as_bytes(), 32).unwrap())
    }

    /// Every segment as `zone position pointer text`.
    fn listing(body: &str) -> Vec<String> {
        let json = Json::parse(body.as_bytes(), 32).unwrap();
        let exchange = read_chat(&json).unwrap();
        exchange
            .segments
            .iter()
            .map(|segment| {
                let text = if segment.is_key {
                    format!("key {}", json.key_at(&segment.path).unwrap())
                } else {
                    json.at(&segment.path).and_then(Json::as_str).unwrap().to_owned()
                };
                let pointer = json.pointer(&segment.path, &keys::knows);
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
    fn the_newest_turn_survives_a_prefill() {
        use Zone::{Assistant, System, Tool, User};
        assert_eq!(newest_turn(&[System, User]), 0);
        assert_eq!(newest_turn(&[User, Assistant, User, User]), 2);
        assert_eq!(newest_turn(&[User, Assistant, User, Assistant]), 2);
        assert_eq!(newest_turn(&[User, Assistant, Tool]), 2);
        assert_eq!(newest_turn(&[Assistant]), 0);
        assert_eq!(newest_turn(&[]), 0);
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
        assert_eq!(kinds, ["image", "image", "audio", "other"]);
        let texts = listing(body);
        assert!(texts.iter().any(|line| line.ends_with("https://a.example/x.png")));
        assert!(texts.iter().any(|line| line.ends_with(" hi")));
        assert!(!texts.iter().any(|line| line.contains("AAAA")));
    }

    #[test]
    fn tools_are_named_in_every_form() {
        let body = r#"{"model":"m","messages":[],"tools":[
            {"type":"function","function":{"name":"f","description":"d"}},
            {"type":"custom","custom":{"name":"c"}},{"type":"web_search"}],
            "functions":[{"name":"old"}],"tool_choice":{"type":"function","function":{"name":"g"}},
            "function_call":{"name":"h"},"web_search_options":{}}"#;
        assert_eq!(read(body).unwrap().tools, ["f", "c", "web_search", "old", "g", "h", "web_search"]);
    }

    #[test]
    fn caps_are_read_under_every_alias_and_never_twice() {
        for key in OUTPUT_CAPS {
            let body = format!(r#"{{"model":"m","messages":[],"{key}":7}}"#);
            assert_eq!(read(&body).unwrap().output_cap.unwrap().tokens, 7);
        }
        let both = r#"{"model":"m","messages":[],"max_tokens":7,"max_completion_tokens":9}"#;
        assert_eq!(read(both).unwrap_err().reason, Reason::RbacParameter);
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
            (r#"{"model":"m","messages":[],"max_tokens":-1}"#, "max_tokens"),
            (r#"{"model":"m","messages":[],"max_tokens":1.5}"#, "max_tokens"),
            (r#"{"model":"m","messages":[],"n":"2"}"#, "n"),
            (r#"{"model":"m","messages":[],"tools":[{"type":"function","function":{}}]}"#, "tools"),
        ] {
            let denial = read(body).unwrap_err();
            assert_eq!((denial.reason, denial.param), (Reason::BodyShape, Some(param)), "{body}");
        }
    }
}
