//! Routes: which paths are guarded, how their bodies read and which operation they are.

use super::document::{self, Generic, Operation, Route};
use super::errors::{Errors, KeyPath, shortened};
use crate::protocol::{GenericSpec, Pointer, Protocol};

/// A route's place in the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteIndex(pub u16);

/// A guarded path.
#[derive(Clone, Debug, PartialEq)]
pub struct RoutePolicy {
    /// Its place in the policy.
    pub index: RouteIndex,
    /// Which requests it takes.
    pub matches: PathMatch,
    /// How the bodies read.
    pub protocol: Protocol,
    /// What the caller needs the permission for.
    pub operation: Operation,
}

/// Which paths a route takes. Paths are compared as they are: a path that is not normalised matches nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// The whole path, without the query.
    Exact(String),
    /// The beginning, which ends at a `/`.
    Prefix(String),
}

impl PathMatch {
    /// True when this route takes the path (without its query).
    pub fn matches(&self, path: &str) -> bool {
        match self {
            PathMatch::Exact(exact) => exact == path,
            PathMatch::Prefix(prefix) => path.starts_with(prefix),
        }
    }

    /// The path or prefix as the document has it.
    pub fn as_str(&self) -> &str {
        match self {
            PathMatch::Exact(text) | PathMatch::Prefix(text) => text,
        }
    }
}

/// Compiles all routes.
pub(super) fn compile(routes: Option<&[Route]>, errors: &mut Errors) -> Vec<RoutePolicy> {
    let list = KeyPath::root().key("routes");
    let mut compiled = Vec::new();
    let mut taken: Vec<(PathMatch, KeyPath)> = Vec::new();
    let Some(routes) = errors.require(&KeyPath::root(), "routes", routes) else { return compiled };
    if routes.len() > 1000 {
        errors.push(&list, format!("{} routes, expected at most 1000", routes.len()));
        return compiled;
    }
    for (place, route) in routes.iter().enumerate() {
        let at = list.index(place);
        let matches = path_match(route, &at, errors);
        if let Some((matches, key)) = &matches {
            match taken.iter().find(|(other, _)| other == matches) {
                Some((_, first)) => errors.push(key, format!("matches the same requests as {first}")),
                None => taken.push((matches.clone(), key.clone())),
            }
        }
        let path = matches.as_ref().map(|(matches, _)| matches.as_str());
        let protocol = protocol(route, &at, errors);
        let operation = protocol.as_ref().and_then(|protocol| operation(route, protocol, path, &at, errors));
        if let (Some((matches, _)), Some(protocol), Some(operation)) = (matches, protocol, operation) {
            compiled.push(RoutePolicy { index: RouteIndex(place as u16), matches, protocol, operation });
        }
    }
    compiled
}

fn path_match(route: &Route, at: &KeyPath, errors: &mut Errors) -> Option<(PathMatch, KeyPath)> {
    let matches = errors.require(at, "match", route.matches.as_ref())?;
    let at = at.key("match");
    let (path, key, is_prefix) = match (&matches.path, &matches.path_prefix) {
        (Some(path), None) => (path, at.key("path"), false),
        (None, Some(prefix)) => (prefix, at.key("pathPrefix"), true),
        _ => {
            errors.push(&at, "expected exactly one of path, pathPrefix");
            return None;
        }
    };
    if let Some(fault) = path_fault(path) {
        errors.push(&key, format!("{:?} {fault}", shortened(path)));
        return None;
    }
    if is_prefix && !path.ends_with('/') {
        errors.push(&key, format!("{:?} must end with / so that it ends at a path segment", shortened(path)));
        return None;
    }
    let matches = if is_prefix { PathMatch::Prefix(path.clone()) } else { PathMatch::Exact(path.clone()) };
    Some((matches, key))
}

/// A route that could never match a normalised path would silently guard nothing.
fn path_fault(path: &str) -> Option<&'static str> {
    if !path.starts_with('/') {
        return Some("must begin with /");
    }
    if path.len() > 1024 {
        return Some("must be at most 1024 bytes long");
    }
    if path.contains(['?', '#']) {
        return Some("must be a path without query or fragment");
    }
    if path.contains(['%', '\\', '*']) || !path.bytes().all(|b| b.is_ascii_graphic()) {
        return Some("must be plain: no escapes, backslashes, wildcards, spaces or letters outside ASCII");
    }
    if path.contains("//") || path.split('/').any(|segment| segment == "." || segment == "..") {
        return Some("must be normalised: no //, no . or .. segments");
    }
    None
}

fn protocol(route: &Route, at: &KeyPath, errors: &mut Errors) -> Option<Protocol> {
    match errors.require(at, "protocol", route.protocol.as_ref())? {
        document::Protocol::Openai => Some(Protocol::Openai),
        document::Protocol::Generic(generic) => {
            let at = at.key("protocol").key("generic");
            Some(Protocol::Generic(compile_generic(generic, &at, errors)))
        }
    }
}

fn compile_generic(generic: &Generic, at: &KeyPath, errors: &mut Errors) -> GenericSpec {
    let mut pointers = |key: &str, texts: Option<&Vec<String>>| -> Vec<Pointer> {
        let at = at.key(key);
        let texts = texts.map(Vec::as_slice).unwrap_or_default();
        texts.iter().enumerate().filter_map(|(place, text)| pointer(text, &at.index(place), errors)).collect()
    };
    let prompt = pointers("prompt", generic.prompt.as_ref());
    let documents = pointers("documents", generic.documents.as_ref());
    let output = pointers("output", generic.output.as_ref());
    if errors.require(at, "prompt", generic.prompt.as_ref()).is_some_and(Vec::is_empty) {
        errors.push(&at.key("prompt"), "empty, expected at least one JSON Pointer");
    }
    let model = generic.model.as_ref().and_then(|text| {
        let at = at.key("model");
        if text.split('/').any(|part| part == "*") {
            errors.push(&at, "expected a JSON Pointer without *: there is one model");
        }
        pointer(text, &at, errors)
    });
    GenericSpec::new(prompt, documents, model, output)
}

fn pointer(text: &str, at: &KeyPath, errors: &mut Errors) -> Option<Pointer> {
    let pointer = Pointer::parse(text).filter(|_| text.starts_with('/') && text.len() <= 1024);
    if pointer.is_none() {
        let message =
            format!("expected a JSON Pointer such as /prompt or /messages/*/text, found {:?}", shortened(text));
        errors.push(at, message);
    }
    pointer
}

fn operation(
    route: &Route,
    protocol: &Protocol,
    path: Option<&str>,
    at: &KeyPath,
    errors: &mut Errors,
) -> Option<Operation> {
    let fitting: &[Operation] = match protocol {
        Protocol::Openai => &[Operation::Chat, Operation::Models],
        Protocol::Generic(_) => &[Operation::Generate, Operation::Chat],
    };
    let words = || fitting.iter().map(|operation| operation.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(operation) = route.operation {
        if fitting.contains(&operation) {
            return Some(operation);
        }
        let message =
            format!("{} is no operation of protocol {}, expected {}", operation.as_str(), protocol.name(), words());
        errors.push(&at.key("operation"), message);
        return None;
    }
    if matches!(protocol, Protocol::Generic(_)) {
        return Some(Operation::Generate);
    }
    let path = path?.trim_end_matches('/');
    if path.ends_with("/chat/completions") {
        return Some(Operation::Chat);
    }
    if path.ends_with("/models") {
        return Some(Operation::Models);
    }
    let message = format!("missing, but required: the path does not tell the operation; expected {}", words());
    errors.push(&at.key("operation"), message);
    None
}
