"""Two sidecars as Istio sets them up, with mTLS and SPIFFE names between them.

`Callers` is the outgoing side: one listener and one certificate a workload. `Model` is the incoming side of the
model's pod: STRICT mTLS, the filter by ECDS under istiod's name, the AuthorizationPolicy behind it, the identity
provider as a cluster.
"""

import hashlib
import json
import time
from pathlib import Path

from harness import envoy, istio
from harness.envoy import EXTENSIONS, Envoy

from .pki import Authority, spiffe
from .registry import PullFailed, Registry, pull

IDP = "outbound|443||idp.example.com"


def _file(path: Path) -> dict:
    return {"filename": str(path)}


def _tls(kind: str, certificate: Path, key: Path, authority: Authority, **more) -> dict:
    common = {
        "tls_certificates": [{"certificate_chain": _file(certificate), "private_key": _file(key)}],
        "validation_context": {"trusted_ca": _file(authority.certificate), **more.pop("validation", {})},
    }
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {"@type": f"{EXTENSIONS}.transport_sockets.tls.v3.{kind}", "common_tls_context": common, **more},
    }


def _endpoint(name: str, port: int, **more) -> dict:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}
    return {"name": name, "type": "STATIC", "per_connection_buffer_limit_bytes": 33554432, "load_assignment": assignment, **more}


def _only(principals: list[str]) -> dict:
    """AuthorizationPolicy ALLOW by `principals`, as istiod writes it."""
    names = [{"authenticated": {"principal_name": {"exact": f"spiffe://{name}"}}} for name in principals]
    rules = {"action": "ALLOW", "policies": {"ns[llm]-policy[model]-rule[0]": {"permissions": [{"any": True}], "principals": [{"or_ids": {"ids": names}}]}}}
    return {"name": "envoy.filters.http.rbac", "typed_config": {"@type": f"{EXTENSIONS}.filters.http.rbac.v3.RBAC", "rules": rules}}


class Model:
    """The model's sidecar. `push` hands it another filter configuration and waits for Envoy's word."""

    def __init__(self, authority: Authority, first: str, upstream: int, idp: int | None = None, principals: list[str] | None = None):
        config = envoy.with_upstream(envoy.load(envoy.ECDS), upstream)
        certificate, key = authority.workload("llm", "model")
        (chain,) = config["static_resources"]["listeners"][0]["filter_chains"]
        chain["transport_socket"] = _tls("DownstreamTlsContext", certificate, key, authority, require_client_certificate=True)
        filters = envoy.manager(config)["http_filters"]
        filters[0]["name"] = json.loads(first)["resources"][0]["name"]
        if principals is not None:
            filters.insert(len(filters) - 1, _only(principals))
        if idp is not None:
            config["static_resources"]["clusters"].append(_endpoint(IDP, idp))
        self.proxy = Envoy(config, "model", extra={"ecds.json": first})
        self.port = self.proxy.port

    def discovery(self) -> dict:
        """The counters of the filter's discovery. The main thread may be compiling the next module; it answers then."""
        for _ in range(6):
            try:
                stats = self.proxy.stats("extension_config_discovery")
                return {key.rpartition(".")[2]: value for key, value in stats.items()}
            except TimeoutError:
                continue
        raise AssertionError("Envoy's admin interface does not answer")

    def push(self, response: str, taken: bool = True, seconds: float = 90) -> None:
        """`taken`: it is in force; else it is refused, and what was in force stays so."""
        before = self.discovery()
        istio.push(self.proxy.folder, response)
        version = json.loads(response)["version_info"]
        end = time.monotonic() + seconds
        while True:
            now = self.discovery()
            refused = now["config_fail"] > before["config_fail"] or now["update_rejected"] > before["update_rejected"]
            if now["version_text"] == version or refused:
                break
            assert time.monotonic() < end, f"Envoy has not looked at it: {self.proxy.child.tail(3)}"
            time.sleep(0.05)
        assert taken != refused, f"refused: {refused}, {self.proxy.child.tail(3)}"

    def stop(self) -> None:
        self.proxy.stop()


class Agent:
    """istiod and the agent of one proxy: a WasmPlugin becomes a discovery response, with the image pulled to a file,
    or with a deny-all in its place when that fails."""

    def __init__(self, registry: Registry, folder: Path):
        self.registry, self.folder, self.version = registry, folder, 0

    def response(self, plugin: dict) -> str:
        self.version += 1
        spec = plugin["spec"]
        try:
            module = pull(self.registry, spec["url"], spec.get("sha256"))
        except PullFailed:
            return istio.deny_all(plugin, str(self.version))
        file = self.folder / f"{hashlib.sha256(module).hexdigest()}.wasm"
        if not file.exists():
            file.write_bytes(module)
        return istio.ecds(plugin, spec["pluginConfig"], str(self.version), file)


class Callers:
    """The callers' sidecars: an application of workload (namespace, account) speaks plain HTTP to `ports[...]`."""

    def __init__(self, authority: Authority, workloads: list[tuple[str, str]], target: int):
        listeners, clusters = [], []
        for namespace, account in workloads:
            name = f"{namespace}.{account}"
            certificate, key = authority.workload(namespace, account)
            # The callee must be the model's service account (DestinationRule, ISTIO_MUTUAL).
            san = {"san_type": "URI", "matcher": {"exact": spiffe("llm", "model")}}
            socket = _tls("UpstreamTlsContext", certificate, key, authority, sni="model.llm", validation={"match_typed_subject_alt_names": [san]})
            clusters.append(_endpoint(name, target, transport_socket=socket))
            route = {"match": {"prefix": "/"}, "route": {"cluster": name, "timeout": "0s"}}
            manager = {
                "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": name,
                "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": f"{EXTENSIONS}.filters.http.router.v3.Router"}}],
                "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": [route]}]},
            }
            listeners.append({
                "name": name, "per_connection_buffer_limit_bytes": 33554432,
                "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
                "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
            })  # fmt: skip
        config = {
            "node": {"id": "callers", "cluster": "callers"},
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
            "static_resources": {"listeners": listeners, "clusters": clusters},
        }
        self.proxy = Envoy(config, "callers", workers=1)
        statuses = json.loads(self.proxy.admin("listeners?format=json"))["listener_statuses"]
        self.ports = {status["name"]: status["local_address"]["socket_address"]["port_value"] for status in statuses}

    def stop(self) -> None:
        self.proxy.stop()
