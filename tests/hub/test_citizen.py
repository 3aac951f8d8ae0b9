"""Citizen scientists' form: what it answers, no names in the files, who may decide; the same in a real browser."""

from __future__ import annotations

import errno
import json
import re
import threading
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

import pytest

from vadose.hub import citizen
from vadose.stream import moderation
from vadose.stream.citizen import EXAMPLE

GIVEN = {**EXAMPLE, "time": "2026-05-01T10:30", "longitude": "8,25"}


def test_names_do_not_reach_the_files(tmp_path):
    salt = citizen.salt_of(tmp_path)
    assert citizen.salt_of(tmp_path) == salt
    assert (tmp_path / ".salt").stat().st_mode & 0o077 == 0
    assert citizen.pseudonym("ana", salt) == citizen.pseudonym("ana", salt) != citizen.pseudonym("ben", salt)
    assert "ana" not in citizen.pseudonym("ana", salt)


@pytest.fixture
def served(tmp_path):
    """The form on loopback with a login that always says `ana`."""
    import asyncio

    from tornado import httpserver, ioloop

    class Ana:
        def get_current_user(self):
            who = self.request.headers.get("X-Who")
            return (
                {"name": f"{who}@example.org", "groups": ["citizen-moderators"] if who == "ana" else ["others"]}
                if who
                else None
            )

        def get_login_url(self):
            return "/hub/login"

    ready, box = threading.Event(), {}

    def run():
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        server = httpserver.HTTPServer(citizen.application(tmp_path, "/services/citizen", authenticated=Ana))
        server.listen(0, "127.0.0.1")
        box.update(port=next(iter(server._sockets.values())).getsockname()[1], loop=ioloop.IOLoop.current())
        ready.set()
        box["loop"].start()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(60)
    yield f"http://127.0.0.1:{box['port']}/services/citizen", tmp_path
    box["loop"].add_callback(box["loop"].stop)
    thread.join(30)


def test_a_reading_goes_through_the_form_and_a_forged_one_does_not(served):
    address, folder = served
    opener = urllib.request.build_opener(
        urllib.request.HTTPCookieProcessor(CookieJar()), urllib.request.ProxyHandler({})
    )
    opener.addheaders = [("X-Who", "ana")]
    text = opener.open(address + "/", timeout=60).read().decode()
    assert "<script" not in text
    token = re.search(r'name="_xsrf" value="([^"]+)"', text).group(1)

    def send(**said):
        body = urllib.parse.urlencode({**GIVEN, "_xsrf": token, **said}).encode()
        try:
            return opener.open(address + "/", body, timeout=60)
        except urllib.error.HTTPError as error:
            return error

    answer = send(note="<b>rain</b>")
    assert "25% of the dry weight is water, 32% of its volume" in answer.read().decode()
    (path,) = folder.glob("2026-05-01/*.json")
    kept = json.loads(path.read_text())
    assert kept["note"] == "<b>rain</b>"
    assert "ana" not in path.read_text()
    assert "here already" in send(note="<b>rain</b>").read().decode()
    wrong = send(wet="1", note='"><script>alert(1)</script>')
    assert wrong.status == 400
    body = wrong.read().decode()
    assert "<script" not in body
    assert "The three weights" in body
    assert send(_xsrf="forged").status == 403
    assert len(list(folder.glob("*/*.json"))) == 1


def test_without_a_login_there_is_only_the_health(served):
    address, _ = served
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    assert opener.open(address + "/health", timeout=60).read() == b"well"
    with pytest.raises(urllib.error.HTTPError) as refused:
        opener.open(address + "/", timeout=60)
    assert refused.value.status in (403, 404)


