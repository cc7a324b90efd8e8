//! An upload: the fields of its form as one JSON object, which is taken apart like any body.
//!
//! `{"purpose": "batch", "file": {"filename": "a.jsonl", "content_type": "..."}, "lines": [...]}`: `lines` is there where
//! the file is read, one value a line.

use std::borrow::Cow;

use super::multipart::{Part, parts};
use super::{Json, Protocol};
use crate::enums::Operation;
use crate::reason::{Denial, Reason};

/// The field that the file is in.
const FILE: &str = "file";
/// The lines of the file. No field may have this name.
pub(super) const LINES: &str = "lines";

/// How much of an upload is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadsLines {
    /// The lines of a file that the format knows.
    pub lines: bool,
    /// How deep a line may nest.
    pub max_depth: usize,
}

impl Protocol {
    /// The fields of a form, where the format reads them; null, where it does not.
    ///
    /// # Errors
    /// As for a body, with the line at fault.
    pub fn form_fields<'b>(
        &self,
        operation: Operation,
        (body, content_type): (&'b [u8], &str),
        reads: ReadsLines,
    ) -> Result<Json<'b>, Denial> {
        if !self.reads_form(operation) {
            return Ok(Json::Null);
        }
        let parts = parts(body, content_type)?;
        let mut fields = Vec::with_capacity(parts.len() + 1);
        let mut file: &[u8] = &[];
        for part in &parts {
            let value = match (part.name, part.filename) {
                (FILE, Some(filename)) => {
                    file = part.content;
                    described(part, filename)
                }
                (FILE, None) | (_, Some(_)) => return Err(Denial::new(Reason::BodyShape).with_param(FILE)),
                (LINES, None) => return Err(Denial::new(Reason::BodyShape).with_param(LINES)),
                (_, None) => Json::String(Cow::Borrowed(
                    std::str::from_utf8(part.content).map_err(|_| Denial::new(Reason::BodyMalformed))?,
                )),
            };
            fields.push((Cow::Borrowed(part.name), value));
        }
        let mut fields = Json::Object(fields);
        if reads.lines && self.holds_lines(&fields) {
            let lines = Json::parse_lines(file, reads.max_depth).map_err(|(line, reason)| {
                let denial = Denial::new(reason);
                denial.with_param(FILE).with_line(line)
            })?;
            fields.set(LINES, Json::Array(lines));
        }
        Ok(fields)
    }
}

/// What a file is called, for it goes to the provider too.
fn described<'b>(part: &Part<'b>, filename: &'b str) -> Json<'b> {
    let text = |text: &'b str| Json::String(Cow::Borrowed(text));
    let mut fields = vec![(Cow::Borrowed("filename"), text(filename))];
    fields.extend(part.content_type.map(|kind| (Cow::Borrowed("content_type"), text(kind))));
    Json::Object(fields)
}
