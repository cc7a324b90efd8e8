"""The shipped access log snippets in front of a proxy."""

import copy
from pathlib import Path

import yaml

from harness import envoy
from harness.paths import ROOT

PIPELINES = ROOT / "envoy" / "pipelines"
KINDS = ["file", "stdout", "grpc", "opentelemetry"]


def snippet(kind: str) -> dict:
    return yaml.safe_load((PIPELINES / f"access-log-{kind}.yaml").read_text())


def logger(entry: dict) -> dict:
    """Where a logger's buffer and service are set: two of Envoy's loggers share one message, the third has its own."""
    typed = entry["typed_config"]
    return typed.get("common_config", typed)


def add(config: dict, kind: str, path: Path | str = "", port: int = 0, change=None) -> None:
    """Adds a snippet to a proxy's configuration, with the path of the file or the port of the receiver put in."""
    parts = copy.deepcopy(snippet(kind))
    for entry in parts["access_log"]:
        if kind == "file":
            entry["typed_config"]["path"] = str(path)
        if change:
            change(logger(entry))
    for cluster in parts.get("clusters", []):
        address = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
        address.update(address="127.0.0.1", port_value=port)
        # Two snippets in one proxy have a cluster each.
        cluster["name"] = cluster["load_assignment"]["cluster_name"] = f"audit-{kind}"
        for entry in parts["access_log"]:
            logger(entry)["grpc_service"]["envoy_grpc"]["cluster_name"] = f"audit-{kind}"
        config["static_resources"]["clusters"].append(cluster)
    envoy.manager(config).setdefault("access_log", []).extend(parts["access_log"])
