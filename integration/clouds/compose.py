"""The services of a compose file as processes of this machine: commands, volumes, ports and names as the file says.

What a container runtime would do is done by substitution: a volume's target becomes its source, a service's name 127.0.0.1, a
port a free one. What a process here can't have (users, capabilities, networks of its own) is not tried.
"""

import re
import shlex
import sys
from pathlib import Path

import yaml

from harness.llama import SERVER
from harness.paths import run_folder
from harness.process import Child
from mesh.cluster import free_port


def interpolated(text: str, variables: dict[str, str]) -> str:
    """`${NAME:-default}`, the only form that the file has."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: variables.get(found[1]) or found[2], text)


def llama_server(words: list[str]) -> list[str]:
    """The command of llama.cpp's server, given to its library: the binary can't be had here. An unknown flag is an error."""
    flags = dict(zip(words[::2], words[1::2], strict=True))
    model, alias, host, port, context, parallel = (flags.pop(f"--{name}") for name in ("model", "alias", "host", "port", "ctx-size", "parallel"))
    assert not flags and host == "127.0.0.1" and parallel == "2", flags
    return [sys.executable, "-c", SERVER, model, alias, port, "1", context]


class Compose:
    """The parsed file, and its services as processes: `start(name)`, `ports[container port]`, `published`."""

    def __init__(self, file: Path, variables: dict[str, str], programs: dict):
        self.file, self.programs, self.folder = file, programs, run_folder("compose")
        self.document = yaml.safe_load(interpolated(file.read_text(), variables))
        self.services = self.document["services"]
        ports = [port.split(":")[-1] for service in self.services.values() for port in [*service.get("ports", []), *service.get("expose", [])]]
        assert len(ports) == len(set(ports)), "one port for two services: processes of one machine can't do that"
        self.ports = {port: str(free_port()) for port in ports}
        self.published = {port.split(":")[-1] for service in self.services.values() for port in service.get("ports", [])}
        self.children: dict[str, Child] = {}

    def volumes(self, name: str) -> dict[str, Path]:
        """The targets of a service, and where they are here: files as copies in which names and ports are this machine's."""
        made = self.folder / name
        made.mkdir(exist_ok=True)
        found = {}
        for volume in self.services[name].get("volumes", []):
            source, target, *mode = volume.split(":")
            if source in self.document.get("volumes", {}):
                found[target] = made / "volumes" / source
                found[target].mkdir(parents=True, exist_ok=True)
                continue
            assert mode == ["ro"], f"{volume}: a file of the host that a service may write"
            path = (self.file.parent / source).resolve()
            assert path.is_file(), f"{name}: {source} is not there"
            copy = made / "files" / target.lstrip("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix in (".yaml", ".json"):
                copy.write_text(self.here(path.read_text()))
            else:
                copy.symlink_to(path)
            found[target] = copy
        return found

    def here(self, text: str) -> str:
        """The text with this machine's ports and addresses; numbers are ports where they are written as such."""
        for port, own in self.ports.items():
            text = re.sub(rf"(port_value: |:|--port ){port}\b", rf"\g<1>{own}", text)
        for name in self.services:
            text = re.sub(rf"\b{name}(?=:\d|, port_value)", "127.0.0.1", text)
        return text.replace("0.0.0.0", "127.0.0.1")

    def start(self, name: str) -> Child:
        service = self.services[name]
        found = self.volumes(name)
        words = [*service.get("entrypoint", []), *service.get("command", [])]
        temporary = self.folder / name / "tmp"
        temporary.mkdir(exist_ok=True)
        line = self.here(shlex.join(words))
        # In one pass: a path of this machine may hold another target.
        places = {**{target: str(path) for target, path in found.items()}, "/tmp": str(temporary)}
        either = "|".join(re.escape(target) for target in sorted(places, key=len, reverse=True))
        line = re.sub(rf"(?<![\w/.-])({either})(?![\w.-])", lambda match: places[match[1]], line)
        words = self.programs[name](shlex.split(line))
        folder = self.folder / name / "files" / service.get("working_dir", "/").lstrip("/")
        self.children[name] = Child(words, log=self.folder / f"{name}.log", cwd=folder, env={"TMPDIR": str(temporary)})
        return self.children[name]

    def stop(self) -> None:
        for child in self.children.values():
            child.stop()
