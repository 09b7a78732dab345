"""Calls of a webhook account: one signed POST takes a message to many recipients.

The receiver answers 200 or 202, with an empty body or with what it refused. It has to remember `webhook-id`: a delivery
whose answer was lost is repeated with the same id, and a receiver that has seen it answers as it did before. The
repetition may name fewer people, of whom the others must not be told any more; a receiver that compares bodies answers
409, with what it refused the first time.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from tagcast.channels.calls import too_many
from tagcast.channels.errors import ChannelError, Effect, lost, special
from tagcast.channels.messages import Message
from tagcast.channels.webhook.signing import sign
from tagcast.kit.http import InDoubt, NotSent, Response, Transport

MAX_RECIPIENTS = 1000
"""Recipients in one delivery: about 100 kB of JSON."""

LONGEST_WAIT = 3600
"""Seconds that a receiver may ask us to wait."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One person by the id that the receiver knows; `url` is the person's own tracked address, if there is one.

    `message`: fields of the message that are this person's own, in place of everybody's.
    """

    id: str
    url: str = ""
    message: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delivered:
    """A delivery that was taken. `refused`: recipient → the receiver's word for why."""

    message_id: str
    refused: Mapping[str, str] = field(default_factory=dict)


class _Refusal(BaseModel):
    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)
    id: str
    reason: str = ""

    @property
    def word(self) -> str:
        """The reason as it can be kept: printable and short."""
        return "".join(letter for letter in self.reason[:60] if letter.isprintable()).strip() or "refused"


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore")
    refused: tuple[_Refusal, ...] = ()


class WebhookClient:
    """Deliveries to one address. Every method raises `ChannelError`; none repeats a call."""

    def __init__(self, transport: Transport, url: str, secret: str) -> None:
        self._transport = transport
        self._url = url
        self._secret = secret

    async def ping(self, key: str) -> None:
        """Ask the receiver whether it is there and knows the secret: a delivery of type `ping` for nobody."""
        await self._post("ping", key, {"type": "ping"}, Effect.READ)

    async def deliver(self, key: str, message: Message, recipients: Sequence[Recipient]) -> Delivered:
        """Take a message to at most 1,000 recipients. `key`, the delivery's id, makes a repetition harmless.

        A receiver that took another delivery of this id raises `webhook_known`; its `answer["refused"]` maps recipient
        to the reason of then.
        """
        too_many(len(recipients), MAX_RECIPIENTS)
        if not recipients:
            raise ValueError("a delivery needs a recipient")
        said = {name: value for name, value in asdict(message).items() if value}
        people = [_addressed(one) for one in recipients]
        body = {"type": "broadcast", "message": {"kind": message.kind, **said}, "recipients": people}
        answer = await self._post("deliver", key, body, Effect.KEYED)
        known = {one.id for one in recipients}
        return Delivered(key, {one.id: one.word for one in answer.refused if one.id in known})

    async def _post(self, operation: str, key: str, body: Mapping[str, Any], effect: Effect) -> _Answer:
        raw = orjson.dumps(body)
        now = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": key,
            "webhook-timestamp": str(now),
            "webhook-signature": sign(self._secret, key, now, raw),
        }
        try:
            response = await self._transport.request("POST", self._url, body=raw, headers=headers)
        except NotSent:
            raise special("webhook", operation, "not_sent") from None
        except InDoubt:
            raise lost("webhook", operation, effect=effect) from None
        return _checked(operation, response, effect)


def _addressed(one: Recipient) -> dict[str, Any]:
    said: dict[str, Any] = {"id": one.id}
    if one.url:
        said["url"] = one.url
    if one.message:
        said["message"] = dict(one.message)
    return said


def _checked(operation: str, response: Response, effect: Effect) -> _Answer:
    """The receiver's answer. Raises ChannelError unless it is 200 or 202 with an empty or an understood body."""
    if response.status >= 500 or response.status == 408:
        raise lost("webhook", operation, effect=effect)
    if response.status == 429:
        raise _busy(operation, response)
    if response.status not in {200, 202, 204}:
        raise _refused(operation, response)
    if not response.body.strip():
        return _Answer()
    try:
        return _Answer.model_validate_json(response.body)
    except ValidationError:
        raise lost("webhook", operation, effect=effect) from None


def _busy(operation: str, response: Response) -> ChannelError:
    """429, with the wait that the receiver asks for (`Retry-After` in seconds), an hour at most."""
    error = special("webhook", operation, "http_busy")
    asked = response.headers.get("Retry-After", "").strip()
    if asked.isascii() and asked.isdecimal() and len(asked) < 9:
        error.meaning = replace(error.meaning, wait_seconds=min(max(1, int(asked)), LONGEST_WAIT))
    return error


_MEANINGS = {401: "webhook_signature", 404: "webhook_missing", 409: "webhook_known", 410: "webhook_gone"}


def _refused(operation: str, response: Response) -> ChannelError:
    error = special("webhook", operation, _MEANINGS.get(response.status, "webhook_refused"))
    error.answer = {"status": response.status}
    if response.status == 409:
        try:
            before = _Answer.model_validate_json(response.body)
        except ValidationError:
            before = _Answer()
        error.answer["refused"] = {one.id: one.word for one in before.refused}
    return error
