"""What the fleet's tests share."""

import pytest

from fleet import servers


@pytest.fixture(scope="session")
def engine():
    """The real engine, built by `make fleet-test`."""
    if reason := servers.missing():
        pytest.skip(reason)
    with servers.Limitador("count-refused") as server:
        yield server
