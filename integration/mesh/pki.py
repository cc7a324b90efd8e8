"""Certificates made by openssl: a mesh's authority, workloads with SPIFFE names, a server's."""

import subprocess
from pathlib import Path


class Authority:
    """A certificate authority in a folder; the certificates it signs stand beside it."""

    def __init__(self, folder: Path, name: str = "cluster.local"):
        self.folder, self.name = folder, name
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate, self._key = folder / "ca.crt", folder / "ca.key"
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self._key)
        self._openssl("req", "-x509", "-new", "-key", self._key, "-days", "2", "-subj", f"/O={name}", "-out", self.certificate)

    def issue(self, name: str, alternative: str, subject: str = "/") -> tuple[Path, Path]:
        """A certificate and its key; `alternative` in openssl's words: `URI:spiffe://...`, `DNS:...`, `IP:...`."""
        key, request, certificate = (self.folder / f"{name}.{ending}" for ending in ("key", "csr", "crt"))
        extension = self.folder / f"{name}.ext"
        # As Istio's: a workload without a subject has a critical alternative name.
        critical = "critical," if subject == "/" else ""
        extension.write_text(f"subjectAltName={critical}{alternative}\nextendedKeyUsage=serverAuth,clientAuth\n")
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        self._openssl("req", "-new", "-key", key, "-subj", subject, "-out", request)
        self._openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial",
            "-days", "2", "-extfile", extension, "-out", certificate,
        )  # fmt: skip
        return certificate, key

    def workload(self, namespace: str, account: str) -> tuple[Path, Path]:
        """What istiod issues to a service account."""
        return self.issue(f"{namespace}-{account}", f"URI:{spiffe(namespace, account)}")

    @staticmethod
    def _openssl(*words) -> None:
        done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True)
        assert done.returncode == 0, f"openssl {words[0]}: {done.stderr}"


def spiffe(namespace: str, account: str) -> str:
    """A service account's identity in Istio."""
    return f"spiffe://cluster.local/ns/{namespace}/sa/{account}"
