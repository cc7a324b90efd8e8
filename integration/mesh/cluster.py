"""A Kubernetes API server with Istio's CRDs: the real one for custom resources, without core kinds and without nodes.

Namespaces are not objects here and exist for everybody; core kinds are judged by their schemas instead.
"""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from harness.paths import run_folder
from harness.process import Child, Running

from . import parts
from .pki import Authority


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster(Running):
    """etcd and the API server; `kubectl` talks to it as an administrator. A context manager."""

    def __init__(self, crds: Path | None = None):
        crds = crds or parts.istio_crds()
        binary, etcd = parts.apiserver(), parts.tool("etcd")
        self.kubectl_path = parts.tool("kubectl")
        self.folder = run_folder("cluster")
        pki = Authority(self.folder / "pki", "test")
        server, server_key = pki.issue("server", "IP:127.0.0.1,DNS:localhost", "/CN=apiserver")
        admin, admin_key = pki.issue("admin", "DNS:admin", "/O=system:masters/CN=admin")
        store, peer, port = free_port(), free_port(), free_port()
        self.kubeconfig = self.folder / "kubeconfig"
        cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(pki.certificate)}
        self.kubeconfig.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"client-certificate": str(admin), "client-key": str(admin_key)}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin", "namespace": "default"}}],
        }))  # fmt: skip
        url = f"http://127.0.0.1:{store}"
        self.etcd = Child([
            etcd, "--data-dir", str(self.folder / "etcd"), "--listen-client-urls", url, "--advertise-client-urls", url,
            "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
            "--initial-cluster", f"default=http://127.0.0.1:{peer}", "--unsafe-no-fsync",
        ], log=self.folder / "etcd.log")  # fmt: skip
        self.etcd.wait_until(lambda: _answers(f"{url}/health"), "etcd")
        kubeconfig = str(self.kubeconfig)
        self.server = Child([
            binary, "--etcd-servers", url, "--secure-port", str(port), "--bind-address", "127.0.0.1",
            "--tls-cert-file", str(server), "--tls-private-key-file", str(server_key), "--client-ca-file", str(pki.certificate),
            "--authentication-skip-lookup", "--authentication-kubeconfig", kubeconfig,
            "--authorization-kubeconfig", kubeconfig, "--kubeconfig", kubeconfig,
            # They ask for namespaces and webhooks, kinds that this server does not have.
            "--disable-admission-plugins=NamespaceLifecycle,MutatingAdmissionPolicy,MutatingAdmissionWebhook,"
            "ValidatingAdmissionPolicy,ValidatingAdmissionWebhook",
            "--enable-priority-and-fairness=false",
        ], log=self.folder / "apiserver.log", cwd=self.folder)  # fmt: skip
        try:
            self._fill(crds)
        except BaseException:
            self.stop()
            raise

    def _fill(self, crds: Path) -> None:
        """Waits for the server and gives it the kinds of the file."""
        # /readyz waits for Services, which this server does not have.
        self.server.wait_until(lambda: self.kubectl("get", "crd")[0] == 0, "the API server", 120)
        code, said = self.kubectl("apply", "--server-side", "-f", str(crds))
        assert code == 0, said
        code, said = self.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
        assert code == 0, said
        # `Established` comes a moment before the kinds are served.
        kinds = {(crd["spec"]["group"], crd["spec"]["names"]["kind"]) for crd in documents(crds.read_text())}
        self.kinds = kinds
        end = time.monotonic() + 60
        names = ",".join(sorted(f"{crd['spec']['names']['plural']}.{crd['spec']['group']}" for crd in documents(crds.read_text())))
        while self.kubectl("get", names, "-A")[0] != 0:
            assert time.monotonic() < end, "the kinds are not served"
            time.sleep(0.2)

    def kubectl(self, *words: str, stdin: str | None = None) -> tuple[int, str]:
        """Exit code, and what it said on both streams."""
        done = subprocess.run(
            [self.kubectl_path, "--kubeconfig", str(self.kubeconfig), "--cache-dir", str(self.folder / "cache"), *words],
            input=stdin, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def serves(self, document: dict) -> bool:
        """True when this kind is one of the file's: Istio's, unless another file was given."""
        return (document["apiVersion"].rpartition("/")[0], document["kind"]) in self.kinds

    def apply(self, documents: list[dict], *words: str, manager: str = "test") -> tuple[int, str]:
        """Server-side apply with strict fields: an unknown or repeated field is an error, not a warning."""
        text = "\n---\n".join(json.dumps(document) for document in documents)
        return self.kubectl(
            "apply", "--server-side", "--validate=strict", f"--field-manager={manager}", "--force-conflicts", "-f", "-", *words,
            stdin=text,
        )  # fmt: skip

    def get(self, kind: str, name: str, namespace: str) -> dict:
        code, said = self.kubectl("get", kind, name, "-n", namespace, "-o", "json")
        assert code == 0, said
        return json.loads(said)

    def stop(self) -> None:
        self.server.stop()
        self.etcd.stop()


def documents(text: str) -> list[dict]:
    """The objects of a YAML stream."""
    return [document for document in yaml.safe_load_all(text) if document]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return reply.status == 200
    except (urllib.error.URLError, OSError):
        return False
