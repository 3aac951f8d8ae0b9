"""The citizens' form of `vadose hub up` in a real browser: found in the menu, log in, send, and only the moderator sees what waits."""

from __future__ import annotations

import pytest

from vadose.stream import moderation
from vadose.stream.citizen import EXAMPLE

pytestmark = [pytest.mark.browser, pytest.mark.hub, pytest.mark.timeout(600)]


def test_people_send_and_only_moderators_decide(hub, chromium):
    folder = hub.state / "citizen"
    assert folder.stat().st_mode & 0o077 == 0, "exact places are not for every user of this machine"
    for who in ("ben", "ana"):
        page = chromium.new_context(viewport={"width": 390, "height": 844}).new_page()
        page.set_default_timeout(120_000)
        page.goto(f"{hub.url}/hub/token")
        page.fill("input[name=username]", who)
        page.fill("input[name=password]", hub.password(who))
        page.click("#login_submit")
        link = page.locator("a[href='/services/citizen/']")
        link.first.wait_for(state="attached")
        page.goto(f"{hub.url}{link.first.get_attribute('href')}")
        page.wait_for_selector("[name=wet]")
        for number, wet in (("1", "150"), ("2", "140")):
            for name, text in {**EXAMPLE, "time": "2026-05-01T10:30", "wet": wet, "replicate": number}.items():
                if page.locator(f"input[name={name}]:not([type=checkbox]), textarea[name={name}]").count():
                    page.fill(f"[name={name}]", text)
            page.check("[name=consent]")
            page.click("text=Send")
            assert "Thank you" in page.locator("[role=status]").inner_text()
        assert page.locator("text=Observations that wait").count() == (who == "ana")
        assert page.goto(f"{hub.url}/services/citizen/review").status == (200 if who == "ana" else 403)
    first = page.locator("article").first
    first.locator("[name=why]").fill("asked the observer")
    first.locator("text=Accept").click()
    assert "is accepted" in page.locator("[role=status]").inner_text()
    rows = moderation.judged(folder)
    assert sorted(j.state for j in rows) == ["accepted", "waiting", "waiting", "waiting"]
    assert len({j.observation["observer"] for j in rows}) == 2
    assert not any(who in path.read_text() for path in folder.glob("*/*.json") for who in ("ben", "ana"))
