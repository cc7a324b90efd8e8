"""Vectors of texts without a model: words that two texts share make them near. The same text has the same vector everywhere."""

import hashlib
import math
import re

SIZE = 64


def embed(text: str) -> list[float]:
    """Each word adds to one of the dimensions; the length is one."""
    vector = [0.0] * SIZE
    for word in re.findall(r"[a-z0-9]+", text.lower()):
        vector[int.from_bytes(hashlib.sha256(word.encode()).digest()[:2], "big") % SIZE] += 1.0
    length = math.sqrt(sum(value * value for value in vector))
    return [round(value / length, 6) for value in vector] if length else [1.0] + vector[1:]
