"""What each provider's server answers, by path: shapes of the public API references, texts of our own."""

import itertools
import json
from collections.abc import Iterator

from . import eventstream

# A model of Anthropic's as Bedrock calls it, and a profile by its ARN as it is in a path.
CLAUDE = "us.anthropic.claude-3-haiku-20240307-v1:0"
PROFILE = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.amazon.nova-lite-v1%3A0"
TEXT = "A bartizan is a small turret on a castle wall."
WORDS = [word + " " for word in TEXT.split(" ")]
JSON = [(b"content-type", b"application/json")]
SSE = [(b"content-type", b"text/event-stream")]


# What a provider keeps has an id of its own.
NUMBERS = itertools.count(1)


def said(words: list[str]) -> str:
    """The text that the pieces of a stream make."""
    return TEXT if words is WORDS else "".join(words)


def _whole(value, status: int = 200) -> Iterator[tuple]:
    body = json.dumps(value).encode()
    yield "head", status, [*JSON, (b"content-length", b"%d" % len(body))]
    yield "data", body


def _events(events: list[dict], named: bool = False) -> Iterator[tuple]:
    yield "head", 200, SSE
    for event in events:
        name = b"event: %s\n" % event["type"].encode() if named else b""
        yield "data", name + b"data: " + json.dumps(event).encode() + b"\n\n"


def anthropic(body: dict, words: list[str] = WORDS) -> Iterator[tuple]:
    text = said(words)
    usage = {"input_tokens": 11, "cache_read_input_tokens": 4, "output_tokens": 13}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": body.get("model"), "stop_sequence": None}
    if not body.get("stream"):
        return _whole({**message, "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "usage": usage})
    start = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    return _events([
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}} for word in words),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 13}},
        {"type": "message_stop"},
    ], named=True)  # fmt: skip


def count_tokens(_: dict, __: list[str] = WORDS) -> Iterator[tuple]:
    return _whole({"input_tokens": 7})


