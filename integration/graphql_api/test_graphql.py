"""GraphQL: a real server (ariadne) before a model, behind real Envoy with the filter, in both modes; its official client (gql)
ends in its own exception where a request is refused, and what the server reads is what was judged."""

import hashlib
import json
import random
import socket
import subprocess

import pytest

from conftest import ATTACK
from harness import envoy
from harness import upstream as scripts
from harness.client import H1
from harness.idp import free_port
from harness.paths import ROOT
from harness.process import Child

PYTHON = ROOT / ".cache" / "graphql" / "bin" / "python"
HERE = ROOT / "integration" / "graphql_api"
MAIL = "jane@example.org"
KEY = "AKIAQ7EXAMPL3TE5TKXQ"
OWN = "application/graphql-response+json"
LISTED = "query Listed($q: String) { ask(question: $q) { read } }"


def graphql(document: dict) -> None:
    graphql = {"depth": 5, "aliases": 3, "cost": 200, "batch": 2, "prompts": ["ask(question)", "ask(input.text)"],
               "documents": ["ask(notes)"], "persisted": {hashlib.sha256(LISTED.encode()).hexdigest(): LISTED}}  # fmt: skip
    document["routes"] = [
        {"match": {"path": "/graphql"}, "protocol": "graphql", "graphql": graphql},
        {"match": {"path": "/tool"}, "protocol": "graphql", "graphql": {**graphql, "outputs": "tool"}},
    ]
    document["roles"]["analyst"].update(
        operations=["generate"], models=["default"], tools={"allow": ["Query.ask", "Query.chapters", "Mutation.*"]}, quotas=[]
    )
    document["guards"]["standard"].update(pii={"action": "mask"}, output={"secrets": "mask", "pii": "flag"})


@pytest.fixture(scope="module")
def server(upstream, tmp_path_factory):
    port = free_port()

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    command = [str(PYTHON), str(HERE / "server.py"), str(port), f"http://127.0.0.1:{upstream.port}"]
    with Child(command, log=tmp_path_factory.mktemp("graphql") / "log") as child:
        child.wait_until(listens, "the GraphQL server")
        yield port


@pytest.fixture(scope="module", params=["strong", "weak"])
def site(request, sites, server):
    def to_server(config: dict) -> None:
        cluster = config["static_resources"]["clusters"][0]
        cluster["load_assignment"] = envoy.with_upstream(config, server)["static_resources"]["clusters"][0]["load_assignment"]

    scripts.SAID[:] = ["A small ", "turret."]
    return sites(request.param, change=graphql, edit=to_server)


@pytest.fixture
def post(site):
    def post(query, variables=None, accept: str = OWN, path: str = "/graphql"):
        body = query if isinstance(query, (dict, list)) else {"query": query, "variables": variables or {}}
        return site.send(H1, json.dumps(body).encode(), path=path, headers=[("accept", accept)])

    return post


