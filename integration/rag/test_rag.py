"""The retrieval example as a test: each row as it has to be, with the store behind the filter."""

from contextlib import ExitStack

import pytest

from rag.rows import ASKS, Site, wrong
from stores import servers

pytestmark = pytest.mark.skipif(bool(servers.missing()), reason=servers.missing() or "")


@pytest.fixture(scope="module")
def site():
    with ExitStack() as stack:
        yield Site(stack)


@pytest.mark.parametrize("ask", ASKS, ids=lambda ask: f"{ask.team}: {ask.title}")
def test_row(ask, site):
    row = site.row(ask)
    assert wrong(row) is None, row

