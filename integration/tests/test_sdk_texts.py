"""No text of an SDK's types goes by unread: an attack at every string of every request, a secret at every string of every
reply and event.

The instances are those of `test_sdk_walk.py`. A place is its keys and the types on the way; each is tried once. What a
place holds is refused, cut out or masked, or the record says that not everything was read.
"""

import collections
import json

import pytest

from conftest import ATTACK
from harness import upstream as scripts
from harness.client import H1, Client
from sdk_walk.endpoints import ENDPOINTS
from sdk_walk.instances import Builder
from sdk_walk.lists import List
from sdk_walk.places import with_text
from test_sdk_walk import WRITE, cases_of, open_to_all

KEY = "AKIAQ7EXAMPL3TE5TKXQ"
SECRET = f"The key is {KEY}, keep it."
UNREAD = "it passes, and the record says that all was read"
TO_SERVER = ("request", "notification", "result")


def nobodys_instructions(document: dict) -> None:
    """As for the walk; what stands in another zone's place is judged as the caller's words."""
    open_to_all(document)
    document["roles"]["analyst"].pop("mayWrite", None)


@pytest.mark.timeout(1500)  # 15,000 requests in half a minute, where the machine has nothing else to do
@pytest.mark.parametrize("sdk", [*ENDPOINTS, "mcp"])
def test_every_text_is_read(sites, sdk, record_property):
    site = sites("strong", change=nobodys_instructions)
    builder, seen = Builder(), set()
    tried, passed, every = collections.Counter(), {}, []
    with Client(site.proxy.port, H1) as client:
        for case in cases_of(sdk, builder):
            if case.content_type != "application/json":
                continue  # no field of a form is read, and the record says so
            for place, body, reply in with_text(case, ATTACK if case.part in TO_SERVER else SECRET, seen):
                if place == ("model",) and case.part in TO_SERVER:
                    continue  # the role may use every model
                scripts.CANNED[:] = [case.reply_type, reply, 1 << 20]
                headers = [("x-script", "canned" if case.status == 200 else "accepted"), ("content-type", "application/json"), *case.headers]
                outcome = site.send(H1, body, path=case.target, headers=headers, client=client)
                path = case.endpoint, case.part, *place, "text"
                tried[case.endpoint, case.part] += 1
                every.append(path)
                if case.part in TO_SERVER:
                    through = any(ATTACK.encode() in bytes(seen.body) for seen in outcome.seen)
                else:
                    through = KEY.encode() in outcome.reply.body
                site.upstream.forget()
                if through:
                    passed[path] = outcome.case
        audits = records(site)
    failed = {path: UNREAD for path, case in passed.items() if audits[case]["bartizan.coverage"] == "full"}
    unread = List("unread.txt", sdk)
    record_property("figures", f"{sdk}: {sum(tried.values())} places tried, {len(passed)} passed, {len(failed)} of them as if they had been read")
    if WRITE == "write":
        unread.write({path: came for path, came in failed.items() if unread.covers(path)}, every)
        unread = List("unread.txt", sdk)
    elif WRITE:
        with open(WRITE, "a") as out:
            out.writelines(json.dumps({"case": path, "came": came}) + "\n" for path, came in failed.items())
    fresh = [" > ".join(path) for path in failed if not unread.covers(path)]
    assert not fresh, f"{len(fresh)} texts go by unread:\n" + "\n".join(fresh[:40])
    stale = [" > ".join(path) for path in every if path not in failed and unread.covers(path)]
    assert not stale, f"{len(stale)} are read and are listed; SDK_WALK=write takes them out:\n" + "\n".join(stale[:40])


def records(site) -> dict[str, dict]:
    """The audit record of every request so far, by its case."""
    last = site.send(H1, b"{}", path="/v1/embeddings").case
    site.proxy.entry(last)
    found = {}
    for line in site.proxy.access_lines():
        start = line.find("{")
        if start > 0:
            found[line.split()[0].removeprefix("case=")] = json.loads(line[start:])
    return found
