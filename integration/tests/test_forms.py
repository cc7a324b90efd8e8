"""Uploads (`multipart/form-data`): of most only the purpose is read, so that only a role of every model may send them, and
`unscanned` decides. Batches and training files are read line by line where the policy says so. Fine-tuning jobs, and the
Realtime API, which is refused."""

import asyncio
import json

import openai
import pytest
from websockets.exceptions import InvalidStatus

from conftest import ATTACK, Site

SOUND = ("a.wav", b"RIFF\0\0\0\0WAVE", "audio/wav")
PICTURE = ("a.png", b"\x89PNG\r\n\x1a\n", "image/png")


def uploads(document: dict) -> None:
    document["routes"] = [{"match": {"pathPrefix": "/v1/"}, "protocol": "openai"}]
    document["unscanned"] = {"default": "deny", "audio": "flag", "file": "flag"}
    analyst, guest = document["roles"]["analyst"], document["roles"]["guest"]
    analyst.update(operations=["audio", "files", "images", "batch"], models=["whisper", "smollm2"], quotas=[])
    guest.update(operations=["audio", "files", "images", "batch"], models=["*"], quotas=[])


@pytest.fixture
def site(sites, mode) -> Site:
    return sites(mode, change=uploads)


def calls(site: Site, role: str) -> list:
    sdk = openai.OpenAI(base_url=f"{site.proxy.url}/v1", api_key=site.token("forms", (role,)), max_retries=0, timeout=60)
    return [
        lambda: sdk.audio.transcriptions.with_raw_response.create(model="whisper", file=SOUND),
        lambda: sdk.audio.translations.with_raw_response.create(model="whisper", file=SOUND),
        lambda: sdk.files.with_raw_response.create(
            purpose="batch", file=("a.jsonl", b"{}"), extra_headers={"x-case": f"forms-{role}-{site.mode}"}
        ),
        lambda: sdk.batches.with_raw_response.create(
            input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h"
        ),
        lambda: sdk.images.with_raw_response.edit(model="smollm2", image=PICTURE, prompt="A castle."),
    ]


def test_a_role_of_some_models_sends_none(site):
    for call in calls(site, "analyst"):
        with pytest.raises(openai.PermissionDeniedError) as caught:
            call()
        assert caught.value.response.headers["x-bartizan-reason"] == "rbac.model"


def test_a_role_of_every_model_sends_what_the_policy_lets_pass(site):
    *passed, image = calls(site, "guest")
    for call in passed:
        assert call().status_code == 200
    with pytest.raises(openai.BadRequestError) as caught:
        image()
    assert caught.value.response.headers["x-bartizan-reason"] == "body.unscanned"
    record = site.proxy.entry(f"forms-guest-{site.mode}").audit
    assert record["bartizan.unscanned"] == ["file"] and record["bartizan.coverage"] == "partial"


def lines(document: dict) -> None:
    uploads(document)
    document["unscanned"]["lines"] = "scan"
    analyst, guest = document["roles"]["analyst"], document["roles"]["guest"]
    analyst.update(operations=["files", "trainingFiles", "fineTuning", "batch", "chat"], models=["smollm2", "default"])
    guest.update(operations=["files", "batch", "embeddings"], models=["*"])


@pytest.fixture
def reading(sites, mode) -> Site:
    return sites(mode, change=lines)


def client(site: Site, role: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{site.proxy.url}/v1", api_key=site.token("lines", (role,)), max_retries=0, timeout=60)


def batch(*texts: str, model: str = "smollm2", url: str = "/v1/chat/completions") -> bytes:
    def line(at: int, text: str) -> str:
        body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 20}
        return json.dumps({"custom_id": f"{at}", "method": "POST", "url": url, "body": body})

    return "\n".join(line(at, text) for at, text in enumerate(texts)).encode()


def training(*texts: str) -> bytes:
    def line(text: str) -> str:
        return json.dumps({"messages": [{"role": "user", "content": "Well?"}, {"role": "assistant", "content": text}]})

    return "\n".join(map(line, texts)).encode()


