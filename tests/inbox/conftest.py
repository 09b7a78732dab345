"""A real server on the loopback, accounts with real keys, and a platform that encrypts and signs as real ones do."""

import http.client
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode

import pytest
import uvicorn

from tagcast import accounts
from tagcast.accounts import NewAccount
from tagcast.channels import CallbackKeys, encrypt, signature
from tagcast.inbox import CallbackApp
from tagcast.kit.uow import Runtime

AES_KEYS = ("jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C", "4Ma3YBrSBbX2aez8MJpXGBne5LSDwgGqHbhM9WPYIws")


@dataclass
class Answer:
    status: int
    body: bytes
    headers: dict[str, str]


@dataclass
class Server:
    """A client of a callback server."""

    port: int
    _connection: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def request(self, method: str, path: str, body: bytes | None = None) -> Answer:
        try:
            self._connection.request(method, path, body)
            response = self._connection.getresponse()
        except (http.client.HTTPException, ConnectionError):
            self._connection.close()
            self._connection.request(method, path, body)
            response = self._connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders() if name.lower() != "date"}
        return Answer(response.status, response.read(), headers)

    def close(self) -> None:
        self._connection.close()


@dataclass
class Platform:
    """The platform's side of one account's callbacks."""

    account: int
    path: str
    keys: CallbackKeys

    def pushed(self, xml: str, *, at: int | None = None, nonce: str = "") -> tuple[str, bytes]:
        """(address with query, body) of a delivery in secure mode."""
        at = int(time.time()) if at is None else at
        nonce = nonce or secrets.token_hex(5)
        encrypted = encrypt(self.keys, xml.encode())
        return self.addressed(encrypted, signature(self.keys.token, str(at), nonce, encrypted), str(at), nonce)

    def addressed(self, encrypted: str, signed: str, at: str, nonce: str, **more: str) -> tuple[str, bytes]:
        query = {"msg_signature": signed, "timestamp": at, "nonce": nonce, "encrypt_type": "aes", **more}
        body = f"<xml><ToUserName>to</ToUserName><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
        return f"{self.path}?{urlencode(query)}", body.encode()


def event(name: str, person: str = "o-1", at: int = 1_780_000_000, **fields: object) -> str:
    inner = "".join(f"<{key}>{value}</{key}>" for key, value in fields.items())
    return (
        f"<xml><ToUserName>gh_1</ToUserName><FromUserName>{person}</FromUserName><CreateTime>{at}</CreateTime>"
        f"<MsgType>event</MsgType><Event>{name}</Event>{inner}</xml>"
    )


def text(person: str, message_id: int, content: str) -> str:
    return (
        f"<xml><ToUserName>gh_1</ToUserName><FromUserName>{person}</FromUserName><CreateTime>1780000000</CreateTime>"
        f"<MsgType>text</MsgType><Content>{content}</Content><MsgId>{message_id}</MsgId></xml>"
    )


def platform(runtime: Runtime, new: NewAccount, workspace: int = 1) -> Platform:
    """An account with callbacks, and the platform that pushes them."""
    with runtime.work(workspace, "test") as work:
        added = accounts.add(work, new)
    keys = CallbackKeys(new.callback_token, new.encoding_aes_key, added.appid)
    return Platform(added.id, f"/callback/{added.callback_path}", keys)


@pytest.fixture
def service(runtime: Runtime) -> Platform:
    new = NewAccount(
        "service", "旗舰店", "s", appid="wx5823bf96d3bd56c7", callback_token="QDG6eK", encoding_aes_key=AES_KEYS[0]
    )
    return platform(runtime, new)


@pytest.fixture
def wecom(runtime: Runtime) -> Platform:
    new = NewAccount(
        "wecom", "企微", "s", corpid="ww6a112864f8022910", callback_token="kjr2TKI8", encoding_aes_key=AES_KEYS[1]
    )
    return platform(runtime, new)


@contextmanager
def process(runtime: Runtime) -> Iterator[tuple[Server, subprocess.Popen[str]]]:
    """A server in a process of its own, killed at the end."""
    arguments = [str(runtime.settings.home), runtime.settings.database_url]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.inbox.serve", *arguments], stdout=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        server = Server(int(started.stdout.readline()))
        try:
            yield server, started
        finally:
            server.close()
            started.kill()


@pytest.fixture
def server(runtime: Runtime) -> Iterator[Server]:
    """A server in a thread of this process."""
    app = CallbackApp(runtime)
    config = uvicorn.Config(app, port=0, lifespan="off", log_level="critical", access_log=False)
    serving = uvicorn.Server(config)
    thread = threading.Thread(target=serving.run)
    thread.start()
    while not serving.started:
        time.sleep(0.01)
    client = Server(serving.servers[0].sockets[0].getsockname()[1])
    yield client
    client.close()
    serving.should_exit = True
    thread.join()
    app.close()