def ask(address, who, body=None, cookies=None):
    """One request as somebody; gives (status, text, opener)."""
    opener = cookies or urllib.request.build_opener(
        urllib.request.HTTPCookieProcessor(CookieJar()), urllib.request.ProxyHandler({})
    )
    opener.addheaders = [("X-Who", who)]
    data = urllib.parse.urlencode(body).encode() if body else None
    try:
        answer = opener.open(address, data, timeout=60)
    except urllib.error.HTTPError as error:
        answer = error
    return answer.status, answer.read().decode(), opener


def test_an_observation_that_cannot_be_kept_stays_in_the_form(served, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(moderation, "keep", full)
    _, text, opener = ask(served[0] + "/", "ana")
    token = re.search(r'name="_xsrf" value="([^"]+)"', text).group(1)
    status, text, _ = ask(served[0] + "/", "ana", {**GIVEN, "_xsrf": token, "note": "rain last night"}, opener)
    assert status == 507
    assert "No space left on device" in text
    assert "rain last night" in text


def test_only_moderators_decide(served):
    address, folder = served
    assert ask(f"{address}/review", "ben")[0] == 403
    _, text, opener = ask(f"{address}/", "ben")
    assert "review" not in text
    token = re.search(r'name="_xsrf" value="([^"]+)"', text).group(1)
    for number, wet in (("1", "150"), ("2", "140")):
        ask(f"{address}/", "ben", {**GIVEN, "wet": wet, "replicate": number, "_xsrf": token}, opener)
    identity = moderation.judged(folder)[0].id
    forged = {"id": identity, "state": "accepted", "why": "mine", "_xsrf": token}
    assert ask(f"{address}/review", "ben", forged, opener)[0] == 403
    _, text, opener = ask(f"{address}/review", "ana")
    assert text.count("samples side by side differ") == 2
    token = re.search(r'name="_xsrf" value="([^"]+)"', text).group(1)
    assert (
        ask(f"{address}/review", "ana", {"id": identity, "state": "accepted", "why": "", "_xsrf": token}, opener)[0]
        == 400
    )
    _, text, _ = ask(f"{address}/review", "ana", {"id": identity, "state": "accepted", "why": "asked", "_xsrf": token}, opener)  # fmt: skip
    assert "1 accepted, 1 waiting, 0 rejected" in text


@pytest.mark.browser
def test_in_a_real_browser_an_observation_is_sent_and_one_that_waits_is_accepted(served, chromium):
    """A phone, then a desk: required fields are asked for, wrong weights are told, nothing runs over the edge of the screen."""
    address, folder = served
    page = chromium.new_page(viewport={"width": 390, "height": 844}, extra_http_headers={"X-Who": "ana"})
    page.goto(f"{address}/")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.click("text=Send")
    assert page.locator("input:invalid").count() > 0, "the browser asks for what is needed"
    for name, text in GIVEN.items():
        if page.locator(f"input[name={name}], textarea[name={name}]").count() and name != "consent":
            page.fill(f"[name={name}]", text)
    page.check("[name=consent]")
    page.fill("[name=wet]", "100")
    page.click("text=Send")
    assert "The three weights" in page.locator(".bad").inner_text()
    assert page.input_value("[name=dry]") == "125", "what was written stays"
    assert page.is_checked("[name=consent]")
    page.select_option("[name=offset]", "+02:00")
    for number, wet in (("1", "150"), ("2", "140")):
        page.fill("[name=wet]", wet)
        page.fill("[name=replicate]", number)
        page.click("text=Send")
        assert "Thank you" in page.locator(".good").inner_text()
        page.go_back()
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(f"{address}/review")
    first = page.locator("article").first
    first.locator("[name=why]").fill("asked the observer")
    first.locator("text=Accept").click()
    assert "1 accepted, 1 waiting" in page.locator("body").inner_text()
    rows = moderation.judged(folder)
    assert sorted(j.state for j in rows) == ["accepted", "waiting"]
    assert {j.observation["time"] for j in rows} == {"2026-05-01T08:30:00+00:00"}, (
        "10:30 where clocks are two hours ahead"
    )
