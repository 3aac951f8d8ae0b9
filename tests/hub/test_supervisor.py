"""How the supervisor tells that a service is up, and what a service that died may leave."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading

import psutil
import pytest

from vadose.errors import PlatformError
from vadose.hub.services import Service
from vadose.hub.state import PORT_NAMES, State, choose_ports
from vadose.hub.supervisor import ID_VARIABLE, PortTaken, Supervisor, end_group, end_listeners, marked

#: Takes a port that the system names, writes it down, and answers.
SERVER = """
import http.server, sys
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
open(sys.argv[1] + ".part", "w").write(str(server.server_port))
__import__("os").replace(sys.argv[1] + ".part", sys.argv[1])
server.serve_forever()
"""
IDLE = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def supervisor(tmp_path):
    here = State(tmp_path / "state")
    here.prepare()
    out = Supervisor(here, s3=False, tell=lambda _: None)
    yield out
    for child in out.children.values():
        end_group(child.process.pid, grace=0.0, process=child.process)


def started(supervisor, service):
    child = supervisor.children[service.name] = supervisor._child(service)
    return child


def port_in(path, process):
    while not path.exists():
        assert process.poll() is None
    return int(path.read_text())


def test_another_programs_answer_is_not_taken_for_the_service(supervisor, tmp_path):
    """Two hubs that start at the same moment choose the same ports."""
    stranger = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    stranger.RequestHandlerClass.do_GET = lambda self: (self.send_response(200), self.end_headers())
    threading.Thread(target=stranger.serve_forever, daemon=True).start()
    try:
        port = stranger.server_port
        child = started(supervisor, Service("stac", IDLE, {port: f"http://127.0.0.1:{port}/"}))
        with pytest.raises(PortTaken, match=f"stac: port {port} was taken by another program"):
            supervisor._await(child)
    finally:
        stranger.shutdown()
        stranger.server_close()


def test_a_service_that_answers_on_its_own_port_is_up(supervisor, tmp_path):
    child = started(supervisor, Service("own", [sys.executable, "-c", SERVER, str(tmp_path / "port")], {}))
    port = port_in(tmp_path / "port", child.process)
    child.service.doors[port] = f"http://127.0.0.1:{port}/"
    supervisor._await(child)


@pytest.mark.parametrize(
    ("last_words", "kind"),
    [("OSError: [Errno 98] Address already in use", PortTaken), ("no such option", PlatformError)],
)
def test_a_service_that_ends_is_told_with_its_words_and_other_ports_are_tried_where_they_say_so(
    supervisor, last_words, kind
):
    log = supervisor.state.logs / "short.log"
    log.write_text("address already in use: said by the start before\n")
    code = f"print({last_words!r}); print('Bye'); raise SystemExit(3)"
    child = started(supervisor, Service("short", [sys.executable, "-c", code], {9: "http://127.0.0.1:9/"}))
    with pytest.raises(PlatformError) as caught:
        supervisor._await(child)
    assert type(caught.value) is kind
    assert str(log) in str(caught.value)


def test_who_holds_a_service_s_port_is_ended_and_nobody_else(supervisor, tmp_path):
    """The gateway of a JupyterHub that was killed outlives it, with the port that the next one's needs."""
    environment = {**os.environ, ID_VARIABLE: supervisor.hub_id}
    made = [
        subprocess.Popen([sys.executable, "-c", SERVER, str(tmp_path / f"port{k}")], env=env, stderr=subprocess.DEVNULL)
        for k, env in enumerate((environment, environment, os.environ))
    ]
    try:
        ports = [port_in(tmp_path / f"port{k}", process) for k, process in enumerate(made)]
        assert len(marked(supervisor.hub_id)) == 2
        end_listeners([ports[0], ports[2]], supervisor.hub_id)
        assert [p.poll() is None for p in made] == [False, True, True], "another service and a stranger go on"
    finally:
        for process in made:
            process.kill()
            process.wait()


def test_services_have_ports_below_those_that_the_system_and_users_servers_take():
    for ports in (choose_ports(), choose_ports(45_678)):
        assert set(ports) == set(PORT_NAMES)
        assert all(8_000 <= port < 20_000 for name, port in ports.items() if name != "public")
        assert all(port + 10_000 < 32_768 for name, port in ports.items() if name.startswith("s3"))


def test_words_of_the_hub_before_are_not_taken_for_those_of_who_has_the_folder_now(tmp_path):
    """Between taking the lock and saying so there is an instant; a busy machine makes it long."""
    here = State(tmp_path)
    hold = here.take("first")
    mine = json.loads(here.lock.read_text())
    gone = subprocess.Popen([sys.executable, "-c", ""])
    before = {
        **mine,
        "pid": gone.pid,
        "started": psutil.Process(gone.pid).create_time(),
        "hub_id": "before",
        "phase": "stopping",
    }
    gone.wait()
    here.lock.write_text(json.dumps(before))
    timer = threading.Timer(0.3, hold.say, ["running"])
    timer.start()
    try:
        assert here.holder() == {**mine, "phase": "running"}
    finally:
        timer.join()
        hold.let_go()
