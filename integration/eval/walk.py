"""How often harmless text of this machine is refused or changed: documentation, code, package metadata, logs, manual
pages, the prompts that packages ship, and their templates for retrieval filled with real READMEs.

    python3 integration/eval/walk.py --bartizan target/release/bartizan --rows blocked.jsonl FOLDER...

Folders are walked in order of names, and chunks are drawn with one seed: the same folders give the same figures. Each chunk
is judged as user text and as tool text, each prompt also as a system prompt. `--rows` gets what was blocked. Needs no
package.
"""

import argparse
import ast
import collections
import gzip
import json
import os
import random
import re
import subprocess
import sys
import tempfile

from report import share

CHUNKS = 2_000
PROMPTS = 1_500
FILLED = 1_000
FILE_BYTES = 400_000
CHUNK_CHARS = (200, 400, 800, 1600, 3200)
CODE = {".py", ".rs", ".js", ".mjs", ".ts", ".c", ".h", ".hpp", ".cpp", ".go", ".java", ".sh", ".pl", ".rb", ".html", ".css"}
DOCUMENTATION = {".md", ".rst", ".adoc"}
METADATA = {".toml", ".json", ".yaml", ".yml", ".cfg", ".ini", ".xml", ".list", ".control"}
NAMES = {"METADATA", "PKG-INFO", "copyright", "control", "status", "available", "RECORD"}
PLACEHOLDER = re.compile(r"(?<!\{)\{\{? ?([a-zA-Z_][a-zA-Z0-9_ .|-]{0,40}) ?\}?\}(?!\})")
CONTEXT = re.compile(r"context|document|passage|source|text|content|info|knowledge|excerpt|chunk")
QUESTION = re.compile(r"quer|question|input|task|request|topic|claim")
QUESTIONS = ("How do I install it?", "Which licence does it have?", "What changed in the last version?", "Summarise the limits.")


def kind_of(path):
    """The kind of a file by its name; `None`: none that is walked."""
    name, (stem, extension) = os.path.basename(path), os.path.splitext(path)
    if "/man/" in path and extension == ".gz":
        return "manual pages"
    if extension == ".log" or "/var/log/" in path:
        return "logs"
    if name in NAMES or "/dist-info/" in path or (extension in METADATA and "/data/" not in path):
        return "metadata"
    if extension in CODE:
        return "code"
    if extension in DOCUMENTATION or name.upper().startswith(("README", "CHANGES", "CHANGELOG", "NEWS")):
        return "documentation"
    return "documentation" if extension in ("", ".txt") and "/doc/" in path else None


def text_of(path):
    """A file's text; empty: it is none, or too long."""
    try:
        with gzip.open(path) if path.endswith(".gz") else open(path, "rb") as file:
            text = file.read(FILE_BYTES).decode()
    except (OSError, EOFError, UnicodeDecodeError):
        return ""
    if "/man/" in path:
        # Requests of roff at a line's start, and its escapes.
        text = re.sub(r"^[.'].{0,3}\s*|\\f.|\\-|\\\(..", " ", text, flags=re.M)
    return "" if "\0" in text else text


def chunks(text, draw):
    """Pieces of a text that end at lines, of several lengths."""
    lines, piece, most = text.splitlines(keepends=True), "", draw.choice(CHUNK_CHARS)
    for line in lines:
        piece += line[:4_000]
        if len(piece) >= most:
            yield piece
            piece, most = "", draw.choice(CHUNK_CHARS)
    if len(piece) > 40:
        yield piece


def prompts(text):
    """Strings of a Python file that are prompts by their name or by how they begin."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        named = isinstance(node, ast.Assign) and any(
            re.search(r"prompt|template|instruction|system", ast.unparse(target), re.I) for target in node.targets)
        for value in ast.walk(node.value) if named else [node]:
            if isinstance(value, ast.Constant) and isinstance(value.value, str) and len(value.value) >= 80:
                if named or re.match(r"\s*(you are|your task|act as|given )", value.value, re.I):
                    yield value.value


def files(folders):
    for folder in folders:
        for root, names, found in os.walk(folder):
            names.sort()
            yield from (os.path.join(root, name) for name in sorted(found))


def drawn(folders):
    """By kind: texts, at most three of a file."""
    draw, by_kind, seen = random.Random(7), collections.defaultdict(list), set()
    shipped, readmes = [], []
    for path in files(folders):
        kind = kind_of(path)
        if kind is None or os.path.islink(path) or not (text := text_of(path)):
            continue
        found = list(chunks(text, draw))
        if os.path.basename(path).upper().startswith("README"):
            readmes += found
        by_kind[kind] += draw.sample(found, min(3 if kind != "logs" else 400, len(found)))
        if path.endswith(".py") and "test" not in path.rsplit("/", 1)[-1]:
            shipped += list(prompts(text))
    def pick(texts, most):
        fresh = [text for text in dict.fromkeys(texts) if text not in seen]
        seen.update(fresh)
        return draw.sample(fresh, min(most, len(fresh)))
    result = {kind: pick(texts, CHUNKS) for kind, texts in sorted(by_kind.items())}
    result["prompts"] = pick(shipped, PROMPTS)
    templates = [text for text in result["prompts"] if any(CONTEXT.search(name) for name in PLACEHOLDER.findall(text))]
    def filled():
        def fill(found):
            name = found.group(1).lower()
            return draw.choice(QUESTIONS) if QUESTION.search(name) else draw.choice(readmes) if CONTEXT.search(name) else ""
        return PLACEHOLDER.sub(fill, draw.choice(templates))
    result["templates filled"] = [filled() for _ in range(FILLED)] if templates and readmes else []
    return result


def judged(bartizan, texts, zone):
    """The rows of these texts as `bartizan eval` judges them."""
    with tempfile.TemporaryDirectory() as folder:
        data, rows = os.path.join(folder, "benign.jsonl"), os.path.join(folder, "rows.jsonl")
        with open(data, "w", encoding="utf-8") as out:
            for number, text in enumerate(texts):
                out.write(json.dumps({"id": str(number), "text": text, "label": "benign", "zone": zone}) + "\n")
        subprocess.run([bartizan, "eval", "--json", f"--rows={rows}", data], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        with open(rows, encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--bartizan", required=True)
    parser.add_argument("--rows", help="a file for the texts that were blocked")
    options = parser.parse_args()
    blocked = []
    print(f"{'kind':18} {'zone':8} {'n':>6} {'blocked, %':>20}  by")
    for kind, texts in drawn(options.folders).items():
        zones = ("user", "system", "tool") if kind == "prompts" else ("user",) if kind == "templates filled" else ("user", "tool")
        for zone in zones if texts else ():
            rows = judged(options.bartizan, texts, zone)
            hits = [(text, row) for text, row in zip(texts, rows, strict=True) if row["blocked"]]
            by = collections.Counter(cause for _, row in hits for cause in row.get("rules") or [row.get("reason") or "scorer"])
            print(f"{kind:18} {zone:8} {len(texts):6} {share(len(hits), len(texts)):>20}  " + ", ".join(f"{c} {n}" for c, n in by.most_common(8)))
            blocked += [{"kind": kind, "asZone": zone, **row, "text": text} for text, row in hits]
    if options.rows:
        with open(options.rows, "w", encoding="utf-8") as out:
            out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in blocked)


if __name__ == "__main__":
    sys.exit(main())
