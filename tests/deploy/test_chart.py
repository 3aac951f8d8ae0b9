"""The chart: rendered for every overlay, valid for Kubernetes, closed to wrong values, with walls that let Dask work and nothing else."""

from __future__ import annotations

import gzip
import http.server
import ipaddress
import itertools
import json
import re
import sqlite3
import subprocess
import sys
import threading

import pytest
import yaml
from rendered_chart import CHART, OWN, ROOT, STACKS, Chart, merged, one

pytestmark = pytest.mark.deploy
KUBERNETES = "1.34"
#: Kinds that belong to operators of others: no schema comes with Kubernetes.
CUSTOM = {"ServiceMonitor", "PrometheusRule"}
JOBS = CHART / "files" / "jobs"


@pytest.fixture(scope="module")
def rendered(chart):
    return {stack: chart.objects(stack) for stack in STACKS}


def pods(objects):
    """Every pod template of the chart's own workloads, with its owner's name."""
    for o in objects:
        spec = o.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            yield f"{o['kind']}/{o['metadata']['name']}", spec["template"]


# -- renders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stack", STACKS)
def test_every_overlay_renders_and_is_valid_for_kubernetes(rendered, stack):
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is in the test extra")
    seen = set()
    for o in rendered[stack]:
        key = (o["kind"], o["metadata"]["name"])
        assert key not in seen, f"{key} twice"
        seen.add(key)
        if o["kind"] not in CUSTOM:
            validate.validate(o, KUBERNETES, strict=True)
    assert {"ConfigMap", "Deployment", "Service", "ServiceAccount", "NetworkPolicy"} <= {k for k, _ in seen}


@pytest.mark.parametrize("stack", STACKS)
def test_helms_own_lint_has_nothing_to_say_beyond_the_charts_that_are_not_here(chart, stack):
    import helm_python as helm

    report = helm.lint(str(CHART), chart.given(stack), strict=False)
    messages = [str(m) for m in [*report["errors"], *report["messages"]]]
    # The namespace is empty while linting, so the volume's name ends in a dash there.
    allowed = ("missing these dependencies", "icon is recommended", "vadose-homes-")
    assert [m for m in messages if not any(a in m for a in allowed)] == []


def test_what_is_off_is_not_there_and_what_is_on_is(rendered):
    there = {stack: {(o["kind"], o["metadata"]["name"]) for o in objects} for stack, objects in rendered.items()}
    assert ("CronJob", "vadose-backup") not in there["minimal"]
    assert ("CronJob", "vadose-backup") in there["aws"]
    assert {
        ("CronJob", "vadose-stream"),
        ("PersistentVolume", "vadose-homes-hub"),
        ("PrometheusRule", "vadose"),
        ("ServiceMonitor", "vadose-hub"),
        ("Deployment", "vadose-citizen"),
    } <= there["everything"]


@pytest.mark.parametrize("stack", STACKS)
def test_notes_say_how_to_get_in_and_what_stops_by_itself(chart, stack):
    notes = chart.files(chart.given(stack))["vadose/templates/NOTES.txt"]
    assert "vadose doctor" in notes
    assert f"idle for {chart.values(stack)['jupyterhub']['cull']['timeout'] // 60} min" in notes
    assert chart.values(stack)["vadose"]["login"]["kind"] in notes


# -- wrong values -----------------------------------------------------------------------------------------------------


def test_nothing_is_open_by_default(chart):
    with pytest.raises(Exception, match=r"vadose\.login\.kind is empty: choose cilogon, github or shared-password"):
        chart.files({})
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    assert defaults["jupyterhub"]["hub"]["config"]["JupyterHub"]["authenticator_class"] == "null"
    assert defaults["jupyterhub"]["hub"]["config"]["Authenticator"]["allow_all"] is False
    assert defaults["jupyterhub"]["proxy"]["service"]["type"] == "ClusterIP"
    assert defaults["dask-gateway"]["traefik"]["service"]["type"] == "ClusterIP"


