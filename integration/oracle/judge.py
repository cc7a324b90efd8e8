"""The oracle: what must become of a request under a policy, by the documentation alone.

It reads the same document and the same bytes as the filter, with PyJWT for signatures and Python's own
JSON, and knows which of the world's texts are attacks or secrets. It keeps its own counters of quotas.
"""

import fnmatch
import gzip
import json
import re
import time
from dataclasses import dataclass, field

import jwt

from harness.client import Call, raw

from .world import ATTACKS, MAX_BODY, SECRETS, World

CREDENTIALS = {"authorization", "x-api-key", "api-key", "x-goog-api-key"}
CAPS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
ROLES = {"system", "developer", "user", "assistant", "tool", "function"}


class Refused(Exception):
    """`late`: the upstream may already have the headers in weak mode, but no byte of the body."""

    def __init__(self, status: int, reason: str | None, late: bool = False):
        self.status, self.reason, self.late = status, reason, late


@dataclass
class Expected:
    status: int
    reason: str | None = None
    verdict: str | None = "allow"
    # Whether the upstream sees the request: all of it, its headers alone (weak mode), or nothing.
    arrives: str = "whole"
    # What must hold for the body that arrives.
    body: dict | None = None
    gone: list[str] = field(default_factory=list)
    # The cap on output tokens that must arrive.
    cap: int | None = None


class Duplicate(ValueError):
    pass


