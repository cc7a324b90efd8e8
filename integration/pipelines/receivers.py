"""What receives Envoy's gRPC and OpenTelemetry access logs: the gRPC of a test's own, no collector.

Both services in one server, by path. It keeps the audit record of every entry. `gate` cleared, it reads and answers nothing.
"""

import asyncio
import struct
import threading
from collections import defaultdict

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from harness.protobuf import fields
from harness.server import Server

STREAM = b"/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
EXPORT = b"/opentelemetry.proto.collector.logs.v1.LogsService/Export"


def within(message: bytes, *path: int) -> list[bytes]:
    """The values at the end of a path of field numbers."""
    values = [message]
    for number in path:
        values = [value for one in values for key, value in fields(one) if key == number]
    return values


def mapped(entries: list[bytes]) -> dict[str, bytes]:
    """A protobuf map with names as keys."""
    return {within(entry, 1)[0].decode(): (within(entry, 2) or [b""])[0] for entry in entries}


class Receiver(Server):
    """The server. `records`: the audit records as they came; `states`: filter state as the gRPC log carries it besides."""

    def __init__(self):
        self.records: list[bytes] = []
        self.states: list[bytes] = []
        self.messages = 0
        self.gate = threading.Event()
        self.gate.set()
        self.start()

    def take(self, path: bytes, message: bytes) -> None:
        self.messages += 1
        if path == STREAM:
            # http_logs.log_entry.common_properties: 21 is filter_state_objects, 22 is custom_tags.
            for common in within(message, 2, 1, 1):
                self.records += [value for name, value in mapped(within(common, 22)).items() if name == "bartizan.audit"]
                self.states += [value for name, value in mapped(within(common, 21)).items() if name == "wasm.bartizan.audit"]
        else:
            assert path == EXPORT, path
            # resource_logs.scope_logs.log_records.body.string_value
            self.records += within(message, 1, 2, 2, 5, 1)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
        connection.initiate_connection()
        paths: dict[int, bytes] = {}
        bodies: dict[int, bytearray] = defaultdict(bytearray)
        try:
            while True:
                writer.write(connection.data_to_send())
                await writer.drain()
                data = await reader.read(65536)
                if not data:
                    return
                while not self.gate.is_set():
                    await asyncio.sleep(0.01)
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        paths[event.stream_id] = dict(event.headers)[b":path"]
                    elif isinstance(event, h2.events.DataReceived):
                        body = bodies[event.stream_id]
                        body += event.data
                        connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                        while len(body) >= 5 and len(body) >= 5 + (length := struct.unpack(">I", body[1:5])[0]):
                            self.take(paths[event.stream_id], bytes(body[5 : 5 + length]))
                            del body[: 5 + length]
                    elif isinstance(event, h2.events.StreamEnded):
                        connection.send_headers(event.stream_id, [(b":status", b"200"), (b"content-type", b"application/grpc")])
                        # An empty message is a full answer of both services.
                        connection.send_data(event.stream_id, struct.pack(">BI", 0, 0))
                        connection.send_headers(event.stream_id, [(b"grpc-status", b"0")], end_stream=True)
        except h2.exceptions.ProtocolError:
            pass
