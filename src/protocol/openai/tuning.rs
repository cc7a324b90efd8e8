//! "Fine-tuning": jobs, what became of them, and who may use a checkpoint.

use super::super::form::Form;
use super::super::request::Reader;
use super::super::{Json, UnscannedKind};
use crate::reason::Denial;

/// What a path of fine-tuning takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Call {
    /// A new one, or the list of those that are there.
    #[default]
    List,
    /// Something to be read.
    Read,
    /// An order without a body.
    Act,
    /// Something to be taken back.
    Remove,
}

impl Call {
    /// By the words that a known path ends with.
    pub(super) fn of(known: &str) -> Call {
        match known.rsplit('/').next().unwrap_or_default() {
            "cancel" | "pause" | "resume" => Call::Act,
            "{job}" | "events" | "checkpoints" => Call::Read,
            "{permission}" => Call::Remove,
            _ => Call::List,
        }
    }

    pub(super) fn methods(self) -> &'static [&'static str] {
        match self {
            Call::List => &["GET", "POST"],
            Call::Read => &["GET"],
            Call::Act => &["POST"],
            Call::Remove => &["DELETE"],
        }
    }

    pub(super) fn reads_body(self, method: &str) -> bool {
        self == Call::List && method != "GET"
    }
}

/// "Create fine-tuning job". A checkpoint's permissions name the model in the path, and have projects only.
pub(super) fn read(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    let names_model = reader.names_model();
    reader.model()?;
    if names_model {
        return Ok(());
    }
    reader.require("training_file")?;
    for name in ["training_file", "validation_file"] {
        match reader.take(name)? {
            // Its id is a text like any other.
            Some((path, Json::String(_))) => reader.unscanned(UnscannedKind::Reference, &path),
            None | Some((_, Json::Null)) => {}
            Some(_) => return Err(reader.shape()),
        }
    }
    if let Some((_, method @ Json::Object(_))) = reader.take("method")? {
        if let Some(kind) = reader.inner(method, "type")? {
            reader.parameter(kind, Form::Word(&["supervised", "dpo", "reinforcement"]));
        }
        graders(method, &mut reader.out.models);
    }
    match reader.take("integrations")? {
        None | Some((_, Json::Null)) => {}
        Some((_, Json::Array(none))) if none.is_empty() => {}
        // They report to somebody else's account.
        Some(_) => reader.out.choices_of_operator.push("integrations"),
    }
    Ok(())
}

/// Every model that grades, however deep: it is asked as the job's own is.
fn graders(value: &Json<'_>, models: &mut Vec<String>) {
    match value {
        Json::Array(items) => items.iter().for_each(|item| graders(item, models)),
        Json::Object(entries) => {
            for (key, inner) in entries {
                match inner {
                    Json::String(model) if key == "model" => models.push(model.to_string()),
                    inner => graders(inner, models),
                }
            }
        }
        _ => {}
    }
}
