"""The least of Kubeflow's API, over HTTP: its health, a token that it may want, and what it has been asked."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Api(ThreadingHTTPServer):
    """Answers every GET with `answer`; with `token` only to those who carry it."""

    def __init__(self, answer=None, token="", kind="application/json", status=200):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = {"multi_user": False} if answer is None else answer
        self.token, self.kind, self.status = token, kind, status
        self.asked = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        given = self.headers.get("authorization", "")
        server.asked.append((self.path, given))
        if server.token and given != f"Bearer {server.token}":
            self._send(401, "application/json", {"message": "who are you?"})
        else:
            self._send(server.status, server.kind, server.answer)

    def _send(self, status, kind, content):
        body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@contextmanager
def serving(**options):
    """An API in a thread."""
    with Api(**options) as api:
        thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield api
        finally:
            api.shutdown()
            thread.join()
