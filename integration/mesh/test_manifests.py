"""The manifests of `istio/`: what each must say, and a real API server that admits them."""

import re

import pytest

from harness import cli
from mesh import manifests

# admission.yaml speaks of policies and holds none.
HOLDING_POLICY = [path for path in manifests.FILES
                  if path.name != "admission.yaml" and re.search("pluginConfig|holdHeaders", path.read_text())]  # fmt: skip


def test_there_are_manifests_to_test():
    assert len(manifests.FILES) >= 15 and len(HOLDING_POLICY) >= 6


@pytest.mark.parametrize("path", HOLDING_POLICY, ids=manifests.name)
def test_check_accepts_every_policy(path):
    code, said = cli.check(path)
    assert code == 0, said


@pytest.mark.parametrize("file, spec, wasm", manifests.plugins(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_plugin_says_what_it_must(file, spec, wasm):
    assert wasm["failStrategy"] == "FAIL_RELOAD" and spec["phase"] == "AUTHZ"
    # Istio compares `sha256` with the digest of the image's manifest.
    digest = re.fullmatch(r"oci://\S+@sha256:([0-9a-f]{64})", wasm["url"])
    assert digest and wasm["sha256"] == digest[1]
    (match,) = spec["match"]
    at_gateway = file in ("gateway.yaml", "egress/4-bartizan.yaml")
    assert match["mode"] == ("CLIENT" if at_gateway else "SERVER")
    # istiod knows no port at a waypoint: a list of ports would keep the filter out.
    assert ("ports" in match) == (file != "waypoint.yaml")
    assert "selector" in spec or "targetRefs" in spec


def test_the_strong_variant_pins_the_same_image():
    text = (manifests.ISTIO / "envoyfilter-strong.yaml").read_text()
    pins = set(re.findall(r"\b[0-9a-f]{64}\b", text))
    assert len(pins) == 1 and pins == {wasm["sha256"] for _, _, wasm in manifests.plugins()}


def test_the_first_topology_leaves_no_way_around_the_gateway():
    provider = {document["kind"] + "/" + document["metadata"]["name"]: document["spec"] for document in manifests.documents(manifests.ISTIO / "egress/2-provider.yaml")}
    # An application's own HTTPS would pass a port 443 of the mesh unseen.
    assert [port["number"] for port in provider["ServiceEntry/provider"]["ports"]] == [80]
    assert provider["DestinationRule/to-provider"]["exportTo"] == ["."]
    assert "*" not in str([spec.get("exportTo") for spec in provider.values()])


@pytest.mark.parametrize("path", manifests.FILES, ids=manifests.name)
def test_core_kinds_fit_their_schemas(path):
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed: make mesh-tools")
    for document in manifests.documents(path):
        if "istio.io" not in document["apiVersion"]:
            validate.validate(document, validate.latest_version(), strict=True)


@pytest.mark.parametrize("path", manifests.FILES, ids=manifests.name)
def test_the_api_server_admits_it(cluster, path):
    documents = [document for document in manifests.documents(path) if cluster.serves(document)]
    if documents:
        code, said = cluster.apply(documents, "--dry-run=server")
        assert code == 0, said


def test_the_api_server_refuses_what_it_should(cluster):
    """Without this the test above would prove little."""
    (plugin,) = manifests.documents(manifests.ISTIO / "wasmplugin.yaml")
    for change, word in (
        (lambda spec: spec.update(failStrategie="FAIL_RELOAD"), "field not declared in schema"),
        (lambda spec: spec.update(failStrategy="RELOAD"), "Unsupported value"),
        (lambda spec: spec.update(targetRefs=[{"kind": "Gateway", "name": "x"}]), "only one of"),
    ):
        broken = {**plugin, "spec": dict(plugin["spec"])}
        change(broken["spec"])
        code, said = cluster.apply([broken], "--dry-run=server")
        assert code != 0 and word.lower() in said.lower(), said