ELB = "service.beta.kubernetes.io/aws-load-balancer"
WRONG = {
    "a misspelt key": ({"vadose": {"dask": {"idleMinuts": 5}}}, "idleMinuts"),
    "a misspelt block": ({"vadoze": {}}, "vadoze"),
    "an unknown key of the gateway chart": ({"dask-gateway": {"gateway": {"bogus": 1}}}, "bogus"),
    "clusters that never stop": ({"vadose": {"dask": {"idleMinutes": 0}}}, "idleMinutes"),
    "a word for a number": ({"vadose": {"dask": {"maxWorkersPerCluster": "many"}}}, "maxWorkersPerCluster"),
    "latest": ({"jupyterhub": {"singleuser": {"image": {"tag": "latest"}}}}, "tag"),
    "an image without a tag": ({"vadose": {"images": {"choices": {"Mine": "lab/mine"}}}}, "choices/Mine"),
    "servers that never stop": ({"jupyterhub": {"cull": {"enabled": False}}}, "cull/enabled"),
    "a gateway open to any token": ({"dask-gateway": {"gateway": {"auth": {"jupyterhub": {"jupyterhubServiceName": "other"}}}}}, "jupyterhubServiceName"),
    "a token in values": ({"dask-gateway": {"gateway": {"auth": {"jupyterhub": {"apiToken": "x"}}}}}, "apiToken"),
    "a gateway open to the world": ({"dask-gateway": {"traefik": {"service": {"type": "LoadBalancer"}}}}, "traefik/service/type"),
    "no memory": ({"vadose": {"profiles": {"ladder": [{"name": "a", "memoryGiB": 0, "cpu": 1, "cpuLimit": 1}]}}}, "memoryGiB"),
    "an unknown login": ({"vadose": {"login": {"kind": "dummy"}}}, "login/kind"),
    "a default that is no step": ({"vadose": {"profiles": {"default": "huge"}}}, r'vadose\.profiles\.default "huge" is not a step'),
    "cilogon for everybody": ({"vadose": {"login": {"kind": "cilogon", "host": "h.org"}}}, r"vadose\.login\.allowedInstitutions is empty"),
    "github without a host": ({"vadose": {"login": {"kind": "github", "allowedUsers": ["ana"]}}}, r"vadose\.login\.host is empty"),
    "github for nobody": ({"vadose": {"login": {"kind": "github", "host": "h.org"}}}, "allowedOrganizations or allowedUsers"),
    "efs where homes would be root's": (
        {"vadose": {"homes": {"kind": "efs", "fileSystemId": "fs-1"}}, "jupyterhub": {"singleuser": {"storage": {"type": "static"}}}},
        r"vadose\.homes\.accessPointId",
    ),
    "efs without its id": ({"vadose": {"homes": {"kind": "efs"}}}, r"vadose\.homes\.fileSystemId"),
    "a public hub without TLS": ({"jupyterhub": {"proxy": {"service": {"type": "LoadBalancer"}}}}, "without TLS"),
    "a certificate for no name": ({"jupyterhub": {"proxy": {"https": {"enabled": True}}}}, r"proxy\.https\.hosts is empty"),
    "a certificate that is not named": ({"jupyterhub": {"proxy": {"https": {"enabled": True, "type": "secret"}}}}, r"proxy\.https\.secret\.name is empty"),
    "let's encrypt inside the network": (
        {"jupyterhub": {"proxy": {"service": {"annotations": {f"{ELB}-internal": "true"}}, "https": {"enabled": True, "hosts": ["h.org"]}}}},
        "Let's Encrypt cannot reach",
    ),
    "a load balancer that would be public": ({"jupyterhub": {"proxy": {"service": {"annotations": {f"{ELB}-scheme": "internal"}}}}}, "does not know aws-load-balancer-scheme"),
    "a backup to nowhere": ({"vadose": {"backup": {"enabled": True}}}, r"vadose\.backup\.enabled needs vadose\.cloud\.dataBucket"),
    "a stream of nothing": ({"vadose": {"stream": {"enabled": True}}}, r"vadose\.stream\.inputs"),
    "a shell in a prefix": ({"vadose": {"stream": {"inputs": ["s3://d/$(reboot)"]}}}, "stream/inputs"),
    "a class of two sizes": ({"vadose": {"workshop": {"enabled": True}}}, "a class has one step"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_values_are_refused_with_their_name(chart, case):
    values, words = WRONG[case]
    with pytest.raises(Exception, match=words):
        chart.files(chart.given("minimal", values))


def test_a_release_that_would_change_the_gateways_names_is_refused(chart):
    with pytest.raises(Exception, match="choose another"):
        chart.files(chart.given("minimal"), name="my-dask-gateway")


# -- documented -------------------------------------------------------------------------------------------------------


def leaves(node, path=()):
    for key, value in node.items():
        if isinstance(value, dict) and value and "kind" not in value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


def test_every_value_is_described_and_every_description_has_a_value():
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["vadose"]
    values = yaml.safe_load((CHART / "values.yaml").read_text())["vadose"]

    def compare(node, said, path):
        assert len(said["description"]) > 15, path
        if "properties" not in said or not isinstance(node, dict):
            return
        assert said["additionalProperties"] is False, path
        assert set(node) == set(said["properties"]), path
        for key in node:
            compare(node[key], said["properties"][key], f"{path}.{key}")

    compare(values, schema, "vadose")


def test_every_default_has_its_reason_beside_it():
    """In values.yaml each key of vadose, or the block it is in, has a comment directly above."""
    lines = (CHART / "values.yaml").read_text().split("\n")
    block = lines[lines.index("vadose:") + 1 : lines.index("jupyterhub:")]
    bare = [
        line.split(":")[0].strip()
        for before, line in itertools.pairwise(["", *block])
        if re.match(r"    \w+:", line) and not before.strip().startswith("#")
    ]
    said_above = {"maxCoresPerCluster", "maxMemoryGiBPerCluster", "schedulerNodeSelector", "gpu"}
    assert set(bare) <= said_above, set(bare) - said_above


def test_the_table_of_defaults_in_the_docs_is_true():
    """docs/operate/defaults.md: `key` | default: what the table says is what values.yaml says."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    rows = re.findall(
        r"\| `((?:vadose|jupyterhub|dask-gateway)\.[^`]+)` \| `([^`]*)`",
        (ROOT / "docs/operate/defaults.md").read_text(),
    )
    assert len(rows) >= 20
    for key, said in rows:
        value = values
        for part in re.findall(r'"[^"]+"|[^.]+', key):
            value = value[part.strip('"')]
        assert json.loads(said) == value, key


# -- one configuration ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stack", STACKS)
def test_the_mounted_files_are_the_ones_that_run_the_local_hub(rendered, stack):
    hub, gateway = one(rendered[stack], "ConfigMap", "vadose-hub"), one(rendered[stack], "ConfigMap", "vadose-gateway")
    for data, name in ((hub["data"], "hub/vadose_hub.py"), (gateway["data"], "gateway/vadose_gateway.py")):
        assert data[name.split("/")[1]].strip() == (CHART / "files" / name).read_text().strip()
        assert json.loads(data["settings.json"])["kind"] == "kubernetes"
        compile(data[name.split("/")[1]], name, "exec")
    # Linux takes 128 KiB in one environment variable.
    assert all(len(text) < 100_000 for text in gateway["data"].values())


def test_one_image_is_notebook_scheduler_worker_and_service(chart):
    mine = {"jupyterhub": {"singleuser": {"image": {"name": "registry.example/mine", "tag": "2026.11"}}}}
    objects = chart.objects("everything", mine)
    assert {c["image"] for _, t in pods(objects) for c in t["spec"]["containers"]} == {"registry.example/mine:2026.11"}
    hub = json.loads(one(objects, "ConfigMap", "vadose-hub")["data"]["settings.json"])
    gateway = json.loads(one(objects, "ConfigMap", "vadose-gateway")["data"]["settings.json"])
    assert hub["image"] == {"name": "registry.example/mine", "tag": "2026.11"}
    assert gateway["image"] == "registry.example/mine:2026.11"
    assert gateway["images"] == ["123456789012.dkr.ecr.us-west-2.amazonaws.com/vadose/benchmark:0.1.0"]


def test_what_the_gateway_is_called_is_what_notebooks_look_for(chart):
    """The Dask Gateway chart's rule for names, with releases that meet each of its branches."""
    for release, expected in (
        ("vadose", "traefik-vadose-dask-gateway.hub"),
        ("a" * 60, "traefik-" + "a" * 55 + ".hub"),
    ):
        settings = json.loads(
            one(chart.objects("minimal", name=release), "ConfigMap", "vadose-hub")["data"]["settings.json"]
        )
        assert settings["gateway"]["proxy_address"] == f"gateway://{expected}:80"
        assert settings["services"]["dask-gateway"] == f"http://{expected}"


def test_hub_and_gateway_restart_when_their_settings_change_and_only_then(chart):
    def total(values=None):
        return one(chart.objects("minimal", values), "Job", "vadose-restart")["spec"]["template"]["spec"]["containers"][
            0
        ]["args"][3]

    assert total() == total()
    assert total({"vadose": {"dask": {"idleMinutes": 21}}}) != total()
    assert total({"vadose": {"login": {"administrators": ["other"]}}}) != total()
    assert total({"vadose": {"catalog": {"replicas": 2}}}) == total()
    job = one(chart.objects("minimal"), "Job", "vadose-restart")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "post-upgrade"
    role = one(chart.objects("minimal"), "Role", "vadose-restart")
    assert role["rules"] == [
        {
            "apiGroups": ["apps"],
            "resources": ["deployments"],
            "resourceNames": ["hub", "api-vadose-dask-gateway"],
            "verbs": ["get", "patch"],
        }
    ]


def test_restart_patches_the_template_of_each_deployment(tmp_path):
    asked = []

    class Api(http.server.BaseHTTPRequestHandler):
        def do_PATCH(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, self.headers["Authorization"], self.headers["Content-Type"], body))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (tmp_path / "token").write_text("pod-token\n")
    environment = {
        "SERVICE_ACCOUNT": str(tmp_path),
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_API": f"http://127.0.0.1:{server.server_port}",
        "no_proxy": "127.0.0.1",
    }
    command = [sys.executable, JOBS / "restart.py", "hub-ns", "abc", "hub", "api-vadose-dask-gateway"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    server.shutdown()
    assert [path for path, *_ in asked] == [
        f"/apis/apps/v1/namespaces/hub-ns/deployments/{n}" for n in ("hub", "api-vadose-dask-gateway")
    ]
    for _, authorization, kind, body in asked:
        assert (authorization, kind) == ("Bearer pod-token", "application/strategic-merge-patch+json")
        assert body["spec"]["template"]["metadata"]["annotations"] == {"vadose.org/settings-sum": "abc"}
    assert "pod-token" not in done.stdout + done.stderr


# -- pods of the chart itself -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stack", STACKS)
def test_no_pod_of_the_chart_is_root_or_unlimited(rendered, stack):
    for name, template in pods(rendered[stack]):
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] == 1000, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        if "restart" not in name:
            assert spec["automountServiceAccountToken"] is False, name
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert container["resources"]["limits"]["memory"], name
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}, name
            mounted = {m["name"] for m in container["volumeMounts"]}
            assert mounted == {v["name"] for v in spec["volumes"]}, name


