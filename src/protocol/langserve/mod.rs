//! LangServe, and the runs and threads of a LangGraph server, after LangServe's and LangGraph Platform's public API
//! references. A chain of LangServe is named by the part of the path before `invoke`, `batch` or `stream`; a graph by
//! `assistant_id`.
//!
//! What is not here is unmatched: runs in the background, whose answers are fetched later, what is read or written of a
//! thread (`state`, `history`), and a chain's `c/{config_hash}`, by which a caller chooses what nobody here can read.

mod keys;
mod message;
mod reply;

use serde_json::json;

use super::adapter::Adapter;
use super::form::Form;
use super::keys::Keys;
use super::reply::ReplyFormat;
use super::request::{Reader, Spot};
use super::{Json, Path, Protocol, Told, UnscannedKind};
use crate::enums::Operation;
use crate::host::Timestamp;
use crate::reason::{Denial, Reason};

/// The format.
#[derive(Debug)]
pub(super) struct Langserve {
    /// A run of a graph, of its own or on a thread, and no chain of LangServe.
    runs: bool,
}

impl Langserve {
    pub(super) const fn new() -> Langserve {
        Langserve { runs: false }
    }
}

/// Parameters of a `config` that name a conversation or a memory, which the server keeps: another's `user_id` is another's
/// memory.
const SESSIONS: [&str; 6] = ["checkpoint_id", "checkpoint_ns", "conversation_id", "session_id", "thread_id", "user_id"];

impl Adapter for Langserve {
    fn name(&self) -> &'static str {
        "langserve"
    }

    fn paths(&self) -> &'static [(&'static str, Operation)] {
        &[
            ("invoke", Operation::Chat),
            ("batch", Operation::Chat),
            ("stream", Operation::Chat),
            ("runs/stream", Operation::Chat),
            ("runs/wait", Operation::Chat),
            ("threads/{id}/runs/stream", Operation::Chat),
            ("threads/{id}/runs/wait", Operation::Chat),
            ("{model}/invoke", Operation::Chat),
            ("{model}/batch", Operation::Chat),
            ("{model}/stream", Operation::Chat),
            ("threads", Operation::Conversations),
        ]
    }

    fn of_path(&self, known: &str) -> Option<Protocol> {
        let runs = known.starts_with("threads/") || known.starts_with("runs/");
        runs.then(|| Protocol::new(Langserve { runs }))
    }

    fn keys(&self) -> &'static Keys {
        &keys::KEYS
    }

    fn read(&self, operation: Operation, reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
        match (operation, self.runs) {
            (Operation::Conversations, _) => thread(reader),
            (Operation::Chat, false) => chain(reader),
            (Operation::Chat, true) => run(reader),
            _ => Err(Reason::BodyShape.into()),
        }
    }

    fn error_body(&self, told: &Told<'_>) -> Vec<u8> {
        json!({ "detail": told.message }).to_string().into_bytes()
    }

    /// The clients of both servers raise an error for it.
    fn withheld(&self, operation: Operation, told: &Told<'_>, _model: &str, _now: Timestamp) -> Option<Vec<u8>> {
        let error = json!({ "error": told.denial.reason.code(), "message": told.message });
        let body = json!({ "detail": told.message, "__error__": error });
        (operation == Operation::Chat).then(|| body.to_string().into_bytes())
    }

    fn reply(&self, operation: Operation) -> &dyn ReplyFormat {
        match operation {
            Operation::Chat if !self.runs => &reply::Outputs { is_chain: true },
            Operation::Chat => &reply::Outputs { is_chain: false },
            _ => &reply::Threads,
        }
    }
}

/// `input` or `inputs`, and how they are run.
fn chain(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    // A run on a route whose path does not tell that it is one: nothing would hold its graph and its webhook.
    if reader.take("assistant_id")?.is_some() {
        return Err(reader.shape());
    }
    reader.out.model = reader.path_model().unwrap_or("default").to_owned();
    let input = reader.take("input")?;
    let inputs = reader.take("inputs")?;
    match (input, inputs) {
        (Some((path, value)), None) => message::input(reader, &path, value)?,
        (None, Some((path, value))) => {
            let items = reader.items(value)?;
            reader.out.prompts = items.len().max(1) as u64;
            for (index, item) in items.iter().enumerate() {
                message::input(reader, &path.child(index), item)?;
            }
        }
        _ => return Err(reader.shape()),
    }
    if let Some((path, value)) = reader.take("config")? {
        match value {
            Json::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    config(reader, &path.child(index), item)?;
                }
            }
            value => config(reader, &path, value)?,
        }
    }
    if let Some((path, value)) = reader.take("kwargs")? {
        if !is_empty(value) {
            reader.out.choices_of_operator.push("kwargs");
        }
        reader.free_text(&path, value, Spot::USER);
    }
    Ok(())
}

