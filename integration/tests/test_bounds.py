"""What one request, or many at once, may hold; and a proxy that was set up wrongly."""

import json
import select
import socket

from conftest import chat, user
from harness.client import H1, Heads, call
from harness.wait import eventually


def without_the_switch(config: dict) -> None:
    from harness.envoy import wasm

    del wasm(config)["allow_on_headers_stop_iteration"]


def test_a_missing_switch_is_refused_and_named(sites):
    """Without Envoy's switch a held request would hang for ever."""
    site = sites("strong", edit=without_the_switch)
    got = site.send(H1, chat())
    assert got.reply.status == 503 and got.seen == []
    assert got.audit["bartizan.reason"] == "internal"
    assert "allow_on_headers_stop_iteration" in site.proxy.log()


def little_room(policy: dict) -> None:
    policy["limits"] = {"maxBodyBytes": 100_000, "maxBufferedBytesPerWorker": 150_000}


def test_many_small_values_do_not_kill_the_vm(sites, mode):
    """Each takes a hundred times its size in memory, and the body is as long as the default allows."""
    site = sites(mode)
    empty, numbers = b'"",' * (5 << 20), b"0," * (5 << 20)
    for values in (empty, numbers):
        body = b'{"model":"smollm2","messages":[{"role":"user","content":"hi"}],"x":[' + values + b"0]}"
        assert len(body) < 16 << 20
        site.send(H1, body).refused(413, "body.tooLarge")
    few = b'{"model":"smollm2","messages":[{"role":"user","content":"hi"}],"x":[' + b"0," * (4_000_000) + b"0]}"
    site.send(H1, few).passed()
    assert sum(site.proxy.stats("vm_reload").values()) == 0
    # The gauge is of the largest VM: it tells of this, and 1 GiB is the end of every VM.
    (memory,) = site.proxy.stats("bartizan.vm_memory_bytes").values()
    assert 16 << 20 < memory < 768 << 20


def half_bodies(site, count: int) -> list[socket.socket]:
    """Connections of one caller, each with a request that lacks its last byte."""
    body = json.dumps(chat(user("lantern " * 11_000))).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {site.token()}\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode()
    waiting = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", site.proxy.port), timeout=60)
        connection.sendall(head + body[:-1])
        waiting.append(connection)
    return waiting


def some_room(policy: dict) -> None:
    policy["limits"] = {"maxBodyBytes": 100_000, "maxBufferedBytesPerWorker": 1_000_000}


def test_half_bodies_of_one_caller_leave_room_for_others(sites, mode):
    """On one connection each, within the caller's quota."""
    site = sites(mode, change=some_room)
    waiting = half_bodies(site, 40)
    # Two workers, half of each pool: five bodies fit, and the sixth is more than a share.
    eventually(lambda: len(select.select(waiting, [], [], 0)[0]) >= 28, "most are answered")
    for _ in range(8):
        site.send(H1, chat(user("lantern " * 11_000)), token=site.token("bob")).passed()
    for connection in waiting:
        connection.close()


def test_half_bodies_on_one_connection_leave_room_for_others(sites, mode):
    """As streams of one HTTP/2 connection, which stays on one of the two workers."""
    site = sites(mode, change=some_room)
    body = json.dumps(chat(user("lantern " * 11_000))).encode()
    with Heads(site.proxy.port) as heads:
        for _ in range(20):
            fields = [("content-type", "application/json"), ("authorization", f"Bearer {site.token()}")]
            heads.send(fields, begun=body[:-1])
        answered = heads.wait_for(14)
        assert {(reply.status, reply.reason) for reply in answered} == {(503, "overloaded")}, answered
        for _ in range(8):
            site.send(H1, chat(user("lantern " * 11_000)), token=site.token("bob")).passed()


def test_many_half_bodies_do_not_fill_a_worker(sites, mode):
    site = sites(mode, change=little_room)
    waiting = half_bodies(site, 8)
    # Each of the two workers has room for one of them.
    answered = eventually(lambda: len(found := select.select(waiting, [], [], 0)[0]) >= 6 and found, "six are answered")
    assert len(answered) < 8
    for connection in answered:
        assert b"x-bartizan-reason: overloaded" in connection.recv(4096)
    for connection in waiting:
        connection.close()
    eventually(lambda: site.send(H1, chat()).reply.status == 200, "the room is free again")
    site.send(H1, chat()).passed()
    assert call(site.proxy.port, H1, path="/v1/models", method="GET").status == 401
