"""The EnvoyFilters of `istio/`, as istiod would put them into a proxy, on real Envoy."""

import copy
import json
import os

import pytest
import yaml

from conftest import ATTACK, Site, chat, user
from harness import envoy, istio
from harness.client import H1, H2
from harness.envoy import Envoy
from harness.paths import MODULE, ROOT, run_folder
from harness.wait import eventually
from mesh import manifests


def patches(file: str) -> dict[str, dict]:
    """What the EnvoyFilter of a file puts in, by the kind of place; the decompressors are not among it."""
    (entry,) = manifests.documents(manifests.ISTIO / file)
    values = [(patch["applyTo"], patch["patch"]["value"]) for patch in entry["spec"]["configPatches"]]
    found = [(place, value) for place, value in values if not value.get("name", "").startswith("bartizan.decompressor.")]
    assert len(found) == len(dict(found)), f"{file} puts two into one place"
    return dict(found)


class Strong(Site):
    """The sidecar with the filter of envoyfilter-strong.yaml: by ECDS, the image pulled, the tests' keys."""

    def __init__(self, upstream, keys):
        self.mode, self.strong, self.upstream, self.keys, self.tokens = "strong", True, upstream, keys, {}
        put_in, extension = patches("envoyfilter-strong.yaml")["HTTP_FILTER"], patches("envoyfilter-strong.yaml")["EXTENSION_CONFIG"]
        assert put_in["name"] == extension["name"], "the filter and its configuration have one name"
        put_in["config_discovery"]["config_source"].pop("ads")
        put_in["config_discovery"]["config_source"]["path_config_source"] = {"path": "@FOLDER@/ecds.json"}
        vm = extension["typed_config"]["config"]["vm_config"]
        # What the agent does: a file for the image, its own variables taken off.
        vm["code"] = {"local": {"filename": str(MODULE)}}
        vm.pop("environment_variables")
        setting = extension["typed_config"]["config"]["configuration"]
        document = envoy.with_keys(json.loads(setting["value"]), [key.jwk for key in keys.values()])
        document["roles"]["analyst"].pop("quotas")
        setting["value"] = json.dumps(document)
        resource = {"@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", **extension}
        config = envoy.with_upstream(envoy.load(envoy.ECDS), upstream.port)
        envoy.manager(config)["http_filters"][0] = put_in
        response = json.dumps({"version_info": "1", "resources": [resource]})
        self.proxy = Envoy(config, "strong-istio", extra={"ecds.json": response})


def test_the_strong_variant_holds_everything_back(upstream, keys):
    site = Strong(upstream, keys)
    try:
        for protocol in (H1, H2):
            site.send(protocol, chat()).passed()
            # Strong: not even the headers of a refused request leave the proxy.
            site.send(protocol, chat(user(ATTACK))).refused(400, "scan.injection")
    finally:
        site.proxy.stop()


def secret(key: str) -> str:
    """sds.yaml, as the comment of egress/5-credential.yaml has it."""
    resource = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": "provider-key", "generic_secret": {"secret": {"inline_string": key}},
    }  # fmt: skip
    return json.dumps({"resources": [resource]})


@pytest.fixture(scope="module")
def gateway(upstream, keys):
    """The egress gateway's chain: Bartizan with the shipped policy, then the provider's key."""
    folder = run_folder("provider-key")
    file = folder / "sds.yaml"
    injector = patches("egress/5-credential.yaml")["HTTP_FILTER"]
    text = json.dumps(injector).replace("/etc/provider-key", str(folder))
    assert str(file) in text
    file.write_text(secret("sk-first"))
    shipped = next(entry for entry in manifests.documents(manifests.ISTIO / "egress/4-bartizan.yaml"))["spec"]["pluginConfig"]

    def change(document):
        grown = envoy.with_keys(copy.deepcopy(shipped), [key.jwk for key in keys.values()])
        issuer = grown["authn"]["issuers"][0]
        issuer.update(issuer=document["authn"]["issuers"][0]["issuer"], audiences=document["authn"]["issuers"][0]["audiences"])
        issuer["grants"]["tenants"] = ["acme"]
        for role in grown["roles"].values():
            role.pop("workloads")  # one proxy here, and no mTLS: test_sidecars.py has it
        document.clear()
        document.update(grown)

    def edit(config):
        config["node"] = {"id": "router~llm-egress", "cluster": "llm-egress"}
        filters = envoy.manager(config)["http_filters"]
        filters.insert(len(filters) - 1, json.loads(text))

    site = Site("weak", upstream, keys, change=change, edit=edit)
    yield site, file
    site.proxy.stop()


def ask(site, **more):
    body = {**chat(), "model": "gpt-4o"}
    return site.send(H1, body, token=site.token(roles=("assistant",)), **more)


def test_the_providers_key_takes_the_place_of_the_callers_token(gateway):
    site, _ = gateway
    seen = ask(site).passed().one
    assert [value for name, value in seen.headers if name.lower() == b"authorization"] == [b"Bearer sk-first"]
    # One that the caller invents goes as well.
    refused = ask(site, headers=[("x-api-key", "sk-stolen")])
    assert refused.reply.status == 400 and refused.seen == []
    site.send(H1, chat(), token=None).refused(401, "jwt.missing", before_body=True)


def test_a_changed_key_is_taken_up_without_a_restart(gateway):
    site, file = gateway
    for old, new in (("sk-first", "sk-second"), ("sk-second", "sk-first")):
        part = file.with_suffix(".part")
        part.write_text(secret(new))
        os.rename(part, file)
        got = set()

        def is_taken_up() -> bool:
            got.add(last := ask(site).passed().one.header("authorization").decode())
            return last == f"Bearer {new}"

        eventually(is_taken_up, f"{new} is taken up")
        assert got <= {f"Bearer {old}", f"Bearer {new}"}


def test_the_buffers_are_larger_than_the_policies_allow():
    shipped = envoy.load()["static_resources"]["listeners"][0]["per_connection_buffer_limit_bytes"]
    for file in ("envoyfilter-buffers.yaml", "egress/5-credential.yaml"):
        found = patches(file)
        for place in ("LISTENER", "CLUSTER"):
            assert found[place]["per_connection_buffer_limit_bytes"] == shipped > 4 << 20
    values = yaml.safe_load((ROOT / "charts/bartizan/values.yaml").read_text())
    assert values["buffers"]["bytes"] == shipped


def test_memory_is_released_alike_wherever_bartizan_runs():
    shipped = envoy.load()["memory_allocator_manager"]
    assert patches("envoyfilter-memory.yaml")["BOOTSTRAP"] == {"memory_allocator_manager": shipped}
    chart = (ROOT / "charts/bartizan/templates/around.yaml").read_text()
    line = next(line for line in chart.splitlines() if "memory_allocator_manager" in line)
    assert yaml.safe_load(line) == {"memory_allocator_manager": shipped}


def test_istio_names_the_plugin_as_the_harness_does():
    plugin = istio.plugin()
    assert istio.resource_name(plugin).startswith("extensions.istio.io/trafficextension/llm.bartizan~")
