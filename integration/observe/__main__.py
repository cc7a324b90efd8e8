"""`make observe`: a mixed minute through real Envoy, and everything that is made of it, as a table.

    KEEP=1 make observe     leaves Envoy and Prometheus running and prints where they are

Windows of the shipped alerts are sixty times shorter here, a second for a minute. Exits with 1 when a row is not as expected.
"""

import base64
import json
import os
import random
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import yaml

from conftest import ATTACK, Site, chat, user
from dashboards.boards import BOARDS, asked
from harness import envoy
from harness.client import H1, Call, Client
from harness.idp import free_port
from harness.paths import CLI, ROOT, run_folder
from harness.process import Child
from harness.sink import Sink
from harness.tokens import Key
from harness.upstream import Upstream
from harness.wait import eventually
from mesh.parts import Missing, tool
from pipelines import shippers
from pipelines.stores import STORES

MINUTE = float(os.environ.get("SECONDS_OF_TRAFFIC") or 60)
MARK = "zanzibar-quokka-7731"
SECRET = "AKIAIOSFODNN7EXAMPLQ"
BOLD, GREEN, RED, PLAIN = ("\033[1m", "\033[32m", "\033[31m", "\033[0m") if sys.stdout.isatty() else ("",) * 4


class Table:
    """Rows of what was looked at; `bad` counts those that are not as expected."""

    bad = 0

    def row(self, what: str, is_good: bool | None, said: str) -> None:
        word = "skipped" if is_good is None else "good" if is_good else "BAD"
        colour = GREEN if is_good else RED if is_good is False else ""
        self.bad += is_good is False
        print(f"{what:<34} {colour}{word:<8}{PLAIN} {said}", flush=True)


