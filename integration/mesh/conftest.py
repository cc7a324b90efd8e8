"""What the mesh tests share. A part that can't be had skips its tests, with the reason."""

import pytest

from mesh.cluster import Cluster
from mesh.parts import Missing
from mesh.registry import Registry


@pytest.fixture(scope="session")
def cluster():
    try:
        made = Cluster()
    except Missing as why:
        pytest.skip(str(why))
    yield made
    made.stop()


@pytest.fixture(scope="session")
def registry():
    try:
        made = Registry()
    except Missing as why:
        pytest.skip(str(why))
    yield made
    made.stop()
