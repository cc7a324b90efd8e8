"""`bartizan render`: a policy written as YAML is in force on a real Envoy, whatever stood in the file before."""

import urllib.error
import urllib.request

import pytest
import yaml

from harness import cli, envoy

STRUCT = {"@type": "type.googleapis.com/google.protobuf.Struct", "value": {"version": 1}}


@pytest.mark.parametrize("before", ["nothing", "struct", "another policy"])
def test_a_rendered_policy_is_in_force(before, document, tmp_path):
    config = envoy.load()
    plugin = envoy.wasm(config)
    if before == "nothing":
        del plugin["configuration"]
    elif before == "struct":
        plugin["configuration"] = STRUCT
    document["name"] = "rendered"
    policy, file = tmp_path / "policy.yaml", tmp_path / "envoy.yaml"
    policy.write_text("# as people write it\n" + yaml.safe_dump(document, sort_keys=False))
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    done = cli.bartizan("render", str(policy), "--into", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert cli.check(file)[0] == 0
    rendered = yaml.safe_load(file.read_text())
    assert envoy.policy(rendered) == document
    with envoy.Envoy(rendered, "rendered", workers=1) as proxy:
        assert "policy=rendered@" in proxy.log()
        request = urllib.request.Request(f"{proxy.url}/v1/models")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=30)
        assert (refused.value.code, refused.value.headers["x-bartizan-reason"]) == (401, "jwt.missing")


def test_yaml_that_was_not_rendered_says_what_is_wanted(document, tmp_path):
    file = tmp_path / "envoy.yaml"
    file.write_text(yaml.safe_dump(envoy.with_policy(envoy.load(), yaml.safe_dump(document))))
    code, log = envoy.validate(file)
    assert code != 0 and "not JSON" in log and "`bartizan render`" in log, log
