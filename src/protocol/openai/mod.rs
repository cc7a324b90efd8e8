//! OpenAI's HTTP API, after its public reference.
//!
//! Azure's paths name the model (`deployments/{model}/chat/completions`); what the body calls itself is then text.

mod call;
mod chat;
mod events;
mod kept;
mod keys;
mod reply;
mod responses;
mod simple;
mod tuning;
mod uploads;

use serde_json::json;

use super::adapter::{Adapter, Protocol};
use super::dialect::{CHAT_CAP, Dialect, named};
use super::keys::Keys;
use super::parameters;
use super::reply::{Plain, ReplyFormat};
use super::request::Reader;
use super::system::{last_message, text_at};
use super::{Json, Path, Told, UnscannedKind, Usage};
use crate::enums::Operation;
use crate::host::Timestamp;
use crate::reason::{Denial, Reason};

use call::Call;

/// Every spelling of the cap on output tokens that an OpenAI-compatible server accepts.
const OUTPUT_CAPS: [&str; 14] = [
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "n_predict",
    "num_predict",
    "max_new_tokens",
    "max_length",
    "max_gen_len",
    "max_tokens_to_sample",
    "max_gen_toks",
    "maxTokens",
    "maxCompletionTokens",
    "maxOutputTokens",
    "maxNewTokens",
];

/// Every spelling of the number of choices.
const CHOICES: [&str; 6] =
    ["n", "best_of", "num_return_sequences", "num_completions", "candidate_count", "candidateCount"];

/// The format, in a dialect.
#[derive(Debug, Default)]
pub(super) struct Openai {
    dialect: Option<&'static Dialect>,
    /// What the path takes.
    call: Call,
}

/// Its words, and how its chats read, for a provider that has them behind an API of its own.
#[cfg(feature = "bedrock")]
pub(super) use keys::KEYS;
pub(super) const CHATS: &dyn ReplyFormat = &TOLD_CHAT;

const CHAT: reply::Choices = reply::Choices { older: false, asks_usage: true };
const COMPLETIONS: reply::Choices = reply::Choices { older: true, asks_usage: true };
const TOLD_CHAT: reply::Choices = reply::Choices { older: false, asks_usage: false };
const TOLD_COMPLETIONS: reply::Choices = reply::Choices { older: true, asks_usage: false };
const PLAIN: Plain = Plain { usage: |reply| reply.get("usage").and_then(Usage::of_counts) };

