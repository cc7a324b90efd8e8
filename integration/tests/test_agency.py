"""What a model may do, with the providers' own SDKs: tools of requests, calls of replies, their arguments, and texts from
outside that are marked."""

import json

import pytest

from conftest import Site, user
from harness.upstream import CANNED
from harness.wires import MODEL

KEY = "AKIAQ7EXAMPL3TE5TKXQ"
ASKED = [user("Find it.")]


def careful(document: dict) -> None:
    document["authn"]["tokenFrom"] = ["authorization", "x-api-key"]
    document["routes"] = [{"match": {"pathPrefix": "/v1/"}, "protocol": name} for name in ("openai", "anthropic")]
    document["roles"]["analyst"].update(operations=["chat"], tools={"allow": ["search_*"], "others": "remove"}, quotas=[])
    document["guards"]["standard"].update(output={"secrets": "mask", "toolCalls": "remove"}, spotlight="delimit")


@pytest.fixture
def site(sites, mode) -> Site:
    return sites(mode, change=careful)


def openai_of(site: Site, **headers):
    import openai

    url = f"{site.proxy.url}/v1"
    return openai.OpenAI(base_url=url, api_key=site.token(), max_retries=0, timeout=60, default_headers=headers).chat.completions


def anthropic_of(site: Site, **headers):
    import anthropic

    return anthropic.Anthropic(base_url=site.proxy.url, api_key=site.token(), max_retries=0, timeout=60, default_headers=headers).messages


def function(name: str) -> dict:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


def test_tools_of_a_request(site):
    case = f"tools-{site.mode}"
    headers = {"x-case": case}
    openai_of(site, **headers).create(model=MODEL, messages=ASKED, tools=[function("search_x"), function("delete_x")])
    assert [tool["function"]["name"] for tool in site.upstream.seen(case)[-1].json()["tools"]] == ["search_x"]
    openai_of(site, **headers).create(
        model=MODEL, messages=ASKED, tools=[function("delete_x")], tool_choice={"type": "function", "function": {"name": "delete_x"}}
    )
    left = site.upstream.seen(case)[-1].json()
    assert "tools" not in left and "tool_choice" not in left
    server_side = [{"type": "web_search_20250305", "name": "web_search"}, {"name": "search_x", "input_schema": {"type": "object"}}]
    anthropic_of(site, **headers).create(model=MODEL, max_tokens=64, messages=ASKED, tools=server_side)
    assert [tool["name"] for tool in site.upstream.seen(case)[-1].json()["tools"]] == ["search_x"]


def canned(content_type: bytes, body: str | bytes) -> None:
    CANNED[:] = content_type, body.encode() if isinstance(body, str) else body, 33


def test_calls_of_an_openai_reply(site):
    def call(index: int, name: str, arguments: str) -> dict:
        return {"index": index, "id": f"c{index}", "type": "function", "function": {"name": name, "arguments": arguments}}

    calls = [call(0, "search_x", json.dumps({"q": KEY})), call(1, "delete_x", "{}")]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    canned(b"application/json", json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}))
    sdk = openai_of(site, **{"x-script": "canned"})
    [kept] = sdk.create(model=MODEL, messages=ASKED).choices[0].message.tool_calls
    assert (kept.function.name, json.loads(kept.function.arguments)) == ("search_x", {"q": "[SECRET_1]"})

    def event(delta: dict, finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return f"data: {json.dumps({'id': 'c', 'object': 'chat.completion.chunk', 'created': 1, 'model': 'm', 'choices': [choice]})}\n\n"

    pieces = [call(0, "search_x", '{"q": "')] + [{"index": 0, "function": {"arguments": piece}} for piece in (KEY[:9], KEY[9:], '"}')]
    pieces += [call(1, "delete_x", ""), {"index": 1, "function": {"arguments": "{}"}}]
    canned(b"text/event-stream", "".join(event({"tool_calls": [piece]}) for piece in pieces) + event({}, "tool_calls") + "data: [DONE]\n\n")
    named, arguments = [], ""
    for chunk in sdk.create(model=MODEL, messages=ASKED, stream=True):
        for piece in chunk.choices[0].delta.tool_calls or []:
            named += [piece.function.name] if piece.function.name else []
            arguments += piece.function.arguments or ""
    assert named == ["search_x"] and json.loads(arguments) == {"q": "[SECRET_1]"}


def test_calls_of_an_anthropic_reply(site):
    def use(name: str, given: dict) -> dict:
        return {"type": "tool_use", "id": f"t-{name}", "name": name, "input": given}

    blocks = [use("search_x", {"q": KEY}), use("delete_x", {})]
    head = {"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None}
    usage = {"input_tokens": 1, "output_tokens": 1}
    canned(b"application/json", json.dumps({**head, "content": blocks, "stop_reason": "tool_use", "usage": usage}))
    sdk = anthropic_of(site, **{"x-script": "canned"})
    got = sdk.create(model=MODEL, max_tokens=64, messages=ASKED).content
    assert [(block.name, block.input) for block in got if block.type == "tool_use"] == [("search_x", {"q": "[SECRET_1]"})]

    events = [{"type": "message_start", "message": {**head, "content": [], "stop_reason": None, "usage": usage}}]
    for index, (block, pieces) in enumerate(zip(blocks, (['{"q": "', KEY[:9], KEY[9:], '"}'], ["{}"]))):
        events.append({"type": "content_block_start", "index": index, "content_block": {**block, "input": {}}})
        events += [{"type": "content_block_delta", "index": index, "delta": {"type": "input_json_delta", "partial_json": piece}} for piece in pieces]
        events.append({"type": "content_block_stop", "index": index})
    events.append({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None}, "usage": {"output_tokens": 1}})
    events.append({"type": "message_stop"})
    canned(b"text/event-stream", "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events))
    with sdk.stream(model=MODEL, max_tokens=64, messages=ASKED) as stream:
        final = stream.get_final_message().content
    assert [(block.name, block.input) for block in final if block.type == "tool_use"] == [("search_x", {"q": "[SECRET_1]"})]


def test_what_comes_from_outside_is_marked(site):
    case = f"outside-{site.mode}"
    call = {"id": "c1", "type": "function", "function": {"name": "search_x", "arguments": "{}"}}
    openai_of(site, **{"x-case": case}).create(model=MODEL, messages=[
        user("Find it."), {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "A page about castles."}, user("And now?"),
    ])  # fmt: skip
    messages = site.upstream.seen(case)[-1].json()["messages"]
    marked = messages[2]["content"]
    assert "A page about castles." in marked and marked.startswith("[from outside ") and messages[3]["content"] == "And now?"
