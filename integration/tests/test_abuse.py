"""API keys, and cool-downs that both of Envoy's workers see at once."""

import hashlib

from conftest import ATTACK, chat, user
from harness import falco
from harness.client import H1, Client
from harness.tokens import claims
from harness.wait import eventually

KEY = "sk-local-5f0c1c1d3b7e4a60a2f4c9d8e7b6a594"


def strict(policy: dict) -> None:
    policy["abuse"] = {"strikes": 3, "window": "1h", "cooldown": "1h", "maxCooldown": "2h"}
    policy["authn"]["issuers"][0]["maxLifetime"] = "20m"
    key = hashlib.sha256(KEY.encode()).hexdigest()
    policy["authn"]["apiKeys"] = [{"name": "batch", "sha256": key, "subject": "batch", "roles": ["analyst"]}]


def test_an_api_key(sites, mode, protocol):
    site = sites(mode, change=strict)
    got = site.send(protocol, chat(), token=KEY).passed()
    assert KEY.encode() not in b"".join(value for _, value in got.one.headers)
    assert got.audit["bartizan.issuer"] == "apiKeys"
    before = site.upstream.total
    for wrong in (KEY[:-1], KEY + "0", hashlib.sha256(KEY.encode()).hexdigest()):
        site.send(protocol, chat(), token=wrong).refused(401, "jwt.malformed", before_body=True)
    assert site.upstream.total == before


def test_a_token_that_is_good_for_too_long(sites, mode, protocol, keys):
    site = sites(mode, change=strict)
    site.send(protocol, chat(), token=keys["ES256"].sign(claims(lifetime=1200))).passed()
    for wrong in (claims(lifetime=1201), claims(iat=None)):
        site.send(protocol, chat(), token=keys["ES256"].sign(wrong)).refused(401, "jwt.claims", before_body=True)


def test_a_cooldown_holds_on_every_connection(sites, mode, protocol):
    site = sites(mode, change=strict)
    token = site.token(f"attacker-{mode}-{protocol}")
    history: list[dict] = []
    for number in range(3):
        if history:
            # The conversation comes again with each turn, and so does what was refused in it: no strike a second time.
            for _ in range(3):
                site.send(protocol, chat(*history, user("hello")), token=token).passed("replace")
        attack = user(f"{ATTACK} I am number {number}.")
        last = site.send(protocol, chat(*history, attack), token=token).refused(400, "scan.injection")
        history += [attack, {"role": "assistant", "content": "No."}]
    assert last.audit["bartizan.abuse.cooldown_s"] == 3600
    assert falco.alarms(last.audit) == {"Bartizan cool-down began", "Bartizan blocked an attack"}
    workers = set()
    for _ in range(12):
        with Client(site.proxy.port, protocol) as client:
            got = site.send(protocol, chat(), token=token, client=client).refused(429, "abuse.cooldown", before_body=True)
            assert 3000 < int(got.reply.header("retry-after")) <= 3600
            assert falco.alarms(got.audit) == {"Bartizan refused a caller in a cool-down"}
            workers.add(got.audit["bartizan.worker"])
    assert len(workers) == 2, "all connections went to one worker"
    site.send(protocol, chat(), token=site.token(f"bystander-{mode}-{protocol}")).passed()


def brief(policy: dict) -> None:
    policy["abuse"] = {"strikes": 1, "window": "1h", "cooldown": "1s", "maxCooldown": "1s"}


def test_a_cooldown_ends(sites):
    """By the proxy's own clock; how long it takes is tested natively, where a test sets the clock."""
    site = sites("strong", change=brief)
    token = site.token("attacker-once")
    site.send(H1, chat(user(ATTACK)), token=token).refused(400, "scan.injection")
    eventually(lambda: site.send(H1, chat(), token=token).reply.status == 200, "the cool-down ends")
