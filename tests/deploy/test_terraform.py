"""Terraform: format, logic modules without a provider, the whole stack planned with a mock and applied to a pretended AWS on loopback."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.deploy, pytest.mark.slow]
STACK = Path(__file__).parents[2] / "terraform" / "aws"
TERRAFORM = shutil.which("terraform")
MODULES = ["nodes", "subnets", "policies"]

#: What the pretended AWS (moto) cannot hold, each with what it does; the plan with the mocked provider covers all of them.
UNKNOWN_TO_MOTO = {
    "aws_backup_selection.homes": "no CreateBackupSelection",
    "aws_eks_addon.this": "no CreateAddon: 404",
    "aws_eks_pod_identity_association.this": "no CreatePodIdentityAssociation: 404",
    "aws_autoscaling_group_tag.autoscaler": "node groups have no scaling group behind them: CreateOrUpdateTags ends in 500, retried for half an hour",
    "aws_budgets_budget.month": "DescribeNotificationsForBudget is not known: the provider waits for it until its time is up",
}


def provider_mirror() -> Path | None:
    """A folder of unpacked Terraform providers, if the machine has one: TF_PLUGIN_MIRROR, else the usual places."""
    named = os.environ.get("TF_PLUGIN_MIRROR")
    places = (
        [Path(named)]
        if named
        else [Path("/opt/tf-plugins"), Path("/usr/share/terraform/plugins"), Path("/usr/local/share/terraform/plugins")]
    )
    for place in places:
        if (place / "registry.terraform.io" / "hashicorp" / "aws").is_dir():
            return place
    return None


def terraform(folder: Path, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess:
    env = {**os.environ, "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1", "NO_PROXY": "127.0.0.1", **environment}
    done = subprocess.run(
        [TERRAFORM, *arguments, "-no-color"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=560,
    )
    assert not check or done.returncode == 0, (
        f"terraform {' '.join(arguments)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    )
    return done


needs_terraform = pytest.mark.skipif(
    TERRAFORM is None, reason="cannot run here: terraform is not installed on this machine"
)


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> str:
    """A CLI configuration that takes providers from the machine's mirror and asks nobody else."""
    mirror = provider_mirror()
    if mirror is None:
        pytest.skip("cannot run here: no AWS provider on this machine; name a filesystem mirror in TF_PLUGIN_MIRROR")
    path = tmp_path_factory.mktemp("terraform") / "cli.tfrc"
    path.write_text(
        f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\ndisable_checkpoint = true\n'
    )
    return str(path)


