"""A body that takes long to scan is scanned in slices: between two of them its worker, the only one, serves others."""

import json
import socket
import threading
import time

import pytest

from conftest import ATTACK, Outcome, Site, chat, user
from harness.client import H1, Call, Client, Reply
from harness.upstream import completion
from harness.wait import eventually

SIZE = 4_000_000
PROSE = "The ferry leaves from the north pier at ten, and the weather is fine. "
# Fewer callbacks than this did not let anybody in between: what had come already when the last byte came is answered, too.
LEAST = 4


def filled(unit: str, end: str = "") -> str:
    count = (SIZE - len(end)) // len(unit.encode())
    return unit * count + end


def tool(text: str) -> list[dict]:
    call = {"id": "c1", "type": "function", "function": {"name": "search_ferries", "arguments": "{}"}}
    return [user("When?"), {"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c1", "content": text}]


KINDS = {
    "prose": (lambda: chat(user(filled(PROSE))), 200, "allow"),
    "an attack at the end": (lambda: chat(user(filled(PROSE, ATTACK))), 400, "scan.injection"),
    "an attack in a tool's result": (lambda: chat(*tool(filled(PROSE, f"\n\n{ATTACK}"))), 200, "replace"),
    "images": (lambda: chat(user(filled("![](http://a?"))), 200, "allow"),
    "keys": (lambda: chat(user(filled("aakey=" * 1000 + "("))), 200, "allow"),
    "ligatures": (lambda: chat(user(filled("\ufdfa"))), 200, "allow"),
    "escapes": (lambda: chat(user(filled("%41%20"))), 400, "body.unscanned"),
    "addresses": (lambda: chat(user(filled("10.1.2.3 "))), 200, "allow"),
    "strings": (lambda: {**chat(), "stop": ["ab"] * 500_000}, 400, "body.unscanned"),
    "many names": (lambda: {**chat(), "metadata": {f"k{at}": f"v{at}" for at in range(200_000)}}, 400, "body.unscanned"),
}


def no_quota(policy: dict) -> None:
    policy["roles"]["analyst"].pop("quotas")


@pytest.fixture(scope="module", params=["strong", "weak"])
def lone(request, upstream, keys):
    """A proxy with one worker."""
    site = Site(request.param, upstream, keys, change=no_quota, workers=1)
    yield site
    site.proxy.stop()


class Others(threading.Thread):
    """Small requests, one after the other: when each was sent and answered."""

    def __init__(self, site: Site):
        super().__init__(daemon=True)
        self.site, self.over, self.calls = site, False, []

    def run(self) -> None:
        headers = [("content-type", "application/json"), ("authorization", f"Bearer {self.site.token('bob')}")]
        call = Call(headers=headers, body=json.dumps(chat()).encode())
        with Client(self.site.proxy.port, H1) as client:
            while not self.over:
                begun = time.monotonic()
                status = client.call(call).status
                self.calls.append((begun, time.monotonic(), status))


