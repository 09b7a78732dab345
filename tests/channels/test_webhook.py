"""Webhook accounts against a real receiver over HTTP."""

import asyncio
import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tagcast.channels.errors import ChannelError, Reaction
from tagcast.channels.messages import Article, Text
from tagcast.channels.webhook import BadSignature, Recipient, WebhookClient, new_secret, sign, verify
from tagcast.kit.http import AddressPolicy, AiohttpTransport


class Receiver(ThreadingHTTPServer):
    """Checks each webhook as a receiver should, and answers what the test set."""

    def __init__(self, secret: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.secret = secret
        self.answer: tuple[int, bytes] = (200, b"")
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/in"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            ident = verify(self.server.secret, {k.lower(): v for k, v in self.headers.items()}, body, now=time.time())
        except BadSignature:
            status, answer = 401, b""
        else:
            self.server.seen.append((ident, json.loads(body)))
            status, answer = self.server.answer
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver(new_secret())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def deliver(receiver: Receiver, *people: Recipient, secret: str = "", key: str = "b1-0") -> Any:
    async def run() -> Any:
        async with AiohttpTransport(policy=AddressPolicy(allow_private=True)) as transport:
            client = WebhookClient(transport, receiver.url, secret or receiver.secret)
            return await client.deliver(key, Article("题目", url="https://e.example/a"), people)

    return asyncio.run(run())


def test_a_delivery_says_who_gets_what_and_is_signed(receiver: Receiver) -> None:
    receiver.answer = (200, b'{"refused":[{"id":"m2","reason":"left"},{"id":"stranger"}]}')
    done = deliver(receiver, Recipient("m1", "https://t.example/1"), Recipient("m2"))
    assert dict(done.refused) == {"m2": "left"}
    [(ident, said)] = receiver.seen
    assert ident == "b1-0"
    assert said == {
        "type": "broadcast",
        "message": {"kind": "article", "title": "题目", "url": "https://e.example/a"},
        "recipients": [{"id": "m1", "url": "https://t.example/1"}, {"id": "m2"}],
    }


@pytest.mark.parametrize(
    ("status", "body", "reaction", "reason"),
    [
        (500, b"", Reaction.IN_DOUBT, "answer_lost"),
        (200, b"<html>", Reaction.IN_DOUBT, "answer_lost"),
        (429, b"", Reaction.WAIT_UNTIL, "rate_limited"),
        (410, b"", Reaction.PERMANENT, "webhook_gone"),
        (404, b"", Reaction.PERMANENT, "webhook_missing"),
        (302, b"", Reaction.PERMANENT, "webhook_refused"),
        (409, b"", Reaction.DUPLICATE, "webhook_known"),
    ],
)
def test_every_other_answer_has_its_meaning(
    receiver: Receiver, status: int, body: bytes, reaction: Reaction, reason: str
) -> None:
    receiver.answer = (status, body)
    with pytest.raises(ChannelError) as caught:
        deliver(receiver, Recipient("m1"))
    assert (caught.value.reaction, caught.value.reason) == (reaction, reason)


def test_another_secret_is_named_as_such(receiver: Receiver) -> None:
    with pytest.raises(ChannelError) as caught:
        deliver(receiver, Recipient("m1"), secret=new_secret())
    assert caught.value.reason == "webhook_signature"
    assert receiver.seen == []


def test_nobody_listening_is_not_sent(receiver: Receiver) -> None:
    receiver.url = "http://127.0.0.1:9/in"
    with pytest.raises(ChannelError) as caught:
        deliver(receiver, Recipient("m1"))
    assert caught.value.reason == "not_sent"


def test_too_many_and_nobody_are_mistakes(receiver: Receiver) -> None:
    with pytest.raises(ValueError, match="1001 items"):
        deliver(receiver, *(Recipient(str(n)) for n in range(1001)))
    with pytest.raises(ValueError, match="needs a recipient"):
        deliver(receiver)


def test_the_signature_is_the_specification_s() -> None:
    """The example of the Standard Webhooks specification's reference libraries."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    made = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def headers(secret: str, body: bytes, at: int) -> dict[str, str]:
    return {"webhook-id": "m", "webhook-timestamp": str(at), "webhook-signature": sign(secret, "m", at, body)}


def test_what_was_not_signed_or_is_old_is_refused() -> None:
    secret, body = new_secret(), b"{}"
    good = headers(secret, body, 1000)
    assert verify(secret, good, body, now=1300) == "m"
    assert verify(secret, good | {"webhook-signature": f"v1,eA== {good['webhook-signature']}"}, body, now=1000) == "m"
    changed = [
        (good, b"{ }", 1000.0),
        (good, body, 1301.0),
        (good, body, 699.0),
        (good | {"webhook-id": "n"}, body, 1000.0),
        (good | {"webhook-timestamp": "1001"}, body, 1000.0),
        (good | {"webhook-timestamp": "x"}, body, 1000.0),
        (good | {"webhook-signature": "v1,签"}, body, 1000.0),
        ({}, body, 1000.0),
    ]
    for given, said, now in changed:
        with pytest.raises(BadSignature):
            verify(secret, given, said, now=now)


@pytest.mark.parametrize("secret", ["", "plain", "whsec_???", "whsec_" + base64.b64encode(b"short").decode()])
def test_a_secret_without_strength_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        sign(secret, "m", 1, b"")


def test_a_text_has_no_empty_fields(receiver: Receiver) -> None:
    async def run() -> None:
        async with AiohttpTransport(policy=AddressPolicy(allow_private=True)) as transport:
            client = WebhookClient(transport, receiver.url, receiver.secret)
            await client.ping("p1")
            await client.deliver("k", Text("您好"), [Recipient("m1")])

    asyncio.run(run())
    assert [said for _, said in receiver.seen] == [
        {"type": "ping"},
        {"type": "broadcast", "message": {"kind": "text", "content": "您好"}, "recipients": [{"id": "m1"}]},
    ]
