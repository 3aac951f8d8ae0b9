"""Shared fixtures: real samples where they are, a guard that fails on any connection beyond loopback, array factories."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

ROOT = Path(__file__).parents[1]
#: Real samples lie beside the checkout, or where VADOSE_SHARED_DATA says.
SHARED = Path(os.environ.get("VADOSE_SHARED_DATA", ROOT.parent / "shared" / "data"))


# A shell without job control starts what goes to its background deaf to Ctrl-C, and children inherit that: tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real samples; a test that needs it skips with a reason where it is not there."""
    if not SHARED.is_dir():
        pytest.skip("real samples not found beside the checkout; set VADOSE_SHARED_DATA to their folder")
    return SHARED


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """In CI (VADOSE_CI=1) a skip is a failure, unless its reason starts with "cannot run here:"; so nothing goes quietly untested."""
    outcome = yield
    report = outcome.get_result()
    if not (os.environ.get("VADOSE_CI") and report.skipped) or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if "cannot run here:" not in reason:
        report.outcome = "failed"
        report.longrepr = f"skipped where it can run: {reason}"


@pytest.fixture(autouse=True)
def _loopback_only(request, monkeypatch):
    """Fail on any connection beyond loopback, so that nothing in the suite depends on the Internet."""
    if request.node.get_closest_marker("network"):
        return
    real = socket.socket.connect

    def connect(self, address, *args):
        host = address[0] if isinstance(address, tuple) else ""
        if self.family in (socket.AF_INET, socket.AF_INET6) and not str(host).startswith(
            ("127.", "::1", "localhost", "0.0.0.0")
        ):
            raise AssertionError(
                f"a test reached for {host}: tests are offline, use a generated file or a server on loopback"
            )
        return real(self, address, *args)

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260911)


@pytest.fixture
def daily():
    """Factory: an attribute-complete daily soil-moisture series or cube, `daily(values)` or `daily(n=365, shape=(2, 3))`."""

    def make(values=None, *, n=365, shape=(), start="2017-01-01", name="soil_moisture", units="m3 m-3", seed=0):
        if values is None:
            values = np.random.default_rng(seed).uniform(0.05, 0.45, (n, *shape))
        values = np.asarray(values, dtype=float)
        dims = ("time", "lat", "lon")[: values.ndim]
        coords = {"time": pd.date_range(start, periods=values.shape[0], freq="D")}
        if values.ndim > 1:
            coords["lat"] = np.linspace(40, 50, values.shape[1])
        if values.ndim > 2:
            coords["lon"] = np.linspace(-120, -100, values.shape[2])
        return xr.DataArray(
            values,
            dims=dims,
            coords=coords,
            name=name,
            attrs={"units": units, "standard_name": "volume_fraction_of_condensed_water_in_soil"},
        )

    return make


@pytest.fixture(autouse=True)
def stores_are_asked_anew():
    """s3fs keeps file systems by their arguments; where a test's store has its address from the environment, the kept one is another test's."""
    if "s3fs" in sys.modules:
        sys.modules["s3fs"].S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="session")
def object_store():
    """Factory: `with object_store(folder) as (service, state):` SeaweedFS on free ports with the hub's own command and keys, ended after it."""
    import subprocess
    import time

    import psutil

    from vadose.hub import services
    from vadose.hub.state import State, choose_ports
    from vadose.hub.supervisor import listens

    def end(process):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def started(here):
        """One that answers on its own port, or None: test workers that choose free ports at the same moment choose the same."""
        service = services.object_store(here, choose_ports())
        with open(here.logs / "store.log", "wb") as log:
            process = subprocess.Popen(service.command, stdout=log, stderr=log, cwd=here.root, start_new_session=True)
        try:
            until = time.monotonic() + 2 * service.patience
            while not services.answers(service.health):
                if process.poll() is not None:
                    return None
                assert time.monotonic() < until, "the object store did not answer"
                time.sleep(0.2)
            this = psutil.Process(process.pid)
            if listens(next(iter(service.doors)), [this, *this.children(recursive=True)]):
                return service, process
        except BaseException:
            end(process)
            raise
        end(process)
        return None

    @contextlib.contextmanager
    def running(folder: Path):
        here = State(folder)
        here.prepare()
        found = started(here) or started(here) or started(here)
        assert found, (here.logs / "store.log").read_text()[-2000:]
        service, process = found
        try:
            yield service, here
        finally:
            end(process)

    return running


@pytest.fixture(scope="session")
def serving():
    """Factory: `with serving(app) as port:` an ASGI application on loopback, in a thread, on a socket that is open before anybody asks."""
    import threading

    import uvicorn

    @contextlib.contextmanager
    def running(app):
        with socket.socket() as door:
            door.bind(("127.0.0.1", 0))
            door.listen(128)
            server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
            thread.start()
            try:
                yield door.getsockname()[1]
            finally:
                server.should_exit = True
                thread.join(30)

    return running


@pytest.fixture
def chromium():
    """Debian's Chromium, headless, closed at the end. It asks for nothing by itself: this machine may have no network."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    options = [
        "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    ]  # fmt: skip
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=options)
        try:
            yield browser
        finally:
            browser.close()
