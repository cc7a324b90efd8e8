"""`/analyze` as Presidio's own server has it, around the real analyzer with its pattern recognisers: usage PORT.

Names are found by a list, because models of languages can't be had from a package index.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import spacy
from presidio_analyzer import AnalyzerEngine, PatternRecognizer, RecognizerRegistry
from presidio_analyzer.nlp_engine import SpacyNlpEngine


class Blank(SpacyNlpEngine):
    """A tokenizer and nothing else."""

    def __init__(self):
        super().__init__(models=[{"lang_code": "en", "model_name": "blank"}])
        self.nlp = {"en": spacy.blank("en")}

    def load(self) -> None:
        pass


registry = RecognizerRegistry()
registry.load_predefined_recognizers(languages=["en"])
registry.remove_recognizer("SpacyRecognizer")
registry.add_recognizer(PatternRecognizer(supported_entity="PERSON", deny_list=["Ada Lovelace", "Grace Hopper"]))
engine = AnalyzerEngine(nlp_engine=Blank(), registry=registry, supported_languages=["en"])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200, "Presidio Analyzer service is up")

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        try:
            found = engine.analyze(
                text=asked["text"], language=asked["language"], entities=asked.get("entities"), score_threshold=asked.get("score_threshold")
            )
        except (KeyError, ValueError) as error:
            self.answer(500, json.dumps({"error": str(error)}))
            return
        self.answer(200, json.dumps([one.to_dict() for one in found], default=str))

    def answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
