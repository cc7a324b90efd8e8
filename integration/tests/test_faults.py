"""Inputs that once were judged wrongly (`faults/inputs`), and attacks that once worked, in both modes, over HTTP/1.1 and HTTP/2.

`faults/not-mended.txt` names those that do not hold yet; a case that holds must leave it. Another folder of the same
form: `FAULTS=folder`, with its own `not-mended.txt` if there is one. `FAULTS_WRITE=1` takes off the list what holds;
it adds nothing, unless there is no list yet.
"""

import json
import os
from pathlib import Path

import pytest

from harness import envoy
from harness.attacks import attacks
from harness.cli import bartizan
from harness.client import Client, Reply
from harness.faults import MODES, Case, Got, NotMended, judge, load
from harness.paths import run_folder

OWN = Path(__file__).parent / "faults" / "inputs"
FOLDER = Path(os.environ.get("FAULTS", OWN))
CASES = load(FOLDER, OWN / "policy.yaml") + (attacks(OWN) if FOLDER == OWN else [])
NOT_MENDED = NotMended(FOLDER.parent / "not-mended.txt" if FOLDER == OWN else FOLDER / "not-mended.txt")
WRITE = bool(os.environ.get("FAULTS_WRITE"))
RUNS = [(case, mode, protocol) for case in CASES for mode in MODES for protocol in case.protocols]


def lane(case: Case, mode: str, protocol: str) -> str:
    """What shares a policy shares a listener, but for cases that spend what the policy gives."""
    return json.dumps([case.policy(mode), case.times > 1 and [case.name, protocol]], sort_keys=True)


class Lanes:
    """One proxy with a listener for each policy. A policy that this build refuses has a reason in place of a port."""

    def __init__(self, wanted: dict[str, tuple[Case, str]], upstream):
        self.upstream, self.refused, configs = upstream, {}, {}
        folder = run_folder("policies")
        for number, (key, (case, mode)) in enumerate(wanted.items()):
            # A name of its own, so that no two of them share a counter.
            policy = case.policy(mode) | {"name": f"faults-{number}"}
            path = folder / f"{number}.json"
            path.write_text(json.dumps(policy))
            done = bartizan("check", str(path))
            if done.returncode:
                self.refused[key] = f"the policy is refused: {done.stdout}{done.stderr}"
                continue
            config = envoy.load(envoy.STRONG if mode == "strong" else envoy.WEAK)
            config = envoy.with_policy(envoy.with_upstream(config, upstream.port), policy)
            envoy.manager(config)["upgrade_configs"] = [{"upgrade_type": "websocket"}]
            configs[key] = config
        self.names = {key: f"lane-{number}" for number, key in enumerate(configs)}
        self.proxy = envoy.Envoy(envoy.together({self.names[key]: config for key, config in configs.items()}), "faults", workers=1)

    def run(self, case: Case, mode: str, protocol: str) -> str | None:
        """Sends the case and judges what came of it: what is wrong, or nothing."""
        if unread := case.unread():
            return f"nothing reads {sorted(unread)}"
        key = lane(case, mode, protocol)
        if key in self.refused:
            return self.refused[key]
        with Client(self.proxy.ports[self.names[key]], protocol, timeout=300) as client:
            for number in range(case.times):
                name = f"{case.name}-{mode}-{protocol}-{number}"
                if "reply" in case.data:
                    self.upstream.replies[name] = case.data["reply"]
                reply = client.call(case.call(name))
                # The record comes when the exchange is settled, so that the next one finds its counters.
                audit = self.proxy.entry(name).audit
        if audit is None:
            return f"status {reply.status}, and the filter left no record"
        got = Got(case, mode, reply, audit, [bytes(seen.body) for seen in self.upstream.seen(name)])
        wrong = judge(got, case.data["want"])
        return wrong and f"{wrong} ({case.data['title']}; expected: {case.data['expected']}; got: {got})"


@pytest.fixture(scope="module")
def lanes(request, upstream):
    wanted = {}
    for item in request.session.items:
        if (run := getattr(item, "callspec", None)) and "case" in run.params and item.fspath == request.node.fspath:
            case, mode, protocol = (run.params[name] for name in ("case", "mode", "protocol"))
            wanted.setdefault(lane(case, mode, protocol), (case, mode))
    made = Lanes(wanted, upstream)
    yield made
    made.proxy.stop()


@pytest.fixture(scope="module")
def results():
    made: dict[tuple[str, str, str], bool] = {}
    yield made
    if WRITE:
        NOT_MENDED.write(CASES, made)


@pytest.mark.parametrize("case,mode,protocol", RUNS, ids=[f"{case.name}-{mode}-{protocol}" for case, mode, protocol in RUNS])
def test_fault(case, mode, protocol, lanes, results):
    wrong = lanes.run(case, mode, protocol)
    results[case.name, mode, protocol] = wrong is None
    if WRITE:
        return
    if NOT_MENDED.has(case.name, mode, protocol):
        assert wrong, f"{case.name} {mode} {protocol} holds: take it off {NOT_MENDED.path.name}"
    else:
        assert wrong is None, wrong


def test_the_list_names_cases_that_exist():
    assert WRITE or NOT_MENDED.strays(CASES) == []


def test_every_case_wants_something_and_all_of_it_is_read():
    assert [case.name for case in CASES if case.unread() or not case.data["want"]] == []


def test_the_list_only_shrinks(tmp_path):
    path = tmp_path / "list.txt"
    cases = [Case(name, {"want": {}} | more, {}) for name, more in (("a", {}), ("b", {}), ("c", {"raw_http": True}))]
    places = [(case.name, mode, protocol) for case in cases for mode in MODES for protocol in case.protocols]
    wrong = {place: place[0] == "b" or place == ("a", "weak", "h2") for place in places}
    NotMended(path).write(cases, {place: not wrong[place] for place in places})
    first = NotMended(path)
    assert first.lines == [("a", "weak", "h2"), ("b",)] and first.strays(cases) == []
    assert all(first.has(*place) == wrong[place] for place in places)
    # `b` holds in strong mode, `c` fails, and `a` has not run.
    first.write(cases, {place: place[:2] == ("b", "strong") for place in places if place[0] != "a"})
    assert NotMended(path).lines == [("a", "weak", "h2"), ("b", "weak")]
    assert NotMended(path).strays(cases[2:]) == ["a weak h2", "b weak"]


@pytest.mark.parametrize(
    "status,verdict,body,mode,want,wrong",
    [
        (200, "allow", b"x", "strong", {"status": [200]}, False),
        # Refused in weak mode, the reply keeps its status: that is no pass, and it is a refusal.
        (200, "block", b"x", "weak", {"status": [200]}, True),
        (200, "block", b"x", "weak", {"status": [502]}, False),
        (200, "block", b"x", "strong", {"status": [502]}, True),
        # A JSON escape hides nothing.
        (200, "allow", b'{"t": "\\u0064elete_all"}', "strong", {"client_lacks": ["delete_all"]}, True),
        (200, "allow", b'data: {"t": "\\u0064elete_all"}\n\n', "strong", {"client_has": ["delete_all"]}, False),
        (200, "allow", b"x", "strong", {"any": [{"status": [403]}, {"client_has": ["y"]}]}, True),
        (200, "allow", b"x", "strong", {"any": [{"status": [403]}, {"client_has": ["x"]}]}, False),
    ],
)
def test_the_judge(status, verdict, body, mode, want, wrong):
    got = Got(Case("a", {"want": want}, {}), mode, Reply(status, body=body, complete=True), {"bartizan.verdict": verdict}, [b"{}"])
    assert bool(judge(got, want)) == wrong
