"""Trains the learned scorer and writes weights, provenance and metrics beside itself.

    python rules/scorer/train.py --corpora DIR [--normaliser 'target/release/bartizan eval --normalise']

Deterministic: no random choice is made but the seeded one of the synthetic text. Leave-source-out:
each fold of data.FOLDS is scored by a model trained on the other folds only, without any row that
shares a cluster or a text with the fold.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import multiprocessing
import os
import shlex
import struct
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression

import data
import synth
from features import tokens

HERE = os.path.dirname(os.path.abspath(__file__))
C = 3.0
SMOOTH = 0.5
MIN_DOCS = 2
ROUNDS = 2
NEGATIVE_WINDOWS = 3
OPERATING_POINT = {"said": 0.0038, "read": 0.0045}     # the share of left-out benign rows at or above the score 80
BUCKETS = 1 << 15            # of four slots each
MAX_GRAMS = 60_000           # of each model
SYNTHETIC_WEIGHT = {"said": 5.0, "read": 8.0}    # times the weight of other files of as many rows
PAGES = f"{data.SYNTHETIC}.phrases-long."        # guides, runbooks and prompts, as people paste them and as a model reads them
SAID_OF_READ = {"attack": 0.3, "benign": 1.0}
READ_OF_SAID = {"attack": 0.3, "benign": 0.1}
PROMPTS = tuple(f"{data.SYNTHETIC}.phrases-{name}." for name in ("long", "frameworks", "prompts"))
PROMPT_SHARE = 2.0           # prompts of applications, which are said to a model as a user's words are, and read like orders
READ_OF_PAGES = {"attack": 0.0, "benign": 1.0}   # an attack there is a line of a page, and blurs what the orders look like
READ_SHARE = {"attack": 3.0, "benign": 2.0}
MOST_OF_A_WORD = 0.3         # the most that one word may bring, of what lifts an empty text to an even score


# Two models over the same features: what is said to a model, and what it is given to read (rules/engine/src/scorer.rs, Voice).
SAID, READ = "said", "read"
READ_ZONES = ("tool", "document")


def voice_of(doc) -> str:
    return READ if doc.zone in READ_ZONES else SAID


def share_of(doc, voice: str | None) -> float:
    """What a row counts for in a voice's model. An order in a text that is read is an attack that a user may give: where
    people speak it counts little. What people say counts little where text is read, harmless requests above all."""
    label = "attack" if doc.y else "benign"
    if voice == READ and doc.file.startswith(PAGES):
        return READ_OF_PAGES[label]
    if voice is None or voice == voice_of(doc):
        return READ_SHARE[label] if voice == READ else PROMPT_SHARE if doc.file.startswith(PROMPTS) else 1.0
    return READ_OF_SAID[label] if voice == READ else SAID_OF_READ[label]


def file_weights(docs, mask, voice: str | None = None):
    """A file weighs the square root of its rows: more sources help more than more rows."""
    weights = np.zeros(len(docs))
    by_file = defaultdict(list)
    for i in np.flatnonzero(mask):
        by_file[docs[i].file].append(i)
    for name, rows in by_file.items():
        w = len(rows) ** 0.5 / len(rows)
        if name.startswith(data.SYNTHETIC):
            w *= SYNTHETIC_WEIGHT[voice or SAID]
        weights[rows] = w
    weights *= np.array([share_of(d, voice) for d in docs])
    return weights / weights[mask].mean()


def fit(m: data.Matrix, mask: np.ndarray, voice: str, c: float = C):
    """Naive-Bayes scaled logistic regression over windows, the top window standing for an attack."""
    docs = m.docs
    y = np.array([d.y for d in docs])
    weights = file_weights(docs, mask, voice)
    train = np.flatnonzero(mask)
    to_doc = sp.csr_matrix((np.ones(len(m.window_doc), np.float32), (m.window_doc, np.arange(len(m.window_doc)))))
    presence = (to_doc @ m.x)[train]
    presence.data[:] = 1
    w, yt = weights[train], y[train]
    p = SMOOTH * w.mean() + np.asarray((sp.diags(w * (yt == 1)) @ presence).sum(0)).ravel()
    q = SMOOTH * w.mean() + np.asarray((sp.diags(w * (yt == 0)) @ presence).sum(0)).ravel()
    ratio = np.log((p / w[yt == 1].sum()) / (q / w[yt == 0].sum()))
    keep = np.flatnonzero(np.asarray(presence.sum(0)).ravel() >= MIN_DOCS)
    scaled = (m.x[:, keep] @ sp.diags(ratio[keep])).tocsr()
    coefficients, bias = np.zeros(len(keep)), 0.0
    for step in range(ROUNDS + 1):
        z = scaled @ coefficients + bias
        index, labels, iw = [], [], []
        for i in train:
            a, b = m.first[i], m.first[i + 1]
            if step == 0:
                chosen = list(range(a, min(b, a + 5)))
                share = len(chosen)
            elif y[i]:
                chosen, share = [a + int(np.argmax(z[a:b]))], 1
            else:
                chosen = list(a + np.argsort(-z[a:b], kind="stable")[:NEGATIVE_WINDOWS])
                share = min(len(chosen), 2)
            index += chosen
            labels += [y[i]] * len(chosen)
            iw += [weights[i] / share] * len(chosen)
        labels, iw = np.array(labels), np.array(iw)
        iw[labels == 1] *= iw[labels == 0].sum() / iw[labels == 1].sum()
        model = LogisticRegression(C=c, solver="liblinear", dual=True, tol=1e-3, max_iter=1000, random_state=1)
        model.fit(scaled[index], labels, sample_weight=iw / iw.mean())
        coefficients, bias = model.coef_.ravel(), float(model.intercept_[0])
    full = np.zeros(m.x.shape[1], np.float32)
    full[keep] = coefficients * ratio[keep]
    # No word convicts alone.
    full[m.is_word] = np.minimum(full[m.is_word], MOST_OF_A_WORD * -bias * math.sqrt(data.FLOOR))
    return full, bias


def leave_source_out(m: data.Matrix, voice: str, **kw):
    docs = m.docs
    z = np.full(len(docs), np.nan)
    folds = np.array([d.fold for d in docs])
    for k in range(len(data.FOLDS)):
        clusters = {d.cluster for d in docs if d.fold == k and d.cluster}
        texts = {d.text for d in docs if d.fold == k}
        mask = np.array([d.fold not in (-1, k) and d.cluster not in clusters and d.text not in texts for d in docs])
        full, bias = fit(m, mask, voice, **kw)
        z[folds == k] = m.maximum(m.x @ quantised(full)[0] + bias)[folds == k]
        print(f"{voice}: fold {k + 1} of {len(data.FOLDS)}", flush=True)
    return z


def prune(full: np.ndarray) -> np.ndarray:
    """The heaviest MAX_GRAMS features; the rest weigh nothing."""
    out = full.copy()
    if np.count_nonzero(out) > MAX_GRAMS:
        out[np.argsort(-np.abs(out), kind="stable")[MAX_GRAMS:]] = 0
    return out


def quantised(full: np.ndarray):
    """Weights as they are shipped: sign(q) q^2 / 127^2 of the largest; returns values, q and the unit."""
    out = prune(full)
    top = float(np.abs(out).max())
    q = np.sign(out) * np.rint(np.sqrt(np.abs(out) / top) * 127)
    unit = top / 127.0**2
    return (q * np.abs(q) * unit).astype(np.float32), q.astype(int), unit


def wilson(hits: int, n: int) -> tuple[float, float]:
    if n == 0:
        return (0.0, 1.0)
    z, p = 1.959964, hits / n
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (max(0.0, (centre - half) / (1 + z * z / n)), min(1.0, (centre + half) / (1 + z * z / n)))


def groups(docs, flagged) -> dict:
    """Macro recalls and pooled false-positive rates in per cent."""
    by_file = defaultdict(list)
    for d, f in zip(docs, flagged):
        if d.fold >= 0 and d.fold < len(data.FOLDS) and d.label in ("attack", "benign"):
            by_file[d.file].append((d.y, f))
    direct, indirect, benign = {}, {}, defaultdict(lambda: [0, 0])
    for name, rows in by_file.items():
        if any(y for y, _ in rows):
            (direct if name.startswith("attack.") else indirect)[name] = [sum(f for _, f in rows), len(rows)]
        else:
            kind = "hard" if name in data.HARD else "cleanDocuments" if name in data.CLEAN_DOCUMENTS else "ordinary"
            benign[kind][0] += int(sum(f for _, f in rows))
            benign[kind][1] += len(rows)
    big = {n: v for n, v in direct.items() if v[1] >= 10}
    macro = lambda files: 100 * float(np.mean([h / n for h, n in files.values()])) if files else 0.0
    return {"directMacro": macro(big), "indirectMacro": macro(indirect),
            "falsePositives": {k: 100 * h / n for k, (h, n) in sorted(benign.items())},
            "files": {n: round(float(100 * h / k), 1) for n, (h, k) in sorted({**direct, **indirect}.items())}}


def threshold(docs, z, rate: float, voice: str | None = None) -> float:
    benign = np.array([d.label == "benign" and 0 <= d.fold < len(data.FOLDS) and voice in (None, voice_of(d))
                       for d in docs]) & ~np.isnan(z)
    return float(np.quantile(z[benign], 1 - rate))


def calibrate(docs, z, voice: str) -> tuple[float, float, float]:
    """Platt's sigmoid on the left-out scores of a voice's rows, files balanced; the prior is the one that puts 80 % at
    the voice's OPERATING_POINT, and is returned beside slope and offset."""
    rows = [i for i, d in enumerate(docs) if 0 <= d.fold < len(data.FOLDS) and not np.isnan(z[i])
            and d.label in ("attack", "benign") and voice_of(d) == voice]
    mask = np.zeros(len(docs), bool)
    mask[rows] = True
    y = np.array([docs[i].y for i in rows])
    w = file_weights(docs, mask)[rows]
    w[y == 1] /= w[y == 1].sum()
    w[y == 0] /= w[y == 0].sum()
    model = LogisticRegression(C=1e6, solver="lbfgs")
    model.fit(z[rows].reshape(-1, 1), y, sample_weight=w * len(rows))
    slope = float(model.coef_[0, 0])
    offset = math.log(0.8 / 0.2) - slope * threshold(docs, z, OPERATING_POINT[voice], voice)
    prior = 1 / (1 + math.exp(float(model.intercept_[0]) - offset))
    return slope, offset, prior


