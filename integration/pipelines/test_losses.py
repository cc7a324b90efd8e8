"""What Envoy does with lines whose receiver is away, hangs, or whose disk is full, and which counters tell.

The figures are exact where the counter counts lines; where none does, the test says so by what stays at 0.
"""

import pytest

from conftest import ATTACK, Site, chat, user
from harness.client import Client
from harness.paths import run_folder
from harness.wait import eventually

from .proxy import add
from .receivers import Receiver
from .test_access_logs import records

NAMES = {"grpc": "access_logs.grpc_access_log", "opentelemetry": "access_logs.open_telemetry_access_log"}
BEFORE, MEANWHILE, AFTER = 5, 200, 5


class Line:
    """A proxy that writes each record into a file and to a receiver, with small buffers so that they are soon full."""

    def __init__(self, kind: str, upstream, keys, window: int | None = None):
        self.kind, self.file = kind, run_folder("audit") / "audit.log"
        self.receiver = Receiver()

        def edit(config) -> None:
            add(config, "file", path=self.file)
            add(config, kind, port=self.receiver.port,
                change=lambda one: one.update(buffer_size_bytes=2048, buffer_flush_interval="0.1s"))  # fmt: skip
            cluster = config["static_resources"]["clusters"][-1]
            if window:
                [options] = cluster["typed_extension_protocol_options"].values()
                options["explicit_http_config"]["http2_protocol_options"] = {
                    "initial_stream_window_size": window, "initial_connection_window_size": window
                }  # fmt: skip

        # No quota: each request must be refused for its text.
        self.site = Site("strong", upstream, keys, edit=edit, workers=1, change=lambda policy: policy["roles"]["analyst"].pop("quotas"))
        self.client = Client(self.site.proxy.port, "h2")
        self.sent = 0

    def send(self, count: int) -> None:
        for _ in range(count):
            self.site.send("h2", chat(user(ATTACK)), client=self.client)
        self.sent += count
        eventually(lambda: len(records(self.file)) == self.sent, "every record in the file")

    def counter(self, name: str) -> int:
        return self.site.proxy.stats(NAMES[self.kind])[f"{NAMES[self.kind]}.{name}"]

    def cluster(self, name: str) -> int:
        return self.site.proxy.stats(f"cluster.audit-{self.kind}.{name}").get(f"cluster.audit-{self.kind}.{name}", 0)

    def arrived(self, count: int) -> None:
        eventually(lambda: len(self.receiver.records) == count, f"{count} records at the receiver")

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_) -> None:
        self.client.close()
        self.site.proxy.stop()
        if self.receiver.thread.is_alive():
            self.receiver.stop()


def test_opentelemetry_counts_each_line_that_its_receiver_did_not_get(upstream, keys):
    with Line("opentelemetry", upstream, keys) as line:
        line.send(BEFORE)
        line.arrived(BEFORE)
        line.receiver.stop()
        line.send(MEANWHILE)
        eventually(lambda: line.counter("logs_dropped") == MEANWHILE, "every line counted as dropped")
        line.receiver.start()
        # A connection is made for the next export; lines until then are counted as well.
        eventually(lambda: line.send(1) or line.counter("logs_written") > BEFORE, "an export that arrives")
        line.send(AFTER)
        eventually(lambda: line.counter("logs_dropped") + line.counter("logs_written") == line.sent, "all lines counted")
        assert len(line.receiver.records) == line.counter("logs_written")
        # What arrived is whole, and what is missing is missing in one piece: nothing is sent again.
        assert set(line.receiver.records) <= set(records(line.file))


def test_grpc_does_not_count_what_a_receiver_that_is_away_did_not_get(upstream, keys):
    with Line("grpc", upstream, keys) as line:
        line.send(BEFORE)
        line.arrived(BEFORE)
        line.receiver.stop()
        line.send(MEANWHILE)
        # Envoy takes each of them as written: no counter of the logger tells. If this fails, an Envoy has mended it, and
        # the table in envoy/pipelines/README.md must change.
        eventually(lambda: line.counter("logs_written") == line.sent, "every line counted as written")
        assert line.counter("logs_dropped") == 0 and line.counter("grpc_entries_flush_failed") == 0
        assert len(line.receiver.records) == BEFORE
        # Only the cluster shows it, by failed streams and not by lines.
        eventually(lambda: line.cluster("upstream_rq_5xx") > 0, "failed streams of the cluster")


@pytest.mark.parametrize("kind", ["grpc", "opentelemetry"])
def test_a_receiver_that_hangs_gets_the_lines_later(kind, upstream, keys):
    with Line(kind, upstream, keys) as line:
        line.send(BEFORE)
        line.arrived(BEFORE)
        line.receiver.gate.clear()
        line.send(MEANWHILE)
        line.receiver.gate.set()
        line.arrived(line.sent)
        assert line.counter("logs_dropped") == 0
        assert sorted(line.receiver.records) == sorted(records(line.file))


def test_grpc_drops_and_counts_what_finds_no_room(upstream, keys):
    with Line("grpc", upstream, keys, window=65535) as line:
        line.receiver.gate.clear()
        eventually(lambda: line.send(20) or line.counter("logs_dropped") > 0, "a line that finds no room")
        line.receiver.gate.set()
        line.arrived(line.counter("logs_written"))
        assert line.counter("logs_written") + line.counter("logs_dropped") == line.sent
        assert set(line.receiver.records) < set(records(line.file))


def test_a_full_disk_is_counted_in_writes(upstream, keys):
    site = Site("strong", upstream, keys, edit=lambda config: add(config, "file", path="/dev/full"), workers=1)
    try:
        got = site.send("h1", chat(user(ATTACK))).refused(400, "scan.injection")
        eventually(lambda: site.proxy.stats("filesystem.write_failed")["filesystem.write_failed"] > 0, "a failed write")
        # Requests go on, and the other logger has the record.
        assert got.audit["bartizan.sequence"] >= 1
    finally:
        site.proxy.stop()