class Oracle:
    """Judges calls in the order they are sent; quotas remember."""

    def __init__(self, world: World):
        self.world, self.policy = world, world.policy
        self.issuer = self.policy["authn"]["issuers"][0]
        self.public = {key.kid: (key.algorithm, key.private.public_key()) for key in world.keys.values()}
        self.used: dict[tuple, int] = {}

    def judge(self, call: Call, script: str = "default") -> Expected:
        try:
            return self._pass(call, script)
        except Refused as refused:
            late = refused.late and not self.world.strong
            verdict = "block" if refused.reason else None
            return Expected(refused.status, refused.reason, verdict, "headers" if late else "nothing")

    def _pass(self, call: Call, script: str) -> Expected:
        headers = [(raw(key).lower(), raw(value)) for key, value in call.headers]
        route = self._route(raw(call.path))
        roles, subject = self._caller(headers)
        operation = {"/v1/chat/completions": "chat", "/v1/models": "models", "/llm": "generate"}[route["match"]["path"]]
        granting = [role for role in roles if operation in self.policy["roles"][role]["operations"]]
        if not granting:
            raise Refused(403, "rbac.operation")
        method = raw(call.method).decode()
        if method != ("GET" if operation == "models" else "POST"):
            raise Refused(405, "route.method")
        if call.chunks is None and len(call.body) > MAX_BODY:
            raise Refused(413, "body.tooLarge")
        for role in granting:
            for quota in self.policy["roles"][role].get("quotas", []):
                used = self.used.get((role, subject), 0)
                if used >= quota["requests"]:
                    raise Refused(429, "quota.requests")
                self.used[role, subject] = used + 1
        answer = self._answer(script)
        if operation == "models":
            return answer
        body = self._body(call, headers)
        verdict = self._content(operation, body, granting, answer)
        answer.verdict = verdict
        return answer

    def _route(self, path: bytes) -> dict:
        path = path.split(b"?")[0].decode("latin-1")
        if re.search(r"%2f|%5c|\\", path, re.I):
            raise Refused(400, None)  # Envoy itself: path_with_escaped_slashes_action
        path = re.sub(r"%([46][0-9a-fA-F]|[57][0-9aA])", lambda m: bytes.fromhex(m[1]).decode(), path)
        parts: list[str] = []
        for part in re.sub(r"/+", "/", path).split("/")[1:]:
            if part == "..":
                parts = parts[:-1]
            elif part != ".":
                parts.append(part)
        path = "/" + "/".join(parts)
        for route in self.policy["routes"]:
            if route["match"]["path"] == path:
                return route
        raise Refused(404, "route.unmatched")

    def _caller(self, headers: list[tuple[bytes, bytes]]) -> tuple[list[str], str]:
        tokens = {part.strip() for key, value in headers if key == b"authorization" for part in value.split(b",")}
        if not tokens:
            raise Refused(401, "jwt.missing")
        if not all(re.fullmatch(rb"(?i)bearer +\S+", token) for token in tokens):
            raise Refused(401, "jwt.malformed")
        if len(tokens) > 1:
            raise Refused(400, "jwt.ambiguous")
        claims = self._claims(tokens.pop().split()[1].decode("latin-1"))
        roles = claims.get("roles", [])
        granted = [role for role in roles if role in self.issuer["grants"]["roles"]]
        return granted, claims["sub"]

    def _claims(self, token: str) -> dict:
        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(token, options={"verify_signature": False, "verify_aud": False, "verify_exp": False,
                                                "verify_nbf": False, "verify_iat": False, "verify_sub": False})  # fmt: skip
        except jwt.PyJWTError:
            raise Refused(401, "jwt.malformed") from None
        if claims.get("iss") != self.issuer["issuer"]:
            raise Refused(401, "jwt.issuer")
        if header["alg"] not in self.issuer["algorithms"]:
            raise Refused(401, "jwt.algorithm")
        algorithm, key = self.public.get(header.get("kid"), (None, None))
        if key is None:
            raise Refused(401, "jwt.key")
        if algorithm != header["alg"]:
            raise Refused(401, "jwt.algorithm")
        try:
            jwt.decode(token, key, [algorithm], options={"verify_aud": False, "verify_exp": False, "verify_nbf": False,
                                                         "verify_iat": False, "verify_sub": False})  # fmt: skip
        except jwt.PyJWTError:
            raise Refused(401, "jwt.signature") from None
        audience = claims.get("aud")
        audience = audience if isinstance(audience, list) else [audience]
        if not set(audience) & set(self.issuer["audiences"]):
            raise Refused(401, "jwt.audience")
        if not isinstance(claims.get("exp"), (int, float)) or not isinstance(claims.get("sub"), str):
            raise Refused(401, "jwt.claims")
        now, skew = time.time(), 60
        if claims["exp"] + skew <= now:
            raise Refused(401, "jwt.expired")
        if max(claims.get("nbf", 0), claims.get("iat", 0)) > now + skew:
            raise Refused(401, "jwt.notYetValid")
        return claims

    def _answer(self, script: str) -> Expected:
        status = {"error": 500, "reset": 503}.get(script, 200)
        return Expected(status)

    def _body(self, call: Call, headers: list[tuple[bytes, bytes]]) -> dict:
        named = dict(headers)
        encoding = named.get(b"content-encoding", b"identity")
        if encoding not in (b"identity", b"gzip"):
            raise Refused(415, "body.encoding")
        kind = named.get(b"content-type", b"").split(b";")[0].strip().lower()
        if kind != b"application/json":
            raise Refused(415, "body.contentType")
        data = b"".join(call.pieces())
        # Envoy's decompressor stands before the filter.
        data = gzip.decompress(data) if encoding == b"gzip" else data
        if len(data) > MAX_BODY:
            raise Refused(413, "body.tooLarge", late=True)

        def pairs(items: list[tuple]) -> dict:
            if len({key for key, _ in items}) < len(items):
                raise Duplicate
            return dict(items)

        def constant(_: str):
            raise ValueError

        try:
            body = json.loads(data.decode(), object_pairs_hook=pairs, parse_constant=constant)
        except Duplicate:
            raise Refused(400, "body.duplicateKey", late=True) from None
        except (ValueError, RecursionError):
            raise Refused(400, "body.malformed", late=True) from None
        if depth(body) > 64:
            raise Refused(400, "body.depth", late=True)
        if not isinstance(body, dict):
            raise Refused(400, "body.shape", late=True)
        return body

    def _content(self, operation: str, body: dict, granting: list[str], answer: Expected) -> str:
        def refuse(status: int, reason: str):
            raise Refused(status, reason, late=True)

        if operation == "generate":
            if "prompt" not in body:
                refuse(400, "body.shape")
            model, tools, choices, unscanned = "default", [], 1, False
            now, before = strings(body), []
        else:
            model, messages = body.get("model"), body.get("messages")
            if not isinstance(model, str) or not isinstance(messages, list):
                refuse(400, "body.shape")
            if not all(isinstance(message, dict) and message.get("role") in ROLES for message in messages):
                refuse(400, "body.shape")
            tools = [tool["function"]["name"] for tool in body.get("tools", [])]
            choices = body.get("n", 1)
            turn = max((at + 1 for at, m in enumerate(messages) if m["role"] == "assistant"), default=0)
            parts = [part for m in messages if isinstance(m.get("content"), list) for part in m["content"]]
            unscanned = any(part["type"] not in ("text", "refusal") for part in parts)
            rest = {key: value for key, value in body.items() if key not in ("messages", "model")}
            now = strings([m for at, m in enumerate(messages) if m["role"] in ("system", "developer")
                           or (at >= turn and m["role"] == "user")]) + strings(rest)  # fmt: skip
            before = strings(messages)
        roles = [self.policy["roles"][name] for name in granting]
        if not any(fnmatch.fnmatchcase(model, glob) for role in roles for glob in role["models"]):
            refuse(403, "rbac.model")
        allowed = [glob for role in roles for glob in role.get("tools", {}).get("allow", [])]
        if not all(any(fnmatch.fnmatchcase(tool, glob) for glob in allowed) for tool in tools):
            refuse(403, "rbac.tool")
        # Where the upstream calls is the operator's to choose.
        if choices > 1 or "api_base" in body:
            refuse(403, "rbac.parameter")
        if unscanned:
            refuse(400, "body.unscanned")
        if any(attack in text for text in now for attack in ATTACKS):
            refuse(400, "scan.injection")
        if any(secret in text for text in now + before for secret in SECRETS):
            refuse(400, "scan.secret")
        answer.body = body
        answer.gone = [attack for attack in ATTACKS if any(attack in text for text in before)]
        answer.cap = max(role["maxOutputTokens"] for role in roles) if operation == "chat" else None
        return "replace" if answer.gone else "allow"


def strings(value) -> list[str]:
    """Every string of a JSON value, keys too."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (key, *strings(item))]
    return []


def depth(value) -> int:
    """Nesting, without recursion: `[]` is 1."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        item, level = waiting.pop()
        if isinstance(item, (list, dict)):
            deepest = max(deepest, level)
            waiting += [(child, level + 1) for child in (item.values() if isinstance(item, dict) else item)]
    return deepest
