"""`vadose hub`: the whole platform on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

from vadose.errors import PlatformError

#: Set in the environment of a supervisor that runs in the background.
DETACHED = "VADOSE_HUB_DETACHED"

#: Services whose words stand in the log of another name, by what `status` and people call them.
LOG_OF = {"gateway": "hub", "proxy": "hub", "catalog": "stac"}

STATE = click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where database, logs, homes and store live.  [default: .vadose in a checkout]",
)


def _state(folder: Path | None):
    from vadose.config import load
    from vadose.hub.state import State

    return State((folder or load().state).absolute())


@click.group()
def command() -> None:
    """JupyterHub, Dask Gateway, STAC API and object store on this machine, on loopback."""


@command.command()
@click.option(
    "--port",
    type=click.IntRange(1024, 65535),
    default=None,
    help="Port of the login page.  [default: 8000 or the next free]",
)
@click.option(
    "--ip",
    type=click.Choice(["127.0.0.1", "0.0.0.0"]),
    default="127.0.0.1",
    show_default=True,
    help="Where the login page answers: on this machine only, or (0.0.0.0) to everybody who reaches it, unencrypted: for a container, or a class's own network.",
)
@click.option(
    "--users",
    help="Names for a class, separated by commas, or a file with one a line. Started by root, each is a Unix user of its own.",
)
@click.option(
    "--shared-account", is_flag=True, help="With --users as root: one Unix account for all instead of one each."
)
@click.option("--cluster-users", help="Who may start Dask clusters, separated by commas.  [default: everybody]")
@click.option("--s3/--no-s3", default=True, help="A real object store (default), or plain files.")
@click.option("--background", is_flag=True, help="Return when everything answers; stop with `vadose hub stop`.")
@STATE
def up(
    port: int | None,
    ip: str,
    users: str | None,
    shared_account: bool,
    cluster_users: str | None,
    s3: bool,
    background: bool,
    state_dir: Path | None,
) -> None:
    """Start the platform and stay until Ctrl-C."""
    state = _state(state_dir)
    if record := state.running():
        click.echo("the hub runs already:")
        return _show(state, record)
    if other := state.holder():
        from vadose.hub.state import in_use

        raise PlatformError(in_use(state, other))
    if background:
        return _detach(state)
    from vadose.config import load
    from vadose.hub.supervisor import Supervisor

    def tell(text: str) -> None:
        click.echo(text)
        if state.logs.is_dir():
            with open(state.logs / "supervisor.log", "a") as log:
                log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {text}\n")

    state.prepare()
    supervisor = Supervisor(
        state,
        port=port or load().port,
        ip=ip,
        users=_names(users),
        cluster_users=_names(cluster_users),
        shared_account=shared_account,
        s3=s3,
        tell=tell,
    )

    asked: list[str] = []

    def ask_to_stop(number: int, _: Any) -> None:
        supervisor.stopping = True
        asked.append(signal.Signals(number).name)
        raise KeyboardInterrupt

    for sign in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, ask_to_stop)
    try:
        _show(state, supervisor.start())
        click.echo("Ctrl-C stops it all.")
        supervisor.watch()
    except KeyboardInterrupt:
        pass
    finally:
        for sign in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(sign, signal.SIG_IGN)
        tell(f"stopping{f' ({asked[0]})' if asked else ''}")
        supervisor.stop()
    click.echo("stopped; homes, notebooks and data stay in " + str(state.root))


def _detach(state) -> None:
    """Start the same command as a session of its own and wait until it answers or ends."""
    state.prepare()
    arguments = [a for a in sys.argv[1:] if a != "--background"]
    with open(state.logs / "supervisor.out", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "vadose.cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, DETACHED: "1"},
        )

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    for sign in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, interrupt)
    try:
        while process.poll() is None:
            record = state.running()
            if record and record["pid"] == process.pid:
                return _show(state, record)
            time.sleep(0.3)
    except KeyboardInterrupt:  # it is a session of its own and has not heard it
        click.echo("stopping")
        process.terminate()
        process.wait()
        raise
    text = (state.logs / "supervisor.out").read_text(errors="replace").strip().splitlines()
    raise PlatformError(text[-1].removeprefix("vadose: ") if text else "the hub ended before it answered")


def _names(users: str | None) -> list[str] | None:
    if users is None:
        return None
    # A class's list is longer than any file name may be.
    is_file = "," not in users and len(users) < 4096 and Path(users).is_file()
    text = Path(users).read_text() if is_file else users.replace(",", "\n")
    names = [n.strip() for n in text.splitlines() if n.strip() and not n.strip().startswith("#")]
    if not names:
        raise click.UsageError(f"--users {users!r} names nobody; write --users ana,ben or a file with one name a line")
    return names


def _show(state, record: dict[str, Any]) -> None:
    passwords = json.loads((state.root / "passwords.json").read_text())["users"]
    click.echo(f"\n  address   {record['url']}")
    for user in record["users"]:
        # A detached supervisor's output is a log, and logs hold no secrets; whoever asked for it prints them.
        secret = "(shown by `vadose hub status`)" if DETACHED in os.environ else passwords[user]
        click.echo(f"  user      {user}    password  {secret}")
    click.echo(f"  catalog   {record['url']}services/stac/browse")
    click.echo(f"  citizen   {record['url']}services/citizen/")
    click.echo(f"  store     {record['store']}")
    click.echo(f"  logs      {state.logs}\n")


@command.command(short_help="Address, users, passwords, what answers.")
@STATE
@click.option("--json", "as_json", is_flag=True, help="For programs; without passwords.")
def status(state_dir: Path | None, as_json: bool) -> None:
    """Address, users and passwords of the hub that runs, and whether each service answers."""
    state = _state(state_dir)
    record = state.running()
    if record is None:
        from vadose.hub.state import in_use

        other = state.holder()
        click.echo(in_use(state, other) if other else f"no hub runs in {state.root}; start one with `vadose hub up`")
        sys.exit(3)
    from vadose.hub.services import health

    well = health(record)
    if as_json:
        click.echo(json.dumps({**record, "health": well}))
        return
    _show(state, record)
    for name, answers in well.items():
        click.echo(f"  {name:9s} {'answers' if answers else 'does NOT answer; see vadose hub logs ' + name}")


@command.command(short_help="Stop the hub and all it started.")
@STATE
def stop(state_dir: Path | None) -> None:
    """Stop the hub and every process it started, clusters included, also while it starts."""
    import psutil

    from vadose.hub.state import process_of
    from vadose.hub.supervisor import end_marked, reap_leftovers

    state = _state(state_dir)
    hub = state.holder()
    if hub is None:
        reap_leftovers(state, state.last_holder().get("hub_id"))
        click.echo(f"no hub runs in {state.root}")
        return
    process = process_of(hub)
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()
    deadline = time.monotonic() + 60
    while (alive := _alive(process)) and time.monotonic() < deadline:
        time.sleep(0.2)
    if alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
        state.record.unlink(missing_ok=True)
    end_marked(hub["hub_id"])
    click.echo("stopped")


def _alive(process: Any) -> bool:
    """Whether a process still runs; one that ended and that nobody has waited for does not."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@command.command(short_help="Show the log of a service, or of all.")
