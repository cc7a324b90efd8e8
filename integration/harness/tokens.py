"""Keys and tokens made by PyJWT and `cryptography`, apart from the filter's own code."""

import base64
import json
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER = "https://idp.example.com/realms/llm"
AUDIENCE = "llm"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def b64_int(number: int, size: int | None = None) -> str:
    return b64(number.to_bytes(size or (number.bit_length() + 7) // 8, "big"))


class Key:
    """A signing key: `jwk` is its public half, `sign` makes tokens with it."""

    def __init__(self, algorithm: str, kid: str, bits: int = 2048):
        self.algorithm, self.kid = algorithm, kid
        if algorithm == "EdDSA":
            self.private = ed25519.Ed25519PrivateKey.generate()
            material = {"kty": "OKP", "crv": "Ed25519", "x": b64(self.private.public_key().public_bytes_raw())}
        elif algorithm.startswith("ES"):
            curve, name, size = {"ES256": (ec.SECP256R1(), "P-256", 32), "ES384": (ec.SECP384R1(), "P-384", 48)}[
                algorithm
            ]
            self.private = ec.generate_private_key(curve)
            point = self.private.public_key().public_numbers()
            material = {"kty": "EC", "crv": name, "x": b64_int(point.x, size), "y": b64_int(point.y, size)}
        else:
            self.private = rsa.generate_private_key(65537, bits)
            numbers = self.private.public_key().public_numbers()
            material = {"kty": "RSA", "n": b64_int(numbers.n), "e": b64_int(numbers.e)}
        self.jwk = material | {"kid": kid, "use": "sig", "alg": algorithm}

    def sign(self, claims: dict, **header) -> str:
        return jwt.encode(claims, self.private, self.algorithm, {"kid": self.kid} | header)


def claims(subject: str = "alice", roles: list[str] | None = None, lifetime: int = 600, **more) -> dict:
    """Claims that the shipped policy accepts; a value of `None` removes a claim."""
    now = int(time.time())
    base = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": subject, "roles": roles if roles is not None else ["analyst"],
        "tenant": "acme", "iat": now, "exp": now + lifetime,
    }  # fmt: skip
    return {key: value for key, value in (base | more).items() if value is not None}


def forged(header: dict, payload: dict, signature: bytes = b"\0" * 64) -> str:
    """A token with any header, payload and signature."""
    return ".".join(b64(json.dumps(part).encode()) for part in (header, payload)) + "." + b64(signature)


def tampered(token: str, payload: dict) -> str:
    """Another payload under the signature of `token`."""
    head, _, signature = token.split(".")
    return f"{head}.{b64(json.dumps(payload).encode())}.{signature}"
