"""From refusals on real Envoy through real Prometheus and Alertmanager to a ban, and back.

Falco can't be had: its events are made of real records by the reading of its rules in `harness/falco.py`, in the form that
Falcosidekick's webhook documents.
"""

import json
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
import yaml

from conftest import ATTACK, Site, chat, everywhere, user
from harness import envoy, falco
from harness.client import H1
from harness.idp import free_port
from harness.paths import CACHE, CLI, ROOT, run_folder
from harness.process import Child
from harness.wait import eventually

EVENTS, OPERATOR, SECRET = "events-token-of-the-test", "operator-token-of-the-test", "the secret of the record's hashes"
SHIPPED = ROOT / "envoy" / "response"
COOLED = "Bartizan cool-down began"


def tool(name: str) -> str:
    path = CACHE / "response" / "usr" / "bin" / name
    if path.exists():
        return str(path)
    why = CACHE / "response" / "missing"
    pytest.skip(why.read_text().strip() if why.exists() else f"{name} is not there: make .cache/response/.ready")


def alertmanager() -> list[str]:
    """The command. Debian's Alertmanager reads its templates from `/usr/share`: without them there, it sees ours in a mount of its own."""
    path, own = tool("prometheus-alertmanager"), CACHE / "response" / "usr" / "share"
    if Path("/usr/share/prometheus/alertmanager/default.tmpl").exists():
        return [path]
    private = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f'mount --bind "{own}" /usr/share && exec "$@"', "sh"]
    try:
        done = subprocess.run([*private, "true"], capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("no unshare: Debian's Alertmanager finds no templates")
    if done.returncode:
        pytest.skip(f"no mount of its own for Alertmanager's templates: {done.stderr.strip()}")
    return [*private, path]


class Responder:
    """`envoy/response/responder.py` as users run it, with the shipped configuration but for `changed`."""

    def __init__(self, directory: list[dict] | None = None, **changed):
        self.folder, self.port = run_folder("responder"), free_port()
        document = json.loads((SHIPPED / "response.json").read_text()) | changed
        document |= {"state": str(self.folder / "bans.json"), "log": str(self.folder / "response.log")}
        if directory:
            document["directory"] = str(self.folder / "directory")
            (self.folder / "directory").write_text("".join(json.dumps(one) + "\n" for one in directory))
        self.file = self.folder / "response.json"
        self.file.write_text(json.dumps(document))
        self.start()

    def start(self) -> None:
        environment = {"RESPONSE_EVENTS_TOKEN": EVENTS, "RESPONSE_OPERATOR_TOKEN": OPERATOR, "AUDIT_HASH_KEY": SECRET}
        words = [sys.executable, str(SHIPPED / "responder.py"), "--config", str(self.file), "--port", str(self.port)]
        self.child = Child(words, log=self.folder / "out.log", env=environment)
        self.child.wait_until(lambda: "listening" in self.child.tail(), "the responder")

    def ask(self, method: str, path: str, body=None, token: str = OPERATOR) -> str:
        url = f"http://127.0.0.1:{self.port}{path}"
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(url, data, {"authorization": f"Bearer {token}"}, method=method), timeout=30) as reply:
            return reply.read().decode()

    def falco(self, record: dict) -> None:
        for rule in sorted(falco.alarms(record)):
            self.ask("POST", "/falco", falco.event(record, rule), EVENTS)

    def lines(self) -> list[dict]:
        return [json.loads(line) for line in (self.folder / "response.log").read_text().splitlines()]

    def actions(self) -> list[tuple[str, str]]:
        return [(line["event.action"], line["event.reason"]) for line in self.lines()]

    def stop(self) -> None:
        self.child.stop()


def site(upstream, keys, port: int) -> Site:
    """Strong mode; the list of the first issuer comes from the responder."""

    def change(document: dict) -> None:
        issuer = document["authn"]["issuers"][0]
        issuer["revocation"] = {"cluster": "responder", "authority": "responder", "path": f"/revoked/{issuer['name']}", "refresh": "1s",
                                "timeout": "5s", "staleFor": "1h"}  # fmt: skip
        document["roles"]["analyst"].pop("quotas")
        document["audit"] = document.get("audit", {}) | {"hashKey": {"fromEnv": "AUDIT_HASH_KEY"}}
        document["abuse"] = {"strikes": 3, "window": "1h", "cooldown": "1s", "maxCooldown": "1s", "mode": "shadow"}

    def edit(config: dict) -> None:
        envoy.with_cluster(config, "responder", port)
        envoy.environment(config, {"AUDIT_HASH_KEY": SECRET})

    return Site("strong", upstream, keys, change=change, edit=edit)


