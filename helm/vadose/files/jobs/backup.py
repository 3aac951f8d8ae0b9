"""Copy the hub's database while the hub runs, check the copy, put it into a bucket under its date.

    python3 backup.py DATABASE DESTINATION

DESTINATION is a folder or s3://bucket/prefix. Nothing is ever deleted or overwritten here: the bucket's lifecycle does that.
"""

import datetime
import gzip
import sqlite3
import sys
import tempfile
from pathlib import Path


def copy(database, target):
    """A consistent copy of a database that is being written (sqlite's own online backup), checked before anybody relies on it."""
    source = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    made = sqlite3.connect(target)
    with made:
        source.backup(made)
    found = made.execute("PRAGMA integrity_check").fetchone()[0]
    users = made.execute("SELECT count(*) FROM users").fetchone()[0]
    source.close()
    made.close()
    if found != "ok":
        raise SystemExit(f"the copy of {database} is damaged: {found}")
    return users


def main(database, destination, now=None):
    if not Path(database).is_file():
        raise SystemExit(f"{database} is not there: is the hub's database somewhere else (jupyterhub.hub.db)?")
    moment = now or datetime.datetime.now(datetime.UTC)
    name = f"jupyterhub-{moment:%Y%m%dT%H%M%SZ}.sqlite.gz"
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "jupyterhub.sqlite"
        users = copy(database, plain)
        packed = gzip.compress(plain.read_bytes(), mtime=0)
    import fsspec

    fs, root = fsspec.core.url_to_fs(destination)
    if "s3" not in fs.protocol:
        fs.makedirs(root, exist_ok=True)
    fs.pipe_file(f"{root}/{name}", packed)
    print(f"{users} users, {len(packed)} bytes: {destination}/{name}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