impl Adapter for Openai {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn dialects(&self) -> &'static [&'static str] {
        &[
            "openai",
            "azure",
            "openrouter",
            "litellm",
            "vercel",
            "vllm",
            "llamacpp",
            "mistral",
            "deepseek",
            "groq",
            "xai",
            "sglang",
            "lmstudio",
            "gemini",
        ]
    }

    fn in_dialect(&self, word: &str) -> Option<Protocol> {
        let dialect = Some(named(word, self.dialects())?);
        Some(Protocol::new(Openai { dialect, ..Openai::default() }))
    }

    fn paths(&self) -> &'static [(&'static str, Operation)] {
        // Azure's paths name the deployment, or begin with `v1/` below `/openai/`.
        &[
            ("chat/completions", Operation::Chat),
            ("v1/chat/completions", Operation::Chat),
            ("deployments/{model}/chat/completions", Operation::Chat),
            ("models", Operation::Models),
            ("models/", Operation::Models),
            ("v1/models", Operation::Models),
            ("v1/models/", Operation::Models),
            ("completions", Operation::Completions),
            ("v1/completions", Operation::Completions),
            ("deployments/{model}/completions", Operation::Completions),
            ("responses", Operation::Responses),
            ("v1/responses", Operation::Responses),
            ("deployments/{model}/responses", Operation::Responses),
            ("responses/{id}", Operation::Responses),
            ("responses/{id}/cancel", Operation::Responses),
            ("responses/{id}/input_items", Operation::Responses),
            ("v1/responses/{id}", Operation::Responses),
            ("v1/responses/{id}/cancel", Operation::Responses),
            ("v1/responses/{id}/input_items", Operation::Responses),
            ("embeddings", Operation::Embeddings),
            ("v1/embeddings", Operation::Embeddings),
            ("deployments/{model}/embeddings", Operation::Embeddings),
            ("moderations", Operation::Moderations),
            ("conversations", Operation::Conversations),
            ("v1/conversations", Operation::Conversations),
            ("conversations/{id}", Operation::Conversations),
            ("conversations/{id}/items", Operation::Conversations),
            ("conversations/{id}/items/{item}", Operation::Conversations),
            ("v1/conversations/{id}", Operation::Conversations),
            ("v1/conversations/{id}/items", Operation::Conversations),
            ("v1/conversations/{id}/items/{item}", Operation::Conversations),
            ("batches", Operation::Batch),
            ("v1/batches", Operation::Batch),
            ("batches/{id}", Operation::Batch),
            ("batches/{id}/cancel", Operation::Batch),
            ("v1/batches/{id}", Operation::Batch),
            ("v1/batches/{id}/cancel", Operation::Batch),
            ("files", Operation::Files),
            ("v1/files", Operation::Files),
            ("files/{id}", Operation::Files),
            ("files/{id}/content", Operation::Files),
            ("v1/files/{id}", Operation::Files),
            ("v1/files/{id}/content", Operation::Files),
            ("fine_tuning/jobs", Operation::FineTuning),
            ("fine_tuning/jobs/{job}", Operation::FineTuning),
            ("fine_tuning/jobs/{job}/cancel", Operation::FineTuning),
            ("fine_tuning/jobs/{job}/pause", Operation::FineTuning),
            ("fine_tuning/jobs/{job}/resume", Operation::FineTuning),
            ("fine_tuning/jobs/{job}/events", Operation::FineTuning),
            ("fine_tuning/jobs/{job}/checkpoints", Operation::FineTuning),
            ("fine_tuning/checkpoints/{model}/permissions", Operation::FineTuning),
            ("fine_tuning/checkpoints/{model}/permissions/{permission}", Operation::FineTuning),
            ("v1/fine_tuning/jobs", Operation::FineTuning),
            ("v1/fine_tuning/jobs/{job}", Operation::FineTuning),
            ("v1/fine_tuning/jobs/{job}/cancel", Operation::FineTuning),
            ("v1/fine_tuning/jobs/{job}/pause", Operation::FineTuning),
            ("v1/fine_tuning/jobs/{job}/resume", Operation::FineTuning),
            ("v1/fine_tuning/jobs/{job}/events", Operation::FineTuning),
            ("v1/fine_tuning/jobs/{job}/checkpoints", Operation::FineTuning),
            ("v1/fine_tuning/checkpoints/{model}/permissions", Operation::FineTuning),
            ("v1/fine_tuning/checkpoints/{model}/permissions/{permission}", Operation::FineTuning),
            ("images/generations", Operation::Images),
            ("v1/images/generations", Operation::Images),
            ("deployments/{model}/images/generations", Operation::Images),
            ("images/edits", Operation::Images),
            ("v1/images/edits", Operation::Images),
            ("deployments/{model}/images/edits", Operation::Images),
            ("images/variations", Operation::Images),
            ("audio/speech", Operation::Audio),
            ("v1/audio/speech", Operation::Audio),
            ("deployments/{model}/audio/speech", Operation::Audio),
            ("audio/transcriptions", Operation::Audio),
            ("v1/audio/transcriptions", Operation::Audio),
            ("deployments/{model}/audio/transcriptions", Operation::Audio),
            ("audio/translations", Operation::Audio),
            ("v1/audio/translations", Operation::Audio),
            ("deployments/{model}/audio/translations", Operation::Audio),
        ]
    }

    fn refused_paths(&self) -> &'static [&'static str] {
        // `client_secrets` and `sessions` hand out a key that goes around the filter.
        &["realtime", "realtime/", "v1/realtime", "v1/realtime/"]
    }

    fn of_path(&self, known: &str) -> Option<Protocol> {
        let call = Call::of(known);
        (call != Call::Make).then(|| Protocol::new(Openai { dialect: self.dialect, call }))
    }

    fn methods(&self, operation: Operation) -> &'static [&'static str] {
        match operation {
            Operation::Models => &["GET", "HEAD"],
            _ => self.call.methods(),
        }
    }

    fn reads_body(&self, operation: Operation, method: &str) -> bool {
        operation != Operation::Models && self.call.reads_body(method)
    }

    fn guards_reply(&self, operation: Operation, _method: &str) -> bool {
        operation != Operation::Models
    }

    fn resuming_parameters(&self) -> &'static [&'static str] {
        &["starting_after"]
    }

    fn lists_kept(&self, operation: Operation, method: &str) -> bool {
        self.call.lists_kept(operation, method)
    }

    fn reads_form(&self, operation: Operation) -> bool {
        operation == Operation::Files
    }

    fn holds_lines(&self, fields: &Json<'_>) -> bool {
        uploads::holds_lines(fields)
    }

    fn read_fields(&self, reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
        uploads::read(self, reader)
    }

    fn form(&self, operation: Operation) -> Option<UnscannedKind> {
        match operation {
            Operation::Files => Some(UnscannedKind::File),
            Operation::Images => Some(UnscannedKind::Image),
            Operation::Audio => Some(UnscannedKind::Audio),
            _ => None,
        }
    }

    fn keys(&self) -> &'static Keys {
        &keys::KEYS
    }

    fn read(&self, operation: Operation, reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
        parameters::read(reader, self.dialect)?;
        simple::extra_body(reader)?;
        match operation {
            Operation::Chat => chat::read(reader, self.dialect.map_or(CHAT_CAP, |dialect| dialect.chat_cap)),
            Operation::Responses => responses::read(reader),
            Operation::Conversations => responses::read_conversation(reader),
            Operation::Completions => simple::completions(reader),
            Operation::Embeddings => simple::embeddings(reader),
            Operation::Moderations => simple::moderations(reader),
            Operation::Batch => simple::batch(reader),
            Operation::FineTuning => tuning::read(reader),
            Operation::Images | Operation::Audio => simple::media(reader),
            _ => Err(Reason::BodyShape.into()),
        }
    }

    fn system_prompt(&self, operation: Operation, body: &Json<'_>) -> Option<Path> {
        match operation {
            Operation::Chat => last_message(body, "messages").or_else(|| last_message(body, "input")),
            Operation::Responses => last_message(body, "input").or_else(|| text_at(body, "instructions")),
            _ => None,
        }
    }

    fn error_body(&self, told: &Told<'_>) -> Vec<u8> {
        error_body(told, self.dialect.is_some_and(|dialect| dialect.word == "azure"))
    }

    fn withheld(&self, operation: Operation, told: &Told<'_>, model: &str, now: Timestamp) -> Option<Vec<u8>> {
        withheld(operation, told, model, now)
    }

    fn reply(&self, operation: Operation) -> &dyn ReplyFormat {
        let asks_usage = self.dialect.is_none_or(|dialect| dialect.asks_usage);
        match operation {
            Operation::Files if self.call == Call::Content => &kept::Content,
            Operation::Batch | Operation::Files => &kept::Kept,
            Operation::Chat if asks_usage => &CHAT,
            Operation::Chat => &TOLD_CHAT,
            Operation::Completions if asks_usage => &COMPLETIONS,
            Operation::Completions => &TOLD_COMPLETIONS,
            Operation::Responses => &events::Responses,
            Operation::Conversations => &events::Conversations,
            _ => &PLAIN,
        }
    }
}

