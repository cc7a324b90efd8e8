"""What the mesh tests share. A part that can't be had skips its tests, with the reason."""

import os

import pytest

from mesh.cluster import Cluster
from mesh.parts import Missing
from mesh.registry import Registry


@pytest.fixture(scope="session")
def thorough():
    """For tests that take too long for every `make test`."""
    if not os.environ.get("MESH_TEST"):
        pytest.skip("left to make mesh-test")


@pytest.fixture(scope="session")
def cluster(thorough):
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
