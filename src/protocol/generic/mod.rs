//! Any JSON body, described by JSON Pointers: `POST /llm {"prompt": ...}` and its kin.
//!
//! The pointers name what is the caller's prompt and what is a document. Every other string is
//! scanned too, as the caller's words.

use serde_json::json;

use super::adapter::Adapter;
use super::form::Form;
use super::keys::Keys;
use super::reply::{ReplyFormat, TextKind, Walk};
use super::request::{Reader, Spot};
use super::{Json, Path, Told, Usage};
use crate::enums::Operation;
use crate::reason::{Denial, Reason};

/// The pointers of one route, taken apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GenericSpec {
    prompt: Vec<Pointer>,
    documents: Vec<Pointer>,
    model: Option<Pointer>,
    output: Vec<Pointer>,
}

/// A JSON Pointer (RFC 6901) in which `*` stands for every element of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// Reads `/a/0/b~1c`; `None` when it is not empty and does not begin with `/`, or holds a bad escape.
    pub fn parse(text: &str) -> Option<Pointer> {
        if text.is_empty() {
            return Some(Pointer(Vec::new()));
        }
        text.strip_prefix('/')?.split('/').map(unescape).collect::<Option<Vec<_>>>().map(Pointer)
    }

    /// Every place of `body` that the pointer reaches.
    fn places(&self, body: &Json<'_>) -> Vec<Path> {
        let mut reached = vec![(Path::default(), body)];
        for step in &self.0 {
            let mut next = Vec::new();
            for (path, value) in reached {
                match value {
                    Json::Array(items) if step == "*" => {
                        next.extend(items.iter().enumerate().map(|(i, item)| (path.child(i), item)));
                    }
                    Json::Array(items) => {
                        if let Some((i, item)) = step.parse().ok().and_then(|i: usize| Some((i, items.get(i)?))) {
                            next.push((path.child(i), item));
                        }
                    }
                    Json::Object(entries) => {
                        if let Some((i, (_, item))) = entries.iter().enumerate().find(|(_, (key, _))| key == step) {
                            next.push((path.child(i), item));
                        }
                    }
                    _ => {}
                }
            }
            reached = next;
        }
        reached.into_iter().map(|(path, _)| path).collect()
    }
}

fn unescape(part: &str) -> Option<String> {
    let mut out = String::with_capacity(part.len());
    let mut chars = part.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '~' => match chars.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            c => c,
        });
    }
    Some(out)
}

impl GenericSpec {
    /// From pointers that [`Pointer::parse`] took.
    pub fn new(prompt: Vec<Pointer>, documents: Vec<Pointer>, model: Option<Pointer>, output: Vec<Pointer>) -> Self {
        GenericSpec { prompt, documents, model, output }
    }

    fn read(&self, reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
        let shape = || Denial::new(Reason::BodyShape);
        let body = reader.body;
        let Json::Object(_) = body else { return Err(shape()) };
        for key in self.pointers().filter_map(|pointer| pointer.0.first()) {
            body.field(key)?;
        }
        reader.out.model = "default".to_owned();
        let model = self.model.iter().flat_map(|pointer| pointer.places(body)).next();
        if let Some(path) = &model {
            reader.out.model =
                body.at(path).and_then(Json::as_str).filter(|m| !m.is_empty()).ok_or_else(shape)?.to_owned();
        }
        let prompts: Vec<Path> = self.prompt.iter().flat_map(|pointer| pointer.places(body)).collect();
        if prompts.is_empty() {
            return Err(shape());
        }
        let documents: Vec<Path> = self.documents.iter().flat_map(|pointer| pointer.places(body)).collect();
        if let Some(value) = model.as_ref().and_then(|path| body.at(path)) {
            reader.parameter(value, Form::Name);
        }
        body.visit_strings(&Path::default(), &mut |place, is_key, text| {
            if text.is_empty() || (is_key && self.names(text)) || (!is_key && Some(place) == model.as_ref()) {
                return;
            }
            let in_document = documents.iter().any(|document| place.is_in(document))
                && !prompts.iter().any(|prompt| place.is_in(prompt));
            reader.segment(place, is_key, if in_document { Spot::DOCUMENT } else { Spot::USER });
        });
        Ok(())
    }

    /// What the pointers of `output` reach is the answer, every other string a text of its own.
    fn read_reply(&self, walk: &mut Walk<'_>, reply: &Json<'_>) {
        let answers: Vec<Path> = self.output.iter().flat_map(|pointer| pointer.places(reply)).collect();
        walk.others(&Path::default(), reply);
        for text in &mut walk.parts.texts {
            if answers.iter().any(|answer| text.path.is_in(answer)) {
                text.channel.kind = TextKind::Text;
            }
        }
    }

