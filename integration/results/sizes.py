"""The bytes of code that each wire format and each part adds to the module: `python3 sizes.py MODULE`, before wasm-opt takes the
names out. `python3 sizes.py MODULE SHIPPED CODE DATA` fails where the module that ships has more bytes of code or of data.

The module's `name` section (WebAssembly core specification, appendix "Custom Sections") says which function is of which
path. A function that the compiler made a part of another counts for that one.
"""

import collections
import pathlib
import re
import sys
from collections.abc import Iterator

CODE, DATA, CUSTOM = 10, 11, 0
FUNCTION_NAMES = 1
IMPORTS = 2
# What is told apart: a folder or file of src, and of these what is in them.
SPLIT = {"consult", "quota"}
# The first path of ours in a name, in either of the two forms that names have; else the crate.
OURS = re.compile(r"(?<![a-z_])bartizan(?:\d+|\.\.|::)([a-z_]+)(?:\d+|\.\.|::)([a-z_]*)")
CRATE = re.compile(r"_ZN(\d+)([a-z]\w*)")
INNER = re.compile(r"\$LT\$(?:\$\w+?\$)*([a-z]\w*?)\.\.")
# A format is a folder. Its name is followed by what is in it, in either of the two forms that names have.
FOLDERS = [path.name for path in (pathlib.Path(__file__).parents[2] / "src" / "protocol").iterdir() if (path / "mod.rs").exists()]


# What every module has; the others are all there or none is.
CORE = {"openai", "anthropic", "ollama", "tgi", "mcp", "generic"}


class Bytes:
    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def number(self) -> int:
        """An unsigned number in LEB128."""
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def take(self, length: int) -> "Bytes":
        self.at += length
        return Bytes(self.data[self.at - length : self.at])

    def name(self) -> str:
        return self.take(self.number()).data.decode()

    def sections(self) -> Iterator[tuple[int, "Bytes"]]:
        while self.at < len(self.data):
            kind = self.data[self.at]
            self.at += 1
            yield kind, self.take(self.number())


def imported_functions(section: Bytes) -> int:
    count = 0
    for _ in range(section.number()):
        section.name(), section.name()
        kind = section.number()
        if kind:
            raise SystemExit("an import that is no function: this script does not read it")
        section.number()
        count += 1
    return count


def functions(module: bytes) -> dict[str, int]:
    """The bytes of every function's body, by name."""
    imported, lengths, names = 0, [], {}
    body = Bytes(module)
    body.at = 8
    for kind, section in body.sections():
        if kind == IMPORTS:
            imported = imported_functions(section)
        elif kind == CODE:
            lengths = [len(section.take(section.number()).data) for _ in range(section.number())]
        elif kind == CUSTOM and section.name() == "name":
            for part, inner in section.sections():
                if part == FUNCTION_NAMES:
                    names = {inner.number(): inner.name() for _ in range(inner.number())}
    sizes: dict[str, int] = collections.Counter()
    for index, length in enumerate(lengths, imported):
        sizes[names.get(index, "")] += length
    return sizes


def sections(module: bytes) -> dict[int, int]:
    """The bytes of each kind of section."""
    body = Bytes(module)
    body.at = 8
    found: collections.Counter = collections.Counter()
    for kind, section in body.sections():
        found[kind] += len(section.data)
    return found


def hold(shipped: dict[int, int], most: dict[int, int]) -> None:
    """That no section has grown over its bound: code costs fifty times its bytes of memory, and a second of start a megabyte."""
    for kind, name in ((CODE, "code"), (DATA, "data")):
        print(f"bytes of {name} as shipped: {shipped[kind]:,} of at most {most[kind]:,}")
        if shipped[kind] > most[kind]:
            raise SystemExit(f"{shipped[kind]:,} bytes of {name}, expected at most {most[kind]:,}")


def of_formats(sizes: dict[str, int]) -> dict[str, int]:
    """The bytes of each format, the largest first."""
    found: collections.Counter = collections.Counter()
    for folder in FOLDERS:
        name = re.compile(rf"protocol(?:\d+|\.\.|::){folder}(?:\d|\.\.|::)")
        found[folder] = sum(size for function, size in sizes.items() if name.search(function))
    return dict(found.most_common())


def of_parts(sizes: dict[str, int]) -> dict[str, int]:
    """The bytes of each part of ours and of each crate beside, the largest first."""
    found: collections.Counter = collections.Counter()
    for function, size in sizes.items():
        if ours := OURS.search(function):
            room, inner = ours.groups()
            found[f"{room}::{inner}" if room in SPLIT and inner else room] += size
        elif crate := CRATE.match(function):
            found[f"({crate[2][: int(crate[1])]})"] += size
        elif crate := INNER.search(function):
            found[f"({crate[1]})"] += size
        else:
            found["(other)"] += size
    return dict(found.most_common())


def told(sizes: dict[str, int]) -> str:
    return ", ".join(f"{name} {size:,}" for name, size in sizes.items())


if __name__ == "__main__":
    module = functions(pathlib.Path(sys.argv[1]).read_bytes())
    formats, parts = of_formats(module), of_parts(module)
    missing = {name for name, size in formats.items() if not size}
    if missing and missing != set(formats) - CORE:
        raise SystemExit(f"no code of {', '.join(sorted(missing))}: are the names stripped?")
    wanted = ["condition", "consult::opa", "consult::opinion", "quota::price", "quota::fleet"]
    if missing := [name for name in wanted if not parts.get(name)]:
        raise SystemExit(f"no code of {', '.join(missing)}: are the names stripped?")
    print("bytes of code by wire format: " + told(formats))
    least = sum(module.values()) // 500
    large = {name: size for name, size in parts.items() if size >= least or name in wanted}
    print("bytes of code by part: " + told(large) + f", others {sum(parts.values()) - sum(large.values()):,}")
    if len(sys.argv) == 5:
        hold(sections(pathlib.Path(sys.argv[2]).read_bytes()), {CODE: int(sys.argv[3]), DATA: int(sys.argv[4])})
