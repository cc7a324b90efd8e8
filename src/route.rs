//! Routes: which paths are guarded, how their bodies read and which operation they are.
//!
//! ```
//! use bartizan::route::PathMatch;
//!
//! let azure = PathMatch::Template("/openai/deployments/{model}/embeddings".to_owned());
//! assert_eq!(azure.parameter("/openai/deployments/small/embeddings"), Some("small"));
//! assert!(!azure.matches("/openai/deployments/a/b/embeddings"));
//! ```

use crate::sorted::SortedMap;
use std::borrow::Cow;

use crate::document::{self, AskUsage, Described, Errors, Graph, KeyPath, OutputAction, Outputs, Route, shortened};
use crate::enums::Operation;
use crate::protocol::paths::{ends_as, is_template, kept_in, kept_of, model_in, parameter_of};
use crate::protocol::{Coordinate, Meaning, Pointer, Protocol, Queries, has_escaped_slash, hash, registry};
use crate::sorted;
use crate::tenancy::TenancyPolicy;

/// A route's place in the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteIndex(pub u16);

/// A guarded path.
#[derive(Clone, Debug)]
pub struct RoutePolicy {
    /// Its place in the policy.
    pub index: RouteIndex,
    /// Which requests it matches.
    pub matches: PathMatch,
    /// The path or prefix as the document has it; one line of it may be several routes.
    pub written: String,
    /// How the bodies read.
    pub protocol: Protocol,
    /// What the caller needs the permission for.
    pub operation: Operation,
    /// The path of the format that the written one ends as.
    known: Option<&'static str>,
    /// The methods of the protocol's operation there.
    of_operation: &'static [&'static str],
    /// What belongs to one server of tools.
    pub server: Option<ServerPolicy>,
    /// Whose data of a store a request may reach; `None`: the upstream is no store, or anybody's.
    pub tenancy: Option<TenancyPolicy>,
    /// Whether token counts of streams are asked for.
    pub usage: AskUsage,
}

impl RoutePolicy {
    /// The model that the path of a request names, where it names one: then the body's is text like any other.
    pub fn model_of<'p>(&self, path: &'p str) -> Option<Cow<'p, str>> {
        self.protocol.model_in_path(self.written_model(path)?)
    }

    /// The part of a path that names the model, as it is written there.
    fn written_model<'p>(&self, path: &'p str) -> Option<&'p str> {
        self.matches.parameter(path).or_else(|| model_in(self.known_like(path)?, path))
    }

    /// The path of the format that this one ends as.
    fn known_like(&self, path: &str) -> Option<&'static str> {
        match &self.matches {
            PathMatch::Exact(exact) if exact == path => self.known,
            _ => self.protocol.known_like(self.operation, path),
        }
    }

    /// A path and query with another model in the place of the one that the path names; `None`: it names none, or the new
    /// path would be read otherwise.
    pub fn with_model(&self, target: &str, model: &str) -> Option<String> {
        let path = target.split(['?', '#']).next()?;
        let written = self.written_model(path)?;
        let before = (written.as_ptr() as usize).checked_sub(path.as_ptr() as usize)?;
        let after = before.checked_add(written.len())?;
        let target = format!("{}{model}{}", target.get(..before)?, target.get(after..)?);
        let path = target.split(['?', '#']).next()?;
        (self.written_model(path) == Some(model) && self.takes(path)).then_some(target)
    }

    /// False for a path with an escaped slash, which the upstream could read as another path, where no name of a model holds
    /// it, and for one that names no model which there could be.
    pub fn takes(&self, path: &str) -> bool {
        match self.written_model(path) {
            Some(written) => {
                let before = (written.as_ptr() as usize).saturating_sub(path.as_ptr() as usize);
                let parts = [path.get(..before), path.get(before.saturating_add(written.len())..)];
                let is_clean = |part: Option<&str>| part.is_some_and(|part| !has_escaped_slash(part));
                self.protocol.model_in_path(written).is_some() && parts.into_iter().all(is_clean)
            }
            None => !has_escaped_slash(path),
        }
    }

    /// What the provider keeps of earlier requests, and this one is for.
    pub fn kept_of<'p>(&self, path: &'p str, method: &str) -> Option<Kept<'p>> {
        let own = match &self.matches {
            PathMatch::Template(template) => kept_of(template, path),
            PathMatch::Exact(_) | PathMatch::Prefix(_) => self.known_like(path).and_then(|known| kept_in(known, path)),
        };
        match own {
            Some(id) => Some(Kept::One(id)),
            None => self.protocol.lists_kept(self.operation, method).then_some(Kept::All),
        }
    }

    /// The methods that the route accepts.
    pub fn methods(&self) -> &'static [&'static str] {
        match self.server_part() {
            ServerPart::Stream { .. } => &["GET"],
            ServerPart::Messages => &["POST"],
            ServerPart::Whole => self.of_operation,
        }
    }

    /// What of a server of the Model Context Protocol the route is.
    pub fn server_part(&self) -> &ServerPart {
        self.server.as_ref().map_or(&ServerPart::Whole, |server| &server.part)
    }
}

