"""What the two stand-ins share: an HTTP server of routes, which writes and reads JSON."""

import json
import re
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from urllib.parse import parse_qsl, unquote


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str):
        self.status, self.message = status, message


class Request:
    """What came: `parts` are the path's words, decoded, `query` pairs in their order."""

    def __init__(self, method: str, target: str, body: bytes, read: Callable[[bytes], object]):
        path, _, query = target.partition("?")
        self.method, self.path, self.raw, self.read = method, path, body, read
        self.pairs = parse_qsl(query, keep_blank_values=True)

    def last(self, name: str, default: str = "") -> str:
        return next((value for key, value in reversed(self.pairs) if key == name), default)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.pairs if key == name]

    @property
    def body(self):
        try:
            return self.read(self.raw)
        except ValueError as error:
            raise Refused(400, f"not JSON: {error}") from error


class Routes:
    """Handlers by method and path; `{word}` in a path takes one segment, which is decoded after it has matched."""

    def __init__(self):
        self.routes: list[tuple[str, re.Pattern, Callable]] = []

    def __call__(self, methods: str, path: str):
        pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))

        def register(handler: Callable) -> Callable:
            self.routes += [(method, pattern, handler) for method in methods.split()]
            return handler

        return register

    def answer(self, request: Request):
        for method, pattern, handler in self.routes:
            if method == request.method and (match := pattern.fullmatch(request.path)):
                return handler(request, **{name: unquote(value) for name, value in match.groupdict().items()})
        raise Refused(404, "not found")


def serve(routes: Routes, clean: Callable[[str], str], read: Callable[[bytes], object], refusal: Callable[[Refused], object]) -> None:
    """Runs on the port that the command line names. One request at a time changes the data."""
    lock = Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body in one packet: else the second waits for the first one's acknowledgement.
        wbufsize = 1 << 16

        def handle_one(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if self.headers.get("transfer-encoding", "").lower() == "chunked":
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            path, mark, query = self.path.partition("?")
            try:
                with lock:
                    found = routes.answer(Request(self.command, clean(path) + mark + query, body, read))
                status, value = found if isinstance(found, tuple) else (200, found)
            except Refused as refused:
                status, value = refused.status, refusal(refused)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                status, value = 400, refusal(Refused(400, f"malformed: {type(error).__name__}"))
            data = b"" if value is None else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            if status != 204:
                self.send_header("content-length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD" and status != 204:
                self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_one

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()


def near(one: list[float], other: list[float]) -> float:
    return sum(left * right for left, right in zip(one, other, strict=True))
