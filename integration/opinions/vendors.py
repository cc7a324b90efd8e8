"""Doubles of four clouds' guardrails, after their public API references: what they are asked must have their form, too.

Whoever speaks of a `tiger` attacks; `Ada Lovelace` is personal data. `mood` is `pass`, or one of `ODD`.
"""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness.process import Running

KEY = "a-key-of-the-vendors-0123456789"
NAME = re.compile("Ada Lovelace")
GUARDRAIL, TEMPLATE, PROJECT = "gr1abc", "projects/p1/locations/l1/templates/t1", "project-1"
# What stands in for an answer: status and body.
ODD = {
    "error": (500, b"{}"), "denied": (403, b'{"message": "no"}'), "throttled": (429, b"{}"), "garbage": (200, b"<html>"), "list": (200, b"[]"),
    "empty": (200, b"{}"), "redirect": (307, b""), "huge": (200, b'{"x": "' + b"x" * (2 << 20) + b'"}'),
}  # fmt: skip


def bedrock(text: str) -> dict:
    usage = dict.fromkeys(("topicPolicyUnits", "contentPolicyUnits", "wordPolicyUnits", "sensitiveInformationPolicyUnits",
                           "sensitiveInformationPolicyFreeUnits", "contextualGroundingPolicyUnits"), 1)  # fmt: skip
    coverage = {"textCharacters": {"guarded": len(text), "total": len(text)}}
    calm = {"usage": usage, "action": "NONE", "outputs": [], "assessments": [], "guardrailCoverage": coverage}
    if "tiger" in text:
        attack = {"type": "PROMPT_ATTACK", "confidence": "HIGH", "filterStrength": "HIGH", "action": "BLOCKED", "detected": True}
        blocked = {"action": "GUARDRAIL_INTERVENED", "outputs": [{"text": "No."}], "assessments": [{"contentPolicy": {"filters": [attack]}}]}
        return calm | blocked
    if names := NAME.findall(text):
        entities = [{"match": name, "type": "NAME", "action": "ANONYMIZED", "detected": True} for name in names]
        return calm | {
            "action": "GUARDRAIL_INTERVENED", "outputs": [{"text": NAME.sub("{NAME}", text)}],
            "assessments": [{"sensitiveInformationPolicy": {"piiEntities": entities, "regexes": []}}],
        }  # fmt: skip
    return calm


def azure(question: dict) -> dict:
    attacks = ["tiger" in text for text in question["documents"]]
    return {"userPromptAnalysis": {"attackDetected": "tiger" in question["userPrompt"]}, "documentsAnalysis": [{"attackDetected": one} for one in attacks]}


def armor(text: str) -> dict:
    attack, names = "tiger" in text, NAME.findall(text)
    state = lambda is_match: {"executionState": "EXECUTION_SUCCESS", "matchState": "MATCH_FOUND" if is_match else "NO_MATCH_FOUND"}
    sdp = {"deidentifyResult": state(names)}
    if names:
        changed = NAME.sub("[PERSON_NAME]", text)
        sdp["deidentifyResult"] |= {"data": {"text": changed}, "transformedBytes": str(sum(map(len, names))), "infoTypes": ["PERSON_NAME"]}
    found = {
        "pi_and_jailbreak": {"piAndJailbreakFilterResult": state(attack) | ({"confidenceLevel": "HIGH"} if attack else {})},
        "sdp": {"sdpFilterResult": sdp},
    }
    overall = state(attack or names)["matchState"]
    return {"sanitizationResult": {"filterMatchState": overall, "filterResults": found, "invocationResult": "SUCCESS", "sanitizationMetadata": {}}}


def lakera(text: str) -> dict:
    attack, names = "tiger" in text, list(NAME.finditer(text))
    one = lambda kind, detected: {"project_id": PROJECT, "policy_id": "p", "detector_id": f"d-{kind}", "detector_type": kind, "detected": detected}
    payload = [{"start": name.start(), "end": name.end(), "text": name[0], "detector_type": "pii/name", "labels": [], "message_id": 0} for name in names]
    return {"flagged": bool(attack or names), "payload": payload, "breakdown": [one("prompt_attack", attack), one("pii/name", bool(names))]}


def answer(path: str, headers: dict[str, str], question: dict) -> dict:
    """What the service says. A question that is not of its form is an error of any kind."""
    if path == f"/guardrail/{GUARDRAIL}/version/2/apply":
        assert headers["authorization"] == f"Bearer {KEY}" and question.keys() == {"source", "content"} and question["source"] in ("INPUT", "OUTPUT")
        [block] = question["content"]
        return bedrock(block["text"]["text"])
    if path == "/contentsafety/text:shieldPrompt?api-version=2024-09-01":
        assert headers["ocp-apim-subscription-key"] == KEY and question.keys() == {"userPrompt", "documents"}
        assert len(question["userPrompt"]) <= 10_000 and len(question["documents"]) <= 5 and sum(map(len, question["documents"])) <= 10_000
        return azure(question)
    if path in (f"/v1/{TEMPLATE}:sanitizeUserPrompt", f"/v1/{TEMPLATE}:sanitizeModelResponse"):
        assert headers["authorization"] == f"Bearer {KEY}"
        [data] = [question[name] for name in question if name == ("userPromptData" if "User" in path else "modelResponseData")]
        return armor(data["text"])
    if path == "/v2/guard":
        assert headers["authorization"] == f"Bearer {KEY}" and question["project_id"] == PROJECT and question["breakdown"] and question["payload"]
        [message] = question["messages"]
        assert message["role"] in ("user", "assistant")
        return lakera(message["content"])
    raise LookupError(path)


class Vendors(Running):
    """All four at one port. What was asked is in `asked`."""

    def __init__(self):
        self.mood, self.asked, self.wrong = "pass", [], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                question = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.asked.append((self.path, question))
                if outer.mood in ODD:
                    status, body = ODD[outer.mood]
                else:
                    try:
                        status, body = 200, json.dumps(answer(self.path, {name.lower(): value for name, value in self.headers.items()}, question)).encode()
                    except (AssertionError, LookupError, TypeError, ValueError) as error:
                        outer.wrong.append((self.path, repr(error)))
                        status, body = 400, b"{}"
                self.send_response(status)
                self.send_header("content-type", "application/json")
                if status == 307:
                    self.send_header("location", f"http://127.0.0.1:{outer.port}{self.path}")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """What the adapter needs to ask these."""
        base = f"http://127.0.0.1:{self.port}"
        return {
            "BEDROCK_URL": base, "BEDROCK_GUARDRAIL": GUARDRAIL, "BEDROCK_VERSION": "2", "AWS_BEARER_TOKEN_BEDROCK": KEY,
            "AZURE_URL": base, "AZURE_KEY": KEY, "MODEL_ARMOR_URL": base, "MODEL_ARMOR_TEMPLATE": TEMPLATE, "MODEL_ARMOR_TOKEN": KEY,
            "LAKERA_URL": base, "LAKERA_PROJECT": PROJECT, "LAKERA_API_KEY": KEY,
        }  # fmt: skip

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
