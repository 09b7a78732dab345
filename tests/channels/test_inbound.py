"""Callbacks become facts."""

from datetime import UTC, datetime

import pytest

from tagcast.channels import BadCallback, Inbound, Platform, normalise
from tagcast.channels.crypto import read_xml

AT = datetime(2026, 10, 5, 12, 0, tzinfo=UTC)
SECONDS = int(AT.timestamp())


def fact(platform: Platform, **fields: str) -> Inbound:
    base = {"ToUserName": "me", "FromUserName": "oA", "CreateTime": str(SECONDS), "MsgType": "event"}
    return normalise(platform, base | fields)


@pytest.mark.parametrize(
    ("platform", "fields", "kind", "person", "data"),
    [
        ("official", {"Event": "subscribe", "EventKey": "qrscene_shop7"}, "followed", "oA", {"scene": "shop7"}),
        ("official", {"Event": "subscribe"}, "followed", "oA", {"scene": ""}),
        ("official", {"Event": "unsubscribe"}, "unfollowed", "oA", {}),
        ("official", {"Event": "VIEW", "EventKey": "u"}, "other", "oA", {"event": "VIEW"}),
        (
            "official",
            {"MsgType": "text", "Content": "退订", "MsgId": "77"},
            "message_received",
            "oA",
            {"type": "text", "text": "退订"},
        ),
        ("official", {"MsgType": "image", "MsgId": "78"}, "message_received", "oA", {"type": "image", "text": ""}),
        (
            "official",
            {"Event": "TEMPLATESENDJOBFINISH", "MsgID": "9", "Status": "failed: system failed"},
            "template_finished",
            "oA",
            {"msgid": 9, "status": "system_failed"},
        ),
        (
            "official",
            {"Event": "TEMPLATESENDJOBFINISH", "MsgID": "9", "Status": "failed:user block"},
            "template_finished",
            "oA",
            {"msgid": 9, "status": "user_block"},
        ),
        (
            "wecom",
            {
                "Event": "change_external_contact",
                "ChangeType": "add_half_external_contact",
                "UserID": "zhang",
                "ExternalUserID": "wmA",
                "State": "s1",
            },
            "customer_added",
            "wmA",
            {"employee": "zhang", "state": "s1", "half": True},
        ),
        (
            "wecom",
            {
                "Event": "change_external_contact",
                "ChangeType": "del_follow_user",
                "UserID": "zhang",
                "ExternalUserID": "wmA",
            },
            "customer_removed",
            "wmA",
            {"employee": "zhang", "by": "customer"},
        ),
        (
            "wecom",
            {
                "Event": "change_external_contact",
                "ChangeType": "del_external_contact",
                "UserID": "zhang",
                "ExternalUserID": "wmA",
            },
            "customer_removed",
            "wmA",
            {"employee": "zhang", "by": "employee"},
        ),
        (
            "wecom",
            {"Event": "change_external_tag", "ChangeType": "update", "Id": "et1"},
            "other",
            None,
            {"event": "change_external_tag/update"},
        ),
    ],
)
def test_each_event_is_one_fact(
    platform: Platform, fields: dict[str, str], kind: str, person: str | None, data: dict[str, object]
) -> None:
    inbound = fact(platform, **fields)
    assert (inbound.kind, inbound.person, dict(inbound.data), inbound.at) == (kind, person, data, AT)


@pytest.mark.parametrize(
    ("status", "expected"),
    [("send success", "success"), ("sendsuccess", "success"), ("send fail", "fail"), ("err(20008)", "err(20008)")],
)
def test_a_finished_mass_send_has_its_counts(status: str, expected: str) -> None:
    body = f"""<xml><ToUserName>gh</ToUserName><FromUserName>oSystem</FromUserName><CreateTime>{SECONDS}</CreateTime>
    <MsgType>event</MsgType><Event>MASSSENDJOBFINISH</Event><MsgID>1988</MsgID><Status>{status}</Status>
    <TotalCount>100</TotalCount><FilterCount>80</FilterCount><SentCount>75</SentCount><ErrorCount>5</ErrorCount>
    <ArticleUrlResult><Count>1</Count><ResultList><item><ArticleIdx>1</ArticleIdx></item></ResultList></ArticleUrlResult>
    </xml>"""
    inbound = normalise("official", read_xml(body.encode()))
    assert (inbound.kind, inbound.person) == ("mass_finished", None)
    assert dict(inbound.data) == {
        "msg_id": 1988,
        "status": expected,
        "total": 100,
        "filtered": 80,
        "sent": 75,
        "failed": 5,
    }


def test_repeated_deliveries_have_the_same_key_and_different_facts_do_not() -> None:
    first = fact("official", Event="subscribe")
    assert fact("official", Event="subscribe").message_key == first.message_key
    others = [
        fact("official", Event="unsubscribe"),
        fact("official", Event="subscribe", FromUserName="oB"),
        fact("official", Event="subscribe", CreateTime=str(SECONDS + 1)),
        fact("official", MsgType="text", MsgId="1"),
        fact("official", MsgType="text", MsgId="2"),
        fact("official", Event="TEMPLATESENDJOBFINISH", MsgID="1", Status="success"),
        fact("official", Event="TEMPLATESENDJOBFINISH", MsgID="2", Status="success"),
        *(
            fact(
                "wecom", Event="change_external_contact", ChangeType="add_external_contact", UserID=u, ExternalUserID=x
            )
            for u in ("zhang", "li")
            for x in ("wmA", "wmB")
        ),
    ]
    assert len({first.message_key, *(other.message_key for other in others)}) == 1 + len(others)


@pytest.mark.parametrize(
    "fields",
    [
        {"CreateTime": "soon"},
        {"CreateTime": "9" * 30},
        {"Event": "MASSSENDJOBFINISH"},
        {"Event": "TEMPLATESENDJOBFINISH", "MsgID": "x", "Status": "success"},
        {},
    ],
)
def test_a_fact_without_what_it_needs_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(BadCallback):
        fact("official", **fields)
    with pytest.raises(BadCallback):
        normalise("wecom", {"CreateTime": "1", "Event": "change_external_contact", "UserID": ["a", "b"]})


def test_persons_do_not_show() -> None:
    assert "oA" not in repr(fact("official", MsgType="text", Content="oA oA", MsgId="1"))