/// What the provider keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept<'p> {
    /// What has this id.
    One(&'p str),
    /// The list of all.
    All,
}

/// One server of the Model Context Protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerPolicy {
    /// The SHA-256 of each approved definition, by name; `None`: they are not compared.
    pub definitions: Option<SortedMap<String, String>>,
    /// What happens to any other definition.
    pub drift: OutputAction,
    /// The server's address, with the path and the address of its metadata.
    pub resource: Option<Resource>,
    /// What of the server the route is.
    pub part: ServerPart,
}

/// What of a server of the Model Context Protocol a route is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerPart {
    /// All of it: Streamable HTTP.
    Whole,
    /// The stream of the HTTP+SSE transport.
    Stream {
        /// Where messages are posted to.
        messages: String,
    },
    /// The place that messages of the HTTP+SSE transport are posted to.
    Messages,
}

/// An OAuth protected resource (RFC 9728).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its identifier.
    pub url: String,
    /// The path of its metadata.
    pub metadata_path: String,
    /// The address of its metadata.
    pub metadata_url: String,
}

/// Which paths a route matches. Paths are compared as they are: a path that is not normalised matches nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// The whole path, without the query.
    Exact(String),
    /// The beginning, which ends at a `/`.
    Prefix(String),
    /// The whole path, in which parts, or the rest of one, are any: `{model}`.
    Template(String),
}

impl PathMatch {
    /// True when this route matches the path (without its query).
    pub fn matches(&self, path: &str) -> bool {
        match self {
            PathMatch::Exact(exact) => exact == path,
            PathMatch::Prefix(prefix) => path.starts_with(prefix),
            PathMatch::Template(template) => parameter_of(template, path).is_some(),
        }
    }

    /// The same, whatever the case of the letters.
    pub fn resembles(&self, path: &str) -> bool {
        let lower = |text: &String| text.to_ascii_lowercase();
        let folded = match self {
            PathMatch::Exact(text) => PathMatch::Exact(lower(text)),
            PathMatch::Prefix(text) => PathMatch::Prefix(lower(text)),
            PathMatch::Template(text) => PathMatch::Template(lower(text)),
        };
        folded.matches(&path.to_ascii_lowercase())
    }

    /// What the path has where a template says `{model}`.
    pub fn parameter<'p>(&self, path: &'p str) -> Option<&'p str> {
        let PathMatch::Template(template) = self else { return None };
        parameter_of(template, path).filter(|model| !model.is_empty())
    }

    /// The path or prefix as the document has it.
    pub fn as_str(&self) -> &str {
        match self {
            PathMatch::Exact(text) | PathMatch::Prefix(text) | PathMatch::Template(text) => text,
        }
    }
}

