"""Restart deployments whose settings changed: writes the settings' sum on the pod template; the same sum again changes nothing.

    python3 restart.py NAMESPACE SUM DEPLOYMENT [DEPLOYMENT ...]

Nothing but the standard library, and the token that Kubernetes puts into the pod.
"""

import json
import os
import ssl
import sys
import urllib.request
from pathlib import Path

ACCOUNT = Path(os.environ.get("SERVICE_ACCOUNT", "/var/run/secrets/kubernetes.io/serviceaccount"))
ANNOTATION = "vadose.org/settings-sum"


def address():
    """Of the Kubernetes API, as every pod is told."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    return os.environ.get("KUBERNETES_API", f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")


def patch(namespace, deployment, total):
    body = {"spec": {"template": {"metadata": {"annotations": {ANNOTATION: total}}}}}
    request = urllib.request.Request(
        f"{address()}/apis/apps/v1/namespaces/{namespace}/deployments/{deployment}",
        data=json.dumps(body).encode(),
        method="PATCH",
        headers={"Authorization": f"Bearer {(ACCOUNT / 'token').read_text().strip()}", "Content-Type": "application/strategic-merge-patch+json"},
    )
    authority = ACCOUNT / "ca.crt"
    context = ssl.create_default_context(cafile=str(authority)) if authority.exists() else None
    with urllib.request.urlopen(request, timeout=30, context=context) as answer:
        return json.load(answer)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    for name in sys.argv[3:]:
        patch(sys.argv[1], name, sys.argv[2])
        print(f"{name}: {ANNOTATION} {sys.argv[2][:12]}")
