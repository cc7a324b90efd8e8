//! The golden exchanges of `tests/data/protocol`.

use std::path::PathBuf;

use bartizan::config::document::Operation;
use bartizan::protocol::Protocol;

/// One file.
pub struct Golden {
    pub folder: String,
    pub file: String,
    pub protocol: Protocol,
    pub operation: Operation,
    pub bytes: Vec<u8>,
}

/// The format of this word.
pub fn protocol(word: &str) -> Protocol {
    Protocol::named(word).unwrap_or_else(|| panic!("no protocol {word}"))
}

/// The files that end so, in order.
pub fn golden(kind: &str) -> Vec<Golden> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/protocol");
    let mut found = Vec::new();
    for folder in std::fs::read_dir(root).unwrap() {
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
