"""Writes vectors.json: signed, forged and mangled tokens, with what each must come to.

    python3 tests/data/jws/generate.py        (needs the package `cryptography`)

The signatures are OpenSSL's, so that the tests compare two implementations. Private keys are made
anew on every run and never written.
"""

import base64
import hashlib
import hmac
import json
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

NOW = 1_800_000_000
ISS = "https://idp.test/realms/llm"
HASH = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, width=None):
    return b64(value.to_bytes(width or (value.bit_length() + 7) // 8, "big"))


def jwk(key, kid=None, **extra):
    public = key.public_key()
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = public.public_numbers()
        out = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        numbers, width = public.public_numbers(), (key.curve.key_size + 7) // 8
        curve = {256: "P-256", 384: "P-384", 521: "P-521"}[key.curve.key_size]
        out = {"kty": "EC", "crv": curve, "x": number(numbers.x, width), "y": number(numbers.y, width)}
    else:
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        out = {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}
    return {**({"kid": kid} if kid else {}), **out, **extra}


def sign(alg, key, data, salt=None):
    if alg.startswith("RS"):
        return key.sign(data, padding.PKCS1v15(), HASH[alg[2:]])
    if alg.startswith("PS"):
        algorithm = HASH[alg[2:]]
        return key.sign(data, padding.PSS(padding.MGF1(algorithm), salt or algorithm.digest_size), algorithm)
    if alg.startswith("ES"):
        width = (key.curve.key_size + 7) // 8
        r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(HASH[alg[2:]])))
        return r.to_bytes(width, "big") + s.to_bytes(width, "big")
    return key.sign(data)


CLAIMS = {"iss": ISS, "aud": "llm", "sub": "alice", "iat": NOW, "exp": NOW + 600, "roles": ["analyst"]}


def compact(header, claims, signer):
    text = lambda part: part if isinstance(part, bytes) else json.dumps(part).encode()
    signed = f"{b64(text(header))}.{b64(text(claims))}"
    signature = signer(signed.encode()) if callable(signer) else signer
    return f"{signed}.{b64(signature)}"


def token(alg, key, kid, claims=CLAIMS, header=None, **options):
    header = {"alg": alg, "kid": kid} if header is None else header
    return compact(header, claims, lambda data: sign(alg, key, data, **options))


rsa2, rsa3, rsa4 = (rsa.generate_private_key(65537, bits) for bits in (2048, 3072, 4096))
weak = rsa.generate_private_key(65537, 1024)
p256, p384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
ed = ed25519.Ed25519PrivateKey.generate()
thief = {"RS": rsa.generate_private_key(65537, 2048), "ES256": ec.generate_private_key(ec.SECP256R1()),
         "ES384": ec.generate_private_key(ec.SECP384R1()), "EdDSA": ed25519.Ed25519PrivateKey.generate()}

KEYS = [(rsa2, "rsa2"), (rsa3, "rsa3"), (rsa4, "rsa4"), (p256, "p256"), (p384, "p384"), (ed, "ed")]
ALL = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
narrow = rsa.generate_private_key(65537, 2048)
AUTHN = {"issuers": [
    {"name": "all", "issuer": ISS, "audiences": ["llm"], "algorithms": ALL,
     "jwks": {"inline": {"keys": [jwk(key, kid, use="sig") for key, kid in KEYS]}}},
    {"name": "narrow", "issuer": "https://narrow.test", "audiences": ["llm"], "algorithms": ["RS256", "ES256"],
     "jwks": {"inline": {"keys": [jwk(narrow, "narrow", alg="RS256", key_ops=["verify"]), jwk(p256)]}}},
]}

vectors = []


def add(name, token, expect):
    vectors.append({"name": name, "token": token, "expect": expect})


# Every algorithm, every key size.
for alg in ALL:
    if alg[:2] in ("RS", "PS"):
        for key, kid in KEYS[:3]:
            add(f"{alg} by {kid}", token(alg, key, kid), "ok")
        add(f"{alg} forged", token(alg, thief["RS"], "rsa2"), "jwt.signature")
    else:
        key, kid = {"ES256": (p256, "p256"), "ES384": (p384, "p384"), "EdDSA": (ed, "ed")}[alg]
        add(f"{alg} by {kid}", token(alg, key, kid), "ok")
        add(f"{alg} forged", token(alg, thief[alg], kid), "jwt.signature")
    good = vectors[-2]["token"]
    signed, signature = good.rsplit(".", 1)
    raw = base64.urlsafe_b64decode(signature + "==")
    add(f"{alg} no signature", f"{signed}.", "jwt.signature")
    add(f"{alg} short signature", f"{signed}.{b64(raw[:-1])}", "jwt.signature")
    add(f"{alg} long signature", f"{signed}." + b64(raw + bytes(1)), "jwt.signature")
    add(f"{alg} zero before signature", f"{signed}." + b64(bytes(1) + raw), "jwt.signature")
    add(f"{alg} zeros for signature", f"{signed}.{b64(bytes(len(raw)))}", "jwt.signature")
    add(f"{alg} ones for signature", f"{signed}." + b64(bytes([255]) * len(raw)), "jwt.signature")
    header = b64(json.dumps({"kid": good and kid, "alg": alg}).encode())
    add(f"{alg} header written anew", f"{header}.{good.split('.', 1)[1]}", "jwt.signature")
    other = b64(json.dumps({**CLAIMS, "sub": "mallory"}).encode())
    add(f"{alg} payload exchanged", f"{good.split('.')[0]}.{other}.{signature}", "jwt.signature")

