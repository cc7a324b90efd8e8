"""`python -m opinions CORPORA [--write]`: recall and false alarms with and without a judge, what it is asked, what it costs.

With `--write` the tables go into the manual (`src/manual/opinions.md`); else they are only printed. Needs the module, the command line
(`bartizan eval`) and the environment of the judges (`make .cache/judges/.ready`).

Scores are those of scorers that never saw the row's source (`rules/scorer/left-out.jsonl`), and so are the stand-in's
(`linear.py`). What a judge changes is computed from the scores as the filter does it, and held against the filter on real Envoy
for rows of one fold: a row on which the two differ ends the command with 1.
"""

import argparse
import hashlib
import json
import math
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from harness import envoy
from harness.client import H1, Call, Client
from harness.envoy import Envoy
from harness.idp import free_port
from harness.paths import CACHE, CLI, ROOT, run_folder
from harness.process import Child, Running
from harness.tokens import Key, claims
from harness.upstream import Upstream

from .servers import PYTHON, Presidio, answers, missing

sys.path.insert(0, str(ROOT / "integration" / "eval"))
import report  # noqa: E402

MANUAL, BEGIN, END = ROOT / "src" / "manual" / "opinions.md", "## With and without a judge", "Written by `make opinion-table`."
LINEAR = Path(__file__).with_name("linear.py")
BANDS = [(20, 90), (20, 100), (50, 100), (0, 100)]
ATTACKS, HARMLESS, SALT = 150, 250, "1"
# Types whose form alone tells them; the others are told by the words around them, for which Presidio needs a language model.
WORDS = {"PERSON", "STREET_ADDRESS", "GPE", "ORGANIZATION", "DATE_TIME", "AGE", "NRP", "TITLE"}


def share_of(number: float, of: float) -> str:
    return f"{100 * number / of:.1f}" if of else "-"


def rounded(value: float) -> int:
    """As Rust rounds."""
    return math.floor(value + 0.5)


# What a judge changes.


def is_scorers(row: dict) -> bool:
    """No rule found an attack: what there is the scorer alone says."""
    return all(rule.startswith(("SE-", "PD-")) for rule in row["rules"]) and not row["unscanned"]


def asked(row: dict, band: tuple[int, int]) -> bool:
    """Whether a judge of this band is asked: what is refused anyway, by a rule or for another reason, asks nobody."""
    if not band[0] <= row["score"] <= band[1]:
        return False
    return row["reason"] is None or (row["reason"] == "scan.injection" and is_scorers(row) and row["score"] > 0)


def refused(row: dict, band: tuple[int, int], judge: int) -> bool:
    """Whether the row is refused or changed with a judge that gives it this score."""
    if not asked(row, band) or judge == row["scorerScore"]:
        return row["blocked"]
    rules, said = row["rulesScore"] / 100, judge / 100
    if judge > row["scorerScore"]:
        agree = 0.5 if rules > 0 and said >= 0.5 else 1
        return row["blocked"] or (said >= 0.5 and rounded(100 * (1 - (1 - rules) * (1 - said) * agree)) >= row["threshold"])
    if is_scorers(row) and row["score"] > 0:
        return judge >= row["threshold"] or row["changed"] == "mask"
    return row["blocked"]


# The stand-in.


def trained(corpora: Path) -> Path:
    """The folder of the stand-in's models, trained once for these files and this program."""
    mark = hashlib.sha256(LINEAR.read_bytes())
    for path in sorted(corpora.glob("*.jsonl")):
        mark.update(f"{path.name} {path.stat().st_size}".encode())
    folder = CACHE / "opinions" / mark.hexdigest()[:16]
    if not (folder / "fold-0.pickle").exists():
        subprocess.run([str(PYTHON), str(LINEAR), "train", str(corpora), str(folder)], check=True)
    return folder


class Linear(Running):
    """One fold's model, served."""

    def __init__(self, folder: Path, fold: int):
        self.port = free_port()
        self.child = Child([str(PYTHON), str(LINEAR), "serve", str(folder), str(fold), str(self.port)], log=run_folder("linear") / "linear.log")
        self.child.wait_until(lambda: answers(f"http://127.0.0.1:{self.port}"), "the classifier", 120)