def write_weights(path: str, m: data.Matrix, voices: dict, table) -> dict:
    """The file of rules/engine/src/scorer.rs: see there for its form. Little endian. `voices`: full, bias, slope and offset."""
    q = {voice: quantised(full)[1] for voice, (full, *_) in voices.items()}
    marks = np.zeros((BUCKETS, 4), np.uint16)
    slots = {voice: np.zeros((BUCKETS, 4), np.int8) for voice in voices}
    used = np.zeros(BUCKETS, int)
    lost = 0
    heaviest = np.maximum(*(np.abs(row) for row in q.values()))
    for i in np.argsort(-heaviest, kind="stable"):
        if heaviest[i] == 0:
            break
        h = int(m.vocab[i])
        bucket, mark = h >> (33 - BUCKETS.bit_length()), (h & 0xFFFF) or 1
        if used[bucket] == 4 or mark in marks[bucket, :used[bucket]]:
            lost += 1
            continue
        marks[bucket, used[bucket]] = mark
        for voice in voices:
            slots[voice][bucket, used[bucket]] = q[voice][i]
        used[bucket] += 1
    size = 1 << max(8, (len(table) * 2 - 1).bit_length())
    keys, values = np.zeros(size, np.uint32), np.zeros(size, np.uint16)
    for key, value in sorted(table.items()):
        slot = key >> (32 - size.bit_length() + 1)
        while values[slot]:
            slot = (slot + 1) % size
        keys[slot], values[slot] = key, value
    body = struct.pack("<4sII", b"BZS3", BUCKETS, size)
    for full, bias, slope, offset in voices.values():
        body += struct.pack("<fff", quantised(full)[2] * slope, bias * slope + offset, data.DISCOUNT * slope)
    body += marks.astype("<u2").tobytes() + b"".join(s.tobytes() for s in slots.values()) + keys.astype("<u4").tobytes()
    body += values.astype("<u2").tobytes()
    known = np.zeros(8192, np.uint8)
    for key in table:
        known[key >> 19] |= 1 << (key >> 16 & 7)
    body += known.tobytes()
    with open(path, "wb") as out:
        out.write(body)
    return {"bytes": len(body), "grams": int(used.sum()), "lost": lost, "conceptKeys": len(table),
            "sha256": hashlib.sha256(body).hexdigest()}