def issuer_of(made: Site) -> dict:
    return made.policy["authn"]["issuers"][0]


def until(made: Site, token: str, status: int, reason: str | None) -> dict:
    """Every worker says so."""
    fits = lambda got: (got.reply.status, got.reply.reason) == (status, reason)
    return everywhere(lambda: made.send(H1, chat(), token=token), fits, f"{status} {reason}").audit


def attack(made: Site, token: str, number: int) -> dict:
    return made.send(H1, chat(user(f"{ATTACK} I am number {number}.")), token=token).refused(400, "scan.injection").audit


def known(made: Site, *subjects: str) -> list[dict]:
    issuer = issuer_of(made)
    return [{"issuer": issuer["name"], "iss": issuer["issuer"], "tenant": "acme", "subject": subject} for subject in subjects]


def test_a_cooldown_of_falco_becomes_a_ban_that_a_person_lifts(upstream, keys):
    port = free_port()
    made = site(upstream, keys, port)
    responder = None
    try:
        responder = Responder(known(made, "mallory", "trudy"), issuers=[issuer_of(made)["name"]])
        # The proxy was told the port before there was a responder on it.
        relay(responder, port)
        mallory, trudy = made.token("mallory"), made.token("trudy")
        until(made, mallory, 200, None)
        for number in range(3):
            record = attack(made, mallory, number)
            responder.falco(record)
        assert COOLED in falco.alarms(record)
        assert until(made, mallory, 401, "jwt.revoked")["bartizan.verdict"] == "block"
        until(made, trudy, 200, None)
        assert responder.actions() == [("ban", COOLED)]
        [line] = responder.lines()
        assert line["user.hash"] == record["user.hash"] and line["bartizan.issuer"] == record["bartizan.issuer"]
        # A restart lifts nothing, and a person does.
        responder.stop()
        responder.start()
        until(made, mallory, 401, "jwt.revoked")
        [ban] = json.loads(responder.ask("GET", "/bans"))["bans"]
        assert ban["subject"] == "mallory"
        responder.ask("DELETE", f"/bans/{ban['id']}")
        until(made, mallory, 200, None)
        assert responder.actions() == [("ban", COOLED), ("lift", "operator")]
        text = (responder.folder / "response.log").read_text() + (responder.folder / "out.log").read_text() + responder.ask("GET", "/metrics")
        assert not any(name in text for name in ("mallory", "trudy", "acme", EVENTS, OPERATOR, SECRET))
    finally:
        made.proxy.stop()
        if responder:
            responder.stop()


def relay(responder: Responder, port: int) -> None:
    """Starts the responder again on this port."""
    responder.stop()
    responder.port = port
    responder.start()


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5) as reply:
            return reply.status == 200
    except OSError:
        return False


def firing(fingerprint: str) -> dict:
    alert = {"status": "firing", "labels": {"alertname": "BartizanCooldowns"}, "fingerprint": fingerprint}
    return {"version": "4", "alerts": [alert]}


