"""Inputs that once were judged wrongly, as files: a request, what the upstream answers, and what must come of it.

A case is one JSON file; `policy.yaml` beside it is the policy of all:

| key | meaning |
|---|---|
| `policy` | merged into `policy.yaml`; `null` removes a key |
| `method`, `path`, `headers` | of the request; `POST` and `application/json` unless said otherwise |
| `request`, `request_raw` | the body, as JSON or as text |
| `encode` | `zstd`, `gzip` or `deflate`: the body is sent so |
| `times` | the same request that often, one after the other; the last one is judged |
| `reply` | `status`, `headers` and `chunks` that the upstream sends; without it, what the path's provider answers |
| `want` | what `judge` reads |
| `fault`, `title`, `expected`, `note`, `look`, `look_up` | for people |
| `raw_http` | the request is no HTTP/2 request: HTTP/1.1 only |
"""

import copy
import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml
import zstandard

from .client import H1, H2, Call, Reply

MODES, PROTOCOLS = ("strong", "weak"), (H1, H2)
KEYS = {
    "fault", "title", "expected", "note", "look", "look_up", "raw_http",
    "policy", "method", "path", "headers", "request", "request_raw", "encode", "times", "reply", "want",
}  # fmt: skip
ENCODERS = {"zstd": zstandard.compress, "gzip": gzip.compress, "deflate": zlib.compress}


@dataclass
class Case:
    """One input and the policy that it is judged by."""

    name: str
    data: dict
    base: dict

    def policy(self, mode: str) -> dict:
        """The whole policy, for a filter in this mode."""
        return merged(merged(self.base, self.data.get("policy") or {}), {"holdHeaders": mode == "strong"})

    @property
    def protocols(self) -> tuple[str, ...]:
        """HTTP/2 has no `connection: upgrade`."""
        return (H1,) if self.data.get("raw_http") else PROTOCOLS

    @property
    def times(self) -> int:
        return self.data.get("times", 1)

    def unread(self) -> set[str]:
        """What the case says and nobody reads."""
        wants = [self.data["want"], *self.data["want"].get("any", ())]
        return set(self.data) - KEYS | set().union(*wants) - set(JUDGES) - {"any"}

    def call(self, case: str) -> Call:
        """The request, named `case` for the upstream and the access log."""
        data = self.data
        if "request_raw" in data:
            body = data["request_raw"].encode()
        else:
            body = b"" if data.get("request") is None else json.dumps(data["request"]).encode()
        headers = {"content-type": "application/json"} | data.get("headers", {})
        if encoding := data.get("encode"):
            body = ENCODERS[encoding](body)
            headers["content-encoding"] = encoding
        return Call(data.get("method", "POST"), data["path"], [("x-case", case), *headers.items()], body)


def merged(base: dict, change: dict) -> dict:
    """`base` with `change` in it, key by key."""
    result = copy.deepcopy(base)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def load(folder: Path, policy: Path) -> list[Case]:
    """The cases of a folder, in the order of their names; `policy` is theirs where the folder has none."""
    own = folder / "policy.yaml"
    base = yaml.safe_load((own if own.exists() else policy).read_text())
    return [Case(path.stem, json.loads(path.read_text()), base) for path in sorted(folder.glob("*.json"))]


@dataclass
class Got:
    """What came of a case: the reply, the bodies at the upstream, and the filter's record."""

    case: Case
    mode: str
    reply: Reply
    audit: dict
    bodies: list[bytes] = field(default_factory=list)

    @property
    def reason(self) -> str | None:
        return self.reply.reason or self.audit.get("bartizan.reason")

    @property
    def refused(self) -> bool:
        return self.audit["bartizan.verdict"] == "block"

    def __str__(self) -> str:
        return f"{self.reply.status} {self.reason or '-'} {self.reply.body[:300]!r}, upstream: {[body[:300] for body in self.bodies]}"


def strings(value) -> Iterator[str]:
    """Every string and key of a JSON value, in its order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings(item)


def documents(body: bytes) -> list:
    """The JSON values of a body, of its events or of its lines."""
    text = body.decode(errors="replace")
    found = []
    for piece in [text, *(line.removeprefix("data:").strip() for line in text.splitlines())]:
        try:
            found.append(json.loads(piece))
        except ValueError:
            continue
    return found


def holds(body: bytes, text: str) -> bool:
    """Whether a reader of this body meets `text`: as it is written, and with every JSON escape resolved."""
    return text in body.decode(errors="replace") or any(text in string for value in documents(body) for string in strings(value))


def signed_blocks(value) -> Iterator[dict]:
    """Every object with a signature."""
    if isinstance(value, list):
        for item in value:
            yield from signed_blocks(item)
    elif isinstance(value, dict):
        if isinstance(value.get("signature"), str):
            yield value
        for item in value.values():
            yield from signed_blocks(item)


def status(got: Got, wanted: list[int]) -> str | None:
    """A status below 400 is that of traffic that passes whole. In weak mode a refused reply keeps the upstream's status."""
    if got.reply.status in wanted:
        if got.reply.status >= 400:
            return None
        if got.refused:
            return f"refused under status {got.reply.status}: {got.reason}"
        return None if got.reply.complete else "the reply is cut"
    if got.mode == "weak" and got.refused and got.bodies and min(wanted) >= 400 and got.reply.status < 400:
        return None
    return f"status {got.reply.status}, not {wanted}"