def responses(body: dict, words: list[str] = WORDS) -> Iterator[tuple]:
    text = said(words)
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
    usage = {
        "input_tokens": 11, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}, "output_tokens": 13,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 24,
    }  # fmt: skip
    response = {
        "id": body.get("id") or f"resp_{next(NUMBERS)}", "object": "response", "created_at": 1, "status": "completed", "model": body.get("model"),
        "output": [item], "usage": usage, "error": None, "incomplete_details": None, "instructions": None,
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "metadata": {}, "temperature": 1, "top_p": 1,
    }  # fmt: skip
    if not body.get("stream"):
        return _whole(response)
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    events = [
        {"type": "response.created", "response": {**response, "status": "in_progress", "output": [], "usage": None}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress", "content": []}},
        {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
        *({"type": "response.output_text.delta", **at, "delta": word, "logprobs": []} for word in words),
        {"type": "response.output_text.done", **at, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **at, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": response},
    ]
    return _events([{**event, "sequence_number": number} for number, event in enumerate(events)], named=True)


def conversations(_: dict, __: list[str] = WORDS) -> Iterator[tuple]:
    return _whole({"id": f"conv_{next(NUMBERS)}", "object": "conversation", "created_at": 1, "metadata": {}})


def completions(body: dict, words: list[str] = WORDS) -> Iterator[tuple]:
    text = said(words)
    head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": body.get("model")}
    usage = {"prompt_tokens": 11, "completion_tokens": 13, "total_tokens": 24}

    def choice(text: str, finish: str | None) -> dict:
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}

    if not body.get("stream"):
        return _whole({**head, "choices": [choice(text, "stop")], "usage": usage})
    events = [*({**head, "choices": [choice(word, None)]} for word in words), {**head, "choices": [choice("", "stop")]}]
    if (body.get("stream_options") or {}).get("include_usage"):
        events.append({**head, "choices": [], "usage": usage})
    return _done(events)


def azure(body: dict, words: list[str] = WORDS) -> Iterator[tuple]:
    """A chat of Azure's, with what its own content filter says of prompt and answer."""
    safe = {"hate": {"filtered": False, "severity": "safe"}, "violence": {"filtered": False, "severity": "safe"}}
    prompt = [{"prompt_index": 0, "content_filter_results": {**safe, "jailbreak": {"filtered": False, "detected": False}}}]
    usage = {"prompt_tokens": 11, "completion_tokens": 13, "total_tokens": 24}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-2024-11-20"}

    def choice(finish: str | None, **said) -> dict:
        return {"index": 0, **said, "finish_reason": finish, "content_filter_results": safe}

    if not body.get("stream"):
        answer = choice("stop", message={"role": "assistant", "content": said(words)})
        return _whole({**head, "choices": [answer], "prompt_filter_results": prompt, "usage": usage})
    head["object"] = "chat.completion.chunk"
    events = [
        {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": prompt},
        *({**head, "choices": [choice(None, delta={"content": word})]} for word in words),
        {**head, "choices": [choice("stop", delta={})]},
    ]
    if (body.get("stream_options") or {}).get("include_usage"):
        events.append({**head, "choices": [], "usage": usage})
    return _done(events)


def mistral(body: dict, words: list[str] = WORDS) -> Iterator[tuple]:
    """A chat of Mistral's: a stream's last event tells the usage, unasked, and `stream_options` is an unknown field."""
    if "stream_options" in body:
        return _whole({"object": "error", "message": "Extra inputs are not permitted", "type": "invalid_request_error"}, 422)
    usage = {"prompt_tokens": 11, "completion_tokens": 13, "total_tokens": 24}
    head = {"id": "c-1", "object": "chat.completion", "created": 1, "model": body.get("model")}
    if not body.get("stream"):
        message = {"role": "assistant", "content": said(words), "tool_calls": None}
        return _whole({**head, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage})
    head["object"] = "chat.completion.chunk"
    chunks = [{**head, "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]} for word in words]
    return _done([*chunks, {**head, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}], "usage": usage}])


def _done(events: list[dict]) -> Iterator[tuple]:
    yield from _events(events)
    yield "data", b"data: [DONE]\n\n"


def rerank(_: dict, __: list[str] = WORDS) -> Iterator[tuple]:
    return _whole({"id": "r-1", "results": [{"index": 0, "relevance_score": 0.5}], "meta": {"billed_units": {"search_units": 1}}})


def _gemini(text: str, finish: str | None = None) -> dict:
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0, **({"finishReason": finish} if finish else {})}
    return {"candidates": [candidate], "modelVersion": "smollm2", "responseId": "r-1"}


GEMINI_USAGE = {"promptTokenCount": 11, "cachedContentTokenCount": 4, "candidatesTokenCount": 10, "thoughtsTokenCount": 3, "totalTokenCount": 24}


def gemini(_: dict, words: list[str] = WORDS) -> Iterator[tuple]:
    return _whole({**_gemini(said(words), "STOP"), "usageMetadata": GEMINI_USAGE})


def gemini_stream(_: dict, words: list[str] = WORDS) -> Iterator[tuple]:
    head = [{**_gemini(word), "usageMetadata": {"promptTokenCount": 11, "totalTokenCount": 11}} for word in words]
    return _events([*head, {**_gemini("", "STOP"), "usageMetadata": GEMINI_USAGE}])


def gemini_count(_: dict, __: list[str] = WORDS) -> Iterator[tuple]:
    return _whole({"totalTokens": 7})


def gemini_embeddings(_: dict, __: list[str] = WORDS) -> Iterator[tuple]:
    return _whole({"embeddings": [{"values": [0.25, 0.5]}], "usageMetadata": {"promptTokenCount": 3}})


def gemini_predictions(body: dict, __: list[str] = WORDS) -> Iterator[tuple]:
    one = {"embeddings": {"values": [0.25, 0.5], "statistics": {"token_count": 3, "truncated": False}}}
    return _whole({"predictions": [one for _ in body["instances"]], "metadata": {"billableCharacterCount": 5}})


def gemini_models(_: dict, __: list[str] = WORDS) -> Iterator[tuple]:
    return _whole({"models": [{"name": "models/smollm2", "displayName": "SmolLM2"}]})


def cohere_chat(body: dict, words: list[str] = WORDS) -> Iterator[tuple]:
    usage = {"billed_units": {"input_tokens": 5, "output_tokens": 9}, "tokens": {"input_tokens": 11, "output_tokens": 13}}
    if not body.get("stream"):
        message = {"role": "assistant", "content": [{"type": "text", "text": said(words)}]}
        return _whole({"id": "c-1", "finish_reason": "COMPLETE", "message": message, "usage": usage})

    def content(kind: str, **content) -> dict:
        return {"type": kind, "index": 0, "delta": {"message": {"content": content}}}

    return _events([
        {"type": "message-start", "id": "c-1", "delta": {"message": {"role": "assistant", "content": [], "tool_calls": []}}},
        content("content-start", type="text", text=""),
        *(content("content-delta", text=word) for word in words),
        {"type": "content-end", "index": 0},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}},
    ], named=True)  # fmt: skip


