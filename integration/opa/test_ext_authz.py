"""Envoy's own ext_authz beside Bartizan: before it, and behind it; in both modes."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from conftest import ATTACK, Site, chat, user
from harness import envoy
from harness.client import H1
from harness.process import Running
from harness.wait import eventually


class Checks(Running):
    """Refuses what has `x-team: evil`. What it was asked is in `asked`."""

    def __init__(self):
        self.asked: list[dict] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.asked.append(headers)
                self.rfile.read(int(headers.get("content-length", 0)))
                self.send_response(403 if headers.get("x-team") == "evil" else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def ext_authz() -> dict:
    every = {"patterns": [{"prefix": "x-"}]}
    service = {"server_uri": {"uri": "checks", "cluster": "checks", "timeout": "5s"}}
    return {
        "name": "envoy.filters.http.ext_authz",
        "typed_config": {"@type": f"{envoy.EXTENSIONS}.filters.http.ext_authz.v3.ExtAuthz", "http_service": service, "allowed_headers": every},
    }


@pytest.mark.parametrize("is_before", [True, False], ids=["before", "behind"])
def test_ext_authz(mode, upstream, keys, is_before):
    with Checks() as checks:

        def edit(config: dict) -> None:
            envoy.with_cluster(config, "checks", checks.port)
            chain = envoy.manager(config)["http_filters"]
            chain.insert(0 if is_before else len(chain) - 1, ext_authz())

        site = Site(mode, upstream, keys, edit=edit)
        try:
            forged = [("x-bartizan-roles", "admin")]
            site.send(H1, chat(), headers=forged).passed()
            [seen] = checks.asked
            # Before the filter anybody can write its headers; behind it they are the filter's.
            assert (seen.get("x-bartizan-roles") == "admin") == is_before
            refused = site.send(H1, chat(), headers=[("x-team", "evil")])
            assert refused.reply.status == 403 and refused.reply.reason is None and not any(one.complete for one in refused.seen)
            if not is_before:
                assert refused.audit["http.response.status_code"] == 403
            checks.asked.clear()
            attack = site.send(H1, chat(user(ATTACK)))
            attack.refused(400, "scan.injection")
            # In strong mode nothing that was not judged gets behind the filter; in weak mode the headers have left.
            if is_before or not site.strong:
                # A refusal ends what ext_authz has just begun to ask: of several attacks one gets there.
                def asked() -> bool:
                    site.send(H1, chat(user(ATTACK))).refused(400, "scan.injection")
                    return bool(checks.asked)

                eventually(asked, "the service is asked")
            else:
                assert not checks.asked
            unauthorized = site.send(H1, chat(), token=None)
            assert unauthorized.reply.status == 401
        finally:
            site.proxy.stop()
