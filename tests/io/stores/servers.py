"""Servers on the loopback: of files over HTTP, wrong in all the ways that such a server can be, and in front of S3."""

import http.client
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer(ThreadingHTTPServer):
    """Files by path. What it does wrong is set by its attributes; `requests` holds (path, range) of each request."""

    daemon_threads = True

    def __init__(self, files=None):
        super().__init__(("127.0.0.1", 0), _Files)
        self.files = dict(files or {})
        self.requests = []
        self.etags = {}
        self.ranges = self.says_length = True
        self.fail_every = 0
        self.status = None  # of every answer
        self.headers = {}  # added to every answer
        self.content_range = None  # instead of the right one
        self.cut = 0  # bytes that are missing from the body
        self.cut_first = 0  # in how many answers
        self.delay = 0.0  # seconds before each answer
        self.redirects = {}
        self.lock = threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, address):
        pass


class _Files(BaseHTTPRequestHandler):
    disable_nagle_algorithm = True
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        said = self.headers.get("Range")
        with server.lock:
            server.requests.append((self.path, said))
            number = len(server.requests)
        if server.delay:
            threading.Event().wait(server.delay)
        path = self.path.partition("?")[0]
        if path in server.redirects:
            return self.answer(302, b"", {"Location": server.redirects[path]})
        if server.fail_every and number % server.fail_every == 0:
            return self.answer(503, b"later", {})
        if server.status is not None:
            return self.answer(server.status, b"no", {})
        if path not in server.files:
            return self.answer(404, b"no such file", {})
        data = server.files[path]
        headers = {"ETag": server.etags.get(path, '"1"'), **server.headers}
        if said is None or not server.ranges:
            return self.answer(200, data, headers)
        start, _, last = said.removeprefix("bytes=").partition("-")
        start, stop = int(start), min(int(last) + 1, len(data))
        if start >= len(data):
            return self.answer(416, b"", {**headers, "Content-Range": f"bytes */{len(data)}"})
        headers["Content-Range"] = server.content_range or f"bytes {start}-{stop - 1}/{len(data)}"
        return self.answer(206, data[start:stop], headers)

    def answer(self, status, body, headers):
        server = self.server
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if server.says_length:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        with server.lock:
            cut = server.cut if server.cut_first else 0
            server.cut_first -= bool(server.cut_first)
        self.wfile.write(body[: len(body) - cut])
        if cut or not server.says_length:
            self.close_connection = True


class Proxy(ThreadingHTTPServer):
    """Hands requests on to another server, but for every `fail_every`th, which gets 503; of `lose` puts the answers
    are lost after they were carried out.
    """

    daemon_threads = True

    def __init__(self, port):
        super().__init__(("127.0.0.1", 0), _Handing)
        self.port = port
        self.count = self.fail_every = self.lose = 0
        self.drop_condition = False  # as old stores do, which ignore If-None-Match
        self.lock = threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, address):
        pass


class _Handing(BaseHTTPRequestHandler):
    disable_nagle_algorithm = True
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def hand_on(self):
        server = self.server
        body = self.body()
        with server.lock:
            server.count += 1
            fails = server.fail_every and server.count % server.fail_every == 0
            loses = self.command == "PUT" and server.lose > 0
            server.lose -= loses
        if fails:
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() != "transfer-encoding"}
        if server.drop_condition:
            headers = {name: value for name, value in headers.items() if name.lower() != "if-none-match"}
        headers["Content-Length"] = str(len(body))
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request(self.command, self.path, body, headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if loses:
            self.close_connection = True
            return
        self.send_response(response.status)
        for name, value in response.headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        length = response.headers.get("Content-Length") if self.command == "HEAD" else len(content)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def body(self):
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = hand_on


@contextmanager
def serving(server):
    """Serve in a thread while the block runs."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
