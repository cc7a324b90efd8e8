"""Request quotas are exact across Envoy's two workers."""

import threading
from collections import Counter

import pytest

from conftest import chat

LIMIT = 40


def limited(policy: dict) -> None:
    policy["roles"]["analyst"]["quotas"] = [{"per": "subject", "requests": LIMIT, "window": "31d"}]


@pytest.mark.parametrize("subject", ["one", "two"])
def test_a_burst_from_many_connections(sites, mode, protocol, subject):
    site = sites(mode, change=limited)
    token = site.token(f"{subject}-{mode}-{protocol}")
    statuses, workers, lock = Counter(), set(), threading.Lock()

    def caller() -> None:
        for _ in range(10):  # each on a connection of its own, so that both workers have some
            got = site.send(protocol, chat(), token=token)
            with lock:
                statuses[got.reply.status, got.reply.reason] += 1
                workers.add(got.audit["bartizan.worker"])

    callers = [threading.Thread(target=caller) for _ in range(8)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert statuses == {(200, None): LIMIT, (429, "quota.requests"): 80 - LIMIT}
    assert len(workers) == 2, "it proves nothing if one worker took every connection"
