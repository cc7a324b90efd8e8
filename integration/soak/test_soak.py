"""Each scenario of `make soak` once, in its shortest form."""

import pytest

from .ground import Ground
from .scenarios import SCENARIOS


@pytest.fixture(scope="module")
def ground():
    with Ground() as made:
        yield made


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_fault_is_survived(ground, name):
    seen = SCENARIOS[name].run(ground, 1)
    if seen.skipped:
        pytest.skip(seen.skipped)
    assert not seen.wrong, "\n".join(seen.wrong[:20])
    assert sum(seen.client.values()), "the scenario saw nothing"