/// A run of a graph: its input, or an order to one that waits.
fn run(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    let (_, assistant) = reader.require("assistant_id")?;
    reader.out.model = assistant.as_str().filter(|name| !name.is_empty()).ok_or(reader.shape())?.to_owned();
    reader.parameter(assistant, Form::Name);
    if let Some((path, value)) = reader.take("input")?.filter(|(_, value)| !matches!(value, Json::Null)) {
        message::input(reader, &path, value)?;
    }
    if let Some((path, value)) = reader.take("command")?.filter(|(_, value)| !is_empty(value)) {
        for (at, (key, value)) in reader.entries(value, &["update", "resume", "goto"])?.iter().enumerate() {
            let place = path.child(at);
            match key.as_ref() {
                "update" => message::input(reader, &place, value)?,
                // A node that the caller chooses may be behind the one that asks for approval.
                "goto" if !is_empty(value) => {
                    reader.out.choices_of_operator.push("goto");
                    reader.free_text(&place, value, Spot::USER);
                }
                _ => reader.free_text(&place, value, Spot::USER),
            }
            reader.key(&place, key, Spot::USER);
        }
    }
    for name in ["checkpoint", "checkpoint_id"] {
        if let Some((path, value)) = reader.take(name)?.filter(|(_, value)| !matches!(value, Json::Null)) {
            reader.unscanned(UnscannedKind::State, &path);
            reader.free_text(&path, value, Spot::USER);
        }
    }
    for name in ["config", "context"] {
        if let Some((path, value)) = reader.take(name)? {
            match name {
                "config" => config(reader, &path, value)?,
                _ => configurable(reader, &path, value)?,
            }
        }
    }
    // Where the server sends the answer, and where its trace.
    for name in ["webhook", "langsmith_tracer"] {
        if let Some((path, value)) = reader.take(name)?.filter(|(_, value)| !is_empty(value)) {
            reader.out.choices_of_operator.push(name);
            reader.free_text(&path, value, Spot::USER);
        }
    }
    // These messages come as far as they have come, again and again: nobody can say of the last word what it will be.
    if let Some((_, modes)) = reader.take("stream_mode")? {
        let is_growing = |mode: &Json<'_>| mode.as_str() == Some("messages");
        if is_growing(modes) || matches!(modes, Json::Array(modes) if modes.iter().any(is_growing)) {
            return Err(reader.shape());
        }
        message::words(reader, modes);
    }
    for name in ["multitask_strategy", "on_disconnect", "on_completion", "if_not_exists", "durability"] {
        if let Some((_, value)) = reader.take(name)? {
            message::words(reader, value);
        }
    }
    Ok(())
}

/// A thread of the server's own naming: one that the caller names could be another caller's.
fn thread(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    reader.out.model = "default".to_owned();
    for name in ["thread_id", "supersteps"] {
        if reader.take(name)?.is_some_and(|(_, value)| !is_empty(value)) {
            return Err(reader.shape().with_param(name));
        }
    }
    if let Some((_, value)) = reader.take("if_exists")? {
        message::words(reader, value);
    }
    Ok(())
}

/// How a chain or graph is run.
fn config<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>) -> Result<(), Denial> {
    if is_empty(value) {
        return Ok(());
    }
    for (at, (key, value)) in reader.entries(value, &["configurable"])?.iter().enumerate() {
        let place = path.child(at);
        match key.as_ref() {
            "configurable" => configurable(reader, &place, value)?,
            _ => reader.free_text(&place, value, Spot::USER),
        }
        reader.key(&place, key, Spot::USER);
    }
    Ok(())
}

/// What the application lets its callers choose: models, prompts and keys among it, so that the role must allow it. The
/// names of a conversation that the server keeps are no such choice.
fn configurable<'j>(reader: &mut Reader<'_, 'j>, path: &Path, value: &Json<'j>) -> Result<(), Denial> {
    if is_empty(value) {
        return Ok(());
    }
    for (at, (key, value)) in reader.entries(value, &SESSIONS)?.iter().enumerate() {
        let place = path.child(at);
        if SESSIONS.contains(&key.as_ref()) {
            reader.unscanned(UnscannedKind::State, &place);
        } else {
            reader.out.choices_of_operator.push("configurable");
        }
        reader.free_text(&place, value, Spot::USER);
        reader.key(&place, key, Spot::USER);
    }
    Ok(())
}

fn is_empty(value: &Json<'_>) -> bool {
    match value {
        Json::Null => true,
        Json::Object(entries) => entries.is_empty(),
        Json::Array(items) => items.is_empty(),
        _ => false,
    }
}
