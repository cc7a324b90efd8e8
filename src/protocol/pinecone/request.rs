//! Requests: what is stored are documents, what is asked for are the caller's words.

use super::super::request::{Reader, Spot};
use super::super::{Json, Path};
use crate::enums::Zone;
use crate::protocol::Position;
use crate::reason::Denial;

/// What is stored is a document that somebody will find. Current: its vector would be of another text, so a finding refuses.
const STORED: Spot = Spot::new(Zone::Document, Position::Current);

pub(super) fn read(at: &'static str, reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    // An index has one model.
    reader.out.model = "default".to_owned();
    if at == super::RECORDS {
        for (position, record) in reader.items(reader.body)?.iter().enumerate() {
            let path = Path::default().child(position);
            match record {
                Json::Object(_) => reader.free_text(&path, record, STORED),
                _ => return Err(reader.shape()),
            }
        }
        return Ok(());
    }
    for name in ["vectors", "setMetadata", "documents", "set_fields"] {
        reader.texts(name, STORED)?;
    }
    Ok(())
}