# Forms of signatures.
add("ES256 in DER", compact({"alg": "ES256", "kid": "p256"}, CLAIMS, lambda d: p256.sign(d, ec.ECDSA(hashes.SHA256()))),
    "jwt.signature")


def twin(data):
    raw = sign("ES256", p256, data)
    s = int.from_bytes(raw[32:], "big")
    return raw[:32] + (P256_ORDER - s).to_bytes(32, "big")


add("ES256 with the other s (RFC 7518 does not forbid it)", compact({"alg": "ES256", "kid": "p256"}, CLAIMS, twin), "ok")
add("ES256 with s + order", compact({"alg": "ES256", "kid": "p256"}, CLAIMS,
    lambda d: (lambda raw: raw[:32] + b"\xff" * 32)(sign("ES256", p256, d))), "jwt.signature")
add("ES256 with SHA-384", compact({"alg": "ES256", "kid": "p256"}, CLAIMS, lambda d: sign("ES384", p256, d)), "jwt.signature")
add("ES384 with SHA-256", compact({"alg": "ES384", "kid": "p384"}, CLAIMS, lambda d: sign("ES256", p384, d)), "jwt.signature")
add("RS256 with SHA-1", compact({"alg": "RS256", "kid": "rsa2"}, CLAIMS, lambda d: rsa2.sign(d, padding.PKCS1v15(), hashes.SHA1())), "jwt.signature")
add("RS256 header, RS512 signature", compact({"alg": "RS256", "kid": "rsa2"}, CLAIMS, lambda d: sign("RS512", rsa2, d)), "jwt.signature")
add("RS256 header, PS256 signature", compact({"alg": "RS256", "kid": "rsa2"}, CLAIMS, lambda d: sign("PS256", rsa2, d)), "jwt.signature")
add("PS256 header, RS256 signature", compact({"alg": "PS256", "kid": "rsa2"}, CLAIMS, lambda d: sign("RS256", rsa2, d)), "jwt.signature")
add("PS256 with a salt of 20 bytes", token("PS256", rsa2, "rsa2", salt=20), "jwt.signature")
add("PS256 with the longest salt", token("PS256", rsa2, "rsa2", salt=222), "jwt.signature")


def high_s(data):
    raw = ed.sign(data)
    s = int.from_bytes(raw[32:], "little") + ED25519_ORDER
    return raw[:32] + s.to_bytes(32, "little")


add("EdDSA with s + order (RFC 8032 section 5.1.7)", compact({"alg": "EdDSA", "kid": "ed"}, CLAIMS, high_s), "jwt.signature")

# Algorithm confusion.
pem = rsa2.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
der = rsa2.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
for secret, what in [(pem, "PEM"), (pem.strip(), "stripped PEM"), (der, "DER"), (json.dumps(jwk(rsa2, "rsa2")).encode(), "JWK"), (b"", "nothing")]:
    add(f"HS256 keyed with the RSA key's {what}", compact({"alg": "HS256", "kid": "rsa2"}, CLAIMS,
        lambda d: hmac.new(secret, d, hashlib.sha256).digest()), "jwt.algorithm")
    add(f"RS256 header, HMAC keyed with the RSA key's {what}", compact({"alg": "RS256", "kid": "rsa2"}, CLAIMS,
        lambda d: hmac.new(secret, d, hashlib.sha256).digest()), "jwt.signature")
good = token("RS256", rsa2, "rsa2")
for none in ["none", "None", "NONE", "nOnE", "none ", "", "HS256", "HS384", "HS512", "rs256", "RS256 ", "ES256K", "ES512", "RS1", "dir", "Ed448"]:
    add(f"alg {none!r}, no signature", compact({"alg": none, "kid": "rsa2"}, CLAIMS, b""), "jwt.algorithm")
    add(f"alg {none!r}, RS256 signature", compact({"alg": none, "kid": "rsa2"}, CLAIMS, lambda d: sign("RS256", rsa2, d)), "jwt.algorithm")