def vectors(table, m, voices: dict, normalise) -> list:
    """Samples of the project's own with their tokens and probabilities, which the crate's tests recompute."""
    index = {int(h): i for i, h in enumerate(m.vocab)}
    values = {voice: quantised(full)[0] for voice, (full, *_) in voices.items()}
    out = []
    for text in normalise(synth.VECTORS):
        doc = data.Doc("", 0, "benign", text)
        data.featurise(doc, table)
        row = {"text": text, "tokens": [int(t) for t in doc.tok],
               "concepts": [list(c) for c in table.sequence(text, *tokens(text))]}
        for voice, (_, bias, slope, offset) in voices.items():
            best = -1e9
            for a, b in data.windows(len(doc.tok)):
                where, what = doc.grams
                lo, hi = np.searchsorted(where, a), np.searchsorted(where, b)
                total = sum(float(values[voice][index[int(h)]]) for h in np.unique(what[lo:hi]) if int(h) in index)
                best = max(best, total / math.sqrt(max(b - a, data.FLOOR)) + bias)
            best -= data.discount(len(data.windows(len(doc.tok))))
            row[voice] = round(1 / (1 + math.exp(-(slope * best + offset))), 4)
        out.append(row)
    return out


def _share(m: data.Matrix) -> None:
    global shared
    shared = m