/// Compiles all routes; false: one of them is broken, and errors say why.
pub(crate) fn compile(routes: Option<&[Route]>, errors: &mut Errors) -> (Vec<RoutePolicy>, bool) {
    let list = KeyPath::root().key("routes");
    let mut written: Vec<Written> = Vec::new();
    let Some(routes) = errors.require(&KeyPath::root(), "routes", routes) else { return (Vec::new(), false) };
    if routes.len() > 1000 {
        errors.push(&list, format!("{} routes, expected at most 1000", routes.len()));
        return (Vec::new(), false);
    }
    let mut complete = true;
    let mut taken: Vec<(PathMatch, Option<&'static str>, KeyPath)> = Vec::new();
    for (place, route) in routes.iter().enumerate() {
        let at = list.index(place);
        let matches = path_match(route, &at, errors);
        let protocol = protocol(route, &at, errors);
        let operation = protocol
            .as_ref()
            .and_then(|protocol| operation(route, protocol, matches.as_ref().map(|(matches, _)| matches), &at, errors));
        if let Some((matches, key)) = &matches {
            // Two protocols may share a prefix when their paths below it are their own.
            let shares = match operation {
                Some(Operations::OfPath) => protocol.as_ref().map(|protocol| protocol.name()),
                _ => None,
            };
            match taken.iter().find(|(other, protocol, _)| other == matches && *protocol == shares) {
                Some((_, _, first)) => errors.push(key, format!("matches the same requests as {first}")),
                None => taken.push((matches.clone(), shares, key.clone())),
            }
        }
        match (matches, protocol, operation) {
            (Some((matches, _)), Some(protocol), Some(operation)) => {
                let server = server(route, &protocol, &at, errors);
                if let Some(ServerPart::Stream { messages }) = server.as_ref().map(|server| &server.part) {
                    let (messages, key) = (PathMatch::Exact(messages.clone()), at.key(Route::SERVER).key("messages"));
                    match taken.iter().find(|(other, _, _)| *other == messages) {
                        Some((_, _, first)) => errors.push(&key, format!("matches the same requests as {first}")),
                        None => taken.push((messages, None, key)),
                    }
                }
                let tenancy = TenancyPolicy::compile(route.tenancy.as_ref(), &protocol, &at, errors);
                let usage = route.usage.unwrap_or(AskUsage::Auto);
                written.push(Written { matches, protocol, operations: operation, server, tenancy, usage });
            }
            _ => complete = false,
        }
    }
    (expand(written), complete)
}

/// One route of the document.
struct Written {
    matches: PathMatch,
    protocol: Protocol,
    operations: Operations,
    server: Option<ServerPolicy>,
    tenancy: Option<TenancyPolicy>,
    usage: AskUsage,
}

/// The operations of one route of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operations {
    /// All its paths are one operation.
    One(Operation),
    /// It is a prefix, and every known path below it is an operation of its own.
    OfPath,
}

/// One route for each path. A path that the document writes out goes before one that a prefix implies, and
/// of those the first.
fn expand(written: Vec<Written>) -> Vec<RoutePolicy> {
    let mut compiled: Vec<RoutePolicy> = Vec::new();
    for route in &written {
        let Operations::One(operation) = route.operations else { continue };
        let protocol = route.protocol.of_path_like(operation, route.matches.as_str());
        let (matches, server) = (route.matches.clone(), route.server.clone());
        push(&mut compiled, route, (matches, protocol.clone(), operation), server);
        if let Some(server @ ServerPolicy { part: ServerPart::Stream { messages }, .. }) = &route.server {
            let below = PathMatch::Exact(messages.clone());
            let server = ServerPolicy { part: ServerPart::Messages, ..server.clone() };
            push(&mut compiled, route, (below, protocol, operation), Some(server));
        }
    }
    for route in written.iter().filter(|route| route.operations == Operations::OfPath) {
        for (known, operation) in route.protocol.paths() {
            let path = format!("{}{known}", route.matches.as_str());
            let below = match path {
                path if path.ends_with('/') => PathMatch::Prefix(path),
                path if is_template(&path) => PathMatch::Template(path),
                path => PathMatch::Exact(path),
            };
            let methods = route.protocol.methods_at(known, *operation);
            let is_taken = |other: &RoutePolicy| {
                other.matches == below && other.methods().iter().any(|method| methods.contains(method))
            };
            if !compiled.iter().any(is_taken) {
                let protocol = route.protocol.of_path(known).unwrap_or_else(|| route.protocol.clone());
                push(&mut compiled, route, (below, protocol, *operation), None);
            }
        }
    }
    compiled
}