def recall_table(corpora: Path, scores: dict) -> tuple[list[str], str]:
    """The table, and where the attacks stand that the scanner misses."""
    paths = [str(path) for path in sorted(corpora.glob("*.jsonl")) if not path.name.startswith("pii.")]
    _, rows = report.evaluate(str(CLI), paths, "--learned", str(ROOT / "rules" / "scorer" / "left-out.jsonl"))
    files = report.by_file(rows)
    wanted = [(name, measure, names) for name, measure, names in report.groups(files)
              if name in ("direct attacks, macro", "indirect, macro", "false positives, ordinary", "false positives, hard")]
    counted = {n for name, _, names in report.groups(files) if not name.endswith("re-encoded") for n in names}
    parts = {label: [row for row in rows if row["file"] in counted and row["label"] == label] for label in ("benign", "attack")}
    linear = lambda row: scores.get((row["file"], row["id"]), {}).get("score", row["scorerScore"])
    judges = {"perfect": lambda row: 100 if row["label"] == "attack" else 0, "linear": linear}
    out = ["| judge | `scoreBetween` | harmless texts asked | attacks asked | direct attacks | indirect | false alarms, ordinary | hard |",
           "|---|---|--:|--:|--:|--:|--:|--:|"]
    cells = [measure(files, names, lambda row: row["blocked"]) for _, measure, names in wanted]
    out.append("| none | | 0 | 0 | " + " | ".join(cells) + " |")
    for name, judge in judges.items():
        for band in BANDS:
            told = [share_of(sum(asked(row, band) for row in part), len(part)) for part in parts.values()]
            cells = [measure(files, names, lambda row: refused(row, band, judge(row))) for _, measure, names in wanted]
            out.append(f"| {name} | {band[0]} to {band[1]} | " + " | ".join([*told, *cells]) + " |")
    missed = [row["score"] for row in parts["attack"] if not row["blocked"]]
    low = sum(score < BANDS[0][0] for score in missed)
    return out, f"Of {len(missed)} attacks that the scanner misses, {low} ({share_of(low, len(missed))} %) score below {BANDS[0][0]}"


# On real Envoy.


class Proxy(Running):
    """One proxy with the shipped guard, with or without a judge. Requests go one after the other over one connection."""

    def __init__(self, upstream: Upstream, key: Key, port: int | None = None, change=None, **opinion):
        config = envoy.with_upstream(envoy.load(envoy.STRONG), upstream.port)
        document = envoy.with_keys(envoy.policy(config), [key.jwk])
        document["roles"]["analyst"].pop("quotas", None)
        document["roles"]["analyst"].pop("maxOutputTokens", None)
        if port:
            document["opinions"] = {"judge": {"cluster": "judge", "timeout": "20s", "onUnavailable": "deny", "raw": True, "maxBytes": 1 << 20, **opinion}}
            document["guards"]["standard"]["opinions"] = ["judge"]
        if change:
            change(document)
        config = envoy.with_policy(config, document)
        if port:
            envoy.with_cluster(config, "judge", port)
        self.upstream, self.token = upstream, key.sign(claims("alice", ["analyst"], lifetime=7200))
        self.envoy = Envoy(config, "opinions", workers=1)
        self.client, self.number = Client(self.envoy.port, H1), 0

    def send(self, text: str, label: str):
        self.number += 1
        case = f"{label}-{self.number}"
        body = json.dumps({"model": "smollm2", "messages": [{"role": "user", "content": text}]}).encode()
        headers = [("content-type", "application/json"), ("authorization", f"Bearer {self.token}"), ("x-case", case)]
        begun = time.monotonic()
        reply = self.client.call(Call(headers=headers, body=body))
        return case, reply, 1000 * (time.monotonic() - begun)

    def opinions(self, case: str) -> list[dict]:
        return (self.envoy.entry(case).audit or {}).get("bartizan.opinions", [])

    def stop(self) -> None:
        self.client.close()
        self.envoy.stop()


def quantiles(millis: list[float]) -> str:
    ordered = sorted(millis)
    return " / ".join(f"{ordered[min(len(ordered) - 1, int(part * len(ordered)))]:.1f}" for part in (0.5, 0.95)) if ordered else "-"


