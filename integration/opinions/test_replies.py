"""Outside judges of replies on real Envoy: whole ones and streams, in both modes, also when the caller goes away meanwhile."""

import json
import socket
import threading

import anthropic
import openai
import pytest

from conftest import Site, chat, user
from harness import upstream as scripted
from harness.client import H1, H2, Call, Client, Reply
from harness.relay import Relay
from harness.wait import eventually
from opinions.servers import Judge
from opinions.test_opinions import make, opinions

LONG = "a plain word " * 100


def shown(question: dict) -> list[str]:
    return question.get("texts") or []


def answers(path: str, question: dict):
    """Whoever speaks of tigers is blocked, and Jane is masked."""
    texts = shown(question)
    if any("tiger" in text for text in texts):
        return {"action": "BLOCKED", "blocked_reason": "tigers"}
    if any("Jane" in text for text in texts):
        return {"action": "GUARDRAIL_INTERVENED", "texts": [text.replace("Jane", "[X]") for text in texts]}
    return {"action": "NONE"}


@pytest.fixture
def judge():
    with Judge(answers) as server:
        yield server


@pytest.fixture
def site(mode, upstream, keys):
    made = []

    def of(port: int, streams: str = "whole", http2: bool = False, **opinion) -> Site:
        def change(document: dict) -> None:
            guard = document["guards"]["standard"]
            guard.pop("opinions")
            document["routes"].append({"match": {"path": "/v1/messages"}, "protocol": "anthropic"})
            guard["output"] = {**guard.get("output", {}), "secrets": "mask", "opinions": {"judges": ["judge"], "streams": streams}}

        made.append(make(mode, upstream, keys, port, change, http2=http2, **{"kind": "http", "onUnavailable": "deny", **opinion}))
        return made[-1]

    yield of
    scripted.GATE.set()
    for one in made:
        assert one.proxy.child.alive() and "panic" not in one.proxy.log().lower()
        one.proxy.stop()


def say(proxy: Site, *pieces: str, stream: bool = False, protocol: str = H1, script: str = "said", **more):
    scripted.SAID[:] = pieces
    return proxy.send(protocol, chat(user("Hello."), stream=stream), headers=[("x-script", script)], **more)


def put_together(body: bytes) -> str:
    """The text that a client of a stream reads."""
    lines = [line.removeprefix("data: ") for line in body.decode().splitlines() if line.startswith("data: {")]
    choices = [choice for line in lines for choice in json.loads(line).get("choices", [])]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def refused(got, reason: str, status: int) -> None:
    """Nothing of what was said came, and the record says why."""
    assert got.audit["bartizan.verdict"] == "block" and got.audit["bartizan.reason"] == reason
    assert got.reply.complete and b"tiger" not in got.reply.body
    if got.site.strong:
        assert (got.reply.status, got.reply.reason) == (status, reason)


def test_a_whole_reply(site, judge, protocol):
    proxy = site(judge.port)
    got = say(proxy, "All about cats, and ", "jane@example.org", protocol=protocol)
    assert opinions(got) == ["same"]
    assert shown(judge.asked[-1][2]) == ["All about cats, and [EMAIL]"] and judge.asked[-1][2]["input_type"] == "response"
    assert got.reply.status == 200 and got.reply.json()["choices"][0]["message"]["content"].startswith("All about cats")
    got = say(proxy, "Jane has a key: ", "AKIAQ7EXAMPL3TE5TKXQ", protocol=protocol)
    assert got.reply.json()["choices"][0]["message"]["content"] == "[REDACTED_1] has a key: [SECRET_1]"
    assert opinions(got) == ["marked"] and got.audit["bartizan.verdict"] == "mask"
    got = say(proxy, "All about a tiger.", protocol=protocol)
    refused(got, "scan.opinion", 400)
    assert opinions(got) == ["raised"]


@pytest.mark.parametrize("streams", ["whole", "parts"])
@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
def test_a_stream(site, judge, streams, http2, protocol):
    proxy = site(judge.port, streams, http2)
    words = [f"word{number} " for number in range(600)]
    got = say(proxy, *words, stream=True, protocol=protocol)
    assert got.reply.complete and put_together(got.reply.body) == "".join(words)
    assert opinions(got) == ["same"] and len(judge.asked) == got.audit["bartizan.opinions"][0].get("parts", 1)
    got = say(proxy, "Jane ", "likes ", "roses.", stream=True, protocol=protocol)
    assert put_together(got.reply.body) == "[REDACTED_1] likes roses."
    got = say(proxy, "All ", "about ", "a ti", "ger.", stream=True, protocol=protocol)
    assert got.reply.complete and got.audit["bartizan.reason"] == "scan.opinion"
    assert "about" not in put_together(got.reply.body)
    # Trailers behind the last event.
    scripted.CANNED[:] = [b"text/event-stream", b"".join(scripted.sse_events(pieces=words)), 700]
    got = say(proxy, stream=True, protocol=protocol, script="canned_trailers")
    assert got.reply.complete and put_together(got.reply.body) == "".join(words), got


