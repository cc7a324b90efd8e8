"""Requests that try to cross from one tenant to another, made out of a description of an API.

An operation says in `{name}` where it names whose data it means: in its path, its query, its body. An honest request of a
tenant has its own values in all of them. A crossing is sent by one tenant and has the other's values in some, written in every
way that some server may read as the same; or it has its own values there, and the other's somewhere beside.
"""

import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from urllib.parse import quote

from harness.client import Call, Reply

PLACE = re.compile(r"\{(\w+)\}")
# What one operation gets at most of spellings; which ones, the seed draws.
SPELLED = 12


@dataclass(frozen=True)
class Operation:
    """One method on one path. `roles`: what stands in each place, as the world calls it."""

    method: str
    path: str
    kind: str
    roles: dict[str, str] = field(hash=False)
    query: dict[str, str] = field(default_factory=dict, hash=False)
    body: object = field(default=None, hash=False)
    content: str = "application/json"

    def places(self) -> list[str]:
        text = self.path + json.dumps(self.query) + json.dumps(self.body)
        return [name for name in dict.fromkeys(PLACE.findall(text)) if name in self.roles]

    def in_path(self, place: str) -> bool:
        return "{" + place + "}" in self.path


@dataclass(frozen=True)
class Value:
    """Whose value stands in a place, and how it is written."""

    owner: str
    write: Callable[[str, str], str] | None = None


@dataclass(frozen=True)
class Crossing:
    """A request by tenant `a`. `trick` is what it tries, `head`, `suffix`, `edit` what it has besides the operation's own."""

    operation: Operation
    trick: str
    values: dict[str, Value] = field(hash=False)
    head: tuple = ()
    suffix: Callable[[dict], str] | None = None
    edit: Callable[[bytes, dict], bytes] | None = None
    method: str | None = None

    @property
    def name(self) -> str:
        return f"{self.method or self.operation.method} {self.operation.path} {self.trick}"

    def call(self, world) -> Call:
        """The request, with the values that the world has now."""
        operation = self.operation
        path, query, body = operation.path, dict(operation.query), operation.body
        for place, value in self.values.items():
            role = operation.roles[place]
            own, meant = world.value("a", role), world.value(value.owner, role)
            inside = operation.in_path(place)
            text = value.write(meant, own) if value.write else meant
            path = path.replace("{" + place + "}", text if value.write else quote(text, safe=""))
            query = {key: text if word == "{" + place + "}" else word for key, word in query.items()}
            body = filled(body, "{" + place + "}", meant if inside else text)
        context = {role: world.value("b", role) for role in world.roles} | {f"own_{role}": world.value("a", role) for role in world.roles}
        pairs = [f"{key}={word if self.values.get(key, Value('')).write else quote(str(word), safe='')}" for key, word in query.items()]
        extra = self.suffix(context) if self.suffix else ""
        target = path + ("?" + "&".join([*pairs, extra]).strip("&") if pairs or extra else "")
        data = b"" if body is None else serialised(body, operation.content)
        if self.edit:
            data = self.edit(data, context)
        headers = [(name, text.format_map(context)) for name, text in self.head]
        if data:
            headers.append(("content-type", operation.content))
        return Call(method=self.method or operation.method, path=target.encode(), headers=headers, body=data)


def filled(value, mark: str, text: str):
    """The same with `text` wherever `mark` stands, as the whole of a string or a part."""
    if isinstance(value, str):
        return value.replace(mark, text)
    if isinstance(value, list):
        return [filled(one, mark, text) for one in value]
    if isinstance(value, dict):
        return {key: filled(one, mark, text) for key, one in value.items()}
    return value


def serialised(body, content: str) -> bytes:
    lines = body if content.endswith("ndjson") else [body]
    return b"\n".join(json.dumps(line).encode() for line in lines)