EVENTSTREAM = [(b"content-type", b"application/vnd.amazon.eventstream")]
BEDROCK_USAGE = {"inputTokens": 11, "outputTokens": 13, "totalTokens": 24}


def converse(_: dict, words: list[str] = WORDS) -> Iterator[tuple]:
    message = {"role": "assistant", "content": [{"text": said(words)}]}
    return _whole({"output": {"message": message}, "stopReason": "end_turn", "usage": BEDROCK_USAGE, "metrics": {"latencyMs": 5}})


def converse_stream(_: dict, words: list[str] = WORDS) -> Iterator[tuple]:
    yield "head", 200, EVENTSTREAM
    for kind, payload in [
        ("messageStart", {"role": "assistant", "p": "abcdefghijklmnop"}),
        *(("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": word}, "p": "abcd"}) for word in words),
        ("contentBlockStop", {"contentBlockIndex": 0, "p": "ab"}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"usage": BEDROCK_USAGE, "metrics": {"latencyMs": 5}, "p": "abc"}),
    ]:
        yield "data", eventstream.message(kind, payload)


def bedrock_anthropic_stream(body: dict, words: list[str] = WORDS) -> Iterator[tuple]:
    """Anthropic's events, each inside one of Bedrock's."""
    yield "head", 200, EVENTSTREAM
    for kind, *rest in anthropic({**body, "stream": True}, words):
        for line in rest[0].decode().splitlines() if kind == "data" else ():
            if line.startswith("data: "):
                yield "data", eventstream.chunk(json.loads(line.removeprefix("data: ")))


def chain(_: dict, words: list[str] = WORDS) -> Iterator[tuple]:
    return _whole({"output": said(words), "metadata": {"run_id": "r-1", "feedback_tokens": []}})


def chain_stream(_: dict, words: list[str] = WORDS) -> Iterator[tuple]:
    yield "head", 200, SSE
    yield "data", b'event: metadata\ndata: {"run_id": "r-1"}\n\n'
    for word in words:
        yield "data", b"event: data\ndata: " + json.dumps(word).encode() + b"\n\n"
    yield "data", b"event: end\n\n"


def _message(text: str, kind: str = "ai", **more) -> dict:
    return {"type": kind, "content": text, "id": "a-1", "tool_calls": [], "response_metadata": {}, "additional_kwargs": {}, **more}


GRAPH_USAGE = {"usage_metadata": {"input_tokens": 11, "output_tokens": 13, "total_tokens": 24}}


def graph(_: dict, words: list[str] = WORDS) -> Iterator[tuple]:
    return _whole({"messages": [_message("hello", "human"), _message(said(words), **GRAPH_USAGE)]})


def graph_stream(_: dict, words: list[str] = WORDS) -> Iterator[tuple]:
    yield "head", 200, SSE
    yield "data", b'event: metadata\ndata: {"run_id": "r-1", "attempt": 1}\n\n'
    pieces = [_message(word, "AIMessageChunk") for word in words] + [_message("", "AIMessageChunk", **GRAPH_USAGE)]
    for piece in pieces:
        yield "data", b"event: messages\ndata: " + json.dumps([piece, {"langgraph_node": "agent"}]).encode() + b"\n\n"


def threads(_: dict, __: list[str] = WORDS) -> Iterator[tuple]:
    return _whole({"thread_id": f"thread-{next(NUMBERS)}", "created_at": "2026-11-28T05:00:00Z", "metadata": {}, "status": "idle"})


def cohere_embed(body: dict, __: list[str] = WORDS) -> Iterator[tuple]:
    return _whole({
        "id": "e-1", "response_type": "embeddings_by_type", "embeddings": {"float": [[0.25, 0.5]]}, "texts": body.get("texts") or [],
        "meta": {"billed_units": {"input_tokens": 3}},
    })  # fmt: skip


def embeddings(body: dict, __: list[str] = WORDS) -> Iterator[tuple]:
    data = [{"object": "embedding", "index": 0, "embedding": [0.25, 0.5]}]
    return _whole({"object": "list", "data": data, "model": body.get("model"), "usage": {"prompt_tokens": 3, "total_tokens": 3}})


