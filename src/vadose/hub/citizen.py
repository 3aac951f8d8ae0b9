"""A form for citizen scientists' soil readings, behind the hub's login: weigh, read or feel; what arrives is checked and kept as it came.

`python -m vadose.hub.citizen --port 8080 --folder FOLDER --prefix /services/citizen`

Each observation is one small file, named by its content: what is sent twice is kept once, and nothing is ever overwritten. Observations
carry a pseudonym, not a name. Members of the hub's group `citizen-moderators` decide about those that wait, on the page `review`.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import math
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import click

from vadose.errors import VadoseError, VadoseInputError
from vadose.stream import citizen, moderation, references

#: The parts of the form: heading, what it says, which questions.
PARTS = (
    ("Where", "", ("latitude", "longitude", "coordinate_accuracy", "depth_from", "depth_to")),
    ("If you weighed", "Weigh a tin with moist soil, dry it (a day at 105&nbsp;&deg;C, or in a microwave until it gets no lighter), weigh it again.",
     ("wet", "dry", "tin", "bulk_density")),
    ("If a sensor told you", "", ("sensor_model", "reading")),
    ("If you felt it", "Take some soil between your fingers.", ("feel",)),
    ("And", "", ("replicate",)),
)  # fmt: skip
METHOD_WORDS = {"oven": "weighed, dried in an oven", "microwave": "weighed, dried in a microwave", "sensor": "read from a handheld sensor", "feel": "felt with the fingers"}  # fmt: skip
_QUESTIONS = {f.name: f for f in citizen.NUMBERS}
#: Clocks of the world, as people know them.
OFFSETS = (
    "+00:00",
    *(f"{sign}{h:02d}:{m:02d}" for sign in "+-" for h in range(15) for m in (0, 30) if (h, m) != (0, 0)),
    "+05:45",
    "+08:45",
    "+12:45",
)
ASKED = ("consent", "license", "time", "method", *(name for _, _, names in PARTS for name in names), "note")
STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:2rem auto;padding:0 1rem;color:#222} label{display:block;margin:.8rem 0}
input,textarea,select{display:block;width:100%;font:inherit;padding:.4rem;box-sizing:border-box} small{color:#555} h2{font-size:1.1rem;margin:1.6rem 0 0}
input[type=checkbox]{display:inline;width:auto;margin-right:.5rem} .good{background:#e3f1e5;padding:.6rem} .bad{background:#f9e0d2;padding:.6rem}
button{font:inherit;padding:.5rem 1.5rem} fieldset{border:0;padding:0;margin:0} article{border-top:1px solid #ccc;padding:.6rem 0}"""


def pseudonym(name: str, salt: bytes) -> str:
    """The same for the same person on this hub, and not the person's name."""
    return hmac.new(salt, name.encode(), hashlib.sha256).hexdigest()[:12]


def salt_of(folder: str | Path) -> bytes:
    """Made once and kept beside the readings, readable by its owner only."""
    path = Path(folder) / ".salt"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(secrets.token_bytes(32))
    except FileExistsError:
        pass
    return path.read_bytes()


def page(
    prefix: str,
    token: str,
    message: str = "",
    said: Mapping[str, str] | None = None,
    *,
    bad: bool = False,
    moderator: bool = False,
) -> str:
    """The form; what was written stays in it when something was wrong."""
    said = said or {}
    parts = "".join(
        f"<fieldset><h2>{title}</h2>{f'<p>{words}</p>' if words else ''}{''.join(_question(n, said) for n in names)}</fieldset>"
        for title, words, names in PARTS
    )
    method = _select("method", "How did you measure", METHOD_WORDS, said)
    consent = " checked" if said.get("consent") else ""
    link = f'<p><a href="{html.escape(prefix)}/review">Observations that wait</a></p>' if moderator else ""
    body = f"""<h1>A soil moisture observation</h1>{_note(message, bad)}{link}
<form method="post" action="{html.escape(prefix)}/"><input type="hidden" name="_xsrf" value="{html.escape(token)}">
<label>When did you take the sample <input name="time" type="datetime-local" value="{html.escape(said.get("time", ""))}" required></label>
{_select("offset", "How far is your clock from UTC (in summer Berlin +02:00, Ohio -04:00)", {k: k for k in sorted(OFFSETS)}, {"offset": said.get("offset") or "+00:00"})}
{method}{parts}<label>Anything else <small>crop, rain last night, may stay empty; not published</small><textarea name="note" maxlength="500">{html.escape(said.get("note", ""))}</textarea></label>
{_select("license", "License", {k: k for k in citizen.LICENSES}, said)}
<label><input type="checkbox" name="consent" value="yes"{consent} required>I agree that this is kept and published without my name, the place rounded to about a kilometer.</label>
<button>Send</button></form>"""
    return _document("A soil moisture observation", body)