def escaped(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


def wide(text: str) -> str:
    """Letters of full width, which a careless comparison folds."""
    return quote("".join(chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter for letter in text))


# How the other's value (first) is written in a path; the second is the sender's own. All are as they go over the wire.
IN_PATH: dict[str, Callable[[str, str], str]] = {
    "one escape": lambda other, own: escaped(other[0]) + other[1:],
    "all escaped": lambda other, own: escaped(other),
    "escaped twice": lambda other, own: escaped(other).replace("%", "%25"),
    "upper case": lambda other, own: other.upper(),
    "first letter raised": lambda other, own: other[:1].upper() + other[1:],
    "space behind": lambda other, own: other + "%20",
    "zero behind": lambda other, own: other + "%00",
    "tab before": lambda other, own: "%09" + other,
    "parameter behind": lambda other, own: f"{other};{own}",
    "parameter before": lambda other, own: f"{own};{other}",
    "fragment": lambda other, own: f"{other}%23{own}",
    "question": lambda other, own: f"{other}%3f{own}",
    "dots": lambda other, own: f"{own}/../{other}",
    "escaped dots": lambda other, own: f"{own}/%2e%2e/{other}",
    "escaped slash": lambda other, own: f"{own}%2f..%2f{other}",
    "all of it escaped": lambda other, own: f"{own}%2f%2e%2e%2f{other}",
    "escaped slash twice": lambda other, own: f"{own}%252f..%252f{other}",
    "backslash": lambda other, own: f"{own}\\..\\{other}",
    "escaped backslash": lambda other, own: f"{own}%5c..%5c{other}",
    "one dot": lambda other, own: f"./{other}",
    "doubled slash": lambda other, own: f"/{other}",
    "doubled slash behind": lambda other, own: f"{other}/",
    "both, comma": lambda other, own: f"{own},{other}",
    "both, comma, other first": lambda other, own: f"{other},{own}",
    "star": lambda other, own: "*",
    "star behind": lambda other, own: other[:2] + "*",
    "wide letters": lambda other, own: wide(other),
    "long dot": lambda other, own: f"{own}/%c0%ae%c0%ae/{other}",
}
# A UUID has ways to be written of its own.
IDS: dict[str, Callable[[str, str], str]] = {
    "without dashes": lambda other, own: other.replace("-", ""),
    "in braces": lambda other, own: "%7B" + other + "%7D",
    "bare braces": lambda other, own: "{" + other + "}",
    "as a URN": lambda other, own: "urn:uuid:" + other,
    "URN, upper case": lambda other, own: "urn:uuid:" + other.upper(),
    "dashes escaped": lambda other, own: other.replace("-", "%2d"),
    "upper case": lambda other, own: other.upper(),
    "all escaped": lambda other, own: escaped(other),
}
# In a query: as it goes over the wire. In a body: the string itself.
IN_QUERY: dict[str, Callable[[str, str], str]] = {
    "all escaped": lambda other, own: escaped(other),
    "own first": lambda other, own: f"{own}&tenant={other}&namespace={other}",
    "other first": lambda other, own: f"{other}&tenant={own}&namespace={own}",
    "semicolon": lambda other, own: f"{own};tenant={other};namespace={other}",
    "raised key": lambda other, own: f"{own}&Tenant={other}&NAMESPACE={other}",
    "key escaped": lambda other, own: f"{own}&%74enant={other}&%6eamespace={other}",
    "brackets": lambda other, own: f"{own}&tenant[]={other}&namespace[]={other}",
    "space behind": lambda other, own: other + "+",
    "upper case": lambda other, own: other.upper(),
    "nothing": lambda other, own: "",
}
IN_BODY: dict[str, Callable[[str, str], str]] = {
    "space behind": lambda other, own: other + " ",
    "zero behind": lambda other, own: other + "\0",
    "upper case": lambda other, own: other.upper(),
    "first letter raised": lambda other, own: other[:1].upper() + other[1:],
    "path": lambda other, own: f"{own}/../{other}",
    "quote": lambda other, own: f'{own}" tenant: "{other}',
    "both, comma": lambda other, own: f"{own},{other}",
    "star": lambda other, own: "*",
    "nothing": lambda other, own: "",
}
# Beside an honest request: the other's values where some gateway or server would look.
HEADERS = {
    "original url": (("x-original-url", "/api/v2/tenants/{tenant}/databases"), ("x-rewrite-url", "/api/v2/tenants/{tenant}/databases")),
    "tenant headers": (("x-tenant", "{tenant}"), ("x-chroma-tenant", "{tenant}"), ("x-weaviate-tenant", "{tenant}"), ("namespace", "{tenant}")),
    "other method": (("x-http-method-override", "DELETE"), ("x-method-override", "DELETE")),
    "other host": (("x-forwarded-host", "{tenant}"), ("x-forwarded-prefix", "/tenants/{tenant}")),
}


def key_before(key: str, role: str) -> Callable[[bytes, dict], bytes]:
    """The other's value under `key`, before the operation's own keys."""
    return lambda body, context: b"{" + json.dumps({key: context[role]}).encode()[1:-1] + b"," + body[1:]


def key_behind(key: str, role: str) -> Callable[[bytes, dict], bytes]:
    return lambda body, context: body[:-1] + b"," + json.dumps({key: context[role]}).encode()[1:-1] + b"}"


def second_value(body: bytes, context: dict) -> bytes:
    """A second document behind the first one, with the other's values."""
    return body + b"\n" + body.replace(context["own_tenant"].encode(), context["tenant"].encode())


def letters_escaped(body: bytes, context: dict) -> bytes:
    """The other's name in escapes of JSON: the same string in other bytes."""
    return body.replace(context["own_tenant"].encode(), "".join(f"\\u{ord(letter):04x}" for letter in context["tenant"]).encode())


def crossings(operations: list[Operation], seed: int, keys: dict[str, str]) -> Iterator[Crossing]:
    """Every crossing of these operations. `keys`: what a body may name a tenant by, with the role whose value is meant."""
    draw = random.Random(seed)
    for operation in operations:
        places = operation.places()
        honest = {place: Value("a") for place in places}
        for size in range(len(places), 0, -1):
            for chosen in combinations(places, size):
                mixed = honest | {place: Value("b") for place in chosen}
                yield Crossing(operation, "the other's " + ", ".join(chosen), mixed)
        yield from draw.sample(made := list(spelled(operation, places, honest)), min(SPELLED, len(made)))
        yield from beside(operation, honest, keys, draw)


def spelled(operation: Operation, places: list[str], honest: dict[str, Value]) -> Iterator[Crossing]:
    """Each place in each spelling: once with all else the other's, once with all else the sender's."""
    for place in places:
        if operation.in_path(place):
            ways = IDS | IN_PATH if operation.roles[place] in ("uuid", "id") else IN_PATH
        else:
            ways = IN_QUERY if "{" + place + "}" in operation.query.values() else IN_BODY
        for name, write in ways.items():
            for owner in ("a", "b") if len(places) > 1 else ("b",):
                values = {other: Value(owner) for other in honest} | {place: Value("b", write)}
                yield Crossing(operation, f"{place}: {name}, the rest {'own' if owner == 'a' else 'the other´s'}", values)


def beside(operation: Operation, honest: dict[str, Value], keys: dict[str, str], draw: random.Random) -> Iterator[Crossing]:
    """An honest request with the other's values beside."""
    for name, head in draw.sample(sorted(HEADERS.items()), 1):
        yield Crossing(operation, name, honest, head=head)
    key, role = draw.choice(sorted(keys.items()))
    yield Crossing(operation, f"query {key}", honest, suffix=lambda context: f"{key}={context[role]}")
    if isinstance(operation.body, dict) and operation.content == "application/json":
        key, role = draw.choice(sorted(keys.items()))
        raised = key[:1].upper() + key[1:]
        yield Crossing(operation, f"body {key} before", honest, edit=key_before(key, role))
        yield Crossing(operation, f"body {key} behind", honest, edit=key_behind(key, role))
        yield Crossing(operation, f"body {raised} behind", honest, edit=key_behind(raised, role))
        yield Crossing(operation, "a second document behind", honest, edit=second_value)
        yield Crossing(operation, "letters escaped", honest, edit=letters_escaped)
    if operation.kind in ("read", "query"):
        other = {place: Value("b") for place in honest}
        method = draw.choice([method for method in ("DELETE", "PUT", "PATCH", "POST", "HEAD", "OPTIONS") if method != operation.method])
        yield Crossing(operation, f"the other's, as {method}", other, method=method)


@dataclass
class Outcome:
    """What became of a crossing."""

    crossing: Crossing
    status: int
    reason: str | None
    leaked: str | None
    changed: bool

    @property
    def crossed(self) -> bool:
        return bool(self.leaked or self.changed)

    def __repr__(self) -> str:
        what = "changed" if self.changed else f"leaked {self.leaked}" if self.leaked else "nothing"
        return f"{self.status} {self.reason or '-'} {what}: {self.crossing.name}"


# A refused or reading request is looked behind only so often: a look costs ten requests.
LOOK_EVERY = 25


def tried(world, send: Callable[[Call], Reply], requests: list[Crossing]) -> list[Outcome]:
    """Sends each and looks at the store from behind: at what the reply holds, and whether the other's data is as it was."""
    outcomes = []
    world.open(send)
    for number, crossing in enumerate(requests, 1):
        reply = send(crossing.call(world))
        reads = crossing.method is None and (crossing.operation.method == "GET" or crossing.operation.kind in ("read", "query"))
        looks = (reply.status in range(200, 300) and not reads) or number % LOOK_EVERY == 0 or number == len(requests)
        changed = looks and not world.untouched()
        outcomes.append(Outcome(crossing, reply.status, reply.header("x-bartizan-reason"), world.leaked(reply), changed))
        if changed:
            world.seed("b")
        if looks and not world.usable():
            world.seed("a")
            world.open(send)
    return outcomes


def table(outcomes: list[Outcome]) -> str:
    """How many of each kind were sent, refused, and came across."""
    rows = {}
    for outcome in outcomes:
        row = rows.setdefault(outcome.crossing.operation.kind, [0, 0, 0, 0])
        for at, counts in enumerate((True, outcome.status >= 400 or outcome.status == 0, bool(outcome.leaked), outcome.changed)):
            row[at] += counts
    rows["all"] = [sum(column) for column in zip(*rows.values(), strict=True)]
    head = f"{'operation':<10}{'sent':>8}{'refused':>9}{'leaked':>8}{'changed':>9}"
    return "\n".join([head, *(f"{kind:<10}{sent:>8}{refused:>9}{leaked:>8}{changed:>9}" for kind, (sent, refused, leaked, changed) in rows.items())])
