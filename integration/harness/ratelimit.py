"""A rate-limit service that fails as it is told, in this process.

`envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit` over gRPC, with the habits of the usual server: fixed windows of
the clock, one counter a descriptor, counting also what it refuses, giving back what `is_negative_hits` says. The limit is
the one in the descriptor, or else `limits[quota]`. The real engine is in `integration/fleet`.
"""

import asyncio
import struct
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from .protobuf import fields
from .server import Server

UNITS = {1: 1, 2: 60, 3: 3600, 4: 86400}
OK, OVER_LIMIT = 1, 2


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value) if value else b""


def block(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


@dataclass
class Descriptor:
    entries: dict[str, str] = field(default_factory=dict)
    limit: int | None = None
    window: int | None = None
    hits: int = 1
    negative: bool = False

    @staticmethod
    def read(message: bytes) -> "Descriptor":
        one = Descriptor()
        for key, value in fields(message):
            if key == 1:
                entry = dict(fields(value))
                one.entries[entry[1].decode()] = entry[2].decode()
            elif key == 2:
                limit = dict(fields(value))
                one.limit, one.window = limit[1], UNITS[limit[2]]
            elif key == 3:
                one.hits = dict(fields(value)).get(1, 0)
            elif key == 4:
                one.negative = bool(value)
        return one


class RateLimits(Server):
    """The server. Started again it keeps its counters."""

    def __init__(self, limits: dict[str, tuple[int, int]] | None = None):
        self.limits = limits or {}
        self.counters: dict[tuple, int] = defaultdict(int)
        self.calls: list[list[Descriptor]] = []
        self.domains: set[str] = set()
        self.lock = threading.Lock()
        # What happens to a call: `count`, `hang`, `garbage`, `unknown`, `huge`, `refuse`, `reset`, or `half`: requests are
        # counted, tokens get garbage.
        self.mood = "count"
        # Calls that came, answered or not.
        self.asked = 0
        # While it is not set, every call waits.
        self.gate = threading.Event()
        self.gate.set()
        # A test whose counts must not cross the end of a window sets another clock.
        self.clock = time.time
        self.start()

    def total(self, quota: str) -> int:
        with self.lock:
            return sum(count for key, count in self.counters.items() if dict(key[0]).get("quota") == quota)

    def answer(self, message: bytes) -> bytes:
        descriptors, default = [], 0
        for key, value in fields(message):
            if key == 1:
                self.domains.add(value.decode())
            elif key == 2:
                descriptors.append(Descriptor.read(value))
            elif key == 3:
                default = value
        assert descriptors and (default == 0 or all(one.hits == default for one in descriptors))
        out, over = b"", False
        with self.lock:
            self.calls.append(descriptors)
            for one in descriptors:
                configured = self.limits.get(one.entries["quota"], (0, 3600))
                limit, window = one.limit or configured[0], one.window or configured[1]
                now = self.clock()
                key = tuple(sorted(one.entries.items())), int(now // window)
                self.counters[key] = max(0, self.counters[key] + (-one.hits if one.negative else one.hits))
                is_over = not one.negative and self.counters[key] > limit
                over |= is_over
                status = number(1, OVER_LIMIT if is_over else OK) + block(2, number(1, limit))
                status += number(3, max(0, limit - self.counters[key]))
                status += block(4, number(1, int(window - now % window)))
                out += block(2, status)
        return number(1, OVER_LIMIT if over else OK) + out

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
        connection.initiate_connection()
        bodies: dict[int, bytearray] = defaultdict(bytearray)
        tasks: set[asyncio.Task] = set()
        try:
            while True:
                writer.write(connection.data_to_send())
                await writer.drain()
                data = await reader.read(65536)
                if not data:
                    return
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.DataReceived):
                        bodies[event.stream_id] += event.data
                        connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    elif isinstance(event, h2.events.StreamEnded):
                        body = bytes(bodies.pop(event.stream_id))
                        task = asyncio.ensure_future(self._reply(connection, writer, event.stream_id, body))
                        tasks.add(task)
                        task.add_done_callback(tasks.discard)
        except h2.exceptions.ProtocolError:
            pass

    async def _reply(self, connection, writer: asyncio.StreamWriter, stream: int, body: bytes) -> None:
        mood = self.mood
        self.asked += 1
        if mood == "half":
            mood = "garbage" if b"okens" in body else "count"
        while not self.gate.is_set():
            await asyncio.sleep(0.01)
        if mood == "hang":
            return
        try:
            if mood == "reset":
                writer.transport.abort()
                return
            head = [(b":status", b"200"), (b"content-type", b"application/grpc")]
            if mood == "refuse":
                connection.send_headers(stream, [*head, (b"grpc-status", b"13")], end_stream=True)
            else:
                length, = struct.unpack(">I", body[1:5])
                message = {
                    "garbage": b"<html>no rate limits here</html>", "unknown": b"", "huge": block(9, b"x" * 200_000),
                }.get(mood) if mood != "count" else self.answer(body[5 : 5 + length])  # fmt: skip
                connection.send_headers(stream, head)
                data = struct.pack(">BI", 0, len(message)) + message
                while data:
                    room = min(connection.local_flow_control_window(stream), connection.max_outbound_frame_size)
                    if room == 0:
                        writer.write(connection.data_to_send())
                        await asyncio.sleep(0.002)
                        continue
                    connection.send_data(stream, data[:room])
                    data = data[room:]
                connection.send_headers(stream, [(b"grpc-status", b"0")], end_stream=True)
            writer.write(connection.data_to_send())
            await writer.drain()
        except (h2.exceptions.ProtocolError, ConnectionError):
            pass  # the proxy gave the call up


def cluster(port: int, name: str = "limits") -> dict:
    """Envoy's cluster of a rate-limit service."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    http2 = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return {
        "name": name, "type": "STATIC", "connect_timeout": "5s",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
    }  # fmt: skip
