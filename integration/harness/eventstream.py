"""Messages of AWS event streams, written and read apart from the filter's own code ("Event Stream Encoding")."""

import base64
import json
import struct
import zlib


def _header(name: str, value: str) -> bytes:
    return bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()


def message(kind: str, payload: dict, message_type: str = "event") -> bytes:
    """One event of this type, or an exception."""
    headers = _header(f":{message_type}-type", kind) + _header(":content-type", "application/json") + _header(":message-type", message_type)
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    start = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
    return start + struct.pack(">I", zlib.crc32(start))


def chunk(event: dict) -> bytes:
    """An event of a model's own."""
    return message("chunk", {"bytes": base64.b64encode(json.dumps(event).encode()).decode(), "p": "abcdefgh"})


def read(stream: bytes) -> list[tuple[str, dict]]:
    """Every message's type and payload; both checksums must be right. Events of a model's own are opened."""
    found = []
    while stream:
        total, length, checksum = struct.unpack(">III", stream[:12])
        one, stream = stream[:total], stream[total:]
        assert zlib.crc32(one[:8]) == checksum and zlib.crc32(one[:-4]) == struct.unpack(">I", one[-4:])[0], "a wrong checksum"
        headers, rest = {}, one[12 : 12 + length]
        while rest:
            name, rest = rest[1 : 1 + rest[0]].decode(), rest[1 + rest[0] :]
            size = struct.unpack(">H", rest[1:3])[0]
            headers[name], rest = rest[3 : 3 + size].decode(), rest[3 + size :]
        payload = json.loads(one[12 + length : -4] or b"{}")
        kind = headers.get(":event-type") or headers[":exception-type"]
        found.append((kind, json.loads(base64.b64decode(payload["bytes"])) if kind == "chunk" else payload))
    return found
