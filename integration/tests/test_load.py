"""Signs of life, what waits, and the time to a stream's first bytes, over the workers of a proxy."""

import re
import socket

import pytest
import yaml

from conftest import ATTACK, Site, chat, user
from harness.client import H1
from harness.paths import ROOT
from harness.wait import eventually


def value(site: Site, name: str, **labels: str) -> float:
    """The sum of a metric's series as Prometheus reads them."""
    wanted = [f'{label}="{word}"' for label, word in labels.items()]
    found = [line for line in site.proxy.prometheus() if re.match(rf"{re.escape(name)}(?=[{{ ])", line)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in found if all(word in line for word in wanted))


@pytest.fixture(scope="module", params=["strong", "weak"])
def site(request, upstream, keys):
    site = Site(request.param, upstream, keys)
    yield site
    site.proxy.stop()


def head(site: Site) -> socket.socket:
    """A request whose body never comes."""
    connection = socket.create_connection(("127.0.0.1", site.proxy.port))
    words = [f"POST /v1/chat/completions HTTP/1.1\r\nhost: llm\r\ncontent-type: application/json\r\ncontent-length: 9\r\n",
             f"authorization: Bearer {site.token()}\r\n\r\n"]  # fmt: skip
    connection.sendall("".join(words).encode())
    return connection


def test_hearts_beat_without_traffic(site):
    before = value(site, "bartizan_heartbeats", state="ready")
    eventually(lambda: value(site, "bartizan_heartbeats", state="ready") >= before + 6, "six heartbeats")
    assert value(site, "bartizan_heartbeats", state="not_ready") == 0


def test_requests_that_wait_are_a_load_and_then_none(site):
    if not site.strong:
        pytest.skip("in weak mode no head is held")

    def sample() -> tuple[float, float]:
        return value(site, "bartizan_load_seconds", of="waiting_for_body"), value(site, "bartizan_heartbeats")

    connections = [head(site) for _ in range(20)]
    eventually(lambda: value(site, "bartizan_load_seconds", of="waiting_for_body") > 0, "a load")
    # A window that begins when all are held. Both count worker-seconds, so that their ratio is the mean of a worker.
    begun = sample()
    eventually(lambda: sample()[1] >= begun[1] + 8, "some seconds")
    ended = sample()
    mean = (ended[0] - begun[0]) / (ended[1] - begun[1]) * site.proxy.stats("server.concurrency")["server.concurrency"]
    # The workers' seconds do not begin together.
    assert 10 <= mean <= 40, (begun, ended)
    for connection in connections:
        connection.close()

    def is_over() -> bool:
        load, beats = sample()
        eventually(lambda: sample()[1] >= beats + 4, "some seconds more")
        return sample()[0] == load

    eventually(is_over, "nothing waits")


def test_first_bytes_of_streams_are_timed_and_durations_of_all(site):
    def counts() -> list[float]:
        return [value(site, f"bartizan_{name}_count") for name in ("first_chunk_ms", "duration_ms", "score", "filter_latency_us")]

    before = counts()
    streamed = [site.send(H1, chat(stream=True)).passed() for _ in range(3)]
    site.send(H1, chat()).passed()
    site.send(H1, chat(user(ATTACK))).refused(400, "scan.injection")
    site.send(H1, chat(), token=None).refused(401, "jwt.missing", before_body=True)
    assert all("bartizan.first_chunk_ms" in one.audit and one.audit["event.duration"] > 0 for one in streamed)
    # Envoy merges its workers' histograms now and then.
    wanted = [before[0] + 3, before[1] + 6, before[2] + 5, before[3] + 6]
    # Heads that were held before may still be ending: they have a duration, and no first bytes.
    eventually(lambda: (now := counts())[0] == wanted[0] and all(one >= two for one, two in zip(now, wanted)), f"counts are {wanted}")


def test_a_trace_is_joined_and_its_header_stays(site):
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    got = site.send(H1, chat(), headers=[("traceparent", parent), ("tracestate", "vendor=1")]).passed()
    assert got.audit["trace.id"] == parent[3:35] and got.audit["span.id"] == parent[36:52]
    assert got.one.header("traceparent") == parent.encode() and got.one.header("tracestate") == b"vendor=1"
    for wrong in ("00-xyz", parent.replace("4bf9", "4BF9"), f"{parent}; mail jane@example.com"):
        audit = site.send(H1, chat(), headers=[("traceparent", wrong)]).passed().audit
        assert "trace.id" not in audit and "span.id" not in audit


def test_each_label_is_made_in_both_envoy_files_and_by_relabelling():
    source = (ROOT / "src/audit/metrics.rs").read_text().split("#[cfg(test)]")[0]
    labels = set(re.findall(r"\.([a-z]+)\.[{\"]", source))
    assert {"verdict", "reason", "kind", "model", "outcome", "state", "of"} <= labels
    for name in ("envoy.yaml", "envoy-weak.yaml"):
        tags = yaml.safe_load((ROOT / "envoy" / name).read_text())["stats_config"]["stats_tags"]
        assert labels == {tag["tag_name"] for tag in tags}, name
    rules = yaml.safe_load((ROOT / "envoy/prometheus/relabel.yaml").read_text())["metric_relabel_configs"]
    assert labels == {rule["target_label"] for rule in rules} - {"__name__"}
