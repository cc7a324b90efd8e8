//! Embed: texts, pictures, or inputs of both.

use super::super::request::{Reader, Spot};
use super::super::{Json, UnscannedKind};
use super::chat::read_part;
use crate::enums::Zone;
use crate::protocol::Position;
use crate::reason::Denial;

/// What is embedded is a document that somebody will find. Current: a vector of another text would be a lie, so a
/// finding refuses.
const EMBEDDED: Spot = Spot::new(Zone::Document, Position::Current);

pub(super) fn read(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    // `max_tokens` is where an input is cut off here, and caps no output.
    reader.model()?;
    reader.texts("texts", EMBEDDED)?;
    if let Some((path, value)) = reader.take("images")? {
        for (position, picture) in reader.items(value)?.iter().enumerate() {
            reader.bytes(&path.child(position), picture, EMBEDDED, UnscannedKind::Image);
        }
    }
    if let Some((path, value)) = reader.take("inputs")? {
        for (position, input) in reader.items(value)?.iter().enumerate() {
            for (at, (key, value)) in reader.entries(input, &["content"])?.iter().enumerate() {
                let place = path.child(position).child(at);
                match (key.as_ref(), value) {
                    ("content", Json::Array(_)) => {
                        for (number, part) in reader.items(value)?.iter().enumerate() {
                            read_part(reader, &place.child(number), part, EMBEDDED)?;
                        }
                    }
                    _ => reader.free_text(&place, value, EMBEDDED),
                }
                reader.key(&place, key, EMBEDDED);
            }
        }
    }
    Ok(())
}
