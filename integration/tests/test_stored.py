"""What the provider keeps: a caller may go on with its own responses and conversations, with nobody else's and with
nothing that the filter has not seen it get."""

import openai
import pytest

from conftest import ATTACK, Site
from harness import upstream as scripts
from harness.client import H1

MODEL = "smollm2"
KEY = "AKIAQ7EXAMPL3TE5TKXQ"


def bound(document: dict) -> None:
    document["routes"] = [{"match": {"pathPrefix": "/v1/"}, "protocol": "openai"}]
    document["unscanned"] = {**document.get("unscanned", {}), "state": "own"}
    analyst = document["roles"]["analyst"]
    analyst.update(operations=["responses", "conversations"], models=[MODEL, "default"], quotas=[])
    document["guards"]["standard"]["output"] = {"secrets": "block"}


@pytest.fixture
def site(sites, mode) -> Site:
    return sites(mode, change=bound)


def client(site: Site, subject: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{site.proxy.url}/v1", api_key=site.token(subject), max_retries=0, timeout=60)


def begun(sdk: openai.OpenAI, stream: bool = False, **more) -> str:
    """The id of a response to start from."""
    if not stream:
        return sdk.responses.create(model=MODEL, input="hello", **more).id
    with sdk.responses.create(model=MODEL, input="hello", stream=True, **more) as events:
        [last] = [event for event in events if event.type == "response.completed"]
    return last.response.id


def refused(sdk: openai.OpenAI, **more) -> None:
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            begun(sdk, stream, **more)
        assert caught.value.response.headers["x-bartizan-reason"] == "body.unscanned"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_response_belongs_to_who_got_it(site, stream):
    alice, bob = client(site, "alice"), client(site, "bob")
    first = begun(alice, stream)
    second = begun(alice, not stream, previous_response_id=first)
    assert second != first and begun(alice, stream, previous_response_id=second)
    refused(bob, previous_response_id=first)
    refused(bob, previous_response_id=second)
    refused(alice, previous_response_id="resp_unknown")
    refused(alice, previous_response_id=first[:-1])
    assert begun(bob, stream, previous_response_id=begun(bob, stream))


def test_a_conversation_belongs_to_who_made_it(site):
    alice, bob = client(site, "alice"), client(site, "bob")
    made = alice.conversations.create(items=[{"type": "message", "role": "user", "content": "hello"}]).id
    assert begun(alice, conversation=made) and begun(alice, True, conversation={"id": made})
    refused(bob, conversation=made)
    refused(bob, conversation={"id": made})
    refused(alice, conversation="conv_unknown")
    # One of the two is not the caller's own.
    refused(alice, conversation=made, previous_response_id=begun(bob))
    with pytest.raises(openai.BadRequestError) as caught:
        alice.conversations.create(items=[{"type": "message", "role": "user", "content": ATTACK}])
    assert caught.value.code == "content_filter"


def test_what_else_the_provider_keeps_is_nobodys(site):
    alice = client(site, "alice")
    own = begun(alice)
    refused(alice, prompt={"id": "pmpt_1"})
    refused(alice, prompt={"id": own}, previous_response_id=own)
    with pytest.raises(openai.BadRequestError):
        alice.responses.create(model=MODEL, input=[{"type": "item_reference", "id": own}], previous_response_id=own)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_answer_that_was_withheld_is_not_gone_on_with(site, stream):
    alice = client(site, "alice")
    before = int(begun(alice).removeprefix("resp_"))
    scripts.SAID[:], scripts.DEFAULT[0] = ["One ", KEY, " two."], "said"
    try:
        if stream:
            with alice.responses.create(model=MODEL, input="hello", stream=True) as events:
                assert [event.type for event in events][-1] == "response.incomplete"
        elif site.strong:
            with pytest.raises(openai.BadRequestError):
                begun(alice)
        else:
            alice.with_raw_response.responses.create(model=MODEL, input="hello")
    finally:
        scripts.DEFAULT[0] = "default"
    refused(alice, previous_response_id=f"resp_{before + 1}")


def of_graphs(document: dict) -> None:
    bound(document)
    document["routes"] = [{"match": {"pathPrefix": "/"}, "protocol": "langserve"}]
    document["roles"]["analyst"]["operations"] = ["chat", "conversations"]


def test_a_thread_of_a_graph_belongs_to_who_made_it(sites, mode):
    site = sites(mode, change=of_graphs)

    def post(subject: str, path: str, body: dict):
        return site.send(H1, body, path=path, token=site.token(subject)).reply

    run = {"assistant_id": MODEL, "input": {"messages": [{"role": "user", "content": "hello"}]}}
    thread = post("alice", "/threads", {}).json()["thread_id"]
    for way in ("wait", "stream"):
        assert post("alice", f"/threads/{thread}/runs/{way}", run).status == 200
        assert post("bob", f"/threads/{thread}/runs/{way}", run).reason == "body.unscanned"
        assert post("alice", f"/threads/{thread}0/runs/{way}", run).reason == "body.unscanned"
    resumed = {"assistant_id": MODEL, "command": {"resume": "yes"}}
    assert post("alice", f"/threads/{thread}/runs/wait", resumed).status == 200
    assert post("bob", f"/threads/{thread}/runs/wait", resumed).reason == "body.unscanned"
    assert post("bob", "/threads", {"thread_id": thread, "if_exists": "do_nothing"}).reason == "body.shape"
    # Beside the thread, what is kept elsewhere is nobody's.
    assert post("alice", f"/threads/{thread}/runs/wait", {**run, "checkpoint_id": "c-1"}).reason == "body.unscanned"
