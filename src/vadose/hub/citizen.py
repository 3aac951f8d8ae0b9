"""A form for citizen scientists' soil readings, behind the hub's login: weigh wet, dry, weigh again; what arrives is kept as it came.

`python -m vadose.hub.citizen --port 8080 --folder FOLDER --prefix /services/citizen`

Each reading is one small file, named by its content: the same reading sent twice is kept once, and nothing is ever overwritten.
Readings carry a pseudonym, not a name.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import html
import json
import math
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from vadose.errors import VadoseInputError

#: Field -> (question, unit, lowest, highest, needed). Limits are those of a hand's sample, to catch a comma in the wrong place.
FIELDS: dict[str, tuple[str, str, float, float, bool]] = {
    "latitude": ("Where: latitude", "degrees north", -90, 90, True),
    "longitude": ("Where: longitude", "degrees east", -180, 180, True),
    "depth": ("How deep is the middle of the sample", "m", 0, 2, True),
    "wet": ("Weight of tin and wet soil", "g", 1, 5000, True),
    "dry": ("Weight of tin and dry soil", "g", 1, 5000, True),
    "tin": ("Weight of the empty tin", "g", 0, 2000, True),
    "bulk_density": ("Dry weight of a litre of this soil, if you know it", "kg/l", 0.05, 2.2, False),
}


def reading(said: Mapping[str, str], *, now: datetime.datetime | None = None) -> dict[str, Any]:
    """What somebody wrote, as numbers: gravimetric moisture (kg kg-1), volumetric (m3 m-3) where the bulk density is known.

    u = (wet - dry) / (dry - tin); theta = u * bulk_density / density of water (1 kg/l).
    Raises VadoseInputError in the words of the form.
    """
    out: dict[str, Any] = {}
    for name, (question, unit, low, high, needed) in FIELDS.items():
        text = said.get(name, "").strip().replace(",", ".")
        if not text:
            if needed:
                raise VadoseInputError(f"{question}: please fill it in ({unit})")
            continue
        try:
            value = float(text)
        except ValueError:
            raise VadoseInputError(f"{question}: {text!r} is not a number") from None
        if not (math.isfinite(value) and low <= value <= high):
            raise VadoseInputError(f"{question}: {text} {unit} is not between {low:g} and {high:g}")
        out[name] = value
    try:
        moment = datetime.datetime.fromisoformat(said.get("time", ""))
    except ValueError:
        raise VadoseInputError("When did you take the sample: please give date and time") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    if moment > (now or datetime.datetime.now(datetime.UTC)) + datetime.timedelta(days=1):
        raise VadoseInputError("When did you take the sample: that is in the future")
    if not out["tin"] < out["dry"] <= out["wet"]:
        raise VadoseInputError(
            "The three weights: the tin weighs less than tin and dry soil, and that not more than tin and wet soil"
        )
    out["time"] = moment.astimezone(datetime.UTC).isoformat()
    out["gravimetric_moisture"] = (out["wet"] - out["dry"]) / (out["dry"] - out["tin"])
    if "bulk_density" in out:
        out["soil_moisture"] = out["gravimetric_moisture"] * out["bulk_density"]
        if out["soil_moisture"] > 1:
            raise VadoseInputError("More water than room in the soil: please check the weights and the litre weight")
    out["note"] = said.get("note", "").strip()[:500]
    return out


def keep(folder: str | Path, found: Mapping[str, Any], observer: str) -> tuple[Path, bool]:
    """Write one reading under FOLDER/<date>/<content>.json, whole or not at all. Returns its path and whether it is new."""
    body = json.dumps({**found, "observer": observer}, sort_keys=True, indent=1)
    path = Path(folder) / found["time"][:10] / f"{hashlib.sha256(body.encode()).hexdigest()[:20]}.json"
    if path.exists():
        return path, False
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.{secrets.token_hex(4)}")
    temporary.write_text(body)
    temporary.replace(path)
    return path, True


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
    prefix: str, token: str, message: str = "", said: Mapping[str, str] | None = None, *, bad: bool = False
) -> str:
    """The form; what was written stays in it when something was wrong."""
    said = said or {}
    rows = [
        f"<label>{html.escape(question)} <small>{html.escape(unit)}{'' if needed else ', may stay empty'}</small>"
        f'<input name="{name}" inputmode="decimal" value="{html.escape(said.get(name, ""))}"{" required" if needed else ""}></label>'
        for name, (question, unit, _, _, needed) in FIELDS.items()
    ]
    note = f'<p class="{"bad" if bad else "good"}" role="status">{html.escape(message)}</p>' if message else ""
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>A soil moisture reading</title><style>
body{{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:2rem auto;padding:0 1rem}} label{{display:block;margin:.8rem 0}}
input,textarea{{display:block;width:100%;font:inherit;padding:.4rem;box-sizing:border-box}} small{{color:#555}}
.good{{background:#e3f1e5;padding:.6rem}} .bad{{background:#f9e0d2;padding:.6rem}} button{{font:inherit;padding:.5rem 1.5rem}}
</style></head><body><h1>A soil moisture reading</h1>
<p>Weigh a tin with moist soil, dry it (a day at 105&nbsp;&deg;C, or in an oven as hot as yours goes), weigh it again.</p>{note}
<form method="post" action="{html.escape(prefix)}/"><input type="hidden" name="_xsrf" value="{html.escape(token)}">
<label>When did you take the sample <small>UTC</small><input name="time" type="datetime-local" value="{html.escape(said.get("time", ""))}" required></label>
{"".join(rows)}<label>Anything else <small>crop, rain last night, may stay empty</small><textarea name="note" maxlength="500">{html.escape(said.get("note", ""))}</textarea></label>
<button>Send</button></form></body></html>"""


