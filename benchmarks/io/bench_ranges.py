"""Files of a web server by ranges, against downloading them first."""

import tempfile
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread
from urllib.request import urlopen

import numpy as np

from benchmarks.harness import Race, benchmark, faster, need
from bridgeflow.io import open_source

ROWS = 32_768  # of 2 KiB: 64 MiB
PER_SECOND = 200 << 20
LATENCY = 0.005


class _Server(BaseHTTPRequestHandler):
    """Gives ranges as a store some milliseconds away does: each answer waits, and then comes at a limited rate."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        data, said = self.server.content, self.headers.get("Range")
        start, stop = 0, len(data)
        if said is not None:
            first, last = said.removeprefix("bytes=").split("-")
            start, stop = int(first), min(int(last) + 1, len(data))
        time.sleep(LATENCY)
        self.send_response(200 if said is None else 206)
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        self.send_header("ETag", '"1"')
        self.end_headers()
        for begin in range(start, stop, 1 << 20):
            piece = data[begin : min(begin + (1 << 20), stop)]
            time.sleep(len(piece) / PER_SECOND)
            self.wfile.write(piece)


def _served(content):
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    server.daemon_threads, server.content = True, content
    Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/rows.npy"


def _rows(url, order):
    with open_source(url) as source:
        return source.read()["values"] if order is None else source.take(order)["values"]


def _downloaded(url, order):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        with urlopen(url) as answer, path.open("wb") as file:
            while piece := answer.read(1 << 20):
                file.write(piece)
        return np.array(_rows(path, order))


@benchmark(
    "npy of 64 MiB over HTTP (5 ms, 200 MB/s a connection): {what}",
    what=["the first 256 rows", "256 shuffled rows", "all rows"],
)
def rows_over_http(what: str) -> Race:
    need("aiohttp")
    need("fsspec")
    rows = np.random.default_rng(0).standard_normal((ROWS, 512)).astype(np.float32)
    file = BytesIO()
    np.save(file, rows)
    url = _served(file.getvalue())
    order = {
        "the first 256 rows": np.arange(256),
        "256 shuffled rows": np.random.default_rng(1).permutation(ROWS)[:256],
        "all rows": None,
    }[what]
    return Race(
        ours=partial(_rows, url, order),
        peers={"download first": partial(_downloaded, url, order)},
        targets={"download first": faster(1 if order is None else 2)},
        agree=np.testing.assert_array_equal,
        rounds=3,
    )
