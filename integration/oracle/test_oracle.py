"""Done when: no wrong verdict, no unexpected 5xx, and memory that does not grow, in both modes."""

import os

import pytest

from harness.envoy import Envoy
from harness.upstream import Upstream

from .kinds import KINDS
from .run import run
from .world import World

SEED = int(os.environ.get("SEED", "20260923"))
REQUESTS = int(os.environ.get("REQUESTS", "10000"))
EACH = 200


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", ["strong", "weak"])
def test_no_wrong_verdict_in_a_seeded_mix(mode, record_property):
    requests = max(REQUESTS, EACH * len(KINDS))
    world = World(SEED, strong=mode == "strong")
    with Upstream() as upstream, Envoy(world.config(upstream.port), f"oracle-{mode}") as proxy:
        figures = run(world, proxy, upstream, requests)
        record_property("figures", f"--- {mode} mode, seed {SEED}\n{figures.text()}")
        assert not figures.wrong, f"{len(figures.wrong)} wrong, the first: " + "\n".join(figures.wrong[:20])
        assert figures.unexpected_5xx == 0
        assert figures.memory_end <= 1.05 * figures.memory_warm
        assert proxy.child.alive()
