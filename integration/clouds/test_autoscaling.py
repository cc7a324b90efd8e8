"""Autoscaling: what the chart renders, and its queries on a real Prometheus that reads a real proxy.

The Prometheus adapter and KEDA can't be had here: their templates are filled in as their documentation says.
"""

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest
import yaml

from conftest import Site, chat
from harness import envoy
from harness.client import H1, Heads
from harness.paths import CACHE, ROOT, run_folder
from harness.process import Child
from harness.wait import eventually
from mesh import parts
from mesh.cluster import documents, free_port
from mesh.test_chart import CASES, CHART, case_name, helm

PYTHON = CACHE / "clouds" / "bin" / "python"
SIDECAR = next(path for path in CASES if case_name(path) == "sidecar")
METRICS = {"bartizan_busy_percent", "bartizan_buffered_bytes", "bartizan_waiting"}


def rendered(by: str, *words: str) -> list[dict]:
    code, out, error = helm("template", "demo", CHART, "-f", SIDECAR, "--set", f"autoscaling.by={by},guards.llm.scale.name=model", *words)
    assert code == 0, error
    return [one for one in documents(out) if one["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")]


def adapter() -> dict[str, str]:
    """The queries of the Prometheus adapter's rules, by the metric that they make."""
    rules = yaml.safe_load((ROOT / "envoy/prometheus/adapter.yaml").read_text())["rules"]
    return {rule["name"]["as"]: rule["metricsQuery"] for rule in rules}


def test_nothing_is_scaled_unless_somebody_says_so():
    assert rendered("none") == []
    code, out, _ = helm("template", "demo", CHART, "-f", SIDECAR, "--set", "autoscaling.by=hpa")
    assert code == 0 and "HorizontalPodAutoscaler" not in out, "a guard without `scale`"


def test_the_autoscaler_is_one_of_kubernetes_and_asks_for_what_the_adapter_makes():
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed: make mesh-tools")
    (one,) = rendered("hpa")
    validate.validate(one, validate.latest_version(), strict=True)
    asked = {metric["pods"]["metric"]["name"] for metric in one["spec"]["metrics"]}
    assert asked == set(adapter()) == METRICS
    assert one["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "model"}
    assert one["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300


def test_the_scaled_object_has_kedas_form():
    """By the types that cloudcoil makes of KEDA's own definitions."""
    if not PYTHON.exists():
        pytest.skip("cloudcoil-models-keda is not installed: make cloud-tools")
    (one,) = rendered("keda")
    read = "import json, sys; from cloudcoil.models.keda.v1alpha1 import ScaledObject as S; S.model_validate(json.load(sys.stdin))"

    def valid(document: dict) -> bool:
        return subprocess.run([PYTHON, "-c", read], input=json.dumps(document), capture_output=True, text=True, timeout=60).returncode == 0

    assert valid(one)
    for change in ({"triggers": "none"}, {"triggers": [{"metadata": {}}]}, {"maxReplicaCount": "many"}):
        assert not valid({**one, "spec": {**one["spec"], **change}}), change
    assert len(one["spec"]["triggers"]) == len(METRICS)
    assert {f"bartizan_{trigger['name']}" for trigger in one["spec"]["triggers"]} == METRICS


@pytest.mark.parametrize("wrong", ["by=keeda", "targets.busyPercent=0", "maxReplicas=0", "prometheus=prometheus:9090", "target.waiting=1"])
def test_wrong_values_are_refused(wrong):
    code, _, error = helm("template", "demo", CHART, "-f", SIDECAR, "--set", f"autoscaling.{wrong}")
    assert code != 0 and "autoscaling" in error, error


@pytest.fixture(scope="module")
def loaded(upstream, keys):
    """A proxy with load of each kind, and a Prometheus that reads it as the pod `model-0` of the namespace `llm`."""
    try:
        program = parts.tool("prometheus")
    except parts.Missing as why:
        pytest.skip(str(why))

    def change(document):
        for role in document["roles"].values():
            role.pop("quotas", None)

    def edit(config):
        # Requests that wait for as long as the test wants.
        envoy.manager(config).pop("request_timeout")

    site = Site("strong", upstream, keys, change=change, edit=edit)
    folder, port = run_folder("autoscaling"), free_port()
    labels = {"namespace": "llm", "pod": "model-0"}
    job = {"job_name": "proxies", "scrape_interval": "1s", "metrics_path": "/stats/prometheus"}
    job["static_configs"] = [{"targets": [site.proxy.admin_address], "labels": labels}]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump({"scrape_configs": [job]}))
    words = [f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"]
    child = Child([program, *words], log=folder / "prometheus.log")
    # Forty requests whose bodies do not come: they wait. Forty more whose bodies have begun: what came is held.
    begun = json.dumps(chat()).encode()[:-1] + b" " * 4096
    headers = [("content-type", "application/json"), ("authorization", f"Bearer {site.token()}")]
    with Heads(site.proxy.port) as heads:
        for _ in range(40):
            heads.send(headers)
            heads.send(headers, begun=begun)

        def ask(query: str, window: str = "20s") -> list[dict]:
            # Windows are six times shorter here.
            query = query.replace("[2m]", f"[{window}]")
            url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
            try:
                with urllib.request.urlopen(url, timeout=5) as reply:
                    return json.loads(reply.read())["data"]["result"]
            except urllib.error.HTTPError as error:
                if error.code == 503:  # while it starts
                    return []
                raise AssertionError(f"{query}: {error.read()}") from error
            except OSError:
                return []

        yield site, ask
    child.stop()
    site.proxy.stop()


def value(found: list[dict]) -> float:
    return float(found[0]["value"][1]) if found else 0.0


def query(by: str, metric: str) -> str:
    if by == "keda":
        (one,) = rendered("keda")
        return next(trigger["metadata"]["query"] for trigger in one["spec"]["triggers"] if f"bartizan_{trigger['name']}" == metric)
    return adapter()[metric].replace("<<.GroupBy>>", "pod").replace("<<.LabelMatchers>>", 'namespace="llm",pod=~"model-0"')


@pytest.mark.parametrize("by", ["hpa", "keda"])
@pytest.mark.parametrize("metric", sorted(METRICS))
def test_a_query_tells_the_load(loaded, by, metric):
    """Forty requests have waited, forty hold 4 KiB each, and some are served meanwhile. Bounds, no times."""
    site, ask = loaded

    def told() -> float:
        for _ in range(5):
            site.send(H1, chat())
        return value(ask(query(by, metric)))

    if metric == "bartizan_waiting":
        # Heads are held for some seconds only: in a window of an hour those that began the test stay visible.
        assert 0 < eventually(lambda: value(ask(query(by, metric), "1h")), "waiting requests", 90) < 45
    elif metric == "bartizan_buffered_bytes":
        assert eventually(lambda: (found := told()) > 30 * 4096 and found, "bytes held", 90) < 45 * 16384
    else:
        assert 0 < eventually(told, "time in the filter", 120) <= 100


def test_both_ways_ask_the_same(loaded):
    """For one pod the adapter's query and KEDA's are one number."""
    _, ask = loaded
    (mine,) = ask(f"({query('hpa', 'bartizan_waiting')}) - ignoring(pod) group_left() ({query('keda', 'bartizan_waiting')})", "1h")
    assert float(mine["value"][1]) == 0
