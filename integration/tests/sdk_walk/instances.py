"""Builds instances of an SDK's own types from their annotations: TypedDicts, pydantic models, unions, literals.

`instances(kind)` gives a list of `(label, value)` in which every member of every union and every word of every literal
occurs at least once. Fields vary side by side, so that the number of instances is the number of variants of the
richest field, and not the product.
"""

import collections.abc
import datetime
import enum
import inspect
import os
import types
import typing
from typing import Annotated, Any, ForwardRef, Literal, Union, get_args, get_origin

import pydantic
import typing_extensions

TEXT = "A bartizan is a small turret on a castle wall."
BASE64 = "QSBiYXJ0aXphbiBpcyBhIHNtYWxsIHR1cnJldC4="
LINK = "https://castles.example.com/north.png"
# Below this many types inside each other, optional fields are left out and a union gives its first member.
DEEPEST = 9
# A type that stands inside itself is built once more, without its optional fields.
AGAIN = 2

WRAPPERS = {typing.Required, typing.NotRequired, typing_extensions.Required, typing_extensions.NotRequired,
            getattr(typing_extensions, "ReadOnly", None)}  # fmt: skip
LISTS = {list, collections.abc.Iterable, collections.abc.Sequence, set, frozenset}
BYTES = b"RIFF\0\0\0\0WAVE"

Instance = tuple[str, Any]
# Fields that a server asks for, and the type does not.
ASKED = {("FunctionDeclaration", "name"), ("McpServer", "name"), ("ToolV2", "function")}
# Fields of Google's types that are the SDK's own and not on the wire, and one that is refused by design.
UNSENT = {"sdkHttpResponse", "automaticFunctionCallingHistory", "parsed", "streamFunctionCallArguments"}


WORDS = {
    "model": "smollm2", "arguments": '{"castle": "north"}', "partial_json": '{"castle": "north"}', "voice": "alloy",
    "role": "user", "object": "thing", "type": "castle", "media_type": "image/png", "mime_type": "image/png",
    "mimetype": "image/png", "status": "completed", "stop_reason": "end_turn", "protocolversion": "2025-11-25",
    "completion_window": "24h", "size": "1024x1024", "jsonrpc": "2.0", "method": "tools/call", "user": "user-1",
    "date": "2026-11-27", "timezone": "Europe/Berlin", "country": "DE", "pattern": "^[a-z]+$", "version": "1.0",
    "ttl": "5m", "$schema": "https://json-schema.org/draft/2020-12/schema", "format": "png", "redacted": BASE64, "data": BASE64,
    "image_url": f"data:image/png;base64,{BASE64}", "file_data": f"data:image/png;base64,{BASE64}",
    "uri": LINK, "source": LINK, "src": LINK, "uritemplate": LINK, "host": "castles.example.com",
    "tool": "search_castles", "server_label": "search_castles", "namespace": "search_castles", "label": "search_castles",
    "cwd": "docs/castles.txt", "working_directory": "docs/castles.txt", "file": "docs/castles.txt",
}  # fmt: skip
# Parts of names, the first that fits counts.
BY_PART = {
    BASE64: ("b64", "encrypted", "signature", "blob", "fingerprint"), LINK: ("url",), "castles.example.com": ("domain",),
    "2026-11-27T10:00:00Z": ("_at$", "timestamp$", "modified$", "_time$"),
    "": ("id$", "_ids$", "key$", "cursor$", "token$", "tag$", "_index$", "tier$", "state$"),
    "search_castles": ("name",), "docs/castles.txt": ("path",),
}  # fmt: skip


def word(name: str) -> str:
    """A harmless text that fits a field of this name."""
    lower = name.lower()
    if lower in WORDS:
        return WORDS[lower]
    for text, parts in BY_PART.items():
        if any(lower.endswith(part[:-1]) if part.endswith("$") else part in lower for part in parts):
            return text or f"{lower}_1"
    return TEXT


def described(kind) -> str:
    return getattr(kind, "__name__", str(kind)).removesuffix("Param").removesuffix("Params")


def is_model(kind) -> bool:
    return inspect.isclass(kind) and issubclass(kind, pydantic.BaseModel)


class Like(typing.NamedTuple):
    """Stands beside a type of strings: a string that it takes."""

    text: str


class Field(typing.NamedTuple):
    kind: Any
    required: bool
    limits: tuple = ()


