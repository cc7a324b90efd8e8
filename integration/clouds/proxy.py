"""One Envoy with a listener for each file of `envoy/clouds`, the stand-ins in the clouds' places."""

import copy
from pathlib import Path
from types import SimpleNamespace

import yaml

from conftest import Site
from harness import envoy
from harness.envoy import Envoy
from harness.paths import ROOT

FOLDER = ROOT / "envoy" / "clouds"
FILES = sorted(FOLDER.glob("*.yaml"))


def prefixed(node, prefix: str, names: set[str]) -> None:
    """Gives every mention of these clusters the file's name, because the files share one proxy."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("cluster", "cluster_name") and value in names:
                node[key] = f"{prefix}-{value}"
            else:
                prefixed(value, prefix, names)
    elif isinstance(node, list):
        for value in node:
            prefixed(value, prefix, names)


def one(name: str, path: Path, ports: dict[str, int], changes: dict[str, str], keys: list[dict]) -> dict:
    """A shipped file with other addresses, without TLS to them, trusting the tests' keys and allowing the tests' model."""
    text = path.read_text()
    for shipped, own in changes.items():
        text = text.replace(shipped, own)
    config = envoy.load(path)
    changed = yaml.safe_load(text)["static_resources"]
    config["static_resources"]["clusters"] = changed["clusters"]
    for listener in changed["listeners"]:
        own = listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
        for at, entry in enumerate(own):
            if entry["name"] != "bartizan":
                envoy.manager(config)["http_filters"][at] = entry
    clusters = config["static_resources"]["clusters"]
    for cluster in clusters:
        cluster.pop("transport_socket", None)
        address = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
        address.update(address="127.0.0.1", port_value=ports[cluster["name"]])
    names = {cluster["name"] for cluster in clusters}
    prefixed(config, name, names)
    for cluster in clusters:
        cluster["name"] = f"{name}-{cluster['name']}"
    document = envoy.with_keys(envoy.policy(config), keys)
    for role in document["roles"].values():
        role.update(models=["*"], quotas=[])
    return envoy.with_policy(config, document)


def together(configs: dict[str, dict]) -> Envoy:
    whole = envoy.together(configs)
    whole["static_resources"]["clusters"] = [copy.deepcopy(cluster) for config in configs.values() for cluster in config["static_resources"]["clusters"]]
    whole["node"] = {"id": "bartizan", "cluster": "bartizan"}
    return Envoy(whole, "clouds")


class Cloud:
    """One listener, and the stand-in behind it; `send` as the sites of the suite have it."""

    strong, mode = True, "strong"
    numbers = Site.numbers

    def __init__(self, proxy: Envoy, name: str, keys, behind):
        self.keys, self.tokens, self.behind = keys, {}, behind
        self.proxy = SimpleNamespace(port=proxy.ports[name], entry=proxy.entry)
        # What reached the model is asked of the stand-in.
        self.upstream = SimpleNamespace(seen=lambda case: [got for got in behind.got if case in (got.headers.get("x-case"), "")])

    token, send = Site.token, Site.send
