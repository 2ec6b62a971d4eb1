"""An HTTP server in front of the storage emulator that does harm to the first requests for content."""

import functools
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Proxy(ThreadingHTTPServer):
    """At `address`; `harm` is `cut` (half of the content, then the end of the connection) or `busy` (503)."""

    def __init__(self, behind: str, harm: str, times: int) -> None:
        super().__init__(("127.0.0.1", 0), functools.partial(Handler, self))
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.behind, self.harm, self.left = behind, harm, times
        self.contents: list[str] = []
        """The objects whose content was asked for."""
        self._thread = threading.Thread(target=self.serve_forever)

    def __enter__(self) -> "Proxy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, proxy: Proxy, *arguments: object) -> None:
        self.proxy = proxy
        super().__init__(*arguments)

    def do_GET(self) -> None:
        wanted = "alt=media" in self.path
        if wanted:
            self.proxy.contents.append(self.path.rpartition("%2F")[2].partition("?")[0])
        harmed = wanted and self.proxy.left > 0
        self.proxy.left -= harmed
        if harmed and self.proxy.harm == "busy":
            self.answer(503, {}, b"")
            return
        headers = {name: value for name, value in self.headers.items() if name in ("Range", "Accept")}
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self.proxy.behind + self.path, headers=headers)
            ) as found:
                status, answer, body = found.status, dict(found.headers), found.read()
        except urllib.error.HTTPError as error:
            with error:
                status, answer, body = error.code, dict(error.headers), error.read()
        if not wanted:
            body = body.replace(self.proxy.behind.encode(), self.proxy.address.encode())  # of the content's address
        self.answer(status, answer, body, cut=harmed)

    def answer(self, status: int, headers: dict[str, str], body: bytes, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "connection", "date", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = cut

    def log_message(self, *_: object) -> None:
        pass
