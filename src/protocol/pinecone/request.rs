//! Requests: what is stored are documents, what is asked for are the caller's words.

use super::super::request::{Reader, Spot};
use super::super::{Json, Path};
use crate::enums::Zone;
use crate::protocol::Position;
use crate::reason::{Denial, Reason};

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
    one_spelling(at, reader.body)?;
    if reader.take("queries")?.is_some() {
        // Each would have a namespace, a filter and a number of its own.
        return Err(reader.shape());
    }
    for name in ["vectors", "setMetadata", "documents", "set_fields"] {
        reader.texts(name, STORED)?;
    }
    Ok(())
}

/// What a rule reads, as the reference of the older paths has it.
const CAMEL: [&str; 6] = ["topK", "setMetadata", "deleteAll", "namespace", "filter", "vectors"];
/// The same, of the paths for records and documents.
const SNAKE: [&str; 5] = ["top_k", "set_fields", "filter", "documents", "query"];

/// Refuses a field in a spelling that the reference of its path does not have: a lenient server would read it, and no rule
/// does.
fn one_spelling(at: &str, body: &Json<'_>) -> Result<(), Denial> {
    let names: &[&'static str] = if at.contains("/documents/") || at == super::SEARCH { &SNAKE } else { &CAMEL };
    let plain = |name: &str| name.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect::<String>();
    for holder in [Some(body), body.get("query")].into_iter().flatten() {
        let Json::Object(entries) = holder else { continue };
        for (key, _) in entries.iter().filter(|(key, _)| !names.contains(&key.as_ref())) {
            if let Some(name) = names.iter().find(|name| plain(name) == plain(key)) {
                return Err(Denial::new(Reason::BodyShape).with_param(name));
            }
        }
    }
    Ok(())
}
