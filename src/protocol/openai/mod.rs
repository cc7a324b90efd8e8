//! OpenAI's HTTP API, after its public reference.
//!
//! Every string of a body ends in exactly one of three places: a segment (text that a model may read), a
//! parameter that is checked elsewhere (`model`), or the unscanned list. Fields that this version does
//! not know are segments too.

mod chat;
pub(super) mod events;
pub(super) mod reply;
mod responses;
mod simple;

use serde_json::json;

use super::{Exchange, Json, message};
use crate::config::document::Operation;
use crate::reason::{Denial, Reason};

/// Every spelling of the cap on output tokens that an OpenAI-compatible server takes.
const OUTPUT_CAPS: [&str; 3] = ["max_tokens", "max_completion_tokens", "max_output_tokens"];

pub(super) fn read(operation: Operation, body: &Json<'_>) -> Result<Exchange, Denial> {
    match operation {
        Operation::Chat => chat::read(body),
        Operation::Responses => responses::read(body),
        Operation::Conversations => responses::read_conversation(body),
        Operation::Completions => simple::completions(body),
        Operation::Embeddings => simple::embeddings(body),
        Operation::Moderations => simple::moderations(body),
        Operation::Batch => simple::batch(body),
        Operation::Images | Operation::Audio => simple::media(body),
        _ => Err(Reason::BodyShape.into()),
    }
}

/// `{"error":{"message","type","param","code"}}` with the codes that OpenAI's own callers branch on.
pub(super) fn error_body(denial: &Denial) -> Vec<u8> {
    let (kind, code) = match denial.reason {
        Reason::JwtAmbiguous => ("invalid_request_error", "invalid_request"),
        reason if reason.status() == 401 => ("invalid_request_error", "invalid_api_key"),
        Reason::RbacModel => ("invalid_request_error", "model_not_found"),
        Reason::RbacOperation | Reason::RbacTool | Reason::RbacParameter => {
            ("invalid_request_error", "insufficient_permissions")
        }
        Reason::QuotaRequests | Reason::QuotaConcurrent | Reason::AbuseCooldown => ("requests", "rate_limit_exceeded"),
        Reason::QuotaTokens | Reason::QuotaTooLarge => ("tokens", "rate_limit_exceeded"),
        Reason::RouteUnmatched => ("invalid_request_error", "unknown_url"),
        Reason::ScanInjection
        | Reason::ScanSecret
        | Reason::ScanPii
        | Reason::ScanOutput
        | Reason::ScanCanary
        | Reason::BodyUnscanned => ("invalid_request_error", "content_filter"),
        reason if reason.status() == 503 => ("server_error", "service_unavailable"),
        _ => ("invalid_request_error", "invalid_request"),
    };
    let mut message = message(denial.reason).into_owned();
    if denial.status() == 401 && denial.reason != Reason::JwtMissing {
        // litellm tells a refused key from a bad request by OpenAI's own first words.
        message.insert_str(0, "Incorrect API key provided. ");
    }
    json!({ "error": { "message": message, "type": kind, "param": denial.param, "code": code } })
        .to_string()
        .into_bytes()
}
