"""A small S3-like server with faults: GET, HEAD, Range, ListObjectsV2, ETag, If-Match, latency, and what can go wrong.

`python s3stub.py FOLDER` prints its port. `POST /_faults` takes JSON: {"latency": 0.03, "status": 503, "rate": 0.2,
"cut": 0.05, "bandwidth": 90e6, "match": "part of a path", "only": "GET", "first": 3, "hang": "head" or "body", "per_second": 60}.
`per_second` answers 503 to whatever exceeds it, as S3 throttles. `GET /_log` gives counts.
Its own asyncio protocol: several thousand requests a second, so that it is not what a benchmark measures.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import random
import sys
import urllib.parse
from email.utils import formatdate
from pathlib import Path

REASONS = {200: "OK", 206: "Partial Content", 304: "Not Modified", 403: "Forbidden", 404: "Not Found", 412: "Precondition Failed",
           416: "Range Not Satisfiable", 429: "Too Many Requests", 500: "Internal Server Error", 503: "Slow Down"}  # fmt: skip
CODES = {
    403: "AccessDenied",
    404: "NoSuchKey",
    503: "SlowDown",
    500: "InternalError",
    412: "PreconditionFailed",
    429: "TooManyRequests",
}


#: Bodies from this size on are sent by the kernel.
LARGE = 256 << 10


class State:
    def __init__(self, root: Path) -> None:
        self.root, self.faults, self.random = root, {}, random.Random(7)
        self.count = {"GET": 0, "HEAD": 0, "LIST": 0, "bytes": 0, "open": 0, "throttled": 0, "hung": 0}
        self.etags: dict[tuple[str, int, int], str] = {}
        self.tokens, self.filled = 0.0, 0.0

    def allowed(self, per_second: float) -> bool:
        """A bucket of tokens: a tenth of a second's worth at once, and `per_second` in the long run."""
        now = asyncio.get_running_loop().time()
        self.tokens = min(per_second / 10, self.tokens + (now - self.filled) * per_second)
        self.filled = now
        if self.tokens < 1:
            self.count["throttled"] += 1
            return False
        self.tokens -= 1
        return True

    def etag(self, path: Path, found: os.stat_result) -> str:
        key = (str(path), found.st_mtime_ns, found.st_size)
        if key not in self.etags:
            self.etags[key] = hashlib.md5(f"{key}".encode()).hexdigest()
        return self.etags[key]