def moderations(_: dict, __: list[str] = WORDS) -> Iterator[tuple]:
    return _whole({"id": "modr-1", "model": "m", "results": [{"flagged": False, "categories": {}, "category_scores": {}}]})


def ollama(body: dict, words: list[str] = WORDS) -> Iterator[tuple]:
    text = said(words)
    chat = "messages" in body
    head = {"model": body.get("model"), "created_at": "2026-11-22T10:00:00Z"}
    counts = {"total_duration": 5, "prompt_eval_count": 11, "eval_count": 13}

    def part(text: str) -> dict:
        return {"message": {"role": "assistant", "content": text}} if chat else {"response": text}

    if body.get("stream") is False:
        return _whole({**head, **part(text), "done": True, "done_reason": "stop", **counts})

    def lines() -> Iterator[tuple]:
        yield "head", 200, [(b"content-type", b"application/x-ndjson")]
        for word in words:
            yield "data", json.dumps({**head, **part(word), "done": False}).encode() + b"\n"
        yield "data", json.dumps({**head, **part(""), "done": True, "done_reason": "stop", **counts}).encode() + b"\n"

    return lines()


def ollama_tags(_: dict, __: list[str] = WORDS) -> Iterator[tuple]:
    return _whole({"models": [{"model": "smollm2", "name": "smollm2"}]})


def ollama_show(_: dict, __: list[str] = WORDS) -> Iterator[tuple]:
    return _whole({"details": {"family": "llama"}, "model_info": {}})


def tgi(body: dict, words: list[str] = WORDS) -> Iterator[tuple]:
    text = said(words)
    details = {"finish_reason": "length", "generated_tokens": 13, "input_length": 11, "prefill": [], "tokens": [], "seed": None}
    if not body.get("stream"):
        return _whole([{"generated_text": text, "details": details}])
    events = []
    for number, word in enumerate(words):
        last = number + 1 == len(words)
        token = {"id": number, "text": word, "logprob": -0.1, "special": False}
        ending = {"finish_reason": "length", "generated_tokens": 13, "input_length": 11, "seed": None}
        events.append({
            "index": number, "token": token, "generated_text": text if last else None, "details": ending if last else None,
        })  # fmt: skip
    return _events(events)


def mcp(body: dict, words: list[str], stream: bool) -> Iterator[tuple]:
    message = {"jsonrpc": "2.0", "id": body.get("id"), "result": {"content": [{"type": "text", "text": said(words)}]}}
    return _events([message]) if stream else _whole(message)


def system_prompt(body: dict) -> str:
    """The application's instructions, wherever the provider has them."""
    for key in ("system", "instructions"):
        if isinstance(body.get(key), str):
            return body[key]
    for message in body.get("messages") or []:
        if message.get("role") == "system":
            return message["content"]
    return ""


# Batches that were made.
BATCHES: list[dict] = []


def kept(method: str, target: str, body: dict, words: list[str] = WORDS) -> Iterator[tuple] | None:
    """What the provider keeps: batches and their results, files, responses and conversations. `None`: another path."""
    path, _, query = target.partition("?")
    kind, *rest = path.removeprefix("/v1/").split("/")
    match method, kind, rest:
        case "POST", "batches", []:
            number = next(NUMBERS)
            BATCHES.append({
                "id": f"batch_{number}", "object": "batch", "endpoint": body.get("endpoint"), "status": "in_progress",
                "input_file_id": body.get("input_file_id"), "completion_window": "24h", "created_at": 1, "output_file_id": None,
            })  # fmt: skip
            return _whole(BATCHES[-1])
        case "GET", "batches", []:
            return _whole({"object": "list", "data": BATCHES[-20:], "has_more": False})
        case _, "batches", [id, *_]:
            done = {"status": "completed" if method == "GET" else "cancelling", "output_file_id": f"file-of-{id}"}
            return _whole(next(({**batch, **done} for batch in BATCHES if batch["id"] == id), {"id": id, "object": "batch"}))
        case "POST", "files", []:
            return _whole({**FILE, "id": f"file-{next(NUMBERS)}"})
        case "GET", "files", []:
            return _whole({"object": "list", "data": [{**FILE, "id": "file-0"}], "has_more": False})
        case "GET", "files", [_, "content"]:
            return _lines(words)
        case "GET", "files", [id]:
            return _whole({**FILE, "id": id})
        case "GET", "responses", [id]:
            return responses({"model": "smollm2", "stream": "stream=true" in query, "id": id}, words)
        case "POST", "responses", [id, "cancel"]:
            return responses({"model": "smollm2", "id": id}, words)
        case "GET", "responses" | "conversations", [_, "input_items" | "items"]:
            part = {"type": "input_text", "text": said(words)}
            item = {"type": "message", "id": "msg_1", "role": "user", "status": "completed", "content": [part]}
            return _whole({"object": "list", "data": [item], "first_id": "msg_1", "last_id": "msg_1", "has_more": False})
        case "GET" | "POST", "conversations", [id, *_]:
            return _whole({"id": id, "object": "conversation", "created_at": 1, "metadata": {}})
        case "DELETE", "files" | "responses" | "conversations", [id]:
            return _whole({"id": id, "object": f"{kind[:-1]}.deleted", "deleted": True})
    return None


