"""Failures are told apart on real sockets; inner addresses are refused at connect time."""

import asyncio
import gc
import os
import socket
import ssl
import struct
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tagcast.kit.fasthttp import FastTransport
from tagcast.kit.http import (
    AddressPolicy,
    AiohttpTransport,
    Choice,
    InDoubt,
    NotSent,
    Resolve,
    Response,
    is_global,
    open_transport,
    system_resolve,
)

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Kind = type[AiohttpTransport] | type[FastTransport]
INNER = AddressPolicy(allow_private=True)


@pytest.fixture(params=[AiohttpTransport, FastTransport], ids=["aiohttp", "fast"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each transport: one contract for both."""
    chosen: Kind = request.param
    return chosen


def abort(writer: asyncio.StreamWriter) -> None:
    """Close with a TCP reset instead of an orderly end."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return head + await reader.readexactly(length)


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[int]:
    """A loopback server; gives its port and leaves no connection open behind it."""
    tasks: list[asyncio.Task[None] | None] = []
    writers: list[asyncio.StreamWriter] = []

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        writers.append(writer)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in tasks if task), return_exceptions=True)
        for writer in writers:
            with suppress(ConnectionError):
                await writer.wait_closed()


def post(kind: Kind, handler: Handler, *, timeout: float = 3.0, max_body: int = 1000, times: int = 1) -> Response:
    """POST to a loopback server that behaves as `handler`."""

    async def run() -> Response:
        async with listening(handler) as port, kind(policy=INNER, max_body=max_body) as transport:
            for _ in range(times):
                answer = await transport.request(
                    "POST", f"http://127.0.0.1:{port}/send?access_token=SECRET", body=b"x" * 100, timeout=timeout
                )
            return answer

    return asyncio.run(run())


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def answer_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Kind: a\r\n\r\nok")
        await writer.drain()


def test_an_answer_is_returned_whole(kind: Kind) -> None:
    answer = post(kind, answer_ok)
    assert (answer.status, answer.body, answer.headers["x-kind"]) == (200, b"ok", "a")


def test_a_refused_connection_was_not_sent(kind: Kind) -> None:
    assert refusal(kind, f"http://127.0.0.1:{closed_port()}/", INNER) == "connection refused"


def test_accept_then_close_is_in_doubt(kind: Kind) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    with pytest.raises(InDoubt):
        post(kind, handler)


def test_a_reset_after_the_request_is_in_doubt(kind: Kind) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        abort(writer)

    with pytest.raises(InDoubt, match="disconnected"):
        post(kind, handler)


def test_a_server_that_hangs_is_in_doubt(kind: Kind) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await asyncio.sleep(2)

    with pytest.raises(InDoubt, match="timeout"):
        post(kind, handler, timeout=0.2)


def test_half_an_answer_is_in_doubt(kind: Kind) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"errcode":0')
        await writer.drain()

    with pytest.raises(InDoubt, match="answer cut short"):
        post(kind, handler)


def test_bytes_that_are_not_http_are_in_doubt(kind: Kind) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"what?\r\n\r\n")
        await writer.drain()

    with pytest.raises(InDoubt, match="bad answer"):
        post(kind, handler)


@pytest.mark.parametrize("size", [1000, 1001])
def test_an_oversized_answer_is_in_doubt(kind: Kind, size: int) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"z" * size)
        await writer.drain()

    if size == 1000:
        assert len(post(kind, handler, max_body=1000).body) == 1000
    else:
        with pytest.raises(InDoubt, match="answer too large"):
            post(kind, handler, max_body=1000)


def test_a_kept_connection_that_the_server_dropped_is_in_doubt(kind: Kind) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        await read_request(reader)
        abort(writer)

    with pytest.raises(InDoubt):
        post(kind, handler, times=2)