def copy_of(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*")))


@needs_terraform
def test_files_are_formatted():
    done = terraform(STACK, "fmt", "-check", "-recursive", "-diff", check=False)
    assert done.returncode == 0, done.stdout


@needs_terraform
@pytest.mark.parametrize("module", MODULES)
def test_logic_module(module, tmp_path):
    folder = copy_of(STACK / "modules" / module, tmp_path / module)
    terraform(folder, "init", "-backend=false", "-input=false")
    done = terraform(folder, "test")
    passed = int(re.search(r"(\d+) passed, 0 failed", done.stdout).group(1))
    assert passed == (folder / "logic.tftest.hcl").read_text().count('\nrun "')


@needs_terraform
def test_stack_validates_and_its_promises_hold(config, tmp_path):
    folder = copy_of(STACK, tmp_path / "stack")
    terraform(folder, "init", "-backend=false", "-input=false", TF_CLI_CONFIG_FILE=config)
    terraform(folder, "validate", TF_CLI_CONFIG_FILE=config)
    done = terraform(folder, "test", TF_CLI_CONFIG_FILE=config)
    assert re.search(r"[1-9]\d* passed, 0 failed", done.stdout), done.stdout


@needs_terraform
def test_bootstrap_validates(config, tmp_path):
    folder = copy_of(STACK / "bootstrap", tmp_path / "bootstrap")
    terraform(folder, "init", "-backend=false", "-input=false", TF_CLI_CONFIG_FILE=config)
    terraform(folder, "validate", TF_CLI_CONFIG_FILE=config)


#: The system names the port when the server takes it: no other program can come in between.
MOTO = """
import sys
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def aws(tmp_path):
    """A pretended AWS on loopback. moto lives in its own environment: beside s3fs it breaks botocore's pin."""
    python = Path(__file__).parents[2] / ".side" / "moto" / "bin" / "python"
    if not python.exists():
        pytest.skip("moto is not installed: `bash tests/deploy/install` makes its side environment")
    with open(tmp_path / "moto.log", "w") as log:
        process = subprocess.Popen(
            [python, "-c", MOTO], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            env={**os.environ, "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"},
        )  # fmt: skip
    try:
        port = process.stdout.readline()
        assert port, (tmp_path / "moto.log").read_text()[-2000:]
        yield f"http://127.0.0.1:{int(port)}"
    finally:
        process.kill()
        process.communicate()


def none_of(kind: str, name: str) -> str:
    """The line that makes none of a resource: an override must say it the way the resource counts itself."""
    text = "\n".join(p.read_text() for p in STACK.glob("*.tf"))
    body = text[text.index(f'resource "{kind}" "{name}"') :].split("\n}")[0]
    return "for_each = {}" if re.search(r"^  for_each\b", body, re.M) else "count = 0"


def override(endpoint: str) -> str:
    services = ["s3", "iam", "ec2", "eks", "sts", "kms", "efs", "ecr", "backup", "budgets", "logs", "autoscaling"]
    endpoints = "\n".join(f'    {name} = "{endpoint}"' for name in services)
    left_out = "\n".join(
        'resource "{}" "{}" {{\n  {}\n}}'.format(*address.split("."), none_of(*address.split(".")))
        for address in UNKNOWN_TO_MOTO
    )
    return f"""
terraform {{
  backend "local" {{}}
}}
provider "aws" {{
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  s3_use_path_style           = true
  endpoints {{
{endpoints}
  }}
}}
# moto knows no ListRecoveryPointsByBackupVault, which emptying a vault before its end asks for.
resource "aws_backup_vault" "homes" {{
  force_destroy = false
}}
{left_out}
"""


def chart_takes(values: dict) -> None:
    """The chart renders with what Terraform says and finds the buckets in it."""
    helm = pytest.importorskip("helm_python", reason="helm-python-sdk is in the test extra")
    own = {"vadose": {"login": {"kind": "shared-password"}}}
    merged = {**values, "vadose": {**values["vadose"], **own["vadose"]}}
    with helm.Chart.load(str(STACK.parents[1] / "helm" / "vadose")) as chart:
        chart.validate_schema(merged)
        text = chart.render(merged, name="vadose", namespace="vadose")["vadose/templates/config.yaml"]
    assert values["vadose"]["cloud"]["scratchBucket"] in text


@needs_terraform
def test_stack_applies_and_destroys_on_a_pretended_aws(config, aws, tmp_path):
    folder = copy_of(STACK, tmp_path / "stack")
    (folder / "pretend_override.tf").write_text(override(aws))
    terraform(folder, "init", "-input=false", TF_CLI_CONFIG_FILE=config)
    variables = [
        "-input=false",
        "-auto-approve",
        "-var",
        'budget_emails=["costs@university.example"]',
        "-var",
        "deletion_protection=false",
        # Volumes, the default, and not the elastic file system: moto knows no UpdateFileSystemProtection, and its clusters name a security group
        # that is not there, so no rule can refer to it. The mocked plan holds both.
        "-var",
        "home_storage=ebs",
    ]
    done = terraform(folder, "apply", *variables, TF_CLI_CONFIG_FILE=config)
    assert re.search(r"Apply complete! Resources: [1-9]\d+ added", done.stdout), done.stdout[-2000:]

    state = json.loads(terraform(folder, "show", "-json", TF_CLI_CONFIG_FILE=config).stdout)
    made = {r["address"]: r["values"] for r in state["values"]["root_module"]["resources"]}
    user_policy = json.loads(made['aws_iam_role_policy.pod["user-sa"]']["policy"])
    actions = {a for s in user_policy["Statement"] for a in s["Action"]}
    assert not {a for a in actions if "*" in a or a.startswith(("s3:PutBucket", "s3:DeleteBucket", "s3:PutLifecycle"))}
    assert all(
        "*" not in (r if isinstance(r, str) else "") or r.endswith("/*")
        for s in user_policy["Statement"]
        for r in s["Resource"]
    )
    assert made["aws_eks_cluster.this"]["vpc_config"][0]["endpoint_public_access"] is False

    import yaml

    values = yaml.safe_load(terraform(folder, "output", "-raw", "chart_values", TF_CLI_CONFIG_FILE=config).stdout)
    assert values["vadose"]["cloud"]["scratchBucket"].startswith("vadose-scratch-")
    ladder = values["vadose"]["profiles"]["ladder"]
    assert values["vadose"]["profiles"]["default"] in [step["name"] for step in ladder]
    assert values["vadose"]["homes"] == {"kind": "ebs", "fileSystemId": "", "accessPointId": ""}
    command = terraform(folder, "output", "-raw", "autoscaler_command", TF_CLI_CONFIG_FILE=config).stdout
    role = json.loads(made['aws_iam_role.pod["cluster-autoscaler"]']["assume_role_policy"])
    bound = role["Statement"][0]["Condition"]["StringEquals"]["aws:RequestTag/kubernetes-service-account"]
    assert f"rbac.serviceAccount.name={bound}" in command
    chart_takes(values)

    done = terraform(folder, "destroy", *variables, TF_CLI_CONFIG_FILE=config)
    assert "Destroy complete!" in done.stdout


def test_no_public_module_or_other_provider():
    text = "\n".join(p.read_text() for p in STACK.rglob("*.tf"))
    assert set(re.findall(r'source\s*=\s*"([^"]+)"', text)) <= {
        "hashicorp/aws",
        "./modules/subnets",
        "./modules/nodes",
        "./modules/policies",
    }


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q"]))
