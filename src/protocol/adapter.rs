//! What one wire format is: the trait that each format's folder implements, and the handle that the rest of the
//! filter holds.
//!
//! A format says where text is and which zone it claims, what a reply is made of, and how a refusal or an early
//! end is written. It decides nothing.

use std::borrow::Cow;
use std::fmt::Debug;
use std::ops::Deref;
use std::sync::Arc;

use super::confine::{Confined, Scope};
use super::keys::Keys;
use super::queries::Queries;
use super::reply::ReplyFormat;
use super::request::Reader;
use super::tools::pin;
use super::{Exchange, Json, Path, Refusal, Segment, Told, UnscannedKind, Usage};
use crate::enums::{ConfinedBy, Operation, Zone};
use crate::host::Timestamp;
use crate::reason::{Denial, Reason};

/// What is said about a text, whatever the format.
const ASIDE: [&str; 4] = ["_meta", "annotations", "citations", "metadata"];
/// What a model reads one after the other.
const CONTENT: [&str; 16] = [
    "code",
    "content",
    "contents",
    "document",
    "input",
    "instructions",
    "output",
    "prompt",
    "query",
    "reasoning",
    "reasoning_content",
    "refusal",
    "summary",
    "system",
    "text",
    "thinking",
];
/// Values of any form, whose keys are the caller's or the model's.
const FREE: [&str; 3] = ["arguments", "input", "structuredContent"];

/// Names and values of headers, as they came.
pub type HeaderPairs<'i, 'h> = &'i mut dyn Iterator<Item = (&'h [u8], &'h [u8])>;

/// What the headers of a request say of its body.
pub trait Asserted: Send {
    /// Compares it with the body that came.
    ///
    /// # Errors
    /// A denial when they differ.
    fn check(&self, body: &Json<'_>) -> Result<(), Denial>;

    /// What the headers choose of what is the operator's to choose.
    fn choices_of_operator(&self) -> &[&'static str] {
        &[]
    }
}

// Else each type's own form for debugging would be part of every module, for nobody ever to read.
impl Debug for dyn Asserted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Asserted")
    }
}

impl Debug for dyn Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// One wire format.
pub trait Adapter: Send + Sync {
    /// The word in the document, records and metrics.
    fn name(&self) -> &'static str;

