"""The responder of `envoy/response`: bans and their ends against a second reading of the rules, its bounds, its faces over HTTP.

Falcosidekick's events have its documented form; itself it can't be had. `test_alerts.py` has a real Alertmanager.
"""

import copy
import http.client
import importlib.util
import json
import os
import random
import socket
import stat
import subprocess
import sys
import threading

import pytest
import yaml

from harness import falco
from harness.paths import ROOT

FOLDER = ROOT / "envoy" / "response"
spec = importlib.util.spec_from_file_location("responder", FOLDER / "responder.py")
responder = importlib.util.module_from_spec(spec)
spec.loader.exec_module(responder)
Bad, Full = responder.Bad, responder.Full

EVENTS, OPERATOR = "events-token-of-the-test", "operator-token-of-the-test"
ATTACKED, COOLED = "Bartizan blocked an attack", "Bartizan cool-down began"


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def config(folder, **changed) -> dict:
    document = {"issuers": ["corp", "other"], "maxBans": 5, "maxSeconds": 100, "seconds": 50, "window": 30,
                "falco": {COOLED: 1, ATTACKED: 3}, "alerts": {"BartizanBlocksJump": 2},
                "never": [{"issuer": "corp", "subject": "safe"}], "state": str(folder / "bans.json"), "log": str(folder / "log")}  # fmt: skip
    return responder.settings(document | changed)


@pytest.fixture
def bans(tmp_path, clock):
    made = responder.Bans(config(tmp_path), clock=clock)
    yield made
    made.close()


def event(subject: str | None, rule: str = ATTACKED, issuer: str = "corp", seen: str | None = None) -> dict:
    fields = {"json.value[/bartizan.issuer]": issuer, "json.value[/user.id]": subject, "json.value[/user.hash]": seen}
    return {"uuid": "u", "output": "-", "priority": "Notice", "rule": rule, "time": "2026-11-28T10:00:00Z", "source": "collector",
            "tags": [], "hostname": "h", "output_fields": fields}  # fmt: skip


def message(status: str = "firing", alert: str = "BartizanBlocksJump", fingerprint: str = "f1", **changed) -> dict:
    one = {"status": status, "labels": {"alertname": alert}, "annotations": {}, "startsAt": "2026-11-28T10:00:00Z",
           "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://p/", "fingerprint": fingerprint}  # fmt: skip
    return {"version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": status, "receiver": "responder", "groupLabels": {},
            "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://a/", "alerts": [one]} | changed  # fmt: skip


