"""The callback attacks, each over real HTTP: none is accepted, nothing is stored, and every refusal looks the same."""

import asyncio
import base64
import dataclasses
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import quote, urlencode

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from tests.inbox.conftest import Answer, Platform, Server, event, platform, process, text

from tagcast import access, accounts, inbox
from tagcast.accounts import NewAccount
from tagcast.channels import CallbackKeys, encrypt, signature
from tagcast.inbox import CallbackApp
from tagcast.inbox.tables import messages
from tagcast.kit import events
from tagcast.kit.uow import Runtime

Push = tuple[str, bytes]


def effects(runtime: Runtime) -> tuple[int, int]:
    """How many callbacks are stored and how many events published."""
    with runtime.engine.connect() as connection:
        return tuple(
            connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for table in (messages, events.events)
        )  # type: ignore[return-value] # two tables, two counts


@pytest.fixture
def refused(runtime: Runtime, server: Server, service: Platform) -> Iterator[Callable[[Push], None]]:
    """Pushes an attack; in the end: none had an effect, all were refused alike, and a genuine one still is taken."""
    nothing = server.request("POST", service.path, b"")
    assert nothing.status == 400
    answers: list[Answer] = []
    yield lambda push: answers.append(server.request("POST", *push))
    assert answers
    assert [answer for answer in answers if answer != nothing] == []
    assert effects(runtime) == (0, 0)
    assert server.request("POST", *service.pushed(event("subscribe"))).body == b"success"
    assert effects(runtime) == (1, 1)


Refused = Callable[[Push], None]


def stamp() -> tuple[str, str]:
    return str(int(time.time())), secrets.token_hex(6)


def sealed(keys: CallbackKeys, plain: bytes) -> str:
    """A layout of the attacker's making under the right key: what only the key's holder could do."""
    encryptor = Cipher(algorithms.AES(keys.key()), modes.CBC(keys.key()[:16])).encryptor()
    return base64.b64encode(encryptor.update(plain) + encryptor.finalize()).decode()


def padded(plain: bytes) -> bytes:
    pad = 32 - len(plain) % 32
    return plain + bytes([pad]) * pad


def signed(platform: Platform, encrypted: str) -> Push:
    """An address and a body with the right signature over whatever is inside."""
    at, nonce = stamp()
    return platform.addressed(encrypted, signature(platform.keys.token, at, nonce, encrypted), at, nonce)


def test_a1_plain_and_compatible_mode(refused: Refused, service: Platform) -> None:
    at, nonce = stamp()
    xml = event("subscribe").encode()
    plain = urlencode({"signature": signature(service.keys.token, at, nonce), "timestamp": at, "nonce": nonce})
    path, body = service.pushed(event("subscribe"))
    refused((f"{service.path}?{plain}", xml))
    refused((f"{service.path}?{plain}&openid=o-1", xml))
    refused((f"{service.path}?{plain}", body))
    refused((path.replace("encrypt_type=aes", "encrypt_type=raw"), body))
    refused((path, body.replace(b"</xml>", b"<Event>subscribe</Event><FromUserName>o-1</FromUserName></xml>")))
    refused((path.replace("msg_signature", "signature"), body))


def test_a2_border_shifts_of_2000_messages(refused: Refused, runtime: Runtime, service: Platform) -> None:
    for index in range(2000 if runtime.engine.dialect.name == "sqlite" else 200):
        at, nonce = str(int(time.time())), f"n{index}"
        encrypted = encrypt(service.keys, event("subscribe", f"o-{index}").encode())
        genuine = signature(service.keys.token, at, nonce, encrypted)
        cut = 1 + index % 40
        match index % 3:
            case 0:
                refused(service.addressed(encrypted[cut:], genuine, at, nonce + encrypted[:cut]))
            case 1:
                refused(service.addressed(encrypted[cut:], genuine, at + encrypted[:cut], nonce))
            case _:
                refused(service.addressed(nonce[1:] + encrypted, genuine, at, nonce[:1]))


def test_a3_another_accounts_signature_address_or_receiver(
    refused: Refused, runtime: Runtime, server: Server, service: Platform, wecom: Platform
) -> None:
    mine, foreign = encrypt(service.keys, event("subscribe").encode()), encrypt(wecom.keys, event("subscribe").encode())
    path, body = service.pushed(event("subscribe"))
    refused((path.replace(service.path, wecom.path), body))
    path, body = wecom.pushed(event("subscribe"))
    refused((path.replace(wecom.path, service.path), body))
    refused(signed(dataclasses.replace(wecom, path=service.path), mine))
    refused(signed(service, foreign))
    for receiver in (b"", b"wx", service.keys.receive_id.encode() + b"x", b"x" + service.keys.receive_id.encode()):
        xml = event("subscribe").encode()
        refused(signed(service, sealed(service.keys, padded(bytes(16) + len(xml).to_bytes(4, "big") + xml + receiver))))