    /// The dialects that a route of the format may name (`routes[].dialect`).
    fn dialects(&self) -> &'static [&'static str] {
        &[]
    }

    /// The format in one of its dialects; `None`: it has no such dialect.
    fn in_dialect(&self, _word: &str) -> Option<Protocol> {
        None
    }

    /// The format with what a policy says of the operations that are written in it; `None`: it has no such text.
    fn with_queries(&self, _queries: Queries) -> Option<Protocol> {
        None
    }

    /// Why an operation of the policy's is never served; `None`: it is, as far as its variables let it.
    fn fault_of(&self, _text: &str) -> Option<Denial> {
        None
    }

    /// The known paths of the format, below its prefix, and the operation of each. One that ends with `/` matches what is
    /// below it; `{model}` is any one part, or the rest of one, and names the model; `{id}` names what the provider keeps, and any other
    /// name in braces nothing. Sorted by operation.
    fn paths(&self) -> &'static [(&'static str, Operation)];

    /// The format of the bodies at a known path, where that is another one: a provider may serve a model behind an API of
    /// its maker's.
    fn of_path(&self, _known: &'static str) -> Option<Protocol> {
        None
    }

    /// The model that a part of a path names. `None`: there is no such model, and the path is none of the format's. A slash
    /// that is escaped is no part of a name, for an upstream could read it as one.
    fn model_in_path<'p>(&self, written: &'p str) -> Option<Cow<'p, str>> {
        (!has_escaped_slash(written)).then_some(Cow::Borrowed(written))
    }

    /// Headers of a request, in small letters, that are not for the upstream: a client's own signature and what goes with it.
    fn stripped_headers(&self) -> &'static [&'static str] {
        &[]
    }

    /// Paths of the format that can't be guarded, below its prefix: refused by a reason of their own, whatever `unmatched`
    /// says. One that ends with `/` matches what is below it; one that begins with `/` is not below the prefix.
    fn refused_paths(&self) -> &'static [&'static str] {
        &[]
    }

    /// The parameters of a query that are credentials. They are read as one, and never reach the upstream.
    fn credential_parameters(&self) -> &'static [&'static str] {
        &[]
    }

    /// The operations that a route of the format may be.
    fn operations(&self) -> Vec<Operation> {
        let mut operations: Vec<Operation> = self.paths().iter().map(|(_, operation)| *operation).collect();
        operations.dedup();
        operations
    }

    /// The operation of any path, for a format whose paths do not tell it.
    fn only_operation(&self) -> Option<Operation> {
        None
    }

    /// The operations each of which is enough for this one: what every client asks first. `None`: it is one like any other.
    fn enough_for(&self, _operation: Operation) -> Option<&'static [Operation]> {
        None
    }

    /// The methods that an operation is called by.
    fn methods(&self, operation: Operation) -> &'static [&'static str] {
        match operation {
            Operation::Models => &["GET", "HEAD"],
            _ => &["POST"],
        }
    }

    /// The methods of a known path, where its operation has more: a path may be there once for each of several operations
    /// if their methods differ.
    fn methods_at(&self, _known: &str, operation: Operation) -> &'static [&'static str] {
        self.methods(operation)
    }

    /// True when a request of this operation has a body that is read.
    fn reads_body(&self, operation: Operation, _method: &str) -> bool {
        operation != Operation::Models
    }

    /// True when the answer to a request without a body, of this operation and method, is guarded.
    fn guards_reply(&self, _operation: Operation, _method: &str) -> bool {
        false
    }

    /// The parameters of a query that ask for a stream from its middle: what its first texts go on with is then not seen.
    fn resuming_parameters(&self) -> &'static [&'static str] {
        &[]
    }

    /// True when the answer to a request of this operation and method is a list of what the provider keeps of all callers.
    fn lists_kept(&self, _operation: Operation, _method: &str) -> bool {
        false
    }

    /// What a form of files (`multipart/form-data`) holds, where a request of this operation may be one. It is not read, but
    /// for what [`Adapter::reads_form`] and [`Adapter::holds_lines`] say.
    fn form(&self, _operation: Operation) -> Option<UnscannedKind> {
        None
    }

    /// True when the fields of a form of this operation are read: [`Adapter::read_fields`] gets them as an object.
    fn reads_form(&self, _operation: Operation) -> bool {
        false
    }

    /// True when the file in a form with these fields is one of lines that the format reads.
    fn holds_lines(&self, _fields: &Json<'_>) -> bool {
        false
    }

    /// Takes the fields of a form apart.
    ///
    /// # Errors
    /// [`Reason::BodyShape`] with the parameter and the line at fault.
    fn read_fields(&self, _reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
        Err(Reason::BodyShape.into())
    }

    /// True when servers read a body as JSON whatever its content type.
    fn takes_any_type(&self) -> bool {
        false
    }

    /// True when the upstream is a server of tools: its lists define tools.
    fn serves_tools(&self) -> bool {
        false
    }

    /// What the upstream's answers are for a model that reads them next: a tool's words, or documents. `None`: they are a
    /// model's own.
    fn reply_zone(&self) -> Option<Zone> {
        self.serves_tools().then_some(Zone::Tool)
    }

    /// The header with the id of a client's session, for a server of tools that has sessions.
    fn session_header(&self) -> Option<&'static str> {
        None
    }

    /// A message with this id that every server answers. It replaces a refused request whose answer comes on
    /// another stream. `None`: the format has no such stream.
    fn stand_in(&self, _id: &str) -> Option<Vec<u8>> {
        None
    }

    /// The format's own keys, sorted. Those of JSON Schema are known in every format.
    fn keys(&self) -> &'static Keys;

    /// True for a key that is part of the format, and so no text of the caller's.
    fn knows_key(&self, key: &str) -> bool {
        self.keys().knows(key)
    }

    /// The keys that content is under; others hold names and ids. `None`: any key.
    fn content_keys(&self) -> Option<&'static [&'static str]> {
        Some(&["content", "text", "output", "data"])
    }

    /// How the format's servers keep tenants apart. Not empty: the upstream is a store, and what it answers are documents.
    fn tenancies(&self) -> &'static [ConfinedBy] {
        &[]
    }

    /// Compares the tenant that the target of a request names, path and query.
    ///
    /// # Errors
    /// [`Reason::RbacTenant`].
    fn confine_target<'t>(
        &self,
        _operation: Operation,
        _scope: &Scope<'_>,
        _target: &'t str,
    ) -> Result<Confined<'t>, Denial> {
        Ok(Confined::default())
    }

    /// Where the store says whose this id is that the target of a request has: a path of its own. `None`: ids are named
    /// together with their tenant, or it says so nowhere.
    fn told_at(&self, _id: &str, _target: &str) -> Option<String> {
        None
    }

    /// True where [`Adapter::told_at`] has an answer.
    fn has_unnamed_ids(&self) -> bool {
        false
    }

    /// The same for its body, in which the tenant is added where it is missing. True: it was.
    ///
    /// # Errors
    /// [`Reason::RbacTenant`], or [`Reason::BodyShape`].
    fn confine_body(&self, _operation: Operation, _scope: &Scope<'_>, _body: &mut Json<'_>) -> Result<bool, Denial> {
        Ok(false)
    }

    /// Lowers the number of results that a search asks for to this one, which is added where the server's own would be
    /// higher. True: the body changed.
    ///
    /// # Errors
    /// [`Reason::BodyShape`] for what is no number.
    fn cap_results(&self, _operation: Operation, _most: u64, _body: &mut Json<'_>) -> Result<bool, Denial> {
        Ok(false)
    }

    /// The same for a search whose target names the number. The new target, where it changed.
    ///
    /// # Errors
    /// [`Reason::BodyShape`] for what is no number.
    fn cap_target(&self, _operation: Operation, _most: u64, _target: &str) -> Result<Option<String>, Denial> {
        Ok(None)
    }

    /// The body is lines of JSON, read as an array of them.
    fn reads_lines(&self) -> bool {
        false
    }

    /// What the headers say of the body, where the format has such headers. `is_http_sse`: they are a message of the Model Context
    /// Protocol's HTTP+SSE transport.
    ///
    /// # Errors
    /// A denial when they contradict themselves.
    fn asserted(&self, _headers: HeaderPairs<'_, '_>, _is_http_sse: bool) -> Result<Option<Box<dyn Asserted>>, Denial> {
        Ok(None)
    }

    /// Makes a tree of a string of the body that is itself written in a language: its values can then be judged and changed
    /// like any other.
    ///
    /// # Errors
    /// A denial where it can't be read.
    fn unfold(&self, _body: &mut Json<'_>) -> Result<(), Denial> {
        Ok(())
    }

    /// Makes a string again of what [`Adapter::unfold`] made a tree of.
    ///
    /// # Errors
    /// [`Reason::Internal`] where something was changed that can't be written back.
    fn fold(&self, _body: &mut Json<'_>) -> Result<(), Denial> {
        Ok(())
    }

    /// True for a text that can't be changed where it is: what would change it refuses the request.
    fn is_fixed(&self, _body: &Json<'_>, _segment: &Segment) -> bool {
        false
    }

    /// The id that an answer to this request must carry, as JSON.
    fn request_id(&self, _body: &Json<'_>) -> Option<String> {
        None
    }

    /// The method that this request calls, where the protocol has methods in its bodies.
    fn rpc_method<'j>(&self, _body: &'j Json<'_>) -> Option<&'j str> {
        None
    }

    /// Takes a body apart.
    ///
    /// # Errors
    /// [`Reason::BodyShape`] with the parameter at fault.
    fn read(&self, operation: Operation, reader: &mut Reader<'_, '_>) -> Result<(), Denial>;

    /// The text that the application's instructions end with, a string of the body. `None`: the request has none, or
    /// the format has no place for them.
    fn system_prompt(&self, _operation: Operation, _body: &Json<'_>) -> Option<Path> {
        None
    }

    /// The body of a refusal in the format's own words.
    fn error_body(&self, told: &Told<'_>) -> Vec<u8>;

    /// The media type of a refusal, for a caller that sent this `accept`.
    fn error_type(&self, _accepts: &[u8]) -> &'static str {
        "application/json"
    }

    /// A header that tells the SDKs which exception a refusal is.
    fn error_header(&self, _denial: &Denial) -> Option<(&'static str, &'static str)> {
        None
    }

    /// The header in which the format's SDKs look for the id of a request.
    fn id_header(&self) -> &'static str {
        "x-request-id"
    }

    /// A whole reply, as of a model that a content filter has stopped, for where the status says that all is well.
    /// `None`: this operation has no such reply.
    fn withheld(&self, _operation: Operation, _told: &Told<'_>, _model: &str, _now: Timestamp) -> Option<Vec<u8>> {
        None
    }

    /// What the headers of a reply tell of its cost.
    fn usage_of(&self, _headers: HeaderPairs<'_, '_>) -> Usage {
        Usage::default()
    }

    /// How the replies of an operation read.
    fn reply(&self, operation: Operation) -> &dyn ReplyFormat;
}

