"""The filter beside Envoy's external processor (ext_proc) in FULL_DUPLEX_STREAMED, on two versions of Envoy.

The processor is before the filter or behind it, streams bodies back at once or holds them as an endpoint picker does. What
reaches the upstream is whole, masked where the policy says so; an attack reaches nothing. Until 1.40 Envoy loses a chunk beside
a processor: there a request may be refused, and is never cut.
"""

import itertools
import json
import os

import pytest

from conftest import ATTACK, Site, chat, user
from harness import envoy
from harness.client import H1, H2
from harness.paths import ROOT, run_folder
from harness.process import Child, Running

HOME = ROOT / ".cache" / "neighbours"
PYTHON = HOME / "bin" / "python"
OLDER = next(HOME.glob("lib/python3*/site-packages/envoy/_bin/envoy"), None)
# By version; `make matrix` names the only one.
OWN = ".".join(map(str, envoy.release()))
VERSIONS = {OWN: None} | ({} if "ENVOY_PATH" in os.environ else {"1.39": OLDER})
# From here on Envoy loses no chunk beside a processor.
WHOLE = (1, 40)
FILTERS = f"{envoy.EXTENSIONS}.filters.http"
MAIL = "jane@example.org"
PICKED = "x-gateway-destination-endpoint"


class Processor(Running):
    def __init__(self, kind: str):
        folder = run_folder(f"processor-{kind}")
        port_file = folder / "port"
        script = ROOT / "integration" / "neighbours" / "processor.py"
        self.child = Child([str(PYTHON), str(script), kind, str(port_file)], folder / "log")
        self.child.wait_until(port_file.exists, "the external processor")
        self.port = int(port_file.read_text())


@pytest.fixture(scope="module")
def processors():
    made = {kind: Processor(kind) for kind in ("echo", "picker")}
    yield made
    for processor in made.values():
        processor.stop()


def beside(port: int, first: bool, replies: bool):
    """An edit of the configuration: the processor before the filter or behind it, for requests or for replies, too."""

    def edit(config: dict) -> None:
        cluster = {
            "name": "processor", "type": "STATIC", "connect_timeout": "5s",
            "load_assignment": {"cluster_name": "processor", "endpoints": [{"lb_endpoints": [{"endpoint": {
                "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}]}]},
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{envoy.EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}}}},
        }  # fmt: skip
        mode = {
            "request_header_mode": "SEND", "request_body_mode": "FULL_DUPLEX_STREAMED", "request_trailer_mode": "SEND",
            "response_header_mode": "SEND" if replies else "SKIP",
            "response_body_mode": "FULL_DUPLEX_STREAMED" if replies else "NONE",
            "response_trailer_mode": "SEND" if replies else "SKIP",
        }  # fmt: skip
        entry = {"name": "envoy.filters.http.ext_proc", "typed_config": {
            "@type": f"{FILTERS}.ext_proc.v3.ExternalProcessor", "processing_mode": mode, "message_timeout": "30s",
            "grpc_service": {"envoy_grpc": {"cluster_name": "processor"}, "timeout": "60s"},
        }}  # fmt: skip
        config["static_resources"]["clusters"].append(cluster)
        chain = envoy.manager(config)["http_filters"]
        chain.insert(0 if first else len(chain) - 1, entry)

    return edit


def masking(policy: dict) -> None:
    policy["guards"]["standard"]["pii"] = {"action": "mask"}
    policy["limits"] = {**policy.get("limits", {}), "maxBodyBytes": 4 << 20}


@pytest.fixture(scope="module")
def made(upstream, keys, processors):
    """The sites, each started once."""
    sites: dict[tuple, Site] = {}

    def get(version: str, kind: str, first: bool, replies: bool) -> Site:
        key = version, kind, first, replies
        if key not in sites:
            binary = VERSIONS[version]
            assert binary or version == OWN, "an older Envoy is missing: make test-all installs it"
            edit = beside(processors[kind].port, first, replies)
            sites[key] = Site("strong", upstream, keys, change=masking, edit=edit, binary=binary)
            assert f"/{version}." in sites[key].proxy.admin("server_info"), "another Envoy than that of the test"
        return sites[key]

    yield get
    for site in sites.values():
        site.proxy.stop()


CASES = list(itertools.product(VERSIONS, ("echo", "picker"), (True, False), (False, True)))


def name(case: tuple) -> str:
    version, kind, first, replies = case
    return f"{version}-{kind}-{'before' if first else 'behind'}-{'both' if replies else 'requests'}"


@pytest.fixture(params=CASES, ids=name)
def site(request, made):
    return made(*request.param), request.param


def bodies():
    """Bodies of many sizes; the last message of each names a person."""
    for size in (1, 2_000, 70_000, 300_000, 1_000_000):
        words = " ".join(f"tower {number}" for number in range(size // 10))
        yield chat(user(f"{words} Write to {MAIL}."))


@pytest.mark.parametrize("protocol", [H1, H2])
def test_what_reaches_the_upstream_is_whole_or_nothing(site, protocol, record_property):
    site, (version, kind, first, _) = site
    whole = refused = 0
    for sent in bodies():
        data = json.dumps(sent).encode()
        step = max(1, len(data) // 23)
        for chunks in (None, [data[at : at + step] for at in range(0, len(data), step)]):
            got = site.send(protocol, data, chunks=chunks)
            if got.reply.status == 200:
                expected = json.loads(json.dumps(sent).replace(MAIL, "[EMAIL_1]"))
                assert got.one.json()["messages"] == expected["messages"], (version, len(data))
                seen = got.one.header(PICKED if kind == "picker" else "x-processed")
                assert seen is not None, "the processor had no part in it"
                whole += 1
            else:
                # An older Envoy loses chunks: the filter compares lengths and refuses what it did not read whole.
                assert tuple(map(int, version.split("."))) < WHOLE, got
                assert got.reply.reason in ("body.length", "body.malformed"), got
                assert not any(one.complete for one in got.seen), got
                refused += 1
    assert whole, (version, refused)
    if refused:
        record_property("figures", f"Envoy {version}, processor {kind}, {'before' if first else 'behind'}: {whole} whole, {refused} refused")


def test_an_attack_reaches_nothing(site):
    site, _ = site
    for filler in ("", "word " * 60_000):
        got = site.send(H1, chat(user(filler + ATTACK)))
        assert got.reply.status == 400, got
        assert not any(one.complete for one in got.seen), got


@pytest.mark.parametrize("streamed", [False, True])
def test_replies_come_through(site, streamed):
    site, _ = site
    got = site.send(H1, chat(stream=streamed))
    assert got.reply.status == 200 and got.reply.complete, got
    assert b"turret" in got.reply.body, got
    assert (b"[DONE]" in got.reply.body) == streamed
