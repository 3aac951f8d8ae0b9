"""The pure Python proxy of JupyterHub, with answers passed on as they come, websocket subprotocols, binary frames and
forwarding headers passed on right.

As released (configurable-http-proxy 0.4) it keeps an answer until it is whole: a download above 100 MB fails, and the
progress of a starting server is shown when it has started. A browser that asks for a subprotocol is answered without one,
and Jupyter's kernel connection fails once before it falls back. This module replaces the one class and runs the same command.
"""

from __future__ import annotations

import asyncio
import logging
import urllib.parse
from typing import Any

#: Seconds without a byte after which a server counts as hanging; a download that moves may take as long as it likes.
SILENCE = 600.0
#: Headers that belong to one connection, not to the answer.
OF_THE_CONNECTION = {"connection", "keep-alive", "proxy-authenticate", "te", "trailer", "transfer-encoding", "upgrade"}


class _Gone(Exception):
    """Nobody waits for the rest of an answer any more."""


def main() -> None:
    """`python -m vadose.hub.proxy ...`: the options of configurable-http-proxy."""
    from configurable_http_proxy import configproxy
    from configurable_http_proxy.cli import main as run

    configproxy.ProxyHandler = faithful_handler()
    run()


def faithful_handler() -> type:
    """The class that takes the place of the proxy's own; sets the process's client up for many and long requests."""
    from configurable_http_proxy import handlers
    from tornado.httpclient import AsyncHTTPClient, HTTPClientError
    from tornado.iostream import StreamClosedError
    from tornado.websocket import websocket_connect

    # As released, ten requests at a time go through and the eleventh waits 20 seconds at most: of a class of 70 that logs in at
    # once, 50 were turned away (503). A request may also take longer than 20 seconds: a kernel on a busy machine, a large download.
    patience = {"connect_timeout": 60.0, "request_timeout": SILENCE}
    AsyncHTTPClient.configure(None, max_clients=2000, max_body_size=2**50, defaults=patience)
    # That somebody closes a page in the midst of a download is no error.
    logging.getLogger("tornado.application").addFilter(
        lambda record: not (record.exc_info and isinstance(record.exc_info[1], _Gone))
    )

    class FaithfulHandler(handlers.ProxyHandler):
        pieces = 0

        def compute_etag(self):
            """An answer has the tag that its server gave it, or none."""
            return None

        async def call_proxy(self, path=None):
            target = await self.get_target_url(path)
            if target is None:
                return
            request = self._get_proxy_request(target)
            request.decompress_response = False
            request.request_timeout = 30 * 86400.0
            code = 0
            headers: list[tuple[str, str]] = []

            def head(line):
                nonlocal code
                if line.startswith("HTTP/"):
                    code = int(line.split()[1])
                    headers.clear()
                elif line.strip():
                    name, _, value = line.partition(":")
                    headers.append((name, value.strip()))

            def begin():
                self.set_status(code)
                for name in ("Server", "Content-Type", "Date"):
                    self.clear_header(name)
                for name, value in headers:
                    if name.lower() not in OF_THE_CONNECTION:
                        self.add_header(name, value)

            async def pass_on(piece):
                if self._finished:
                    raise _Gone
                if not self._headers_written:
                    begin()
                self.pieces += 1
                self.write(piece)
                try:
                    await self.flush()  # no faster than it is taken
                except StreamClosedError:
                    raise _Gone from None
                self.pieces += 1

            request.header_callback, request.streaming_callback = head, pass_on
            try:
                await self._unless_silent(AsyncHTTPClient().fetch(request, raise_error=False))
            except Exception as error:
                if not self._headers_written:
                    await self.handle_proxy_error(504 if isinstance(error, TimeoutError) else 503, error)
                    return
                if not isinstance(error, _Gone):
                    self.proxy.log.warning(f"{self.request.path}: the answer broke off: {error!r}")
                self.detach().close()  # what has come is not the whole, and whoever reads it must see that
                return
            if not self._headers_written:
                begin()
            self.finish()

        async def _unless_silent(self, answer):
            """Wait for an answer to end. Raises TimeoutError when nothing came for SILENCE seconds."""
            answer.add_done_callback(lambda a: a.cancelled() or a.exception())
            while not answer.done():
                before = self.pieces
                await asyncio.wait([answer], timeout=SILENCE)
                if not answer.done() and self.pieces == before:
                    raise TimeoutError(f"no word from the server for {SILENCE:.0f} s")
            return answer.result()

        def _get_proxy_request(self, *args, **kwargs):
            """As released, a first proxy writes `X-Forwarded-Proto: ,http`, which makes nonsense of every link behind it."""
            request = super()._get_proxy_request(*args, **kwargs)
            for name in [n for n in request.headers if n.lower().startswith("x-forwarded-")]:
                request.headers[name] = request.headers[name].lstrip(",")
            return request

        ws_client: Any = None

        def select_subprotocol(self, subprotocols):
            return getattr(self.ws_client, "selected_subprotocol", None)

        async def start_ws_client(self, path=None):
            self.closed = False
            target = await self.get_target_url(path)
            if target is None:
                return
            parts = urllib.parse.urlparse(target)
            request = self._get_proxy_request(parts._replace(scheme=parts.scheme.replace("http", "ws")).geturl())
            # A websocket is opened by asking, too, and a busy machine takes its time to answer.
            request.connect_timeout, request.request_timeout = 60.0, 600.0
            asked = [p.strip() for p in self.request.headers.get("Sec-WebSocket-Protocol", "").split(",") if p.strip()]
            for header in [h for h in request.headers if h.lower().startswith("sec-websocket")]:
                del request.headers[header]

            def receive(message):
                if self.closed or message is None:
                    if self.ws_client:
                        self.ws_client.close()
                        self.ws_client = None
                    if message is None and not self.closed and self.ws_connection:
                        self.close()
                    return
                prefix = self.target["prefix"] if self.target else ""
                if prefix:
                    self.proxy.update_last_activity(prefix)
                self.write_message(message, binary=isinstance(message, bytes))

            connecting = websocket_connect(
                request, on_message_callback=receive, subprotocols=asked or None, max_message_size=2**30
            )
            try:
                self.ws_client = await handlers.apply_timeout(self.proxy.timeout, connecting)
            except HTTPClientError as error:
                self.set_status(error.code)
                self.write(error.message)
                self.finish()
            except Exception as error:
                await self.handle_proxy_error(503, error)
                raise

        def on_message(self, message):
            if self.ws_client:
                prefix = self.target["prefix"] if self.target else ""
                if prefix:
                    self.proxy.update_last_activity(prefix)
                self.ws_client.write_message(message, binary=isinstance(message, bytes))

    return FaithfulHandler


if __name__ == "__main__":
    main()