for header in [{"kid": "rsa2"}, {"alg": None}, {"alg": ["RS256"]}, {"alg": 256}]:
    add(f"header {header}", compact(header, CLAIMS, lambda d: sign("RS256", rsa2, d)), "jwt.malformed")
for alg, key, kid in [("ES256", p384, "p384"), ("ES384", p256, "p256"), ("RS256", p256, "p256"), ("ES256", p256, "rsa2"),
                      ("EdDSA", ed, "p256"), ("ES256", p256, "ed"), ("PS256", rsa2, "p384")]:
    signer = (lambda d: sign("ES256", key, d)) if alg == "RS256" or isinstance(key, ec.EllipticCurvePrivateKey) else (lambda d: sign(alg, key, d))
    add(f"{alg} with the key {kid}", compact({"alg": alg, "kid": kid}, CLAIMS, signer), "jwt.algorithm")
NARROW = {**CLAIMS, "iss": "https://narrow.test"}
add("narrow RS256", token("RS256", narrow, "narrow", NARROW), "ok")
add("narrow PS256: not in the issuer's list", token("PS256", narrow, "narrow", NARROW), "jwt.algorithm")
add("narrow RS512: not in the issuer's list", token("RS512", narrow, "narrow", NARROW), "jwt.algorithm")

# Keys.
add("kid of no key", token("RS256", rsa2, "other"), "jwt.key")
add("kid in another case", token("RS256", rsa2, "RSA2"), "jwt.key")
add("empty kid", token("RS256", rsa2, ""), "jwt.key")
add("kid that is a path", token("RS256", rsa2, "../../dev/null"), "jwt.key")
add("kid that is a number", token("RS256", rsa2, 2), "jwt.malformed")
add("kid that is null", token("RS256", rsa2, None), "jwt.malformed")
add("kid of 257 bytes", token("RS256", rsa2, "k" * 257), "jwt.malformed")
add("kid of another issuer", token("RS256", narrow, "narrow"), "jwt.key")
add("no kid, several keys fit", token("RS256", rsa2, None, header={"alg": "RS256"}), "jwt.key")
add("no kid, one key fits", token("ES256", p256, None, header={"alg": "ES256"}), "ok")
add("unknown kid, one key without kid fits", token("ES256", p256, "rolled", NARROW), "ok")
add("unknown kid, no key without kid fits", token("RS256", narrow, "rolled", NARROW), "jwt.key")
add("a key of 1024 bits with a known kid", token("RS256", weak, "rsa2"), "jwt.signature")
own = thief["ES256"]
for extra in [{"jwk": jwk(own)}, {"jku": "https://evil.test/jwks"}, {"x5u": "https://evil.test/x5u"}, {"x5c": [b64(der)]}]:
    name = next(iter(extra))
    header = {"alg": "ES256", "kid": "p256", **extra}
    add(f"{name} brought along, signed by its key", token("ES256", own, None, header=header), "jwt.signature")
    add(f"{name} brought along, signed by ours", token("ES256", p256, None, header=header), "ok")
    header = {"alg": "ES256", **extra, "kid": "theirs"}
    add(f"{name} brought along with its kid", token("ES256", own, None, header=header), "jwt.key")

# Encoding. The signature is right wherever the text it covers can be signed at all.
h, p, s = token("ES256", p256, "p256").split(".")
for name, text in {
    "empty": "", "dots": "..", "one part": h, "two parts": f"{h}.{p}", "four parts": f"{h}.{p}.{s}.", "five parts": f"{h}.{p}.{s}.{s}.{s}",
    "first part empty": f".{p}.{s}", "payload empty": f"{h}..{s}", "padded header": f"{h}=.{p}.{s}", "padded payload": f"{h}.{p}=.{s}",
    "padded signature": f"{h}.{p}.{s}==", "line end": f"{h}.{p}.{s}\n", "space inside": f"{h}. {p}.{s}", "tab": f"{h}.{p}.{s}\t",
    "standard alphabet": f"{h}.{p}.{s[:-4]}+/+/", "zero byte": f"{h}.{p}.{s}\0", "not ASCII": f"{h}.{p}.é{s}",
    "JSON serialisation": json.dumps({"payload": p, "protected": h, "signature": s}),
    "fraction of a byte": f"{h}.{p}.{s}AAA",
}.items():
    add(f"encoding: {name}", text, "jwt.malformed")


