"""What istiod and the agent make of a WasmPlugin: an ECDS resource, here written to a file.

Mirrors Istio's translation (pilot, model/extensions.go and networking/core/extension; agent,
wasm/convert.go): the policy as compact JSON in a StringValue, failStrategy as failure_policy, no vm_id,
and the image replaced by the file that the agent pulled it to.
"""

import json
import os
from pathlib import Path

import yaml

from .envoy import RENAMED, release
from .paths import MODULE, ROOT

PLUGIN = ROOT / "istio" / "wasmplugin.yaml"
FAILURE = {"FAIL_CLOSE": "FAIL_CLOSED", "FAIL_OPEN": "FAIL_OPEN", "FAIL_RELOAD": "FAIL_RELOAD"}


def plugin() -> dict:
    """The shipped WasmPlugin."""
    return yaml.safe_load(PLUGIN.read_text())


def resource_name(plugin: dict) -> str:
    """The filter's name since Istio 1.30; before, `extensions.istio.io/wasmplugin/NAMESPACE.NAME`."""
    meta = plugin["metadata"]
    if release() < RENAMED:
        return f"extensions.istio.io/wasmplugin/{meta['namespace']}.{meta['name']}"
    return f"extensions.istio.io/trafficextension/{meta['namespace']}.{meta['name']}~istio-translated-wasmplugin"


def ecds(plugin: dict, document, version: str, module: Path = MODULE) -> str:
    """The discovery response for a WasmPlugin whose `pluginConfig` is `document` (an object, or text as it is); the
    agent has pulled the image to `module`."""
    spec = plugin["spec"]
    text = document if isinstance(document, str) else json.dumps(document, separators=(",", ":"))
    config = {
        "name": resource_name(plugin).split("/")[-1],
        "root_id": spec["pluginName"],
        "failure_policy": FAILURE[spec["failStrategy"]],
        "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text},
        "vm_config": {"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": str(module)}}},
    }
    resource = {
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": resource_name(plugin),
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": config},
    }
    return json.dumps({"version_info": version, "resources": [resource]})


def deny_all(plugin: dict, version: str) -> str:
    """What the agent sends instead of a filter whose image it could not pull: an RBAC filter without a rule."""
    resource = {
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": resource_name(plugin),
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC", "rules": {}},
    }
    return json.dumps({"version_info": version, "resources": [resource]})


def push(folder: Path, response: str) -> None:
    """Puts a new response in place; Envoy watches for the move."""
    part = folder / "ecds.part"
    part.write_text(response)
    os.rename(part, folder / "ecds.json")