@pytest.mark.parametrize("stack", STACKS)
def test_services_select_the_pods_they_mean(rendered, stack):
    labels = [t["metadata"]["labels"] for _, t in pods(rendered[stack])]
    for o in rendered[stack]:
        if o["kind"] == "Service":
            assert o["spec"]["type"] == "ClusterIP"
            chosen = [x for x in labels if o["spec"]["selector"].items() <= x.items()]
            assert len(chosen) == 1, o["metadata"]["name"]


def test_hub_on_aws_is_inside_the_network_until_somebody_opens_it(chart):
    """Without a controller of its own EKS makes load balancers by the built-in one, which knows `internal` and not `scheme`."""
    proxy = chart.values("aws")["jupyterhub"]["proxy"]
    assert proxy["service"]["annotations"] == {f"{ELB}-type": "nlb", f"{ELB}-internal": "true"}
    opened = {
        "service": {"annotations": {f"{ELB}-internal": "false"}},
        "https": {"type": "letsencrypt", "hosts": ["hub.university.example"]},
    }
    assert chart.objects("aws", {"jupyterhub": {"proxy": opened}})


def test_the_hub_of_the_docs_renders(chart):
    """docs/operate/first-deploy.md: hub.yaml as it is printed there, on the overlay for AWS."""
    block = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/operate/first-deploy.md").read_text(), re.S)[0]
    settings = one(chart.objects("aws", yaml.safe_load(block)), "ConfigMap", "vadose-hub")["data"]["settings.json"]
    assert json.loads(settings)["login"]["host"] == "hub.university.edu"


