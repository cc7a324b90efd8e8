"""The endpoints of the official SDKs that the filter reads, each with the types of its requests, replies and events."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from harness import eventstream

from . import shapes, wire
from .instances import TEXT


def kind(name: str | Callable[[], Any]) -> Any:
    """`openai.types.Completion`: the type of that name; or the type that is made."""
    if callable(name):
        return name()
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def data(event: dict) -> bytes:
    import json

    return b"data: " + json.dumps(event).encode() + b"\n\n"


def named(event: dict) -> bytes:
    return b"event: %s\n" % str(event.get("type", "message")).encode() + data(event)


def aws(event: dict) -> bytes:
    """An event of AWS's: its kind stands in a header of its message."""
    ((name, payload),) = event.items()
    return eventstream.message(name, payload, "exception" if name.endswith("Exception") else "event")


SSE, MESSAGES = b"text/event-stream", b"application/vnd.amazon.eventstream"


@dataclass(frozen=True)
class Endpoint:
    """One path. `reply` and `event` may be absent: the API has no such thing, or answers with bytes."""

    name: str
    path: str
    params: str | Callable[[], Any]
    reply: str | Callable[[], Any] | None = None
    event: str | Callable[[], Any] | None = None
    event_type: bytes = SSE
    # What stands before and after an event of a stream that a client reads.
    frame: Callable[[dict], bytes] = data
    before: tuple[dict, ...] = ()
    after: bytes = b""
    # `multipart/form-data`
    form: bool = False
    # Content type and body of a reply that is no JSON.
    raw: tuple[bytes, bytes] | None = None
    headers: tuple[tuple[str, str], ...] = field(default=())
    # What asks for a stream: a field, or a path.
    streams: dict | None = None
    stream_path: str | None = None
    # Fields that the API asks for, though its types leave them out, and what stands in fields that they ask for.
    given: dict = field(default_factory=dict)


DONE = b"data: [DONE]\n\n"
STOP = named({"type": "message_stop"})
MESSAGE_START = {
    "type": "message_start",
    "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "smollm2", "content": [], "stop_reason": None,
                "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}},
}  # fmt: skip
BETA = (("anthropic-beta", "mcp-client-2025-11-20"),)

