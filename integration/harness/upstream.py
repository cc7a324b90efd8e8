"""A scripted model server that writes down every byte that reaches it.

It speaks HTTP/1.1 and HTTP/2 (prior knowledge) on one port and runs in a thread of the test. What it
answers is told by the request's `x-script` header: the name of a function in `SCRIPTS`; or by `replies`,
for the request's `x-case`.
"""

import asyncio
import json
import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from . import providers
from .server import Server

Headers = list[tuple[bytes, bytes]]


@dataclass
class Seen:
    """One request as it arrived, also when it never ended."""

    protocol: str
    method: bytes = b""
    path: bytes = b""
    headers: Headers = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    trailers: Headers = field(default_factory=list)
    complete: bool = False

    def header(self, name: str) -> bytes | None:
        return next((value for key, value in self.headers if key.lower() == name.encode()), None)

    def names(self) -> set[str]:
        return {key.decode("latin-1").lower() for key, _ in self.headers}

    @property
    def case(self) -> str:
        return (self.header("x-case") or b"").decode("latin-1")

    def json(self):
        return json.loads(bytes(self.body))


# Behind every reply that has trailers: one of its own, and two that claim to be the filter's.
TRAILERS = [(b"x-checksum", b"42"), (b"x-bartizan-verdict", b"allow"), (b"x_bartizan_subject", b"root")]

# Scripts: a generator of steps. ("head", status, headers) ("data", bytes) ("trailers", headers) ("sleep", s) ("reset",)

REPLY_TEXT = "A bartizan is a small turret on a castle wall."
USAGE = {"prompt_tokens": 11, "completion_tokens": 13, "total_tokens": 24}


def completion(model: str = "scripted", text: str = REPLY_TEXT) -> dict:
    message = {"role": "assistant", "content": text, "refusal": None}
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model, "usage": USAGE,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
    }  # fmt: skip


