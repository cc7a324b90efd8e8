"""The small module, `make build-core`, on real Envoy: it guards what it has, and says what it lacks."""

import json

import pytest

from conftest import ATTACK, Site, chat, user
from harness import envoy
from harness.client import H1
from harness.paths import ROOT

MODULE = ROOT / "target" / "bartizan-core.wasm"


def small(config: dict) -> None:
    envoy.wasm(config)["vm_config"]["code"] = {"local": {"filename": str(MODULE)}}


@pytest.fixture(scope="module")
def site(upstream, keys):
    site = Site("strong", upstream, keys, edit=small)
    yield site
    site.proxy.stop()


def test_a_chat_passes_and_an_attack_is_refused(site):
    site.send(H1, chat()).passed()
    site.send(H1, chat(user(ATTACK))).refused(400, "scan.injection")


@pytest.mark.parametrize(
    ("word", "feature"),
    [("gemini", "gemini"), ("bedrock", "bedrock"), ("langserve", "langserve"), ("cohere", "cohere"), ("graphql", "graphql"),
     ("chroma", "stores"), ("pinecone", "stores"), ("weaviate", "stores")],
)  # fmt: skip
def test_a_format_that_it_lacks_is_an_error_that_names_the_feature(word, feature, tmp_path):
    config = envoy.load()
    policy = envoy.policy(config)
    policy["routes"][0]["protocol"] = word
    config = envoy.with_policy(config, policy)
    small(config)
    file = tmp_path / "envoy.json"
    file.write_text(json.dumps(config))
    code, log = envoy.validate(file)
    assert code != 0
    assert f"routes[0].protocol: `{word}` is not in this build: it needs the feature `{feature}`" in log
