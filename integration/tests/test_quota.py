"""Request quotas are exact across Envoy's two workers."""

import threading
from collections import Counter

import pytest

from conftest import chat
from harness.client import Client

LIMIT = 40


def limited(policy: dict) -> None:
    policy["roles"]["analyst"]["quotas"] = [{"per": "subject", "requests": LIMIT, "window": "1h"}]


@pytest.mark.parametrize("subject", ["one", "two"])
def test_a_burst_from_many_connections(sites, mode, protocol, subject):
    site = sites(mode, change=limited)
    token = site.token(f"{subject}-{mode}-{protocol}")
    statuses, lock = Counter(), threading.Lock()

    def caller() -> None:
        with Client(site.proxy.port, protocol) as client:
            for _ in range(10):
                got = site.send(protocol, chat(), token=token, client=client)
                with lock:
                    statuses[got.reply.status, got.reply.reason] += 1

    callers = [threading.Thread(target=caller) for _ in range(8)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert statuses == {(200, None): LIMIT, (429, "quota.requests"): 80 - LIMIT}


def test_both_workers_took_part(sites, mode):
    """The test above proves nothing if one worker took every connection."""
    site = sites(mode, change=limited)
    lines = site.proxy.access_lines()
    workers = {line.split('"bartizan.worker":"')[1].split('"')[0] for line in lines if '"bartizan.worker"' in line}
    assert len(workers) == 2