def test_claims_have_a_class_where_the_cluster_has_no_default(rendered, chart):
    """EKS has no default storage class: a claim without one waits for ever, and its pod with it."""
    on = {
        "vadose": {
            "citizen": {"enabled": True},
            "stream": {"enabled": True, "inputs": ["s3://d/l"], "designConfigMap": "design"},
        }
    }
    for stack, expected in (("aws", "vadose-home"), ("minimal", None)):
        objects = chart.objects(stack, on)
        for name in ("vadose-citizen", "vadose-stream"):
            claim = one(objects, "PersistentVolumeClaim", name)
            assert claim["spec"].get("storageClassName") == expected, stack
        assert (expected is not None) == any(o["kind"] == "StorageClass" for o in objects)
    assert chart.values("aws")["jupyterhub"]["hub"]["db"]["pvc"]["storageClassName"] == "vadose-home"


def test_two_catalogs_are_apart_and_one_stops_no_upgrade(rendered, chart):
    two = one(rendered["everything"], "Deployment", "vadose-catalog")["spec"]["template"]
    (spread,) = two["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"].items() <= two["metadata"]["labels"].items()
    budget = one(rendered["everything"], "PodDisruptionBudget", "vadose-catalog")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"]["matchLabels"].items() <= two["metadata"]["labels"].items()
    assert not [o for o in rendered["aws"] if o["kind"] == "PodDisruptionBudget"]


