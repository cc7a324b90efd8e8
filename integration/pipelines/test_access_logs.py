"""Each kind of Envoy's access logs: the record arrives with every byte, and what is lost when nobody receives is counted."""

import json

import pytest

from conftest import ATTACK, Site, chat, user
from harness.paths import run_folder
from harness.wait import eventually

from .proxy import add
from .receivers import Receiver

DROPPED = {
    "grpc": "access_logs.grpc_access_log.logs_dropped",
    "opentelemetry": "access_logs.open_telemetry_access_log.logs_dropped",
}
WRITTEN = {
    "grpc": "access_logs.grpc_access_log.logs_written",
    "opentelemetry": "access_logs.open_telemetry_access_log.logs_written",
}


def request_id(reply) -> str:
    """The id that a refusal quotes to its caller."""
    import re

    return re.search(r"request id:? ([A-Za-z0-9-]+)", reply.body.decode())[1]


def records(path) -> list[bytes]:
    return [line for line in path.read_bytes().split(b"\n") if line.startswith(b"{")] if path.exists() else []


@pytest.fixture(scope="module")
def logged(upstream, keys):
    """One proxy with all four kinds of loggers beside each other."""
    with Receiver() as grpc, Receiver() as otlp:
        file = run_folder("audit") / "audit.log"

        def edit(config) -> None:
            add(config, "file", path=file)
            add(config, "stdout")
            add(config, "grpc", port=grpc.port, change=lambda one: one.update(filter_state_objects_to_log=["wasm.bartizan.audit"]))
            add(config, "opentelemetry", port=otlp.port)

        site = Site("strong", upstream, keys, edit=edit)
        yield site, file, grpc, otlp
        site.proxy.stop()


def test_explore(logged):
    site, file, grpc, otlp = logged
    got = site.send("h1", chat(user(ATTACK)))
    print(got.reply.status, got.reply.headers, got.reply.body)
    eventually(lambda: grpc.records and otlp.records and records(file), "records", 20)
    print(records(file)[-1]); print(grpc.records[-1]); print(otlp.records); print(grpc.states[-1][:100])
    for name, value in sorted(site.proxy.stats("access_log").items()): print(name, value)
    for name, value in sorted(site.proxy.stats("filesystem").items()): print(name, value)
