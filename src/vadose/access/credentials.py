"""How one gets in: Earthdata keys that last an hour and renew themselves, the region check, and consent to pay.

Nothing is asked interactively and nothing is stored: keys come from the environment (EARTHDATA_TOKEN, AWS_*) or ~/.netrc.
Every object here can be pickled, so that Dask workers renew their keys by themselves.
"""

from __future__ import annotations

import datetime
import json
import netrc
import os
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from vadose.errors import AccessDeniedError

LOGIN_HOST = "urs.earthdata.nasa.gov"
#: Renew this long before the keys end, so that no request is sent with keys that expire under way.
MARGIN = datetime.timedelta(minutes=5)


@dataclass(frozen=True)
class Access:
    """How a store is entered: the `store` part of `vadose:open`, and whether its reader agrees to pay."""

    auth: str = "environment"
    region: str | None = None
    credentials: str | None = None
    https: str | None = None
    requester_pays: bool = False
    consent: bool = False

    @classmethod
    def of(cls, how: dict[str, Any] | None, *, consent: bool = False) -> Access:
        """From a collection's `vadose:open` object; without a `store` part the environment's keys are used."""
        part = (how or {}).get("store", {})
        agreed = consent or os.environ.get("VADOSE_REQUESTER_PAYS", "").lower() in ("1", "yes", "true")
        return cls(
            **{k: part[k] for k in ("auth", "region", "credentials", "https", "requester_pays") if k in part},
            consent=agreed,
        )

    def check(self, address: str) -> None:
        """Raise AccessDeniedError before the first request where it is clear that it cannot succeed, or would cost money."""
        if self.requester_pays and not self.consent:
            raise AccessDeniedError(
                f"{address}: reading is billed to you (requester pays). Agree with vadose.open(..., requester_pays=True) "
                "or VADOSE_REQUESTER_PAYS=yes; AWS keys must be set"
            )
        if self.auth == "login":
            raise AccessDeniedError(
                f"{address}: this archive needs its own registration and has no open interface; download the files and index "
                "them with `vadose catalog build COLLECTION --source FOLDER`"
            )


def in_region(region: str | None) -> bool:
    """Whether this process runs in an AWS region: VADOSE_REGION or AWS_REGION say so; without them it does not."""
    here = os.environ.get("VADOSE_REGION") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return region is None or here == region


def earthdata_token() -> str:
    """The user's Earthdata token. AccessDeniedError says how to get one."""
    token = os.environ.get("EARTHDATA_TOKEN", "").strip()
    if token:
        return token
    raise AccessDeniedError(
        f"no Earthdata token: make one at https://{LOGIN_HOST} (Generate Token) and set EARTHDATA_TOKEN; a user name and "
        "password in ~/.netrc work too"
    )


def authorization() -> str:
    """The Authorization header for Earthdata: the token, else user and password of ~/.netrc."""
    import base64

    try:
        return f"Bearer {earthdata_token()}"
    except AccessDeniedError:
        try:
            found = netrc.netrc(os.environ.get("NETRC") or None).authenticators(LOGIN_HOST)
        except (OSError, netrc.NetrcParseError):
            found = None
        if not found:
            raise
        return "Basic " + base64.b64encode(f"{found[0]}:{found[2]}".encode()).decode()


@dataclass
class EarthdataKeys:
    """Temporary S3 keys of one NASA archive: call it for keys; it asks again shortly before they end.

    This is the form obstore and icechunk want; a copy sent to a Dask worker fetches its own keys there.
    """

    endpoint: str
    _keys: dict[str, Any] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"endpoint": self.endpoint}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.endpoint, self._keys, self._lock = state["endpoint"], None, threading.Lock()

    def __call__(self) -> dict[str, Any]:
        with self._lock:
            now = datetime.datetime.now(datetime.UTC)
            if self._keys is None or self._keys["expires_at"] - MARGIN <= now:
                self._keys = self._fetch()
            return dict(self._keys)

    def _fetch(self) -> dict[str, Any]:
        request = urllib.request.Request(self.endpoint, headers={"Authorization": authorization()})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                body = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            reason = {
                401: "the token is wrong or has ended: make a new one",
                403: "the archive's licence is not accepted yet: open its site once while logged in",
            }.get(error.code, "try again later")
            raise AccessDeniedError(f"{self.endpoint} gave no keys (HTTP {error.code}): {reason}") from error
        except (OSError, ValueError) as error:
            raise AccessDeniedError(f"{self.endpoint} gave no keys: {error}") from error
        until = datetime.datetime.fromisoformat(body["expiration"].replace("Z", "+00:00").replace(" ", "T", 1))
        return {
            "access_key_id": body["accessKeyId"],
            "secret_access_key": body["secretAccessKey"],
            "token": body["sessionToken"],
            "expires_at": until if until.tzinfo else until.replace(tzinfo=datetime.UTC),
        }


def https_address(address: str, template: str) -> str:
    """An s3:// address as the archive serves it over HTTPS: `{bucket}` and `{key}` of the template are filled in."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return template.format(bucket=bucket, key=key)
