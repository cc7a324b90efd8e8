#!/usr/bin/env python3
"""Acts on what Bartizan reports: bans a caller for a while, by the issuer's list of revoked tokens that the filter fetches.

    responder.py --config response.json [--host 127.0.0.1] [--port 8086]

It takes Alertmanager's webhook (version 4) and Falcosidekick's. An event of Falco says who; an alert says when. A caller of whom
enough events came within the window is banned, at once or while an alert fires. A ban ends by itself, with its alert, or by hand.

| path | who asks | what |
|---|---|---|
| `POST /falco`, `POST /alertmanager` | `RESPONSE_EVENTS_TOKEN` | events, alerts |
| `GET /bans`, `POST /bans`, `DELETE /bans/ID` | `RESPONSE_OPERATOR_TOKEN` | what is banned, a ban or a lift by hand |
| `GET /revoked/ISSUER` | the filter | the list |
| `GET /metrics` | Prometheus | counters |

Bans stand in the state file, so that a restart lifts none. The log has one JSON line for each ban, lift and end, and no subject.
Needs Python 3.10 and no package. It listens on the loopback address, because the list names subjects.
"""

import argparse
import collections
import datetime
import hashlib
import hmac
import json
import math
import os
import re
import secrets
import struct
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MOST_BODY = 1 << 20
MOST_LIST, MOST_BYTES = 32_768, (1 << 20) - 100  # What the filter takes.
MOST_CALLERS = 10_000
MOST_ALERTS = 256
MOST_NAME = 256
ISSUER = re.compile(r"[A-Za-z0-9_.-]{1,64}")
HASH = re.compile(r"[0-9a-f]{32}")
KEYS = {"id", "issuer", "subject", "until", "cause", "alert"}
ACTIONS = ("ban", "lift", "expired", "refused", "unresolved")
LIMITS = {"maxBans": (1000, 1, MOST_LIST), "maxSeconds": (3600, 1, 7 * 86_400), "seconds": (900, 1, 7 * 86_400),
          "window": (600, 1, 86_400)}  # fmt: skip


class Bad(Exception):
    """What came is not of its documented form, or over a limit. The text says what, and nothing of the value."""


class Full(Exception):
    """There are as many bans as may be."""


def need(value, kind: type, what: str):
    """The value, if it is of this kind. `True` is no number."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Bad(what)
    return value


def name(value, what: str) -> str:
    if not is_name(need(value, str, what)):
        raise Bad(what)
    return value


def is_name(value) -> bool:
    """Of the length that subjects have, and text throughout: half a surrogate pair would spoil the whole list."""
    try:
        return isinstance(value, str) and 0 < len(value.encode()) <= MOST_NAME
    except UnicodeEncodeError:
        return False


def siphash128(key: bytes, data: bytes) -> bytes:
    """SipHash-2-4 with 128 bits, which the filter's hashes are."""
    mask = (1 << 64) - 1
    k0, k1 = struct.unpack("<2Q", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D ^ 0xEE, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def turn(value: int, by: int) -> int:
        return (value << by | value >> (64 - by)) & mask

    def rounds(count: int) -> None:
        for _ in range(count):
            v[0] = (v[0] + v[1]) & mask
            v[1] = turn(v[1], 13) ^ v[0]
            v[0] = turn(v[0], 32)
            v[2] = (v[2] + v[3]) & mask
            v[3] = turn(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & mask
            v[3] = turn(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & mask
            v[1] = turn(v[1], 17) ^ v[2]
            v[2] = turn(v[2], 32)

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) & 0xFF])
    for (word,) in struct.iter_unpack("<Q", padded):
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xEE
    rounds(4)
    first = v[0] ^ v[1] ^ v[2] ^ v[3]
    v[1] ^= 0xDD
    rounds(4)
    return struct.pack("<2Q", first, v[0] ^ v[1] ^ v[2] ^ v[3])


