#!/usr/bin/env python3
"""A judge of kind `http` in front of a cloud's guardrail: Bedrock Guardrails, Azure Prompt Shields, Model Armor, Lakera Guard.

    guardrails.py [--host 127.0.0.1] [--port 8085]

The path of a question says which service is asked: `/bedrock`, `/azure`, `/azure-documents`, `/model-armor`, `/lakera`.
What each needs is in the environment (`SERVICES`); one that lacks it answers 503. Needs Python 3.10 and no package.

Each text is one call of the service, eight at a time; Azure's limit of 10,000 characters is kept by overlapping parts. The
answer is `NONE`, `BLOCKED`, or `GUARDRAIL_INTERVENED` with the texts as the service wants them. A service that does not
answer, answers in another form than it documents, or has not looked at everything is a 502: the judge's `onUnavailable`
decides then. A service that intervenes without saying what to mask, or where, is `BLOCKED`. No text, and nothing of an answer,
is logged or handed on.

It listens on the loopback address, because whoever reaches it may use its credentials. Redirects are not followed.
"""

import argparse
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MOST_QUESTION, MOST_ANSWER = 4 << 20, 1 << 20
CALLS_AT_A_TIME = 8


class Odd(Exception):
    """The service is away, or its answer is not understood."""


class Blocked(Exception):
    """The service wants the text not to pass."""


