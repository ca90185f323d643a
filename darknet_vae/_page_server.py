"""One page, served to the browser of this machine until Ctrl-C.

Whatever else runs here, another user's program or a page that is open in the browser, cannot read it: the server listens on
127.0.0.1, the address holds a random token, and the Host header must be that of the address, so that a foreign name which is made
to point to 127.0.0.1 (DNS rebinding) gets nothing.
"""

from __future__ import annotations

import contextlib
import gzip
import hmac
import secrets
import sys
import webbrowser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from . import errors

HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def handler(page: str, token: str) -> type[BaseHTTPRequestHandler]:
    """What answers requests: with the page under its token, else with 403 or 404 and nothing else."""
    content = page.encode()
    packed = gzip.compress(content, 5)

    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "darknet-vae", ""
        timeout = 30

        def answer(self, body: bool) -> None:
            port = self.connection.getsockname()[1]
            if self.headers.get("Host") not in (f"127.0.0.1:{port}", f"localhost:{port}"):
                return self.refuse(403)
            if not hmac.compare_digest(self.path.encode(), f"/{token}/".encode()):
                return self.refuse(404)
            zipped = "gzip" in self.headers.get("Accept-Encoding", "")
            data = packed if zipped else content
            self.send_response(200)
            for name, value in HEADERS.items():
                self.send_header(name, value)
            if zipped:
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if body:
                self.wfile.write(data)

        def refuse(self, code: int) -> None:
            self.send_response(code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            self.answer(True)

        def do_HEAD(self) -> None:
            self.answer(False)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


class Server(ThreadingHTTPServer):
    """A thread for each request, which a browser opens several of."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that goes away while it is being answered is no news."""


def serve(page: str, port: int = 0, browser: bool = True, quiet: bool = False) -> str:
    """Serve until Ctrl-C; the address is printed on standard output, where a script finds it too."""
    token = secrets.token_urlsafe(16)
    try:
        server = Server(("127.0.0.1", port), handler(page, token))
    except OSError as reason:
        raise errors.UsageError(f"cannot listen on 127.0.0.1:{port}: {reason.strerror}") from None
    address = f"http://127.0.0.1:{server.server_address[1]}/{token}/"
    with server:
        print(address, flush=True)
        if not quiet:
            print("darknet-vae: Ctrl-C ends it", file=sys.stderr)
        if browser:
            webbrowser.open(address)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever(poll_interval=0.2)
    return address
