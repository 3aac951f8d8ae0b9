"""Execute the curated notebooks and write the .ipynb beside the .py that people edit.

usage: python notebooks/render.py [PATH ...]     (all of them without a path)
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent


def sources() -> list[Path]:
    """The percent-format notebooks: .py files inside the numbered folders."""
    return sorted(p for p in HERE.glob("[0-9][0-9]-*/*.py"))


def execute(source: Path, *, timeout: int = 600):
    """The notebook of `source`, executed in its folder; raises on the first cell that fails."""
    import jupytext
    from nbclient import NotebookClient
    from traitlets.config import Config

    notebook = jupytext.read(source)
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:03d}"
    with tempfile.TemporaryDirectory(prefix="kernel-") as sockets:
        # Sockets of its own: a kernel's five ports would be chosen seconds before it takes them, and the clusters of another
        # notebook beside it may have one by then.
        own = Config({"KernelManager": {"transport": "ipc", "connection_file": f"{sockets}/kernel.json"}})
        NotebookClient(
            notebook,
            timeout=timeout,
            kernel_name="python3",
            resources={"metadata": {"path": str(source.parent)}},
            config=own,
        ).execute()
    for cell in notebook.cells:
        cell.get("metadata", {}).pop("execution", None)
        if "outputs" in cell:
            cell["outputs"] = tidied(cell["outputs"])
    return notebook


def tidied(outputs: list) -> list:
    """`outputs` with neighboring pieces of one stream joined (a progress bar sends hundreds), each as it is shown."""
    joined: list = []
    for output in outputs:
        before = joined[-1] if joined else {}
        if output["output_type"] == before.get("output_type") == "stream" and output["name"] == before["name"]:
            before["text"] += output["text"]
        else:
            joined.append(output)
    for output in joined:
        if output["output_type"] == "stream":
            output["text"] = as_shown(output["text"])
    return joined


def as_shown(text: str) -> str:
    """What a terminal would show at the end: a progress bar that rewrote its line is kept as its last state.

    Paths begin at the checkout: where that lies is a matter of the machine.
    """
    text = text.replace(f"{HERE.resolve().parent}/", "")
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1].replace("\x1b[2K", "") for line in text.split("\n"))


def main(arguments: list[str]) -> None:
    import nbformat

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for source in [Path(a).resolve().with_suffix(".py") for a in arguments] or sources():
        start = time.perf_counter()
        notebook = execute(source)
        target = source.with_suffix(".ipynb")
        partial = target.with_suffix(".ipynb.part")
        nbformat.write(notebook, partial)
        partial.replace(target)
        print(f"{target.relative_to(HERE)}  {time.perf_counter() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
