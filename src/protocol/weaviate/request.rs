//! Requests: what is stored are documents, what is asked for are the caller's words.

use super::super::Json;
use super::super::graphql::source::malformed;
use super::super::request::{Reader, Spot};
use super::{BATCH, GRAPHQL, OBJECT, OBJECTS, VALIDATE};
use crate::enums::Zone;
use crate::protocol::Position;
use crate::reason::Denial;

/// What is stored is a document that somebody will find. Current: its vector would be of another text, so a finding refuses.
const STORED: Spot = Spot::new(Zone::Document, Position::Current);

pub(super) fn read(at: &'static str, reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    // A server has no models.
    reader.out.model = "default".to_owned();
    match at {
        OBJECTS | OBJECT | VALIDATE => reader.texts("properties", STORED).map(|_| ()),
        BATCH => reader.texts("objects", STORED).map(|_| ()),
        GRAPHQL => {
            let (_, query) = reader.require("query")?;
            // What a caller wrote into it is beside it.
            reader.covers(query.get("source").filter(|text| matches!(text, Json::String(_))).ok_or(malformed())?);
            Ok(())
        }
        _ => Ok(()),
    }
}
