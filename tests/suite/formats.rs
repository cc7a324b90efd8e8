//! The wall around each wire format: its name is in its own folder and in the registry, and nowhere else in the code,
//! so that a new format is a folder and a line.

use std::path::{Path, PathBuf};

use bartizan::protocol::registry::{DESCRIBED, FORMATS};

/// Where a format's name may be all the same: file or folder, name, why. What is here and not found fails too.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("protocol/mod.rs", "*", "declares the folders"),
    ("protocol/openai/", "mcp", "words of OpenAI's API: tools of remote servers"),
    ("protocol/anthropic/", "mcp", "words of Anthropic's API: tools of remote servers"),
    ("protocol/anthropic/mod.rs", "bedrock", "a build without it leaves out what it alone takes"),
    ("protocol/openai/mod.rs", "bedrock", "a build without it leaves out what it alone takes"),
    ("protocol/bedrock/", "anthropic", "bodies of models that it serves in their maker's format"),
    ("protocol/bedrock/", "openai", "bodies of models that it serves in that format"),
    ("protocol/bedrock/", "cohere", "the maker of a model, in the model's id"),
    ("protocol/told.rs", "bedrock", "a variable of AWS's clients"),
    ("protocol/parameters.rs", "bedrock", "a parameter of a router's"),
    ("protocol/gemini/", "anthropic", "what Vertex AI serves in its maker's format"),
    ("protocol/gemini/", "openai", "what Vertex AI serves in that format"),
    ("protocol/gemini/", "mcp", "words of Google's API: tools of remote servers"),
    ("protocol/openai/", "gemini", "the dialect of Google's endpoint has the same word"),
    ("protocol/dialect.rs", "gemini", "the dialect of Google's endpoint has the same word"),
    ("protocol/parameters.rs", "gemini", "the dialect of Google's endpoint has the same word"),
    ("protocol/dialect.rs", "openai", "the dialect of OpenAI's own servers has the same word"),
    ("protocol/weaviate/", "graphql", "a part of its API is GraphQL, with the same syntax"),
    ("protocol/weaviate/", "mcp", "a path of its server that is refused"),
    ("protocol/tools.rs", "mcp", "`mcp_servers` is a parameter that several formats have"),
    ("route.rs", "mcp", "an address in a message, as an example"),
    ("document/sections/traffic.rs", "mcp", "`routes[].mcp` is a public key of the policy"),
    ("document/sections/traffic.rs", "graphql", "`routes[].graphql` is a public key of the policy"),
    ("reason.rs", "graphql", "public words of refusals"),
    ("enums.rs", "mcp", "a public word of roles: an operation"),
    ("reason.rs", "mcp", "public words of refusals"),
    ("transaction/reply/calls.rs", "mcp", "`mcp.drift` is a public word of records"),
    ("cli/replay.rs", "mcp", "tells refusals by their public words"),
    ("cli/eval/mod.rs", "openai", "the shipped policy, which judges texts when no other is given"),
    ("cli/eval/stage.rs", "openai", "writes the requests that hold the texts to judge"),
    ("cli/eval/stage.rs", "anthropic", "writes the requests that hold the texts to judge"),
    ("redact/validate/mod.rs", "generic", "an English word: a secret of no known kind"),
    ("redact/validate/secret.rs", "generic", "an English word: a secret of no known kind"),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn is_at(file: &str, place: &str) -> bool {
    file == place || (place.ends_with('/') && file.starts_with(place))
}

/// The code of a file: no comments, no unit tests, which are at its end. A variant of the closed list of reasons has the
/// name of its public word.
fn code(text: &str) -> Vec<(usize, String)> {
    let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    let plain = |line: &str| {
        line.split(" // ")
            .next()
            .unwrap_or_default()
            .replace("Reason::Mcp", "Reason::")
            .replace("Reason::Graphql", "Reason::")
    };
    lines.map(|(at, line)| (at + 1, plain(line))).collect()
}

/// The words of a line, names in pieces: `McpPart`, `mcp_part` and `"mcp.part"` all hold `mcp`.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in line.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        was_lower = c.is_lowercase();
        if c.is_alphanumeric() {
            words.last_mut().unwrap().extend(c.to_lowercase());
        }
    }
    words
}

#[test]
fn no_format_is_named_outside_its_folder() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    files.sort();
    assert!(files.len() > 100, "{} files", files.len());
    let names: Vec<&str> = FORMATS.iter().map(|format| format.word).chain([DESCRIBED]).collect();
    let (mut strangers, mut used) = (Vec::new(), Vec::new());
    for path in files {
        let file = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
        if file == "protocol/registry.rs" {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for (at, line) in code(&text) {
            for name in words(&line).iter().filter_map(|word| names.iter().find(|name| **name == word)) {
                let allowed =
                    ALLOWED.iter().position(|(place, word, _)| is_at(&file, place) && ["*", name].contains(word));
                match allowed {
                    Some(entry) => used.push(entry),
                    None if file.starts_with(&format!("protocol/{name}/")) => {}
                    None => strangers.push(format!("src/{file}:{at}: {name}: {}", line.trim())),
                }
            }
        }
    }
    assert!(strangers.is_empty(), "names of formats outside their folders:\n{}", strangers.join("\n"));
    let stale: Vec<_> = (0..ALLOWED.len()).filter(|entry| !used.contains(entry)).map(|entry| ALLOWED[entry]).collect();
    assert!(stale.is_empty(), "allowed and not found: {stale:?}");
}

#[test]
fn a_name_is_found_in_every_way_of_writing_it() {
    for line in ["McpPart::Whole", "fn mcp_part()", "use protocol::mcp;", r#""mcp.drift""#, "routeMcp", "MCP_PART"] {
        assert!(words(line).iter().any(|word| word == "mcp"), "{line}: {:?}", words(line));
    }
    assert!(!words("compact mcpx").iter().any(|word| word == "mcp"));
}
