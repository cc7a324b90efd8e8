"""A closed-loop load generator in one process: a fixed number of connections, each always waiting for one reply."""

import selectors
import socket
import time


def drive(port: int, request: bytes, connections: int, seconds: float) -> tuple[int, list[float], int]:
    """Sends `request` for so long; returns replies, their latencies, and how many were not 200."""
    selector = selectors.EpollSelector() if hasattr(selectors, "EpollSelector") else selectors.DefaultSelector()
    sent: dict[int, float] = {}
    for _ in range(connections):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ, [b"", 0])
    clock = time.perf_counter
    for key in selector.get_map().values():
        key.fileobj.sendall(request)
        sent[key.fd] = clock()
    latencies, wrong, end = [], 0, clock() + seconds
    while (now := clock()) < end:
        for key, _ in selector.select(1.0):
            state = key.data
            state[0] += key.fileobj.recv(65536)
            if state[1] == 0:
                head = state[0].find(b"\r\n\r\n")
                if head < 0:
                    continue
                at = state[0].find(b"content-length: ")
                state[1] = head + 4 + int(state[0][at + 16 : state[0].index(b"\r", at)])
                wrong += state[0][9:12] != b"200"
            if len(state[0]) >= state[1]:
                now = clock()
                latencies.append(now - sent[key.fd])
                state[0], state[1] = b"", 0
                key.fileobj.sendall(request)
                sent[key.fd] = now
    for key in list(selector.get_map().values()):
        key.fileobj.close()
    return len(latencies), latencies, wrong
