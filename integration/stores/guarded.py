"""The filter before a store: the policy of each, and whether this build knows the protocol at all."""

import copy
import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import envoy
from harness.cli import check
from harness.paths import CLI

OPERATIONS = ["query", "read", "upsert", "delete", "admin"]
TOP_K = 20
# How each store tells tenants apart, by the policy's words.
TENANCY = {
    "chroma": {"by": "path", "from": "tenant"},
    "pinecone": {"by": "namespace", "from": "tenant"},
    "weaviate": {"by": "tenant", "from": "tenant"},
}
PREFIX = {"chroma": "/api/v2/", "pinecone": "/", "weaviate": "/v1/"}


def policy(document: dict, protocol: str, tenancy=None, operations: list[str] | None = None) -> dict:
    """The shipped policy with one route to a store."""
    route = {"match": {"pathPrefix": PREFIX[protocol]}, "protocol": protocol, "tenancy": tenancy or TENANCY[protocol]}
    document["routes"] = [route]
    document["authn"]["tokenFrom"] = ["authorization", "api-key"]
    for role in document["roles"].values():
        role["operations"] = OPERATIONS if operations is None else operations
        role["retrieval"] = {"topK": TOP_K}
        role["quotas"] = []
    return document


@functools.cache
def said(protocol: str, operations: tuple[str, ...]) -> tuple[int, str]:
    """What `bartizan check` says of the tests' policy for this store."""
    document = policy(copy.deepcopy(envoy.policy(envoy.load())), protocol, operations=list(operations))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "policy.json"
        file.write_text(json.dumps(document))
        return check(file)


@functools.cache
def words(protocol: str) -> tuple[str, ...]:
    """The operations that this build has: what reads without a search may be one of its own, or count as a query."""
    unknown = 'unknown value "read"' in said(protocol, tuple(OPERATIONS))[1]
    return tuple(word for word in OPERATIONS if not unknown or word != "read")


@functools.cache
def known(protocol: str) -> bool:
    """This build's `bartizan check` takes the protocol's word. A policy that it refuses for another reason is an error."""
    code, text = said(protocol, words(protocol))
    is_unknown = f'unknown value "{protocol}"' in text or "tenancy: unknown" in text or "tenancy: is unknown" in text
    assert code == 0 or is_unknown, f"bartizan check refuses the tests' own policy: {text}"
    return code == 0


def needs(protocol: str) -> pytest.MarkDecorator:
    """A reported skip where this build has no such protocol yet."""
    if not CLI.exists():
        return pytest.mark.skip(reason="the command line is not built: make cli")
    return pytest.mark.skipif(not known(protocol), reason=f"this build knows no `protocol: {protocol}`")


@functools.cache
def change(protocol: str, operations: tuple[str, ...] | None = None) -> Callable[[dict], None]:
    """What makes the shipped policy one of this store; `operations`: not all that there are."""
    return lambda document: policy(document, protocol, operations=list(words(protocol) if operations is None else operations))


@functools.cache
def to(port: int, keeps: bool = False) -> Callable[[dict], None]:
    """The upstream is the store. `keeps`: Envoy gives the path on as it came, so that the filter reads it in every form."""

    def edit(config: dict) -> None:
        cluster = config["static_resources"]["clusters"][0]
        cluster["load_assignment"] = envoy.with_upstream(config, port)["static_resources"]["clusters"][0]["load_assignment"]
        if keeps:
            envoy.manager(config).update(
                normalize_path=False, merge_slashes=False, path_with_escaped_slashes_action="KEEP_UNCHANGED"
            )

    return edit
