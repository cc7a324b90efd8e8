//! GraphQL over HTTP: one operation a request, or several in a list, as `POST` with `application/json`.
//!
//! A server reads the values of an operation inside its text, so that a text has a text in it. [`unfold`] makes a tree of
//! the operation's string: what a caller wrote into it, each value as a server reads it. The tree is judged and changed
//! like any body. [`fold`] then writes what was changed back into the string, and leaves everything else byte for byte.
//!
//! ```text
//! "query": "{ ask(question: \"Hi.\\n\") { text } } # end"
//! "query": {"source": "{ ask(...", "texts": ["Hi.\n", " end"], "names": {"ask": null, "question": null, "text": null}}
//! ```
//!
//! A persisted operation has no text in the request. Its text is in the policy, under the hash that the request names.

mod keys;
mod operation;
mod place;
pub(super) mod source;

use std::borrow::Cow;

use serde_json::json;

use self::operation::{Operation as Asked, Sum, Used, refused};
use self::place::Uses;
use self::source::{Source, malformed, over};
use super::adapter::{Adapter, Asserted, HeaderPairs};
use super::form::Form;
use super::keys::Keys;
use super::queries::{Coordinate, Meaning, Queries, hash};
use super::reply::{Channel, ReplyFormat, TextKind, Walk};
use super::request::{Reader, Spot};
use super::{Json, Path, Protocol, Segment, Told};
use crate::enums::Operation;
use crate::host::Timestamp;
use crate::reason::{Denial, Reason};

/// # Errors
/// [`Reason::GraphqlLimit`].
fn within(queries: &Queries, sum: &Sum) -> Result<(), Denial> {
    let limits = [
        ("depth", sum.depth, queries.depth),
        ("aliases", sum.aliases, queries.aliases),
        ("cost", sum.cost, queries.cost),
    ];
    match limits.into_iter().find(|(_, is, most)| is > most) {
        Some((limit, _, _)) => Err(over(limit)),
        None => Ok(()),
    }
}

/// The format, requests and replies.
#[derive(Debug, Default)]
pub(super) struct Graphql(Queries);

impl Adapter for Graphql {
    fn name(&self) -> &'static str {
        "graphql"
    }

    fn with_queries(&self, queries: Queries) -> Option<Protocol> {
        Some(Protocol::new(Graphql(queries)))
    }

    fn fault_of(&self, text: &str) -> Option<Denial> {
        let asked = Asked::read(text, &self.0, &Json::Null);
        asked.and_then(|asked| within(&self.0, &asked.sum)).err()
    }

    fn paths(&self) -> &'static [(&'static str, Operation)] {
        &[("graphql", Operation::Generate)]
    }

    fn operations(&self) -> Vec<Operation> {
        vec![Operation::Generate, Operation::Chat]
    }

    fn only_operation(&self) -> Option<Operation> {
        Some(Operation::Generate)
    }

    fn serves_tools(&self) -> bool {
        self.0.answers_tools
    }

    fn keys(&self) -> &'static Keys {
        &keys::KEYS
    }

    fn knows_key(&self, key: &str) -> bool {
        self.keys().knows(key) || self.0.places.iter().flat_map(Coordinate::names).any(|name| name == key)
    }

    fn content_keys(&self) -> Option<&'static [&'static str]> {
        None
    }

    /// Servers read parameters of a query beside the body, and some before it.
    fn asserted(&self, headers: HeaderPairs<'_, '_>, _is_http_sse: bool) -> Result<Option<Box<dyn Asserted>>, Denial> {
        let mut path = headers.filter(|(name, _)| *name == b":path").map(|(_, value)| value);
        match path.next() {
            Some(path) if names_operation(path) => Err(Denial::new(Reason::BodyShape).with_param("query")),
            _ => Ok(None),
        }
    }

    fn unfold(&self, body: &mut Json<'_>) -> Result<(), Denial> {
        each(body, &mut |one| unfold(one, self.0.tokens))
    }

    fn fold(&self, body: &mut Json<'_>) -> Result<(), Denial> {
        each(body, &mut |one| fold(one, self.0.tokens))
    }

    fn is_fixed(&self, body: &Json<'_>, segment: &Segment) -> bool {
        let mut steps: Vec<_> = body.steps(&segment.path).collect();
        // Of a list of operations, one.
        if steps.first().is_some_and(|step| step.key.is_none()) {
            steps.remove(0);
        }
        let mut keys = steps.iter();
        let is_in_text = keys.next().is_some_and(|step| step.key == Some("query"));
        let is_hashed = steps.first().is_some_and(|step| named_by(step.holder).is_ok_and(|name| name.is_some()));
        is_in_text && (is_hashed || keys.next().is_none_or(|step| step.key != Some("texts")))
    }

    fn read(&self, _operation: Operation, reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
        read(&self.0, reader)
    }

    fn error_body(&self, told: &Told<'_>) -> Vec<u8> {
        json!({ "errors": [error(told)] }).to_string().into_bytes()
    }

    /// The media type of an answer that clients may ask for. By the other one a status tells nothing.
    fn error_type(&self, accepts: &[u8]) -> &'static str {
        const OWN: &str = "application/graphql-response+json";
        let accepts = String::from_utf8_lossy(accepts).to_ascii_lowercase();
        let is_own = |kind: &str| kind.split(';').next().is_some_and(|essence| essence.trim() == OWN);
        if accepts.split(',').any(is_own) { OWN } else { "application/json" }
    }

    fn withheld(&self, _operation: Operation, told: &Told<'_>, _model: &str, _now: Timestamp) -> Option<Vec<u8>> {
        Some(json!({ "data": null, "errors": [error(told)] }).to_string().into_bytes())
    }

    fn reply(&self, _operation: Operation) -> &dyn ReplyFormat {
        self
    }
}

