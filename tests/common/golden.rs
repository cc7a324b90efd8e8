//! The golden exchanges of `tests/data/protocol`.

use std::path::PathBuf;

use bartizan::enums::Operation;
use bartizan::protocol::Protocol;
use bartizan::protocol::registry::FORMATS;
use serde_json::{Value, json};

/// One file.
pub struct Golden {
    pub folder: String,
    pub file: String,
    pub protocol: Protocol,
    pub operation: Operation,
    pub bytes: Vec<u8>,
}

impl Golden {
    /// Folder and file.
    pub fn name(&self) -> String {
        format!("{}/{}", self.folder, self.file)
    }

    /// The path of its operation, on the routes of [`routes`].
    pub fn path(&self) -> String {
        let paths = self.protocol.paths();
        let (path, _) = paths.iter().find(|(_, operation)| *operation == self.operation).expect("a path");
        format!("/{}/{path}", self.protocol.name())
    }

    /// The model that its path names, where it names one.
    pub fn model(&self) -> Option<&'static str> {
        let paths = self.protocol.paths();
        let (path, _) = paths.iter().find(|(_, operation)| *operation == self.operation)?;
        path.contains("{model}").then_some("path-model")
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
    let route = |word: &str| json!({ "match": { "pathPrefix": format!("/{word}/") }, "protocol": word });
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

/// The files that end so, in order.
pub fn golden(kind: &str) -> Vec<Golden> {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(root()).unwrap() {
        let folder = folder.unwrap();
        let name = folder.file_name().into_string().unwrap();
        let Some((word, operation)) = name.split_once('-') else { continue };
        let operation = Operation::ALL.iter().copied().find(|known| known.as_str() == operation);
        let operation = operation.unwrap_or_else(|| panic!("{name}: no such operation"));
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap();
            let label = file.file_name().into_string().unwrap();
            if label.ends_with(kind) {
                let bytes = std::fs::read(file.path()).unwrap();
                found.push(Golden { folder: name.clone(), file: label, protocol: protocol(word), operation, bytes });
            }
        }
    }
    found.sort_by(|a, b| (&a.folder, &a.file).cmp(&(&b.folder, &b.file)));
    assert!(!found.is_empty());
    found
}