def need(value, kind: type, what: str):
    """The value, if it is of this kind. `True` is no number."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Odd(what)
    return value


def masked(text: str, spans: list[tuple[int, int, str]]) -> str:
    """The text with `[NAME]` in the place of these spans, which count characters and may overlap."""
    out, at = [], 0
    for start, end, name in sorted(spans, key=lambda span: (span[0], -span[1])):
        if not 0 <= start < end <= len(text):
            raise Blocked
        if end > at:
            out += [text[at : max(at, start)], f"[{name}]"]
            at = end
    return "".join(out) + text[at:]


def everywhere(text: str, part: str, name: str) -> list[tuple[int, int, str]]:
    """All places of a part of the text."""
    spans, at = [], text.find(part) if part else -1
    while at >= 0:
        spans.append((at, at + len(part), name))
        at = text.find(part, at + 1)
    if not spans:
        raise Blocked
    return spans


# Amazon Bedrock, ApplyGuardrail.


def bedrock_body(text: str, is_reply: bool) -> dict:
    return {"source": "OUTPUT" if is_reply else "INPUT", "content": [{"text": {"text": text}}]}


def bedrock_read(answer: dict, text: str) -> str:
    action = need(answer.get("action"), str, "action")
    seen = answer.get("guardrailCoverage", {}).get("textCharacters", {})
    if seen.get("guarded", 0) < seen.get("total", 0):
        raise Odd("it has not looked at the whole text")
    if action == "NONE":
        return text
    if action != "GUARDRAIL_INTERVENED":
        raise Odd("action")
    spans = []
    for found in bedrock_actions(need(answer.get("assessments"), list, "assessments")):
        if found["action"] == "ANONYMIZED":
            spans += everywhere(text, need(found.get("match"), str, "match"), found.get("type") or found.get("name") or "REGEX")
        elif found["action"] != "NONE":
            raise Blocked
    if not spans:
        raise Blocked
    return masked(text, spans)


def bedrock_actions(node):
    """All parts of an assessment that say what is done: each policy has its own shape, and all of them have `action`."""
    if isinstance(node, dict):
        if isinstance(node.get("action"), str):
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for one in node:
            yield from bedrock_actions(one)


# Azure AI Content Safety, Prompt Shields. It has no masks.

AZURE_MOST, AZURE_OVERLAP = 10_000, 500


def azure_parts(text: str) -> list[str]:
    starts = range(0, max(1, len(text) - AZURE_OVERLAP), AZURE_MOST - AZURE_OVERLAP)
    return [text[start : start + AZURE_MOST] for start in starts]


def azure_body(text: str, _: bool) -> dict:
    return {"userPrompt": text, "documents": []}


def azure_documents_body(text: str, _: bool) -> dict:
    return {"userPrompt": "", "documents": [text]}


def azure_read(answer: dict, text: str) -> str:
    return azure_verdict(answer.get("userPromptAnalysis"), text)


def azure_documents_read(answer: dict, text: str) -> str:
    [analysis] = need(answer.get("documentsAnalysis"), list, "documentsAnalysis")
    return azure_verdict(analysis, text)


def azure_verdict(analysis, text: str) -> str:
    if need(need(analysis, dict, "analysis").get("attackDetected"), bool, "attackDetected"):
        raise Blocked
    return text


# Google Cloud Model Armor, sanitizeUserPrompt and sanitizeModelResponse.


def armor_body(text: str, is_reply: bool) -> dict:
    return {"modelResponseData" if is_reply else "userPromptData": {"text": text}}


def armor_read(answer: dict, text: str) -> str:
    result = need(answer.get("sanitizationResult"), dict, "sanitizationResult")
    if result.get("invocationResult") != "SUCCESS":
        raise Odd("not all filters ran")
    state = result.get("filterMatchState")
    if state == "NO_MATCH_FOUND":
        return text
    if state != "MATCH_FOUND":
        raise Odd("filterMatchState")
    changed = None
    for name, filter_result in need(result.get("filterResults"), dict, "filterResults").items():
        for own in need(filter_result, dict, name).values():
            parts = own.values() if name == "sdp" else [own]
            matches = [part for part in parts if part.get("matchState") == "MATCH_FOUND"]
            if matches and name != "sdp":
                raise Blocked
            for part in matches:
                changed = armor_masked(part, text)
    if changed is None or changed == text:
        raise Blocked
    return changed


def armor_masked(part: dict, text: str) -> str:
    """What Sensitive Data Protection makes of the text, or where it found something."""
    if isinstance(part.get("data"), dict) and isinstance(part["data"].get("text"), str):
        return part["data"]["text"]
    if part.get("findingsTruncated") or not part.get("findings"):
        raise Blocked
    spans = []
    for finding in part["findings"]:
        place = finding.get("location", {}).get("codepointRange")
        if not place:
            raise Blocked
        # Numbers of 64 bits are strings in its JSON, and a zero is left out.
        spans.append((int(place.get("start", 0)), int(place.get("end", 0)), finding.get("infoType") or "SDP"))
    return masked(text, spans)


# Lakera Guard.


def lakera_body(text: str, is_reply: bool) -> dict:
    body = {"messages": [{"role": "assistant" if is_reply else "user", "content": text}], "breakdown": True, "payload": True}
    project = os.environ.get("LAKERA_PROJECT")
    return body | ({"project_id": project} if project else {})


def lakera_read(answer: dict, text: str) -> str:
    if not need(answer.get("flagged"), bool, "flagged"):
        return text
    found = [one for one in need(answer.get("breakdown"), list, "breakdown") if one.get("detected")]
    # Where only personal data is flagged it says where; all else is for refusing.
    if not found or not all(str(one.get("detector_type", "")).split("/")[0] == "pii" for one in found):
        raise Blocked
    spans = []
    for item in answer.get("payload") or []:
        start, end, part = (item.get(name) for name in ("start", "end", "text"))
        name = str(item.get("detector_type", "pii")).split("/")[-1].upper()
        if not isinstance(start, int) or not isinstance(end, int):
            raise Blocked
        # Whether `end` is the last character or the one behind it is seen by the text that it gives.
        if text[start:end] == part:
            spans.append((start, end, name))
        elif text[start : end + 1] == part:
            spans.append((start, end + 1, name))
        else:
            spans += everywhere(text, need(part, str, "text"), name)
    if not spans:
        raise Blocked
    return masked(text, spans)


def secret(name: str) -> str:
    """A credential: of the environment, or out of the file that `NAME_FILE` names, which something else may keep fresh."""
    if path := os.environ.get(name + "_FILE"):
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    return os.environ[name]


def bedrock_url(_: bool) -> str:
    guardrail = urllib.parse.quote(os.environ["BEDROCK_GUARDRAIL"], safe="")
    return f"{os.environ['BEDROCK_URL']}/guardrail/{guardrail}/version/{os.environ.get('BEDROCK_VERSION', 'DRAFT')}/apply"


def azure_url(_: bool) -> str:
    return f"{os.environ['AZURE_URL']}/contentsafety/text:shieldPrompt?api-version=2024-09-01"


def armor_url(is_reply: bool) -> str:
    verb = "sanitizeModelResponse" if is_reply else "sanitizeUserPrompt"
    return f"{os.environ['MODEL_ARMOR_URL']}/v1/{os.environ['MODEL_ARMOR_TEMPLATE']}:{verb}"


def lakera_url(_: bool) -> str:
    return f"{os.environ.get('LAKERA_URL', 'https://api.lakera.ai')}/v2/guard"


def bearer(name: str):
    return lambda: {"authorization": f"Bearer {secret(name)}"}


def azure_key() -> dict[str, str]:
    return {"ocp-apim-subscription-key": secret("AZURE_KEY")}


def whole(text: str) -> list[str]:
    return [text]


# Path -> address, credential, parts of a text, body of a call, what the answer makes of the text.
SERVICES = {
    # BEDROCK_URL, such as https://bedrock-runtime.eu-central-1.amazonaws.com; BEDROCK_GUARDRAIL, BEDROCK_VERSION
    "/bedrock": (bedrock_url, bearer("AWS_BEARER_TOKEN_BEDROCK"), whole, bedrock_body, bedrock_read),
    # AZURE_URL: the endpoint of the Content Safety resource
    "/azure": (azure_url, azure_key, azure_parts, azure_body, azure_read),
    "/azure-documents": (azure_url, azure_key, azure_parts, azure_documents_body, azure_documents_read),
    # MODEL_ARMOR_URL: the regional endpoint; MODEL_ARMOR_TEMPLATE: projects/P/locations/L/templates/T
    "/model-armor": (armor_url, bearer("MODEL_ARMOR_TOKEN"), whole, armor_body, armor_read),
    # LAKERA_URL, if not the public one; LAKERA_PROJECT, if not the default policy
    "/lakera": (lakera_url, bearer("LAKERA_API_KEY"), whole, lakera_body, lakera_read),
}


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the credential to another host."""

    def redirect_request(self, *_):
        return None


