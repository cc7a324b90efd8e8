"""Asks through litellm, in its own environment: it pins another version of the OpenAI SDK than the other tests use.

Reads a list of questions from stdin, writes a list of answers to stdout, both JSON.
"""

import json
import sys

import litellm

litellm.suppress_debug_info = True
litellm.telemetry = False

BASES = {"openai": "/v1", "anthropic": "", "ollama_chat": "", "ollama": "", "text-completion-openai": "/v1"}


def ask(provider: str, url: str, token: str, text: str, model: str, stream: bool) -> str:
    reply = litellm.completion(
        model=f"{provider}/{model}", api_base=url + BASES[provider], api_key=token, stream=stream, max_tokens=64,
        messages=[{"role": "user", "content": text}], num_retries=0, max_retries=0, timeout=60,
    )  # fmt: skip
    if not stream:
        return reply.choices[0].message.content
    return "".join(chunk.choices[0].delta.content or "" for chunk in reply if chunk.choices)


def main() -> None:
    answers = []
    for question in json.load(sys.stdin):
        try:
            answers.append({"text": ask(**question)})
        except Exception as error:
            kinds = [kind.__name__ for kind in type(error).__mro__]
            answers.append({"kinds": kinds, "status": getattr(error, "status_code", None), "message": str(error)[:300]})
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