def signed(got: Got, _: bool) -> str | None:
    whole = list(signed_blocks(got.case.data["request"]))
    for body in got.bodies:
        for block in (block for value in documents(body) for block in signed_blocks(value)):
            if block not in whole:
                return f"changed under its signature: {block}"
    return None


def upstream(got: Got, text: str) -> bool:
    return any(holds(body, text) for body in got.bodies)


def first(texts: list[str], wrong) -> str | None:
    return next((text for text in texts if wrong(text)), None)


def tokens(got: Got, least: int, *kinds: str) -> str | None:
    amount = sum(got.audit.get(f"bartizan.tokens.{kind}", 0) for kind in kinds)
    return None if amount >= least else f"tokens {' and '.join(kinds)}: {amount}, under {least}"


def texts(where: str, holder, present: bool):
    """Judges substrings: all of them present, or none."""

    def judge(got: Got, wanted: list[str]) -> str | None:
        found = first(wanted, lambda text: holder(got, text) is not present)
        return None if found is None else f"{where} {'lacks' if present else 'has'} {found!r}"

    return judge


JUDGES = {
    "status": status,
    "reason": lambda got, wanted: None if got.reason == wanted else f"reason {got.reason}, not {wanted}",
    "client_has": texts("the client", lambda got, text: holds(got.reply.body, text), True),
    "client_lacks": texts("the client", lambda got, text: holds(got.reply.body, text), False),
    "upstream_has": texts("the upstream", upstream, True),
    "upstream_lacks": texts("the upstream", upstream, False),
    "findings": lambda got, wanted: None
    if len(got.audit.get("bartizan.findings", [])) == wanted
    else f"findings {got.audit.get('bartizan.findings')}",
    "used": lambda got, wanted: tokens(got, wanted, "charged"),
    "reserved": lambda got, wanted: tokens(got, wanted, "reserved_input", "reserved_output"),
    "signed": signed,
}


def judge(got: Got, want: dict) -> str | None:
    """What is wrong, or nothing. `any`: one of several is enough."""
    if got.reason == "internal":
        return "the filter failed"
    for key, wanted in want.items():
        if key == "any":
            wrong = [judge(got, choice) for choice in wanted]
            if None not in wrong:
                return "; ".join(wrong)
        elif fault := JUDGES[key](got, wanted):
            return fault
    return None


class NotMended:
    """The list of cases that do not hold yet: a line is a case's name, then a mode, then a protocol where only that is wrong."""

    HEAD = "# Cases that do not hold yet. A case that holds must leave the list; no case may join it.\n"

    def __init__(self, path: Path):
        self.path, self.new = path, not path.exists()
        lines = path.read_text().splitlines() if path.exists() else []
        self.lines = [tuple(line.split()) for line in lines if line.strip() and not line.startswith("#")]

    def has(self, *place: str) -> bool:
        """Whether this case, mode and protocol is on the list."""
        return any(place[: len(line)] == line for line in self.lines)

    def strays(self, cases: list[Case]) -> list[str]:
        """Lines that name no case, mode or protocol."""
        known = {case.name: case for case in cases}
        good = lambda name, mode=MODES[0], protocol=H1, *rest: not rest and name in known and mode in MODES and protocol in PROTOCOLS
        return [" ".join(line) for line in self.lines if not good(*line)]

    def write(self, cases: list[Case], results: dict[tuple[str, str, str], bool]) -> None:
        """Takes off what these results say to hold, and adds nothing, unless there was no list. What has not run stays."""
        lines = []
        for case in cases:
            places = [(case.name, mode, protocol) for mode in MODES for protocol in case.protocols]
            wrong = {place for place in places if (self.new or self.has(*place)) and not results.get(place)}
            if wrong == set(places):
                lines.append(case.name)
                continue
            for mode in MODES:
                of_mode = [place for place in places if place[1] == mode]
                if wrong.issuperset(of_mode):
                    lines.append(f"{case.name} {mode}")
                else:
                    lines += [" ".join(place) for place in of_mode if place in wrong]
        self.path.write_text(self.HEAD + "".join(f"{line}\n" for line in lines))
