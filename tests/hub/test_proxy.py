"""The proxy before every server: what passes through it, how it ends, and what people are told when a server is not there."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
import time

import pytest
import requests

CHUNK = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture(scope="module")
def proxied():
    """A server behind the proxy, both on loopback: gives the proxy's address, `state` of the server, and the port of a server that is gone."""
    from configurable_http_proxy import configproxy
    from tornado import httpserver, netutil, web
    from tornado.httpclient import AsyncHTTPClient
    from tornado.iostream import StreamClosedError
    from tornado.websocket import WebSocketHandler

    from vadose.hub import proxy

    state = {"sent": 0, "next": None, "closed": threading.Event()}

    class Large(web.RequestHandler):
        async def get(self):
            size = int(self.get_argument("mib"))
            if self.get_argument("length", "yes") == "yes":
                self.set_header("Content-Length", size * len(CHUNK))
            state["sent"] = 0
            try:
                for _ in range(size):
                    self.write(CHUNK)
                    await self.flush()
                    state["sent"] += 1
            except StreamClosedError:
                state["closed"].set()

    class Broken(web.RequestHandler):
        async def get(self):
            self.set_header("Content-Length", 10 * len(CHUNK))
            self.write(CHUNK)
            await self.flush()
            self.detach().close()

    class Events(web.RequestHandler):
        async def get(self):
            self.set_header("Content-Type", "text/event-stream")
            for k in range(2):
                self.write(f"data: {k}\n\n")
                await self.flush()
                while k == 0 and not state["next"].is_set():
                    await asyncio.sleep(0.01)

    class Plain(web.RequestHandler):
        def prepare(self):
            self.set_header("X-Method", self.request.method)

        def get(self):
            self.add_header("Set-Cookie", "a=1")
            self.add_header("Set-Cookie", "b=2")
            self.set_header("Content-Encoding", "gzip")
            self.write(gzip.compress(b"water" * 100))

        def head(self):
            self.set_header("Content-Length", 1234)

        def post(self):
            self.set_status(201)
            self.write(self.request.body[::-1])

        def delete(self):
            self.set_status(204)

        def put(self):
            self.redirect("/elsewhere")

    class Mute(web.RequestHandler):
        async def get(self):
            await asyncio.sleep(30)

    class Echo(WebSocketHandler):
        def select_subprotocol(self, subprotocols):
            return subprotocols[-1]

        def on_message(self, message):
            self.write_message(message, binary=isinstance(message, bytes))

    class Sorry(web.RequestHandler):
        def get(self, code):
            self.write(f"sorry {code} {self.get_argument('url')}")

    application = web.Application(
        [("/large", Large), ("/broken", Broken), ("/events", Events), ("/plain", Plain), ("/mute", Mute), ("/echo", Echo),
         (r"/sorry/(\d+)", Sorry)]
    )  # fmt: skip
    ready, box = threading.Event(), {}
    own = configproxy.ProxyHandler

    async def serve():
        state["next"] = asyncio.Event()
        configproxy.ProxyHandler = proxy.faithful_handler()
        doors = [netutil.bind_sockets(0, "127.0.0.1") for _ in range(2)]
        back, front = (d[0].getsockname()[1] for d in doors)
        httpserver.HTTPServer(application).add_sockets(doors[0])
        with socket.socket() as gone:  # bound and never listened on: whoever asks is refused
            gone.bind(("127.0.0.1", 0))
            here = f"http://127.0.0.1:{back}"
            made = configproxy.PythonProxy({"default_target": here, "error_target": f"{here}/sorry"})
            made.add_route("/dead", {"target": f"http://127.0.0.1:{gone.getsockname()[1]}"})
            httpserver.HTTPServer(made.proxy_app).add_sockets(doors[1])
            box.update(url=f"http://127.0.0.1:{front}", stop=asyncio.Event(), loop=asyncio.get_running_loop())
            ready.set()
            await box["stop"].wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(60)
    yield box["url"], state, box["loop"]
    box["loop"].call_soon_threadsafe(box["stop"].set)
    thread.join(60)
    configproxy.ProxyHandler = own
    AsyncHTTPClient.configure(None)


