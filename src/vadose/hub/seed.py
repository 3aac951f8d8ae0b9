"""Fill the hub's store: the demo world, references to its files, and its catalog. Run as a process of its own."""

from __future__ import annotations

import sys

import rich.progress


def main(root: str, catalog: str, endpoint: str) -> None:
    """Write the demo archive under `root` and its STAC catalog into the folder `catalog`, with a progress bar."""
    from vadose.access.demo import write_catalog
    from vadose.world import write_demo

    options: dict = {"client_kwargs": {"endpoint_url": endpoint}} if endpoint else {}
    if endpoint:
        import s3fs

        fs = s3fs.S3FileSystem(**options)
        for bucket in (root.removeprefix("s3://"), "scratch"):
            if not fs.exists(bucket):
                fs.mkdir(bucket)
    columns = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeElapsedColumn(),
    )
    with rich.progress.Progress(*columns) as bar:
        task = bar.add_task("demo world", total=None)
        manifest = write_demo(
            root,
            storage_options=options,
            progress=lambda done, total, what: bar.update(task, completed=done, total=total),
        )
        task = bar.add_task("catalog", total=None)
        write_catalog(
            manifest,
            root,
            catalog,
            storage_options=options,
            progress=lambda done, total, what: bar.update(task, completed=done, total=total),
        )


if __name__ == "__main__":
    main(*sys.argv[1:4])
