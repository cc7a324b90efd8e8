//! Rerank, versions 1 and 2.
//!
//! A request holds a query and documents; the reply says which documents fit, by their place in the request. A document
//! with something hostile in it is replaced by a notice, as documents are elsewhere: the notice fits no query, so that
//! the document falls behind the others.

use super::super::Json;
use super::super::request::{Reader, Spot};
use crate::reason::Denial;

pub(super) fn read(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
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

#[cfg(test)]
mod tests {
    use super::super::Cohere;
    use super::*;
    use crate::enums::{Operation, Zone};
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
}
