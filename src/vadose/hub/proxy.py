"""The pure Python proxy of JupyterHub, with websocket subprotocols, binary frames and forwarding headers passed on right.

As released (configurable-http-proxy 0.4) it answers a browser that asks for a subprotocol without one, and Jupyter's
kernel connection fails once before it falls back. This module replaces the one class and runs the same command.
"""

from __future__ import annotations

import urllib.parse
from typing import Any


def main() -> None:
    """`python -m vadose.hub.proxy ...`: the options of configurable-http-proxy."""
    from configurable_http_proxy import configproxy, handlers
    from configurable_http_proxy.cli import main as run
    from tornado.httpclient import AsyncHTTPClient, HTTPClientError
    from tornado.websocket import websocket_connect

    # As released, ten requests at a time go through and the eleventh waits 20 seconds at most: of a class of 70 that logs in at
    # once, 50 were turned away (503). A request may also take longer than 20 seconds: a kernel on a busy machine, a large download.
    AsyncHTTPClient.configure(None, max_clients=2000, defaults={"connect_timeout": 60.0, "request_timeout": 600.0})

    class FaithfulHandler(handlers.ProxyHandler):
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

    for module in (configproxy, handlers):
        if hasattr(module, "ProxyHandler"):
            module.ProxyHandler = FaithfulHandler
    run()


if __name__ == "__main__":
    main()
