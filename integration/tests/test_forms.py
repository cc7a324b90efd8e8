"""Uploads (`multipart/form-data`): no field of them is read, so that only a role of every model may send them, and
`unscanned` decides."""

import openai
import pytest

from conftest import Site

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