/// Adds a route for one path of a route of the document.
fn push(
    compiled: &mut Vec<RoutePolicy>,
    route: &Written,
    (matches, protocol, operation): (PathMatch, Protocol, Operation),
    server: Option<ServerPolicy>,
) {
    let known = protocol.known_like(operation, matches.as_str());
    let of_operation = match known {
        Some(known) => protocol.methods_at(known, operation),
        None => protocol.methods(operation),
    };
    compiled.push(RoutePolicy {
        index: RouteIndex(u16::try_from(compiled.len()).unwrap_or(u16::MAX)),
        matches,
        written: route.matches.as_str().to_owned(),
        protocol,
        operation,
        known,
        of_operation,
        server,
        tenancy: route.tenancy.clone(),
        usage: route.usage,
    });
}

/// The paths that can't be guarded beside those that are: each below the prefix of a guarded one.
pub(crate) fn refused(routes: &[RoutePolicy]) -> Vec<PathMatch> {
    let mut paths: Vec<String> = Vec::new();
    for route in routes {
        let path = route.matches.as_str();
        let known = route.protocol.paths().iter().filter_map(|(known, _)| path.strip_suffix(known));
        let prefixes = known.chain(std::iter::once(route.written.as_str())).filter(|prefix| prefix.ends_with('/'));
        for prefix in prefixes {
            // One that begins with `/` is below no prefix.
            let below = |refused: &&str| {
                if refused.starts_with('/') { (*refused).to_owned() } else { format!("{prefix}{refused}") }
            };
            paths.extend(route.protocol.refused_paths().iter().map(below));
        }
    }
    sorted::once(&mut paths);
    paths
        .into_iter()
        .map(|path| if path.ends_with('/') { PathMatch::Prefix(path) } else { PathMatch::Exact(path) })
        .collect()
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
    if path.contains(['{', '}']) {
        return Some("must be plain: a part that may be any is written by pathPrefix");
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
    let protocol = written_protocol(route, at, errors)?;
    let Some(written) = &route.graph else { return Some(protocol) };
    let at = at.key(Route::GRAPH);
    let queries = queries(written, &at, errors);
    let Some(configured) = protocol.with_queries(queries.clone()) else {
        errors.push(&at, format!("has no effect with protocol {}", protocol.name()));
        return None;
    };
    for (name, text) in &queries.persisted {
        let at = at.key("persisted").key(name);
        if *name != hash(text) {
            errors.push(&at, format!("the SHA-256 of this operation is {}", hash(text)));
        } else if let Some(denial) = configured.fault_of(text) {
            let param = denial.param.unwrap_or_default();
            errors.push(&at, format!("this operation is never served: {} ({param})", denial.reason));
        }
    }
    Some(configured)
}

fn queries(written: &Graph, at: &KeyPath, errors: &mut Errors) -> Queries {
    let default = Queries::default();
    let mut places = Vec::new();
    for (key, texts, meaning) in [
        ("prompts", &written.prompts, Meaning::Prompt),
        ("documents", &written.documents, Meaning::Document),
        ("models", &written.models, Meaning::Model),
    ] {
        for (place, text) in texts.iter().flatten().enumerate() {
            match Coordinate::parse(text, meaning) {
                Some(coordinate) => places.push(coordinate),
                None => {
                    let message = format!(
                        "expected a place such as ask(question) or chat(input.text), found {:?}",
                        shortened(text)
                    );
                    errors.push(&at.key(key).index(place), message);
                }
            }
        }
    }
    if places.len() > MAX_PLACES {
        errors.push(at, format!("{} places, expected at most {MAX_PLACES}", places.len()));
    }
    let mut range = |key: &str, value, default, bounds| errors.range(at, key, value, default, bounds);
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Queries {
        tokens: size(range("tokens", written.tokens, default.tokens as u64, 1..=50_000)),
        depth: range("depth", written.depth, default.depth, 1..=60),
        aliases: range("aliases", written.aliases, default.aliases, 0..=10_000),
        cost: range("cost", written.cost, default.cost, 1..=1_000_000_000),
        lists: written.lists.clone().unwrap_or(default.lists),
        batch: size(range("batch", written.batch, 0, 0..=100)),
        introspection: written.introspection.unwrap_or(default.introspection),
        places,
        persisted: written.persisted.clone().unwrap_or_default(),
        answers_tools: written.outputs == Some(Outputs::Tool),
    }
}

/// More places than these nobody names by hand.
const MAX_PLACES: usize = 64;

fn written_protocol(route: &Route, at: &KeyPath, errors: &mut Errors) -> Option<Protocol> {
    match errors.require(at, "protocol", route.protocol.as_ref())? {
        document::Protocol::Named(word) => in_dialect(Protocol::named(word)?, route.dialect.as_ref(), at, errors),
        document::Protocol::Described(written) => {
            let pointers = at.key("protocol").key(registry::DESCRIBED);
            let protocol = described(written, &pointers, errors);
            in_dialect(protocol, route.dialect.as_ref(), at, errors)
        }
    }
}

fn in_dialect(
    protocol: Protocol,
    dialect: Option<&document::Dialect>,
    at: &KeyPath,
    errors: &mut Errors,
) -> Option<Protocol> {
    let Some(document::Dialect(word)) = dialect else { return Some(protocol) };
    let spoken = protocol.in_dialect(word);
    if spoken.is_none() {
        let message = match protocol.dialects() {
            [] => format!("has no effect with protocol {}", protocol.name()),
            known => format!(
                "unknown value {:?}, with protocol {} expected one of {}",
                shortened(word),
                protocol.name(),
                known.join(", ")
            ),
        };
        errors.push(&at.key("dialect"), message);
    }
    spoken
}

fn server(route: &Route, protocol: &Protocol, at: &KeyPath, errors: &mut Errors) -> Option<ServerPolicy> {
    let (written, at) = (route.server.as_ref()?, at.key(Route::SERVER));
    if !protocol.serves_tools() {
        errors.push(&at, format!("has no effect with protocol {}", protocol.name()));
    }
    for (name, pin) in written.definitions.iter().flatten() {
        if pin.len() != 64 || !pin.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            errors.push(&at.key("definitions").key(name), "expected a SHA-256: 64 of 0-9 and a-f");
        }
    }
    if written.definitions.is_none() && written.drift.is_some() {
        errors.push(&at.key("definitions"), "missing, but drift has no effect without it");
    }
    let resource = written.resource.as_ref().and_then(|url| {
        let resource = resource(url);
        if resource.is_none() {
            let message =
                format!("expected an address such as https://tools.example.com/mcp, found {:?}", shortened(url));
            errors.push(&at.key("resource"), message);
        }
        resource
    });
    let drift = written.drift.unwrap_or(OutputAction::Remove);
    let part = match &written.messages {
        None => ServerPart::Whole,
        Some(messages) => {
            if let Some(fault) = path_fault(messages) {
                errors.push(&at.key("messages"), format!("{:?} {fault}", shortened(messages)));
            }
            if route.matches.as_ref().is_some_and(|matches| matches.path.is_none()) {
                errors.push(&at.key("messages"), "the server's stream is one path: expected match.path");
            }
            ServerPart::Stream { messages: messages.clone() }
        }
    };
    Some(ServerPolicy { definitions: written.definitions.clone(), drift, resource, part })
}