def lines(bans) -> list[dict]:
    with open(bans.config["log"], encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def listed(bans, issuer: str = "corp") -> list[str]:
    return bans.document(issuer)["sub"]


def test_enough_events_within_the_window_ban(bans, clock):
    for _ in range(2):
        bans.falco(event("mallory"))
        bans.falco(event("mallory", issuer="other"))
    assert listed(bans) == []
    clock.now += 31
    bans.falco(event("mallory"))
    assert listed(bans) == [], "two of the three are too old"
    bans.falco(event("mallory"))
    bans.falco(event("mallory"))
    assert listed(bans) == ["mallory"] and listed(bans, "other") == []
    clock.now += 50
    assert listed(bans) == []
    assert [line["event.action"] for line in lines(bans)] == ["ban", "expired"]


def test_an_alert_bans_whom_events_name_and_its_end_lifts(bans):
    for subject in ("eve", "eve", "amy", "safe", "safe"):
        bans.falco(event(subject))
    bans.alertmanager(message())
    assert listed(bans) == ["eve"]
    # While it fires, whoever comes to the count is banned too. A ban by hand outlasts the alert.
    bans.falco(event("amy"))
    bans.ban("corp", "bob", "operator")
    assert listed(bans) == ["amy", "bob", "eve"]
    bans.ban("corp", "amy", "operator")
    bans.alertmanager(message("resolved", fingerprint="f2"))
    bans.alertmanager(message("resolved", alert="Another"))
    assert listed(bans) == ["amy", "bob", "eve"]
    bans.alertmanager(message("resolved"))
    assert listed(bans) == ["amy", "bob"]
    # The same events do not ban again.
    bans.alertmanager(message())
    assert listed(bans) == ["amy", "bob"]


def test_an_alert_that_nobody_ends_does_not_fire_for_ever(bans, clock):
    bans.alertmanager(message())
    clock.now += 101
    for _ in range(2):
        bans.falco(event("eve"))
    assert listed(bans) == []


def test_bans_are_bounded_in_number_time_and_bytes(tmp_path, bans, clock):
    for number in range(5):
        bans.falco(event(f"u{number}", COOLED))
    for _ in range(3):
        bans.falco(event("late", COOLED))
    assert len(listed(bans)) == 5 and "late" not in listed(bans)
    assert [line["event.action"] for line in lines(bans)] == ["ban"] * 5 + ["refused"], "said once"
    with pytest.raises(Full):
        bans.ban("corp", "later", "operator")
    for seconds in (0, -1, 101):
        with pytest.raises(Bad):
            bans.ban("corp", "u1", "operator", seconds)
    clock.now += 50
    bans.falco(event("late", COOLED))
    assert listed(bans) == ["late"]
    # Subjects that JSON makes six times as long still fit what the filter reads.
    many = responder.Bans(config(tmp_path, maxBans=32_768, state=str(tmp_path / "many"), log=str(tmp_path / "many.log")), clock=clock)
    many._save = lambda: None
    long = {str(n): {"id": str(n), "issuer": "corp", "subject": f"{n:06}" + "\u0001" * 250, "until": clock.now + 1, "cause": "-", "alert": None} for n in range(690)}
    many.bans = long
    many._index()
    added = 0
    with pytest.raises(Full):
        while True:
            many.ban("corp", f"x{added}" + "\u0001" * 200, "operator")
            added += 1
    assert 0 < len(json.dumps(many.document("corp"))) <= 1 << 20
    many.close()


def test_a_restart_lifts_nothing_and_a_broken_state_does_not_start(tmp_path, clock):
    first = responder.Bans(config(tmp_path), clock=clock)
    first.falco(event("eve", COOLED))
    first.close()
    state = tmp_path / "bans.json"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    again = responder.Bans(config(tmp_path), clock=clock)
    assert listed(again) == ["eve"]
    again.close()
    whole = state.read_text()
    for broken in (whole[:-1], "{}", '{"bans": [{}]}', whole.replace('"alert"', '"alarm"'), whole.replace('"eve"', "7")):
        state.write_text(broken)
        with pytest.raises((Bad, ValueError, KeyError, TypeError)):
            responder.Bans(config(tmp_path), clock=clock)


def test_no_line_and_no_metric_has_a_subject(tmp_path, clock):
    secret = b"the secret of the record"
    seen = responder.user_hash(secret, "https://idp.example.com", "acme", "velociraptor")
    directory = responder.callers(
        json.dumps({"issuer": "corp", "iss": "https://idp.example.com", "tenant": "acme", "subject": "velociraptor"}) + "\n", secret
    )
    bans = responder.Bans(config(tmp_path), directory, clock)
    bans.falco(event(None, COOLED, seen=seen))
    bans.falco(event(None, COOLED, seen="0" * 32))
    bans.falco(event("marmalade", COOLED))
    assert listed(bans) == ["marmalade", "velociraptor"]
    bans.lift(next(iter(bans.bans)), "operator")
    clock.now += 100
    bans.sweep()
    text = (tmp_path / "log").read_text() + bans.metrics()
    assert not any(name in text for name in ("velociraptor", "marmalade", "acme"))
    assert [(line["event.action"], line.get("user.hash")) for line in lines(bans)] == [
        ("ban", seen), ("unresolved", "0" * 32), ("ban", None), ("lift", seen), ("expired", None),
    ]  # fmt: skip
    bans.close()


@pytest.mark.parametrize("seed", range(30))
def test_any_sequence_bans_whom_a_second_reading_bans(tmp_path, clock, seed):
    """The second reading keeps every event for ever and decides anew each time."""
    draw = random.Random(seed)
    bans = responder.Bans(config(tmp_path, maxBans=3), clock=clock)
    seen: list[tuple[float, str, str]] = []
    until: dict[str, float] = {}
    alert_of: dict[str, str | None] = {}
    firing: dict[str, float] = {}

    def start(who: str, alert: str | None) -> None:
        if who != "safe" and who not in until and len(until) < 3:
            until[who], alert_of[who] = clock.now + 50, alert

    def count(who: str, rule: str | None = None) -> int:
        return sum(at > clock.now - 30 and one == who and rule in (None, kind) for at, one, kind in seen)

    for _ in range(200):
        clock.now += draw.choice((0, 0, 1, 7, 20))
        until = {who: end for who, end in until.items() if end > clock.now}
        firing = {key: end for key, end in firing.items() if end > clock.now}
        what, who = draw.choice("eeeeeeafrol"), draw.choice(("ann", "bob", "cat", "dan", "safe"))
        if what == "e":
            rule = draw.choice((ATTACKED, ATTACKED, ATTACKED, COOLED, "Bartizan had a fault"))
            bans.falco(event(who, rule))
            seen.append((clock.now, who, rule))
            if rule in bans.config["falco"] and count(who, rule) >= bans.config["falco"][rule]:
                start(who, None)
            for key in firing:
                if count(who) >= 2:
                    start(who, key)
        elif what == "a" or what == "f":
            key = draw.choice(("f1", "f2"))
            bans.alertmanager(message(fingerprint=key))
            firing[key] = clock.now + 100
            latest = {one: at for at, one, _ in [(n, one, kind) for n, (_, one, kind) in enumerate(seen)]}
            for one in sorted(latest, key=latest.get):
                if count(one) >= 2:
                    start(one, key)
        elif what == "r":
            key = draw.choice(("f1", "f2"))
            bans.alertmanager(message("resolved", fingerprint=key))
            firing.pop(key, None)
            for one in [one for one in until if alert_of[one] == key]:
                del until[one]
                seen = [event for event in seen if event[1] != one]
        elif what == "o" and (who in until or len(until) < 3):
            bans.ban("corp", who, "operator", 20)
            until[who], alert_of[who] = clock.now + 20, None
        elif what == "l" and who in until:
            [ban] = [ban for ban in bans.bans.values() if ban["subject"] == who]
            assert bans.lift(ban["id"], "operator")
            del until[who]
            seen = [event for event in seen if event[1] != who]
        assert listed(bans) == sorted(until)
    done = [line["event.action"] for line in lines(bans)]
    begun = {line["bartizan.ban.id"] for line in lines(bans) if line["event.action"] == "ban"}
    assert len(begun) - done.count("lift") - done.count("expired") == len(until)
    bans.close()


def broken(document, draw: random.Random):
    """The same document with one place of it taken away or changed into something else."""
    document = copy.deepcopy(document)
    at, path = document, []
    while isinstance(at, (dict, list)) and at and (not path or draw.random() < 0.7):
        key = draw.choice(list(at)) if isinstance(at, dict) else draw.randrange(len(at))
        path.append((at, key))
        at = at[key]
    holder, key = path[-1]
    if draw.random() < 0.3:
        del holder[key]
    else:
        holder[key] = draw.choice((None, True, 7, -1, "", "x" * 5000, "\ud800", [], {}, [[]], {"a": 1}))
    return document


@pytest.mark.parametrize("seed", range(5))
def test_broken_input_is_refused_or_counts_for_nobody(bans, seed):
    draw = random.Random(seed)
    refused = 0
    for _ in range(300):
        for take, good in ((bans.falco, event("eve", COOLED)), (bans.alertmanager, message())):
            try:
                take(broken(good, draw))
            except Bad:
                refused += 1
    assert refused > 100
    for issuer in ("corp", "other"):
        json.dumps(bans.document(issuer)).encode()
        assert all(0 < len(one.encode()) <= 256 for one in listed(bans, issuer))


@pytest.mark.parametrize("changed", [
    {"maxBans": 0}, {"maxBans": True}, {"maxBans": 40_000}, {"seconds": 101}, {"window": "10m"}, {"issuers": []}, {"issuers": ["a/b"]},
    {"issuers": "corp"}, {"falco": {COOLED: 0}}, {"alerts": [1]}, {"never": [{"issuer": "corp"}]}, {"state": None}, {"maxban": 1},
])  # fmt: skip
def test_a_wrong_configuration_is_refused(tmp_path, changed):
    with pytest.raises(Bad):
        config(tmp_path, **changed)


def test_the_shipped_files_name_rules_and_alerts_that_exist():
    shipped = responder.settings(json.loads((FOLDER / "response.json").read_text()))
    assert set(shipped["falco"]) <= {entry.get("rule") for entry in falco.RULES}
    groups = yaml.safe_load((ROOT / "envoy/prometheus/alerts.yaml").read_text())["groups"]
    assert set(shipped["alerts"]) <= {rule.get("alert") for group in groups for rule in group["rules"]}
    for rule in shipped["falco"]:
        [output] = [entry["output"] for entry in falco.RULES if entry.get("rule") == rule]
        assert {"/user.hash", "/bartizan.issuer"} <= set(falco.FIELD.findall(output)), "a ban needs both"
    page = (ROOT / "src/manual/response.md").read_text()
    assert json.loads(page.split("```json\n")[1].split("```")[0]) == json.loads((FOLDER / "response.json").read_text())
    line = json.loads(page.split("```json\n")[2].split("```")[0])
    assert line["event.reason"] in shipped["falco"] and line["event.action"] in responder.ACTIONS
    assert all(f"`{action}`" in page for action in responder.ACTIONS)
    sidekick = yaml.safe_load((FOLDER / "falcosidekick.yaml").read_text())
    assert sidekick["webhook"]["address"].endswith("/falco")
    routes = yaml.safe_load((FOLDER / "alertmanager.yaml").read_text())["route"]["routes"]
    assert all(alert in routes[0]["matchers"][0] for alert in shipped["alerts"])


class Face:
    """The responder's HTTP server in this process."""

    def __init__(self, bans):
        self.server = responder.serve(bans, "127.0.0.1", 0, EVENTS, OPERATOR)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def ask(self, method: str, path: str, body=None, token: str | None = None, headers: dict | None = None):
        connection = http.client.HTTPConnection(*self.server.server_address, timeout=30)
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        connection.request(method, path, data, ({"authorization": f"Bearer {token}"} if token else {}) | (headers or {}))
        reply = connection.getresponse()
        text = reply.read()
        connection.close()
        return reply.status, json.loads(text) if reply.headers["content-type"] == "application/json" else text.decode()

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def face(bans):
    made = Face(bans)
    yield made
    made.stop()


def test_each_path_wants_its_own_token(face, bans):
    asked = [("POST", "/falco", event("eve", COOLED), EVENTS), ("POST", "/alertmanager", message(), EVENTS), ("GET", "/bans", None, OPERATOR),
             ("POST", "/bans", {"issuer": "corp", "subject": "bob"}, OPERATOR), ("DELETE", "/bans/x", None, OPERATOR)]  # fmt: skip
    for method, path, body, good in asked:
        for wrong in (None, "", good[:-1], good + "x", good.upper(), {EVENTS: OPERATOR, OPERATOR: EVENTS}[good], "\u00e4"):
            sent = {"authorization": f"Bearer {wrong}".encode("latin-1")} if wrong else {}
            assert face.ask(method, path, body, headers=sent)[0] == 401, (path, wrong)
        assert face.ask(method, path, body, headers={"authorization": f"Basic {good}"})[0] == 401
    assert listed(bans) == []
    for method, path, body, good in asked:
        assert face.ask(method, path, body, good)[0] == (404 if method == "DELETE" else 200)
    assert listed(bans) == ["bob", "eve"]
    assert "bartizan_response_unauthorized_total 40" in face.ask("GET", "/metrics")[1]


def test_a_ban_and_a_lift_by_hand(face, bans):
    status, made = face.ask("POST", "/bans", {"issuer": "corp", "subject": "bob", "seconds": 100}, OPERATOR)
    assert status == 200 and face.ask("GET", "/revoked/corp") == (200, {"sub": ["bob"]})
    assert face.ask("GET", "/revoked/other") == (200, {"sub": []}) and face.ask("GET", "/revoked/nobody")[0] == 404
    assert [ban["id"] for ban in face.ask("GET", "/bans", token=OPERATOR)[1]["bans"]] == [made["id"]]
    assert 'bartizan_response_bans{issuer="corp"} 1' in face.ask("GET", "/metrics")[1]
    assert face.ask("DELETE", f"/bans/{made['id']}", token=OPERATOR)[0] == 200
    assert face.ask("DELETE", f"/bans/{made['id']}", token=OPERATOR)[0] == 404
    assert face.ask("GET", "/revoked/corp") == (200, {"sub": []})
    for wrong in ({}, [], {"issuer": "corp"}, {"issuer": "nobody", "subject": "x"}, {"issuer": "corp", "subject": ""},
                  {"issuer": "corp", "subject": "x", "seconds": 101}, {"issuer": "corp", "subject": "x", "seconds": True}, b"{", b"[" * 100_000):  # fmt: skip
        assert face.ask("POST", "/bans", wrong, OPERATOR)[0] == 400, wrong
    assert face.ask("POST", "/bans", b"x" * 10, OPERATOR, {"content-length": str(2 << 20)})[0] == 400
    for number in range(5):
        assert face.ask("POST", "/bans", {"issuer": "corp", "subject": f"u{number}"}, OPERATOR)[0] == 200
    assert face.ask("POST", "/bans", {"issuer": "corp", "subject": "one-more"}, OPERATOR)[0] == 409


def test_the_program_wants_two_long_tokens_and_a_configuration(tmp_path):
    file = tmp_path / "response.json"
    file.write_text(json.dumps({"issuers": ["corp"], "state": str(tmp_path / "s"), "log": str(tmp_path / "l"), "maxBans": 0}))
    for tokens in ({}, {"RESPONSE_EVENTS_TOKEN": EVENTS}, {"RESPONSE_EVENTS_TOKEN": EVENTS, "RESPONSE_OPERATOR_TOKEN": EVENTS},
                   {"RESPONSE_EVENTS_TOKEN": EVENTS, "RESPONSE_OPERATOR_TOKEN": OPERATOR}):  # fmt: skip
        environment = {key: value for key, value in os.environ.items() if not key.startswith("RESPONSE_")} | tokens
        done = subprocess.run([sys.executable, str(FOLDER / "responder.py"), "--config", str(file)], env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and ("maxBans" in done.stderr) == (len(set(tokens.values())) == 2), done.stderr
        assert EVENTS not in done.stderr


def test_hashes_ban_whom_nobody_knows(tmp_path, clock):
    hashed, spared = "0f" * 16, "ab" * 16
    with pytest.raises(responder.Bad):
        config(tmp_path, lists="hashes")
    bans = responder.Bans(config(tmp_path, lists="hashes", never=[{"issuer": "corp", "subject": spared}]), clock=clock)
    bans.ban("corp", hashed, "operator")
    bans.ban("corp", "mallory", "operator")
    assert bans.document("corp") == {"sub": [hashed, "mallory"], "hash": [hashed]}
    assert bans.document("other") == {"sub": [], "hash": []}
    bans.close()
    with pytest.raises(responder.Bad):
        config(tmp_path, lists="names")


def test_the_shipped_configuration_starts():
    responder.settings(json.loads((ROOT / "envoy" / "response" / "response.json").read_text()))


def test_a_message_that_bans_many_saves_once(tmp_path, clock):
    bans = responder.Bans(config(tmp_path, maxBans=1000, alerts={"Many": 1}, falco={}), clock=clock)
    saves = []
    plain = bans._save
    bans._save = lambda: (saves.append(bans.waits), plain())
    for number in range(300):
        bans.falco(event(f"u{number}", COOLED))
    fired = {"status": "firing", "fingerprint": "f", "labels": {"alertname": "Many"}}
    bans.alertmanager({"version": "4", "alerts": [fired]})
    assert len(listed(bans)) == 300 and saves.count(False) == 1
    assert len(json.loads((tmp_path / "bans.json").read_text())["bans"]) == 300
    bans.alertmanager({"version": "4", "alerts": [fired | {"status": "resolved"}]})
    assert listed(bans) == [] and saves.count(False) == 2
    assert json.loads((tmp_path / "bans.json").read_text())["bans"] == []
    bans.close()


def test_a_body_that_nobody_reads_is_no_request(face):
    hidden = "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n"
    for method in ("GET", "DELETE"):
        for announced in (f"content-length: {len(hidden)}", "transfer-encoding: chunked"):
            with socket.create_connection(face.server.server_address, timeout=30) as connection:
                connection.sendall(f"{method} /metrics HTTP/1.1\r\nhost: a\r\n{announced}\r\n\r\n{hidden}".encode())
                got = b""
                while data := connection.recv(65536):
                    got += data
            assert got.count(b"HTTP/1.1 ") == 1, (method, announced, got)
    for line in ("GET http://[::1 HTTP/1.1\r\nhost: a\r\n\r\n", f"POST /falco HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {EVENTS}\r\ncontent-length: {'9' * 5000}\r\n\r\n"):
        with socket.create_connection(face.server.server_address, timeout=30) as connection:
            connection.sendall(line.encode())
            assert connection.recv(65536).startswith((b"HTTP/1.1 404", b"HTTP/1.1 400")), line[:30]