def test_waiting_in_vain_for_a_free_connection_was_not_sent(kind: Kind) -> None:
    async def run() -> tuple[int, str]:
        arrived = 0

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal arrived
            await read_request(reader)
            arrived += 1
            await asyncio.sleep(1)

        async with listening(handler) as port, kind(policy=INNER, connections=1) as transport:
            url = f"http://127.0.0.1:{port}/"
            first = asyncio.create_task(transport.request("POST", url, body=b"1", timeout=0.6))
            await asyncio.sleep(0.1)
            with pytest.raises(NotSent) as second:
                await transport.request("POST", url, body=b"2", timeout=0.2)
            with pytest.raises(InDoubt):
                await first
        return arrived, second.value.reason

    assert asyncio.run(run()) == (1, "timeout")


def test_a_connection_that_is_never_accepted_was_not_sent(kind: Kind) -> None:
    async def run() -> None:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        async with kind(policy=INNER) as transport:
            with pytest.raises(NotSent, match="timeout"):
                await transport.request("POST", f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout=0.3)
        for each in [*fillers, listener]:
            each.close()

    asyncio.run(run())


def test_tls_that_fails_was_not_sent(kind: Kind) -> None:
    async def run() -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 plain\r\n\r\n")
            await writer.drain()

        async with listening(handler) as port, kind(policy=INNER) as transport:
            with pytest.raises(NotSent):
                await transport.request("POST", f"https://127.0.0.1:{port}/", body=b"1")

    asyncio.run(run())


def test_redirects_are_returned_and_not_followed(kind: Kind) -> None:
    visits: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append(await read_request(reader))
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    answer = post(kind, handler)
    assert (answer.status, answer.headers["location"]) == (302, "http://169.254.169.254/latest")
    assert len(visits) == 1


def test_a_failure_never_tells_the_url(kind: Kind) -> None:
    with pytest.raises(InDoubt) as failure:
        post(kind, answer_ok, max_body=1)
    assert "SECRET" not in "".join(traceback.format_exception(failure.value))


STRICT = AddressPolicy()
INNER_ADDRESSES = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1"),
    *("169.254.169.254", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "[::1]", "[::]", "[fd00::1]"),
    *("[::ffff:7f00:1]", "[::ffff:8.8.8.8]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::808:808]"),
    *("[64:ff9b:1::1]", "[fe80::1]", "[fec0::1]", "[ff02::1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[2001:db8::1]"),
]