class Handler(asyncio.Protocol):
    def __init__(self, state: State) -> None:
        self.state, self.buffer, self.tasks = state, b"", asyncio.Queue()

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.worker = asyncio.ensure_future(self.work())

    def connection_lost(self, exc) -> None:
        self.worker.cancel()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, rest = self.buffer.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
            size = int(headers.get("content-length", 0))
            if len(rest) < size:
                return
            self.buffer = rest[size:]
            method, target, _ = lines[0].split(" ")
            self.tasks.put_nowait((method, target, headers, rest[:size]))

    async def work(self) -> None:
        while True:
            await self.answer(*await self.tasks.get())

    def send(self, status, headers=None, body=b"", *, head=False, fault="") -> None:
        lines = {"Content-Length": str(len(body)), "Server": "stub", "Connection": "keep-alive", **(headers or {})}
        text = f"HTTP/1.1 {status} {REASONS[status]}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"
        if fault:
            self.transport.write(text.encode("latin-1") + body[: len(body) // 2])
            if fault == "cut":
                self.transport.close()
            return
        self.transport.write(text.encode("latin-1") + (b"" if head else body))

    def error(self, status, head=False) -> None:
        self.send(
            status,
            {"Content-Type": "application/xml"},
            f"<Error><Code>{CODES.get(status, 'Error')}</Code></Error>".encode(),
            head=head,
        )

    async def answer(self, method, target, headers, body) -> None:
        state = self.state
        path, _, query = target.partition("?")
        path = urllib.parse.unquote(path)
        if path == "/_faults":
            state.faults = {**json.loads(body)}
            return self.send(200)
        if path == "/_log":
            out = json.dumps(state.count).encode()
            state.count = dict.fromkeys(state.count, 0)
            return self.send(200, {"Content-Type": "application/json"}, out)
        faults = (
            state.faults if state.faults.get("match", "") in path and state.faults.get("only", method) == method else {}
        )
        if faults.get("latency"):
            await asyncio.sleep(faults["latency"] * state.random.uniform(2 / 3, 4 / 3))
        if faults.get("key") and faults["key"] not in headers.get("authorization", ""):
            return self.error(403, method == "HEAD")
        hit = state.random.random() < faults.get("rate", 1.0)
        if faults.get("first") is not None:
            hit = hit and faults["first"] > 0
            state.faults["first"] = max(0, faults["first"] - 1)
        if faults.get("per_second") and not state.allowed(faults["per_second"]):
            return self.error(503, method == "HEAD")
        if hit and faults.get("hang") == "head":
            state.count["hung"] += 1
            return await asyncio.sleep(3600)
        if hit and faults.get("status"):
            return self.error(faults["status"], method == "HEAD")
        params = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        if method == "GET" and "list-type" in params:
            return self.listing(path.strip("/"), params)
        fault = next((k for k in ("cut", "hang") if hit and faults.get(k)), "")
        await self.object(method, path, headers, fault=fault, bandwidth=faults.get("bandwidth"))

    async def object(self, method, path, headers, *, fault, bandwidth) -> None:
        state = self.state
        file = state.root / path.lstrip("/")
        state.count[method] = state.count.get(method, 0) + 1
        if not file.is_file():
            return self.error(404, method == "HEAD")
        found = file.stat()
        etag = f'"{state.etag(file, found)}"'
        if "if-match" in headers and headers["if-match"] != etag:
            return self.error(412, method == "HEAD")
        if "if-unmodified-since" in headers:
            from email.utils import parsedate_to_datetime

            if int(found.st_mtime) > parsedate_to_datetime(headers["if-unmodified-since"]).timestamp():
                return self.error(412, method == "HEAD")
        common = {
            "ETag": etag,
            "Last-Modified": formatdate(found.st_mtime, usegmt=True),
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        }
        if method == "HEAD":
            return self.send(200, {**common, "Content-Length": str(found.st_size)}, head=True)
        start, end, status = 0, found.st_size, 200
        if headers.get("range", "").startswith("bytes="):
            low, _, high = headers["range"][6:].partition("-")
            start, end = (
                (int(low), int(high) + 1 if high else found.st_size)
                if low
                else (found.st_size - int(high), found.st_size)
            )
            end, status = min(end, found.st_size), 206
            if start >= found.st_size:
                return self.error(416)
            common["Content-Range"] = f"bytes {start}-{end - 1}/{found.st_size}"
        size = end - start
        if bandwidth:
            await asyncio.sleep(size / bandwidth)
        state.count["bytes"] += size
        if fault == "hang":
            state.count["hung"] += 1
        with open(file, "rb") as handle:
            if fault or size < LARGE:
                return self.send(status, common, os.pread(handle.fileno(), size, start), fault=fault)
            self.send(status, {**common, "Content-Length": str(size)}, head=True)
            # The kernel copies: on a machine of two cores the server must not eat what the reader is measured with.
            with contextlib.suppress(OSError, RuntimeError):  # the reader went away
                await asyncio.get_running_loop().sendfile(self.transport, handle, start, size)

    def listing(self, bucket, params) -> None:
        state = self.state
        state.count["LIST"] += 1
        base = state.root / bucket
        prefix = params.get("prefix", "")
        names = sorted(str(p.relative_to(base)) for p in base.rglob("*") if p.is_file())
        after = params.get("continuation-token", params.get("start-after", ""))
        names = [n for n in names if n.startswith(prefix) and n > after]
        # With a delimiter, what lies deeper is named once, as a folder.
        deeper: set[str] = set()
        if params.get("delimiter"):
            rest = {n: n[len(prefix) :].split("/") for n in names}
            deeper = {prefix + parts[0] + "/" for parts in rest.values() if len(parts) > 1}
            names = [n for n, parts in rest.items() if len(parts) == 1]
        folders = "".join(f"<CommonPrefixes><Prefix>{d}</Prefix></CommonPrefixes>" for d in sorted(deeper))
        page, more = names[:1000], len(names) > 1000
        rows = []
        for name in page:
            found = (base / name).stat()
            stamp = formatdate(found.st_mtime, usegmt=True)
            import datetime

            stamp = datetime.datetime.fromtimestamp(found.st_mtime, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
            rows.append(
                f"<Contents><Key>{name}</Key><LastModified>{stamp}</LastModified><ETag>&quot;{state.etag(base / name, found)}&quot;</ETag><Size>{found.st_size}</Size></Contents>"
            )
        token = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if more else ""
        text = f'<?xml version="1.0"?><ListBucketResult><Name>{bucket}</Name><Prefix>{prefix}</Prefix><KeyCount>{len(page)}</KeyCount><IsTruncated>{str(more).lower()}</IsTruncated>{token}{folders}{"".join(rows)}</ListBucketResult>'
        self.send(200, {"Content-Type": "application/xml"}, text.encode())


async def serve(root: Path) -> None:
    state = State(root)
    server = await asyncio.get_running_loop().create_server(lambda: Handler(state), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
