"""What is sent through the filter: one case for each instance of a request, a reply and an event of the SDKs."""

import collections
import json
from collections.abc import Iterator
from dataclasses import dataclass

from .endpoints import SSE, Endpoint, data, kind, named
from .instances import BYTES, Builder, Instance, top
from .lists import branch

JSON = b"application/json"
BOUNDARY = "castle-wall"


@dataclass
class Case:
    """A request and what its upstream answers. `part` says which of the two is tried."""

    endpoint: str
    part: str
    label: str
    target: str
    body: bytes
    reply: bytes
    reply_type: bytes = JSON
    status: int = 200
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def path(self) -> tuple[str, ...]:
        """How the lists name it."""
        return branch(self.endpoint, self.part, self.label)


def apart(found: list[Instance]) -> list[Instance]:
    """The same instances, labels that occur again told apart."""
    times, made = collections.Counter(), []
    for label, value in found:
        times[label] += 1
        made.append((label if times[label] == 1 else f"{label}~{times[label]}", value))
    return made


def plain(value):
    """The value as JSON has it; bytes are left to forms."""
    return json.dumps(value, default=lambda other: other.decode("latin-1") if isinstance(other, bytes) else str(other)).encode()


def form(fields: dict) -> bytes:
    """`multipart/form-data`, as the SDKs write it."""
    parts = []
    for name, value in fields.items():
        values = value if isinstance(value, list) else [value]
        for item in values:
            key = f"{name}[]" if isinstance(value, list) else name
            if isinstance(item, tuple):
                # A file's name, what it holds, and then its type and headers.
                head, item = f'content-disposition: form-data; name="{key}"; filename="{item[0]}"\r\ncontent-type: application/octet-stream', BYTES
            elif isinstance(item, bytes):
                head = f'content-disposition: form-data; name="{key}"; filename="north.bin"\r\ncontent-type: application/octet-stream'
            else:
                head, item = f'content-disposition: form-data; name="{key}"', item if isinstance(item, str) else json.dumps(item)
            parts.append(f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + (item if isinstance(item, bytes) else item.encode()) + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def stream(endpoint: Endpoint, event: dict) -> bytes:
    """One event as a client gets it; what opens and ends the stream stands around it."""
    before = [] if event.get("type") == "message_start" or "messageStart" in event else list(endpoint.before)
    if str(event.get("type", "")).startswith("content_block_") and event["type"] != "content_block_start":
        before.append({"type": "content_block_start", "index": event["index"], "content_block": opened(event)})
    after = endpoint.after
    if event.get("type") in ("content_block_start", "content_block_delta"):
        after = named({"type": "content_block_stop", "index": event["index"]}) + after
    if event.get("type") == "message_stop" or "messageStop" in event:
        after = b""
    return b"".join(endpoint.frame(entry) for entry in [*before, event]) + after


def opened(event: dict) -> dict:
    """The content block that a delta of Anthropic's belongs to."""
    kinds = {"input_json_delta": {"type": "tool_use", "id": "toolu_1", "name": "search_castles", "input": {}},
             "thinking_delta": {"type": "thinking", "thinking": "", "signature": ""},
             "signature_delta": {"type": "thinking", "thinking": "", "signature": ""}}  # fmt: skip
    return kinds.get(event.get("delta", {}).get("type"), {"type": "text", "text": ""})


def varied(events: list[Instance]) -> Iterator[Instance]:
    """Whole responses vary in the first kind of event that holds one; the others hold one of each number of fields."""
    first, sizes = None, set()
    for label, event in events:
        if isinstance(event, dict) and isinstance(event.get("response"), dict) and "type" in event:
            first, size = first or event["type"], (event["type"], len(event["response"]))
            if event["type"] != first and size in sizes:
                continue
            sizes.add(size)
        yield label, event


def of_endpoint(builder: Builder, endpoint: Endpoint) -> Iterator[Case]:
    requests = apart(top(builder, kind(endpoint.params), endpoint.given))
    replies = apart(builder.instances(kind(endpoint.reply))) if endpoint.reply else []
    events = apart(builder.instances(kind(endpoint.event))) if endpoint.event else []
    content_type = f"multipart/form-data; boundary={BOUNDARY}" if endpoint.form else "application/json"
    written = form if endpoint.form else plain

    def case(part: str, label: str, request: dict, reply_type: bytes, reply: bytes) -> Case:
        path = endpoint.stream_path if endpoint.stream_path and reply_type == endpoint.event_type else endpoint.path
        return Case(endpoint.name, part, label, path, written(request), reply, reply_type,
                    content_type=content_type, headers=endpoint.headers)  # fmt: skip

    first = endpoint.event_type, stream(endpoint, events[0][1]) if events else b""
    answer = endpoint.raw or ((JSON, plain(replies[0][1])) if replies else first)
    for label, request in requests:
        yield case("request", label, request, *(first if events and request.get("stream") is True else answer))
    whole = requests[0][1]
    for label, reply in replies:
        yield case("reply", label, whole, JSON, plain(reply))
    for label, event in varied(events):
        asked = {**whole, **({"stream": True} if endpoint.streams is None else endpoint.streams)}
        yield case("event", label, asked, endpoint.event_type, stream(endpoint, event))


def of_mcp(builder: Builder) -> Iterator[Case]:
    """Streamable HTTP. Every instance goes out under the newest revision that has its type, and its first under the others."""
    from mcp_types import methods
    from mcp_types.version import KNOWN_PROTOCOL_VERSIONS

    # The oldest one is spoken over another transport.
    versions = KNOWN_PROTOCOL_VERSIONS[1:]
    walked: set = set()

    def instances(table, method: str, version: str):
        made = apart(builder.instances(table[method, version]))
        if (method, repr(table[method, version])) in walked:
            return made[:1]
        walked.add((method, repr(table[method, version])))
        return made

    def case(part: str, name: str, version: str, label: str, message: dict, reply_type: bytes, reply: bytes, status: int = 200) -> Case:
        message = dated(message, version)
        return Case(f"mcp {version} {name}", part, label, "/mcp", plain(message), reply, reply_type, status,
                    headers=(("accept", "application/json, text/event-stream"), *claims(message, version)))  # fmt: skip

    def result(method: str, version: str) -> dict:
        return {"jsonrpc": "2.0", "id": 1, "result": builder.instances(methods.SERVER_RESULTS[method, version])[0][1]}

    for version in reversed(versions):
        asked = {method: builder.instances(table)[0][1] for (method, of), table in methods.CLIENT_REQUESTS.items() if of == version}
        for method in asked:
            answer = plain(dated(result(method, version), version))
            for label, message in instances(methods.CLIENT_REQUESTS, method, version):
                yield case("request", method, version, label, message, JSON, plain({**json.loads(answer), "id": message["id"]}))
            for label, value in instances(methods.SERVER_RESULTS, method, version):
                message = dated({"jsonrpc": "2.0", "id": asked[method]["id"], "result": value}, version)
                yield case("reply", method, version, label, asked[method], JSON, plain(message))
                yield case("event", method, version, label, asked[method], SSE, data(message))
        for table, part in ((methods.CLIENT_NOTIFICATIONS, "notification"), (methods.CLIENT_RESULTS, "result")):
            for method, of in table:
                if of != version:
                    continue
                for label, value in instances(table, method, version):
                    message = value if part == "notification" else {"jsonrpc": "2.0", "id": 1, "result": value}
                    yield case(part, method, version, label, message, JSON, b"", 202)
        last = data(dated({**result("tools/list", version), "id": asked["tools/list"]["id"]}, version))
        for table, part in ((methods.SERVER_NOTIFICATIONS, "notification from the server"), (methods.SERVER_REQUESTS, "request from the server")):
            for method, of in table:
                if of != version:
                    continue
                for label, value in instances(table, method, version):
                    yield case(part, method, version, label, asked["tools/list"], SSE, data(dated(value, version)) + last)


def dated(message: dict, version: str) -> dict:
    """The message with its own revision wherever it names one."""

    def walk(value, key: str = ""):
        if isinstance(value, dict):
            return {name: walk(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner, key) for inner in value]
        return version if isinstance(value, str) and key.lower().endswith(("protocolversion", "supportedversions")) else value

    return walk(message)


def claims(message: dict, version: str) -> tuple[tuple[str, str], ...]:
    """The headers that repeat the body, as the SDK sends them."""
    if message.get("method") == "initialize":
        return ()
    headers = [("mcp-protocol-version", version)]
    if version >= "2026-07-28" and "method" in message:
        headers.append(("mcp-method", message["method"]))
        params = message.get("params") or {}
        if message["method"] in ("tools/call", "prompts/get", "resources/read"):
            headers.append(("mcp-name", params.get("name") or params.get("uri")))
    return tuple(headers)

