"""The module as it is built, with less memory than it asks for: its VM dies of a large body."""

from pathlib import Path

from . import envoy
from .paths import MODULE, run_folder

MEMORY = 5
# 10 MiB: a fresh VM takes about half of it, and a body of 4 MB more than all.
PAGES = 160


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128:
            return value, at


def as_varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def with_little_memory(module: bytes) -> bytes:
    """The same module with a limit in its memory section: an allocation beyond it fails, and Rust aborts."""
    out, at = module[:8], 8
    while at < len(module):
        kind = module[at]
        size, start = varint(module, at + 1)
        body, at = module[start : start + size], start + size
        if kind == MEMORY:
            assert body[:2] == b"\x01\x00", "one memory without a limit"
            body = b"\x01\x01" + body[2:] + as_varint(PAGES)
        out += bytes([kind]) + as_varint(len(body)) + body
    return out


def little_memory(config: dict) -> None:
    """The proxy runs the module with little memory."""
    file = Path(run_folder("fragile")) / "bartizan.wasm"
    file.write_bytes(with_little_memory(MODULE.read_bytes()))
    envoy.wasm(config)["vm_config"]["code"]["local"]["filename"] = str(file)
