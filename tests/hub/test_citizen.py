"""Citizen scientists' form: numbers in their words, one file a reading, no names in the files."""

from __future__ import annotations

import datetime
import json
import re
import threading
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

import pytest

from vadose.errors import VadoseInputError
from vadose.hub import citizen

GIVEN = {
    "latitude": "47.5",
    "longitude": "8,25",
    "depth": "0.05",
    "wet": "150",
    "dry": "125",
    "tin": "25",
    "time": "2026-05-01T10:30",
}


def test_c_x17_1_weights_become_moisture():
    """150 g wet, 125 g dry, 25 g tin: 25 g of water on 100 g of soil; at 1.3 kg/l that is .25 * 1.3 = .325."""
    found = citizen.reading({**GIVEN, "bulk_density": "1.3"})
    assert found["gravimetric_moisture"] == pytest.approx(0.25)
    assert found["soil_moisture"] == pytest.approx(0.325)
    assert found["longitude"] == 8.25
    assert found["time"] == "2026-05-01T10:30:00+00:00"
    assert "soil_moisture" not in citizen.reading(GIVEN)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"wet": ""}, "please fill it in"),
        ({"wet": "heavy"}, "'heavy' is not a number"),
        ({"latitude": "475"}, "not between -90 and 90"),
        ({"wet": "100"}, "The three weights"),
        ({"tin": "125"}, "The three weights"),
        ({"dry": "nan"}, "not between"),
        ({"time": "yesterday"}, "give date and time"),
        ({"time": "2999-01-01T00:00"}, "in the future"),
        ({"bulk_density": "2.0", "dry": "80", "wet": "150"}, "More water than room"),
    ],
)
def test_what_cannot_be_is_said_in_the_words_of_the_form(change, words):
    with pytest.raises(VadoseInputError, match=words):
        citizen.reading({**GIVEN, **change}, now=datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC))


def test_c_x17_3_the_same_reading_twice_is_kept_once(tmp_path):
    found = citizen.reading(GIVEN)
    first, new = citizen.keep(tmp_path, found, "abc")
    again, newer = citizen.keep(tmp_path, found, "abc")
    assert (new, newer) == (True, False)
    assert first == again
    other, _ = citizen.keep(tmp_path, found, "def")
    assert other != first, "two people may weigh the same"
    assert sorted(p.name for p in (tmp_path / "2026-05-01").iterdir()) == sorted([first.name, other.name])


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
            return {"name": "ana@example.org"} if self.request.headers.get("X-Who") else None

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
    ready.wait(10)
    yield f"http://127.0.0.1:{box['port']}/services/citizen", tmp_path
    box["loop"].add_callback(box["loop"].stop)
    thread.join(5)


def test_a_reading_goes_through_the_form_and_a_forged_one_does_not(served):
    address, folder = served
    opener = urllib.request.build_opener(
        urllib.request.HTTPCookieProcessor(CookieJar()), urllib.request.ProxyHandler({})
    )
    opener.addheaders = [("X-Who", "ana")]
    text = opener.open(address + "/", timeout=10).read().decode()
    assert "<script" not in text
    token = re.search(r'name="_xsrf" value="([^"]+)"', text).group(1)

    def send(**said):
        body = urllib.parse.urlencode({**GIVEN, "_xsrf": token, **said}).encode()
        try:
            return opener.open(address + "/", body, timeout=10)
        except urllib.error.HTTPError as error:
            return error

    answer = send(note="<b>rain</b>")
    assert "25% of the dry weight is water" in answer.read().decode()
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
    assert opener.open(address + "/health", timeout=10).read() == b"well"
    with pytest.raises(urllib.error.HTTPError) as refused:
        opener.open(address + "/", timeout=10)
    assert refused.value.status in (403, 404)