def test_what_everybody_needs_asks_for_its_memory(chart):
    """The pods of the two charts below: without a request the hub is the first to go when its node runs short."""
    values = chart.values("aws")
    hub, gateway = values["jupyterhub"], values["dask-gateway"]
    for pod in (
        hub["hub"],
        hub["proxy"]["chp"],
        hub["proxy"]["traefik"],
        hub["scheduling"]["userScheduler"],
        gateway["gateway"],
        gateway["controller"],
        gateway["traefik"],
    ):
        assert set(pod["resources"]["requests"]) == {"cpu", "memory"}
        assert pod["resources"]["limits"]["memory"]


def test_stream_job_quotes_what_people_write(rendered):
    job = one(rendered["everything"], "CronJob", "vadose-stream")
    script = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"][2]
    assert "--input 's3://d/loggers'" in script
    done = subprocess.run(["bash", "-nc", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_commands_of_the_jobs_exist(rendered):
    """What the jobs call is what this version of vadose offers."""
    from click.testing import CliRunner

    from vadose.cli import root

    for words in (["stream", "init", "--help"], ["stream", "run", "--help"], ["stream", "status", "--help"]):
        assert CliRunner().invoke(root, words).exit_code == 0
    from vadose.hub import citizen, stacapi

    form = one(rendered["everything"], "Deployment", "vadose-citizen")["spec"]["template"]["spec"]["containers"][0]
    assert {a for a in form["args"] if a.startswith("--")} <= {f"--{p.name}" for p in citizen.main.params}
    container = one(rendered["aws"], "Deployment", "vadose-catalog")["spec"]["template"]["spec"]["containers"][0]
    options = {f"--{p.name}" for p in stacapi.main.params}
    assert {a for a in container["args"] if a.startswith("--")} <= options


def test_homes_are_encrypted_grow_and_outlive_the_release(rendered):
    made = one(rendered["aws"], "StorageClass", "vadose-home")
    assert made["parameters"]["encrypted"] == "true"
    assert made["allowVolumeExpansion"] is True
    assert made["reclaimPolicy"] == "Retain"
    # terraform/aws backs up what carries both tags.
    assert set(made["parameters"].values()) >= {"vadose:purpose=homes", "vadose:deployment=vadose"}
    volume = one(rendered["everything"], "PersistentVolume", "vadose-homes-hub")
    said = OWN["everything"]["vadose"]["homes"]
    # Through the access point: on the bare file system a new home would be root's.
    assert volume["spec"]["csi"]["volumeHandle"] == f"{said['fileSystemId']}::{said['accessPointId']}"
    claim = one(rendered["everything"], "PersistentVolumeClaim", "vadose-homes")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


# -- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stack", STACKS)
def test_no_secret_is_rendered(chart, stack):
    """Secrets are named, never written: no Secret object, no value that looks like one, in objects or in notes."""
    given = chart.given(stack)
    files = chart.files(given)
    text = "\n".join(files.values())
    assert not re.search(r"^kind: Secret$", text, re.M)
    for pattern in (
        r"AKIA[0-9A-Z]{16}",
        r"gh[pousr]_[A-Za-z0-9]{20,}",
        r"-----BEGIN [A-Z ]*PRIVATE KEY",
        r"eyJ[A-Za-z0-9_-]{20,}\.",
        r"(?i)\b(password|secret|token|client_secret|api_?key)\b[\"']?\s*[:=]\s*[\"'][^\"'{$]{6,}[\"']",
    ):
        found = re.search(pattern, text)
        assert not found, found.group(0)
    hexes = set(re.findall(r"\b[0-9a-f]{32,}\b", text))
    total = {one(chart.objects(stack), "Job", "vadose-restart")["spec"]["template"]["spec"]["containers"][0]["args"][3]}
    assert hexes <= total, "the only long number is the sum of the settings"


def test_secrets_of_the_login_come_from_a_secret(chart):
    environment = chart.values("aws")["jupyterhub"]["hub"]["extraEnv"]
    for name in ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "VADOSE_LOGIN_PASSWORD", "VADOSE_LOGIN_ADMIN_PASSWORD"):
        assert environment[name]["valueFrom"]["secretKeyRef"]["name"] == "vadose-login"


# -- walls ------------------------------------------------------------------------------------------------------------

GATEWAY = {"app.kubernetes.io/name": "dask-gateway", "app.kubernetes.io/instance": "vadose"}
DASK = {"app.kubernetes.io/name": "dask-gateway", "gateway.dask.org/instance": "vadose-dask-gateway"}


def of_the_hub(component, **more):
    """Labels of the JupyterHub chart's pods, in its two spellings."""
    return {
        "app": "jupyterhub",
        "release": "vadose",
        "component": component,
        "app.kubernetes.io/name": "jupyterhub",
        "app.kubernetes.io/instance": "vadose",
        "app.kubernetes.io/component": component,
        **{f"hub.jupyter.org/network-access-{name}": "true" for name in more.get("may", [])},
    }


PODS = {
    "notebook": of_the_hub("singleuser-server", may=["hub", "proxy-http"]),
    "hub": of_the_hub("hub", may=["proxy-api", "proxy-http", "singleuser"]),
    "proxy": of_the_hub("proxy", may=["hub", "singleuser"]),
    "traefik": {**GATEWAY, "app.kubernetes.io/component": "traefik"},
    "gateway": {**GATEWAY, "app.kubernetes.io/component": "gateway", "hub.jupyter.org/network-access-hub": "true"},
    "controller": {**GATEWAY, "app.kubernetes.io/component": "controller"},
    "scheduler": {**DASK, "app.kubernetes.io/component": "dask-scheduler"},
    "worker": {**DASK, "app.kubernetes.io/component": "dask-worker"},
    "other worker": {**DASK, "gateway.dask.org/instance": "prod-dask-gateway", "app.kubernetes.io/component": "dask-worker"},
    "catalog": {"app.kubernetes.io/name": "vadose-catalog", "app.kubernetes.io/instance": "vadose"},
    "citizen": {"app.kubernetes.io/name": "vadose-citizen", "hub.jupyter.org/network-access-hub": "true"},
    "stream": {"app.kubernetes.io/name": "vadose-stream"},
    "stranger": {"app": "somebody-elses"},
}  # fmt: skip


def selects(selector, labels):
    if any(labels.get(k) != v for k, v in (selector.get("matchLabels") or {}).items()):
        return False
    return all(
        e["operator"] == "In" and labels.get(e["key"]) in e["values"] for e in selector.get("matchExpressions") or []
    )


#: Names that the JupyterHub chart gives to its pods' ports.
NAMED = {"http": {8000, 8081}, "notebook-port": {8888}, "api": {8001}}


def within(block, address):
    return address in ipaddress.ip_network(block["cidr"]) and not any(
        address in ipaddress.ip_network(hole) for hole in block.get("except", [])
    )


def allows(rules, other, port, side):
    """Whether one of a policy's rules lets `other` (labels of a pod, an address, or a namespace's name) through."""
    for rule in rules or []:
        ports = rule.get("ports")
        if ports and not any(port in NAMED.get(p["port"], {p["port"]}) for p in ports):
            continue
        peers = rule.get(side)
        if not peers:
            return True
        for peer in peers:
            if "podSelector" in peer and "namespaceSelector" not in peer:
                if isinstance(other, dict) and selects(peer["podSelector"], other):
                    return True
            elif "namespaceSelector" in peer:
                if isinstance(other, str) and selects(
                    peer["namespaceSelector"], {"kubernetes.io/metadata.name": other}
                ):
                    return True
            else:
                # A pod has a private address too.
                address = "10.0.0.9" if isinstance(other, dict) else other
                if re.match(r"[\d.]+$", address) and within(peer["ipBlock"], ipaddress.ip_address(address)):
                    return True
    return False


def open_between(policies, source, target, port):
    """Kubernetes' rule: a side that no policy selects is open; one that is selected needs a rule that lets through."""
    ways = (("Egress", "egress", "to", source, target), ("Ingress", "ingress", "from", target, source))
    for kind, field, side, here, there in ways:
        if not isinstance(here, dict):
            continue
        mine = [
            p["spec"] for p in policies if kind in p["spec"]["policyTypes"] and selects(p["spec"]["podSelector"], here)
        ]
        if mine and not any(allows(p.get(field), there, port, side) for p in mine):
            return False
    return True


#: (from, to, port, open?). Addresses: the metadata service, the pod-identity agent, a private one, a public one.
FLOWS = [
    ("worker", "scheduler", 8786, True),
    ("scheduler", "worker", 40123, True),
    ("worker", "worker", 40123, True),
    ("scheduler", "gateway", 8000, True),
    ("gateway", "scheduler", 8788, True),
    ("traefik", "scheduler", 8786, True),
    ("traefik", "scheduler", 8787, True),
    ("traefik", "gateway", 8000, True),
    ("proxy", "traefik", 8000, True),
    ("notebook", "traefik", 8000, True),
    ("notebook", "catalog", 8080, True),
    ("worker", "catalog", 8080, True),
    ("proxy", "catalog", 8080, True),
    ("worker", "kube-system", 53, True),
    ("worker", "52.92.16.1", 443, True),
    ("worker", "169.254.170.23", 80, True),
    ("stream", "52.92.16.1", 443, True),
    ("worker", "169.254.169.254", 80, False),
    ("scheduler", "10.0.3.4", 443, False),
    ("worker", "hub", 8081, False),
    ("worker", "notebook", 8888, False),
    ("worker", "other worker", 40123, False),
    ("worker", "proxy", 8001, False),
    ("notebook", "scheduler", 8786, False),
    ("notebook", "worker", 40123, False),
    ("notebook", "gateway", 8000, False),
    ("hub", "worker", 40123, False),
    ("stranger", "traefik", 8000, False),
    ("stranger", "gateway", 8000, False),
    ("stranger", "catalog", 8080, False),
    ("stranger", "scheduler", 8786, False),
    ("stream", "hub", 8081, False),
    ("stream", "169.254.169.254", 80, False),
    ("catalog", "notebook", 8888, False),
]


@pytest.mark.parametrize(("source", "target", "port", "expected"), FLOWS)
def test_walls_let_dask_work_and_nothing_else(rendered, source, target, port, expected):
    policies = [o for o in rendered["aws"] if o["kind"] == "NetworkPolicy"]
    assert open_between(policies, PODS[source], PODS.get(target, target), port) is expected


def test_prometheus_reaches_the_hub_only_where_it_is_asked_for(rendered):
    names = {o["metadata"]["name"] for o in rendered["aws"] if o["kind"] == "NetworkPolicy"}
    assert "vadose-monitoring" not in names
    made = one(rendered["everything"], "NetworkPolicy", "vadose-monitoring")
    assert allows(made["spec"]["ingress"], "monitoring", 8081, "from")
    assert not allows(made["spec"]["ingress"], "default", 8081, "from")


# -- numbers ----------------------------------------------------------------------------------------------------------

#: What the cluster's own exporters call things: kube-state-metrics, cAdvisor, kubelet, Prometheus itself.
CLUSTER_METRICS = {
    "up",
    "container_cpu_usage_seconds_total",
    "container_memory_working_set_bytes",
    "kube_cronjob_status_last_successful_time",
    "kube_node_labels",
    "kube_pod_container_resource_requests",
    "kube_pod_container_status_last_terminated_reason",
    "kube_pod_created",
    "kube_pod_labels",
    "kube_pod_status_phase",
    "kubelet_volume_stats_available_bytes",
    "kubelet_volume_stats_capacity_bytes",
    "kubelet_volume_stats_used_bytes",
}


def hub_metrics():
    """Names that the hub itself exports."""
    import jupyterhub.metrics  # noqa: F401
    import prometheus_client

    out = set()
    for family in prometheus_client.REGISTRY.collect():
        if family.name.startswith("jupyterhub"):
            ends = ("_bucket", "_count", "_sum") if family.type == "histogram" else ("",)
            out |= {family.name + end for end in ends}
    return out


def metrics_of(expression):
    """Metric names of a PromQL expression, as its own parser reads it."""
    parser = pytest.importorskip("promql_parser", reason="promql-parser is in the test extra")
    parser.parse(expression)
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\b(by|on|group_left|without)\s*\([^)]*\)', "", expression)
    return {w for w in re.findall(r"[a-z_]{2,}", bare) if w in CLUSTER_METRICS or "_" in w} - {
        "histogram_quantile", "sum_over_time", "sort_desc", "group_left",
    }  # fmt: skip


