"""What the fleet's tests share."""

import os

import pytest

from fleet import servers


@pytest.fixture(scope="session")
def engine():
    """The real engine; built and run by `make fleet-test` alone."""
    if not os.environ.get("FLEET_TEST"):
        pytest.skip("left to make fleet-test")
    if reason := servers.missing():
        pytest.skip(reason)
    with servers.Limitador("count-refused") as server:
        yield server