def application(folder: str | Path, prefix: str, *, authenticated: type | None = None):
    """The tornado application. `authenticated` is a mix-in that says who somebody is; the hub's by default."""
    from jupyterhub.services.auth import HubOAuthCallbackHandler, HubOAuthenticated
    from tornado import web

    salt = salt_of(folder)

    class Form(authenticated or HubOAuthenticated, web.RequestHandler):  # type: ignore[misc]
        def set_default_headers(self) -> None:
            self.set_header(
                "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"
            )

        def show(self, message: str = "", *, bad: bool = False, said: Mapping[str, str] | None = None) -> None:
            self.write(page(prefix, self.xsrf_token.decode(), message, said, bad=bad))

        @web.authenticated
        def get(self) -> None:
            self.show()

        @web.authenticated
        def post(self) -> None:
            said = {name: self.get_body_argument(name, "") for name in [*FIELDS, "time", "note"]}
            try:
                found = reading(said)
            except VadoseInputError as error:
                self.set_status(400)
                self.show(str(error), bad=True, said=said)
                return
            _, new = keep(folder, found, pseudonym(self.get_current_user()["name"], salt))
            share = f"{found['gravimetric_moisture']:.0%} of the dry weight is water"
            self.show(f"Thank you: {share}." if new else f"This reading was here already: {share}.")

    class Health(web.RequestHandler):
        def get(self) -> None:
            self.write("well")

    return web.Application(
        [
            (f"{prefix}/health", Health),
            (f"{prefix}/oauth_callback", HubOAuthCallbackHandler),
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
def main(host: str, port: int, folder: Path, prefix: str) -> None:
    """Serve the form. Runs as a service of the hub, which gives it JUPYTERHUB_API_TOKEN and says who somebody is."""
    from tornado import httpserver, ioloop

    server = httpserver.HTTPServer(application(folder, prefix.rstrip("/")), xheaders=True)
    server.listen(port, host)
    ioloop.IOLoop.current().start()


if __name__ == "__main__":
    main()
