//! Amazon Bedrock's runtime, after its public API reference: Converse and InvokeModel, whole and as streams of messages,
//! and CountTokens. The path names the model: an id, or an ARN with its slashes escaped.
//!
//! The caller's token comes as a bearer, as Bedrock's API keys do. Requests that the caller signed itself are refused: a
//! signature covers the body, and the filter may change that. Envoy signs behind the filter.

mod converse;
mod invoke;
mod keys;
mod model;
mod reply;

use std::borrow::Cow;

use serde_json::json;

use super::adapter::{Adapter, Asserted, HeaderPairs, Protocol};
use super::keys::Keys;
use super::reply::{Plain, ReplyFormat};
use super::request::Reader;
use super::{Json, Path, Told, UnscannedKind, Usage};
use crate::enums::Operation;
use crate::host::Timestamp;
use crate::reason::{Denial, Reason};

/// The format.
#[derive(Debug)]
pub(super) struct Bedrock {
    /// The bodies are the model maker's own.
    pub(super) invokes: bool,
}

const COUNTS: Plain = Plain { usage: |_| None };

impl Adapter for Bedrock {
    fn name(&self) -> &'static str {
        "bedrock"
    }

    fn paths(&self) -> &'static [(&'static str, Operation)] {
        &[
            ("model/{model}/converse", Operation::Chat),
            ("model/{model}/converse-stream", Operation::Chat),
            ("model/{model}/invoke", Operation::Chat),
            ("model/{model}/invoke-with-response-stream", Operation::Chat),
            ("model/{model}/count-tokens", Operation::CountTokens),
        ]
    }

    fn of_path(&self, known: &str) -> Option<Protocol> {
        known.contains("/invoke").then(|| Protocol::new(Bedrock { invokes: true }))
    }

    fn model_in_path<'p>(&self, written: &'p str) -> Option<Cow<'p, str>> {
        model::in_path(written)
    }

    fn stripped_headers(&self) -> &'static [&'static str] {
        &["x-amz-content-sha256", "x-amz-date", "x-amz-security-token"]
    }

    /// Those of a request that is signed in its query ("Authenticating Requests: Using Query Parameters").
    fn credential_parameters(&self) -> &'static [&'static str] {
        &[
            "X-Amz-Algorithm",
            "X-Amz-Credential",
            "X-Amz-Date",
            "X-Amz-Expires",
            "X-Amz-Security-Token",
            "X-Amz-Signature",
            "X-Amz-SignedHeaders",
        ]
    }

    fn asserted(&self, headers: HeaderPairs<'_, '_>, _is_http_sse: bool) -> Result<Option<Box<dyn Asserted>>, Denial> {
        Ok(Some(Box::new(Chosen::read(headers))))
    }

    /// AWS's clients send InvokeModel's body without a type where their caller names none.
    fn takes_any_type(&self) -> bool {
        self.invokes
    }

    fn keys(&self) -> &'static Keys {
        &keys::KEYS
    }

    fn knows_key(&self, key: &str) -> bool {
        keys::KEYS.knows(key) || self.invokes && invoke::knows_key(key)
    }

    fn read(&self, operation: Operation, reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
        match operation {
            Operation::Chat if self.invokes => invoke::read(reader)?,
            Operation::Chat => {
                reader.model()?;
                converse::message(reader, &Path::default(), reader.body)?;
                converse::cap(reader, reader.body, converse::CAP, &[]);
            }
            Operation::CountTokens => converse::count(reader)?,
            _ => return Err(Reason::BodyShape.into()),
        }
        if model::is_prompt(&reader.out.model) {
            reader.unscanned(UnscannedKind::State, &Path::default());
        }
        Ok(())
    }

    fn system_prompt(&self, operation: Operation, body: &Json<'_>) -> Option<Path> {
        match operation {
            Operation::Chat if self.invokes => invoke::system_prompt(body),
            Operation::Chat => converse::system_prompt(body),
            _ => None,
        }
    }

    fn error_body(&self, told: &Told<'_>) -> Vec<u8> {
        let mut body = json!({ "message": told.message });
        if let (Some(param), Some(fields)) = (told.denial.param, body.as_object_mut()) {
            fields.insert("parameter".to_owned(), param.into());
        }
        body.to_string().into_bytes()
    }

    /// The SDKs take the class of an exception from a header.
    fn error_header(&self, denial: &Denial) -> Option<(&'static str, &'static str)> {
        Some(("x-amzn-errortype", exception(denial.status())))
    }

    fn id_header(&self) -> &'static str {
        "x-amzn-requestid"
    }

    fn withheld(&self, operation: Operation, told: &Told<'_>, model: &str, now: Timestamp) -> Option<Vec<u8>> {
        match operation {
            Operation::Chat if self.invokes => invoke::withheld(told, model, now),
            Operation::Chat => Some(reply::withheld(told)),
            _ => None,
        }
    }

    fn usage_of(&self, headers: HeaderPairs<'_, '_>) -> Usage {
        let mut usage = Usage::default();
        for (name, value) in headers {
            let count = || std::str::from_utf8(value).ok()?.parse().ok();
            match name {
                b"x-amzn-bedrock-input-token-count" => usage.input = count(),
                b"x-amzn-bedrock-output-token-count" => usage.output = count(),
                _ => {}
            }
        }
        usage
    }

    fn reply(&self, operation: Operation) -> &dyn ReplyFormat {
        match operation {
            Operation::Chat if self.invokes => &invoke::Invoked,
            Operation::Chat => reply::CONVERSED,
            _ => &COUNTS,
        }
    }
}

/// What InvokeModel's headers choose: whose project pays. Converse has the same in its body.
#[derive(Debug)]
struct Chosen(&'static [&'static str]);

impl Chosen {
    fn read(headers: HeaderPairs<'_, '_>) -> Chosen {
        let mut names = headers.map(|(name, _)| name);
        let is_project = |name: &[u8]| name.eq_ignore_ascii_case(b"x-amzn-bedrock-projectidentifier");
        Chosen(if names.any(is_project) { &["projectIdentifier"] } else { &[] })
    }
}

impl Asserted for Chosen {
    fn check(&self, _body: &Json<'_>) -> Result<(), Denial> {
        Ok(())
    }

    fn choices_of_operator(&self) -> &[&'static str] {
        self.0
    }
}

/// The exception of the service for a status.
fn exception(status: u16) -> &'static str {
    match status {
        401 | 403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        429 => "ThrottlingException",
        503 => "ServiceUnavailableException",
        500.. => "InternalServerException",
        _ => "ValidationException",
    }
}
