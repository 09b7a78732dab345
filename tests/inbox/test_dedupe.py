"""What tells callbacks apart: equal for repeated ones, different for others, and near each other in time."""

import pytest

from tagcast.channels import normalise
from tagcast.channels.crypto import Fields
from tagcast.inbox.rules import dedupe


def of(**changed: str) -> bytes:
    fields: Fields = {
        "ToUserName": "gh_1", "FromUserName": "o-1", "CreateTime": "1780000000", "MsgType": "text", "Content": "a",
        "MsgId": "24000000000000001", **changed,
    }  # fmt: skip
    return dedupe(normalise("official", fields))


def test_a_message_is_its_number() -> None:
    assert of() == of(Content="b", CreateTime="1780000009")
    assert len({of(), of(MsgId="24000000000000002"), of(MsgId="024000000000000001")}) == 3


def test_an_event_is_all_that_it_says() -> None:
    event = {"MsgType": "event", "Event": "subscribe"}
    assert of(**event) == of(**event)
    other = ({"CreateTime": "1780000001"}, {"FromUserName": "o-2"}, {"Event": "unsubscribe"})
    assert len({of(**event), *(of(**{**event, **one}) for one in other)}) == 4


def test_what_comes_later_stands_later() -> None:
    assert of(MsgId="9") < of(MsgId="10") < of(MsgId="18446744073709551615"[:-1])
    event = {"MsgType": "event", "Event": "subscribe"}
    assert of(**event) < of(**event, CreateTime="1780000001") < of(**event, CreateTime="9999999999")


@pytest.mark.parametrize("number", ["0", "99999999999999999999999", "m-1", "1.5", "\u0663", "-4"])
def test_any_number_has_32_bytes(number: str) -> None:
    assert len(of(MsgId=number)) == 32


def test_a_time_before_1970_has_32_bytes() -> None:
    assert len(of(MsgType="event", Event="subscribe", CreateTime="-5")) == 32