OPENER = urllib.request.build_opener(NoRedirect)


def call(path: str, text: str, is_reply: bool) -> str:
    """What the service makes of one text."""
    url, credential, parts, body, read = SERVICES[path]
    timeout = float(os.environ.get("TIMEOUT_SECONDS", "2"))
    for part in parts(text):
        asked = urllib.request.Request(url(is_reply), json.dumps(body(part, is_reply)).encode(), {"content-type": "application/json", **credential()})
        try:
            with OPENER.open(asked, timeout=timeout) as reply:
                octets = reply.read(MOST_ANSWER + 1)
                if reply.status != 200 or len(octets) > MOST_ANSWER:
                    raise Odd("status or size")
            changed = read(need(json.loads(octets), dict, "an object"), part)
        except (Odd, Blocked):
            raise
        except Exception as error:  # whatever else: no connection, no JSON, a member of another type
            raise Odd(type(error).__name__) from error
        if changed != part:
            return changed  # only services that take the whole text have masks
    return text


def answer(path: str, question: dict) -> dict:
    """The contract's answer. Raises `Odd`."""
    texts = need(question.get("texts"), list, "texts")
    is_reply = {"request": False, "response": True}.get(question.get("input_type"))
    if is_reply is None or not all(isinstance(text, str) for text in texts):
        raise Odd("input_type or texts")
    with ThreadPoolExecutor(CALLS_AT_A_TIME) as pool:
        calls = [pool.submit(call, path, text, is_reply) for text in texts]
        changed, blocked, odd = [], False, None
        for one in calls:
            try:
                changed.append(one.result())
            except Blocked:
                blocked = True
            except Odd as error:
                odd = error
    # One that says no is enough, whatever became of the others.
    if blocked:
        return {"action": "BLOCKED", "blocked_reason": "guardrail"}
    if odd:
        raise odd
    return {"action": "NONE"} if changed == texts else {"action": "GUARDRAIL_INTERVENED", "texts": changed}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_POST(self):
        path = urllib.parse.urlsplit(self.path).path
        size = self.headers["content-length"] or ""
        if path not in SERVICES or not size.isdecimal() or int(size) > MOST_QUESTION:
            self.close_connection = True
            return self.reply(404 if path not in SERVICES else 413, {})
        try:
            self.reply(200, answer(path, need(json.loads(self.rfile.read(int(size))), dict, "an object")))
        except KeyError as missing:
            self.reply(503, {"error": f"{missing.args[0]} is not set"})
        except (Odd, ValueError, OSError) as error:
            print(f"{path}: no opinion: {error}" if isinstance(error, Odd) else f"{path}: {type(error).__name__}", file=sys.stderr, flush=True)
            self.reply(502, {"error": "no opinion"})

    def do_GET(self):
        self.reply(200 if self.path == "/health" else 404, {})

    def reply(self, status: int, body: dict) -> None:
        octets = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(octets)))
        self.end_headers()
        self.wfile.write(octets)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8085)
    options = parser.parse_args()
    Server((options.host, options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
