"""A running sandbox in its own process, spoken to over HTTP."""

import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Sandbox:
    """The process and its address; `get` and `post` return (status, decoded JSON)."""

    process: subprocess.Popen[str]
    url: str

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                text, status = answer.read().decode(), answer.status
        except urllib.error.HTTPError as error:
            text, status = error.read().decode(), error.code
        lines = text.splitlines()
        return status, json.loads(text) if len(lines) < 2 and text else [json.loads(line) for line in lines]

    def get(self, path: str, **query: Any) -> Any:
        return self.call("GET", f"{path}?{urllib.parse.urlencode(query)}")[1]

    def post(self, path: str, body: Any = None, **query: Any) -> Any:
        return self.call("POST", f"{path}?{urllib.parse.urlencode(query)}", {} if body is None else body)[1]

    def account(self, kind: str, **more: Any) -> "Client":
        made = self.post("/sandbox/accounts", {"kind": kind, "name": kind, "blocks": 0, **more})
        return Client(self, made)

    def to_noon(self) -> None:
        """Move the clock on to noon of the platform's day, so that an hour more does not begin another."""
        seconds = self.get("/sandbox/clock")["now"] // 1000 + 8 * 3600
        self.post("/sandbox/clock", {"advance_seconds": (12 * 3600 - seconds) % 86_400})

    def quiet(self) -> None:
        """Wait until no job and no callback is pending."""
        wait_for(lambda: self.get("/sandbox/health")["pending"] == {"jobs": 0, "callbacks": 0})

    def people(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.get("/sandbox/people")
        return rows

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


@dataclass
class Client:
    """One account: calls with its token."""

    sandbox: Sandbox
    account: dict[str, Any]
    token: str = ""

    def __post_init__(self) -> None:
        self.renew()

    @property
    def id(self) -> int:
        return int(self.account["id"])

    def renew(self) -> None:
        secret = self.account["secret"]
        if self.account["kind"] == "wecom":
            answer = self.sandbox.get("/cgi-bin/gettoken", corpid=self.account["corpid"], corpsecret=secret)
        else:
            body = {"grant_type": "client_credential", "appid": self.account["appid"], "secret": secret}
            answer = self.sandbox.post("/cgi-bin/stable_token", body)
        self.token = answer["access_token"]

    def get(self, path: str, **query: Any) -> Any:
        return self.sandbox.get(f"/cgi-bin/{path}", access_token=self.token, **query)

    def post(self, path: str, body: Any = None, **query: Any) -> Any:
        return self.sandbox.post(f"/cgi-bin/{path}", body, access_token=self.token, **query)

    def code(self, path: str, body: Any = None) -> int:
        return int(self.post(path, body).get("errcode", 0))

    def reachable(self) -> list[str]:
        """Ids of the people that follow, or are friends, in their order."""
        name = "external_userid" if self.account["kind"] == "wecom" else "openid"
        rows = (row["ids"][str(self.id)] for row in self.sandbox.people())
        return [row[name] for row in rows if row["follows"]]

    def upload(self, path: str, content: bytes = b"0123456789", kind: str = "image") -> Any:
        body = (
            b'--x\r\nContent-Disposition: form-data; name="media"; filename="a.png"\r\n\r\n'
            + content
            + b"\r\n--x--\r\n"
        )
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        query = urllib.parse.urlencode({"access_token": self.token, "type": kind})
        return self.sandbox.call("POST", f"/cgi-bin/{path}?{query}", body, headers)[1]

    def summary(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.sandbox.get("/sandbox/ledger/summary", account=self.id)
        return answer


def wait_for(ready: Callable[[], bool], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


def start(state: Path, *options: str) -> Sandbox:
    command = [sys.executable, "-m", "wechat_sandbox", "--port", "0", "--state", str(state), "--seed", "5", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return Sandbox(process, json.loads(process.stdout.readline())["url"])


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    running = start(tmp_path_factory.mktemp("sandbox") / "state.db", "--population", "400")
    running.post("/sandbox/settings", {"mass_finish_seconds": 0.1, "template_finish_seconds": 0.05})
    running.post("/sandbox/settings", {"confirm_seconds": 0.05, "list_delay_seconds": 0.2, "system_failed_share": 0})
    running.post("/sandbox/settings", {"callback_retry_seconds": 0.1})
    yield running
    running.stop()
    assert running.process.stdout is not None
    running.process.stdout.close()


@dataclass
class Receiver:
    """A local web server that records what comes and answers as told."""

    url: str = ""
    requests: list[tuple[str, dict[str, str], str, dict[str, str]]] = field(default_factory=list)
    answers: Callable[[str, dict[str, str], int], tuple[int, dict[str, str], str]] = lambda path, query, n: (
        200,
        {},
        "",
    )


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    record = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urllib.parse.urlsplit(self.path)
            query = dict(urllib.parse.parse_qsl(parts.query))
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            record.requests.append((parts.path, query, body, dict(self.headers)))
            status, headers, text = record.answers(parts.path, query, len(record.requests))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    record.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield record
    server.shutdown()
    server.server_close()
    thread.join()
