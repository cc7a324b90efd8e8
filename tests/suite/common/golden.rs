//! The golden exchanges of `tests/data/protocol`.
//!
//! A folder is a format and an operation: `anthropic-chat`. `bedrock+invoke-chat` has the bodies of a path of the format that
//! has others. A stream of messages in bytes is a file of lines, one for each event.

use std::path::PathBuf;

use bartizan::enums::Operation;
use bartizan::protocol::Protocol;
use bartizan::protocol::frames::{Frame, Frames, Framing};
use bartizan::protocol::registry::FORMATS;
use serde_json::{Value, json};

/// One file.
pub struct Golden {
    pub folder: String,
    pub file: String,
    pub protocol: Protocol,
    pub operation: Operation,
    /// What is in the path, where the format has several of the operation.
    pub road: Option<String>,
    pub bytes: Vec<u8>,
}

impl Golden {
    /// Folder and file.
    pub fn name(&self) -> String {
        format!("{}/{}", self.folder, self.file)
    }

    /// The path of its operation, on the routes of [`routes`].
    pub fn path(&self) -> String {
        let path = format!("/{}/{}", self.protocol.name(), self.known().expect("a path"));
        path.replace(['{', '}'], "")
    }

    fn known(&self) -> Option<&'static str> {
        known(&self.protocol, self.operation, self.road.as_deref())
    }

    /// The model that its path names, where it names one.
    pub fn model(&self) -> Option<&'static str> {
        self.known()?.contains("{model}").then_some("model")
    }

    /// A small request of this operation, for a reply: `ask.json` of its folder.
    pub fn ask(&self, is_streamed: bool) -> Vec<u8> {
        let path = root().join(&self.folder).join("ask.json");
        let mut ask: Value = serde_json::from_slice(&std::fs::read(&path).expect("ask.json beside replies")).unwrap();
        if let Some(stream) = ask.get_mut("stream") {
            *stream = is_streamed.into();
        }
        ask.to_string().into_bytes()
    }
}

/// A route for every format: its word is the prefix.
pub fn routes() -> Value {
    let route = |word: &str| {
        let mut route = json!({ "match": { "pathPrefix": format!("/{word}/") }, "protocol": word });
        if !protocol(word).tenancies().is_empty() {
            route["tenancy"] = "none".into();
        }
        route
    };
    FORMATS.iter().map(|format| route(format.word)).collect()
}

/// Every operation.
pub fn operations() -> Value {
    Operation::ALL.iter().map(|operation| operation.as_str()).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/protocol")
}

/// The format of this word.
pub fn protocol(word: &str) -> Protocol {
    Protocol::named(word).unwrap_or_else(|| panic!("no protocol {word}"))
}

fn known(protocol: &Protocol, operation: Operation, road: Option<&str>) -> Option<&'static str> {
    let paths = protocol.paths().iter().filter(|(_, of)| *of == operation);
    paths.map(|(path, _)| *path).find(|path| road.is_none_or(|road| path.ends_with(road)))
}

/// What the messages of a stream say, one a line; `None`: it is no stream of messages.
pub fn said(bytes: &[u8]) -> Option<Vec<String>> {
    let (mut frames, mut out) = (Frames::new(Framing::Messages, 1 << 20), Vec::new());
    frames.push(bytes, &mut out).ok()?;
    out.iter().map(|frame| String::from_utf8(frame.data()?.into_owned()).ok()).collect()
}

/// The bytes of a stream: of messages, those of its lines.
fn stream(protocol: &Protocol, operation: Operation, text: Vec<u8>, is_models: bool) -> Vec<u8> {
    if protocol.stream(operation).framing() != Framing::Messages {
        return text;
    }
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.flat_map(|line| message(&serde_json::from_slice(line).unwrap(), is_models)).collect()
}

/// An event of a stream of messages: an object whose one key is its type, or an event of a model's own.
pub fn message(event: &Value, is_models: bool) -> Vec<u8> {
    if is_models {
        return Frame::of_data(Framing::Messages, None, event.to_string().as_bytes());
    }
    let (name, payload) = event.as_object().unwrap().iter().next().unwrap();
    Frame::of_data(Framing::Messages, Some(name), payload.to_string().as_bytes())
}

/// The files that end so, in order.
pub fn golden(kind: &str) -> Vec<Golden> {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(root()).unwrap() {
        let folder = folder.unwrap();
        let name = folder.file_name().into_string().unwrap();
        let Some((word, operation)) = name.split_once('-') else { continue };
        let operation = Operation::ALL.iter().copied().find(|known| known.as_str() == operation);
        let operation = operation.unwrap_or_else(|| panic!("{name}: no such operation"));
        let (word, road) = word.split_once('+').map_or((word, None), |(word, road)| (word, Some(road.to_owned())));
        let mut protocol = protocol(word);
        if let Some(path) = known(&protocol, operation, road.as_deref()) {
            protocol = protocol.of_path(path).unwrap_or(protocol);
        }
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap();
            let label = file.file_name().into_string().unwrap();
            if label.ends_with(kind) {
                let mut bytes = std::fs::read(file.path()).unwrap();
                if kind.ends_with("stream") {
                    bytes = stream(&protocol, operation, bytes, road.is_some());
                }
                let (protocol, road) = (protocol.clone(), road.clone());
                found.push(Golden { folder: name.clone(), file: label, protocol, operation, road, bytes });
            }
        }
    }
    found.sort_by(|a, b| (&a.folder, &a.file).cmp(&(&b.folder, &b.file)));
    assert!(!found.is_empty());
    found
}
