"""The whole platform on this machine, for real: login, clusters, isolation, faults, and nothing left behind."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import requests
from real_hub import line_of, lives, start, stop, vadose, wait_for, with_small_world

from vadose.hub.services import health
from vadose.hub.state import State
from vadose.hub.supervisor import marked

pytestmark = [pytest.mark.hub, pytest.mark.timeout(900)]

START_CLUSTER = "from vadose.access import cluster\nc = cluster.connect(1)\nprint('NAME', c.name, flush=True)\n"


def test_everything_answers_and_listens_on_loopback_only(hub):
    status = json.loads(vadose("hub", "status", "--json", "--state-dir", str(hub.state)).stdout)
    assert status["health"] == dict.fromkeys(("hub", "gateway", "catalog", "citizen", "store"), True)
    ours = {p.pid for p in hub.processes()}
    open_to = {c.laddr.ip for c in psutil.net_connections("inet") if c.pid in ours and c.status == psutil.CONN_LISTEN}
    assert open_to
    assert open_to <= {"127.0.0.1", "::1"}, open_to


def test_secrets_are_files_of_the_owner_alone(hub):
    for name in (
        "passwords.json",
        "s3-keys.json",
        "hub-settings.json",
        "s3-identities.json",
        "gateway-settings.json",
        "hub.json",
        "stac-token.secret",
    ):
        assert (hub.state / name).stat().st_mode & 0o077 == 0, name
    secrets = [
        *json.loads((hub.state / "passwords.json").read_text())["users"].values(),
        json.loads((hub.state / "s3-keys.json").read_text())["owner"]["secret"],
    ]
    for log in hub.state.glob("logs/*"):
        text = log.read_text(errors="replace")
        assert not any(s in text for s in secrets), log.name


def test_login_page_tells_that_the_account_is_shared(hub):
    page = requests.get(f"{hub.url}/hub/login", timeout=60).text
    assert "shares one Unix account" in page


def test_wrong_password_and_stranger_are_refused(hub):
    for user, password in (("ana", "wrong"), ("mallory", hub.password("ana"))):
        session = requests.Session()
        session.get(f"{hub.url}/hub/login", timeout=60)
        answer = session.post(
            f"{hub.url}/hub/login",
            data={"username": user, "password": password, "_xsrf": session.cookies.get("_xsrf", path="/hub/")},
            timeout=60,
        )
        assert answer.status_code == 403


def test_notebook_code_computes_on_gateway_workers_from_the_store(hub):
    code = (
        "import vadose\nfrom vadose.access import cluster\n"
        "with cluster.connect(2) as c:\n"
        "    a = vadose.open('demo-smap-l3', time='2018-06', bbox=(-104, 34, -84, 56)).soil_moisture\n"
        "    print('KIND', c.kind, len(c.client.scheduler_info()['workers']), float(a.mean().compute()))\n"
        "print('LEFT', cluster.clusters())\n"
    )
    out = hub.run_as("ana", code).stdout
    kind, workers, mean = out.split("KIND ")[1].split()[:3]
    assert (kind, workers) == ("gateway", "2")
    assert 0.05 < float(mean) < 0.4
    assert "LEFT []" in out


def test_user_without_the_scope_cannot_start_clusters(hub):
    done = hub.run_as("guest", START_CLUSTER, check=False)
    assert done.returncode != 0
    assert "NAME" not in done.stdout
    assert (
        "403" in done.stderr
        or "401" in done.stderr
        or "refus" in done.stderr.lower()
        or "not authorized" in done.stderr.lower()
        or "Forbidden" in done.stderr
    )


def test_clusters_of_others_cannot_be_seen_used_or_stopped(hub):
    owner = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", START_CLUSTER + "import sys\nsys.stdin.read()\nc.close()\n"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**__import__("os").environ, **hub.environment("ana"), "NO_PROXY": "127.0.0.1"},
    )  # fmt: skip
    try:
        said = owner.stdout.readline()
        assert said.startswith("NAME "), f"{said!r}: the owner's cluster did not start"
        name = said.split()[1]
        code = (
            "import gc\nfrom dask_gateway import Gateway\ng = Gateway()\n"
            "print('SEEN', [c.name for c in g.list_clusters()])\n"
            f"for what in ('connect', 'stop_cluster', 'get_cluster'):\n    try:\n        getattr(g, what)({name!r})\n        print(what, 'DONE')\n    except Exception as e:\n        print(what, 'REFUSED', type(e).__name__)\n"
            # What a refused `connect` leaves is collected here: in the client's own thread its end would wait for itself for ever.
            "    gc.collect()\n"
        )
        out = hub.run_as("ben", code).stdout
        assert "SEEN []" in out
        assert "connect REFUSED" in out
        assert "get_cluster REFUSED" in out
        still = hub.run_as("ana", "from vadose.access import cluster\nprint(cluster.clusters())").stdout
        assert name in still
    finally:
        try:
            owner.communicate("", timeout=120)
        finally:
            owner.kill()
            owner.wait()


def test_store_keys_of_users_cannot_write_the_demo(hub):
    code = (
        "import s3fs, os\nfs = s3fs.S3FileSystem(client_kwargs={'endpoint_url': os.environ['AWS_ENDPOINT_URL']})\n"
        "print('READ', len(fs.ls('demo')) > 3)\n"
        "try:\n    fs.pipe_file('demo/evil', b'x'); print('WROTE')\nexcept Exception as e:\n    print('REFUSED', type(e).__name__)\n"
        "fs.pipe_file('scratch/mine', b'hello'); print('SCRATCH', fs.cat_file('scratch/mine'))\n"
    )
    out = hub.run_as("ben", code).stdout
    assert "READ True" in out
    assert "REFUSED" in out
    assert "WROTE" not in out
    assert "SCRATCH b'hello'" in out


def test_killed_services_come_back(hub):
    def running(words):
        return [p for p in hub.processes() if words in line_of(p)]

    [gateway] = running("-m dask_gateway_server")
    for words, name in (
        ("-m jupyterhub -f", "hub"),
        ("vadose.hub.proxy", "hub"),
        ("vadose.hub.stacapi", "catalog"),
        ("vadose.hub.citizen", "citizen"),
        ("-m dask_gateway_server", "gateway"),  # not its proxy, whose path has the name too
        ("weed", "store"),
    ):
        before = running(words)
        before[0].kill()
        wait_for(
            lambda words=words, name=name, before=before: (
                set(running(words)) - set(before) and health(hub.record)[name]
            ),
            timeout=180,
            what=f"another {name} after its process was killed",
        )
        if words.startswith("-m jupyterhub"):
            # The killed hub's gateway would go on beside the new one's, with its port and its clusters.
            wait_for(
                lambda: (
                    not lives(gateway) and len(running("-m dask_gateway_server")) == 1 and health(hub.record)["gateway"]
                ),
                timeout=180,
                what="the new hub's own gateway",
            )
    test_notebook_code_computes_on_gateway_workers_from_the_store(hub)


def test_second_up_says_that_it_runs(hub):
    done = vadose("hub", "up", "--state-dir", str(hub.state))
    assert "runs already" in done.stdout
    assert hub.url in done.stdout


def test_port_in_use_is_one_clear_sentence(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = vadose("hub", "up", "--port", str(port), "--state-dir", str(tmp_path / "s"), check=False)
    assert done.returncode == 2
    assert f"port {port} is in use" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


def test_folder_that_cannot_be_written_is_one_clear_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    done = vadose("hub", "up", "--state-dir", str(tmp_path / "file" / "state"), check=False)
    assert done.returncode == 2
    assert "choose another with --state-dir" in done.stderr


@pytest.fixture
def starting(tmp_path):
    """A hub that has begun to start in the background: gives the process that waits for it, its folder and its lock's words."""
    state = State(tmp_path / "state")
    command = [sys.executable, "-m", "vadose", "hub", "up", "--background", "--no-s3", "--state-dir", str(state.root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: state.holder() or process.poll() is not None, what="the start")
    holder = state.holder()
    # It writes the demo world by now, for a minute: nobody waits for that here.
    wait_for(lambda: marked(holder["hub_id"]), what="the first process of the hub")
    yield process, state, holder
    vadose("hub", "stop", "--state-dir", str(state.root))
    process.kill()
    process.communicate()


def test_a_hub_that_is_starting_is_seen_and_stopped_and_no_second_one_starts_beside_it(starting):
    process, state, holder = starting
    place = ("--state-dir", str(state.root))
    supervisor = psutil.Process(holder["pid"])
    for options in ((), ("--background",)):
        again = vadose("hub", "up", "--no-s3", *options, *place, check=False)
        assert again.returncode == 2
        assert f"a hub is starting in {state.root} (process {holder['pid']} of " in again.stderr
    seen = vadose("hub", "status", *place, check=False)
    assert seen.returncode == 3
    assert "a hub is starting" in seen.stdout
    assert state.holder() == holder, "the first one goes on"
    assert vadose("hub", "stop", *place).stdout == "stopped\n"
    assert not lives(supervisor)
    assert not marked(holder["hub_id"])
    assert process.wait(30) == 2
    assert "no hub runs" in vadose("hub", "status", *place, check=False).stdout


def test_ctrl_c_on_background_ends_what_it_started(starting):
    process, state, holder = starting
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopping" in out
    assert "Traceback" not in errors
    assert state.holder() is None
    assert not marked(holder["hub_id"])


def test_what_a_supervisor_killed_in_its_start_left_is_ended(starting):
    """It has no settings yet by which the next one would know it: the lock's words are all there is."""
    _, state, holder = starting
    psutil.Process(holder["pid"]).kill()
    wait_for(lambda: state.holder() is None, what="the end of the lock with its process")
    assert marked(holder["hub_id"]), "who writes the world goes on"
    assert "no hub runs" in vadose("hub", "stop", "--state-dir", str(state.root)).stdout
    assert not marked(holder["hub_id"])


def test_life_of_a_hub_without_object_store(tmp_path):
    """Start, kill the supervisor, start again in seconds with users' work kept, stop: no process and no port left."""
    state = with_small_world(tmp_path / "state")
    before = time.monotonic()
    first = start(state, "--no-s3")
    from_nothing = time.monotonic() - before
    work = state / "home" / "vadose" / "thesis.ipynb"
    work.parent.mkdir(parents=True, exist_ok=True)
    work.write_text("mine")
    password = first.password("vadose")
    supervisor = psutil.Process(first.record["pid"])
    supervisor.kill()
    wait_for(lambda: not lives(supervisor), what="the end of the supervisor")

    before = time.monotonic()
    second = start(state, "--no-s3")
    # Seconds; where this machine has other work, no more of them than the first start took beside it.
    assert time.monotonic() - before < max(40, 2 * from_nothing)
    assert not first.processes(), "what the killed supervisor left must be gone"
    assert work.read_text() == "mine"
    assert second.password("vadose") == password
    assert len(second.processes()) >= 3
    theirs = {p.pid for p in second.processes()}
    stop(second)
    wait_for(lambda: not second.processes(), timeout=20, what="the end of every process")
    ports = set(second.record["ports"].values())
    listening = [c for c in psutil.net_connections("inet") if c.status == psutil.CONN_LISTEN and c.laddr.port in ports]
    # Another program that came after it may have one of its ports by now.
    assert not [c for c in listening if c.pid is None or c.pid in theirs]
    assert vadose("hub", "status", "--state-dir", str(state), check=False).returncode == 3


def test_logs_are_shown(hub):
    assert "JupyterHub" in vadose("hub", "logs", "hub", "-n", "400", "--state-dir", str(hub.state)).stdout
    done = vadose("hub", "logs", "nothing", "--state-dir", str(hub.state), check=False)
    assert "there are:" in done.stderr
    assert Path(hub.state / "logs" / "hub.log").exists()
    # Each service that `status` may call dead has a log under that name.
    status = json.loads(vadose("hub", "status", "--json", "--state-dir", str(hub.state)).stdout)
    for name in status["health"]:
        assert vadose("hub", "logs", name, "-n", "1", "--state-dir", str(hub.state)).stdout.strip(), name