def test_a3_the_same_keys_in_another_workspace(runtime: Runtime, server: Server, service: Platform) -> None:
    """The address says whose callback it is: what is pushed to one workspace is stored there alone, twice if twice."""
    with runtime.system() as connection:
        access.create_workspace(connection, runtime.master_key, "other")
    other = platform(
        runtime,
        NewAccount(
            "service", "别处", "s", appid=service.keys.receive_id, callback_token=service.keys.token,
            encoding_aes_key=service.keys.aes_key,
        ),
        workspace=2,
    )  # fmt: skip
    path, body = service.pushed(text("o-1", 5, "hi"))
    for pushed, found in (((path, body), [1]), ((path.replace(service.path, other.path), body), [1, 2])):
        assert server.request("POST", *pushed).status == 200
        with runtime.engine.connect() as connection:
            assert sorted(connection.scalars(sa.select(messages.c.workspace))) == found
    with runtime.read(2, "test") as work:
        assert len(inbox.stored(work, [1, 2])) == 1


def test_a4_other_spellings(refused: Refused, service: Platform) -> None:
    at, nonce = stamp()
    encrypted = encrypt(service.keys, text("o-1", 5, "x" * 31).encode())
    genuine = signature(service.keys.token, at, nonce, encrypted)
    path, body = service.addressed(encrypted, genuine, at, nonce)
    refused(service.addressed(encrypted, genuine.upper(), at, nonce))
    for name, value in (("nonce", nonce), ("timestamp", at), ("msg_signature", genuine)):
        refused((f"{path}&{name}={value}", body))
        refused((path.replace(f"{name}={value}", f"{name}=%20{value}"), body))
        refused((path.replace(f"{name}={value}", f"{name}={value}%0A"), body))
        refused((path.replace(f"{name}={value}", f"{name}={value}+"), body))
    refused(service.addressed(encrypted, genuine, f"0{at}", nonce))
    refused(service.addressed(encrypted, genuine, "".join(chr(ord(digit) + 0xFEE0) for digit in at), nonce))
    for changed in (
        encrypted.replace("+", " "),
        encrypted + "=",
        f" {encrypted}",
        f"{encrypted}\n<!-- -->",
        encrypted + "AA",
    ):
        if changed != encrypted:
            refused(signed(service, changed) if changed != encrypted.replace("+", " ") else (path, body[:-20]))
    spare = encrypted.rstrip("=")
    if len(spare) != len(encrypted):
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        twisted = spare[:-1] + alphabet[alphabet.index(spare[-1]) ^ 1] + encrypted[len(spare) :]
        assert base64.b64decode(twisted) == base64.b64decode(encrypted)
        refused(signed(service, twisted))


def test_a5_replays_within_the_window_have_no_second_effect(
    runtime: Runtime, server: Server, service: Platform
) -> None:
    """A repeat looks like the platform's own: it is answered with success, so that nobody learns anything from it."""
    xml = text("o-1", 901, "退订")
    first = service.pushed(xml)
    again_encrypted = service.pushed(xml)
    new_nonce = signed(service, encrypt(service.keys, xml.encode()))
    for push in (first, first, again_encrypted, new_nonce):
        assert server.request("POST", *push).body == b"success"
    assert effects(runtime) == (1, 1)
    with process(runtime) as (restarted, _):
        assert restarted.request("POST", *first).body == b"success"
    assert effects(runtime) == (1, 1)


def test_a5_replays_outside_the_window_are_refused(refused: Refused, service: Platform) -> None:
    now = int(time.time())
    for at in (now - 310, now + 310, now - 86_400, now - 365 * 86_400, 1_000_000_000, 9_999_999_999):
        refused(service.pushed(event("subscribe"), at=at))


def test_a5_the_timestamp_of_a_captured_request_cannot_be_renewed(refused: Refused, service: Platform) -> None:
    old = int(time.time()) - 400
    path, body = service.pushed(event("subscribe"), at=old)
    refused((path.replace(str(old), str(int(time.time()))), body))