def refused(error: type[openai.APIStatusError], reason: str, param: str | None, call) -> None:
    with pytest.raises(error) as caught:
        call()
    assert caught.value.response.headers["x-bartizan-reason"] == reason
    assert caught.value.param == param
    assert ATTACK not in str(caught.value)


def test_lines_of_uploads_are_judged(reading):
    sdk = client(reading, "analyst")

    def send(purpose: str, content: bytes):
        case = {"x-case": f"lines-{reading.mode}"}
        return sdk.files.with_raw_response.create(purpose=purpose, file=("a.jsonl", content), extra_headers=case)

    def came() -> list:
        return reading.upstream.seen(f"lines-{reading.mode}")

    reading.upstream.forget()
    for purpose, content in (("batch", batch("How tall is the keep?", "And the moat?")), ("fine-tune", training("Ten feet."))):
        assert send(purpose, content).status_code == 200
        (seen,) = came()
        assert content in bytes(seen.body) and seen.complete
        reading.upstream.forget()
    refused(openai.BadRequestError, "scan.injection", "file:2", lambda: send("batch", batch("Hello.", ATTACK)))
    refused(openai.BadRequestError, "scan.injection", "file:3", lambda: send("fine-tune", training("a", "b", ATTACK)))
    refused(openai.PermissionDeniedError, "rbac.model", "model", lambda: send("batch", batch("Hello.", model="other")))
    refused(openai.BadRequestError, "body.shape", "url:1", lambda: send("batch", batch("Hello.", url="/v1/files")))
    refused(openai.BadRequestError, "body.malformed", "file:2", lambda: send("batch", batch("Hello.") + b"\n{"))
    refused(openai.BadRequestError, "body.shape", "purpose", lambda: send("finetune", training("a")))
    # In weak mode headers leave before the body is judged.
    assert not any(seen.complete or seen.body for seen in came())
    guest = client(reading, "guest")
    refused(openai.PermissionDeniedError, "rbac.operation", None,
            lambda: guest.files.create(purpose="fine-tune", file=("a.jsonl", training("a"))))  # fmt: skip
    refused(openai.PermissionDeniedError, "rbac.operation", None,
            lambda: guest.files.create(purpose="batch", file=("a.jsonl", batch("Hello."))))  # fmt: skip


def test_fine_tuning_jobs(reading):
    jobs = client(reading, "analyst").fine_tuning.jobs
    raw = jobs.with_raw_response
    for call in (
        lambda: raw.create(model="smollm2", training_file="file-1"),
        lambda: raw.list(limit=2),
        lambda: raw.retrieve("ftjob-1"),
        lambda: raw.list_events("ftjob-1"),
        lambda: jobs.checkpoints.with_raw_response.list("ftjob-1"),
        lambda: raw.cancel("ftjob-1"),
        lambda: raw.pause("ftjob-1"),
        lambda: raw.resume("ftjob-1"),
    ):
        assert call().status_code == 200
    refused(openai.PermissionDeniedError, "rbac.model", "model", lambda: jobs.create(model="other", training_file="file-1"))
    refused(openai.BadRequestError, "scan.injection", None,
            lambda: jobs.create(model="smollm2", training_file="file-1", suffix=ATTACK))  # fmt: skip
    guest = client(reading, "guest").fine_tuning.jobs
    refused(openai.PermissionDeniedError, "rbac.operation", None, lambda: guest.create(model="smollm2", training_file="file-1"))
    refused(openai.PermissionDeniedError, "rbac.operation", None, lambda: guest.cancel("ftjob-1"))


def test_realtime_is_refused(reading):
    sdk = client(reading, "analyst")
    before = reading.upstream.total
    refused(openai.PermissionDeniedError, "route.realtime", None, lambda: sdk.realtime.client_secrets.create())

    async def connect() -> None:
        asynchronous = openai.AsyncOpenAI(base_url=sdk.base_url, api_key=sdk.api_key, max_retries=0)
        async with asynchronous.realtime.connect(model="smollm2"):
            pass

    with pytest.raises(InvalidStatus) as caught:
        asyncio.run(connect())
    response = caught.value.response
    assert (response.status_code, response.headers["x-bartizan-reason"]) == (403, "route.realtime")
    assert reading.upstream.total == before