@pytest.mark.parametrize("length", ["yes", "no"])
def test_a_download_larger_than_memory_is_meant_to_hold_comes_whole(proxied, length):
    """Kept until it was whole, an answer above 100 MB was refused."""
    url, _, _ = proxied
    got = 0
    with requests.get(f"{url}/large?mib=120&length={length}", stream=True, timeout=120) as answer:
        assert ("Content-Length" in answer.headers) == (length == "yes")
        for piece in answer.iter_content(len(CHUNK)):
            got += len(piece)
    assert got == 120 * len(CHUNK)


def test_a_download_goes_no_faster_than_it_is_taken_and_ends_when_nobody_takes_it(proxied):
    url, state, _ = proxied
    state["closed"].clear()
    with requests.get(f"{url}/large?mib=400", stream=True, timeout=120) as answer:
        next(answer.iter_content(1000))
        before = -1
        while before != state["sent"]:  # until it stands
            before = state["sent"]
            time.sleep(0.5)
        assert state["sent"] < 100, "MiB that the proxy keeps for a reader that waits"
    assert state["closed"].wait(60)


def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(proxied):
    url, _, _ = proxied
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        requests.get(f"{url}/broken", timeout=60)


def test_events_arrive_when_they_happen(proxied):
    """The bar of a starting server moves."""
    url, state, loop = proxied
    with requests.get(f"{url}/events", stream=True, timeout=60) as answer:
        lines = answer.iter_lines()
        assert next(lines) == b"data: 0"
        loop.call_soon_threadsafe(state["next"].set)
        assert [line for line in lines if line] == [b"data: 1"]


def test_methods_headers_and_encodings_pass_unchanged(proxied):
    url, _, _ = proxied
    with requests.get(f"{url}/plain", stream=True, timeout=60) as answer:
        assert gzip.decompress(answer.raw.read(decode_content=False)) == b"water" * 100
        assert answer.raw.headers.getlist("Set-Cookie") == ["a=1", "b=2"]
        assert answer.headers["X-Method"] == "GET"
    etag = answer.headers["Etag"]
    assert requests.get(f"{url}/plain", headers={"If-None-Match": etag}, timeout=60).status_code == 304
    head = requests.head(f"{url}/plain", timeout=60)
    assert (head.status_code, head.headers["Content-Length"], head.text) == (200, "1234", "")
    posted = requests.post(f"{url}/plain", b"abc", timeout=60)
    assert (posted.status_code, posted.content) == (201, b"cba")
    deleted = requests.delete(f"{url}/plain", timeout=60)
    assert (deleted.status_code, deleted.content) == (204, b"")
    moved = requests.put(f"{url}/plain", b"", timeout=60, allow_redirects=False)
    assert (moved.status_code, moved.headers["Location"]) == (302, "/elsewhere")


def test_websockets_keep_subprotocol_and_kind_of_message(proxied):
    from websocket import create_connection

    url, _, _ = proxied
    door = create_connection(f"{url.replace('http', 'ws', 1)}/echo", subprotocols=["v0", "v1"], timeout=60)
    try:
        assert door.getsubprotocol() == "v1"
        for message in ("word", b"\x00\xff"):
            door.send(message, opcode=1 if isinstance(message, str) else 2)
            assert door.recv() == message
    finally:
        door.close()


def test_a_server_that_is_gone_gives_the_hubs_page(proxied):
    url, _, _ = proxied
    for method in ("get", "post"):
        answer = requests.request(method, f"{url}/dead/lab", timeout=60)
        assert (answer.status_code, answer.text) == (503, "sorry 503 /dead/lab")


def test_a_server_that_says_nothing_is_given_up(proxied, monkeypatch):
    from vadose.hub import proxy

    url, _, _ = proxied
    monkeypatch.setattr(proxy, "SILENCE", 0.5)
    answer = requests.get(f"{url}/mute", timeout=60)
    assert (answer.status_code, answer.text) == (504, "sorry 504 /mute")