def sample(corpora: Path, scores: dict) -> tuple[int, list[dict]]:
    """Rows of users in the fold that has most of their attacks: a hash picks them."""
    rows, attacks_of = [], Counter()
    for path in sorted(corpora.glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            row = json.loads(line) | {"file": path.stem}
            fold = scores.get((row["file"], row["id"]), {}).get("fold")
            if fold is not None and row.get("zone", "user") == "user" and len(row["text"]) < 20_000:
                rows.append(row | {"fold": fold})
                attacks_of[fold] += row["label"] == "attack"
    fold = max(sorted(attacks_of), key=attacks_of.__getitem__)
    rows = [row for row in rows if row["fold"] == fold]
    rows.sort(key=lambda row: hashlib.sha256(f"{SALT}:{row['file']}:{row['id']}".encode()).digest())
    attacks, harmless = ([row for row in rows if row["label"] == label] for label in ("attack", "benign"))
    return fold, attacks[:ATTACKS] + harmless[:HARMLESS]


def shipped_scores(rows: list[dict]) -> list[dict]:
    """What the shipped scanner says of these rows, in their order."""
    path = run_folder("sample") / "sample.jsonl"
    path.write_text("".join(json.dumps({"id": str(at), "text": row["text"], "label": row["label"]}) + "\n" for at, row in enumerate(rows)))
    return report.evaluate(str(CLI), [str(path)])[1]


def envoy_table(corpora: Path, folder: Path, scores: dict, upstream: Upstream, key: Key) -> tuple[list[str], str, int]:
    """What was asked and what it took, what was sent, and on how many rows the filter differs from `refused`."""
    fold, rows = sample(corpora, scores)
    judged, attacks = shipped_scores(rows), sum(row["label"] == "attack" for row in rows)
    out = ["| judge | `scoreBetween` | texts asked, computed / seen | refused, computed / seen | added where asked, p50 / p95 ms | where not asked |",
           "|---|---|--:|--:|--:|--:|"]
    differ = 0
    with Linear(folder, fold) as linear, Proxy(upstream, key) as plain:
        for band in BANDS:
            opinion = {"kind": "classifier", "format": "kserveV1", "path": "/v1/models/linear:predict", "when": {"scoreBetween": list(band)}}
            with Proxy(upstream, key, linear.port, **opinion) as proxy:
                added, told, ended = {True: [], False: []}, Counter(), Counter()
                for row, own in zip(rows, judged):
                    judge = scores[row["file"], row["id"]]["score"]
                    _, _, alone = plain.send(row["text"], "plain")
                    case, reply, millis = proxy.send(row["text"], "judged")
                    is_asked, is_refused = bool(proxy.opinions(case)), reply.status != 200
                    expected = asked(own, band), refused(own | {"blocked": own["reason"] is not None}, band, judge)
                    added[is_asked].append(millis - alone)
                    told.update(computed=expected[0], seen=is_asked)
                    ended.update(computed=expected[1], seen=is_refused)
                    if (is_asked, is_refused) != expected:
                        differ += 1
                        print(f"differs: {row['file']} {row['id']} {band}: asked {is_asked}, refused {is_refused}, computed {expected}, {own}, judge {judge}",
                              file=sys.stderr)
                out.append(f"| linear | {band[0]} to {band[1]} | {told['computed']} / {told['seen']} of {len(rows)} | {ended['computed']} / {ended['seen']} "
                           f"| {quantiles(added[True])} | {quantiles(added[False])} |")
    return out, f"{attacks} attacks and {len(rows) - attacks} harmless texts", differ


def pii_table(corpora: Path, upstream: Upstream, key: Key) -> list[str]:
    """What of personal data still reaches the model, with and without Presidio."""
    def mask(document: dict) -> None:
        document["guards"]["standard"]["pii"] = {"action": "mask"}

    out = ["| | spans found: with a form of their own | told by the words around them | clean texts changed | added, p50 / p95 ms |", "|---|--:|--:|--:|--:|"]
    rows = [json.loads(line) for name in ("presidio_recognizer_tests", "presidio_synth_v2") for line in (corpora / f"pii.{name}.jsonl").read_bytes().splitlines()]
    times: dict[bool, list[float]] = {}
    with Presidio() as presidio:
        for has_judge in (False, True):
            with Proxy(upstream, key, presidio.port if has_judge else None, mask, **({"kind": "presidio", "raw": True} if has_judge else {})) as proxy:
                found, of, changed, clean, millis = Counter(), Counter(), 0, 0, []
                for row in rows:
                    case, reply, took = proxy.send(row["text"], "pii")
                    millis.append(took)
                    [seen] = upstream.seen(case) or [None]
                    content = seen.json()["messages"][-1]["content"] if seen else None
                    if row["label"] == "clean":
                        clean, changed = clean + 1, changed + (content != row["text"])
                    for span in row.get("spans", []):
                        kind = "words" if span["type"] in WORDS else "form"
                        of[kind] += 1
                        # A request that is refused carries nothing on.
                        found[kind] += content is None or row["text"][span["start"] : span["end"]] not in content
                upstream.forget()
                times[has_judge] = millis
                what = "with Presidio's patterns" if has_judge else "the guard by itself"
                extra = quantiles([b - a for a, b in zip(times[False], millis)]) if has_judge else ""
                cells = [f"{found[kind]} of {of[kind]}: {report.share(found[kind], of[kind])}" for kind in ("form", "words")]
                out.append(f"| {what} | {cells[0]} | {cells[1]} | {report.share(changed, clean)} | {extra} |")
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if reason := missing():
        sys.exit(reason)
    corpora = options.corpora.resolve()
    if not list(corpora.glob("*.jsonl")):
        sys.exit(f"no data at {corpora}")
    folder, key = trained(corpora), Key("ES256", "ec")
    scores = {(row["file"], row["id"]): row for row in map(json.loads, (folder / "scores.jsonl").read_text().splitlines())}
    with Upstream() as upstream:
        measured, sent, differ = envoy_table(corpora, folder, scores, upstream, key)
        upstream.forget()
        personal = pii_table(corpora, upstream, key)
    recall, missed = recall_table(corpora, scores)
    text = "\n".join(PROSE.format(recall="\n".join(recall), missed=missed, measured="\n".join(measured), personal="\n".join(personal),
                                  date=time.strftime("%-d %B %Y"), sent=sent, cores=os.cpu_count(), end=END).splitlines()) + "\n"  # fmt: skip
    print(text)
    if options.write and not differ:
        page = MANUAL.read_text()
        start = page.find(BEGIN)
        if start >= 0:
            page = page[:start] + page[page.index(END, start) + len(END) :].lstrip("\n")
        MANUAL.write_text(page.rstrip("\n") + "\n\n" + text)
    print(f"rows on which the filter differs: {differ}")
    return 1 if differ else 0


PROSE = """## With and without a judge

No classifier of injections can be had from a package index, so these tables bound what one may bring. {date}, shipped guard, per cent
with 95 % intervals, from labelled texts outside of the repository (`rules/EVALUATION.md` says how groups are made).

- **perfect** knows the labels. It shows which attacks are ever shown to a judge, and which false alarms it may let go. No judge is
  better.
- **linear** is a stand-in: logistic regression over hashed words and pairs of words, for each source trained without it. Its score
  of 90 is the probability that 0.5 % of the other sources' harmless texts reach.

The scanner's scores are also those of models that never saw the source. Asked: the share of texts within the band, less those that are
refused anyway. What a judge changes is computed, with `text: all`.

{recall}

{missed}.
A judge of that band is never shown them. A band that ends at the guard's threshold lets a judge add
refusals and take back almost none. A band up to 100 lets it take back what the scorer alone found: that is for a judge that is
better than the scorer: compare `linear` at 20 to 100 with none.

{sent} of one eighth of the sources were sent through Envoy as a user's, each without a judge and then with it,
one at a time. The stand-in is served as KServe's V1 protocol has it, by Python on the same machine ({cores} cores, with other work
beside it). A judge of a language model's size takes longer. The scores here are the shipped scanner's, which was trained on these
sources. Computed is what the table above computes; the command fails where a single row differs.

{measured}

Presidio, with its pattern recognisers and without a language model, on texts with personal data, `pii: {{action: mask}}`. The texts
are Presidio's own: tests of its recognisers, which flatters it, and its synthetic data set.

{personal}

{end}"""


if __name__ == "__main__":
    sys.exit(main())