FILE = {"object": "file", "bytes": 7, "created_at": 1, "filename": "a.jsonl", "purpose": "batch", "status": "processed"}


def _lines(words: list[str]) -> Iterator[tuple]:
    """The results of a batch; the last line has the words."""
    yield "head", 200, [(b"content-type", b"application/octet-stream")]
    for number, text in enumerate(["Hello.", said(words)]):
        message = {"role": "assistant", "content": text, "refusal": None}
        body = {"id": "chatcmpl-1", "object": "chat.completion", "model": "smollm2", "choices": [
            {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}]}  # fmt: skip
        response = {"status_code": 200, "request_id": "r-1", "body": body}
        line = {"id": f"batch_req_{number}", "custom_id": f"{number}", "response": response, "error": None}
        yield "data", json.dumps(line).encode() + b"\n"


PATHS = {
    "/v1/messages": anthropic,
    "/v1/messages/count_tokens": count_tokens,
    "/v1/responses": responses,
    "/v1/conversations": conversations,
    "/v1/completions": completions,
    "/v1/embeddings": embeddings,
    "/openai/deployments/smollm2/chat/completions": azure,
    "/mistral/v1/chat/completions": mistral,
    "/model/smollm2/converse": converse,
    "/model/smollm2/converse-stream": converse_stream,
    f"/model/{CLAUDE}/invoke": anthropic,
    f"/model/{CLAUDE}/invoke-with-response-stream": bedrock_anthropic_stream,
    f"/model/{CLAUDE.replace(':', '%3A')}/invoke": anthropic,
    f"/model/{CLAUDE.replace(':', '%3A')}/invoke-with-response-stream": bedrock_anthropic_stream,
    f"/model/{PROFILE}/converse": converse,
    f"/model/{PROFILE}/converse-stream": converse_stream,
    "/model/amazon.nova-lite-v1%3A0/converse": converse,
    "/model/amazon.nova-lite-v1%3A0/converse-stream": converse_stream,
    "/chain/invoke": chain,
    "/chain/stream": chain_stream,
    "/runs/wait": graph,
    "/runs/stream": graph_stream,
    "/threads": threads,
    "/v2/chat": cohere_chat,
    "/v2/embed": cohere_embed,
    "/v2/rerank": rerank,
    "/v1/moderations": moderations,
    "/api/chat": ollama,
    "/api/generate": ollama,
    "/api/tags": ollama_tags,
    "/api/show": ollama_show,
    "/v1beta/models": gemini_models,
    "/v1beta/models/smollm2:generateContent": gemini,
    "/v1/models/smollm2:generateContent": gemini,
    "/v1beta/models/smollm2:streamGenerateContent": gemini_stream,
    "/v1/models/smollm2:streamGenerateContent": gemini_stream,
    "/v1beta/models/smollm2:countTokens": gemini_count,
    "/v1/models/smollm2:countTokens": gemini_count,
    "/v1beta/models/smollm2:batchEmbedContents": gemini_embeddings,
    "/v1/models/smollm2:batchEmbedContents": gemini_embeddings,
    "/v1/projects/p/locations/l/publishers/google/models/smollm2:generateContent": gemini,
    "/v1beta1/projects/p/locations/l/publishers/google/models/smollm2:generateContent": gemini,
    "/v1beta1/projects/p/locations/l/publishers/google/models/smollm2:predict": gemini_predictions,
    "/v1/projects/p/locations/l/publishers/anthropic/models/smollm2:rawPredict": anthropic,
    "/v1/projects/p/locations/l/publishers/anthropic/models/smollm2:streamRawPredict": anthropic,
    "/hf": tgi,
    "/generate": tgi,
}