impl ReplyFormat for Graphql {
    /// What is selected is the answer: under which name, the caller has chosen.
    fn read(&self, walk: &mut Walk<'_>, reply: &Json<'_>) {
        let answer = Channel { choice: 0, item: 0, kind: TextKind::Text };
        let mut one = |path: &Path, reply: &Json<'_>| {
            let Json::Object(entries) = reply else { return };
            for (at, (key, value)) in entries.iter().enumerate() {
                if key == "data" {
                    walk.strings(&path.child(at), value, answer);
                }
            }
        };
        match reply {
            Json::Array(replies) => {
                replies.iter().enumerate().for_each(|(at, reply)| one(&Path::default().child(at), reply));
            }
            _ => one(&Path::default(), reply),
        }
    }
}

/// What a request may hold: whatever else there is belongs into `extensions` (GraphQL over HTTP, Request Parameters).
const FIELDS: [&str; 8] =
    ["query", "variables", "operationName", "extensions", "onError", "documentId", "id", "doc_id"];
/// What names an operation beside the hash in `extensions`.
const IDS: [&str; 3] = ["documentId", "id", "doc_id"];

/// True for an address whose query could be read as an operation, or as a part of one.
fn names_operation(path: &[u8]) -> bool {
    const NAMES: [&str; 8] =
        ["query", "variables", "operationname", "extensions", "documentid", "id", "doc_id", "querypath"];
    let Some(at) = path.iter().position(|byte| *byte == b'?') else { return false };
    let query = path.get(at + 1..).unwrap_or_default();
    query.split(|byte| matches!(byte, b'&' | b';')).filter(|pair| !pair.is_empty()).any(|pair| {
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        let is_plain = name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
        !is_plain || NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    })
}

/// The body, or each of a list.
fn each(body: &mut Json<'_>, run: &mut dyn FnMut(&mut Json<'_>) -> Result<(), Denial>) -> Result<(), Denial> {
    match body {
        Json::Array(bodies) => bodies.iter_mut().try_for_each(run),
        one => run(one),
    }
}

/// Makes a tree of the operation's text.
pub(super) fn unfold(body: &mut Json<'_>, most_tokens: usize) -> Result<(), Denial> {
    let Some(query) = body.get_mut("query") else { return Ok(()) };
    let text = match query {
        Json::Null => return Ok(()),
        Json::String(text) => std::mem::take(text).into_owned(),
        _ => return Err(malformed()),
    };
    let source = Source::read(&text, most_tokens)?;
    let string = |text: &str| Json::String(Cow::Owned(text.to_owned()));
    let texts = source.pieces.iter().map(|piece| string(&piece.text)).collect();
    let names = source.names.iter().map(|name| (Cow::Owned((*name).to_owned()), Json::Null)).collect();
    *query = Json::Object(vec![
        (Cow::Borrowed("source"), string(&text)),
        (Cow::Borrowed("texts"), Json::Array(texts)),
        (Cow::Borrowed("names"), Json::Object(names)),
    ]);
    Ok(())
}

/// Makes the operation's text of the tree.
fn fold(body: &mut Json<'_>, most_tokens: usize) -> Result<(), Denial> {
    let fault = || Denial::new(Reason::Internal);
    let is_hashed = named_by(body)?.is_some();
    let Some(query @ Json::Object(_)) = body.get_mut("query") else { return Ok(()) };
    let text = query.get("source").and_then(Json::as_str).ok_or_else(fault)?;
    let source = Source::read(text, most_tokens)?;
    let (Some(Json::Array(texts)), Some(Json::Object(names))) = (query.get("texts"), query.get("names")) else {
        return Err(fault());
    };
    let new: Vec<&str> = texts.iter().filter_map(Json::as_str).collect();
    let written = source.written(text, &new).ok_or_else(fault)?;
    // Whatever would have changed them has refused the request.
    if !source.names.iter().copied().eq(names.iter().map(|(name, _)| name.as_ref())) {
        return Err(fault());
    }
    // The hash is that of the text which came.
    if is_hashed && written != text {
        return Err(Reason::GraphqlPersisted.into());
    }
    *query = Json::String(Cow::Owned(written));
    Ok(())
}

