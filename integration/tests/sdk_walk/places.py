"""The places of a body where a string stands, and the body with another string in one of them."""

import json
from collections.abc import Iterator

from harness import eventstream

from .cases import JSON, Case
from .endpoints import MESSAGES, aws, data

# A place is its keys, and of every object on the way what it says it is.
Place = tuple[str, ...]
LISTED = "instructions[]"


def strings(value, place: Place = (), path: tuple = ()) -> Iterator[tuple[Place, tuple]]:
    """Every string with its place, and the way to it.

    A whole response is the same one in every event that holds it, and the instructions that it says again are one place.
    """
    if isinstance(value, dict):
        if path == ("response",):
            place = ("response",)
        kind = value.get("type")
        step = f"<{kind}>" if isinstance(kind, str) and len(kind) < 60 else ""
        for key, inner in value.items():
            name = LISTED if key == "instructions" and isinstance(inner, list) else step + key
            yield from strings(inner, place if LISTED in place else (*place, name), (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from strings(inner, place, (*path, index))
    elif isinstance(value, str):
        yield place, path


def replaced(value, path: tuple, text: str):
    """A copy with `text` at the end of the way."""
    if not path:
        return text
    inner = replaced(value[path[0]], path[1:], text)
    if isinstance(value, list):
        return [*value[: path[0]], inner, *value[path[0] + 1 :]]
    return {**value, path[0]: inner}


def messages(case: Case) -> tuple[list[tuple[bytes, dict | None]], object]:
    """A stream's frames, each with the event in it, or the reply itself."""
    if case.reply_type == JSON:
        return [], json.loads(case.reply)
    if case.reply_type == MESSAGES:
        return [(b"", {name: payload}) for name, payload in eventstream.read(case.reply)], None
    frames = []
    for frame in case.reply.split(b"\n\n"):
        head, found, text = frame.rpartition(b"data: ")
        frames.append((head, json.loads(text)) if found and text.startswith(b"{") else (frame, None))
    return frames, None


def written(case: Case, frames: list[tuple[bytes, dict | None]]) -> bytes:
    if case.reply_type == MESSAGES:
        return b"".join(aws(event) for _, event in frames)
    return b"\n\n".join(head + data(event).removesuffix(b"\n\n") if event is not None else head for head, event in frames)


def with_text(case: Case, text: str, seen: set[tuple]) -> Iterator[tuple[Place, bytes, bytes]]:
    """The case with `text` in the place of each string, at every place that was not seen: request and reply."""
    if case.part in ("request", "notification", "result"):
        body = json.loads(case.body)
        for place, path in strings(body):
            if (case.endpoint, case.part, place) not in seen:
                seen.add((case.endpoint, case.part, place))
                yield place, json.dumps(replaced(body, path, text)).encode(), case.reply
        return
    frames, whole = messages(case)
    if not frames:
        for place, path in strings(whole):
            if (case.endpoint, case.part, place) not in seen:
                seen.add((case.endpoint, case.part, place))
                yield place, case.body, json.dumps(replaced(whole, path, text)).encode()
        return
    for index, (head, event) in enumerate(frames):
        for place, path in strings(event) if event is not None else ():
            if (case.endpoint, case.part, place) not in seen:
                seen.add((case.endpoint, case.part, place))
                changed = [*frames[:index], (head, replaced(event, path, text)), *frames[index + 1 :]]
                yield place, case.body, written(case, changed)