def bartizan(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run([str(CLI), *map(str, arguments)], capture_output=True, text=True)


def in_seconds(text: str) -> str:
    """Durations of rules, a second for a minute, an hour becomes a minute; no less than four readings."""
    shorter = {"m": "s", "h": "m", "d": "h"}
    least = {"m": 4, "h": 1, "d": 1}
    return re.sub(r"(?<![\w.])(\d+)([mhd])(?![\w])", lambda found: f"{max(int(found[1]), least[found[2]])}{shorter[found[2]]}", text)


class Prometheus:
    """A real Prometheus with the shipped rules, which reads one proxy each second."""

    def __init__(self, target: str):
        self.folder, self.port = run_folder("observe-prometheus"), free_port()
        files = []
        for file in sorted((ROOT / "envoy/prometheus").glob("*.yaml")):
            document = yaml.safe_load(file.read_text())
            if isinstance(document, dict) and "groups" in document:
                (self.folder / file.name).write_text(in_seconds(yaml.safe_dump(document, width=10_000)))
                files.append(file.name)
        job = {"job_name": "proxies", "metrics_path": "/stats/prometheus", "static_configs": [{"targets": [target]}]}
        config = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": files, "scrape_configs": [job]}
        (self.folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        words = [f"--config.file={self.folder}/prometheus.yaml", f"--storage.tsdb.path={self.folder}/data",
                 f"--web.listen-address=127.0.0.1:{self.port}"]  # fmt: skip
        self.child = Child([tool("prometheus"), *words], log=self.folder / "prometheus.log")
        self.child.wait_until(lambda: self.ask("query", query="vector(1)") is not None, "Prometheus")

    def ask(self, what: str, **fields):
        url = f"http://127.0.0.1:{self.port}/api/v1/{what}?{urllib.parse.urlencode(fields)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as reply:
                return json.loads(reply.read())["data"]
        except OSError:
            return None

    def firing(self) -> set[str]:
        alerts = (self.ask("alerts") or {}).get("alerts", [])
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def stop(self) -> None:
        self.child.stop()


def traffic(site: Site, seconds: float) -> list[str]:
    """Requests of many kinds for so long; gives the ids of refused attacks."""
    draw, ids = random.Random(7), []
    end = time.monotonic() + seconds
    callers = [site.token(f"person-{at}") for at in range(12)]
    picture = {"role": "user", "content": [{"type": "text", "text": "What is this?"},
               {"type": "image_url", "image_url": {"url": "https://pictures.example/a.png"}}]}  # fmt: skip
    kinds = [
        (40, lambda: chat(user(f"What is a bartizan? {MARK} {draw.random()}"))),
        (15, lambda: chat(user("Tell me about castles."), stream=True)),
        (10, lambda: chat(user(f"{ATTACK} {MARK} {draw.random()}"))),
        (6, lambda: chat(user(f"My mail is jane.{MARK}@example.com, answer me there."))),
        (6, lambda: chat(user(f"please keep {SECRET} for me"))),
        (6, lambda: chat(model="another-model")),
        (5, lambda: chat(picture)),
        (12, None),
    ]
    with Client(site.proxy.port, H1) as client:
        while time.monotonic() < end:
            make = draw.choices([make for _, make in kinds], [weight for weight, _ in kinds])[0]
            headers = [("content-type", "application/json")]
            if make:
                headers.append(("authorization", f"Bearer {draw.choice(callers)}"))
            reply = client.call(Call(headers=headers, body=json.dumps(make() if make else chat()).encode()))
            if reply.reason == "scan.injection":
                ids.append(reply.header("x-request-id"))
            time.sleep(0.02)
    return [one for one in ids if one]


def tampered(lines: list[str], draw: random.Random) -> tuple[str, list[str], bool]:
    """One way to tamper with a log: its name, the lines, and whether it can be found."""
    chained = [at for at, line in enumerate(lines) if '"bartizan.chain.digest"' in line]
    at, other = draw.choice(chained), draw.choice(chained)
    out = list(lines)
    kind = draw.choice(["edit", "delete", "repeat", "truncate", "move", "unchain", "cut a line", "provisional"])
    if kind == "edit":
        digits = [place for place, letter in enumerate(out[at]) if letter.isdigit() and place > out[at].index("{")]
        place = draw.choice(digits)
        out[at] = out[at][:place] + str((int(out[at][place]) + 1) % 10) + out[at][place + 1 :]
    elif kind == "delete":
        del out[at]
    elif kind == "repeat":
        out.insert(other, out[at])
    elif kind == "truncate":
        out = out[: chained[-draw.randint(1, 20)]]
    elif kind == "move":
        line = out.pop(at)
        worker = json.loads(line[line.index("{") :])["bartizan.worker"]
        same = [place for place, one in enumerate(out) if f'"{worker}"' in one]
        to = draw.choice([place for place in same if abs(place - at) > 1] or same)
        out.insert(to if to < at else to + 1, line)
    elif kind == "unchain":
        out.insert(at, re.sub(r',"bartizan\.chain\..*\}', "}", out[at]))
    elif kind == "cut a line":
        out[at] = out[at][: len(out[at]) // 2] + "\n"
    else:
        out.insert(at, 'x {"@timestamp":"2027-01-01T00:00:00.000Z","event.dataset":"bartizan.audit","bartizan.verdict":"incomplete",'
                       '"bartizan.worker":"","bartizan.sequence":0}\n')  # fmt: skip
    return kind, out, kind != "provisional" and out != lines


def check_chain(table: Table, site: Site, sink: Sink, public: str, folder: Path, times: int = 200) -> None:
    def verify(lines: list[str]) -> tuple[int, dict]:
        (folder / "access.log").write_text("".join(lines))
        (folder / "sink.log").write_bytes(b"".join(sink.bodies))
        done = bartizan("audit", "verify", "--json", "--key", public, folder / "access.log", folder / "sink.log")
        return done.returncode, json.loads(done.stdout)

    def is_told() -> bool:
        code, report = verify(site.proxy.access_log.read_text().splitlines(keepends=True))
        return code == 0 and all(chain["open"] == 0 for chain in report["chains"])

    eventually(is_told, "checkpoints tell of every record", seconds=30)
    lines = site.proxy.access_log.read_text().splitlines(keepends=True)
    code, report = verify(lines)
    table.row("audit chain", code == 0, f"{report['records']} records, {len(report['chains'])} chains, {report['checkpoints']} checkpoints")
    draw, missed, listed = random.Random(11), [], 0
    for case in range(times):
        kind, changed, can_be_found = tampered(lines, draw)
        code, report = verify(changed)
        if code != 0:
            continue
        if can_be_found:
            missed.append(f"{case} {kind}")
        else:
            listed += 1
    table.row("tampering with it", not missed, f"{times - listed - len(missed)} of {times} found, {listed} on the list of what can't be; missed: {missed or 'none'}")


def check_marks(table: Table, site: Site, sink: Sink, texts: dict[str, str]) -> None:
    token = site.token("person-0")
    found = []
    for name, text in texts.items():
        for mark in (MARK, SECRET, ATTACK, token, token.split(".")[1], "person-0", "jane."):
            spelt = {mark, base64.b64encode(mark.encode()).decode().rstrip("="), mark.encode().hex()}
            found += [f"{mark[:16]} in {name}" for one in spelt if one.lower() in text.lower()]
    size = sum(len(text) for text in texts.values())
    table.row("no text, token, key, person", not found, f"{size:,} bytes of {', '.join(texts)}: {found or 'nothing, also not in base64 or hex'}")


def main() -> int:
    table, folder = Table(), run_folder("observe")
    made = json.loads(bartizan("audit", "keygen", "--json", folder / "key").stdout)
    keys = {key.algorithm: key for key in (Key("RS256", "rsa"), Key("ES256", "ec"), Key("EdDSA", "ed"))}

    def change(document: dict) -> None:
        document["audit"] = {**document.get("audit", {}), "chain": {"key": {"fromEnv": "CHAIN_KEY"}, "every": 20, "interval": "1s",
            "sink": {"cluster": "sink", "authority": "audit.example", "path": "/checkpoints"}}}  # fmt: skip
        document["abuse"] = {"strikes": 5, "window": "1m", "cooldown": "2s", "maxCooldown": "4s"}
        for guard in document["guards"].values():
            guard["pii"] = {"action": "mask"}

    print(f"{BOLD}{'what':<34} {'':<8} seen{PLAIN}")
    with Sink() as sink, Upstream() as upstream:

        def edit(config: dict) -> None:
            envoy.with_cluster(config, "sink", sink.port)
            envoy.environment(config, {"CHAIN_KEY": (folder / "key").read_text().strip()})

        site = Site("strong", upstream, keys, change=change, edit=edit)
        prometheus = None
        try:
            try:
                prometheus = Prometheus(site.proxy.admin_address)
            except Missing as missing:
                table.row("Prometheus", None, str(missing))
            ids = traffic(site, MINUTE)
            counts = site.proxy.stats("bartizan.requests")
            table.row("a mixed minute", sum(counts.values()) > 100 and len(ids) > 3, f"{sum(counts.values())} requests, {len(ids)} attacks refused")
            if prometheus:
                check_panels(table, prometheus)
                check_alerts(table, prometheus)
            check_chain(table, site, sink, made["publicKey"], folder)
            pages = check_report(table, site, folder, ids)
            check_stores(table, site, ids)
            check_marks(table, site, sink, {
                "the access log": site.proxy.access_log.read_text(), "Envoy's log": site.proxy.log(),
                "the checkpoints": b"".join(sink.bodies).decode(), "the metrics": "\n".join(site.proxy.prometheus()), **pages,
            })  # fmt: skip
            if os.environ.get("KEEP"):
                print(f"Envoy http://127.0.0.1:{site.proxy.port}, admin {site.proxy.admin_address}"
                      + (f", Prometheus http://127.0.0.1:{prometheus.port}" if prometheus else ""))  # fmt: skip
                input("Enter ends it. ")
        finally:
            site.proxy.stop()
            if prometheus:
                prometheus.stop()
    return 1 if table.bad else 0


def check_panels(table: Table, prometheus: Prometheus) -> None:
    answers = asked(prometheus)
    wrong = [f"{panel.title}: {query}" for _, panel, query, answered, _ in answers if not answered]
    empty = sorted({panel.title for _, panel, _, _, series in answers if panel.expects and not series})
    filled = sum(series > 0 for *_, series in answers)
    table.row("dashboards", not wrong and not empty, f"{len(answers)} queries of {len(BOARDS)} dashboards answered, {filled} with data; wrong: {wrong or 'none'}; empty: {empty or 'none'}")


def check_alerts(table: Table, prometheus: Prometheus) -> None:
    expected = {"BartizanCooldowns", "BartizanNotScanned"}
    seen: set[str] = set()

    def fired() -> bool:
        over_time = prometheus.ask("query", query='count_over_time(ALERTS{alertstate="firing"}[10m])')
        seen.update(one["metric"]["alertname"] for one in (over_time or {}).get("result", []))
        return expected <= seen

    try:
        eventually(fired, "alerts fire", seconds=30)
    except AssertionError:
        pass
    table.row("alerts fire", expected <= seen, ", ".join(sorted(seen)) or "none")
    left: set[str] = set(seen)

    def cleared() -> bool:
        left.intersection_update(prometheus.firing())
        return not left

    try:
        eventually(cleared, "alerts clear", seconds=100)
    except AssertionError:
        pass
    table.row("and clear", not left, f"still firing: {', '.join(sorted(left))}" if left else "none is left without traffic")
    bad = [rule["name"] for group in (prometheus.ask("rules") or {}).get("groups", []) for rule in group["rules"] if rule["health"] != "ok"]
    table.row("rules are evaluated", not bad, f"failing: {bad or 'none'}")


def check_report(table: Table, site: Site, folder: Path, ids: list[str]) -> dict[str, str]:
    log = site.proxy.access_log
    done = bartizan("explain", "--record", log, "--id", ids[-1])
    explained = done.stdout
    table.row("a refusal is explained", done.returncode == 0 and "refused: scan.injection" in done.stdout, done.stdout.splitlines()[0] if done.stdout else done.stderr)
    page = folder / "report.html"
    done = bartizan("audit", "report", log, "--html", page)
    if "unrecognized subcommand" in done.stderr:
        table.row("audit report", False, done.stderr.strip())
        return {"the explanation": explained}
    text = page.read_text() if page.exists() else ""
    numbers = bartizan("audit", "report", log, "--json")
    told = json.loads(numbers.stdout) if numbers.stdout else {}
    table.row("audit report", done.returncode == 0 and text.rstrip().endswith("</html>"), f"{len(text):,} bytes of HTML, {len(told)} sections of JSON")
    return {"the explanation": explained, "the report": text, "the report's JSON": numbers.stdout}


def check_stores(table: Table, site: Site, ids: list[str]) -> None:
    """rsyslog reads the access log from its beginning; each store then finds the last refused attack by its id, once."""
    for name in STORES:
        if why := shippers.unavailable(name):
            table.row(f"found in {name}", None, f"{why}: make pipeline-tools")
            continue
        log = run_folder(f"observe-{name}") / "audit.log"
        # One record a line, as the shipped access log for shippers writes it.
        lines = [line[line.index("{") :] for line in site.proxy.access_log.read_text().splitlines() if "{" in line]
        log.write_text("\n".join(lines) + "\n")
        with shippers.pipeline(name, log) as (store, _):
            try:
                found = eventually(lambda store=store: store.find(ids[-1]), "the record is in the store", seconds=60)
            except AssertionError:
                found = []
            marks = [mark for mark in (MARK, SECRET) if mark.encode() in store.everything()]
        table.row(f"found in {name}", len(found) == 1 and not marks, f"{len(found)} record of request {ids[-1]}")


if __name__ == "__main__":
    sys.exit(main())
