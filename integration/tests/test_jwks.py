"""Keys that the issuer publishes, fetched by the filter through an Envoy cluster, in both modes."""

import itertools
import threading

import pytest

from conftest import Site, chat, everywhere
from harness import envoy, idp
from harness.client import H1
from harness.tokens import Key, claims
from harness.wait import eventually


def remote(document: dict, issuer: str | None = None, **jwks) -> None:
    """The policy's one issuer with keys from the cluster `idp`."""
    entry = document["authn"]["issuers"][0]
    entry["jwks"] = {"cluster": "idp", "authority": "idp.test", "path": "/jwks", "timeout": "20s"} | jwks
    if issuer:
        entry |= {"issuer": issuer, "audiences": ["urn:llm"]}
        document["roles"]["analyst"].pop("quotas")  # the test sends what it can


def cluster(port: int):
    return lambda config: envoy.with_cluster(config, "idp", port)


class Published:
    """A site whose issuer publishes its keys."""

    def __init__(self, mode, upstream, keys, port: int, **options):
        self.site = Site(mode, upstream, keys, change=lambda document: remote(document, **options), edit=cluster(port))

    def __enter__(self) -> Site:
        return self.site

    def __exit__(self, *_):
        self.site.proxy.stop()


@pytest.fixture
def scripted():
    with idp.Scripted() as server:
        yield server


def sent(site: Site, token: str, **fields):
    return site.send(H1, chat(), token=token, **fields)


def test_keys_are_fetched_once_and_requests_wait_for_them(mode, upstream, keys, scripted):
    scripted.serve(list(keys.values()))
    scripted.delay = 0.5
    with Published(mode, upstream, keys, scripted.port) as site:
        outcomes = []
        threads = [threading.Thread(target=lambda: outcomes.append(sent(site, site.token()))) for _ in range(12)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert [outcome.reply.status for outcome in outcomes] == [200] * 12, outcomes
        for algorithm in keys:
            sent(site, site.token(algorithm=algorithm)).passed()
        assert scripted.asked == 1, "one fetch for all workers"
        assert site.proxy.stats("keys.outcome.stored")["wasmcustom.bartizan.keys.outcome.stored"] == 1
        # A token of nobody's key.
        # It may be a new key, and it is too early to ask again.
        early = sent(site, Key("ES256", "nobody").sign(claims())).refused(503, "jwt.unavailable", before_body=True)
        assert 1 <= int(early.reply.header("retry-after")) <= 10
        sent(site, Key("ES256", "ec").sign(claims())).refused(401, "jwt.signature", before_body=True)


def test_without_keys_a_request_waits_and_is_refused(mode, upstream, keys, scripted):
    scripted.status = 500
    with Published(mode, upstream, keys, scripted.port, timeout="1s") as site:
        sent(site, site.token()).refused(503, "jwt.unavailable", before_body=True)
        assert scripted.asked, "it asked before it refused"
        sent(site, None).refused(401, "jwt.missing", before_body=True)
        scripted.serve(list(keys.values()))
        everywhere(lambda: sent(site, site.token()), lambda got: got.reply.status == 200, "the keys are asked for again").passed()
    assert "keys of cluster idp: status 500 (" in site.proxy.log()
    assert "keys of cluster idp: fetched again" in site.proxy.log()


def test_a_wrong_answer_keeps_the_keys(upstream, keys, scripted):
    """The other wrong answers are in `tests/suite/jwks.rs`; this one is larger than what is taken."""
    scripted.serve(list(keys.values()))
    with Published("strong", upstream, keys, scripted.port, refresh="10s") as site:
        sent(site, site.token()).passed()
        scripted.body = b" " * 300_000 + scripted.body
        numbers = itertools.count()

        def refused_and_still_good() -> bool:
            sent(site, site.token(f"user{next(numbers)}")).passed()
            return "keys of cluster idp: no_keys" in site.proxy.log()

        eventually(refused_and_still_good, "the refresh is due")
        sent(site, site.token("last")).passed()


def test_a_real_provider_rotates_its_keys_under_load(upstream, keys):
    """Old keys leave, new ones come, the provider is away in between: no good request fails."""
    if reason := idp.missing():
        pytest.skip(reason)
    first, second = Key("RS256", "first"), Key("ES256", "second")
    with idp.Provider([first]) as provider:
        with Published("strong", upstream, keys, provider.port, issuer=provider.issuer, refresh="10s") as site:
            token = provider.token()
            sent(site, token).passed()
            failed, stop, count = [], threading.Event(), [0]

            def load():
                while not stop.is_set():
                    outcome = sent(site, token)
                    count[0] += 1
                    if outcome.reply.status != 200:
                        failed.append(outcome)

            threads = [threading.Thread(target=load) for _ in range(4)]
            [thread.start() for thread in threads]
            # Both keys are published for a while, as providers do; the new one signs.
            provider.rotate([second, first])
            fresh = provider.token()
            everywhere(lambda: sent(site, fresh), lambda got: got.reply.status == 200, "the new key is fetched")
            stop.set()
            [thread.join() for thread in threads]
            assert not failed and count[0], (count, failed[:3])
            # The old key goes for good: a token it signed is no longer good, although it was remembered.
            provider.rotate([second])
            # Each worker looks for itself.
            gone = everywhere(lambda: sent(site, token), lambda got: got.reply.status == 401, "the old key has left")
            gone.refused(401, "jwt.key", before_body=True)
            sent(site, fresh).passed()
            provider.stop()
            for _ in range(4):
                sent(site, fresh).passed()
