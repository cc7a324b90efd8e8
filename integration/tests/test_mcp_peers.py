"""The official MCP SDKs of Python and TypeScript, each other's clients and servers, through the filter in both modes."""

from pathlib import Path

import pytest

from harness import envoy
from harness.paths import run_folder
from harness.tokens import claims
from mcp_peers.peers import FOUND, NodeServer, PythonServer, missing, node_client, python_client

NEWEST = "2026-07-28"
CLIENTS = {
    "python": lambda url, token: python_client("legacy", url, token),
    f"python {NEWEST}": lambda url, token: python_client(NEWEST, url, token),
    "typescript 1": lambda url, token: node_client("v1", url, token),
    "typescript 2": lambda url, token: node_client("v2", url, token),
    f"typescript 2 {NEWEST}": lambda url, token: node_client("v2-modern", url, token),
}
SERVERS = {
    "python": PythonServer,
    "typescript 1": lambda: NodeServer("v1", run_folder("mcp-v1")),
    "typescript 2": lambda: NodeServer("v2", run_folder("mcp-v2")),
}
# What the server does not know is no pair: the first TypeScript SDK has no such revision.
PAIRS = [(client, server) for server in SERVERS for client in CLIENTS if not (NEWEST in client and server == "typescript 1")]

# Faults: a pair that passes must go from the list.
LIST = Path(__file__).with_name("mcp_peers") / "not-mended.txt"
NOT_MENDED = {line.split(" # ")[0] for line in LIST.read_text().splitlines()}


def need(name: str) -> None:
    if "typescript" in name and (reason := missing()):
        pytest.skip(reason)


@pytest.fixture(scope="module")
def servers():
    """Every server that there is, by name."""
    made = {name: make() for name, make in SERVERS.items() if "typescript" not in name or not missing()}
    yield made
    for server in made.values():
        server.stop()


def path_of(server: str) -> str:
    return "/" + server.replace(" ", "-")


@pytest.fixture(scope="module")
def proxies(servers, keys):
    """One proxy a mode, in front of all servers: each has a path and a cluster of its own."""
    running = {}

    def proxy(mode: str) -> envoy.Envoy:
        if mode not in running:
            config = envoy.load(envoy.STRONG if mode == "strong" else envoy.WEAK)
            document = envoy.with_keys(envoy.policy(config), [key.jwk for key in keys.values()])
            document["routes"] = [{"match": {"path": path_of(name)}, "protocol": "mcp", "operation": "mcp"} for name in servers]
            allowed = ["announce", "echo", "walk", "prompt:describe", "resource:castle://*"]
            document["roles"]["analyst"].update(operations=["mcp"], quotas=[], tools={"allow": allowed})
            document["guards"]["standard"]["output"] = {"secrets": "mask", "exfiltration": "block"}
            config = envoy.with_policy(config, document)
            routes = envoy.manager(config)["route_config"]["virtual_hosts"][0]["routes"]
            clusters = config["static_resources"]["clusters"]
            for name, server in servers.items():
                [cluster] = envoy.with_upstream(config, server.port)["static_resources"]["clusters"][:1]
                clusters.append({**cluster, "name": path_of(name)})
                target = {"cluster": path_of(name), "timeout": "300s", "prefix_rewrite": "/mcp"}
                routes.insert(0, {"match": {"path": path_of(name)}, "route": target})
            running[mode] = envoy.Envoy(config, f"mcp-peers-{mode}", workers=1)
        return running[mode]

    yield proxy
    for made in running.values():
        made.stop()


@pytest.mark.parametrize(("client", "server"), PAIRS, ids=[" to ".join(pair).replace(" ", "-") for pair in PAIRS])
def test_a_client_walks_through_a_server(proxies, mode, keys, client, server):
    need(client), need(server)
    token = keys["ES256"].sign(claims("alice", ["analyst"]))
    # A revision without sessions has none to end, and no log level to set.
    expected = {key: value for key, value in FOUND.items() if not (NEWEST in client and key in ("logged", "ended"))}
    expected["session"] = NEWEST not in client
    try:
        found = CLIENTS[client](proxies(mode).url + path_of(server), token)
    except Exception as error:
        found = {"ended in": repr(error)[:2000]}
    row = f"{mode}: {client} to {server}"
    if row in NOT_MENDED:
        assert found != expected, f"it passes: take {row!r} out of {LIST.name}"
    else:
        assert found == expected


def test_the_list_names_pairs():
    assert NOT_MENDED <= {f"{mode}: {client} to {server}" for mode in ("strong", "weak") for client, server in PAIRS}