/// `{"error":{"message","type","param","code"}}` with the codes that OpenAI's own callers branch on. Azure's content filter
/// says in `innererror` which of its categories it found.
fn error_body(told: &Told<'_>, is_azure: bool) -> Vec<u8> {
    let denial = told.denial;
    let (kind, code) = match denial.reason {
        Reason::JwtAmbiguous => ("invalid_request_error", "invalid_request"),
        reason if reason.status() == 401 => ("invalid_request_error", "invalid_api_key"),
        Reason::RbacModel | Reason::ModelRetired | Reason::QuotaUnpriced => {
            ("invalid_request_error", "model_not_found")
        }
        Reason::RbacOperation | Reason::RbacTool | Reason::RbacParameter | Reason::RbacTenant | Reason::AuthzDenied => {
            ("invalid_request_error", "insufficient_permissions")
        }
        Reason::QuotaRequests | Reason::QuotaConcurrent | Reason::AbuseCooldown => ("requests", "rate_limit_exceeded"),
        Reason::QuotaTokens | Reason::QuotaTooLarge => ("tokens", "rate_limit_exceeded"),
        Reason::QuotaCost => ("insufficient_quota", "insufficient_quota"),
        Reason::RouteUnmatched => ("invalid_request_error", "unknown_url"),
        Reason::RouteRealtime => ("invalid_request_error", "unsupported_api"),
        Reason::ScanInjection
        | Reason::ScanOpinion
        | Reason::ScanSecret
        | Reason::ScanPii
        | Reason::ScanOutput
        | Reason::ScanCanary
        | Reason::BodyUnscanned => ("invalid_request_error", "content_filter"),
        reason if reason.status() == 503 => ("server_error", "service_unavailable"),
        _ => ("invalid_request_error", "invalid_request"),
    };
    let mut message = told.message.to_string();
    if denial.status() == 401 && denial.reason != Reason::JwtMissing {
        // litellm tells a refused key from a bad request by OpenAI's own first words.
        message.insert_str(0, "Incorrect API key provided. ");
    }
    let at_line = denial.line.map(|line| format!("{}:{line}", denial.param.unwrap_or("file")));
    let param = at_line.or(denial.param.map(str::to_owned));
    let mut error = json!({ "message": message, "type": kind, "param": param, "code": code });
    if is_azure
        && code == "content_filter"
        && let Some(fields) = error.as_object_mut()
    {
        let found = match denial.reason {
            Reason::ScanInjection => json!({ "jailbreak": { "filtered": true, "detected": true } }),
            _ => json!({ "custom_blocklists": { "filtered": true, "details": [] } }),
        };
        fields.insert("status".to_owned(), denial.status().into());
        fields.insert(
            "innererror".to_owned(),
            json!({ "code": "ResponsibleAIPolicyViolation", "content_filter_result": found }),
        );
    }
    json!({ "error": error }).to_string().into_bytes()
}

