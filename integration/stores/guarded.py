"""The filter before a store: the policy of each."""

import functools
from collections.abc import Callable

from harness import envoy

OPERATIONS = ("query", "upsert", "delete", "admin")
TOP_K = 20
# The store's cluster, in the shipped file.
CLUSTER = envoy.load()["static_resources"]["clusters"][0]["name"]
# How each store tells tenants apart, by the policy's words.
TENANCY = {
    "chroma": {"by": "path", "from": "tenant"},
    "pinecone": {"by": "namespace", "from": "tenant"},
    "weaviate": {"by": "namespace", "from": "tenant"},
}
PREFIX = {"chroma": "/api/v2/", "pinecone": "/", "weaviate": "/v1/"}


def policy(document: dict, protocol: str, tenancy=None, operations: tuple[str, ...] = OPERATIONS) -> dict:
    """The shipped policy with one route to a store."""
    route = {"match": {"pathPrefix": PREFIX[protocol]}, "protocol": protocol, "tenancy": tenancy or TENANCY[protocol]}
    document["routes"] = [route]
    document["authn"]["tokenFrom"] = ["authorization", "api-key"]
    for role in document["roles"].values():
        role["operations"] = list(operations)
        role["retrieval"] = {"topK": TOP_K}
        role["quotas"] = []
    return document


@functools.cache
def change(protocol: str, operations: tuple[str, ...] = OPERATIONS) -> Callable[[dict], None]:
    """What makes the shipped policy one of this store; `operations`: not all that there are."""
    return lambda document: policy(document, protocol, operations=operations)


@functools.cache
def asking() -> Callable[[dict], None]:
    """Chroma, which is asked whose an id is that no answer has told."""
    tenancy = {**TENANCY["chroma"], "cluster": CLUSTER}
    return lambda document: policy(document, "chroma", tenancy)


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
