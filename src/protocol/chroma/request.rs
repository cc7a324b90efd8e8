//! Requests: what is stored are documents, what is asked for are the caller's words.

use super::super::Json;
use super::super::form::Form;
use super::super::request::{Reader, Spot};
use crate::enums::{Operation, Zone};
use crate::protocol::Position;
use crate::reason::Denial;

/// What is stored is a document that somebody will find. Current: its vector would be of another text, so a finding refuses.
const STORED: Spot = Spot::new(Zone::Document, Position::Current);

pub(super) fn read(at: &'static str, reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    // A server has no models.
    reader.out.model = "default".to_owned();
    reader.choices(&[])?;
    for name in ["documents", "uris"] {
        reader.texts(name, STORED)?;
    }
    if let Some((path, metadatas)) = reader.take("metadatas")? {
        reader.free_text(&path, metadatas, STORED);
    }
    if let Some((path, vectors)) = reader.take("embeddings")? {
        for (position, vector) in reader.items(vectors)?.iter().enumerate() {
            // Numbers, or their bytes in base64.
            if !matches!(vector, Json::String(_)) || !reader.parameter(vector, Form::Base64) {
                reader.free_text(&path.child(position), vector, STORED);
            }
        }
    }
    if at == super::COLLECTIONS {
        let opens = matches!(reader.take("get_or_create")?, Some((_, Json::Bool(true))));
        if !opens {
            reader.out.operations.push(Operation::Upsert);
        }
    }
    Ok(())
}