/// The hash by which a request names its operation.
///
/// # Errors
/// [`Reason::BodyShape`] where it names it twice, or in another form; [`Reason::GraphqlPersisted`] for what is no hash.
fn named_by<'b, 'j>(body: &'b Json<'j>) -> Result<Option<&'b Json<'j>>, Denial> {
    let shape = |param| Denial::new(Reason::BodyShape).with_param(param);
    let field = |of: &'b Json<'j>, name: &'static str| {
        let found = of.field(name).map_err(|_| shape(name))?;
        Ok::<_, Denial>(found.map(|(_, value)| value))
    };
    let mut named = Vec::new();
    if let Some(extensions) = field(body, "extensions")?
        && let Some(persisted) = field(extensions, "persistedQuery")?
    {
        named.push(field(persisted, "sha256Hash")?.ok_or(shape("extensions"))?);
    }
    for name in IDS {
        named.extend(field(body, name)?);
    }
    match named.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        _ => Err(shape("extensions")),
    }
}

/// Takes a body apart.
fn read(queries: &Queries, reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    reader.out.model = "default".to_owned();
    let Json::Array(bodies) = reader.body else {
        let sum = read_one(queries, reader)?;
        return within(queries, &sum);
    };
    if queries.batch == 0 {
        return Err(refused("batch"));
    }
    if !(1..=queries.batch).contains(&bodies.len()) {
        return Err(over("batch"));
    }
    let mut all = Sum::default();
    reader.out.model.clear();
    for (at, body) in bodies.iter().enumerate() {
        reader.adopt(&Path::default().child(at), body, None, |reader| {
            reader.out.model = "default".to_owned();
            let one = read_one(queries, reader)?;
            all = Sum {
                depth: all.depth.max(one.depth),
                aliases: all.aliases.saturating_add(one.aliases),
                cost: all.cost.saturating_add(one.cost),
            };
            Ok(())
        })?;
    }
    within(queries, &all)
}

fn read_one<'b, 'j>(queries: &Queries, reader: &mut Reader<'b, 'j>) -> Result<Sum, Denial> {
    let Json::Object(entries) = reader.body else { return Err(reader.shape()) };
    // Another one might name an operation to some server.
    if !entries.iter().all(|(key, _)| FIELDS.contains(&key.as_ref())) {
        return Err(reader.shape());
    }
    let (query, variables) = (reader.take("query")?, reader.take("variables")?);
    if variables.as_ref().is_some_and(|(_, value)| !matches!(value, Json::Object(_))) {
        return Err(reader.shape());
    }
    let name = named_by(reader.body)?;
    let hash_of = |name: &str| Some(name.strip_prefix("sha256:").unwrap_or(name).to_owned());
    let named = match name {
        None => None,
        Some(name) => Some(name.as_str().and_then(hash_of).ok_or(Denial::new(Reason::GraphqlPersisted))?),
    };
    let unlisted = || Denial::new(Reason::GraphqlPersisted);
    let text: &str = match (&query, &named) {
        (Some((_, query)), named) => {
            let text = query.get("source").and_then(Json::as_str).ok_or(malformed())?;
            if named.as_ref().is_some_and(|named| *named != hash(text)) {
                return Err(unlisted());
            }
            text
        }
        (None, Some(named)) => queries.persisted.get(named).ok_or_else(unlisted)?,
        (None, None) => return Err(malformed()),
    };
    if let Some(name @ Json::String(written)) = name {
        // It is a hash: nothing else has that form.
        reader.parameter(name, Form::Word(&[written]));
    }
    let nothing = Json::Null;
    let values = variables.as_ref().map_or(&nothing, |(_, value)| *value);
    let asked = Asked::read(text, queries, values)?;
    for field in asked.fields.iter().filter(|field| *field != "__typename") {
        reader.calls(&format!("{}.{field}", asked.root));
    }
    let starts: Vec<usize> = match query {
        Some(_) => Source::read(text, queries.tokens)?.pieces.iter().map(|piece| piece.span.start).collect(),
        None => Vec::new(),
    };
    let mut texts = Texts { queries, reader, found: Vec::new(), models: asked.models };
    for used in &asked.used {
        match used {
            Used::Literal(start, uses) => texts.literal(*start, uses, (query.as_ref(), &starts))?,
            Used::Variable(name) => texts.variable(name, asked.variables.get(name), variables.as_ref()),
        }
    }
    texts.close();
    if let Some((_, query)) = &query {
        reader.covers(query.get("source").ok_or(malformed())?);
    }
    Ok(asked.sum)
}

