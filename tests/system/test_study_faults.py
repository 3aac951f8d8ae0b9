"""What dies during a study: a Dask worker, its scheduler, the gateway, the proxy, the object store. The run ends right, or says why and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
import xarray as xr
from real_hub import QUIET, line_of, wait_for

from vadose.hub.services import health

pytestmark = [pytest.mark.hub, pytest.mark.timeout(1200)]

STUDY = """\
title: A summer of the synthetic Earth
period: [2018-06-01, 2018-07-31]
bbox: [-104, 34, -94, 46]
resolution: 1.0
sources:
  lband: {collection: demo-smap-l3, family: remote-sensing}
  cci: {collection: demo-cci, family: remote-sensing}
  landmodel: {collection: demo-gldas, family: model}
bootstrap: 5
"""
#: What is killed -> words of its command line, and the service that must come back (the supervisor's or the gateway's business).
PARTS = {
    "worker": (("dask", "worker"), None),
    "scheduler": (("dask", "scheduler"), None),
    "gateway": (("-m dask_gateway_server",), "gateway"),  # not its proxy, whose path has the name too
    "proxy": (("vadose.hub.proxy",), "hub"),
    "store": (("weed",), "store"),
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "season.yaml"
    path.write_text(STUDY)
    return path


def command(study, output, *options):
    return [sys.executable, "-W", "ignore", "-m", "vadose", "run", str(study), "-o", str(output), *options]


ON_CLUSTER = ("--cluster", "2")


@pytest.fixture(scope="module")
def environment(hub):
    return {**os.environ, **hub.environment("ana"), **QUIET}


def results(folder):
    return xr.open_zarr(folder / "merged.zarr", consolidated=False).load()


@pytest.fixture(scope="module")
def undisturbed(environment, study, tmp_path_factory):
    """The study without a cluster, in one process: what runs on a cluster, and what was killed there, must give the same."""
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    done = subprocess.run(command(study, output), env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    out = results(output)
    assert float(out.soil_moisture.notnull().mean()) > 0.5
    return out


def stop_clusters(environment):
    from dask_gateway import Gateway, JupyterHubAuth

    auth = JupyterHubAuth(environment["JUPYTERHUB_API_TOKEN"])
    with Gateway(
        environment["DASK_GATEWAY__ADDRESS"], environment["DASK_GATEWAY__PROXY_ADDRESS"], auth=auth
    ) as gateway:
        for report in gateway.list_clusters():
            gateway.stop_cluster(report.name)


def victims(hub, words):
    return [p for p in hub.processes() if all(w in line_of(p) for w in words)]


@pytest.fixture
def no_cluster_stays(hub, environment):
    """Whatever a test ends with: a cluster that stays is the next one's victim."""
    yield
    wait_for(lambda: health(hub.record)["gateway"], timeout=120, what="the gateway")
    stop_clusters(environment)
    wait_for(lambda: not victims(hub, ("dask", "worker")), timeout=120, what="the end of the workers")


@pytest.mark.usefixtures("no_cluster_stays")
@pytest.mark.parametrize("part", PARTS)
def test_killed_during_a_study_the_run_ends_right_or_says_so_and_a_second_run_completes(
    hub, environment, study, undisturbed, tmp_path, part
):
    words, service = PARTS[part]
    output = tmp_path / "out"
    process = subprocess.Popen(
        command(study, output, *ON_CLUSTER), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        # Mid-run: the first source is done, the others are still to be read by the workers from the store.
        wait_for(lambda: list((output / "steps").glob("prepare-*.nc")) or process.poll() is not None, timeout=400)
        assert process.poll() is None, process.communicate()[1][-2000:]
        killed = victims(hub, words)
        assert killed, words
        killed[0].send_signal(signal.SIGKILL)
        _, errors = process.communicate(timeout=400)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    if process.returncode != 0:
        assert "Traceback" not in errors
        assert "run the same command again to continue" in errors
        assert not (output / "provenance.json").exists()
    if service:
        wait_for(lambda: health(hub.record)[service], timeout=90, what=service)
    if process.returncode != 0:
        again = subprocess.run(
            command(study, output, *ON_CLUSTER), env=environment, capture_output=True, text=True, timeout=300
        )
        assert again.returncode == 0, again.stderr[-2000:]
        assert "kept" in again.stderr
    xr.testing.assert_allclose(undisturbed, results(output))