def fields(kind) -> dict[str, Field]:
    """The fields of a TypedDict or a model, by the names that go over the wire."""
    if typing_extensions.is_typeddict(kind):
        hints = typing_extensions.get_type_hints(kind, include_extras=True)
        optional = {name for name, hint in hints.items() if get_origin(hint) in (typing.NotRequired, typing_extensions.NotRequired)}
        required = {name for name, hint in hints.items() if get_origin(hint) in (typing.Required, typing_extensions.Required)}
        return {alias(hint) or name: Field(hint, name in required or (name in kind.__required_keys__ and name not in optional))
                for name, hint in hints.items()}  # fmt: skip
    found = {
        (entry.serialization_alias or entry.alias or name): Field(entry.annotation, entry.is_required(), tuple(entry.metadata))
        for name, entry in kind.model_fields.items()
    }
    asked = {name: field._replace(required=True) for name, field in found.items() if (kind.__name__, name) in ASKED}
    return {name: field for name, field in (found | asked).items() if name not in UNSENT}


def alias(hint) -> str | None:
    """The name on the wire that the SDK's own `PropertyInfo` gives a field."""
    while get_origin(hint) in WRAPPERS:
        hint = get_args(hint)[0]
    if get_origin(hint) is Annotated:
        return next((info.alias for info in get_args(hint)[1:] if getattr(info, "alias", None)), None)
    return None


def number(limits: tuple, whole: bool):
    low = next((limit.ge for limit in limits if getattr(limit, "ge", None) is not None), None)
    high = next((limit.le for limit in limits if getattr(limit, "le", None) is not None), None)
    value = 1 if whole else 0.5
    if low is not None and value < low:
        return low
    return value if high is None or value <= high else high