def user_hash(secret: bytes, iss: str, tenant: str | None, subject: str) -> str:
    """`user.hash` of a caller whose token `iss` issued, under `audit.hashKey`."""

    def part(text: str | None) -> bytes:
        return b"\0" if text is None else b"\1" + struct.pack(">Q", len(text.encode())) + text.encode()

    parts = [b"subject", part(iss) + part(tenant) + part(subject)]
    counted = b"".join(struct.pack("<Q", len(piece)) + piece for piece in parts)
    return siphash128(hashlib.sha256(secret).digest()[:16], counted).hex()


def rfc3339(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def settings(document) -> dict:
    """The configuration, checked: an unknown key, or a number over its bound, is no configuration."""
    need(document, dict, "the configuration is an object")
    unknown = set(document) - set(LIMITS) - {"issuers", "falco", "alerts", "never", "state", "log", "directory", "lists"}
    if unknown:
        raise Bad(f"unknown keys: {sorted(unknown)}")
    done = dict(document)
    for key, (default, low, high) in LIMITS.items():
        if not low <= need(document.get(key, default), int, key) <= high:
            raise Bad(f"{key}: {low} to {high}")
        done[key] = document.get(key, default)
    if done["seconds"] > done["maxSeconds"]:
        raise Bad("seconds: at most maxSeconds")
    if not need(document.get("issuers"), list, "issuers: a list of the policy's names") or not all(
        isinstance(issuer, str) and ISSUER.fullmatch(issuer) for issuer in document["issuers"]
    ):
        raise Bad("issuers: names of letters, digits, `_`, `.`, `-`")
    for key in ("falco", "alerts"):
        done[key] = {}
        for rule, count in need(document.get(key, {}), dict, key).items():
            if not 1 <= need(count, int, f"{key}: how many events of a caller") <= 1000:
                raise Bad(f"{key}: 1 to 1000 events")
            done[key][rule] = count
    done["never"] = {(name(one.get("issuer"), "never.issuer"), name(one.get("subject"), "never.subject"))
                     for one in need(document.get("never", []), list, "never")}  # fmt: skip
    done["lists"] = document.get("lists", "subjects")
    if done["lists"] not in ("hashes", "subjects"):
        raise Bad("lists: hashes or subjects")
    if done["lists"] == "hashes" and "directory" not in document and not all(HASH.fullmatch(subject) for _, subject in done["never"]):
        raise Bad("never: with lists: hashes a subject is a record's user.hash, for nobody knows whose it is")
    for key in ("state", "log"):
        name(document.get(key), f"{key}: a file")
    return done


def callers(text: str, secret: bytes) -> dict[tuple[str, str], str]:
    """The directory: from issuer and `user.hash` to the subject. One JSON object a line."""
    known = {}
    for line in filter(str.strip, text.splitlines()):
        one = need(json.loads(line), dict, "directory: an object a line")
        issuer, iss, subject = (name(one.get(key), f"directory: {key}") for key in ("issuer", "iss", "subject"))
        tenant = None if one.get("tenant") is None else name(one["tenant"], "directory: tenant")
        known[issuer, user_hash(secret, iss, tenant, subject)] = subject
    return known


def size(subject: str) -> int:
    """Bytes of a subject in its list."""
    return len(json.dumps(subject)) + 2


class Bans:
    """Who is banned, and of whom events came. All times are seconds since 1970."""

    def __init__(self, config: dict, directory: dict | None = None, clock=time.time):
        self.config, self.directory, self.clock, self.lock = config, directory or {}, clock, threading.RLock()
        self.bans: dict[str, dict] = {}
        self.events: collections.OrderedDict = collections.OrderedDict()
        self.firing: dict[str, tuple[str, float]] = {}
        self.counts = collections.Counter()
        if os.path.exists(config["state"]):
            with open(config["state"], encoding="utf-8") as file:
                # A state that can't be read ends the start: without it every ban would be lifted.
                self.bans = {ban["id"]: ban for ban in json.load(file)["bans"]}
            for ban in self.bans.values():
                name(ban["subject"], "state: subject")
                if set(ban) - {"hash"} != KEYS or not isinstance(ban["until"], (int, float)) or not math.isfinite(ban["until"]):
                    raise Bad("state: a ban")
        self._index()
        self.hashes = collections.defaultdict(list)
        for (issuer, seen), subject in self.directory.items():
            self.hashes[issuer, subject].append(seen)
        self.waits, self.unsaved = False, False
        self.log = os.open(config["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)

    def close(self) -> None:
        os.close(self.log)

    def _write(self, action: str, cause: str, ban: dict) -> None:
        self.counts["actions", action] += 1
        line = {
            "@timestamp": rfc3339(self.clock()), "event.kind": "event", "event.dataset": "bartizan.response",
            "event.action": action, "event.outcome": "failure" if action in ("refused", "unresolved") else "success",
            "event.reason": cause, "bartizan.ban.id": ban.get("id"), "bartizan.issuer": ban["issuer"], "user.hash": ban.get("hash"),
            "bartizan.ban.cause": ban.get("cause"), "bartizan.ban.until": rfc3339(ban["until"]) if "until" in ban else None,
        }  # fmt: skip
        text = json.dumps({key: value for key, value in line.items() if value is not None}, separators=(",", ":"))
        os.write(self.log, text.encode() + b"\n")

    def _save(self) -> None:
        """Whole or not at all, and for the owner only. A message that bans many saves once."""
        self.unsaved = self.waits
        if self.waits:
            return
        part = self.config["state"] + ".part"
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump({"bans": list(self.bans.values())}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, self.config["state"])

    def _index(self) -> None:
        """Which ban a caller has, and how long each issuer's list is."""
        self.of = {(ban["issuer"], ban["subject"]): ban["id"] for ban in self.bans.values()}
        self.sizes = collections.Counter()
        for ban in self.bans.values():
            self.sizes[ban["issuer"]] += size(ban["subject"])

    def _forget(self, ban: dict) -> None:
        del self.bans[ban["id"]], self.of[ban["issuer"], ban["subject"]]
        self.sizes[ban["issuer"]] -= size(ban["subject"])

    def sweep(self) -> None:
        """Ends what is over."""
        with self.lock:
            now = self.clock()
            over = [ban for ban in self.bans.values() if ban["until"] <= now]
            for ban in over:
                self._forget(ban)
            if over:
                self._save()
            for ban in over:
                self._write("expired", "time", ban)
            self.firing = {key: value for key, value in self.firing.items() if value[1] > now}

    def ban(self, issuer: str, subject: str, cause: str, seconds: int | None = None, alert: str | None = None, seen: str | None = None) -> dict:
        """Bans the subject. Only an operator changes the end of a ban that is there, and takes it from its alert."""
        seconds = self.config["seconds"] if seconds is None else seconds
        if not 1 <= seconds <= self.config["maxSeconds"]:
            raise Bad(f"seconds: 1 to {self.config['maxSeconds']}")
        if issuer not in self.config["issuers"]:
            raise Bad("issuer: not one of the configuration's")
        with self.lock:
            self.sweep()
            until = self.clock() + seconds
            ban = self.bans.get(self.of.get((issuer, subject)))
            if ban is not None:
                if cause == "operator":
                    ban |= {"until": until, "cause": cause, "alert": None}
                    self._save()
                    self._write("ban", cause, ban)
                return ban
            ban = {"id": secrets.token_hex(8), "issuer": issuer, "subject": subject, "until": until, "cause": cause, "alert": alert}
            if seen:
                ban["hash"] = seen
            if len(self.bans) >= self.config["maxBans"] or self.sizes[issuer] + size(subject) > MOST_BYTES:
                raise Full
            self.of[issuer, subject] = ban["id"]
            self.sizes[issuer] += size(subject)
            self.bans[ban["id"]] = ban
            self._save()
            self._write("ban", cause, ban)
            return ban

    def lift(self, ban_id: str, reason: str) -> bool:
        with self.lock:
            self.sweep()
            ban = self.bans.get(ban_id)
            if ban is None:
                return False
            self._forget(ban)
            # Else what led to this ban would lead to the next one at once.
            issuer, subject = ban["issuer"], ban["subject"]
            for seen in {subject, ban.get("hash"), *self.hashes.get((issuer, subject), ())}:
                self.events.pop((issuer, False, seen), None)
            self.events.pop((issuer, True, subject), None)
            self._save()
            self._write("lift", reason, ban)
            return True

    def document(self, issuer: str) -> dict:
        """The list of one issuer, as the filter reads it."""
        with self.lock:
            self.sweep()
            names = sorted(ban["subject"] for ban in self.bans.values() if ban["issuer"] == issuer)
        if self.config["lists"] == "subjects":
            return {"sub": names}
        # A subject may look like a hash: it stands in both lists, and is no caller's hash.
        return {"sub": names, "hash": [one for one in names if HASH.fullmatch(one)]}

    def _subject(self, issuer: str, is_plain: bool, who: str) -> str | None:
        """What a list calls the caller; `None`: nobody knows who it is."""
        if is_plain:
            return who
        return self.directory.get((issuer, who), who if self.config["lists"] == "hashes" else None)

    def _act(self, key: tuple, cause: str, alert: str | None = None) -> None:
        issuer, is_plain, who = key
        subject = self._subject(*key)
        if subject is None:
            self._tell("unresolved", cause, key)
        elif (issuer, subject) in self.config["never"]:
            self.counts["spared", ""] += 1
        else:
            try:
                self.ban(issuer, subject, cause, alert=alert, seen=None if is_plain else who)
            except Full:
                self._tell("refused", cause, key)

    def _tell(self, action: str, cause: str, key: tuple) -> None:
        """Writes a line once for each caller and cause while the caller's events last."""
        told = self.events[key]["told"]
        if (action, cause) not in told:
            told.add((action, cause))
            self._write(action, cause, {"issuer": key[0]} | ({} if key[1] else {"hash": key[2]}))

    def _recent(self, key: tuple) -> list[tuple[float, str]]:
        since = self.clock() - self.config["window"]
        seen = self.events[key]
        seen["times"] = [one for one in seen["times"] if one[0] > since][-1000:]
        return seen["times"]

    def falco(self, event) -> None:
        """An event as Falcosidekick sends it."""
        need(event, dict, "an event is an object")
        rule = need(event.get("rule"), str, "rule")
        fields = need(event.get("output_fields"), dict, "output_fields")
        for key in ("output", "priority", "time"):
            need(event.get(key), str, key)
        with self.lock:
            self.sweep()
            if rule not in self.config["falco"] and not self.config["alerts"]:
                self.counts["falco", "unwanted"] += 1
                return
            value = lambda pointer: fields.get(f"json.value[/{pointer}]")
            issuer, plain, seen = value("bartizan.issuer"), value("user.id"), value("user.hash")
            is_plain = is_name(plain) and plain != "<NA>"
            if issuer not in self.config["issuers"] or not (is_plain or isinstance(seen, str) and HASH.fullmatch(seen)):
                self.counts["falco", "nobody"] += 1
                return
            self.counts["falco", "counted"] += 1
            key = issuer, is_plain, plain if is_plain else seen
            self.events.setdefault(key, {"times": [], "told": set()})["times"].append((self.clock(), rule))
            self.events.move_to_end(key)
            while len(self.events) > MOST_CALLERS:
                self.events.popitem(last=False)
                self.counts["forgotten", ""] += 1
            recent = self._recent(key)
            wanted = self.config["falco"].get(rule)
            if wanted and sum(one == rule for _, one in recent) >= wanted:
                self._act(key, rule)
            for fingerprint, (alert, _) in self.firing.items():
                if len(recent) >= self.config["alerts"][alert]:
                    self._act(key, alert, fingerprint)

    def alertmanager(self, message) -> None:
        """A message of Alertmanager's webhook, version 4."""
        need(message, dict, "a message is an object")
        if message.get("version") != "4":
            raise Bad("version: 4 is known")
        alerts = []
        for alert in need(message.get("alerts"), list, "alerts"):
            need(alert, dict, "alerts: an object each")
            status, fingerprint = (need(alert.get(key), str, f"alerts: {key}") for key in ("status", "fingerprint"))
            if status not in ("firing", "resolved") or len(fingerprint) > 64:
                raise Bad("alerts: status or fingerprint")
            alerts.append((status, fingerprint, need(alert.get("labels"), dict, "alerts: labels").get("alertname")))
        with self.lock:
            self.sweep()
            self.waits = True
            try:
                self._alerts(alerts)
            finally:
                self.waits = False
                if self.unsaved:
                    self._save()

    def _alerts(self, alerts: list) -> None:
        """What the alerts of one message lead to."""
        for status, fingerprint, alert in alerts:
            if not isinstance(alert, str) or alert not in self.config["alerts"]:
                self.counts["alerts", "unwanted"] += 1
                continue
            self.counts["alerts", status] += 1
            if status == "resolved":
                self.firing.pop(fingerprint, None)
                for ban in [ban for ban in self.bans.values() if ban["alert"] == fingerprint]:
                    self.lift(ban["id"], "resolved")
                continue
            if fingerprint not in self.firing and len(self.firing) >= MOST_ALERTS:
                self.counts["alerts", "refused"] += 1
                continue
            # Alertmanager says again what still fires; one that it forgets to end does not fire for ever.
            self.firing[fingerprint] = alert, self.clock() + self.config["maxSeconds"]
            for key in list(self.events):
                if len(self._recent(key)) >= self.config["alerts"][alert]:
                    self._act(key, alert, fingerprint)
                if not self.events[key]["times"]:
                    del self.events[key]

    def metrics(self) -> str:
        with self.lock:
            self.sweep()
            lines = ["# TYPE bartizan_response_actions_total counter"]
            lines += [f'bartizan_response_actions_total{{action="{one}"}} {self.counts["actions", one]}' for one in ACTIONS]
            lines += ["# TYPE bartizan_response_bans gauge"]
            for issuer in self.config["issuers"]:
                count = sum(ban["issuer"] == issuer for ban in self.bans.values())
                lines.append(f'bartizan_response_bans{{issuer="{issuer}"}} {count}')
            lines += ["# TYPE bartizan_response_bans_limit gauge", f"bartizan_response_bans_limit {self.config['maxBans']}"]
            for kind, outcomes in (("falco", ("counted", "nobody", "unwanted", "bad")), ("alerts", ("firing", "resolved", "unwanted", "refused", "bad"))):
                lines.append(f"# TYPE bartizan_response_{kind}_total counter")
                lines += [f'bartizan_response_{kind}_total{{outcome="{one}"}} {self.counts[kind, one]}' for one in outcomes]
            for kind in ("spared", "forgotten", "unauthorized"):
                lines += [f"# TYPE bartizan_response_{kind}_total counter", f"bartizan_response_{kind}_total {self.counts[kind, '']}"]
            return "\n".join(lines) + "\n"


class Handler(BaseHTTPRequestHandler):
    """One request; `bans`, `events_token` and `operator_token` are the class's, set by `serve`."""

    protocol_version = "HTTP/1.1"
    timeout = 10
    bans: Bans
    events_token: bytes
    operator_token: bytes

    def log_message(self, *_):
        """Nothing: paths and headers hold what no log should."""

    def answer(self, status: int, body, kind: str = "application/json") -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.send_header("cache-control", "no-store")
        if status == 401:
            self.send_header("www-authenticate", "Bearer")
        if self.close_connection or status >= 400:
            self.send_header("connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(data)

    def may(self, token: bytes) -> bool:
        scheme, _, sent = self.headers.get("authorization", "").partition(" ")
        good = hmac.compare_digest(sent.strip().encode("utf-8", "surrogateescape"), token) and scheme.lower() == "bearer"
        if not good:
            with self.bans.lock:
                self.bans.counts["unauthorized", ""] += 1
            self.answer(401, {"error": "token"})
        return good

    def path_of(self) -> str:
        """The path. A body that nobody reads would be taken for the next request: then the connection ends."""
        if self.command != "POST" and any(name in self.headers for name in ("content-length", "transfer-encoding")):
            self.close_connection = True
        try:
            return urllib.parse.urlsplit(self.path).path
        except ValueError:
            return ""

    def body(self):
        length = self.headers.get("content-length", "")
        if "transfer-encoding" in self.headers or not re.fullmatch(r"[0-9]{1,9}", length) or int(length) > MOST_BODY:
            raise Bad("content-length")
        try:
            return json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            raise Bad("JSON") from None

    def do_GET(self) -> None:
        path = self.path_of()
        kind, _, issuer = path.removeprefix("/").partition("/")
        if path == "/metrics":
            self.answer(200, self.bans.metrics(), "text/plain; version=0.0.4")
        elif kind == "revoked" and issuer in self.bans.config["issuers"]:
            self.answer(200, self.bans.document(issuer))
        elif path == "/bans":
            if self.may(self.operator_token):
                self.bans.sweep()
                with self.bans.lock:
                    self.answer(200, {"bans": list(self.bans.bans.values())})
        else:
            self.answer(404, {"error": "path"})

    def do_POST(self) -> None:
        path = self.path_of()
        kind = {"/falco": "falco", "/alertmanager": "alerts", "/bans": None}.get(path, "")
        if kind == "":
            return self.answer(404, {"error": "path"})
        if not self.may(self.operator_token if kind is None else self.events_token):
            return None
        try:
            body = self.body()
            if kind == "falco":
                self.bans.falco(body)
            elif kind == "alerts":
                self.bans.alertmanager(body)
            else:
                need(body, dict, "an object")
                seconds = need(body.get("seconds", self.bans.config["seconds"]), int, "seconds")
                ban = self.bans.ban(name(body.get("issuer"), "issuer"), name(body.get("subject"), "subject"), "operator", seconds)
                return self.answer(200, {"id": ban["id"], "until": rfc3339(ban["until"])})
            return self.answer(200, {})
        except Bad as error:
            if kind:
                with self.bans.lock:
                    self.bans.counts[kind, "bad"] += 1
            return self.answer(400, {"error": str(error)})
        except Full:
            return self.answer(409, {"error": "maxBans"})

    def do_DELETE(self) -> None:
        kind, _, ban_id = self.path_of().removeprefix("/").partition("/")
        if kind != "bans" or not ban_id:
            self.answer(404, {"error": "path"})
        elif self.may(self.operator_token):
            self.answer(*((200, {}) if self.bans.lift(ban_id, "operator") else (404, {"error": "no such ban"})))


def serve(bans: Bans, host: str, port: int, events_token: str, operator_token: str) -> ThreadingHTTPServer:
    made = {"bans": bans, "events_token": events_token.encode(), "operator_token": operator_token.encode()}
    server = ThreadingHTTPServer((host, port), type("Own", (Handler,), made))
    server.daemon_threads = True
    return server


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8086)
    asked = parser.parse_args()
    tokens = [os.environ.get(key, "") for key in ("RESPONSE_EVENTS_TOKEN", "RESPONSE_OPERATOR_TOKEN")]
    if min(map(len, tokens)) < 16 or tokens[0] == tokens[1]:
        print("RESPONSE_EVENTS_TOKEN and RESPONSE_OPERATOR_TOKEN: two tokens of at least 16 characters", file=sys.stderr)
        return 2
    try:
        with open(asked.config, encoding="utf-8") as file:
            config = settings(json.load(file))
        directory = None
        if config.get("directory"):
            secret = os.environ.get("AUDIT_HASH_KEY", "").encode()
            if not secret:
                raise Bad("directory: AUDIT_HASH_KEY has the secret of audit.hashKey")
            with open(config["directory"], encoding="utf-8") as file:
                directory = callers(file.read(), secret)
        bans = Bans(config, directory)
    except (Bad, OSError, ValueError, KeyError, TypeError) as error:
        # Of a fault in a file only its kind is said: a parser's message may quote the file.
        print(f"{asked.config}: {error if isinstance(error, (Bad, OSError)) else type(error).__name__}", file=sys.stderr)
        return 2
    server = serve(bans, asked.host, asked.port, *tokens)
    print(f"listening on {server.server_address[0]}:{server.server_address[1]}", flush=True)

    def tick() -> None:
        while True:
            time.sleep(1)
            bans.sweep()

    threading.Thread(target=tick, daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
