"""What the provider keeps: a caller may go on with its own responses and conversations, with nobody else's and with
nothing that the filter has not seen it get."""

import json

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


def kept(document: dict) -> None:
    bound(document)
    document["unscanned"].update(default="deny", reference="flag", lines="scan")
    document["roles"]["analyst"].update(operations=["responses", "conversations", "batch", "files", "chat"], models=["*"])
    document["guards"]["standard"]["output"] = {"secrets": "mask"}


def flagged(document: dict) -> None:
    kept(document)
    document["unscanned"].update(state="flag", file="flag")


def no_other(reason: str, *calls) -> None:
    for call in calls:
        with pytest.raises(openai.BadRequestError) as caught:
            call()
        assert caught.value.response.headers["x-bartizan-reason"] == reason


BATCH = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
REQUEST = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 20}
LINE = json.dumps({"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": REQUEST}).encode()


def test_a_batch_from_its_file_to_its_results(sites, mode):
    site = sites(mode, change=kept)
    alice, bob = client(site, "alice"), client(site, "bob")
    file = alice.files.create(purpose="batch", file=("a.jsonl", LINE)).id
    batch = alice.batches.create(input_file_id=file, **BATCH).id
    done = alice.batches.retrieve(batch)
    assert done.id == batch and done.status == "completed"
    others = bob.batches.create(input_file_id="file-1", **BATCH).id
    assert [one.id for one in alice.batches.list(limit=20)] == [batch]
    assert [one.id for one in bob.batches.list()] == [others]
    assert list(alice.files.list()) == []
    assert alice.files.retrieve(file).id == file
    scripts.SAID[:], scripts.DEFAULT[0] = ["The key is ", KEY, "."], "said"
    try:
        lines = alice.files.content(done.output_file_id).text.splitlines()
    finally:
        scripts.DEFAULT[0] = "default"
    said = [json.loads(line)["response"]["body"]["choices"][0]["message"]["content"] for line in lines]
    assert said == ["Hello.", "The key is [SECRET_1]."]
    no_other(
        "body.unscanned",
        lambda: bob.batches.retrieve(batch),
        lambda: bob.batches.cancel(batch),
        lambda: bob.files.retrieve(file),
        lambda: bob.files.content(file),
        lambda: bob.files.content(done.output_file_id),
        lambda: bob.files.delete(file),
        lambda: alice.files.retrieve("file-unknown"),
    )
    assert alice.batches.cancel(batch).status == "cancelling"
    assert alice.files.delete(file).deleted


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_stored_response_is_read_again(sites, mode, stream):
    site = sites(mode, change=kept)
    alice, bob = client(site, "alice"), client(site, "bob")
    made = begun(alice, stream)
    scripts.SAID[:], scripts.DEFAULT[0] = ["The key is ", KEY[:6], KEY[6:], "."], "said"
    try:
        if stream:
            *_, last = alice.responses.retrieve(made, stream=True)
            text = last.response.output_text
        else:
            text = alice.responses.retrieve(made).output_text
        [item] = alice.responses.input_items.list(made)
        assert text == item.content[0].text == "The key is [SECRET_1]."
        assert KEY not in alice.responses.cancel(made).to_json()
    finally:
        scripts.DEFAULT[0] = "default"
    no_other(
        "body.unscanned",
        lambda: bob.responses.retrieve(made),
        lambda: bob.responses.retrieve(made, stream=True),
        lambda: bob.responses.input_items.list(made),
        lambda: bob.responses.cancel(made),
        lambda: bob.responses.delete(made),
    )
    alice.responses.delete(made)


def test_a_conversation_is_read_and_goes_on(sites, mode):
    site = sites(mode, change=kept)
    alice, bob = client(site, "alice"), client(site, "bob")
    made = alice.conversations.create().id
    assert alice.conversations.retrieve(made).id == made
    item = {"type": "message", "role": "user", "content": "hello"}
    assert alice.conversations.items.with_raw_response.create(made, items=[item]).status_code == 200
    assert [one.id for one in alice.conversations.items.list(made)] == ["msg_1"]
    no_other(
        "scan.injection",
        lambda: alice.conversations.items.create(made, items=[{**item, "content": ATTACK}]),
    )
    no_other(
        "body.unscanned",
        lambda: bob.conversations.retrieve(made),
        lambda: bob.conversations.items.list(made),
        lambda: bob.conversations.items.create(made, items=[item]),
        lambda: bob.conversations.update(made, metadata={"a": "b"}),
        lambda: bob.conversations.delete(made),
    )
    alice.conversations.update(made, metadata={"a": "b"})
    assert alice.conversations.delete(made).deleted


def test_what_is_kept_passes_and_is_recorded_where_the_policy_says_so(sites, mode):
    site = sites(mode, change=flagged)
    bob = client(site, "bob")
    case = f"kept-{mode}"
    site.upstream.replies[case] = {"headers": {"content-type": "application/pdf"}, "chunks": ["%PDF-1.7\n" + KEY]}
    got = bob.files.with_raw_response.content("file-9", extra_headers={"x-case": case})
    assert got.content.startswith(b"%PDF")
    record = site.proxy.entry(case).audit
    assert record["bartizan.unscanned"] == ["state", "file"] and record["bartizan.coverage"] == "partial"
    assert list(bob.files.list())


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
