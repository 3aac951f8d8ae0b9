"""A security linter over Terraform and over what the chart renders: no finding without a reason."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from rendered_chart import ROOT

pytestmark = [pytest.mark.deploy, pytest.mark.slow]

#: Check -> why it is no finding. Those with a line of their own stand beside the resource (checkov:skip= in terraform/aws).
TERRAFORM = {
    "CKV_AWS_355": "the autoscaler's Describe actions take no resource; what it may change is bound to this cluster's tag",
    "CKV2_AWS_18": "the file system is chosen for backup by its tags (aws_backup_selection.homes), which the linter does not follow",
    "CKV2_AWS_6": "aws_s3_bucket_public_access_block.this is made for each bucket; the linter sees one of them",
    "CKV_AWS_145": "objects are encrypted with the store's own key: a key of ours would need rights on it for every reader, and costs by request",
}
KUBERNETES = {
    "CKV_K8S_11": "a limit of processors slows what could run; memory is limited everywhere",
    "CKV_K8S_15": "tags are fixed, so what is there is what was asked for",
    "CKV_K8S_21": "the namespace is the release's, which Helm gives at installation",
    "CKV_K8S_35": "the hub's library reads its token from the environment",
    "CKV_K8S_38": "the restart job needs its account's token: it may patch two deployments",
    "CKV_K8S_40": "user 1000 is the image's own, the same in notebooks, so that files on shared volumes belong to it",
    "CKV_K8S_43": "a release's tag is what people read and upgrade; a digest may be given as the tag where it is wanted",
}


def checkov(*arguments: str) -> list[tuple[str, str, str]]:
    """(check, its name, resource) of what failed."""
    program = os.environ.get("VADOSE_CHECKOV", str(ROOT / ".side" / "checkov" / "bin" / "checkov"))
    if not Path(program).exists():
        pytest.skip("checkov is not installed: `bash tests/deploy/install` makes its side environment")
    done = subprocess.run(
        [program, *arguments, "--skip-download", "--compact", "--quiet", "-o", "json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    answer = json.loads(done.stdout)
    reports = answer if isinstance(answer, list) else [answer]
    assert sum(r["summary"]["passed"] for r in reports) > 50, "the linter has looked at something"
    assert not sum(r["summary"]["parsing_errors"] for r in reports)
    return [
        (f["check_id"], f["check_name"] or "", f["resource"]) for r in reports for f in r["results"]["failed_checks"]
    ]


def test_terraform_has_no_finding_without_a_reason():
    found = checkov("-d", str(ROOT / "terraform" / "aws"), "--framework", "terraform")
    assert [f for f in found if f[0] not in TERRAFORM] == []
    assert {f[0] for f in found} == set(TERRAFORM), "a reason for what is no longer found"


def test_chart_has_no_finding_without_a_reason(chart, tmp_path):
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(chart.objects("everything")))
    found = checkov("-f", str(tmp_path / "all.yaml"), "--framework", "kubernetes")
    assert [f for f in found if f[0] not in KUBERNETES] == []
    assert {f[0] for f in found} == set(KUBERNETES), "a reason for what is no longer found"
