"""The container images, built with podman and runc on a Debian made from packages, and run: their own tests, Lab, the whole hub.

Images are named by their content and kept under $VADOSE_CACHE, so that a second run builds nothing. The notebook image is always
built; VADOSE_IMAGES names the others that are built and tested too (`VADOSE_IMAGES="benchmark ml" make test ARGS="-m deploy"`).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import requests
import yaml

from vadose.hub.workshop import IMAGE

ROOT = Path(__file__).parents[2]
MORE = os.environ.get("VADOSE_IMAGES", "").split()
#: Bytes, unpacked, of the notebook image. An image that grows unwatched is a slow start on every new node. What is promised is 1.8 GB.
BUDGET = 1.72e9
#: Bytes that layers may carry beyond the files one sees: archive headers, and what a later layer hides.
HIDDEN = 0.1e9

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(
        not all(shutil.which(tool) for tool in ("podman", "runc", "mmdebstrap")),
        reason="podman, runc and mmdebstrap are not installed: apt-get install podman runc mmdebstrap netavark aardvark-dns iptables catatonit",
    ),
]


def shell(script: str, *, check: bool = True, timeout: float = 1400) -> subprocess.CompletedProcess:
    """Bash with the container settings of images/containers.sh."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f". images/containers.sh; containers_setup; {script}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, "BASE_IMAGE": "mmdebstrap"},
    )
    assert not check or done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done


def built(name: str) -> str:
    return shell(f"bash images/build {name}").stdout.split()[-1]


@pytest.fixture(scope="module")
def notebook() -> str:
    """The name of the notebook image, built when it is not there."""
    return built("notebook")


def unpacked(image: str) -> tuple[int, str]:
    """Bytes of the files in an image, the same on every machine, and its largest folders as text."""
    folders: dict[str, int] = {}
    for line in shell(f"files_of {image}").stdout.splitlines():
        size, folder = line.split(" ", 1)
        key = "/".join(folder.split("/")[:7])
        folders[key] = folders.get(key, 0) + int(size)
    largest = sorted(folders.items(), key=lambda item: -item[1])[:25]
    return sum(folders.values()), "\n".join(f"{size / 1e6:8.1f} MB  {folder}" for folder, size in largest)


@contextlib.contextmanager
def running(options: str, image: str, command: str = ""):
    """A container in the background, gone at the end; gives its name."""
    name = f"vadose-test-{os.getpid()}-{time.monotonic_ns()}"
    try:
        shell(f"$engine run -d --name {name} {options} {image} {command}")
        yield name
    finally:
        shell(f"$engine rm -f -t 20 {name}", check=False)


def published(name: str, port: int) -> str:
    """The address on this machine of a container's port; podman chooses it and takes it at once (`-p 127.0.0.1::8888`)."""
    return "http://" + shell(f"$engine port {name} {port}").stdout.strip()


def answer(url: str, name: str, *, patience: float = 90) -> requests.Response:
    session = requests.Session()
    session.trust_env = False
    deadline = time.monotonic() + patience
    while True:
        with contextlib.suppress(requests.ConnectionError, requests.Timeout):
            return session.get(url, timeout=10)
        log = shell(f"$engine logs {name} 2>&1 | tail -30", check=False).stdout
        assert time.monotonic() < deadline, f"{url} did not answer\n{log}"
        time.sleep(0.5)


def test_notebook_image_is_small_labeled_and_not_root(notebook):
    described = json.loads(shell(f"$engine image inspect {notebook}").stdout)[0]
    size, largest = unpacked(notebook)
    assert size < BUDGET, f"{size / 1e9:.3f} GB\n{largest}"
    assert described["Size"] < size + HIDDEN, (
        f"layers of {described['Size'] / 1e9:.3f} GB for {size / 1e9:.3f} GB of files"
    )
    assert size == pytest.approx(json.loads(IMAGE.read_text())["unpacked"], rel=0.05), f"measure again: {IMAGE}"
    assert described["User"] == "1000"
    labels = described["Labels"]
    assert labels["org.opencontainers.image.licenses"] == "BSD-3-Clause"
    assert labels["org.opencontainers.image.version"] == re.search(
        r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.M
    ).group(1)
    assert labels["org.vadose.sbom"] == "/opt/vadose/sbom.cdx.json"
    history = json.dumps(described["History"] or [])
    assert not re.search(r"https?://[^ \"]*(simple|pypi)", history), (
        "an image must not say where its packages were fetched"
    )


