"""`make bench [ONLY=id,id]`: measure, print one table, keep results.json."""

from __future__ import annotations

import argparse
import json
import sys

from benchmarks import harness


def main() -> int:
    parser = argparse.ArgumentParser(description="vadose beside its peers")
    parser.add_argument("--only", default="", help="ids, separated by commas")
    parser.add_argument("--list", action="store_true", help="the ids and what they measure")
    options = parser.parse_args()
    known = harness.jobs()
    if options.list:
        for name, (_, job) in known.items():
            print(f"{name:26} {job.job} [{job.size}] beside {job.peer}")
        return 0
    wanted = [n for n in options.only.split(",") if n] or list(known)
    for name in wanted:
        if name not in known:
            print(f"no benchmark {name!r}; there are: {', '.join(known)}", file=sys.stderr)
            return 2
    kept = {row["id"]: row for row in json.loads(harness.RESULTS.read_text())} if harness.RESULTS.exists() else {}
    failed = 0
    for name in wanted:
        try:
            kept[name] = harness.measure(*known[name], say=lambda text: print(text, file=sys.stderr, flush=True))
        except (RuntimeError, FileNotFoundError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed += 1
            continue
        rows = [kept[n] for n in sorted(kept)]
        partial = harness.RESULTS.with_suffix(".part")
        partial.write_text(json.dumps(rows, indent=1) + "\n")
        partial.replace(harness.RESULTS)
    table([kept[n] for n in wanted if n in kept])
    return 1 if failed else 0


def table(rows: list[dict]) -> None:
    """The one table: time of both, ratio, memory of both, agreement."""
    from rich.console import Console
    from rich.table import Table

    out = Table(title="seconds and peak MB; ratio = peer / ours", title_justify="left")
    for name in ("id", "size", "ours s", "peer", "peer s", "ratio", "MB", "peer MB", "agreement"):
        out.add_column(name, justify="left" if name in ("id", "size", "peer", "agreement") else "right")
    for r in rows:
        numbers = (r["ours_s"], r["peer"], r["peer_s"], r["ratio"], r["ours_peak_mb"], r["peer_peak_mb"])
        out.add_row(r["id"], r["size"], *map(str, numbers), r["agreement"])
    Console(width=160).print(out)


if __name__ == "__main__":
    sys.exit(main())
