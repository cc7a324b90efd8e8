"""What a release changes is found: a policy that flags where the other one blocks stands for another module."""

import copy

import pytest

from conftest import ATTACK, Site
from harness.paths import MODULE, ROOT
from releases.__main__ import compared, table

ROWS = [
    {"id": "a", "label": "attack", "text": ATTACK},
    {"id": "b", "label": "benign", "text": "What is a bartizan?"},
    {"id": "c", "label": "attack", "zone": "tool", "text": ATTACK},
    {"id": "d", "body": '{"model": "smollm2", "messages": [{"role": "user", "content": "Hello"}]}'},
]


@pytest.fixture
def policies(upstream, keys):
    shipped = Site("strong", upstream, keys)
    policy = copy.deepcopy(shipped.policy)
    shipped.proxy.stop()
    lax = copy.deepcopy(policy)
    for guard in lax.setdefault("guards", {"standard": {}}).values():
        guard["injection"] = {"action": "flag", "history": "flag"}
    return policy, lax


def test_the_same_module_decides_the_same_and_another_policy_is_told(policies):
    old, new = compared((MODULE, MODULE), ROWS, policies)
    assert [one["verdict"] for one in old] == ["block", "allow", "block", "allow"] or old[2]["verdict"] == "replace", old
    assert [one["verdict"] for one in new] == ["allow"] * 4, new
    page = table(ROWS, old, new)
    assert "| attack | 2 | 0 | " in page and "| benign | 1 | 0 | 0 | 0 |" in page, page
    assert "a: block scan.injection" in page
    same = table(ROWS, old, old)
    assert "passes now" in same and "a: block" not in same


def test_the_manual_names_the_command():
    assert "make release-changes" in (ROOT / "src/manual/rules.md").read_text()