def test_a6_every_changed_byte_looks_the_same(refused: Refused, service: Platform) -> None:
    at, nonce = stamp()
    encrypted = encrypt(service.keys, event("subscribe").encode())
    genuine = signature(service.keys.token, at, nonce, encrypted)
    raw = base64.b64decode(encrypted)
    for position in range(len(raw)):
        changed = bytearray(raw)
        changed[position] ^= 1 << position % 8
        refused(service.addressed(base64.b64encode(changed).decode(), genuine, at, nonce))
    for position in range(len(genuine)):
        wrong = genuine[:position] + ("0" if genuine[position] != "0" else "1") + genuine[position + 1 :]
        refused(service.addressed(encrypted, wrong, at, nonce))


def test_a6_bad_padding_is_no_oracle(refused: Refused, service: Platform) -> None:
    """Even under the right signature: each padding that is wrong gets the answer that everything wrong gets."""
    xml = event("subscribe").encode()
    inside = bytes(16) + len(xml).to_bytes(4, "big") + xml + service.keys.receive_id.encode()
    whole = padded(inside)
    pad = whole[-1]
    for last in {0, 33, 255, (pad % 32) + 1} - {pad}:
        refused(signed(service, sealed(service.keys, whole[:-1] + bytes([last]))))
    refused(
        signed(
            service,
            sealed(service.keys, whole[:-pad] + b"\x01" * (pad - 1) + bytes([pad]) if pad > 1 else whole + whole),
        )
    )
    refused(signed(service, sealed(service.keys, whole[:16])))


@pytest.mark.parametrize("length", [0, -1, -(2**31), 2**31, 2**32 - 1, 10_000_000, None])
def test_b2_lengths_that_lie(refused: Refused, service: Platform, length: int | None) -> None:
    xml = event("subscribe").encode()
    claimed = (len(xml) + 1 if length is None else length) % 2**32
    plain = bytes(16) + claimed.to_bytes(4, "big") + xml + service.keys.receive_id.encode()
    refused(signed(service, sealed(service.keys, padded(plain))))


def test_a7_hostile_xml_outside_and_inside(refused: Refused, service: Platform) -> None:
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.settimeout(0.05)
        url = f"http://127.0.0.1:{canary.getsockname()[1]}/x"
        hostile = [
            b"<!DOCTYPE xml><xml><A>1</A></xml>",
            f'<!DOCTYPE xml [<!ENTITY a SYSTEM "{url}">]><xml><FromUserName>&a;</FromUserName></xml>'.encode(),
            f'<!DOCTYPE xml SYSTEM "{url}"><xml><A>1</A></xml>'.encode(),
            b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + b'<!ENTITY b "&a;&a;&a;&a;&a;&a;">]><xml><A>&b;</A></xml>',
            f"<?xml-stylesheet href='{url}'?><xml><A>1</A></xml>".encode(),
            b"<xml>" + b"<a>" * 8000 + b"</a>" * 8000 + b"</xml>",
            b"<xml>" + b"<a/>" * 5000 + b"</xml>",
            b'<xml xmlns:x="' + url.encode() + b'"><x:A>1</x:A>' + b"\x00</xml>",
        ]
        path, body = service.pushed(event("subscribe"))
        for xml in hostile:
            began = time.perf_counter()
            refused((path, xml))
            refused((path, xml.replace(b"</xml>", body.removeprefix(b"<xml>"))))
            refused(signed(service, encrypt(service.keys, xml)))
            assert time.perf_counter() - began < 1
        with pytest.raises(TimeoutError):
            canary.accept()


def test_bodies_and_queries_that_are_too_large(refused: Refused, service: Platform) -> None:
    path, body = service.pushed(event("subscribe"))
    refused((path, b" " * (64 * 1024) + body))
    refused((path + "&a=" + "x" * 30_000, body))
    refused((path + "".join(f"&a{n}=1" for n in range(40)), body))
    large = text("o-1", 1, "x" * 60_000)
    refused(signed(service, encrypt(service.keys, large.encode())))


def test_unknown_addresses_answer_alike_and_tell_nothing(server: Server, service: Platform) -> None:
    query = service.pushed(event("subscribe"))[0].partition("?")[2]
    paths = ["0" * 32, service.path[10:-1] + ("0" if service.path[-1] != "0" else "1"), service.path[10:].upper() + "A"]
    answers = [server.request("POST", f"/callback/{path}?{query}", b"x") for path in paths]
    assert {answer.status for answer in answers} == {404}
    assert all(answer == answers[0] for answer in answers)