@pytest.mark.parametrize("streams", ["whole", "parts"])
def test_the_sdks(site, judge, streams):
    proxy = site(judge.port, streams)
    scripted.DEFAULT[0] = "said"
    try:
        gpt = openai.OpenAI(base_url=f"{proxy.proxy.url}/v1", api_key=proxy.token(), max_retries=0)
        claude = anthropic.Anthropic(base_url=proxy.proxy.url, api_key=proxy.token(), max_retries=0)

        def of_openai() -> str:
            chunks = gpt.chat.completions.create(model="smollm2", messages=[user("Hello.")], stream=True)
            return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)

        def of_anthropic() -> str:
            with claude.messages.stream(model="smollm2", max_tokens=400, messages=[user("Hello.")]) as stream:
                return stream.get_final_text()

        for ask in (of_openai, of_anthropic):
            scripted.SAID[:] = ["Jane ", "likes ", "roses."]
            assert ask() == "[REDACTED_1] likes roses."
            scripted.SAID[:] = [LONG, "and ", "the end."]
            assert ask() == LONG + "and the end."
            scripted.SAID[:] = ["All about a ", "tiger."]
            try:
                assert "tiger" not in ask()
            except (openai.APIError, anthropic.APIError):
                pass
            except RuntimeError as error:
                # Anthropic's SDK, of a message that was ended before it said anything.
                assert "text" in str(error)
    finally:
        scripted.DEFAULT[0] = "default"


def test_a_part_goes_on_while_the_model_writes(site, judge, protocol):
    """What was judged leaves although the upstream says nothing more for now."""
    proxy = site(judge.port, "parts")
    scripted.GATE.clear()
    into = Reply()
    result: list = []
    ask = threading.Thread(target=lambda: result.append(say(proxy, LONG, "gate", " the end.", stream=True, protocol=protocol, script="halted", into=into)))
    ask.start()
    eventually(lambda: b"plain word" in into.body, "the first part")
    assert b"the end" not in into.body
    scripted.GATE.set()
    ask.join()
    [got] = result
    assert got.reply.complete and put_together(got.reply.body) == LONG + "gate the end."


def test_a_stream_that_nobody_is_shown(site, judge):
    proxy = site(judge.port, "skip")
    got = say(proxy, "All about a ", "tiger.", stream=True)
    assert put_together(got.reply.body) == "All about a tiger." and opinions(got) == ["skipped"] and not judge.asked


@pytest.mark.parametrize("unavailable", ["deny", "localVerdict", "allow"])
def test_away_hung_and_odd(site, judge, unavailable):
    with Relay(lambda: f"http://127.0.0.1:{judge.port}") as relay:
        proxy = site(relay.port, onUnavailable=unavailable, timeout="300ms")
        for mood in ("error", "garbage", "empty", "missing", "huge", "hang"):
            for stream in (False, True):
                relay.mood = mood
                got = say(proxy, "All about ", "a tiger." if unavailable == "deny" else "cats.", stream=stream)
                assert opinions(got)[0] in ("unavailable", "unreadable"), mood
                if unavailable == "deny":
                    assert got.audit["bartizan.reason"] == "opinion.unavailable" and got.reply.complete
                    assert b"tiger" not in got.reply.body
                    if proxy.strong and not stream:
                        assert (got.reply.status, got.reply.reason) == (503, "opinion.unavailable")
                else:
                    assert got.reply.complete and b"cats" in got.reply.body and got.audit["bartizan.verdict"] == "allow"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_caller_goes_away_while_a_judge_is_asked(site, stream, protocol):
    """Nothing is left behind: with one question at a time, each worker asks again."""
    gate = threading.Event()

    def slowly(path: str, question: dict):
        if any("wait" in text for text in shown(question)):
            gate.wait(30)
        return answers(path, question)

    with Judge(slowly) as judge:
        proxy = site(judge.port, maxInFlight=1, timeout="20s")
        for number in range(6):
            before = len(judge.asked)
            scripted.SAID[:] = ["please wait"]
            client = Client(proxy.proxy.port, protocol)
            headers = [("content-type", "application/json"), ("authorization", f"Bearer {proxy.token()}"), ("x-script", "said")]
            body = json.dumps(chat(user("Hello."), stream=stream)).encode()
            asking = threading.Thread(target=lambda client=client: swallow(client, Call(headers=headers, body=body)))
            asking.start()
            eventually(lambda: len(judge.asked) > before, "the question")
            shut(client)
            asking.join()
            # A worker whose caller is gone asks again at once.
            eventually(lambda: opinions(say(proxy, "cats")) == ["same"], "another question")
        gate.set()
        for _ in range(8):
            assert opinions(say(proxy, "cats", stream=stream)) == ["same"]


def swallow(client: Client, call: Call) -> None:
    try:
        client.call(call)
    except Exception:  # noqa: BLE001 - the connection was shut under it
        pass


def shut(client: Client) -> None:
    client.socket.shutdown(socket.SHUT_RDWR)