OPENAI = [
    Endpoint("openai chat", "/v1/chat/completions", "openai.types.chat.completion_create_params.CompletionCreateParams",
             "openai.types.chat.ChatCompletion", "openai.types.chat.ChatCompletionChunk", after=DONE),
    Endpoint("openai completions", "/v1/completions", "openai.types.completion_create_params.CompletionCreateParams",
             "openai.types.Completion", "openai.types.Completion", after=DONE),
    Endpoint("openai responses", "/v1/responses", "openai.types.responses.response_create_params.ResponseCreateParams",
             "openai.types.responses.Response", "openai.types.responses.ResponseStreamEvent", frame=named,
             given={"model": "smollm2", "input": TEXT}),
    Endpoint("openai beta responses", "/v1/responses?beta=true", "openai.types.beta.response_create_params.ResponseCreateParams",
             "openai.types.beta.BetaResponse", "openai.types.beta.BetaResponseStreamEvent", frame=named,
             given={"model": "smollm2", "input": TEXT}),
    Endpoint("openai embeddings", "/v1/embeddings", "openai.types.EmbeddingCreateParams", "openai.types.CreateEmbeddingResponse"),
    Endpoint("openai moderations", "/v1/moderations", "openai.types.ModerationCreateParams", "openai.types.ModerationCreateResponse"),
    Endpoint("openai conversations", "/v1/conversations", "openai.types.conversations.ConversationCreateParams",
             "openai.types.conversations.Conversation"),
    Endpoint("openai conversation", "/v1/conversations/id_1", "openai.types.conversations.ConversationUpdateParams",
             "openai.types.conversations.Conversation"),
    Endpoint("openai conversation items", "/v1/conversations/id_1/items", "openai.types.conversations.ItemCreateParams",
             "openai.types.conversations.ConversationItemList"),
    Endpoint("openai batches", "/v1/batches", "openai.types.BatchCreateParams", "openai.types.Batch"),
    Endpoint("openai images", "/v1/images/generations", "openai.types.image_generate_params.ImageGenerateParams",
             "openai.types.ImagesResponse", "openai.types.ImageGenStreamEvent", frame=named, given={"model": "smollm2"}),
    Endpoint("openai image edits", "/v1/images/edits", "openai.types.image_edit_params.ImageEditParams",
             "openai.types.ImagesResponse", "openai.types.ImageEditStreamEvent", frame=named, form=True),
    Endpoint("openai image variations", "/v1/images/variations", "openai.types.ImageCreateVariationParams",
             "openai.types.ImagesResponse", form=True),
    Endpoint("openai speech", "/v1/audio/speech", "openai.types.audio.SpeechCreateParams", raw=(b"audio/mpeg", b"ID3\4\0\0\0\0\0\0\xff\xfb")),
    Endpoint("openai transcriptions", "/v1/audio/transcriptions",
             "openai.types.audio.transcription_create_params.TranscriptionCreateParams",
             "openai.types.audio.TranscriptionCreateResponse", "openai.types.audio.TranscriptionStreamEvent", frame=named, form=True),
    Endpoint("openai translations", "/v1/audio/translations", "openai.types.audio.TranslationCreateParams",
             "openai.types.audio.TranslationCreateResponse", form=True),
    Endpoint("openai fine-tuning jobs", "/v1/fine_tuning/jobs", "openai.types.fine_tuning.JobCreateParams",
             "openai.types.fine_tuning.FineTuningJob"),
    Endpoint("openai files", "/v1/files", "openai.types.FileCreateParams", "openai.types.FileObject", form=True),
]  # fmt: skip
ANTHROPIC = [
    Endpoint("anthropic messages", "/v1/messages", "anthropic.types.message_create_params.MessageCreateParams",
             "anthropic.types.Message", "anthropic.types.RawMessageStreamEvent", frame=named, before=(MESSAGE_START,), after=STOP),
    Endpoint("anthropic count_tokens", "/v1/messages/count_tokens", "anthropic.types.MessageCountTokensParams",
             "anthropic.types.MessageTokensCount"),
    Endpoint("anthropic beta messages", "/v1/messages?beta=true", "anthropic.types.beta.message_create_params.MessageCreateParams",
             "anthropic.types.beta.BetaMessage", "anthropic.types.beta.BetaRawMessageStreamEvent", frame=named,
             before=(MESSAGE_START,), after=STOP, headers=BETA),
    Endpoint("anthropic beta count_tokens", "/v1/messages/count_tokens?beta=true", "anthropic.types.beta.MessageCountTokensParams",
             "anthropic.types.beta.BetaMessageTokensCount", headers=BETA),
]  # fmt: skip
GEMINI = "/v1beta/models/smollm2:"
GOOGLE = [
    Endpoint("google content", GEMINI + "generateContent", wire.gemini_chat, "google.genai.types.GenerateContentResponse",
             "google.genai.types.GenerateContentResponse", streams={}, stream_path=GEMINI + "streamGenerateContent?alt=sse"),
    Endpoint("google count", GEMINI + "countTokens", wire.gemini_count, "google.genai.types.CountTokensResponse"),
    Endpoint("google embed", GEMINI + "embedContent", wire.gemini_embed, "google.genai.types.EmbedContentResponse"),
    Endpoint("google batch embed", GEMINI + "batchEmbedContents", wire.gemini_embeds, "google.genai.types.EmbedContentResponse"),
]  # fmt: skip
COHERE = [
    Endpoint("cohere chat", "/v2/chat", lambda: wire.cohere("chat"), "cohere.V2ChatResponse", "cohere.V2ChatStreamResponse", frame=named),
    Endpoint("cohere embed", "/v2/embed", lambda: wire.cohere("embed"), "cohere.EmbedByTypeResponse"),
    Endpoint("cohere rerank", "/v2/rerank", lambda: wire.cohere("rerank"), "cohere.V2RerankResponse"),
]  # fmt: skip
BEDROCK_START = {"messageStart": {"role": "assistant"}}
BEDROCK_END = aws({"messageStop": {"stopReason": "end_turn"}})


def of_aws(name: str) -> Callable[[], Any]:
    return lambda: shapes.bedrock(name)


BEDROCK = [
    Endpoint("bedrock converse", "/bedrock/model/smollm2/converse", of_aws("ConverseRequest"), of_aws("ConverseResponse")),
    Endpoint("bedrock converse-stream", "/bedrock/model/smollm2/converse-stream", of_aws("ConverseStreamRequest"), None,
             of_aws("ConverseStreamOutput"), event_type=MESSAGES, frame=aws, before=(BEDROCK_START,), after=BEDROCK_END, streams={}),
    Endpoint("bedrock count", "/bedrock/model/smollm2/count-tokens", of_aws("CountTokensRequest"), of_aws("CountTokensResponse"),
             given={"input": {"converse": {"messages": [{"role": "user", "content": [{"text": TEXT}]}]}}}),
]  # fmt: skip
ENDPOINTS = {"openai": OPENAI, "anthropic": ANTHROPIC, "google": GOOGLE, "cohere": COHERE, "bedrock": BEDROCK}
