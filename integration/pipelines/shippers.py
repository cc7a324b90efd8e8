"""rsyslog, the real one, behind Envoy's file access log: the shipped configuration, and the same tail with programs."""

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path

from harness.paths import run_folder
from harness.process import Child, Running

from .proxy import PIPELINES
from .stores import PYTHON, STORES, TOOLS, Forward, OpenSearch, Store, VictoriaLogs, missing

HERE = Path(__file__).parent
DEBIAN = TOOLS / "debian"

# Loki's labels and the fields that they are of: what the files of envoy/pipelines name, checked by a test.
LABELS = {
    "verdict": "bartizan.verdict", "reason": "bartizan.reason", "protocol": "bartizan.protocol",
    "operation": "gen_ai.operation.name",
}  # fmt: skip

# The tail of the shipped file, with a program behind it: rsyslog has no output for Loki or Fluentd.
PROGRAM = """
module(load="imfile")
module(load="omprog")
global(maxMessageSize="64k" workDirectory="@FOLDER@")
input(type="imfile" File="@LOG@" Tag="bartizan" Ruleset="bartizan")
template(name="bartizan-record" type="list") { property(name="msg") constant(value="\\n") }
ruleset(name="bartizan") {
  if $msg startswith "{" then {
    action(type="omprog" binary="@PROGRAM@" template="bartizan-record" action.resumeRetryCount="-1" output="@FOLDER@/program.log")
  }
}
"""


def shipped(log: Path, store: Store, folder: Path) -> str:
    """envoy/pipelines/rsyslog.conf with the paths and the port of a test."""
    text = (PIPELINES / "rsyslog.conf").read_text()
    for old, new in {
        "/var/log/bartizan/audit.log": str(log), "/var/spool/rsyslog": str(folder), 'serverport="9200"': f'serverport="{store.port}"',
    }.items():  # fmt: skip
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


class Rsyslog(Running):
    """rsyslogd with a configuration; stopped and started again it goes on where it was."""

    def __init__(self, log: Path, store):
        self.folder = run_folder("rsyslog")
        if isinstance(store, OpenSearch):
            text = shipped(log, store, self.folder)
        else:
            program = [str(PYTHON), str(HERE / "forward" / "sender.py"), str(store.port)]
            if isinstance(store, VictoriaLogs):
                labels = " ".join(f"{label}={field}" for label, field in LABELS.items())
                program = [str(PYTHON), str(HERE / "loki_push.py"), store.push, *labels.split()]
            else:
                assert isinstance(store, Forward)
            text = PROGRAM.replace("@PROGRAM@", shlex.join(program)).replace("@LOG@", str(log)).replace("@FOLDER@", str(self.folder))
        self.conf = self.folder / "rsyslog.conf"
        # What rsyslog says of itself, and of what it can't send, goes into a file of its own.
        self.conf.write_text(text + f'\nsyslog.* action(type="omfile" file="{self.folder}/internal.log")\n')
        self.start()

    def start(self) -> None:
        [modules] = (DEBIAN / "usr" / "lib").glob("*/rsyslog")
        env = {"LD_LIBRARY_PATH": str(modules.parent), "RSYSLOG_MODDIR": str(modules)}
        command = [str(DEBIAN / "usr" / "sbin" / "rsyslogd"), "-n", "-f", str(self.conf), "-i", str(self.folder / "pid")]
        self.child = Child(command, log=self.folder / "log", env=env)
        self.child.wait_until((self.folder / "pid").exists, "rsyslog")


def unavailable(name: str) -> str | None:
    """Why the pipeline into a store of `STORES` can't run; `None` when it can."""
    return missing("debian", *STORES[name].needs)


@contextlib.contextmanager
def pipeline(name: str, log: Path) -> Iterator[tuple[Store | Forward, Rsyslog]]:
    """A store of `STORES` and rsyslog that fills it from an audit log, on free ports. Ask it by `find(request_id)`."""
    with STORES[name]() as store, Rsyslog(log, store) as shipper:
        yield store, shipper
