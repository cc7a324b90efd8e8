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
use crate::host::Timestamp;
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

/// The reply of a model that the content filter has stopped. An answer without text has `content` all the same: callers
/// take its length.
pub(super) fn withheld(operation: Operation, denial: &Denial, model: &str, now: Timestamp) -> Option<Vec<u8>> {
    let why = message(denial.reason);
    let created = now.as_secs();
    let usage = json!({ "prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0 });
    let body = match operation {
        Operation::Chat => json!({
            "id": "chatcmpl-0", "object": "chat.completion", "created": created, "model": model,
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": "", "refusal": why },
                "logprobs": null, "finish_reason": "content_filter" }],
            "usage": usage,
        }),
        Operation::Completions => json!({
            "id": "cmpl-0", "object": "text_completion", "created": created, "model": model,
            "choices": [{ "index": 0, "text": "", "logprobs": null, "finish_reason": "content_filter" }],
            "usage": usage,
        }),
        Operation::Responses => json!({
            "id": "resp_0", "object": "response", "created_at": created, "model": model, "status": "incomplete",
            "incomplete_details": { "reason": "content_filter" }, "error": null, "instructions": null, "metadata": {},
            "output": [{ "type": "message", "id": "msg_0", "role": "assistant", "status": "incomplete",
                "content": [{ "type": "refusal", "refusal": why }] }],
            "parallel_tool_calls": true, "temperature": null, "tool_choice": "auto", "tools": [], "top_p": null,
            "usage": { "input_tokens": 0, "input_tokens_details": { "cached_tokens": 0 }, "output_tokens": 0,
                "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": 0 },
        }),
        Operation::Embeddings => json!({ "object": "list", "data": [], "model": model,
            "usage": { "prompt_tokens": 0, "total_tokens": 0 } }),
        Operation::Moderations => json!({ "id": "modr-0", "model": model, "results": [] }),
        Operation::Images => json!({ "created": created, "data": [] }),
        _ => return None,
    };
    Some(body.to_string().into_bytes())
}
