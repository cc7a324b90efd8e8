"""`make mesh-test`: everything at once, as a table.

A real API server, a real registry, a real OpenID provider, two Envoys with mTLS. Each step changes what a platform
team would change, by the chart or by hand; requests run all the while, and each must get its verdict.
"""

import copy
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from harness import idp
from harness.paths import MODULE, ROOT
from harness.tokens import Key
from harness.upstream import Upstream

from . import image, parts
from .cluster import Cluster, documents
from .load import ATTACK, PASSED, Kind, Load, Tally
from .pki import Authority
from .registry import Registry
from .sidecars import Agent, Callers, Model

TEAMS = {"assistant": {"roles": ["assistant"], "tenant": "team-a"}, "batch": {"roles": ["batch"], "tenant": "team-b"}}
WORKLOADS = [("team-a", "assistant"), ("team-b", "batch"), ("elsewhere", "pod")]
DENIED = (403, None)


class Rollout:
    """The whole stage; `step` is one line of the table."""

    def __init__(self, folder: Path):
        self.folder, self.rows, self.failed = folder, [], 0
        self.started: list = []
        self.timed("Kubernetes API server, Istio's CRDs", lambda: setattr(self, "cluster", self._keep(Cluster())))
        self.timed("registry", lambda: setattr(self, "registry", self._keep(Registry())))
        keys = [Key("RS256", "r1"), Key("ES256", "e1")]
        self.timed("OpenID provider", lambda: setattr(self, "provider", self._keep(idp.Provider(keys, TEAMS))))
        self.upstream = self._keep(Upstream())
        self.authority = Authority(folder / "mesh")
        self.agent = Agent(self.registry, folder)
        self.keys = keys

    def _keep(self, part):
        self.started.append(part.__enter__() if isinstance(part, Upstream) else part)
        return part

    def stop(self) -> None:
        for part in reversed(self.started):
            part.stop()

    def timed(self, what: str, start) -> None:
        began = time.monotonic()
        start()
        print(f"  up: {what} ({time.monotonic() - began:.1f} s)", flush=True)

    # What the platform team does.

    def push_image(self, note: bytes) -> str:
        """An image whose module differs by a custom section (WebAssembly core 5.5.3), as another build would."""
        name = b"build"
        section = bytes([len(name)]) + name + note
        module = MODULE.read_bytes() + b"\0" + bytes([len(section)]) + section
        layout = self.folder / f"image-{note.decode()}"
        digests = image.pack(module, layout, note.decode())
        assert self.registry.push(layout, "llm/bartizan")[note.decode()] == digests["image"]
        return digests["image"]

    def values(self, digest: str, change=None) -> Path:
        (plugin,) = [entry for entry in documents((ROOT / "istio/two-teams/model.yaml").read_text()) if entry["kind"] == "WasmPlugin"]
        policy = copy.deepcopy(plugin["spec"]["pluginConfig"])
        policy.pop("name")
        policy["authn"]["issuers"][0].update(issuer=self.provider.issuer, audiences=["urn:llm"])
        for role in policy["roles"].values():
            role.pop("quotas")  # the load would spend them; they have their own tests
        if change:
            change(policy)
        file = self.folder / f"values-{time.monotonic_ns()}.yaml"
        file.write_text(yaml.safe_dump({
            "image": {"repository": f"{self.registry.host}/llm/bartizan", "digest": digest}, "policy": policy,
            "guards": {"llm": {"namespace": "llm", "place": "sidecar", "selector": {"app": "model"}, "ports": [8080]}},
            "peerAuthentication": {"enabled": True},
        }))  # fmt: skip
        return file

    def render(self, values: Path) -> tuple[int, str, str]:
        done = subprocess.run(
            [parts.tool("helm"), "template", "bartizan", str(ROOT / "charts/bartizan"), "-n", "llm", "-f", str(values)],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def helm(self, values: Path) -> dict:
        """Renders and applies server-side: Helm's own releases need Secrets, which this API server does not have."""
        code, out, error = self.render(values)
        assert code == 0, error
        code, said = self.cluster.apply([entry for entry in documents(out) if self.cluster.serves(entry)], manager="helm")
        assert code == 0, said
        return self.plugin()

    def plugin(self) -> dict:
        """What istiod would read."""
        return self.cluster.get("wasmplugin", "bartizan-llm", "llm")

    # The mesh.

    def start(self, plugin: dict) -> None:
        self.model = self._keep(Model(self.authority, self.agent.response(plugin), self.upstream.port, self.provider.port))
        self.callers = self._keep(Callers(self.authority, WORKLOADS, self.model.port))
        token = {client: self.provider.token(client=client) for client in TEAMS}
        team_a, team_b, other = (self.callers.ports[f"{namespace}.{account}"] for namespace, account in WORKLOADS)
        self.kinds = [
            Kind("chat", team_a, token["assistant"]),
            Kind("stream", team_a, token["assistant"], stream=True, script="sse_slow"),
            Kind("attack", team_a, token["assistant"], text=ATTACK),
            Kind("70b", team_a, token["assistant"], model="llama-3-70b"),
            Kind("batch", team_b, token["batch"]),
            Kind("batch 70b", team_b, token["batch"], model="llama-3-70b"),
            Kind("no token", team_a, None),
            Kind("stolen token", other, token["assistant"]),
        ]

    def step(self, name: str, load: Load, expect: dict, change, taken: bool | None = True) -> None:
        """Changes something under load. `taken`: by ECDS and it takes over; False: it is refused; None: not by ECDS."""
        began = time.monotonic()
        if taken is not False:
            load.either(expect)
        plugin = change()
        if taken is not None:
            self.model.push(self.agent.response(plugin), taken)
        # Each worker takes a new filter up with its next request.
        load.lap()
        took = time.monotonic() - began
        load.now(expect)
        load.lap()
        self.row(name, load.take(), took)

    def row(self, name: str, tally: Tally, took: float) -> None:
        self.rows.append((name, tally, took))
        self.failed += len(tally.wrong) + len(tally.dropped)
        print(f"{name:<58}{tally.requests:>9}{tally.streams:>9}{len(tally.wrong):>7}{len(tally.dropped):>9}{took:>8.1f} s", flush=True)
        for line in (tally.wrong + tally.dropped)[:5]:
            print(f"    {line}")

    def run(self) -> None:
        first, second = self.push_image(b"one"), self.push_image(b"two")

        def shadow(policy: dict) -> None:
            for guard in policy["guards"].values():
                guard["mode"] = "shadow"

        def small(policy: dict) -> None:
            policy["roles"]["assistant"]["models"] = ["llama-3-8b"]

        enforced = {
            "chat": PASSED, "stream": PASSED, "attack": (400, "scan.injection"), "70b": PASSED, "batch": PASSED,
            "batch 70b": (403, "rbac.model"), "no token": (401, "jwt.missing"), "stolen token": (403, "rbac.workload"),
        }  # fmt: skip
        shadowed = enforced | {"attack": PASSED}
        fewer = enforced | {"70b": (403, "rbac.model")}
        good = self.values(first)
        self.timed("two Envoys with mTLS, the chart's install in shadow", lambda: self.start(self.helm(self.values(first, shadow))))
        print(f"\n{'step':<58}{'requests':>9}{'streams':>9}{'wrong':>7}{'dropped':>9}{'took':>10}")
        print("-" * 102)
        load = Load(self.kinds)
        load.now(shadowed)
        with load:
            load.lap()
            self.row("install: guards in shadow", load.take(), 0)
            self.step("rollout: guards enforced", load, enforced, lambda: self.helm(good))
            self.step("upgrade: another image", load, enforced, lambda: self.helm(self.values(second)))
            self.step("a stricter policy: one model less", load, fewer, lambda: self.helm(self.values(second, small)))
            self.step("rollback", load, enforced, lambda: self.helm(good))
            self.step("bad policy by the chart: its schema refuses", load, enforced, self.bad_values, None)
            self.step("bad policy by hand: admitted, refused by the proxy", load, enforced, self.bad_by_hand, False)
            self.step("the hand's edit undone, the chart again", load, enforced, lambda: self.undone(good))
            self.step("identity provider down", load, enforced, self.provider.stop, None)
            self.step("identity provider back, signing with another key", load, enforced, self.rotate, None)
            everything = dict.fromkeys(enforced, DENIED)
            self.step("an image that can't be pulled: Istio denies all", load, everything, lambda: self.helm(self.values("sha256:" + "0" * 63 + "1")))
            self.step("rollback", load, enforced, lambda: self.helm(good))
        self.row("the end", load.take(), 0)
        print("-" * 102)
        total = sum(tally.requests for _, tally, _ in self.rows)
        print(f"{total} requests, {sum(tally.streams for _, tally, _ in self.rows)} streams, {self.failed} wrong or dropped")

    def bad_values(self) -> None:
        code, _, error = self.render(self.values("sha256:" + "1" * 64, lambda policy: policy["roles"]["assistant"].update(requets=1)))
        assert code != 0 and "requets" in error, error

    def bad_by_hand(self) -> dict:
        patch = json.dumps({"spec": {"pluginConfig": {"roles": {"assistant": {"requets": 1}}}}})
        code, said = self.cluster.kubectl("patch", "wasmplugin", "bartizan-llm", "-n", "llm", "--type=merge", "-p", patch)
        assert code == 0, said
        return self.plugin()

    def undone(self, good: Path) -> dict:
        """Server-side apply leaves alone what another hand has added, so the chart by itself would not heal it."""
        assert "requets" in self.helm(good)["spec"]["pluginConfig"]["roles"]["assistant"]
        patch = json.dumps([{"op": "remove", "path": "/spec/pluginConfig/roles/assistant/requets"}])
        code, said = self.cluster.kubectl("patch", "wasmplugin", "bartizan-llm", "-n", "llm", "--type=json", "-p", patch)
        assert code == 0, said
        return self.plugin()

    def rotate(self) -> None:
        new = Key("RS256", "r2")
        self.provider.start([new, *self.keys])
        token = self.provider.token(client="assistant")
        for kind in self.kinds:
            if kind.name in ("chat", "attack"):
                kind.token = token


def main() -> int:
    try:
        if why := idp.missing():
            raise parts.Missing(why)
        folder = Path(tempfile.mkdtemp(prefix="bartizan-mesh-"))
        stage = None
        try:
            stage = Rollout(folder)
            stage.run()
        finally:
            if stage:
                stage.stop()
            shutil.rmtree(folder, ignore_errors=True)
    except parts.Missing as why:
        print(f"SKIPPED: {why}")
        return 0
    return 1 if stage.failed else 0


if __name__ == "__main__":
    sys.exit(main())
