"""Stand-ins for what only a cloud has: each answers as its service documents, verifies what it gets and writes it down.

AWS, Google and Microsoft can't be had here. What they would verify is verified: the signature over the body that came, the ID
token's signature and audience, the form of a token request.
"""

import base64
import hashlib
import hmac
import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from harness import upstream
from harness.tokens import Key

KEY_ID, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


class Got:
    """One request as it came."""

    def __init__(self, method: str, path: str, headers: dict[str, str], body: bytes):
        self.method, self.path, self.headers, self.body = method, path, headers, body

    def json(self):
        return json.loads(self.body)


class Standin:
    """An HTTP/1.1 server on a free port; `answer(got)` gives status, headers and body. Not `up` means 503."""

    def __init__(self):
        self.got: list[Got] = []
        self.up = True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                if headers.get("transfer-encoding") == "chunked":
                    body = b""
                    while size := int(self.rfile.readline().split(b";")[0], 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                else:
                    body = self.rfile.read(int(headers.get("content-length", 0)))
                got = Got(self.command, self.path, headers, body)
                outer.got.append(got)
                status, fields, out = outer.answer(got) if outer.up else (503, {}, b"")
                self.send_response_only(status)
                for name, value in {**fields, "content-length": str(len(out))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(out)

            do_GET = do_POST = do_PUT = _any

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, got: Got) -> tuple[int, dict, bytes]:
        raise NotImplementedError

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def as_json(value, status: int = 200, **fields) -> tuple[int, dict, bytes]:
    return status, {"content-type": "application/json", **fields}, json.dumps(value).encode()


def canonical_path(path: str) -> str:
    """The path of the canonical request: every service but S3 encodes what stands in the request line once more."""
    return urllib.parse.quote(path, safe="/-_.~")


def signed_well(got: Got, service: str, secret: str = SECRET, at: float | None = None) -> str | None:
    """Why the Signature Version 4 of a request is wrong, or `None`: by AWS's description, and by botocore beside it."""
    scheme, _, rest = got.headers.get("authorization", "").partition(" ")
    if scheme != "AWS4-HMAC-SHA256":
        return "not signed"
    fields = dict(part.strip().split("=", 1) for part in rest.split(","))
    key_id, date, region, named, end = fields["Credential"].split("/")
    names = fields["SignedHeaders"].split(";")
    if (key_id, named, end) != (KEY_ID, service, "aws4_request"):
        return f"scope {key_id} {named}"
    if not {"host", "x-amz-date"} <= set(names):
        return f"signed are only {names}"
    stamp = got.headers["x-amz-date"]
    now = time.time() if at is None else at
    then = time.mktime(time.strptime(stamp, "%Y%m%dT%H%M%SZ")) - time.timezone
    if stamp[:8] != date or abs(now - then) > 900:
        return "not of now"
    digest = hashlib.sha256(got.body).hexdigest()
    if got.headers.get("x-amz-content-sha256", digest) != digest:
        return "another body"
    path, _, query = got.path.partition("?")
    pairs = sorted(pair if "=" in pair else f"{pair}=" for pair in query.split("&") if pair)
    canonical = "\n".join([
        got.method, canonical_path(path), "&".join(pairs),
        *(f"{name}:{' '.join(got.headers.get(name, '').split())}" for name in names), "", ";".join(names), digest,
    ])  # fmt: skip
    scope = f"{date}/{region}/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request", text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    request = AWSRequest(got.method, f"http://{got.headers['host']}{got.path}", data=got.body, headers={name: got.headers.get(name, "") for name in names})
    request.context["timestamp"] = stamp
    auth = SigV4Auth(Credentials(KEY_ID, secret), service, region)
    theirs = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    if theirs != key.hex():
        return "botocore computes another signature than this verifier"
    return None if fields["Signature"] == theirs else "another signature"


class Bedrock(Standin):
    """Converse, for callers who sign."""

    def answer(self, got: Got):
        if why := signed_well(got, "bedrock"):
            return as_json({"message": why}, 403)
        message = {"role": "assistant", "content": [{"text": "A small turret."}]}
        usage = {"inputTokens": 11, "outputTokens": 13, "totalTokens": 24}
        return as_json({"output": {"message": message}, "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 1}})


class Lambda(Standin):
    """The Invoke API for one function, `function(event)`, whose answer is passed on as AWS does."""

    function = None

    def answer(self, got: Got):
        if why := signed_well(got, "lambda"):
            return as_json({"Message": why}, 403)
        if not got.path.endswith("/invocations") or not got.path.startswith("/2015-03-31/functions/"):
            return as_json({"Message": "no such operation"}, 404)
        try:
            return as_json(self.function(got.json()))
        except RuntimeError as why:
            # A function that fails: the call itself is 200.
            return as_json({"errorMessage": str(why), "errorType": "RuntimeError"}, 200, **{"x-amz-function-error": "Unhandled"})


def completion(text: str = upstream.REPLY_TEXT) -> dict:
    return upstream.completion(text=text)


class Metadata(Standin):
    """Google's metadata server: ID tokens for an audience, and access tokens."""

    def __init__(self, lifetime: int = 3600):
        super().__init__()
        self.key, self.lifetime, self.made = Key("RS256", "google"), lifetime, 0

    def answer(self, got: Got):
        if got.headers.get("metadata-flavor") != "Google":
            return 403, {}, b""
        path, _, query = got.path.partition("?")
        account = "/computeMetadata/v1/instance/service-accounts/default/"
        now = int(time.time())
        if path == account + "identity":
            (audience,) = urllib.parse.parse_qs(query)["audience"]
            claims = {"iss": "https://accounts.google.com", "aud": audience, "email": "llm@project.example", "iat": now, "exp": now + self.lifetime}
            return 200, {"content-type": "text/html", "metadata-flavor": "Google"}, self.key.sign(claims).encode()
        if path == account + "token":
            self.made += 1
            return as_json({"access_token": f"ya29.made-{self.made}", "expires_in": self.lifetime, "token_type": "Bearer"})
        return 404, {}, b""


class CloudRun(Standin):
    """A service that admits only callers with an ID token for its own address."""

    def __init__(self, metadata: Metadata, audience: str):
        super().__init__()
        self.metadata, self.audience = metadata, audience

    def answer(self, got: Got):
        scheme, _, token = got.headers.get("authorization", "").partition(" ")
        try:
            jwt.decode(token, self.metadata.key.private.public_key(), ["RS256"], audience=self.audience)
        except jwt.InvalidTokenError:
            return 403, {"content-type": "text/html"}, b"<html>403</html>"
        return as_json(completion())


class Entra(Standin):
    """Microsoft Entra ID's token endpoint: the client credentials grant, with a secret or with an assertion."""

    def __init__(self, tenant: str, client: str, secret: str = "", assertion: str = "", lifetime: int = 3600):
        super().__init__()
        self.tenant, self.client, self.secret, self.assertion, self.lifetime = tenant, client, secret, assertion, lifetime
        self.made = 0

    def answer(self, got: Got):
        form = {key: value for key, (value,) in urllib.parse.parse_qs(got.body.decode()).items()}
        good = got.path == f"/{self.tenant}/oauth2/v2.0/token" and form.get("client_id") == self.client
        good &= form.get("grant_type") == "client_credentials" and form.get("scope") == "https://cognitiveservices.azure.com/.default"
        if self.assertion:
            kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            good &= form.get("client_assertion_type") == kind and form.get("client_assertion") == self.assertion
        else:
            good &= form.get("client_secret") == self.secret
        if not good:
            return as_json({"error": "invalid_client"}, 401)
        self.made += 1
        return as_json({"token_type": "Bearer", "expires_in": self.lifetime, "access_token": f"entra-{self.made}"})


class Model(Standin):
    """A model behind a bearer token that is not verified here: the test looks at what came."""

    def __init__(self, reply):
        super().__init__()
        self.reply = reply

    def answer(self, got: Got):
        return as_json(self.reply)


def decoded(event: dict) -> bytes:
    """The body in the envelope that Envoy makes for a function."""
    return base64.b64decode(event["body"]) if event["is_base64_encoded"] else event["body"].encode()
