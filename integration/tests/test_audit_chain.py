"""The chain of records on real Envoy: workers, a VM that dies, a new policy, a stop; and what is taken away afterwards is missed."""

import json
import subprocess

import pytest

from conftest import Site, chat
from harness import envoy
from harness.client import H1
from harness.paths import CLI, run_folder
from harness.sink import Sink
from harness.wait import eventually
from tests.test_traps import kill, little_memory


def bartizan(*arguments) -> tuple[int, dict]:
    done = subprocess.run([str(CLI), "audit", *map(str, arguments)], capture_output=True, text=True)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture
def sink():
    with Sink() as server:
        yield server


@pytest.fixture
def chained(upstream, keys, sink):
    """A proxy of two workers whose records are chained; its module has little memory."""
    folder = run_folder("chain")
    _, made = bartizan("keygen", "--json", folder / "key")
    private = (folder / "key").read_text().strip()

    def change(document: dict) -> None:
        where = {"cluster": "sink", "authority": "audit.example", "path": "/checkpoints"}
        document["audit"] = {**document.get("audit", {}), "chain": {
            "key": {"fromEnv": "CHAIN_KEY"}, "every": 5, "interval": "1s", "sink": where}}  # fmt: skip

    def edit(config: dict) -> None:
        envoy.with_cluster(config, "sink", sink.port)
        little_memory(config)
        variables = dict(envoy.wasm(config)["vm_config"].get("environment_variables", {}).get("key_values", {}))
        envoy.environment(config, {**variables, "CHAIN_KEY": private})

    site = Site("strong", upstream, keys, change=change, edit=edit)
    site.public = made["publicKey"]
    yield site
    site.proxy.stop()


def verify(site: Site, folder, sink: Sink | None, access: str) -> tuple[int, dict]:
    (folder / "access.log").write_text(access)
    files = [folder / "access.log"]
    if sink:
        (folder / "sink.log").write_bytes(b"".join(sink.bodies))
        files.append(folder / "sink.log")
    return bartizan("verify", "--json", "--key", site.public, *files)


def test_what_two_workers_write_is_verified_and_what_is_taken_away_is_missed(chained, sink):
    folder = run_folder("chain-files")
    for _ in range(24):
        chained.send(H1, chat()).passed()
    killer = kill(chained)
    assert killer.reply.status == 503
    eventually(lambda: chained.send(H1, chat()) and sum(chained.proxy.stats("vm_reload_success").values()), "a fresh VM")
    last = [chained.send(H1, chat()) for _ in range(12)][-1]
    assert last.audit
    # While the sink is away nothing is lost: the next checkpoint tells what the last one told.
    sink.status = 503
    chained.send(H1, chat()).passed()
    eventually(lambda: chained.proxy.stats("checkpoints.outcome.failed"), "a checkpoint that was not taken")
    sink.status = 204

    def all_told() -> bool:
        code, report = verify(chained, folder, sink, chained.proxy.access_log.read_text())
        assert code == 0, report
        return all(chain["open"] == 0 for chain in report["chains"])

    eventually(all_told, "checkpoints tell of every record")
    lines = chained.proxy.access_log.read_text().splitlines(keepends=True)
    code, report = verify(chained, folder, sink, "".join(lines))
    # The VM that died and the one after it are two chains of one proxy; the request in it has a provisional record.
    assert (report["proxies"], report["findings"]) == (1, []) and len(report["chains"]) >= 2, report
    assert "1 provisional record" in json.dumps(report["unknown"]), report["unknown"]
    # The proxy's own log has the same records and checkpoints.
    (folder / "envoy.log").write_text(chained.proxy.log())
    code, report = bartizan("verify", "--json", "--key", chained.public, folder / "envoy.log")
    assert code == 0 and report["checkpoints"] > 0, report

    records = [at for at, line in enumerate(lines) if '"bartizan.chain.digest"' in line]
    for taken, kind in ((records[-1], "truncated"), (records[3], "missing")):
        code, report = verify(chained, folder, sink, "".join(lines[:taken] + lines[taken + 1 :]))
        assert code == 1 and kind in {finding["kind"] for finding in report["findings"]}, report
    changed = lines[records[4]].replace('"bartizan.verdict":"allow"', '"bartizan.verdict":"block"')
    code, report = verify(chained, folder, sink, "".join(lines[: records[4]] + [changed] + lines[records[4] + 1 :]))
    found = {(finding["kind"], finding["line"]) for finding in report["findings"]}
    # A record that is signed is named for its signature too.
    assert ("edited", records[4] + 1) in found and {line for _, line in found} == {records[4] + 1}, report
    assert not any(b"alice" in body or b"scripted" in body for body in sink.bodies)


def test_the_last_checkpoint_comes_with_the_end(chained, sink):
    """A proxy that is stopped tells its log how far its chains have come."""
    for _ in range(3):
        chained.send(H1, chat()).passed()
    chained.proxy.stop()
    told = [line for line in chained.proxy.log().splitlines() if '"bartizan.checkpoint"' in line]
    folder = run_folder("chain-end")
    (folder / "access.log").write_text(chained.proxy.access_log.read_text())
    (folder / "envoy.log").write_text("\n".join(line[line.index("{") :] for line in told) + "\n")
    code, report = bartizan("verify", "--json", "--key", chained.public, folder / "access.log", folder / "envoy.log")
    assert code == 0, report
    assert sum(chain["open"] for chain in report["chains"]) == 0, report