def refusal(kind: Kind, url: str, policy: AddressPolicy = STRICT, resolve: Resolve = system_resolve) -> str:
    async def run() -> str:
        async with kind(policy=policy, resolve=resolve) as transport:
            with pytest.raises(NotSent) as refused:
                await transport.request("GET", url, timeout=2)
            return refused.value.reason

    return asyncio.run(run())


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[::ffff:7f00:1]",
        "[::ffff:8.8.8.8]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::808:808]",
        "[64:ff9b:1::1]",
        "[fd00::1]",
        "[fe80::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "[2001:db8::1]",
    ],
)
def test_inner_literal_addresses_are_refused(kind: Kind, host: str) -> None:
    assert refusal(kind, f"http://{host}/latest/meta-data") == "address refused"


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "localhost", "127.0.0.1."])
def test_other_spellings_of_inner_addresses_do_not_connect(kind: Kind, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        assert refusal(kind, f"http://{host}:{listener.getsockname()[1]}/")
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize(
    "url",
    [
        "gopher://8.8.8.8/",
        "file:///etc/passwd",
        "ftp://8.8.8.8/",
        "//8.8.8.8/",
        "http://",
        "http://[::1",
        "http://a:99999/",
    ],
)
def test_other_schemes_and_broken_urls_are_refused(kind: Kind, url: str) -> None:
    assert refusal(kind, url, INNER) == "bad url"


@pytest.mark.parametrize("url", ["http://a@8.8.8.8/", "http://a:b@8.8.8.8/", "http://:b@8.8.8.8/"])
def test_credentials_in_the_url_are_refused(kind: Kind, url: str) -> None:
    assert refusal(kind, url, INNER) == "credentials in url"


class Names:
    """Answers with the given addresses, one list per look-up, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.looked_up = 0

    async def __call__(self, host: str, port: int) -> list[str]:
        answer = self.answers[min(self.looked_up, len(self.answers) - 1)]
        self.looked_up += 1
        return answer


@pytest.mark.parametrize(
    "inner", ["127.0.0.1", "10.0.0.8", "169.254.169.254", "::ffff:127.0.0.1", "fd00::1", "fe80::1%1"]
)
def test_names_that_resolve_to_inner_addresses_are_refused(kind: Kind, inner: str) -> None:
    assert refusal(kind, "http://shop.example/", resolve=Names([inner])) == "address refused"
    assert refusal(kind, "http://shop.example/", resolve=Names(["8.8.8.8", inner])) == "address refused"


def test_only_the_configured_host_may_stand_for_an_inner_address(kind: Kind) -> None:
    async def run() -> tuple[int, str]:
        connections = 0

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            await writer.drain()

        async with listening(handler) as port:
            policy = AddressPolicy(exceptions=frozenset({f"sandbox.test:{port}"}))
            async with kind(policy=policy, resolve=Names(["127.0.0.1"])) as transport:
                assert (await transport.request("GET", f"http://sandbox.test:{port}/")).body == b"ok"
                with pytest.raises(NotSent) as refused:
                    await transport.request("GET", f"http://other.test:{port}/")
        return connections, refused.value.reason

    assert asyncio.run(run()) == (1, "address refused")


def test_a_name_rebound_to_an_inner_address_is_refused_when_it_is_looked_up_again(kind: Kind) -> None:
    async def run() -> list[str]:
        reasons = []
        names = Names(["240.0.0.1"], ["127.0.0.1"])
        policy = AddressPolicy(exceptions=frozenset())
        async with kind(policy=policy, resolve=names) as transport:
            for _ in range(2):
                with pytest.raises(NotSent) as refused:
                    await transport.request("GET", "http://rebind.test/", timeout=0.3)
                reasons.append(refused.value.reason)
        assert names.looked_up == 2
        return reasons

    assert asyncio.run(run()) == ["address refused", "address refused"]


def test_an_exception_is_one_host_and_one_port(kind: Kind) -> None:
    policy = AddressPolicy(exceptions=frozenset({"127.0.0.1:9"}))
    assert refusal(kind, "http://127.0.0.1:9/", policy) in {"connection refused", "cannot connect"}
    assert refusal(kind, "http://127.0.0.1:10/", policy) == "address refused"


def test_public_addresses_are_global() -> None:
    assert is_global("8.8.8.8")
    assert is_global("2606:4700::1111")
    assert not is_global("shop.example")


def test_an_answer_without_a_length_is_bounded_too(kind: Kind) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(200):
            writer.write(b"400\r\n" + b"z" * 1024 + b"\r\n")
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    assert len(post(kind, handler, max_body=200 * 1024).body) == 200 * 1024
    with pytest.raises(InDoubt, match="answer too large"):
        post(kind, handler, max_body=200 * 1024 - 1)


def test_waiting_for_a_free_connection_was_not_sent(kind: Kind) -> None:
    async def run() -> list[type[BaseException]]:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            await asyncio.sleep(2)

        async with listening(handler) as port, kind(policy=INNER, connections=1) as transport:
            url = f"http://127.0.0.1:{port}/"
            calls = (transport.request("POST", url, body=b"1", timeout=limit) for limit in (0.6, 0.2))
            ended = await asyncio.gather(*calls, return_exceptions=True)
        return [type(one) for one in ended if isinstance(one, BaseException)]

    assert asyncio.run(run()) == [InDoubt, NotSent]


def test_a_name_that_is_not_resolved_in_time_was_not_sent(kind: Kind) -> None:
    async def never(_host: str, _port: int) -> list[str]:
        await asyncio.sleep(5)
        return []

    async def nothing(_host: str, _port: int) -> list[str]:
        raise OSError("no such name")

    async def reason(resolve: Resolve) -> str:
        async with kind(policy=INNER, resolve=resolve) as transport:
            with pytest.raises(NotSent) as failure:
                await transport.request("GET", "http://shop.example/", timeout=0.2)
        return failure.value.reason

    assert asyncio.run(reason(never)) == "timeout"
    assert asyncio.run(reason(nothing)) == "name not found"


@pytest.mark.parametrize("name", ["sandbox.test", "SandBox.test", "sandbox.test.", "sändbox.test", "a_b.test"])
def test_a_name_is_connected_at_its_checked_address_and_keeps_its_host_header(kind: Kind, name: str) -> None:
    seen: list[bytes] = []

    async def run() -> int:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(await read_request(reader))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()

        async with listening(handler) as port:
            async with kind(policy=INNER, resolve=Names(["127.0.0.1"])) as transport:
                await transport.request("GET", f"http://{name}:{port}/a")
            return port

    port = asyncio.run(run())
    host = name.lower().encode("idna").decode() if not name.endswith(".") else name
    heads = [line.partition(b":")[2].strip() for line in seen[0].split(b"\r\n") if line.lower().startswith(b"host:")]
    assert [head.decode().replace(".:", ":") for head in heads] == [f"{host}:{port}".replace(".:", ":")]


def test_a_proxy_of_the_environment_is_not_used(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    assert post(kind, answer_ok).body == b"ok"


def test_a_certificate_that_nobody_vouches_for_was_not_sent(kind: Kind, tmp_path: Path) -> None:
    got: list[bytes] = []
    asked_for: list[str | None] = []

    async def run() -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            got.append(await reader.read(100))

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self_signed("sandbox.test", tmp_path))
        context.set_servername_callback(lambda _socket, name, _context: asked_for.append(name))
        server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        async with server, kind(policy=INNER, resolve=Names(["127.0.0.1"])) as transport:
            with pytest.raises(NotSent):
                await transport.request("POST", f"https://sandbox.test:{port}/", body=b"secret")

    asyncio.run(run())
    assert b"".join(got) == b""
    assert asked_for == ["sandbox.test"]


def self_signed(name: str, folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(private + made.public_bytes(pem))
    return file


def test_the_fast_transport_goes_on_at_the_next_address() -> None:
    async def run() -> tuple[list[str], int]:
        reasons = []
        names = Names(["127.0.0.2", "127.0.0.1"])
        async with listening(answer_ok) as port, FastTransport(policy=INNER, resolve=names) as transport:
            for _ in range(3):
                try:
                    reasons.append(
                        (await transport.request("POST", f"http://shop.test:{port}/", body=b"1")).body.decode()
                    )
                except NotSent as failure:
                    reasons.append(failure.reason)
        return reasons, names.looked_up

    assert asyncio.run(run()) == (["connection refused", "ok", "ok"], 1)


def test_the_fast_transport_resolves_again_when_a_pin_is_old() -> None:
    """The name has moved: a new call goes to the new address, the one in flight at the old address ends well."""

    async def run() -> tuple[bytes, str, int]:
        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            await asyncio.sleep(0.4)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()

        names = Names(["127.0.0.1"], ["127.0.0.3"])
        async with listening(slow) as port, FastTransport(policy=INNER, resolve=names, pin_seconds=0.05) as transport:
            first = asyncio.create_task(transport.request("POST", f"http://shop.test:{port}/", body=b"1"))
            await asyncio.sleep(0.1)
            with pytest.raises(NotSent) as moved:
                await transport.request("POST", f"http://shop.test:{port}/", body=b"1")
            gc.collect()
            return (await first).body, moved.value.reason, names.looked_up

    assert asyncio.run(run()) == (b"ok", "connection refused", 2)


def test_the_operator_chooses_the_transport() -> None:
    chosen = {choice: type(open_transport(STRICT, choice=choice)) for choice in get_args(Choice)}
    assert chosen == {"aiohttp": AiohttpTransport, "fast": FastTransport, "auto": FastTransport}


def test_without_the_extra_the_fast_transport_is_refused_and_auto_does_without() -> None:
    program = (
        "import sys; sys.modules['pyreqwest'] = None\n"
        "from tagcast.kit.http import AddressPolicy, open_transport\n"
        "print(type(open_transport(AddressPolicy(), choice='auto')).__name__)\n"
        "open_transport(AddressPolicy(), choice='fast')\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.stdout == "AiohttpTransport\n"
    assert "kit.no_fast_transport" in ended.stderr or "fast transport is not installed" in ended.stderr


def test_an_answer_that_ends_with_the_connection_is_whole(kind: Kind) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        await writer.drain()

    assert post(kind, handler, times=2).body == b"all of it"


def test_an_interim_answer_is_not_the_answer(kind: Kind) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(b"HTTP/1.1 100 Continue\r\nX-Kind: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()

    answer = post(kind, handler, times=3)
    assert (answer.status, answer.body, answer.headers.get("x-kind")) == (200, b"ok", None)


def test_an_answer_nobody_asked_for_never_answers_the_next_request(kind: Kind) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        forged = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + forged)
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(forged)
        await writer.drain()
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def run() -> list[bytes]:
        async with listening(handler) as port, kind(policy=INNER) as transport:
            found = []
            for _ in range(3):
                with suppress(InDoubt):
                    found.append((await transport.request("POST", f"http://127.0.0.1:{port}/", body=b"1")).body)
                await asyncio.sleep(0.1)
            return found

    assert set(asyncio.run(run())) == {b"ok"}


def test_a_cancelled_call_leaves_no_answer_behind(kind: Kind) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            await asyncio.sleep(0.2 if request.endswith(b"slow") else 0)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + request[-4:])
            await writer.drain()

    async def run() -> bytes:
        async with listening(handler) as port, kind(policy=INNER, connections=1) as transport:
            slow = asyncio.create_task(transport.request("POST", f"http://127.0.0.1:{port}/", body=b"slow"))
            await asyncio.sleep(0.05)
            slow.cancel()
            with suppress(asyncio.CancelledError):
                await slow
            return (await transport.request("POST", f"http://127.0.0.1:{port}/", body=b"fast")).body

    assert asyncio.run(run()) == b"fast"


@pytest.mark.parametrize("headers", [{"X": "a\r\nY: b"}, {"X": "a\n"}, {"X\r\nY": "b"}, {"X": "\u2603"}])
def test_headers_cannot_be_smuggled(kind: Kind, headers: dict[str, str]) -> None:
    seen: list[bytes] = []

    async def run() -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(await read_request(reader))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()

        async with listening(handler) as port, kind(policy=INNER) as transport:
            with suppress(NotSent, InDoubt):
                await transport.request("GET", f"http://127.0.0.1:{port}/", headers=headers)

    asyncio.run(run())
    assert not any(b"\nY: b" in request for request in seen)


TLS_PROGRAM = """
import asyncio, sys
from tagcast.kit.http import AddressPolicy, NotSent, open_transport

async def main(choice, port):
    async with open_transport(AddressPolicy(allow_private=True), choice=choice) as transport:
        for host in ("127.0.0.1", "localhost"):
            try:
                print((await transport.request("POST", f"https://{host}:{port}/", body=b"1")).body.decode())
            except NotSent:
                print("not sent")

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


@pytest.mark.parametrize("choice", ["aiohttp", "fast"])
def test_tls_by_a_trusted_certificate_of_the_right_name(choice: str, tmp_path: Path) -> None:
    file = self_signed("localhost", tmp_path)

    async def run() -> bytes:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        server = await asyncio.start_server(answer_ok_once, "127.0.0.1", 0, ssl=context)
        port = str(server.sockets[0].getsockname()[1])
        async with server:
            # What is trusted is read when a process starts.
            program = await asyncio.create_subprocess_exec(
                sys.executable, "-c", TLS_PROGRAM, choice, port,
                stdout=subprocess.PIPE, env={**os.environ, "SSL_CERT_FILE": str(file)},
            )  # fmt: skip
            said, _ = await program.communicate()
        return said

    assert asyncio.run(run()) == b"not sent\nok\n"


async def answer_ok_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
    writer.close()