/// RFC 9728 section 3.1: the well-known part is between host and path.
fn resource(url: &str) -> Option<Resource> {
    let (scheme, rest) = url.split_once("://").filter(|(scheme, _)| matches!(*scheme, "https" | "http"))?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/[]".contains(&b);
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if host.is_empty() || url.len() > 512 || !rest.bytes().all(plain) {
        return None;
    }
    let metadata_path = format!("/.well-known/oauth-protected-resource{}", path.trim_end_matches('/'));
    let metadata_url = format!("{scheme}://{host}{metadata_path}");
    Some(Resource { url: url.to_owned(), metadata_path, metadata_url })
}

fn described(written: &Described, at: &KeyPath, errors: &mut Errors) -> Protocol {
    let mut pointers = |key: &str, texts: Option<&Vec<String>>| -> Vec<Pointer> {
        let at = at.key(key);
        let texts = texts.map(Vec::as_slice).unwrap_or_default();
        texts.iter().enumerate().filter_map(|(place, text)| pointer(text, &at.index(place), errors)).collect()
    };
    let prompt = pointers("prompt", written.prompt.as_ref());
    let documents = pointers("documents", written.documents.as_ref());
    let output = pointers("output", written.output.as_ref());
    if errors.require(at, "prompt", written.prompt.as_ref()).is_some_and(Vec::is_empty) {
        errors.push(&at.key("prompt"), "empty, expected at least one JSON Pointer");
    }
    let model = written.model.as_ref().and_then(|text| {
        let at = at.key("model");
        if text.split('/').any(|part| part == "*") {
            errors.push(&at, "expected a JSON Pointer without *: there is one model");
        }
        pointer(text, &at, errors)
    });
    registry::described(prompt, documents, model, output)
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
    matches: Option<&PathMatch>,
    at: &KeyPath,
    errors: &mut Errors,
) -> Option<Operations> {
    let fitting = protocol.operations();
    let words = || fitting.iter().map(|operation| operation.as_str()).collect::<Vec<_>>().join(", ");
    if !protocol.tenancies().is_empty() {
        return of_store(route, protocol, matches?, at, errors);
    }
    if let Some(operation) = route.operation {
        if fitting.contains(&operation) {
            return Some(Operations::One(operation));
        }
        let message =
            format!("{} is no operation of protocol {}, expected {}", operation.as_str(), protocol.name(), words());
        errors.push(&at.key("operation"), message);
        return None;
    }
    if let Some(operation) = protocol.only_operation() {
        return Some(Operations::One(operation));
    }
    let path = matches?.as_str().trim_end_matches('/');
    // The longest name that fits: `/chat/completions` is no `/completions`.
    let named = protocol.paths().iter().filter(|(name, _)| ends_as(name, path));
    if let Some((_, operation)) = named.max_by_key(|(name, _)| name.len()) {
        return Some(Operations::One(*operation));
    }
    if let Some(PathMatch::Prefix(_)) = matches {
        return Some(Operations::OfPath);
    }
    let message = format!("missing, but required: the path does not tell the operation; expected {}", words());
    errors.push(&at.key("operation"), message);
    None
}

