"""Each kind of Envoy's access logs on real Envoy: the record arrives, and every byte is as in the file."""

from pathlib import Path

import pytest

from conftest import ATTACK, Site, chat, user
from harness.client import H1, H2
from harness.paths import run_folder
from harness.wait import eventually

from .proxy import KINDS, add
from .receivers import Receiver, within
from .test_files import read_as_shippers_do


def records(path: Path) -> list[bytes]:
    """The whole lines of a log that are records."""
    text = path.read_bytes() if path.exists() else b""
    return [line for line in text[: text.rfind(b"\n") + 1].split(b"\n") if line.startswith(b"{")]


@pytest.fixture(scope="module")
def logged(upstream, keys):
    """One proxy with all four loggers beside each other."""
    with Receiver() as grpc, Receiver() as otlp:
        file = run_folder("audit") / "audit.log"

        def edit(config) -> None:
            add(config, "file", path=file)
            add(config, "stdout")
            # Filter state besides, to see what Envoy makes of it.
            add(config, "grpc", port=grpc.port, change=lambda one: one.update(filter_state_objects_to_log=["wasm.bartizan.audit"]))
            add(config, "opentelemetry", port=otlp.port)

        site = Site("strong", upstream, keys, edit=edit)
        got = {
            "file": lambda: records(file), "stdout": lambda: records(site.proxy.access_log),
            "grpc": lambda: grpc.records, "opentelemetry": lambda: otlp.records,
        }  # fmt: skip
        yield site, got, grpc
        site.proxy.stop()


# Texts whose records differ: lists of findings, odd keys in paths, many findings, none.
BODIES = {
    "attack": chat(user(ATTACK)),
    "clean": chat(),
    "odd keys": chat(user(ATTACK), **{"ключ\"\\\n": {"é\u2028": ATTACK}}),
    "many findings": chat(*[user(ATTACK)] * 40),
    "bad model": chat(user("hi"), model="\u0000\"}{%REQ(AUTHORIZATION)%"),
}


@pytest.mark.parametrize("protocol", [H1, H2])
@pytest.mark.parametrize("name", BODIES)
def test_every_logger_has_the_same_bytes(logged, protocol, name):
    site, got, grpc = logged
    wanted = site.send(protocol, BODIES[name]).audit["http.request.id"].encode()
    lines = {}
    for kind in KINDS:
        def mine(kind=kind) -> list[bytes]:
            return [line for line in got[kind]() if b'"http.request.id":"' + wanted + b'"' in line]

        [lines[kind]] = eventually(mine, f"the record in the {kind} log")
    assert len(set(lines.values())) == 1, lines
    read_as_shippers_do(lines["file"])
    # Envoy delivers filter state as google.protobuf.Any of BytesValue: the record is inside, with every byte, but
    # consumers that print it as JSON show it in base64. Hence the custom tag in the snippet.
    boxes = [state for state in grpc.states if wanted in state]
    assert [within(box, 1) for box in boxes] == [[b"type.googleapis.com/google.protobuf.BytesValue"]]
    assert within(within(boxes[0], 2)[0], 1) == [lines["file"]]


def test_an_unmatched_path_is_in_every_log(logged):
    site, got, _ = logged
    wanted = site.send(H1, None, method="GET", path="/.env").audit["http.request.id"].encode()
    for kind in KINDS:
        eventually(lambda kind=kind: any(wanted in line for line in got[kind]()), f"the record in the {kind} log")