def test_notebook_image_passes_its_own_tests_without_a_network(notebook):
    done = shell(f"IMAGE={notebook} bash images/test notebook", check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    assert "OK" in done.stderr
    assert "skipped" not in done.stderr


def test_lab_answers_on_loopback_with_a_token_only(notebook):
    with running("-p 127.0.0.1::8888 -e JUPYTER_TOKEN=known-here", notebook) as name:
        url = published(name, 8888)
        assert answer(f"{url}/api", name).ok
        assert requests.get(f"{url}/api/contents/notebooks", timeout=60).status_code == 403
        held = requests.get(f"{url}/api/contents/notebooks", params={"token": "known-here"}, timeout=60).json()
        assert "00-start" in [entry["name"] for entry in held["content"]]
        page = requests.get(f"{url}/lab", params={"token": "known-here"}, timeout=60)
        assert page.ok
        assert "jupyter-config-data" in page.text


@pytest.mark.parametrize(
    "options",
    [
        # What Apptainer does: the caller's own number, no account in the image, nothing writable but /tmp.
        pytest.param("--user 12345:12345 --read-only --tmpfs /tmp:rw,mode=1777", id="stranger on a read-only image"),
        pytest.param("--tmpfs /home/jovyan:rw,size=128k,mode=1777", id="home that takes no more"),
    ],
)
def test_lab_starts_where_nothing_can_be_saved(notebook, options):
    with running(f"{options} -e JUPYTER_TOKEN=known-here -p 127.0.0.1::8888", notebook) as name:
        url = published(name, 8888)
        assert answer(f"{url}/api", name).ok
        assert requests.get(f"{url}/lab", params={"token": "known-here"}, timeout=60).ok
        assert "full or read-only" in shell(f"$engine logs {name} 2>&1").stdout


def test_compose_gives_the_whole_hub(notebook):
    """The service of compose.yaml, option for option, through podman (there is no Docker engine to run the file itself)."""
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["hub"]
    known = {"image", "command", "ports", "volumes", "init", "stop_grace_period", "security_opt", "cap_drop"}
    assert set(service) == known, "an option that this test does not pass on"
    volume = f"vadose-test-{os.getpid()}"
    assert service["ports"] == ["127.0.0.1:${VADOSE_PORT:-8000}:8000"]
    # podman's --init is a program of Debian's package catatonit; Docker's engine brings its own.
    assert service["init"] is True
    init = "--init " if Path("/usr/libexec/podman/catatonit").exists() else ""
    options = (
        f"{init}-p 127.0.0.1::8000 -v {volume}:{service['volumes'][0].split(':')[1]} "
        + " ".join(f"--security-opt {o}" for o in service["security_opt"])
        + " "
        + " ".join(f"--cap-drop {c}" for c in service["cap_drop"])
    )
    try:
        with running(options, notebook, " ".join(service["command"])) as name:
            url = published(name, 8000)
            deadline = time.monotonic() + 400
            while True:
                with contextlib.suppress(requests.RequestException):
                    if requests.get(f"{url}/hub/health", timeout=5).ok:
                        break
                log = shell(f"$engine logs {name} 2>&1 | tail -30", check=False).stdout
                assert time.monotonic() < deadline, log
                time.sleep(1)
            assert "shares one Unix account" in requests.get(f"{url}/hub/login", timeout=60).text
            state = service["command"][service["command"].index("--state-dir") + 1]
            said = json.loads(shell(f"$engine exec {name} vadose hub status --json --state-dir {state}").stdout)
            assert all(said["health"].values()), said["health"]
            assert set(said["health"]) == {"hub", "gateway", "catalog", "citizen", "store"}
    finally:
        shell(f"$engine volume rm -f {volume}", check=False)


def test_three_lines_add_a_package_on_notebook_and_worker(notebook, tmp_path):
    """The recipe of images/README.md, run: a package of one's own, in the image that is notebook, scheduler and worker."""
    text = (ROOT / "images" / "README.md").read_text()
    recipe = re.search(r"```dockerfile\n(.*?)```", text, re.S).group(1).strip().splitlines()
    assert len(recipe) == 3
    package = tmp_path / "wettest"
    package.mkdir()
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n[project]\nname = "wettest"\nversion = "1"\n'
    )
    # A wheel made by hand: building needs no index, as a package of a closed network would.
    import zipfile

    with zipfile.ZipFile(tmp_path / "wettest-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("wettest.py", "DEEPEST = 7\n")
        wheel.writestr("wettest-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: wettest\nVersion: 1\n")
        wheel.writestr(
            "wettest-1.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(
            "wettest-1.dist-info/RECORD", "wettest.py,,\nwettest-1.dist-info/METADATA,,\nwettest-1.dist-info/WHEEL,,\n"
        )
    (tmp_path / "requirements.txt").write_text("/tmp/wettest-1-py3-none-any.whl\n")
    (tmp_path / "Dockerfile").write_text("\n".join([f"FROM {notebook}", *recipe[1:]]) + "\n")
    image = f"localhost/vadose-test-recipe:{os.getpid()}"
    try:
        shell(
            f"$engine build -q --network=host -v {tmp_path}/wettest-1-py3-none-any.whl:/tmp/wettest-1-py3-none-any.whl:ro -t {image} {tmp_path}"
        )
        code = (
            "from vadose.access import cluster\n"
            "with cluster.connect(1) as c: print('WORKER', c.client.submit(lambda: __import__('wettest').DEEPEST).result())"
        )
        done = shell(f'$engine run --rm --network=none {image} python3 -c "{code}"')
        assert "WORKER 7" in done.stdout
    finally:
        shell(f"$engine rmi -f {image}", check=False)


def test_of_old_builds_the_newest_stays_and_one_in_use(tmp_path):
    """What images/build does when it has made a new image, with images of one file: four builds, the oldest with a container."""
    name = f"tiny-{os.getpid()}"
    builds = [f"localhost/vadose-{name}:{n}" for n in range(4)]
    forget = 'say() { echo "$@" >&2; }; eval "$(sed -n \'/^forget() {/,/^}/p\' images/build)"; exec 7>/dev/null'
    try:
        for n, image in enumerate(builds):
            (tmp_path / "which").write_text(str(n))
            shell(f"tar -C {tmp_path} -cf {tmp_path}/{n}.tar which; $engine import -q {tmp_path}/{n}.tar {image}")
            time.sleep(1.1)  # podman tells ages in whole seconds
        shell(
            f"$engine tag {builds[3]} localhost/vadose-{name}:dev; $engine create --name vadose-{name} {builds[0]} /which"
        )
        said = shell(f"{forget}; forget {name} {builds[3]}").stderr
        assert f"forgot {builds[1]}" in said
        there = shell(
            f"$engine images --filter reference=localhost/vadose-{name} --format '{{{{.Tag}}}}'"
        ).stdout.split()
        assert sorted(there) == ["0", "2", "3", "dev"], said
    finally:
        shell(
            f"$engine rm -f vadose-{name}; $engine rmi -f {' '.join(builds)} localhost/vadose-{name}:dev", check=False
        )


@pytest.mark.parametrize("name", ["benchmark", "ml"])
def test_other_images_pass_their_own_tests(name):
    if name not in MORE:
        pytest.skip(f"cannot run here: gigabytes more; VADOSE_IMAGES={name} builds and tests it")
    image = built(name)
    done = shell(f"IMAGE={image} bash images/test {name}", check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