/// The reply of a model that the content filter has stopped. An answer without text has `content` all the same: callers
/// take its length.
fn withheld(operation: Operation, told: &Told<'_>, model: &str, now: Timestamp) -> Option<Vec<u8>> {
    let why = &told.message;
    let id = told.request.unwrap_or("0");
    let created = now.as_secs();
    let usage = json!({ "prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0 });
    let body = match operation {
        Operation::Chat => json!({
            "id": format!("chatcmpl-{id}"), "object": "chat.completion", "created": created, "model": model,
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": "", "refusal": why },
                "logprobs": null, "finish_reason": "content_filter" }],
            "usage": usage,
        }),
        Operation::Completions => json!({
            "id": format!("cmpl-{id}"), "object": "text_completion", "created": created, "model": model,
            "choices": [{ "index": 0, "text": "", "logprobs": null, "finish_reason": "content_filter" }],
            "usage": usage,
        }),
        Operation::Responses => json!({
            "id": format!("resp_{id}"), "object": "response", "created_at": created, "model": model, "status": "incomplete",
            "incomplete_details": { "reason": "content_filter" }, "error": null, "instructions": null, "metadata": {},
            "output": [{ "type": "message", "id": format!("msg_{id}"), "role": "assistant", "status": "incomplete",
                "content": [{ "type": "refusal", "refusal": why }] }],
            "parallel_tool_calls": true, "temperature": null, "tool_choice": "auto", "tools": [], "top_p": null,
            "usage": { "input_tokens": 0, "input_tokens_details": { "cached_tokens": 0 }, "output_tokens": 0,
                "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": 0 },
        }),
        Operation::Embeddings => json!({ "object": "list", "data": [], "model": model,
            "usage": { "prompt_tokens": 0, "total_tokens": 0 } }),
        Operation::Moderations => json!({ "id": format!("modr-{id}"), "model": model, "results": [] }),
        Operation::Images => json!({ "created": created, "data": [] }),
        _ => return None,
    };
    Some(body.to_string().into_bytes())
}