def test_dashboards_are_whole_and_ask_for_numbers_that_exist(rendered):
    known = CLUSTER_METRICS | hub_metrics()
    boards = one(rendered["everything"], "ConfigMap", "vadose-dashboards")
    assert boards["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert set(boards["data"]) == {"vadose-users.json", "vadose-clusters.json", "vadose-cost.json"}
    uids = set()
    for name, text in boards["data"].items():
        board = json.loads(text)
        uids.add(board["uid"])
        assert len({p["id"] for p in board["panels"]}) == len(board["panels"])
        cells: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            at = panel["gridPos"]
            own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not own & cells, f"{name}: {panel['title']} lies on another panel"
            assert max(x for x, _ in own) < 24, panel["title"]
            cells |= own
            assert panel["fieldConfig"]["defaults"]["unit"]
            for target in panel["targets"]:
                expression = target["expr"].replace("$namespace", "hub")
                found = metrics_of(expression)
                assert found, expression
                assert found <= known, found - known
        assert {v["name"] for v in board["templating"]["list"]} == {"source", "namespace"}
    assert len(uids) == 3
    assert "0.008" in boards["data"]["vadose-cost.json"]


def test_cost_is_shared_by_the_label_that_both_kinds_of_pod_carry(rendered):
    board = one(rendered["everything"], "ConfigMap", "vadose-dashboards")["data"]["vadose-cost.json"]
    assert board.count("label_hub_jupyter_org_username") >= 4


def test_alerts_are_sound_and_each_has_a_line_for_the_person_on_duty(rendered):
    known = CLUSTER_METRICS | hub_metrics()
    rules = one(rendered["everything"], "PrometheusRule", "vadose")["spec"]["groups"][0]["rules"]
    said = (ROOT / "docs" / "operate" / "incidents.md").read_text()
    assert len({r["alert"] for r in rules}) == len(rules) >= 8
    for rule in rules:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert "NAMESPACE" not in rule["expr"]
        assert metrics_of(rule["expr"]) <= known, rule["alert"]
        assert re.fullmatch(r"\d+[mh]", rule["for"])
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert f"## {rule['alert']}\n" in said, f"{rule['alert']} is not in docs/operate/incidents.md"
        assert rule["annotations"]["runbook"].endswith(f"#{rule['alert'].lower()}")


def test_the_hub_shows_its_numbers_to_prometheus_only(rendered, chart):
    monitor = one(rendered["everything"], "ServiceMonitor", "vadose-hub")["spec"]
    credentials = monitor["endpoints"][0]["authorization"]["credentials"]
    assert credentials == {"name": "hub", "key": "hub.services.prometheus.apiToken"}
    hub = chart.values("everything")["jupyterhub"]["hub"]
    assert hub["loadRoles"]["prometheus"] == {"scopes": ["read:metrics"], "services": ["prometheus"]}


# -- backups ----------------------------------------------------------------------------------------------------------


def test_backup_of_a_database_that_is_being_written_is_whole(tmp_path):
    path = tmp_path / "jupyterhub.sqlite"
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE users (name TEXT)")
    database.executemany("INSERT INTO users VALUES (?)", [(f"u{k}",) for k in range(70)])
    database.commit()
    database.execute("INSERT INTO users VALUES ('half done')")  # not committed
    target = tmp_path / "backups"
    command = [sys.executable, str(JOBS / "backup.py"), str(path), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("70 users")
    (made,) = target.iterdir()
    (tmp_path / "back.sqlite").write_bytes(gzip.decompress(made.read_bytes()))
    assert sqlite3.connect(tmp_path / "back.sqlite").execute("SELECT count(*) FROM users").fetchone() == (70,)
    assert path.exists()
    failed = subprocess.run([*command[:2], "/nowhere.sqlite", str(target)], capture_output=True, text=True, check=False)
    assert failed.returncode
    assert "is not there" in failed.stderr


def test_the_pod_that_puts_a_copy_back_is_valid_and_takes_the_hubs_volume(chart, rendered):
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is in the test extra")
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/operate/restore.md").read_text(), re.S)
    pod = yaml.safe_load(text)
    validate.validate(pod, KUBERNETES, strict=True)
    job = one(rendered["aws"], "CronJob", "vadose-backup")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["spec"]["volumes"][0] == next(v for v in job["volumes"] if v["name"] == "database")
    assert pod["spec"]["securityContext"] == job["securityContext"], "who writes the database is who reads it"
    image = chart.values("aws")["jupyterhub"]["singleuser"]["image"]
    assert pod["spec"]["containers"][0]["image"] == f"{image['name']}:{image['tag']}"


def test_backup_goes_where_its_role_may_write(rendered):
    container = one(rendered["aws"], "CronJob", "vadose-backup")["spec"]["jobTemplate"]["spec"]["template"]["spec"][
        "containers"
    ][0]
    assert container["args"][-1] == "s3://vadose-data-1/hub-backups/hub"
    policies = (ROOT / "terraform/aws/modules/policies/main.tf").read_text()
    assert "hub-backups/*" in policies
    assert "hub-backup " in (ROOT / "terraform/aws/identity.tf").read_text()


def test_merging_is_what_helm_does(chart):
    """The test's own reading of layers agrees with Helm's, so that tests of values test what is rendered."""
    assert merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}) == {"a": {"b": 3, "c": 2}}
    assert merged({"a": {"b": {"x": 1}}}, {"a": {"b": None}}) == {"a": {}}
    settings = json.loads(one(Chart().objects("minimal"), "ConfigMap", "vadose-gateway")["data"]["settings.json"])
    assert settings["worker_node_selector"] == {}
    assert settings["caps"]["workers"] == chart.values("minimal")["vadose"]["dask"]["maxWorkersPerCluster"]
