"""Asks through one client after the other, in the environment that has them.

Reads a list of questions from stdin, writes a list of answers to stdout, both JSON.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass

TIMEOUT = 60
# A model of Anthropic's as Bedrock calls it, and a profile by its ARN.
CLAUDE = "us.anthropic.claude-3-haiku-20240307-v1:0"
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0"
# How a client asks for a whole answer, and how for a stream.
Ways = tuple[Callable[[str], str], Callable[[str], str]]


def litellm(provider: str, base: str) -> Callable[[str, str, str], Ways]:
    def ways(url: str, token: str, model: str) -> Ways:
        import litellm

        litellm.suppress_debug_info, litellm.telemetry = True, False

        def ask(text: str, stream: bool):
            return litellm.completion(
                model=f"{provider}/{model}", api_base=url + base, api_key=token, stream=stream, max_tokens=64,
                messages=[{"role": "user", "content": text}], num_retries=0, max_retries=0, timeout=TIMEOUT,
            )  # fmt: skip

        def streamed(text: str) -> str:
            return "".join(chunk.choices[0].delta.content or "" for chunk in ask(text, True) if chunk.choices)

        return lambda text: ask(text, False).choices[0].message.content, streamed

    return ways


def mistral(url: str, token: str, model: str) -> Ways:
    from mistralai.client import Mistral

    sdk = Mistral(api_key=token, server_url=f"{url}/mistral", timeout_ms=TIMEOUT * 1000)

    def asked(text: str) -> dict:
        return {"model": model, "messages": [{"role": "user", "content": text}]}

    def streamed(text: str) -> str:
        chunks = [event.data for event in sdk.chat.stream(**asked(text))]
        return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)

    return lambda text: sdk.chat.complete(**asked(text)).choices[0].message.content, streamed


def aws(url: str, token: str) -> dict:
    """What AWS's clients need beside the model; the token is a bearer, as Bedrock's API keys are."""
    import os

    from botocore.config import Config

    os.environ |= {"AWS_BEARER_TOKEN_BEDROCK": token, "AWS_EC2_METADATA_DISABLED": "true"}
    config = Config(retries={"total_max_attempts": 1}, read_timeout=TIMEOUT)
    return {"endpoint_url": url, "region_name": "us-east-1", "config": config}


def bedrock(url: str, token: str, model: str) -> Ways:
    import boto3

    sdk = boto3.client("bedrock-runtime", **aws(url, token))

    def asked(text: str) -> dict:
        return {"modelId": model, "messages": [{"role": "user", "content": [{"text": text}]}]}

    def streamed(text: str) -> str:
        deltas = (event.get("contentBlockDelta") for event in sdk.converse_stream(**asked(text))["stream"])
        return "".join(delta["delta"]["text"] for delta in deltas if delta)

    return lambda text: sdk.converse(**asked(text))["output"]["message"]["content"][0]["text"], streamed


def bedrock_invoke(url: str, token: str, model: str) -> Ways:
    import boto3

    sdk = boto3.client("bedrock-runtime", **aws(url, token))

    def asked(text: str) -> dict:
        body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 64, "messages": [{"role": "user", "content": text}]}
        return {"modelId": model, "body": json.dumps(body)}

    def streamed(text: str) -> str:
        events = (json.loads(event["chunk"]["bytes"]) for event in sdk.invoke_model_with_response_stream(**asked(text))["body"])
        return "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta")

    return lambda text: json.load(sdk.invoke_model(**asked(text))["body"])["content"][0]["text"], streamed


def remote_chain(url: str, token: str, model: str) -> Ways:
    from langserve import RemoteRunnable

    chain = RemoteRunnable(f"{url}/{model}", headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT)
    return lambda text: chain.invoke(text).content, lambda text: "".join(piece.content for piece in chain.stream(text))


def langgraph(url: str, token: str, model: str) -> Ways:
    from langgraph_sdk import get_sync_client

    sdk = get_sync_client(url=url, headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT)

    def asked(text: str) -> dict:
        return {"thread_id": None, "assistant_id": model, "input": {"messages": [{"role": "user", "content": text}]}}

    def streamed(text: str) -> str:
        parts = sdk.runs.stream(**asked(text), stream_mode="messages-tuple")
        return "".join(part.data[0]["content"] for part in parts if part.event == "messages")

    return lambda text: sdk.runs.wait(**asked(text))["messages"][-1]["content"], streamed


def langchain(make: Callable) -> Callable[[str, str, str], Ways]:
    def ways(url: str, token: str, model: str) -> Ways:
        chat = make(url, token, model)
        return lambda text: chat.invoke(text).text, lambda text: "".join(part.text for part in chat.stream(text))

    return ways


@langchain
def langchain_openai(url: str, token: str, model: str):
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model=model, base_url=f"{url}/v1", api_key=token, max_retries=0, timeout=TIMEOUT)


@langchain
def langchain_anthropic(url: str, token: str, model: str):
    from langchain_anthropic import ChatAnthropic

    return ChatAnthropic(model=model, base_url=url, api_key=token, max_retries=0, timeout=TIMEOUT, max_tokens=64)


@langchain
def langchain_google(url: str, token: str, model: str):
    from langchain_google_genai import ChatGoogleGenerativeAI

    return ChatGoogleGenerativeAI(model=model, base_url=url, google_api_key=token, max_retries=1, timeout=TIMEOUT)


@langchain
def langchain_mistral(url: str, token: str, model: str):
    from langchain_mistralai import ChatMistralAI

    return ChatMistralAI(model=model, endpoint=f"{url}/mistral/v1", mistral_api_key=token, max_retries=0, timeout=TIMEOUT)


@langchain
def langchain_cohere(url: str, token: str, model: str):
    from cohere.core.request_options import RequestOptions
    from langchain_cohere import ChatCohere

    chat = ChatCohere(model=model, base_url=url, cohere_api_key=token, timeout_seconds=TIMEOUT)
    return chat.bind(request_options=RequestOptions(max_retries=0))


@langchain
def langchain_ollama(url: str, token: str, model: str):
    from langchain_ollama import ChatOllama

    return ChatOllama(model=model, base_url=url, client_kwargs={"headers": {"Authorization": f"Bearer {token}"}, "timeout": TIMEOUT})


@langchain
def langchain_aws(url: str, token: str, model: str):
    from langchain_aws import ChatBedrockConverse

    return ChatBedrockConverse(model=model, provider="amazon", **aws(url, token))


def llama_index(make: Callable) -> Callable[[str, str, str], Ways]:
    def ways(url: str, token: str, model: str) -> Ways:
        llm = make(url, token, model)
        return lambda text: llm.complete(text).text, lambda text: "".join(part.delta or "" for part in llm.stream_complete(text))

    return ways


@llama_index
def llama_index_openai(url: str, token: str, model: str):
    from llama_index.llms.openai_like import OpenAILike

    return OpenAILike(model=model, api_base=f"{url}/v1", api_key=token, is_chat_model=True, max_retries=0, timeout=TIMEOUT)


@llama_index
def llama_index_anthropic(url: str, token: str, model: str):
    from llama_index.llms.anthropic import Anthropic

    return Anthropic(model=model, base_url=url, api_key=token, max_retries=0, timeout=TIMEOUT, max_tokens=64)


@llama_index
def llama_index_google(url: str, token: str, model: str):
    from google.genai import types
    from llama_index.llms.google_genai import GoogleGenAI

    return GoogleGenAI(
        model=model, api_key=token, max_retries=0, context_window=4096, max_tokens=64,
        http_options=types.HttpOptions(base_url=url, timeout=TIMEOUT * 1000),
    )  # fmt: skip


@llama_index
def llama_index_mistral(url: str, token: str, model: str):
    from llama_index.llms.mistralai import MistralAI

    return MistralAI(model=model, endpoint=f"{url}/mistral", api_key=token, max_retries=0, timeout=TIMEOUT, max_tokens=64)


@llama_index
def llama_index_ollama(url: str, token: str, model: str):
    from llama_index.llms.ollama import Ollama

    headers = {"Authorization": f"Bearer {token}"}
    return Ollama(model=model, base_url=url, headers=headers, request_timeout=TIMEOUT, context_window=4096)


@llama_index
def llama_index_aws(url: str, token: str, model: str):
    from llama_index.llms.bedrock_converse import BedrockConverse

    where = aws(url, token)
    return BedrockConverse(model=model, max_tokens=64, max_retries=1, botocore_config=where.pop("config"), **where)


@dataclass(frozen=True)
class Client:
    """How a client asks, in which environment, and two models: one that the roles allow, and another one."""

    ways: Callable[[str, str, str], Ways]
    environment: str = "clients"
    model: str = "smollm2"
    other: str = "another-model"
    # The proxy that it goes through. Some clients send a bearer over TLS only.
    site: str = "plain"


CLIENTS = {
    "litellm openai": Client(litellm("openai", "/v1"), "litellm"),
    "litellm completions": Client(litellm("text-completion-openai", "/v1"), "litellm"),
    "litellm anthropic": Client(litellm("anthropic", ""), "litellm"),
    "litellm ollama chat": Client(litellm("ollama_chat", ""), "litellm"),
    "litellm ollama": Client(litellm("ollama", ""), "litellm"),
    "mistralai": Client(mistral),
    "boto3 converse": Client(bedrock, site="tls"),
    "boto3 converse by ARN": Client(bedrock, model=PROFILE, other=PROFILE.replace("lite", "pro"), site="tls"),
    "boto3 invoke": Client(bedrock_invoke, model=CLAUDE, other=CLAUDE.replace("haiku", "opus"), site="tls"),
    "langchain aws": Client(langchain_aws, site="tls"),
    "langserve": Client(remote_chain, model="chain", other="another", site="chain"),
    "langgraph": Client(langgraph),
    "langchain openai": Client(langchain_openai),
    "langchain anthropic": Client(langchain_anthropic),
    "langchain google": Client(langchain_google),
    "langchain mistral": Client(langchain_mistral),
    "langchain cohere": Client(langchain_cohere),
    "langchain ollama": Client(langchain_ollama),
    "llama-index openai": Client(llama_index_openai),
    # These two ask for models that they know, and for no others.
    "llama-index anthropic": Client(llama_index_anthropic, "litellm", model="claude-haiku-5-5", other="claude-opus-4-0"),
    "llama-index mistral": Client(llama_index_mistral, model="codestral-2508", other="devstral-medium-2507"),
    "llama-index aws": Client(llama_index_aws, model="amazon.nova-lite-v1:0", other="amazon.nova-pro-v1:0", site="tls"),
    "llama-index google": Client(llama_index_google),
    "llama-index ollama": Client(llama_index_ollama),
}


def status(error: Exception) -> int | None:
    """The status of an exception, or of the one that it was made of."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return response["ResponseMetadata"]["HTTPStatusCode"]
    holders = (error, response, error.__cause__)
    values = (getattr(holder, name, None) for holder in holders for name in ("status_code", "code", "http_status"))
    return next((value for value in values if isinstance(value, int)), None)


def main() -> None:
    answers = []
    for question in json.load(sys.stdin):
        try:
            whole, stream = CLIENTS[question["client"]].ways(question["url"], question["token"], question["model"])
            answers.append({"text": (stream if question["stream"] else whole)(question["text"])})
        except Exception as error:
            kinds = [kind.__name__ for kind in type(error).__mro__]
            answers.append({"kinds": kinds, "status": status(error), "message": str(error)[:300]})
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
