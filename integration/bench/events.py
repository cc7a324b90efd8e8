"""Streams whose events come one by one: a model server that sends them so, and a client that reads when each comes."""

import itertools
import json
import re
import socket
import threading
import time

from .contenders import events
from .load import native

WORDS = 100
# Events of a stream whose words are no times, and how many different ones there are.
EVENTS = 50
STREAMS = 64
# A pause, as between tokens of a fast model.
PAUSE = 0.004


def spelled(number: int) -> str:
    """A number in letters: digits would be searched for personal data."""
    return "".join("abcdefghij"[int(digit)] for digit in str(number))


def chunk(event: str) -> bytes:
    """An event as a chunk of HTTP/1.1."""
    data = event.encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


class Server:
    """A model server that streams word by word: the time of sending, or fresh prose where the request has `x-stream`."""

    def __init__(self) -> None:
        lines = native("texts", "prose", str(EVENTS * 16), str(STREAMS), "9").splitlines()
        words = [json.loads(line).split()[:EVENTS] for line in lines]
        self.streams = itertools.cycle([[chunk(event) for event in events(each)] for each in words])
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            data = b""
            while True:
                while b"\r\n\r\n" not in data:
                    more = connection.recv(65536)
                    if not more:
                        return
                    data += more
                head, _, data = data.partition(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head)
                if length:
                    while len(data) < int(length[1]):
                        data += connection.recv(65536)
                    data = data[int(length[1]) :]
                else:
                    while not data.endswith(b"0\r\n\r\n"):
                        data += connection.recv(65536)
                    data = b""
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                )
                if b"x-stream" in head:
                    for event in next(self.streams):
                        time.sleep(PAUSE)
                        connection.sendall(event)
                    connection.sendall(b"0\r\n\r\n")
                    continue
                for _ in range(WORDS):
                    time.sleep(PAUSE)
                    word = f"at {spelled(time.perf_counter_ns())} "
                    choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
                    body = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
                    connection.sendall(chunk(f"data: {json.dumps(body)}\n\n"))
                for event in events([]):
                    connection.sendall(chunk(event))
                connection.sendall(b"0\r\n\r\n")

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.listener.close()


def delays(port: int, request: bytes) -> list[float]:
    """Seconds from the sending of each word to its arrival, whole."""
    found: list[float] = []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(request)
        data, text = b"", ""
        while b"\r\n0\r\n\r\n" not in data:
            more = connection.recv(65536)
            now = time.perf_counter_ns()
            if not more:
                break
            data += more
            text = "".join(re.findall(r'"content": ?"([^"]*)"', data.decode()))
            words = re.findall(r"at ([a-j]+) ", text)
            for word in words[len(found) :]:
                sent = int("".join(str("abcdefghij".index(letter)) for letter in word))
                found.append((now - sent) / 1e9)
    if len(found) != WORDS:
        raise SystemExit(f"a stream brought {len(found)} of {WORDS} words: {data[:300]!r}")
    return found