def _document(title: str, body: str) -> str:
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{title}</title><style>{STYLE}</style></head><body>{body}</body></html>"""


def _note(message: str, bad: bool) -> str:
    return f'<p class="{"bad" if bad else "good"}" role="status">{html.escape(message)}</p>' if message else ""


def _question(name: str, said: Mapping[str, str]) -> str:
    value = html.escape(said.get(name, ""))
    if name == "feel":
        return _select("feel", "How does it feel", {"": "I did not feel it", **{k: k for k in citizen.FEEL}}, said)
    if name == "sensor_model":
        return f'<label>Which sensor <small>maker and model</small><input name="sensor_model" value="{value}"></label>'
    field = _QUESTIONS[name]
    needed = name in citizen.ALWAYS
    hint = f"{html.escape(field.unit)}{'' if needed else ', may stay empty'}"
    return f'<label>{html.escape(field.question)} <small>{hint}</small><input name="{name}" inputmode="decimal" value="{value}"{" required" if needed else ""}></label>'


def _select(name: str, question: str, words: Mapping[str, str], said: Mapping[str, str]) -> str:
    options = "".join(
        f'<option value="{html.escape(k)}"{" selected" if said.get(name) == k else ""}>{html.escape(v)}</option>'
        for k, v in words.items()
    )
    return f'<label>{html.escape(question)}<select name="{name}">{options}</select></label>'


def review_page(prefix: str, token: str, rows: list[moderation.Judged], message: str = "", *, bad: bool = False) -> str:
    """Observations that wait, each with what speaks against it and two buttons; below it how many there are of each state."""
    waiting = [r for r in rows if r.state == "waiting"]
    articles = "".join(
        f"""<article><p><b>{html.escape(_told(r.observation))}</b><br>{html.escape(r.observation["time"][:16].replace("T", " "))} UTC,
{r.observation["latitude"]:.4f}, {r.observation["longitude"]:.4f}, {r.observation["depth_from"]:g} to {r.observation["depth_to"]:g} m, observer {html.escape(r.observation["observer"])}{"" if math.isnan(r.trust) else f", trust {r.trust:.2f}"}</p>
<p>{html.escape("; ".join(r.doubts))}</p><p><small>{html.escape(r.observation.get("note", ""))}</small></p>
<form method="post" action="{html.escape(prefix)}/review"><input type="hidden" name="_xsrf" value="{html.escape(token)}"><input type="hidden" name="id" value="{r.id}">
<label>Why<input name="why" required maxlength="500"></label><button name="state" value="accepted">Accept</button> <button name="state" value="rejected">Reject</button></form></article>"""
        for r in waiting
    )
    count = {state: sum(r.state == state for r in rows) for state in ("accepted", "waiting", "rejected")}
    told = ", ".join(f"{n} {state}" for state, n in count.items())
    body = f'<h1>Observations that wait</h1>{_note(message, bad)}<p>{told}. <a href="{html.escape(prefix)}/">Back to the form</a></p>{articles or "<p>None.</p>"}'
    return _document("Observations that wait", body)


def _told(one: Mapping[str, object]) -> str:
    """An observation in a few words."""
    if one["method"] == "feel":
        return f"feels {one['feel']}"
    if one["method"] == "sensor":
        return f"the sensor shows {one['soil_moisture']:.0%} water by volume"
    volume = f", {one['soil_moisture']:.0%} of its volume" if "soil_moisture" in one else ""
    return f"{one['gravimetric_moisture']:.0%} of the dry weight is water{volume}"


def application(
    folder: str | Path, prefix: str, *, authenticated: type | None = None, moderators: str = "citizen-moderators"
):
    """The tornado application. `authenticated` is a mix-in that says who somebody is; the hub's by default."""
    from jupyterhub.services.auth import HubOAuthCallbackHandler, HubOAuthenticated
    from tornado import web

    salt = salt_of(folder)

    class Form(authenticated or HubOAuthenticated, web.RequestHandler):  # type: ignore[misc]
        def set_default_headers(self) -> None:
            self.set_header(
                "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"
            )

        def moderator(self) -> bool:
            # The hub tells a service a user's name and groups, and not who is an administrator.
            return moderators in self.get_current_user().get("groups", [])

        def show(self, message: str = "", *, bad: bool = False, said: Mapping[str, str] | None = None) -> None:
            self.write(page(prefix, self.xsrf_token.decode(), message, said, bad=bad, moderator=self.moderator()))

        @web.authenticated
        def get(self) -> None:
            self.show()

        @web.authenticated
        def post(self) -> None:
            said = {name: self.get_body_argument(name, "") for name in ASKED}
            offset = self.get_body_argument("offset", "+00:00")
            said["offset"] = offset
            land = references.read_references(folder).land
            try:
                found = citizen.observation(
                    {**said, "time": said["time"] + (offset if said["time"][10:] else "")}, land=land
                )
            except VadoseInputError as error:
                self.set_status(400)
                self.show(str(error), bad=True, said=said)
                return
            observer = pseudonym(self.get_current_user()["name"], salt)
            try:
                _, new = moderation.keep(folder, found | {"observer": observer})
            except OSError as error:  # the disk is full, or the folder closed
                self.set_status(507)
                words = f"It could not be kept ({error.strerror}); nothing is lost on this page, please send it again later."
                self.show(words, bad=True, said=said)
                return
            self.show(f"{'Thank you' if new else 'This observation was here already'}: {_told(found)}.")

    class Review(Form):
        def answer(self, message: str = "", *, bad: bool = False) -> None:
            self.write(review_page(prefix, self.xsrf_token.decode(), moderation.judged(folder), message, bad=bad))

        @web.authenticated
        def get(self) -> None:
            if not self.moderator():
                raise web.HTTPError(403)
            self.answer()

        @web.authenticated
        def post(self) -> None:
            if not self.moderator():
                raise web.HTTPError(403)
            asked = {name: self.get_body_argument(name, "") for name in ("id", "state", "why")}
            try:
                moderation.decide(
                    folder, asked["id"], asked["state"], by=self.get_current_user()["name"], why=asked["why"]
                )
            except VadoseError as error:
                self.set_status(400)
                self.answer(str(error), bad=True)
                return
            self.answer(f"{asked['id']} is {asked['state']}.")

    class Health(web.RequestHandler):
        def get(self) -> None:
            self.write("well")

    return web.Application(
        [
            (f"{prefix}/health", Health),
            (f"{prefix}/oauth_callback", HubOAuthCallbackHandler),
            (f"{prefix}/review", Review),
            (f"{prefix}/?", Form),
        ],
        cookie_secret=secrets.token_bytes(32),
        xsrf_cookies=True,
    )


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8080, show_default=True)
@click.option(
    "--folder", required=True, type=click.Path(file_okay=False, path_type=Path), help="Where readings are kept."
)
@click.option("--prefix", default="/services/citizen", show_default=True)
@click.option("--moderators", default="citizen-moderators", show_default=True, help="The hub's group that decides.")
def main(host: str, port: int, folder: Path, prefix: str, moderators: str) -> None:
    """Serve the form. Runs as a service of the hub, which gives it JUPYTERHUB_API_TOKEN and says who somebody is."""
    from tornado import httpserver, ioloop

    server = httpserver.HTTPServer(application(folder, prefix.rstrip("/"), moderators=moderators), xheaders=True)
    server.listen(port, host)
    click.echo(f"the form answers at http://{host}:{port}{prefix.rstrip('/')}/ and keeps observations in {folder}")
    ioloop.IOLoop.current().start()


if __name__ == "__main__":
    main()
