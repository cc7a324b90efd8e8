"""HTTP clients that say exactly what a test wants said: HTTP/1.1 by hand, HTTP/2 by frames.

No request is made well-formed behind the test's back: duplicate headers, wrong lengths, bytes that are
no UTF-8 and trailers go out as given.
"""

import socket
import time
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events

Headers = list[tuple[str | bytes, str | bytes]]
H1, H2 = "h1", "h2"


def raw(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


@dataclass
class Reply:
    """What came back. `status` is 0 when the stream or connection was reset before any head."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)
    complete: bool = False
    seconds: float = 0.0

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    @property
    def reason(self) -> str | None:
        return self.header("x-bartizan-reason")

    def json(self):
        import json

        return json.loads(self.body)


@dataclass
class Call:
    """One request. `chunks` sends the body in pieces; `length` declares another length than the real one, or none."""

    method: str = "POST"
    path: str | bytes = "/v1/chat/completions"
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    chunks: list[bytes] | None = None
    trailers: Headers = field(default_factory=list)
    length: int | None | str = "exact"
    host: str = "llm.example.com"
    # Filled as the reply comes, for a test that looks at it in between.
    into: Reply | None = None

    def pieces(self) -> list[bytes]:
        if self.chunks is not None:
            return self.chunks
        return [self.body] if self.body else []


class Client:
    """One connection, kept alive over calls; `protocol` is `h1` or `h2`."""

    def __init__(self, port: int, protocol: str = H1, timeout: float = 60.0):
        self.port, self.protocol, self.timeout = port, protocol, timeout
        self.socket: socket.socket | None = None

    def call(self, call: Call) -> Reply:
        start = time.perf_counter()
        reply = (self._call_h1 if self.protocol == H1 else self._call_h2)(call)
        reply.seconds = time.perf_counter() - start
        return reply

    def close(self) -> None:
        if self.socket:
            self.socket.close()
            self.socket = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _connect(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=self.timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        if self.protocol == H2:
            self.h2 = h2.connection.H2Connection(
                h2.config.H2Configuration(
                    header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False
                )
            )
            self.h2.initiate_connection()
            self.socket.sendall(self.h2.data_to_send())

    # HTTP/1.1

    def _call_h1(self, call: Call) -> Reply:
        fresh = self.socket is None
        if fresh:
            self._connect()
        chunked = call.trailers or (call.chunks is not None and call.length == "exact")
        head = [b"%s %s HTTP/1.1" % (raw(call.method), raw(call.path)), b"host: " + raw(call.host)]
        head += [raw(key) + b": " + raw(value) for key, value in call.headers]
        if chunked:
            head.append(b"transfer-encoding: chunked")
        elif call.length == "exact":
            if call.body or call.method in ("POST", "PUT"):
                head.append(b"content-length: %d" % len(call.body))
        elif call.length is not None:
            head.append(b"content-length: %d" % call.length)
        head = b"\r\n".join(head) + b"\r\n\r\n"
        try:
            if chunked:
                self.socket.sendall(head)
                for piece in call.pieces():
                    self.socket.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
                end = b"".join(raw(key) + b": " + raw(value) + b"\r\n" for key, value in call.trailers)
                self.socket.sendall(b"0\r\n" + end + b"\r\n")
            else:
                self.socket.sendall(head + b"".join(call.pieces()))
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before the body was through: the reply is still to be read
        try:
            reply = self._read_h1(call.method, call.into or Reply())
        except (ConnectionResetError, EOFError):
            self.close()
            # An idle connection that the proxy had closed says nothing about the request.
            return Reply() if fresh else self._call_h1(call)
        if not reply.complete or (reply.header("connection") or "").lower() == "close":
            self.close()
        return reply

    def _line(self) -> bytes:
        while b"\r\n" not in self.buffer:
            self._more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        self.buffer += data

    def _take(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self._more()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def _fields(self) -> list[tuple[str, str]]:
        fields = []
        while line := self._line():
            key, _, value = line.partition(b":")
            fields.append((key.decode("latin-1").lower(), value.strip().decode("latin-1")))
        return fields

    def _read_h1(self, method: str, reply: Reply) -> Reply:
        while True:
            status = int(self._line().split()[1])
            headers = self._fields()
            if status >= 200 or status == 101:
                break
        reply.status, reply.headers = status, headers
        try:
            if method == "HEAD" or status in (101, 204, 304):
                pass
            elif reply.header("transfer-encoding") == "chunked":
                while size := int(self._line().split(b";")[0], 16):
                    reply.body += self._take(size)
                    self._line()
                reply.trailers = self._fields()
            elif (length := reply.header("content-length")) is not None:
                reply.body = self._take(int(length))
            else:
                while True:
                    try:
                        self._more()
                    except EOFError:
                        break
                reply.body, self.buffer = self.buffer, b""
                reply.headers.append(("connection", "close"))
            reply.complete = True
        except (EOFError, ConnectionResetError):
            reply.body += self.buffer
        return reply

    # HTTP/2

    def _call_h2(self, call: Call) -> Reply:
        if self.socket is None:
            self._connect()
        stream = self.h2.get_next_available_stream_id()
        headers = [
            (b":method", raw(call.method)), (b":scheme", b"http"),
            (b":authority", raw(call.host)), (b":path", raw(call.path)),
        ]  # fmt: skip
        headers += [(raw(key).lower(), raw(value)) for key, value in call.headers]
        if isinstance(call.length, int):
            headers.append((b"content-length", b"%d" % call.length))
        elif call.length == "exact" and call.chunks is None and not call.trailers and call.body:
            headers.append((b"content-length", b"%d" % len(call.body)))
        pieces = call.pieces()
        self.h2.send_headers(stream, headers, end_stream=not pieces and not call.trailers)
        reply = call.into or Reply()
        state = {"done": False}

        def pump(block: bool) -> None:
            out = self.h2.data_to_send()
            if out:
                try:
                    self.socket.sendall(out)
                except (BrokenPipeError, ConnectionResetError):
                    state["done"] = True
                    return
            self.socket.settimeout(self.timeout if block else 0.0)
            try:
                data = self.socket.recv(65536)
            except (BlockingIOError, TimeoutError):
                if block:
                    raise
                return
            except ConnectionResetError:
                data = b""
            finally:
                self.socket.settimeout(self.timeout)
            if not data:
                state["done"] = True
                self.close()
                return
            for event in self.h2.receive_data(data):
                if isinstance(event, h2.events.ConnectionTerminated):
                    state["done"] = True
                if getattr(event, "stream_id", None) != stream:
                    continue
                if isinstance(event, h2.events.ResponseReceived):
                    fields = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in event.headers]
                    reply.status = int(dict(fields)[":status"])
                    reply.headers = [field for field in fields if not field[0].startswith(":")]
                elif isinstance(event, h2.events.DataReceived):
                    reply.body += event.data
                    self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
                elif isinstance(event, h2.events.TrailersReceived):
                    reply.trailers = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in event.headers]
                elif isinstance(event, h2.events.StreamEnded):
                    reply.complete = state["done"] = True
                elif isinstance(event, h2.events.StreamReset):
                    state["done"] = True

        for index, piece in enumerate(pieces):
            while piece and not state["done"]:
                window = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(piece))
                if window == 0:
                    pump(block=True)
                    continue
                last = window == len(piece) and index == len(pieces) - 1 and not call.trailers
                self.h2.send_data(stream, piece[:window], end_stream=last)
                piece = piece[window:]
                pump(block=False)
            if state["done"]:
                break
        if call.trailers and not state["done"]:
            self.h2.send_headers(stream, [(raw(k).lower(), raw(v)) for k, v in call.trailers], end_stream=True)
        elif pieces and not pieces[-1] and not state["done"]:
            self.h2.end_stream(stream)
        while not state["done"]:
            pump(block=True)
        if self.socket is not None and (out := self.h2.data_to_send()):
            self.socket.sendall(out)
        if not reply.complete:
            self.close()
        return reply


class Heads:
    """One HTTP/2 connection with many requests at once that have a head, and of a body nothing or its beginning."""

    def __init__(self, port: int, timeout: float = 60.0):
        self.client = Client(port, H2, timeout)
        self.client._connect()
        self.socket, self.h2 = self.client.socket, self.client.h2
        self.replies: dict[int, Reply] = {}
        self.open_streams: set[int] = set()
        # An answer for which the connection has no window is cut off by Envoy, when the request has not come whole.
        self.h2.increment_flow_control_window(1 << 26)
        self._flush()
        # How many streams there may be is in the proxy's first frame.
        self._read()

    def send(self, headers: Headers, path: str = "/v1/chat/completions", host: str = "llm.example.com", begun: bytes = b"") -> None:
        stream = self.h2.get_next_available_stream_id()
        head = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", raw(host)), (b":path", raw(path))]
        self.h2.send_headers(stream, head + [(raw(key), raw(value)) for key, value in headers])
        self.replies[stream] = Reply()
        self.open_streams.add(stream)
        for at in range(0, len(begun), 16_384):
            self.h2.send_data(stream, begun[at : at + 16_384])
        self._flush()
        # What is there already is read, so that neither side fills the other's buffers.
        self.socket.setblocking(False)
        try:
            self._read()
        except BlockingIOError:
            pass
        finally:
            self.socket.settimeout(self.client.timeout)

    def wait_for(self, count: int) -> list[Reply]:
        """The replies that are there once this many streams have ended."""
        while len(self.replies) - len(self.open_streams) < count and self._read():
            pass
        return [reply for stream, reply in self.replies.items() if stream not in self.open_streams]

    def wait(self) -> list[Reply]:
        """Every reply, once all streams have ended; those that a lost connection took have status 0."""
        while self.open_streams and self._read():
            pass
        return list(self.replies.values())

    def close(self) -> None:
        self.client.close()

    def _flush(self) -> None:
        if out := self.h2.data_to_send():
            self.socket.sendall(out)

    def _read(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        for event in self.h2.receive_data(data) if data else ():
            reply = self.replies.get(getattr(event, "stream_id", None))
            if isinstance(event, h2.events.DataReceived):
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if isinstance(event, h2.events.ResponseReceived):
                fields = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in event.headers]
                reply.status = int(dict(fields)[":status"])
                reply.headers = [field for field in fields if not field[0].startswith(":")]
            elif isinstance(event, h2.events.StreamEnded):
                reply.complete = True
                self.open_streams.discard(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                self.open_streams.discard(event.stream_id)
        self.socket.settimeout(self.client.timeout)
        self._flush()
        return bool(data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def call(port: int, protocol: str = H1, **fields) -> Reply:
    """One request on a connection of its own."""
    with Client(port, protocol) as client:
        return client.call(Call(**fields))


def send_raw(port: int, data: bytes, timeout: float = 5.0) -> bytes:
    """Sends bytes as they are and reads until the other side closes or is silent."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(data)
        received = b""
        try:
            while data := connection.recv(65536):
                received += data
        except (TimeoutError, ConnectionResetError):
            pass
        return received
