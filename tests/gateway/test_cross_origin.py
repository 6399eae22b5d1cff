"""A web page of another origin: the reference's example, run in a real browser."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from tests.gateway.chromium import browser

from cryomamba.testing import DEADLINE_S, Stack, wait_until

pytestmark = [pytest.mark.system, pytest.mark.browser]

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "http.md"
PAGE = """<!doctype html><title>page</title><script type="module">
const lines = [];
console.log = (...words) => lines.push(words.join(" "));
const report = () => fetch("/reported", {method: "POST", body: lines.join("\\n")});
window.onunhandledrejection = ({reason}) => { lines.push(`failed ${reason}`); report(); };
SCRIPT
socket.addEventListener("close", report);
</script>"""


class Site(ThreadingHTTPServer):
    """Another web site: one page, which reports its output."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.page = ""
        self.reported: list[str] = []

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        body = self.server.page.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.server.reported.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""


@pytest.fixture
def site() -> Iterator[Site]:
    """A running site."""
    with Site() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_the_references_example_runs_in_a_browser(site: Site, tmp_path: Path) -> None:
    """A page of an allowed origin submits a job and reads its binary frames; one of another origin reads nothing."""
    example = re.search(r"```js\n(.*?)```", REFERENCE.read_text("utf-8"), re.DOTALL)
    assert example is not None
    with Stack(tmp_path / "home", env={"CRYOMAMBA_GATEWAY_ORIGINS": site.origin}) as stack:
        stack.start().wait_ready()
        script = example[1].replace("127.0.0.1:8000", stack.http_url.removeprefix("http://"))
        site.page = PAGE.replace("SCRIPT", script)
        with browser(site.origin, tmp_path / "profile"):
            wait_until(lambda: site.reported, what="the page to tell")
        lines = site.reported[0].splitlines()
        assert lines[0] == "connected"
        assert lines[-2:] == ["job_completed", "closed 1000"]
        assert lines.count("64,64,64 2 bits a label, 65536 bytes") >= 2
        foreign = httpx.get(
            f"{stack.http_url}/v1/jobs", headers={"Origin": "http://evil.example.net"}, timeout=DEADLINE_S
        )
        assert "access-control-allow-origin" not in foreign.headers
        asked = {"Origin": site.origin, "Access-Control-Request-Method": "DELETE"}
        allowed = httpx.options(f"{stack.http_url}/v1/jobs/x", headers=asked)
        assert allowed.headers["access-control-allow-origin"] == site.origin
        assert "access-control-allow-credentials" not in allowed.headers