def _learn(voice: str):
    """The left-out scores of a voice, and its model of all folds."""
    everything = np.array([0 <= d.fold for d in shared.docs])
    return leave_source_out(shared, voice), fit(shared, everything, voice)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpora", default="../shared/corpora")
    parser.add_argument("--normaliser", help="a command that reads and writes one JSON string a line")
    parser.add_argument("--rows", help="write the left-out score of every row to this file")
    options = parser.parse_args()
    normalise = data.Normaliser(shlex.split(options.normaliser) if options.normaliser else None)
    docs = data.load(options.corpora, normalise)
    if not docs:
        raise SystemExit(f"no corpora in {options.corpora}")
    table, ideas = data.concepts(data.common_english(docs), normalise)
    written = synth.rows()
    for (file, label, zone, lang, _), text in zip(written, normalise([r[4] for r in written])):
        docs.append(data.Doc(f"{data.SYNTHETIC}.{file}.{label}.{zone}", len(data.FOLDS), label, text, zone, None, lang))
    for d in docs:
        data.featurise(d, table)
    docs = [d for d in docs if len(d.tok)]
    m = data.Matrix(docs)
    started = time.time()
    voices, priors, left_out = {}, {}, {}
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork"), _share, (m,)) as pool:
        fitted = dict(zip((SAID, READ), pool.map(_learn, (SAID, READ))))
    for voice, (z, model) in fitted.items():
        slope, offset, priors[voice] = calibrate(docs, z, voice)
        left_out[voice] = 1 / (1 + np.exp(-(slope * z + offset)))
        voices[voice] = (*model, slope, offset)
    probability = np.array([left_out[voice_of(d)][i] for i, d in enumerate(docs)])
    metrics = {"at80": groups(docs, probability >= 0.8), "at95": groups(docs, probability >= 0.95)}
    print(metrics)
    info = write_weights(os.path.join(HERE, "weights.bin"), m, voices, table.table)
    with open(os.path.join(HERE, "vectors.json"), "w", encoding="utf-8") as out:
        json.dump(vectors(table, m, voices, normalise), out, ensure_ascii=False, indent=1)
        out.write("\n")
    counts = defaultdict(int)
    for d in docs:
        if d.fold >= 0:
            counts[d.file] += 1
    provenance = {"note": "Written by train.py. Figures in per cent; leave-source-out.",
                  "weights": info, "ideas": ideas, "rows": dict(sorted(counts.items())),
                  "parameters": {"c": C, "smooth": SMOOTH, "minDocs": MIN_DOCS, "rounds": ROUNDS,
                                 "window": data.WINDOW, "step": data.STEP, "operatingPoint": OPERATING_POINT,
                                 "syntheticWeight": SYNTHETIC_WEIGHT, "maxGrams": MAX_GRAMS, "mostOfAWord": MOST_OF_A_WORD,
                                 "saidOfRead": SAID_OF_READ, "readOfSaid": READ_OF_SAID, "readShare": READ_SHARE, "readOfPages": READ_OF_PAGES, "promptShare": PROMPT_SHARE,
                                 "floor": data.FLOOR, "discount": data.DISCOUNT, "seed": synth.SEED},
                  "calibration": {voice: {"slope": slope, "offset": offset, "prior": priors[voice]}
                                  for voice, (_, _, slope, offset) in voices.items()}, "metrics": metrics}
    with open(os.path.join(HERE, "provenance.json"), "w", encoding="utf-8") as out:
        json.dump(provenance, out, ensure_ascii=False, indent=1)
        out.write("\n")
    if options.rows:
        with open(options.rows, "w", encoding="utf-8") as out:
            for d, said, read in zip(docs, left_out[SAID], left_out[READ]):
                if d.ident and not np.isnan(said):
                    out.write(json.dumps({"id": d.ident, "file": d.file, SAID: round(float(said), 5),
                                          READ: round(float(read), 5)}) + "\n")
    print(info, f"{time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
