//! "Fine-tuning": jobs, what became of them, and who may use a checkpoint.

use super::super::form::Form;
use super::super::request::Reader;
use super::super::{Json, UnscannedKind};
use crate::reason::Denial;

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
