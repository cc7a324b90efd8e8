"""Access tokens of a workload's identity, for Envoy: fetched again before they expire, and written as a secret that it reads.

    python3 tokens.py google /run/bartizan-token/sds.yaml [--name vertex-token] [--once]
    python3 tokens.py azure /run/bartizan-token/sds.yaml [--name azure-token] [--once]

`google` asks the metadata server (GKE with Workload Identity, Compute Engine, Cloud Run); GCE_METADATA_HOST names another.
`azure` exchanges the pod's service account token at Microsoft Entra ID, by the variables that AKS' workload identity
sets: AZURE_CLIENT_ID, AZURE_TENANT_ID, AZURE_FEDERATED_TOKEN_FILE, AZURE_AUTHORITY_HOST; AZURE_SCOPE is what for.

Run it beside Envoy with a shared volume in memory; with `--once` before it, so that Envoy starts with a token. Only the
standard library. Nothing of a token is printed.
"""

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
NAMES = {"google": "vertex-token", "azure": "azure-token"}


def google() -> urllib.request.Request:
    """The request for a token of the workload's service account."""
    host = os.environ.get("GCE_METADATA_HOST", "metadata.google.internal")
    url = f"http://{host}/computeMetadata/v1/instance/service-accounts/default/token"
    return urllib.request.Request(url, headers={"metadata-flavor": "Google"})


def azure() -> urllib.request.Request:
    """The request that exchanges the pod's token; that one is read each time, because the kubelet renews it."""
    authority = os.environ.get("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com").rstrip("/")
    form = {
        "grant_type": "client_credentials",
        "client_id": os.environ["AZURE_CLIENT_ID"],
        "scope": os.environ.get("AZURE_SCOPE", "https://cognitiveservices.azure.com/.default"),
        "client_assertion_type": ASSERTION,
        "client_assertion": Path(os.environ["AZURE_FEDERATED_TOKEN_FILE"]).read_text().strip(),
    }
    url = f"{authority}/{os.environ['AZURE_TENANT_ID']}/oauth2/v2.0/token"
    return urllib.request.Request(url, data=urllib.parse.urlencode(form).encode())


def fetch(request: urllib.request.Request) -> tuple[str, float]:
    """The token, and for how many seconds it counts."""
    with urllib.request.urlopen(request, timeout=10) as reply:
        answer = json.loads(reply.read())
    token, lifetime = answer["access_token"], float(answer["expires_in"])
    if not isinstance(token, str) or not token or lifetime <= 0:
        raise ValueError("no token in the answer")
    return token, lifetime


def write(file: Path, name: str, token: str) -> None:
    """Puts the secret in place by one rename, which is what Envoy's `watched_directory` looks for."""
    resource = {"@type": SECRET, "name": name, "generic_secret": {"secret": {"inline_string": token}}}
    part = file.with_name(f".{file.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
    with open(descriptor, "w") as out:
        # JSON is YAML, too.
        json.dump({"resources": [resource]}, out)
    part.rename(file)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("source", choices=NAMES)
    arguments.add_argument("file", type=Path)
    arguments.add_argument("--name", help="the secret's name in the Envoy file")
    arguments.add_argument("--once", action="store_true", help="write one token and end")
    given = arguments.parse_args()
    make, pause = {"google": google, "azure": azure}[given.source], 1.0
    while True:
        try:
            token, lifetime = fetch(make())
            write(given.file, given.name or NAMES[given.source], token)
        except (OSError, ValueError, KeyError, urllib.error.URLError) as why:
            # The old token counts until it expires; the text of an answer may hold one, so only the kind is told.
            status = getattr(why, "code", "")
            print(f"no token: {type(why).__name__} {status}".rstrip(), file=sys.stderr, flush=True)
            if given.once:
                sys.exit(1)
            time.sleep(pause)
            pause = min(pause * 2, 30.0)
            continue
        print(f"a token for {lifetime:.0f} s", flush=True)
        if given.once:
            return
        # The metadata server keeps a token until 5 minutes before its end.
        pause = 1.0
        time.sleep(max(1.0, lifetime - 300 if lifetime > 600 else lifetime / 2))


if __name__ == "__main__":
    main()