def whole(value, status: int = 200) -> Iterator[tuple]:
    body = json.dumps(value).encode()
    yield "head", status, [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    yield "data", body


def sse_events(text: str = REPLY_TEXT, pieces: list[str] | None = None) -> list[bytes]:
    def event(choices, usage=None) -> bytes:
        chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
        return b"data: " + json.dumps(chunk | {"choices": choices, "usage": usage}).encode() + b"\n\n"

    words = text.split(" ")
    spaced = [word + (" " if index + 1 < len(words) else "") for index, word in enumerate(words)]
    events = [event([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])]
    for content in spaced if pieces is None else pieces:
        events.append(event([{"index": 0, "delta": {"content": content}, "finish_reason": None}]))
    events.append(event([{"index": 0, "delta": {}, "finish_reason": "stop"}]))
    events.append(event([], USAGE))
    events.append(b"data: [DONE]\n\n")
    return events


SSE_HEAD = ("head", 200, [(b"content-type", b"text/event-stream")])


def default(seen: Seen) -> Iterator[tuple]:
    """What the provider whose path it is answers; else a chat completion, or a stream of it."""
    try:
        body = seen.json() if seen.body else {}
    except ValueError:
        body = {}
    path = seen.path.split(b"?")[0].decode("latin-1")
    fields = body if isinstance(body, dict) else {}
    if kept := providers.kept(seen.method.decode(), seen.path.decode("latin-1"), fields):
        return kept
    provider = providers.PATHS.get(path) or providers.PATHS.get(path.removeprefix("/anthropic"))
    if provider and isinstance(body, dict):
        return provider(body)
    if seen.path.split(b"?")[0].endswith(b"/models"):
        return whole({"object": "list", "data": [{"id": "smollm2", "object": "model", "owned_by": "scripted"}]})
    if not isinstance(body, dict):
        body = {}
    if body.get("stream") is True:
        return sse(seen)
    if "prompt" in body:
        return whole({"object": "text_completion", "usage": USAGE, "choices": [{"index": 0, "text": REPLY_TEXT}]})
    return whole(completion(str(body.get("model", "scripted"))))


def replied(reply: dict, seen: Seen) -> Iterator[tuple]:
    """An answer as a test wrote it: `status`, `headers` and `chunks` of text; `{placeholder}` in them is the first one that came."""
    came = re.search(rb"\[[A-Z]+_\w+\]", bytes(seen.body)) or [b"{placeholder}"]
    yield "head", reply.get("status", 200), [(key.encode(), value.encode()) for key, value in reply.get("headers", {}).items()]
    for chunk in reply.get("chunks", ()):
        yield "data", chunk.encode().replace(b"{placeholder}", came[0])


def sse(_: Seen) -> Iterator[tuple]:
    yield SSE_HEAD
    for event in sse_events():
        yield "data", event


def sse_bytes(_: Seen) -> Iterator[tuple]:
    """A stream cut at every byte."""
    yield SSE_HEAD
    for byte in b"".join(sse_events()):
        yield "data", bytes([byte])


# Content type, body and chunk size of the script `canned`; a test sets them.
CANNED: list = [b"application/json", b"{}", 2]


def canned(_: Seen) -> Iterator[tuple]:
    content_type, body, size = CANNED
    yield "head", 200, [(b"content-type", content_type)]
    for start in range(0, len(body), size):
        yield "data", body[start : start + size]


def canned_trailers(seen: Seen) -> Iterator[tuple]:
    yield from canned(seen)
    yield "trailers", TRAILERS


def canned_reset(seen: Seen) -> Iterator[tuple]:
    yield from canned(seen)
    yield "sleep", 0.05
    yield ("reset",)


# The script of a request that names none: an SDK does not send headers of ours.
DEFAULT = ["default"]
# The pieces of the answer of the script `said`; a test sets them. `{prompt}` stands for the system prompt that came.
SAID: list[str] = []


def said(seen: Seen) -> Iterator[tuple]:
    """The provider whose path it is says what the test wants said."""
    is_form = (seen.header("content-type") or b"").startswith(b"multipart/")
    body = seen.json() if seen.body and not is_form else {}
    prompt = providers.system_prompt(body)
    pieces = [piece for text in SAID for piece in ([text] if text != "{prompt}" else list(prompt))]
    path = seen.path.split(b"?")[0].decode("latin-1")
    if kept := providers.kept(seen.method.decode(), seen.path.decode("latin-1"), body, pieces):
        return kept
    if path in providers.PATHS:
        return providers.PATHS[path](body, pieces)
    if path == "/mcp":
        return providers.mcp(body, pieces, seen.header("x-stream") is not None)
    if path == "/graphql":
        return whole({"data": {"ask": {"text": "".join(pieces)}}})
    if (held := stores(path, "".join(pieces))) is not None:
        return whole(held)
    if path == "/ask":
        return whole({"response": "".join(pieces), "usage": USAGE})
    return sse_of(sse_events(pieces=pieces)) if body.get("stream") else whole(completion(text="".join(pieces)))


def stores(path: str, text: str) -> dict | None:
    """What a vector store at this path answers, with one record."""
    match path.split("/")[1], path.rpartition("/")[2]:
        case "chroma", "query":
            record = {"ids": "1", "documents": text, "metadatas": {"page": 7}, "distances": 0.25}
            return {key: [[value]] for key, value in record.items()} | {"embeddings": None, "uris": None, "include": ["documents", "metadatas", "distances"]}
        case "pinecone", "query":
            return {"matches": [{"id": "1", "score": 0.25, "metadata": {"text": text}}], "namespace": "acme", "usage": {"readUnits": 1}}
        case "weaviate", "graphql":
            return {"data": {"Get": {"Docs": [{"text": text}]}}}
        case "chroma" | "pinecone" | "weaviate", _:
            return {}
    return None


def sse_of(events: list[bytes]) -> Iterator[tuple]:
    yield SSE_HEAD
    for event in events:
        yield "data", event


# What the script `metered` has used, input and output: the truth that quotas are held against.
METERED: list[tuple[int, int]] = []


def metered(seen: Seen) -> Iterator[tuple]:
    """A model that takes its time and writes between a quarter of the cap and all of it; every other stream tells no usage."""
    body = seen.json()
    cap = body.get("max_completion_tokens") or body.get("max_tokens") or 1000
    number = len(METERED)
    words = sum(len(str(message["content"]).split()) for message in body["messages"]) + 8
    usage = {"prompt_tokens": words, "completion_tokens": max(1, cap * (1 + number % 4) // 4)}
    usage["total_tokens"] = sum(usage.values())
    METERED.append((usage["prompt_tokens"], usage["completion_tokens"]))
    yield "sleep", 0.02 + number % 7 / 50
    text = "word " * usage["completion_tokens"]
    if not body.get("stream"):
        yield from whole(completion(text=text) | {"usage": usage})
        return
    yield SSE_HEAD
    events = sse_events(text.strip())
    asked = (body.get("stream_options") or {}).get("include_usage")
    for event in events:
        if json.dumps(USAGE).encode() not in event:
            yield "data", event
        elif asked:
            yield "data", event.replace(json.dumps(USAGE).encode(), json.dumps(usage).encode())


# Cases whose first attempt has failed.
FAILED: set[str] = set()


def fails_once(seen: Seen) -> Iterator[tuple]:
    """503 for the first attempt of a case, then what the default answers: for proxies that try again."""
    if seen.case in FAILED:
        yield from default(seen)
        return
    FAILED.add(seen.case)
    yield from whole({"error": {"message": "try again", "type": "server_error"}}, 503)


def sse_trailers(seen: Seen) -> Iterator[tuple]:
    yield from sse(seen)
    yield "trailers", TRAILERS


def sse_reset(_: Seen) -> Iterator[tuple]:
    yield SSE_HEAD
    yield "data", sse_events()[0]
    yield ("reset",)


def sse_slow(_: Seen) -> Iterator[tuple]:
    yield SSE_HEAD
    for event in sse_events("one two three"):
        yield "data", event
        yield "sleep", 0.05


# What the second half of the script `sse_halves` says.
SECRET = "AKIAIOSFODNN7EXAMPLQ"
# What the scripts `sse_halves` and `gated` wait for, a minute at most.
GATE = threading.Event()


def wait_at_the_gate() -> Iterator[tuple]:
    for _ in range(1200):
        if GATE.is_set():
            return
        yield "sleep", 0.05


def sse_halves(_: Seen) -> Iterator[tuple]:
    """A stream that waits in the middle, and then says a secret."""
    yield SSE_HEAD
    for event in sse_events(f"the first half and {SECRET} in the second"):
        yield "data", event
        if b'"and "' in event:
            yield from wait_at_the_gate()


def halted(_: Seen) -> Iterator[tuple]:
    """A stream of what the test wants said, which waits behind a piece `gate`."""
    yield SSE_HEAD
    for event in sse_events(pieces=SAID):
        yield "data", event
        if b'"content": "gate"' in event:
            yield from wait_at_the_gate()


def gated(_: Seen) -> Iterator[tuple]:
    yield from wait_at_the_gate()
    yield from whole(completion())


def trailers(_: Seen) -> Iterator[tuple]:
    yield "head", 200, [(b"content-type", b"application/json")]
    yield "data", json.dumps(completion()).encode()
    yield "trailers", TRAILERS


def slow(_: Seen) -> Iterator[tuple]:
    yield "sleep", 0.5
    yield from whole(completion())


def reset(_: Seen) -> Iterator[tuple]:
    yield ("reset",)


def reset_mid(_: Seen) -> Iterator[tuple]:
    body = json.dumps(completion()).encode()
    yield "head", 200, [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    yield "data", body[:40]
    yield ("reset",)


def huge(_: Seen) -> Iterator[tuple]:
    """A reply of 12 MiB: over every buffer limit of the shipped files."""
    return whole(completion(text="x" * (12 << 20)))


def error(_: Seen) -> Iterator[tuple]:
    return whole({"error": {"message": "scripted", "type": "server_error", "param": None, "code": None}}, 500)


def not_json(_: Seen) -> Iterator[tuple]:
    yield "head", 200, [(b"content-type", b"application/json"), (b"content-length", b"7")]
    yield "data", b"\xff\xfe{oops"


def empty(_: Seen) -> Iterator[tuple]:
    yield "head", 204, []


def accepted(_: Seen) -> Iterator[tuple]:
    """What the official TypeScript server of MCP answers to a notification."""
    yield "head", 202, []


def accepted_text(_: Seen) -> Iterator[tuple]:
    yield "head", 202, [(b"content-type", b"text/plain")]
    yield "data", b"Accepted"


def nothing(_: Seen) -> Iterator[tuple]:
    yield "head", 200, []


SCRIPTS = {
    name.__name__: name
    for name in (
        canned, canned_trailers, canned_reset, said, default, metered, sse, sse_bytes, sse_trailers, sse_reset, sse_slow, sse_halves, halted, trailers,
        slow, gated, reset, reset_mid, huge, error, not_json, empty, fails_once,
        accepted, accepted_text, nothing,
    )
}  # fmt: skip


class Upstream(Server):
    """The server. `seen(case)` is what reached it of one test request, `total` and `octets` what reached it at all."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.by_case: dict[str, list[Seen]] = defaultdict(list)
        # What is answered to the request of a case, in place of its script: see `replied`.
        self.replies: dict[str, dict] = {}
        self.total = 0
        self.body_octets = 0
        self.octets = 0
        self.keep = True
        self.start()

    def seen(self, case: str) -> list[Seen]:
        with self.lock:
            return list(self.by_case.get(case, ()))

    def forget(self) -> None:
        """Drops the records, keeps the counters."""
        with self.lock:
            self.by_case.clear()

    def script(self, seen: Seen) -> Iterator[tuple]:
        """The steps of the answer."""
        if (reply := self.replies.get(seen.case)) is not None:
            return replied(reply, seen)
        name = (seen.header("x-script") or DEFAULT[0].encode()).decode("latin-1")
        return SCRIPTS.get(name, default)(seen)

    def _begin(self, seen: Seen) -> None:
        with self.lock:
            self.total += 1
            if self.keep:
                self.by_case[seen.case].append(seen)

    def _body(self, seen: Seen, data: bytes) -> None:
        seen.body += data
        self.body_octets += len(data)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(3)
        self.octets += 3
        try:
            if first == b"PRI":
                await H2Connection(self, reader, writer).run(first)
            else:
                await self._serve_h1(first, reader, writer)
        except ValueError:
            pass  # no HTTP

    async def _serve_h1(self, start: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def line() -> bytes:
            text = await reader.readuntil(b"\r\n")
            self.octets += len(text)
            return text[:-2]

        async def fields() -> Headers:
            result = []
            while text := await line():
                key, _, value = text.partition(b":")
                result.append((key, value.strip()))
            return result

        async def body(seen: Seen, size: int) -> None:
            while size:
                data = await reader.read(min(size, 65536))
                if not data:
                    raise asyncio.IncompleteReadError(b"", size)
                self.octets += len(data)
                self._body(seen, data)
                size -= len(data)

        while True:
            method, path, _ = (start + await line()).split(b" ", 2)
            start = b""
            seen = Seen("h1", method, path, await fields())
            self._begin(seen)
            if (seen.header("transfer-encoding") or b"").lower() == b"chunked":
                while size := int((await line()).split(b";")[0], 16):
                    await body(seen, size)
                    await line()
                seen.trailers = await fields()
            else:
                await body(seen, int(seen.header("content-length") or 0))
            seen.complete = True
            if not await self._answer_h1(seen, writer):
                return

    async def _answer_h1(self, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        chunked, ended = False, False
        for step in self.script(seen):
            match step:
                case "head", status, headers:
                    names = {key for key, _ in headers}
                    chunked = b"content-length" not in names and status != 204
                    if chunked:
                        headers = [*headers, (b"transfer-encoding", b"chunked")]
                    lines = [b"HTTP/1.1 %d Scripted" % status, *(key + b": " + value for key, value in headers)]
                    writer.write(b"\r\n".join(lines) + b"\r\n\r\n")
                case "data", data:
                    writer.write(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)
                    await writer.drain()
                case "trailers", headers:
                    end = b"".join(key + b": " + value + b"\r\n" for key, value in headers)
                    writer.write(b"0\r\n" + end + b"\r\n")
                    ended = True
                case "sleep", seconds:
                    await asyncio.sleep(seconds)
                case ("reset",):
                    await writer.drain()
                    writer.transport.abort()
                    return False
        if chunked and not ended:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


class H2Connection:
    """One HTTP/2 connection from the proxy."""

    def __init__(self, upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.upstream, self.reader, self.writer = upstream, reader, writer
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
        self.streams: dict[int, Seen] = {}
        self.window = asyncio.Event()
        self.tasks: set[asyncio.Task] = set()

    async def run(self, data: bytes) -> None:
        self.h2.initiate_connection()
        while data:
            for event in self.h2.receive_data(data):
                self._on(event)
            self.writer.write(self.h2.data_to_send())
            await self.writer.drain()
            data = await self.reader.read(65536)
            self.upstream.octets += len(data)

    def _on(self, event) -> None:
        seen = self.streams.get(getattr(event, "stream_id", 0))
        if isinstance(event, h2.events.RequestReceived):
            pseudo = dict(event.headers)
            headers = [(key, value) for key, value in event.headers if not key.startswith(b":")]
            seen = Seen("h2", pseudo.get(b":method", b""), pseudo.get(b":path", b""), headers)
            self.streams[event.stream_id] = seen
            self.upstream._begin(seen)
        elif isinstance(event, h2.events.DataReceived) and seen:
            self.upstream._body(seen, event.data)
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived) and seen:
            seen.trailers = list(event.headers)
        elif isinstance(event, h2.events.StreamEnded) and seen:
            seen.complete = True
            task = asyncio.ensure_future(self._answer(event.stream_id, seen))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        elif isinstance(event, (h2.events.WindowUpdated, h2.events.StreamReset)):
            self.window.set()

    async def _flush(self) -> None:
        self.writer.write(self.h2.data_to_send())
        await self.writer.drain()

    async def _answer(self, stream: int, seen: Seen) -> None:
        try:
            ended = False
            for step in self.upstream.script(seen):
                match step:
                    case "head", status, headers:
                        self.h2.send_headers(stream, [(b":status", b"%d" % status), *headers])
                    case "data", data:
                        while data:
                            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
                            if room == 0:
                                self.window.clear()
                                await self.window.wait()
                                continue
                            self.h2.send_data(stream, data[:room])
                            data = data[room:]
                            await self._flush()
                    case "trailers", headers:
                        self.h2.send_headers(stream, headers, end_stream=True)
                        ended = True
                    case "sleep", seconds:
                        await asyncio.sleep(seconds)
                    case ("reset",):
                        self.h2.reset_stream(stream)
                        ended = True
            if not ended:
                self.h2.end_stream(stream)
            await self._flush()
        except (h2.exceptions.ProtocolError, ConnectionError):
            pass  # the proxy gave the stream up


def closed_port() -> int:
    """A port on which nobody listens."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
