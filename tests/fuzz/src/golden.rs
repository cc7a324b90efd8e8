//! The golden exchanges of `tests/data/protocol`: what the targets change.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::proxy::{Proxy, unscanned};

/// One file.
#[derive(Debug)]
pub struct Golden {
    /// Folder and file.
    pub name: String,
    /// The path that the exchange is sent to.
    pub path: &'static str,
    /// The file.
    pub text: String,
}

/// Where each kind of exchange is sent; `None`: a target has no route for it.
fn path_of(folder: &str) -> Option<&'static str> {
    Some(match folder {
        "openai-chat" => "/v1/chat/completions",
        "openai-completions" => "/v1/completions",
        "openai-responses" => "/v1/responses",
        "openai-embeddings" => "/v1/embeddings",
        "openai-moderations" => "/v1/moderations",
        "openai-images" => "/v1/images/generations",
        "openai-conversations" => "/v1/conversations",
        "anthropic-chat" => "/anthropic/v1/messages",
        "anthropic-countTokens" => "/anthropic/v1/messages/count_tokens",
        "ollama-chat" => "/ollama/api/chat",
        "ollama-generate" => "/ollama/api/generate",
        "tgi-generate" => "/tgi/generate",
        "mcp-mcp" => "/mcp",
        _ => return None,
    })
}

/// The files that end so, in order.
pub fn golden(kind: &str) -> Vec<Golden> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../data/protocol");
    let mut found = Vec::new();
    for folder in std::fs::read_dir(root).expect("the golden exchanges").flatten() {
        let name = folder.file_name().into_string().expect("a name");
        let Some(path) = path_of(&name) else { continue };
        for file in std::fs::read_dir(folder.path()).expect("a folder").flatten() {
            let label = file.file_name().into_string().expect("a name");
            if label.ends_with(kind) {
                let text = std::fs::read_to_string(file.path()).expect("a file");
                found.push(Golden { name: format!("{name}/{label}"), path, text });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!found.is_empty());
    found
}

/// A request that a golden reply answers.
pub fn request_for(path: &str, streamed: bool) -> Value {
    let ask = json!([{ "role": "user", "content": "hello" }]);
    match path {
        "/v1/completions" => json!({ "model": "m", "prompt": "hello", "stream": streamed }),
        "/v1/responses" => json!({ "model": "m", "input": "hello", "stream": streamed }),
        "/v1/embeddings" => json!({ "model": "m", "input": "hello" }),
        "/anthropic/v1/messages" => json!({ "model": "m", "max_tokens": 9, "messages": ask, "stream": streamed }),
        "/ollama/api/generate" => json!({ "model": "m", "prompt": "hello", "stream": streamed }),
        "/tgi/generate" => json!({ "inputs": "hello", "stream": streamed }),
        "/mcp" => json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list" }),
        _ => json!({ "model": "m", "messages": ask, "stream": streamed }),
    }
}

/// A body without what the filter doesn't scan: images, files and the like hide whether a place beside them is read.
pub fn scanned_throughout(proxy: &Proxy, path: &str, mut body: Value) -> Option<Value> {
    let bad = |body: &Value| {
        let run = proxy.ask(path, body.to_string().as_bytes());
        if run.refused.is_some() { usize::MAX } else { unscanned(&run.record).len() }
    };
    let mut worst = bad(&body);
    'again: while worst > 0 {
        for place in crate::shape::places(&body).into_iter().skip(1) {
            let mut less = body.clone();
            crate::shape::remove(&mut less, &place);
            let count = bad(&less);
            if count < worst {
                (body, worst) = (less, count);
                continue 'again;
            }
        }
        return None;
    }
    Some(body)
}