/// The values of an operation that mean something.
struct Texts<'r, 'b, 'j> {
    queries: &'r Queries,
    reader: &'r mut Reader<'b, 'j>,
    found: Vec<(Meaning, Path)>,
    models: Vec<String>,
}

impl<'j> Texts<'_, '_, 'j> {
    /// A string value of the operation. `None`: the operation is the policy's, and so is the value.
    fn literal(
        &mut self,
        start: usize,
        uses: &Uses,
        (query, starts): (Option<&(Path, &Json<'j>)>, &[usize]),
    ) -> Result<(), Denial> {
        let Some((path, query)) = query else { return Ok(()) };
        let number = starts.binary_search(&start).map_err(|_| malformed())?;
        let (Some(Json::Array(texts)), Json::Object(entries)) = (query.get("texts"), query) else {
            return Err(malformed());
        };
        let at = entries.iter().position(|(key, _)| key == "texts").ok_or(malformed())?;
        let text = texts.get(number).ok_or(malformed())?;
        self.text(path.child(at).child(number), text, uses);
        Ok(())
    }

    /// The value of a variable.
    fn variable(&mut self, name: &str, uses: Option<&Uses>, variables: Option<&(Path, &Json<'j>)>) {
        let (Some(uses), Some((path, Json::Object(entries)))) = (uses, variables) else { return };
        if let Some((at, (_, value))) = entries.iter().enumerate().find(|(_, (key, _))| key == name) {
            self.value(path.child(at), value, uses);
        }
    }

    fn value(&mut self, path: Path, value: &Json<'j>, uses: &Uses) {
        match value {
            Json::String(_) => self.text(path, value, uses),
            Json::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.value(path.child(at), item, uses);
                }
            }
            Json::Object(entries) => {
                for (at, (key, inner)) in entries.iter().enumerate() {
                    self.value(path.child(at), inner, &uses.below(&self.queries.places, key));
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }

    fn text(&mut self, path: Path, value: &Json<'j>, uses: &Uses) {
        let Some(text) = value.as_str().filter(|text| !text.is_empty()) else { return };
        if uses.is_model() {
            self.models.push(text.to_owned());
            if self.reader.parameter(value, Form::Name) {
                return;
            }
        }
        self.found.push((uses.meaning(), path));
    }

    /// Prompts come first, one after the other, then documents. What means nothing is left to the end, where all that
    /// nobody accounts for is the caller's.
    fn close(self) {
        let Texts { reader, found, mut models, .. } = self;
        for (meaning, spot) in [(Meaning::Prompt, Spot::USER), (Meaning::Document, Spot::DOCUMENT)] {
            for (_, path) in found.iter().filter(|(of, _)| *of == meaning) {
                reader.segment(path, false, spot);
            }
        }
        models.dedup();
        let mut models = models.into_iter();
        if let Some(first) = models.next() {
            reader.out.model = first;
            reader.out.models.extend(models);
        }
    }
}

/// One error, in the form of the specification's section 7.1.2, with codes that servers and clients know.
fn error(told: &Told<'_>) -> serde_json::Value {
    let denial = told.denial;
    let code = match (denial.reason, denial.status()) {
        (Reason::GraphqlPersisted, _) => "PERSISTED_QUERY_NOT_FOUND",
        (Reason::GraphqlLimit, _) => "GRAPHQL_VALIDATION_FAILED",
        (Reason::BodyShape, _) if denial.param == Some("query") => "GRAPHQL_PARSE_FAILED",
        (_, 401) => "UNAUTHENTICATED",
        (_, 403) => "FORBIDDEN",
        (_, 429) => "RATE_LIMITED",
        (_, 500..) => "INTERNAL_SERVER_ERROR",
        (
            Reason::ScanInjection
            | Reason::ScanOpinion
            | Reason::ScanSecret
            | Reason::ScanPii
            | Reason::ScanOutput
            | Reason::ScanCanary,
            _,
        ) => "CONTENT_FILTERED",
        _ => "BAD_REQUEST",
    };
    let mut extensions = serde_json::Map::new();
    extensions.insert("code".to_owned(), code.into());
    extensions.insert("reason".to_owned(), denial.reason.code().into());
    extensions.extend(denial.param.map(|param| ("param".to_owned(), param.into())));
    extensions.extend(told.request.map(|request| ("requestId".to_owned(), request.into())));
    json!({ "message": told.message, "extensions": extensions })
}