def test_an_alert_bans_and_its_resolution_lifts(upstream, keys):
    """Prometheus reads Envoy's counters and the shipped alerts, Alertmanager posts them by the shipped route."""
    prometheus, command = tool("prometheus"), alertmanager()
    port = free_port()
    # Strikes beget cool-downs in shadow: they are counted, and nobody is refused by them.
    made = site(upstream, keys, port)
    running = []
    try:
        # Nobody tells the responder who the callers are: the list names them as records do.
        responder = Responder(issuers=[issuer_of(made)["name"]], falco={}, alerts={"BartizanCooldowns": 3}, lists="hashes")
        running.append(responder)
        relay(responder, port)
        mallory, trudy = made.token("mallory"), made.token("trudy")
        until(made, mallory, 200, None)
        until(made, trudy, 200, None)
        folder, am_port, prom_port = run_folder("alerts"), free_port(), free_port()
        (folder / "token").write_text(EVENTS)
        route = yaml.safe_load((SHIPPED / "alertmanager.yaml").read_text())
        [to_responder] = [one for one in route["receivers"] if one["name"] == "responder"]
        hook = to_responder["webhook_configs"][0]
        hook["url"] = hook["url"].replace("127.0.0.1:8086", f"127.0.0.1:{port}")
        hook["http_config"]["authorization"]["credentials_file"] = str(folder / "token")
        # A person waits for a group, a test does not.
        route["route"]["routes"][0] |= {"group_wait": "1s", "group_interval": "1s"}
        (folder / "alertmanager.yaml").write_text(yaml.safe_dump(route))
        alerts = yaml.safe_load((ROOT / "envoy/prometheus/alerts.yaml").read_text())
        for group in alerts["groups"]:
            group["interval"] = "1s"
            # The shipped windows are of minutes: the same alerts with windows of seconds end while a test waits.
            for rule in group["rules"]:
                rule["expr"] = rule["expr"].replace("[10m]", "[15s]").replace("offset 10m", "offset 15s")
        (folder / "alerts.yaml").write_text(yaml.safe_dump(alerts))
        (folder / "prometheus.yaml").write_text(yaml.safe_dump({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(folder / "alerts.yaml")],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{am_port}"]}]}]},
            "scrape_configs": [
                {"job_name": "proxies", "metrics_path": "/stats/prometheus", "static_configs": [{"targets": [made.proxy.admin_address]}]},
                {"job_name": "responder", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]},
            ],
        }))  # fmt: skip
        running.append(Child([*command, f"--config.file={folder}/alertmanager.yaml", f"--storage.path={folder}/am", "--cluster.listen-address=",
                              f"--web.listen-address=127.0.0.1:{am_port}"], log=folder / "alertmanager.log"))  # fmt: skip
        running.append(Child([prometheus, f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data",
                              f"--web.listen-address=127.0.0.1:{prom_port}"], log=folder / "prometheus.log"))  # fmt: skip

        def asked(query: str) -> list[float]:
            url = f"http://127.0.0.1:{prom_port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
            try:
                with urllib.request.urlopen(url, timeout=5) as reply:
                    return [float(one["value"][1]) for one in json.loads(reply.read())["data"]["result"]]
            except OSError:
                return []

        for one in running[1:]:
            one.wait_until(lambda: answers(am_port) and answers(prom_port), "Alertmanager and Prometheus")
        eventually(lambda: asked("bartizan_requests") and asked('up{job="responder"}') == [1.0], "both are scraped")
        for number in range(3):
            record = attack(made, mallory, number)
            responder.falco(record)
        assert COOLED in falco.alarms(record)
        until(made, mallory, 401, "jwt.revoked")
        until(made, trudy, 200, None)
        assert asked('ALERTS{alertname="BartizanCooldowns",alertstate="firing"}') == [1.0]
        eventually(lambda: asked("sum(bartizan_response_bans)") == [1.0], "the gauge of bans")
        eventually(lambda: responder.actions()[-1] == ("lift", "resolved"), "the alert ends, and its ban with it", 180)
        until(made, mallory, 200, None)
        assert responder.actions() == [("ban", "BartizanCooldowns"), ("lift", "resolved")]
        assert "mallory" not in (responder.folder / "response.log").read_text()
        assert not any(falco.alarms(line) for line in responder.lines())
        report = subprocess.run([CLI, "audit", "report", "--json", responder.folder / "response.log"], capture_output=True, text=True, check=False)
        counted = {row["name"]: row["count"] for row in json.loads(report.stdout)["counts"]["responses"]["top"]}
        assert counted == {"ban: BartizanCooldowns": 1, "lift: resolved": 1}
        unresolved = responder.lines()[-1] | {"event.action": "unresolved", "event.outcome": "failure"}
        assert falco.alarms(unresolved) == {"Bartizan responder could not ban"}
    finally:
        made.proxy.stop()
        for one in running:
            one.stop()
