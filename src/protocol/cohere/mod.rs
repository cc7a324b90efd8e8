//! Cohere's rerank API, `/v2/rerank` and `/v1/rerank`, after its public reference.
//!
//! A request holds a query and documents; the reply says which documents fit, by their place in the request. A document
//! with something hostile in it is replaced by a notice, as documents are elsewhere: the notice fits no query, so that
//! the document falls behind the others.

use serde_json::json;

use super::adapter::Adapter;
use super::reply::{Plain, ReplyFormat};
use super::request::{Reader, Spot};
use super::{Json, Told, Usage};
use crate::enums::Operation;
use crate::reason::Denial;

/// The format.
#[derive(Debug)]
pub(super) struct Cohere;

/// Sorted, because they are searched by halves.
const KEYS: &[&str] = &[
    "api_version",
    "billed_units",
    "cached_tokens",
    "classifications",
    "document",
    "documents",
    "id",
    "image_tokens",
    "images",
    "index",
    "input_tokens",
    "is_deprecated",
    "is_experimental",
    "max_chunks_per_doc",
    "max_tokens_per_doc",
    "message",
    "meta",
    "model",
    "output_tokens",
    "priority",
    "query",
    "rank_fields",
    "relevance_score",
    "results",
    "return_documents",
    "search_units",
    "text",
    "tokens",
    "top_n",
    "version",
    "warnings",
];

const REPLY: Plain = Plain { usage };

impl Adapter for Cohere {
    fn name(&self) -> &'static str {
        "cohere"
    }

    fn paths(&self) -> &'static [(&'static str, Operation)] {
        &[("rerank", Operation::Rerank)]
    }

    fn keys(&self) -> &'static [&'static str] {
        KEYS
    }

    fn read(&self, _operation: Operation, reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
        read(reader)
    }

    /// `{"message"}`, as Cohere's own errors.
    fn error_body(&self, told: &Told<'_>) -> Vec<u8> {
        json!({ "message": told.message }).to_string().into_bytes()
    }

    fn reply(&self, _operation: Operation) -> &dyn ReplyFormat {
        &REPLY
    }
}

fn read(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    // The first version has a model of its own where none is named.
    reader.out.model = "default".to_owned();
    if reader.body.field("model")?.is_some() {
        reader.model()?;
    }
    let (path, query) = reader.require("query")?;
    reader.free_text(&path, query, Spot::USER);
    let (path, documents) = reader.require("documents")?;
    for (index, document) in reader.items(documents)?.iter().enumerate() {
        match document {
            // Of an object any field may be ranked by.
            Json::String(_) | Json::Object(_) => reader.free_text(&path.child(index), document, Spot::DOCUMENT),
            _ => return Err(reader.shape()),
        }
    }
    Ok(())
}

/// `meta.tokens`, or what was billed where that is tokens. Searches are billed in units of their own, which tell no
/// tokens.
fn usage(reply: &Json<'_>) -> Option<Usage> {
    let meta = reply.get("meta")?;
    ["tokens", "billed_units"].into_iter().find_map(|name| Usage::of_counts(meta.get(name)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enums::Zone;
    use crate::protocol::{Exchange, Position, Protocol};
    use crate::reason::Reason;

    fn read(body: &str) -> Result<Exchange, Denial> {
        let json = Json::parse(body.as_bytes(), 8).unwrap();
        Protocol::new(Cohere).read_request(Operation::Rerank, None, &json)
    }

    #[test]
    fn the_query_is_the_callers_and_documents_are_documents() {
        let body = r#"{"model":"rerank-v3.5","query":"q","documents":["d1",{"title":"t","text":"d2","x y":"d3"}],
            "rank_fields":["title"],"top_n":2,"max_tokens_per_doc":64,"return_documents":true}"#;
        let exchange = read(body).unwrap();
        let json = Json::parse(body.as_bytes(), 8).unwrap();
        let texts: Vec<_> = exchange
            .segments
            .iter()
            .map(|one| {
                let text = if one.is_key { json.key_at(&one.path) } else { json.at(&one.path).and_then(Json::as_str) };
                (text.unwrap(), one.zone, one.position)
            })
            .collect();
        let document = |text| (text, Zone::Document, Position::History);
        let user = |text| (text, Zone::User, Position::Current);
        let expected =
            [user("q"), document("d1"), document("t"), document("d2"), document("x y"), document("d3"), user("title")];
        assert_eq!((exchange.model.as_str(), texts), ("rerank-v3.5", expected.to_vec()));
    }

    #[test]
    fn bad_shapes_name_the_parameter() {
        for (body, param) in [
            (r#"{"documents":[]}"#, "query"),
            (r#"{"query":"q"}"#, "documents"),
            (r#"{"query":"q","documents":"d"}"#, "documents"),
            (r#"{"query":"q","documents":[["d"]]}"#, "documents"),
            (r#"{"query":"q","documents":[],"model":7}"#, "model"),
        ] {
            let denial = read(body).unwrap_err();
            assert_eq!((denial.reason, denial.param), (Reason::BodyShape, Some(param)), "{body}");
        }
        assert_eq!(read(r#"{"query":"q","documents":[]}"#).unwrap().model, "default");
    }

    #[test]
    fn searches_are_no_tokens() {
        let usage = |reply: &str| usage(&Json::parse(reply.as_bytes(), 8).unwrap()).and_then(|usage| usage.input);
        assert_eq!(usage(r#"{"meta":{"billed_units":{"search_units":1}}}"#), None);
        assert_eq!(usage(r#"{"meta":{"billed_units":{"search_units":1},"tokens":{"input_tokens":7}}}"#), Some(7));
        assert_eq!(usage(r#"{"meta":{"billed_units":{"input_tokens":9,"search_units":1}}}"#), Some(9));
    }
}