@click.argument("name", required=False)
@click.option("-f", "--follow", is_flag=True, help="Stay and show new lines.")
@click.option("-n", "--lines", default=50, show_default=True, help="Lines from the end.")
@STATE
def logs(name: str | None, follow: bool, lines: int, state_dir: Path | None) -> None:
    """Show the log of a service (hub, gateway, proxy, catalog, citizen, store, supervisor), or of all.

    The hub starts gateway and proxy: what they say stands in its log.
    """
    state = _state(state_dir)
    files = {p.stem: p for p in sorted(state.logs.glob("*.log"))}
    if not files:
        raise PlatformError(f"no logs in {state.logs}: no hub has run there yet; start one with `vadose hub up`")
    wanted = LOG_OF.get(name, name) if name else None
    if wanted is not None and wanted not in files:
        raise click.UsageError(f"no log {name!r}; there are: {', '.join([*files, *LOG_OF])}")
    chosen = [files[wanted]] if wanted else list(files.values())
    for path in chosen:
        if len(chosen) > 1:
            click.secho(f"== {path.stem}", bold=True)
        click.echo("\n".join(path.read_text(errors="replace").splitlines()[-lines:]))
    if follow:
        os.execvp("tail", ["tail", "-n", "0", "-F", *map(str, chosen)])
