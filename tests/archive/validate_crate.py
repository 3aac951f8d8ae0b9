"""Run by the Python of .side/archive: `CRATE CONTEXT.json` -> what roc-validator finds wrong with the RO-Crate, one line each; offline.

The validator asks w3id.org for the JSON-LD context; it is answered from the file.
"""

import pathlib
import sys

import requests

CONTEXT = pathlib.Path(sys.argv[2]).read_bytes()


def answer(self, request, **options):
    """The context, whatever is asked for; nothing goes to the network."""
    response = requests.Response()
    response.status_code = 200 if "w3id.org/ro/crate" in request.url else 404
    response._content = CONTEXT
    response.headers["Content-Type"] = "application/ld+json"
    response.url, response.request, response.encoding = request.url, request, "utf-8"
    return response


requests.Session.send = answer

from rocrate_validator import models, services  # noqa: E402

result = services.validate(
    services.ValidationSettings(
        rocrate_uri=sys.argv[1],
        profile_identifier="ro-crate-1.1",
        requirement_severity=models.Severity.RECOMMENDED,
        no_cache=True,
    )
)
for issue in result.get_issues():
    print(f"{issue.severity.name}: {issue.message}")