def test_f9_three_times_out_of_order_and_late(runtime: Runtime, server: Server, service: Platform) -> None:
    """The platform repeats and mixes; what is stored is each once, and its own time says which was last."""
    now = int(time.time())
    xmls = [event("subscribe", at=now - 50), event("unsubscribe", at=now - 20), event("subscribe", at=now - 5)]
    late = event("unsubscribe", "o-2", at=now - 3 * 86_400)
    for xml in (xmls[2], xmls[0], xmls[1], late, xmls[2], xmls[1], xmls[0], xmls[0]):
        assert server.request("POST", *service.pushed(xml)).body == b"success"
    with runtime.read(1, "test") as work:
        ids = list(work.connection.scalars(sa.select(messages.c.id)))
        facts = sorted(inbox.stored(work, ids), key=lambda fact: fact.inbound.at)
    assert [fact.inbound.kind for fact in facts] == ["unfollowed", "followed", "unfollowed", "followed"]
    assert effects(runtime) == (4, 4)


def test_the_same_event_of_two_accounts_is_two_facts(runtime: Runtime, server: Server, service: Platform) -> None:
    new = NewAccount("service", "二店", "s", appid="wx00000000000000b2", callback_token="T2", encoding_aes_key="a" * 43)
    with runtime.work(1, "test") as work:
        added = accounts.add(work, new)
    second = Platform(added.id, f"/callback/{added.callback_path}", CallbackKeys("T2", "a" * 43, new.appid))
    for one in (service, second):
        assert server.request("POST", *one.pushed(text("o-1", 5, "hi"))).body == b"success"
    assert effects(runtime) == (2, 2)


def test_a_full_queue_asks_the_platform_to_come_again(runtime: Runtime, service: Platform) -> None:
    """Nothing is acknowledged that is not stored: beyond the queue's end the answer is 503, and a repeat is taken."""

    async def ask(app: CallbackApp, push: Push) -> int:
        path, _, query = push[0].partition("?")
        statuses: list[int] = []

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": push[1]}

        async def send(message: dict[str, object]) -> None:
            if "status" in message:
                statuses.append(int(str(message["status"])))

        await app({"type": "http", "path": path, "method": "POST", "query_string": query.encode()}, receive, send)  # type: ignore[arg-type] # simplified messages
        return statuses[0]

    pushes = [service.pushed(text("o-1", number, "hi")) for number in range(60)]

    async def run() -> list[int]:
        app = CallbackApp(runtime, waiting=5)
        await ask(app, service.pushed(text("o-1", 1000, "hi")))
        found = await asyncio.gather(*(ask(app, push) for push in pushes))
        again = [await ask(app, push) for push, status in zip(pushes, found, strict=True) if status == 503]
        assert set(again) == {200}
        app.close()
        return found

    statuses = asyncio.run(run())
    assert set(statuses) == {200, 503}
    assert effects(runtime) == (61, 61)


def test_a_body_that_never_ends_is_refused(runtime: Runtime, service: Platform) -> None:
    import uvicorn

    app = CallbackApp(runtime, body_seconds=0.3)
    serving = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_level="critical"))
    thread = threading.Thread(target=serving.run)
    thread.start()
    while not serving.started:
        time.sleep(0.01)
    path, body = service.pushed(event("subscribe"))
    with socket.create_connection(serving.servers[0].sockets[0].getsockname()[:2], timeout=5) as client:
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body[:-1])
        began = time.monotonic()
        assert client.recv(1000).startswith(b"HTTP/1.1 400")
        assert time.monotonic() - began < 2
    serving.should_exit = True
    thread.join()
    app.close()
    assert effects(runtime) == (0, 0)


def test_url_checks_cannot_be_forged(server: Server, service: Platform, wecom: Platform) -> None:
    at, nonce = stamp()
    echo = encrypt(wecom.keys, b"123")
    for token, stamp_ in (("wrong", at), (wecom.keys.token, str(int(at) - 400))):
        query = urlencode(
            {
                "msg_signature": signature(token, stamp_, nonce, echo),
                "timestamp": stamp_,
                "nonce": nonce,
                "echostr": echo,
            }
        )
        assert server.request("GET", f"{wecom.path}?{query}").status == 400
    plain = {"signature": signature("wrong", at, nonce), "timestamp": at, "nonce": nonce, "echostr": "1"}
    assert server.request("GET", f"{service.path}?{urlencode(plain)}").status == 400
    assert server.request("GET", f"{service.path}?echostr={quote('<script>')}").status == 400