class Builder:
    """Instances of types, remembered; `seen` holds the names of all types that were built."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.made: dict[tuple, list[Instance]] = {}

    def instances(self, kind, name: str = "", stack: tuple = (), limits: tuple = ()) -> list[Instance]:
        """All variants of a type; `name` is the field that it stands in."""
        origin, arguments = get_origin(kind), get_args(kind)
        if isinstance(kind, (typing.TypeAliasType if hasattr(typing, "TypeAliasType") else (), typing_extensions.TypeAliasType)):
            # JSON's own type stands inside itself.
            return self.plain(Any, name, limits) if kind in stack else self.instances(kind.__value__, name, (*stack, kind), limits)
        if origin in WRAPPERS:
            return self.instances(arguments[0], name, stack, limits)
        if origin is Annotated:
            return self.instances(arguments[0], name, stack, (*limits, *arguments[1:]))
        if origin is Literal:
            return [("" if len(arguments) == 1 else str(value), value.value if isinstance(value, enum.Enum) else value) for value in arguments]
        if origin in (Union, types.UnionType):
            return self.union(arguments, name, stack, limits)
        if origin in LISTS or getattr(origin, "__name__", "") == "SequenceNotStr":
            return [(label, [value]) for label, value in self.instances(arguments[0], name, stack)]
        if origin in (dict, collections.abc.Mapping) and name == "tools":
            # Tools that the types leave open; each of the two APIs has its own form.
            named = {"name": "search_castles"}
            return [("", {"type": "function", **({"function": named} if ".chat." in stack[-1].__module__ else named)})]
        if origin in (dict, collections.abc.Mapping):
            return [(label, {"castle": value}) for label, value in self.instances(arguments[1], name, stack)]
        if origin is tuple:
            return [("", tuple(self.instances(argument, name, stack)[0][1] for argument in arguments if argument is not Ellipsis))]
        if typing_extensions.is_typeddict(kind) or is_model(kind):
            key = kind, stack.count(kind), len(stack) > DEEPEST
            if key not in self.made:
                self.made[key] = self.structure(kind, stack)
            return self.made[key]
        if kind is bytes and stack and is_model(stack[-1]):
            # Pydantic writes bytes so.
            return [("", BASE64)]
        return self.plain(kind, name, limits)

    def plain(self, kind, name: str, limits: tuple) -> list[Instance]:
        if kind is str:
            return [("", next((limit.text for limit in limits if isinstance(limit, Like)), None) or word(name))]
        if kind is bool:
            return [("true", True), ("false", False)]
        if kind is int:
            return [("", number(limits, True))]
        if kind is float:
            return [("", number(limits, False))]
        if kind in (object, Any) or isinstance(kind, (typing.TypeVar, ForwardRef, str)):
            return [("", {"type": "object", "properties": {}} if "schema" in name.lower() or name == "parameters" else {"castle": TEXT})]
        if kind in (dict, collections.abc.Mapping):
            return [("", {"castle": TEXT})]
        if kind is list:
            return [("", [TEXT])]
        if kind in (None, type(None)):
            return [("null", None)]
        if kind is bytes or get_origin(kind) in (os.PathLike, typing.IO, bytes) or kind in (os.PathLike, typing.BinaryIO):
            return [("", BYTES)]
        if kind is datetime.datetime:
            return [("", "2026-11-27T10:00:00Z")]
        if kind is datetime.date:
            return [("", "2026-11-27")]
        if inspect.isclass(kind) and issubclass(kind, enum.Enum):
            return [(str(member.value), member.value) for member in kind]
        if inspect.isclass(kind) and "Url" in kind.__name__:
            return [("", LINK)]
        raise TypeError(f"no instance of {kind!r} (field {name!r})")

    def union(self, members: tuple, name: str, stack: tuple, limits: tuple) -> list[Instance]:
        found: list[Instance] = []
        named = sum(member is not type(None) for member in members) > 1
        for member in members:
            if member is type(None) or isinstance(member, ForwardRef):
                continue
            structure = typing_extensions.is_typeddict(member) or is_model(member)
            if structure and stack.count(member) >= AGAIN and len(members) > 1:
                continue
            prefix = described(member) if named and structure else ""
            for label, value in self.instances(member, name, stack, limits):
                if structure or all(value != other or type(value) is not type(other) for _, other in found):
                    found.append((".".join(filter(None, (prefix, label))), value))
            if len(stack) > DEEPEST and found:
                break
        return found or [("null", None)]

    def structure(self, kind, stack: tuple) -> list[Instance]:
        """The instances of one TypedDict or model: required fields only, all fields, and all that is optional empty."""
        self.seen.add(f"{kind.__module__}.{kind.__qualname__}")
        deep = len(stack) > DEEPEST or stack.count(kind) >= AGAIN
        variants: dict[str, list[Instance]] = {}
        required, entries = set(), fields(kind)
        if is_model(kind) and set(kind.model_fields) == {"root"}:
            return self.instances(entries["root"].kind, "", (*stack, kind))
        for name, field in entries.items():
            # A word that tells the members of a union apart is on the wire although it has a default.
            if field.required or "type" == name or (is_model(kind) and get_origin(field.kind) is Literal and len(get_args(field.kind)) == 1):
                required.add(name)
            elif deep:
                continue
            variants[name] = self.instances(field.kind, name, (*stack, kind), field.limits)
        first = {name: variants[name][0][1] for name in variants if name in required}
        made: list[Instance] = [("", first)]
        optional = [name for name in variants if name not in required]
        count = max((len(found) for found in variants.values()), default=1)
        for number in range(count if optional or count > 1 else 0):
            value, words = {}, []
            for name, found in variants.items():
                label, inner = found[number % len(found)]
                value[name] = inner
                if label and number < len(found) and (len(found) > 2 or number):
                    words.append(f"{name}={label}")
            made.append((f"{number + 1}({','.join(words)})" if words else str(number + 1), value))
        if optional:
            empty = {name: nothing for name in optional if (nothing := self.empty(entries[name].kind)) is not ...}
            if empty:
                made.append(("empty", {**first, **empty}))
        return made

    def empty(self, kind):
        """What an optional field holds when there is nothing to say; `...`: it is left out."""
        origin, arguments = get_origin(kind), get_args(kind)
        if origin in WRAPPERS or origin is Annotated:
            return self.empty(arguments[0])
        if origin in (Union, types.UnionType):
            if type(None) in arguments:
                return None
            found = [self.empty(argument) for argument in arguments]
            return next((value for value in found if value is not ...), ...)
        if origin in LISTS or getattr(origin, "__name__", "") == "SequenceNotStr":
            return []
        return {} if origin is dict else ...


def top(builder: Builder, params, given: dict | None = None) -> list[Instance]:
    """Requests: the required fields only, then one more field at a time, in each of its variants.

    Fields of one request exclude each other too often for all of them to stand in one. `given` are fields that an API
    asks for although its types don't, each of which is left out once, and what stands in required ones.
    """
    given = given or {}
    if get_origin(params) in (Union, types.UnionType):
        found: dict[str, Any] = {}
        for member in get_args(params):
            for label, value in top(builder, member, given):
                found.setdefault(label, value)
        return list(found.items())
    builder.seen.add(f"{params.__module__}.{params.__qualname__}")
    entries = fields(params)
    base = {name: builder.instances(field.kind, name, (params,), field.limits)[0][1] for name, field in entries.items() if field.required}
    base |= given
    made: list[Instance] = [("", base)]
    made += [(f"without {name}", {key: value for key, value in base.items() if key != name}) for name in given if not entries[name].required]
    for name, field in entries.items():
        for label, value in builder.instances(field.kind, name, (params,), field.limits):
            made.append((f"{name}={label}" if label else name, {**base, name: value}))
    return made
