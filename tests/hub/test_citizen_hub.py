"""The citizens' form as a service of a real JupyterHub, in a real browser: log in, send, and only moderators see what waits."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from vadose.stream import moderation
from vadose.stream.citizen import EXAMPLE

pytestmark = [pytest.mark.browser, pytest.mark.hub, pytest.mark.timeout(300)]

CONFIG = """
import sys
c = get_config()
c.JupyterHub.bind_url, c.JupyterHub.hub_bind_url = "http://127.0.0.1:{0}", "http://127.0.0.1:{1}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{2}"
c.ConfigurableHTTPProxy.command = [sys.executable, "-m", "vadose.hub.proxy"]
c.ConfigurableHTTPProxy.pid_file = "{4}/proxy.pid"
c.JupyterHub.db_url, c.JupyterHub.cookie_secret_file = "sqlite:///{4}/hub.sqlite", "{4}/cookie"
c.JupyterHub.authenticator_class, c.Authenticator.allow_all = "dummy", True
c.JupyterHub.spawner_class = "jupyterhub.spawner.SimpleLocalProcessSpawner"
c.JupyterHub.load_groups = {{"citizen-moderators": {{"users": ["ana"]}}}}
c.JupyterHub.services = [{{"name": "citizen", "url": "http://127.0.0.1:{3}", "oauth_no_confirm": True, "api_token": "{5}"}}]
c.JupyterHub.load_roles = [{{"name": "user", "scopes": ["self", "access:services!service=citizen"]}}]
"""


def free_ports(number):
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]


def started(command, log, **environment):
    return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, env={**os.environ, **environment})  # fmt: skip


@pytest.fixture
def hub(tmp_path):
    """A hub with the form; gives (address of the form, folder of observations)."""
    public, inner, proxy, form = free_ports(4)
    token, folder = "0123456789abcdef" * 2, tmp_path / "observations"
    (tmp_path / "config.py").write_text(CONFIG.format(public, inner, proxy, form, tmp_path, token))
    known = {
        "JUPYTERHUB_API_TOKEN": token, "JUPYTERHUB_API_URL": f"http://127.0.0.1:{inner}/hub/api", "JUPYTERHUB_SERVICE_NAME": "citizen",
        "JUPYTERHUB_SERVICE_PREFIX": "/services/citizen/", "JUPYTERHUB_CLIENT_ID": "service-citizen",
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": '["access:services!service=citizen"]',
    }  # fmt: skip
    address = f"http://127.0.0.1:{public}/services/citizen"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with (tmp_path / "log").open("w") as log:
        running = [
            started([sys.executable, "-m", "vadose.hub.citizen", "--port", str(form), "--folder", str(folder)], log, **known),
            started([sys.executable, "-m", "jupyterhub", "-f", str(tmp_path / "config.py")], log),
        ]  # fmt: skip
        try:
            for _ in range(120):
                with contextlib.suppress(OSError):
                    if opener.open(f"{address}/health", timeout=3).read() == b"well":
                        break
                time.sleep(1)
            else:
                pytest.fail((tmp_path / "log").read_text()[-2000:])
            yield address, folder
        finally:
            for process in reversed(running):
                process.terminate()
            for process in running:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(20)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def test_people_send_and_only_moderators_decide(hub, chromium):
    address, folder = hub
    for who in ("ben", "ana"):
        page = chromium.new_context(viewport={"width": 390, "height": 844}).new_page()
        page.set_default_timeout(60_000)
        page.goto(f"{address}/")
        page.fill("input[name=username]", who)
        page.fill("input[name=password]", "x")
        page.click("#login_submit")
        page.wait_for_selector("[name=wet]")
        for number, wet in (("1", "150"), ("2", "140")):
            for name, text in {**EXAMPLE, "time": "2026-05-01T10:30", "wet": wet, "replicate": number}.items():
                if page.locator(f"input[name={name}]:not([type=checkbox]), textarea[name={name}]").count():
                    page.fill(f"[name={name}]", text)
            page.check("[name=consent]")
            page.click("text=Send")
            assert "Thank you" in page.locator("[role=status]").inner_text()
        assert page.locator("text=Observations that wait").count() == (who == "ana")
        assert page.goto(f"{address}/review").status == (200 if who == "ana" else 403)
    first = page.locator("article").first
    first.locator("[name=why]").fill("asked the observer")
    first.locator("text=Accept").click()
    assert "is accepted" in page.locator("[role=status]").inner_text()
    rows = moderation.judged(folder)
    assert sorted(j.state for j in rows) == ["accepted", "waiting", "waiting", "waiting"]
    assert len({j.observation["observer"] for j in rows}) == 2
    assert not any(who in path.read_text() for path in folder.glob("*/*.json") for who in ("ben", "ana"))