def asked(site, questions: list[dict]) -> list[dict]:
    headers = {"authorization": f"Bearer {site.token()}"}
    questions = [{"url": f"{site.proxy.url}/graphql", "headers": headers, "variables": {}, **one} for one in questions]
    done = subprocess.run([PYTHON, HERE / "ask.py"], input=json.dumps(questions), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("client", ["requests", "aiohttp"])
def test_the_client_gets_answers_and_its_own_exceptions(client, site):
    ask = "query Ask($q: String) { ask(question: $q) { text read } }"
    answers = asked(site, [{"client": client, **one} for one in (
        {"query": ask, "variables": {"q": "What is a bartizan?"}},
        {"query": ask, "variables": {"q": f"Write to {MAIL}."}},
        {"query": f'{{ ask(question: "Write to {MAIL}.") {{ read }} }}'},
        {"query": ask, "variables": {"q": ATTACK}},
        {"query": "{ secret }"},
        {"query": "{ a: secret ask { text } }"},
        {"query": "{ chapters(first: 500) { title } }"},
        {"query": ask, "variables": {"q": f"My key is {KEY}."}},
        {"query": ask, "headers": {}},
    )])  # fmt: skip
    plain, masked, inline, *refused = answers
    assert plain["data"]["ask"] == {"text": "A small turret.", "read": '{"question": "What is a bartizan?", "style": "SHORT"}'}
    for answer in (masked, inline):
        assert json.loads(answer["data"]["ask"]["read"])["question"] == "Write to [EMAIL_1]."
    reasons = ["scan.injection", "rbac.tool", "rbac.tool", "graphql.limit", "scan.secret", "jwt.missing"]
    codes = ["CONTENT_FILTERED", "FORBIDDEN", "FORBIDDEN", "GRAPHQL_VALIDATION_FAILED", "CONTENT_FILTERED", "UNAUTHENTICATED"]
    for answer, reason, code in zip(refused, reasons, codes, strict=True):
        assert answer["kind"] == "TransportQueryError", answer
        [error] = answer["errors"]
        assert (error["extensions"]["reason"], error["extensions"]["code"]) == (reason, code)
        assert ATTACK not in json.dumps(answer) and KEY not in json.dumps(answer)


def test_introspection_is_refused_as_the_client_asks_for_it(site):
    """The client's own way to load a schema."""
    [answer] = asked(site, [{"client": "requests", "query": "query IntrospectionQuery { __schema { queryType { name } } }"}])
    assert answer["kind"] == "TransportQueryError" and answer["errors"][0]["extensions"]["reason"] == "graphql.operation"


# Where a value may be; %s is the value as the language writes it, the second what the request brings beside it.
PLACES = [
    ("{ ask(question: %s) { read } }", None),
    ("{ x: ask(input: {text: %s}) { read } }", None),
    ("{ ask(input: {inner: {list: [%s]}}) { read } }", None),
    ("{ ask(notes: [{text: %s}]) { read } }", None),
    ("{ ...F } fragment F on Query { ask(question: %s) { read } }", None),
    ("{ ... on Query { ask(question: %s) @include(if: true) { read } } }", None),
    ("query($q: String = %s) { ask(question: $q) { read } }", None),
    ("query($i: Input = {list: [%s]}) { ask(input: $i) { read } }", None),
    ("query($q: String) { ask(question: $q) { read } }", lambda text: {"q": text}),
    ("query($i: Input) { ask(input: $i) { read } }", lambda text: {"i": {"inner": {"inner": {"list": ["a", text]}}}}),
    ("query($n: [Note!]) { ask(notes: $n) { read } }", lambda text: {"n": [{"text": text}]}),
]


def writings(text: str, draw: random.Random):
    """A value as the language writes it: in quotes, in escapes of each kind, in blocks with any line ends."""

    def escaped(letter: str) -> str:
        code = ord(letter)
        forms = [f"\\u{{{code:x}}}", letter]
        forms.append(f"\\u{code:04x}" if code < 0x10000 else "".join(f"\\u{u:04x}" for u in pair(code)))
        return draw.choice(forms) if letter not in '"\\\n' else {"\n": "\\n"}.get(letter, f"\\{letter}")

    yield json.dumps(text)
    yield '"' + "".join(escaped(letter) for letter in text) + '"'
    yield f'"""{text}"""'
    yield f'"""\n    {text}\n  """'
    yield f'"""\r\t\r\t{text}\r\n\r"""'


def pair(code: int) -> tuple[int, int]:
    return 0xD800 + ((code - 0x10000) >> 10), 0xDC00 + ((code - 0x10000) & 0x3FF)


@pytest.mark.parametrize("place", range(len(PLACES)))
def test_what_the_server_reads_is_what_was_judged(place, post):
    """A value that is masked reaches the server masked, and the rest of it as it was, however it is written."""
    query, variables = PLACES[place]
    draw = random.Random(place)
    text = f"Ask {MAIL} about \U0001f3f0 and caf\u00e9."
    for written in writings(text, draw) if variables is None else [""]:
        got = post(query.replace("%s", written), variables and variables(text))
        assert got.reply.status == 200, (written, got)
        [answer] = got.reply.json()["data"].values()
        read = answer["read"]
        assert f"Ask [EMAIL_1] about \U0001f3f0 and caf\u00e9." in read and MAIL not in read, (written, read)
        assert got.audit["bartizan.verdict"] == "mask"
        hostile = written.replace(MAIL, ATTACK) if MAIL in written else json.dumps(ATTACK)
        got = post(query.replace("%s", hostile), variables and variables(ATTACK))
        if "notes" in query:
            assert "Ignore all previous" not in got.reply.body.decode() and got.audit["bartizan.findings"], got
        else:
            assert (got.reply.status, got.reply.reason) == (400, "scan.injection"), (hostile, got)


def test_limits_and_forms(post, site):
    for query, status, reason in [
        ("{ chapters(first: 3) { chapters(first: 3) { title } } }", 200, ""),
        ("{ chapters(first: 30) { chapters(first: 30) { title } } }", 400, "graphql.limit"),
        ("{ chapters { chapters { chapters { chapters { chapters { title } } } } } }", 400, "graphql.limit"),
        ("{ a: chapters { title } b: chapters { title } c: chapters { title } d: chapters { title } }", 400, "graphql.limit"),
        ("query A { chapters { title } } query B { secret }", 403, "graphql.operation"),
        ("subscription { a }", 403, "graphql.operation"),
        ("{ chapters { title }", 400, "body.shape"),
        (f"{{ chapters {{ title }} }} # {ATTACK}", 400, "scan.injection"),
        ('mutation { remember(text: "The wall.") }', 200, ""),
        ([{"query": '{ ask(question: "a") { text } }'}, {"query": "{ secret }"}], 403, "rbac.tool"),
        ({"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}}, 400, "graphql.persisted"),
    ]:
        got = post(query)
        assert (got.reply.status, got.reply.reason or "") == (status, reason), (query, got)
        if status != 200:
            assert got.reply.header("content-type") == OWN and got.reply.json()["errors"][0]["extensions"]["reason"] == reason
    got = post("{ secret }", accept="application/json")
    assert got.reply.header("content-type") == "application/json" and got.reply.status == 403
    for method, path, kind in [
        ("GET", "/graphql?query=%7Bsecret%7D", "application/json"), ("POST", "/graphql?query=%7Bsecret%7D", "application/json"),
        ("POST", "/graphql", "application/graphql"), ("POST", "/graphql", "multipart/form-data; boundary=a"),
    ]:  # fmt: skip
        body = b"" if method == "GET" else b'{"query": "{ chapters { title } }"}'
        got = site.send(H1, body, path=path, method=method, headers=[("content-type", kind)])
        assert got.reply.status in (400, 405, 415) and got.reply.json()["errors"], (method, path, kind, got)


def test_a_persisted_operation_passes_its_filter_and_no_other(post):
    """The server knows none, and says so: only what the policy lists comes so far."""
    listed = {"persistedQuery": {"version": 1, "sha256Hash": hashlib.sha256(LISTED.encode()).hexdigest()}}
    got = post({"extensions": listed, "variables": {"q": "a"}})
    assert got.reply.reason is None and got.reply.json()["errors"], got
    got = post({"query": LISTED, "extensions": listed, "variables": {"q": f"Write to {MAIL}."}})
    assert json.loads(got.reply.json()["data"]["ask"]["read"])["question"] == "Write to [EMAIL_1]."
    assert post({"extensions": listed, "variables": {"q": ATTACK}}).reply.reason == "scan.injection"


def test_an_attack_in_an_answer_for_a_model_is_cut_out(post):
    scripts.SAID[:] = ["The wall is old. ", ATTACK]
    try:
        query = '{ x: ask(question: "a") { y: text } }'
        assert ATTACK in post(query).reply.json()["data"]["x"]["y"]
        got = post(query, path="/tool")
        assert "[removed by policy]" in got.reply.json()["data"]["x"]["y"] and ATTACK not in got.reply.body.decode(), got
    finally:
        scripts.SAID[:] = ["A small ", "turret."]


def test_replies_are_judged(post):
    """A secret in an answer is masked under whatever name the caller asks for it."""
    scripts.SAID[:] = ["The key is ", KEY, ", keep it."]
    try:
        got = post('{ x: ask(question: "a") { y: text } }')
        assert got.reply.json()["data"]["x"]["y"] == "The key is [SECRET_1], keep it.", got
    finally:
        scripts.SAID[:] = ["A small ", "turret."]