def trailing_bits(part):
    """The same bytes, with bits set that no byte uses."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(part) % 4 in (2, 3)
    return part[:-1] + alphabet[alphabet.index(part[-1]) | 1]


add("encoding: trailing bits in the signature", f"{h}.{p}.{trailing_bits(s)}", "jwt.malformed")
for name, header, claims in [("header", b'{"alg":"ES256", "kid":"p256"}', CLAIMS), ("payload", {"alg": "ES256", "kid": "p256"}, json.dumps(CLAIMS).encode())]:
    while True:
        h2, p2 = (b64(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in (header, claims))
        part = h2 if name == "header" else p2
        if len(part) % 4 in (2, 3):
            break
        header, claims = (header + b" ", claims) if name == "header" else (header, claims + b" ")
    signed = f"{trailing_bits(h2)}.{p2}" if name == "header" else f"{h2}.{trailing_bits(p2)}"
    add(f"encoding: trailing bits in the {name}, signed like that", f"{signed}.{b64(sign('ES256', p256, signed.encode()))}", "jwt.malformed")

HEADER = {"alg": "ES256", "kid": "p256"}
signer = lambda d: sign("ES256", p256, d)
for name, header, expect in [
    ("typ JWT", {**HEADER, "typ": "JWT"}, "ok"), ("typ jwt", {**HEADER, "typ": "jwt"}, "ok"),
    ("typ at+jwt", {**HEADER, "typ": "at+jwt"}, "ok"), ("typ application/at+jwt", {**HEADER, "typ": "application/at+JWT"}, "ok"),
    ("typ logout+jwt", {**HEADER, "typ": "logout+jwt"}, "jwt.malformed"), ("typ dpop+jwt", {**HEADER, "typ": "dpop+jwt"}, "jwt.malformed"),
    ("typ JOSE", {**HEADER, "typ": "JOSE"}, "ok"), ("typ 1", {**HEADER, "typ": 1}, "jwt.malformed"),
    ("crit", {**HEADER, "crit": ["exp"], "exp": NOW}, "jwt.malformed"), ("crit empty", {**HEADER, "crit": []}, "jwt.malformed"),
    ("crit null", {**HEADER, "crit": None}, "jwt.malformed"), ("b64 false", {**HEADER, "b64": False, "crit": ["b64"]}, "jwt.malformed"),
    ("b64 false without crit", {**HEADER, "b64": False}, "jwt.malformed"), ("b64 true", {**HEADER, "b64": True}, "ok"),
    ("unknown members", {**HEADER, "x": {"y": [1]}}, "ok"),
    ("alg twice", b'{"alg":"none","alg":"ES256","kid":"p256"}', "jwt.malformed"),
    ("kid twice, once escaped", b'{"alg":"ES256","kid":"p256","k\\u0069d":"ed"}', "jwt.malformed"),
    ("a list", b'["ES256"]', "jwt.malformed"), ("a byte order mark", b'\xef\xbb\xbf{"alg":"ES256"}', "jwt.malformed"),
    ("bad UTF-8", b'{"alg":"ES256","kid":"p256","x":"\xff"}', "jwt.malformed"), ("a comment", b'{"alg":"ES256"/**/}', "jwt.malformed"),
    ("two values", b'{"alg":"ES256","kid":"p256"}{}', "jwt.malformed"), ("depth", b'{"alg":"ES256","x":' + b"[" * 200 + b"]" * 200 + b"}", "jwt.malformed"),
]:
    add(f"header: {name}", compact(header, CLAIMS, signer), expect)
text = json.dumps(CLAIMS)[:-1].encode()
for name, claims in {
    "sub twice": text + b',"sub":"mallory"}', "sub twice, once escaped": text + b',"s\\u0075b":"mallory"}', "exp twice": text + f',"exp":{NOW + 999}}}'.encode(),
    "a name twice below": text + b',"x":{"a":1,"a":2}}', "not an object": b'"alice"', "cut off": text, "lone surrogate": text + b',"x":"\\ud800"}',
    "bad UTF-8": text + b',"x":"\xc3"}', "NaN": text + b',"x":NaN}', "overflowing number": text + b',"x":1e999}',
}.items():
    add(f"payload: {name}", compact(HEADER, claims, signer), "jwt.malformed")

weak_set = {"issuers": [{"issuer": ISS, "audiences": ["llm"], "algorithms": ["RS256"], "jwks": {"inline": {"keys": [jwk(weak, "weak")]}}}]}
p521 = ec.generate_private_key(ec.SECP521R1())
out = {"now": NOW, "authn": AUTHN, "roles": ["analyst", "intern"], "weakAuthn": weak_set, "p521": jwk(p521, "p521"), "vectors": vectors}
path = Path(__file__).with_name("vectors.json")
path.write_text(json.dumps(out, indent=1, ensure_ascii=False) + "\n")
print(f"{path.name}: {len(vectors)} vectors")