/// The operations of a route to a store: which path it is tells where a request names its tenant, so that each is one of the
/// format's.
fn of_store(
    route: &Route,
    protocol: &Protocol,
    matches: &PathMatch,
    at: &KeyPath,
    errors: &mut Errors,
) -> Option<Operations> {
    let (path, name) = (matches.as_str(), protocol.name());
    let is_prefix = matches!(matches, PathMatch::Prefix(_));
    let known = protocol.paths().iter().filter(|(known, _)| ends_as(known, path.trim_end_matches('/')));
    let mut operations: Vec<Operation> = known.map(|(_, operation)| *operation).collect();
    operations.dedup();
    let words = || operations.iter().map(|operation| operation.as_str()).collect::<Vec<_>>().join(", ");
    let key = if is_prefix { at.key("match").key("pathPrefix") } else { at.key("match").key("path") };
    match (is_prefix, route.operation) {
        (true, None) if operations.is_empty() => Some(Operations::OfPath),
        (true, None) => {
            let message =
                format!("{:?} ends as a path of protocol {name}, expected what stands before it", shortened(path));
            errors.push(&key, message);
            None
        }
        (true, Some(_)) => {
            let message = format!("has no effect with pathPrefix and protocol {name}: each path has its own");
            errors.push(&at.key("operation"), message);
            None
        }
        (false, _) if operations.is_empty() => {
            errors.push(&key, format!("{:?} ends as no path of protocol {name}", shortened(path)));
            None
        }
        (false, None) => match operations.as_slice() {
            [one] => Some(Operations::One(*one)),
            _ => {
                let message = format!("missing, but required: the path has {}; pathPrefix guards them all", words());
                errors.push(&at.key("operation"), message);
                None
            }
        },
        (false, Some(operation)) if operations.contains(&operation) => Some(Operations::One(operation)),
        (false, Some(operation)) => {
            let message = format!("{} is no operation of this path, expected {}", operation.as_str(), words());
            errors.push(&at.key("operation"), message);
            None
        }
    }
}