def all_but_the_last_byte(site: Site, case: str, body: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", site.proxy.port), timeout=300)
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-case: {case}\r\n"
        f"authorization: Bearer {site.token()}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    connection.sendall(head.encode() + body[:-1])
    return connection


def reply_of(connection: socket.socket) -> Reply:
    got = b""
    while chunk := connection.recv(1 << 16):
        got += chunk
    head, _, body = got.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = [tuple(line.split(": ", 1)) for line in lines[1:]]
    return Reply(status=int(lines[0].split(" ")[1]), headers=headers, body=body)


@pytest.mark.parametrize("kind", KINDS)
def test_others_are_served_between_two_slices(lone, kind, record_property):
    make, status, verdict = KINDS[kind]
    body, case = json.dumps(make(), ensure_ascii=False).encode(), f"slices-{lone.mode}-{kind.replace(' ', '-')}"
    others = Others(lone)
    others.start()
    with all_but_the_last_byte(lone, case, body) as connection:
        # What was sent has come: the worker has nothing to do but what comes now.
        eventually(lambda: len(others.calls) > 20, "small requests")
        sent = time.monotonic()
        connection.sendall(body[-1:])
        reply = reply_of(connection)
        answered = time.monotonic()
    eventually(lambda: others.calls[-1][0] > answered, "a small request after it")
    others.over = True
    others.join()
    assert {status for _, _, status in others.calls} == {200}
    between = [call for call in others.calls if call[0] > sent and call[1] < answered]
    assert len(between) >= LEAST, f"{len(between)} of {len(others.calls)} were answered meanwhile"
    got = Outcome(lone, case, reply)
    if status == 200:
        assert got.reply.status == 200, got
        assert got.audit["bartizan.verdict"] == verdict and got.one.body
        assert (ATTACK.encode() in got.one.body) is False
    else:
        got.refused(status, verdict)
    waits = [1000 * (end - begun) for begun, end, _ in others.calls if end > sent and begun < answered]
    record_property("figures", f"{lone.mode}, {kind}: {answered - sent:.1f} s, meanwhile {len(between)} others, the longest {max(waits):.0f} ms")


def test_a_caller_that_leaves_takes_its_scan_along(lone):
    """Nothing of it is left in the worker, and others go on."""
    connections = []
    for at in range(4):
        body = json.dumps(chat(user(filled(PROSE, str(at))))).encode()
        connection = all_but_the_last_byte(lone, f"slices-gone-{lone.mode}-{at}", body)
        connection.sendall(body[-1:])
        connections.append(connection)
    for connection in connections:
        connection.close()
    eventually(lambda: under_way(lone) == 0, "nothing is under way")
    for _ in range(5):
        lone.send(H1, chat()).passed()
    assert sum(lone.proxy.stats("vm_reload").values()) == 0


def under_way(site: Site) -> int:
    active = site.proxy.stats("downstream_rq_active")
    return sum(count for name, count in active.items() if name.startswith("http.") and "admin" not in name)


def test_many_long_bodies_at_a_time_are_all_judged(lone):
    """Each has its turn."""
    outcomes: dict[int, Outcome] = {}

    def send(at: int) -> None:
        end = ATTACK if at % 2 else ""
        outcomes[at] = lone.send(H1, chat(user(filled(PROSE, f"{at} {end}"))), token=lone.token(f"caller{at}"))

    threads = [threading.Thread(target=send, args=(at,)) for at in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for at, outcome in outcomes.items():
        if at % 2:
            outcome.refused(400, "scan.injection")
        else:
            outcome.passed()
    assert len(outcomes) == 6


ANSWERS = {
    "prose": (filled(PROSE), 200, "allow"),
    "images": (filled("![](http://a?"), 200, "allow"),
    "keys": (filled("aakey=" * 1000 + "("), 200, "allow"),
    "a key at the end": (filled(PROSE, "AKIAIOSFODNN7EXAMPL2 "), 200, "mask"),
    "escapes": (filled("%41%20"), 502, "reply.unreadable"),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_others_are_served_between_two_slices_of_a_reply(lone, kind, upstream, record_property):
    text, status, verdict = ANSWERS[kind]
    case = f"slices-reply-{lone.mode}-{kind.replace(' ', '-')}"
    body = json.dumps(completion(text=text), ensure_ascii=False)
    headers = {"content-type": "application/json", "content-length": str(len(body.encode()))}
    upstream.replies[case] = {"headers": headers, "chunks": [body]}
    others = Others(lone)
    others.start()
    begun = time.monotonic()
    with Client(lone.proxy.port, H1) as client:
        token = [("content-type", "application/json"), ("x-case", case), ("authorization", f"Bearer {lone.token()}")]
        reply = client.call(Call(headers=token, body=json.dumps(chat()).encode()))
    answered = time.monotonic()
    eventually(lambda: others.calls[-1][0] > answered, "a small request after it")
    others.over = True
    others.join()
    assert {status for _, _, status in others.calls} == {200}
    got = Outcome(lone, case, reply)
    if status == 200:
        assert reply.status == 200 and got.audit["bartizan.verdict"] == verdict, got
        left = reply.json()["choices"][0]["message"]["content"]
        assert (left == text) is (verdict == "allow") and left[:1_000_000] == text[:1_000_000]
    else:
        assert got.audit["bartizan.reason"] == verdict and text[:100] not in reply.body.decode()
        assert reply.status == (status if lone.strong else 200)
    between = [call for call in others.calls if call[0] > begun and call[1] < answered]
    waits = [1000 * (end - begun) for begun, end, _ in others.calls if end > begun and begun < answered]
    record_property("figures", f"{lone.mode}, reply, {kind}: {answered - begun:.1f} s, meanwhile {len(between)} others, the longest {max(waits):.0f} ms")