    fn names(&self, key: &str) -> bool {
        self.pointers().any(|pointer| pointer.0.iter().any(|step| step == key))
    }

    fn pointers(&self) -> impl Iterator<Item = &Pointer> {
        self.prompt.iter().chain(&self.documents).chain(&self.model).chain(&self.output)
    }
}

impl Adapter for GenericSpec {
    fn name(&self) -> &'static str {
        "generic"
    }

    fn paths(&self) -> &'static [(&'static str, Operation)] {
        &[]
    }

    fn operations(&self) -> Vec<Operation> {
        vec![Operation::Generate, Operation::Chat]
    }

    fn only_operation(&self) -> Option<Operation> {
        Some(Operation::Generate)
    }

    fn keys(&self) -> &'static Keys {
        static NONE: Keys = Keys::new(&[]);
        &NONE
    }

    fn knows_key(&self, key: &str) -> bool {
        self.names(key)
    }

    fn content_keys(&self) -> Option<&'static [&'static str]> {
        None
    }

    fn read(&self, _operation: Operation, reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
        self.read(reader)
    }

    fn error_body(&self, told: &Told<'_>) -> Vec<u8> {
        error_body(told)
    }

    fn reply(&self, _operation: Operation) -> &dyn ReplyFormat {
        self
    }
}

impl ReplyFormat for GenericSpec {
    fn read(&self, walk: &mut Walk<'_>, reply: &Json<'_>) {
        self.read_reply(walk, reply);
        walk.parts.usage = reply.get("usage").and_then(Usage::of_counts);
    }
}

/// `{"error":{"message","code"}}`: the code is the reason, since no SDK has a list of its own here.
fn error_body(told: &Told<'_>) -> Vec<u8> {
    let mut error = json!({ "message": told.message, "code": told.denial.reason.code() });
    if let (Some(id), Some(fields)) = (told.request, error.as_object_mut()) {
        fields.insert("request_id".to_owned(), id.into());
    }
    json!({ "error": error }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enums::Zone;
    use crate::protocol::{Exchange, Protocol};

    fn spec(prompt: &[&str], documents: &[&str]) -> GenericSpec {
        let list = |texts: &[&str]| texts.iter().map(|text| Pointer::parse(text).unwrap()).collect();
        GenericSpec::new(list(prompt), list(documents), Pointer::parse("/model"), Vec::new())
    }

    fn read(spec: GenericSpec, body: &Json<'_>) -> Result<Exchange, Denial> {
        Protocol::new(spec).read_request(Operation::Generate, None, body)
    }

    #[test]
    fn pointers_are_read_as_rfc_6901_says() {
        assert_eq!(Pointer::parse("/a~1b/m~0n"), Some(Pointer(vec!["a/b".into(), "m~n".into()])));
        assert_eq!(Pointer::parse("a"), None);
        assert_eq!(Pointer::parse("/a~2"), None);
    }

    #[test]
    fn prompt_documents_and_the_rest_get_their_zones() {
        let body =
            Json::parse(br#"{"prompt":"hi","context":[{"text":"d1"},{"text":"d2"}],"model":"m","extra":{"k":"v"}}"#, 8)
                .unwrap();
        let exchange = read(spec(&["/prompt"], &["/context/*/text"]), &body).unwrap();
        assert_eq!(exchange.model, "m");
        let seen: Vec<_> = exchange
            .segments
            .iter()
            .map(|s| (s.zone, s.is_key, body.at(&s.path).and_then(Json::as_str).unwrap_or_default()))
            .collect();
        assert_eq!(
            seen,
            [
                (Zone::User, false, "hi"),
                (Zone::Document, false, "d1"),
                (Zone::Document, false, "d2"),
                (Zone::User, true, ""),
                (Zone::User, true, "v"),
                (Zone::User, false, "v"),
            ]
        );
    }

    #[test]
    fn a_body_without_the_prompt_is_refused() {
        for body in [r#"{"model":"m"}"#, r#"["prompt"]"#, r#"{"Prompt":"x"}"#, r#"{"prompt":"x","model":7}"#] {
            let json = Json::parse(body.as_bytes(), 8).unwrap();
            assert_eq!(read(spec(&["/prompt"], &[]), &json).unwrap_err().reason, Reason::BodyShape, "{body}");
        }
    }
}