/// True for a path with a slash or a backslash that is escaped, once or twice.
pub(crate) fn has_escaped_slash(path: &str) -> bool {
    let escapes = || path.split('%').skip(1).filter_map(|part| part.get(..2));
    escapes().any(|digits| ["2f", "5c", "25"].iter().any(|slash| digits.eq_ignore_ascii_case(slash)))
}

/// A wire format with what it needs to know.
#[derive(Clone, Debug)]
pub struct Protocol(Arc<dyn Adapter>);

impl Protocol {
    /// A format.
    pub fn new(adapter: impl Adapter + 'static) -> Protocol {
        Protocol(Arc::new(adapter))
    }

    /// The tree of a body, in which a string that is written in a language is a tree of its own.
    ///
    /// # Errors
    /// As [`Json::parse`], and as [`Adapter::unfold`].
    pub fn parse<'b>(&self, body: &'b [u8], max_depth: usize) -> Result<Json<'b>, Denial> {
        let mut json = match self.reads_lines() {
            true => Json::Array(Json::parse_lines(body, max_depth).map_err(|(_, reason)| reason)?),
            false => Json::parse(body, max_depth)?,
        };
        self.unfold(&mut json)?;
        Ok(json)
    }

    /// Takes a body apart that [`Protocol::parse`] has read. `model` is the one that the path names, where it names one.
    ///
    /// # Errors
    /// [`Reason::BodyShape`] with the parameter at fault.
    pub fn read_request(&self, operation: Operation, model: Option<&str>, body: &Json<'_>) -> Result<Exchange, Denial> {
        let knows = |key: &str| self.knows_key(key);
        let mut reader = Reader::new(body, model, &knows);
        self.0.read(operation, &mut reader)?;
        Ok(reader.finish())
    }

    /// True for a text that a model does not read between two others: a key, a name, metadata, what is under a key
    /// that the format does not know. It is judged like any other, and parts nothing.
    pub fn is_aside(&self, root: &Json<'_>, path: &Path, is_key: bool) -> bool {
        let is_any = self.content_keys().is_none();
        let (mut is_aside, mut is_free, mut is_content) = (is_key, false, is_any);
        for (depth, step) in root.steps(path).enumerate() {
            let Some(key) = step.key else { continue };
            is_aside |= !is_free && (ASIDE.contains(&key) || !(is_any || self.knows_key(key)));
            // A body's own `input` is the conversation.
            is_free |= depth > 0 && FREE.contains(&key);
            is_content = is_any || is_free || CONTENT.contains(&key);
        }
        is_aside || !is_content
    }

    /// The names of what a list of a server of tools defines, and the [`pin`] of each whole definition.
    pub fn definitions(&self, list: &Json<'_>) -> Vec<(String, String)> {
        let Some(operation) = self.only_operation() else { return Vec::new() };
        let calls = self.read_reply(operation, list).calls.into_iter();
        calls.filter_map(|call| Some((call.name, pin(list.at(&call.path)?)))).collect()
    }

    /// A form of files with these fields. Where the format does not read them, its model has no name and all of it is
    /// unscanned.
    ///
    /// # Errors
    /// [`Reason::BodyShape`] where the operation has no forms, or with the parameter and the line at fault.
    pub fn read_form(&self, operation: Operation, fields: &Json<'_>) -> Result<Exchange, Denial> {
        let kind = self.form(operation).ok_or(Reason::BodyShape)?;
        if !self.reads_form(operation) {
            return Ok(Exchange::unread(kind));
        }
        let knows = |key: &str| self.knows_key(key);
        let mut reader = Reader::new(fields, None, &knows);
        self.0.read_fields(&mut reader)?;
        Ok(reader.finish())
    }

    /// A refusal in the format's own words.
    pub fn refuse(&self, told: &Told<'_>) -> Refusal {
        let body = self.error_body(told);
        Refusal { status: told.denial.status(), content_type: self.error_type(told.accepts), body }
    }
}

impl Deref for Protocol {
    type Target = dyn Adapter;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref()
    }
}
