"""Callbacks become facts: every event of both platforms, as it comes over the wire."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tagcast.channels import (
    BadCallback,
    CallbackKeys,
    Inbound,
    Platform,
    encrypt,
    normalise,
    open_callback,
    signature,
    without_places,
)
from tagcast.channels.crypto import Fields, read_xml

AT = datetime(2026, 10, 5, 12, 0, tzinfo=UTC)
SECONDS = int(AT.timestamp())
KEYS = CallbackKeys("QDG6eK", "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C", "wx1")


def fact(platform: Platform, **fields: Any) -> Inbound:
    base = {"ToUserName": "me", "FromUserName": "oA", "CreateTime": str(SECONDS), "MsgType": "event"}
    return normalise(platform, base | fields)


def opened(inside: str) -> Fields:
    """The fields of a message that went through encryption, signature and parsing."""
    head = f"<ToUserName>gh</ToUserName><FromUserName>oA</FromUserName><CreateTime>{SECONDS}</CreateTime>"
    encrypted = encrypt(KEYS, f"<xml>{head}<MsgType>event</MsgType>{inside}</xml>".encode())
    signed = signature(KEYS.token, str(SECONDS), "n", encrypted)
    query = f"msg_signature={signed}&timestamp={SECONDS}&nonce=n"
    return open_callback(
        KEYS, query.encode(), f"<xml><Encrypt>{encrypted}</Encrypt></xml>".encode(), now=SECONDS
    ).fields


def told(platform: Platform, inside: str) -> tuple[str, str | None, dict[str, Any]]:
    inbound = normalise(platform, opened(inside))
    assert inbound.at == AT
    return inbound.kind, inbound.person, dict(inbound.data)


CUSTOMER = {"Event": "change_external_contact", "UserID": "zhang", "ExternalUserID": "wmA"}
TAG = {"Event": "change_external_tag", "Id": "et1"}


@pytest.mark.parametrize(
    ("fields", "kind", "person", "data"),
    [
        ({"Event": "subscribe", "EventKey": "qrscene_shop7", "Ticket": "T"}, "followed", "oA", {"scene": "shop7"}),
        ({"Event": "subscribe"}, "followed", "oA", {"scene": ""}),
        ({"Event": "unsubscribe"}, "unfollowed", "oA", {}),
        ({"Event": "SCAN", "EventKey": "shop7", "Ticket": "T"}, "scanned", "oA", {"scene": "shop7"}),
        (
            {"Event": "CLICK", "EventKey": "k"},
            "menu_used",
            "oA",
            {"type": "click", "key": "k", "scanned": ""},
        ),
        (
            {"Event": "VIEW", "EventKey": "https://a", "MenuId": "7"},
            "menu_used",
            "oA",
            {"type": "view", "key": "https://a", "scanned": ""},
        ),
        (
            {"Event": "view_miniprogram", "EventKey": "pages/a", "MenuId": "7"},
            "menu_used",
            "oA",
            {"type": "mini_program", "key": "pages/a", "scanned": ""},
        ),
        ({"Event": "LOCATION", "Latitude": "23.1", "Longitude": "113.3", "Precision": "9"}, "located", "oA", {}),
        (
            {"Event": "TEMPLATESENDJOBFINISH", "MsgID": "9", "Status": "success"},
            "template_finished",
            "oA",
            {"msgid": 9, "status": "success"},
        ),
        (
            {"Event": "TEMPLATESENDJOBFINISH", "MsgID": "9", "Status": "failed: system failed"},
            "template_finished",
            "oA",
            {"msgid": 9, "status": "system_failed"},
        ),
        (
            {"Event": "TEMPLATESENDJOBFINISH", "MsgID": "9", "Status": "failed:user block"},
            "template_finished",
            "oA",
            {"msgid": 9, "status": "user_block"},
        ),
        ({"Event": "user_info_modified", "OpenID": "oB"}, "profile_changed", "oB", {}),
        ({"Event": "user_authorization_revoke", "OpenID": "oB"}, "authorization_revoked", "oB", {}),
        ({"Event": "user_authorization_revoke"}, "authorization_revoked", "oA", {}),
        ({"Event": "card_pass_check"}, "other", "oA", {"event": "card_pass_check"}),
    ],
)
def test_events_of_an_official_account(
    fields: dict[str, str], kind: str, person: str | None, data: dict[str, object]
) -> None:
    inbound = fact("official", **fields)
    assert (inbound.kind, inbound.person, dict(inbound.data), inbound.at) == (kind, person, data, AT)


@pytest.mark.parametrize(
    ("fields", "person", "kind", "data"),
    [
        (
            CUSTOMER | {"ChangeType": "add_external_contact", "State": "s1", "WelcomeCode": "W"},
            "wmA",
            "customer_added",
            {"employee": "zhang", "state": "s1", "half": False, "welcome_code": "W"},
        ),
        (
            CUSTOMER | {"ChangeType": "add_half_external_contact"},
            "wmA",
            "customer_added",
            {"employee": "zhang", "state": "", "half": True, "welcome_code": ""},
        ),
        (CUSTOMER | {"ChangeType": "edit_external_contact"}, "wmA", "customer_edited", {"employee": "zhang"}),
        (
            CUSTOMER | {"ChangeType": "del_follow_user"},
            "wmA",
            "customer_removed",
            {"employee": "zhang", "by": "customer", "transferred": False},
        ),
        (
            CUSTOMER | {"ChangeType": "del_external_contact", "Source": "DELETE_BY_TRANSFER"},
            "wmA",
            "customer_removed",
            {"employee": "zhang", "by": "employee", "transferred": True},
        ),
        (
            CUSTOMER | {"ChangeType": "transfer_fail", "FailReason": "customer_refused"},
            "wmA",
            "transfer_failed",
            {"employee": "zhang", "why": "refused"},
        ),
        (
            CUSTOMER | {"ChangeType": "transfer_fail", "FailReason": "something_else"},
            "wmA",
            "transfer_failed",
            {"employee": "zhang", "why": "something_else"},
        ),
        (
            CUSTOMER | {"ChangeType": "msg_audit_approved", "WelcomeCode": "W"},
            "wmA",
            "archive_agreed",
            {"employee": "zhang", "welcome_code": "W"},
        ),
        (CUSTOMER | {"ChangeType": "new"}, "wmA", "other", {"event": "change_external_contact/new"}),
        (
            {"Event": "change_external_chat", "ChangeType": "create", "ChatId": "wr1"},
            None,
            "group_created",
            {"chat": "wr1"},
        ),
        (
            {"Event": "change_external_chat", "ChangeType": "dismiss", "ChatId": "wr1"},
            None,
            "group_dismissed",
            {"chat": "wr1"},
        ),
        (
            TAG | {"ChangeType": "update", "TagType": "tag"},
            None,
            "tag_changed",
            {"change": "updated", "type": "tag", "id": "et1", "strategy": 0},
        ),
        (
            TAG | {"ChangeType": "create", "TagType": "tag_group", "StrategyId": "3"},
            None,
            "tag_changed",
            {"change": "created", "type": "group", "id": "et1", "strategy": 3},
        ),
        (
            TAG | {"ChangeType": "delete", "TagType": "tag"},
            None,
            "tag_changed",
            {"change": "deleted", "type": "tag", "id": "et1", "strategy": 0},
        ),
        (
            TAG | {"ChangeType": "shuffle"},
            None,
            "tag_changed",
            {"change": "reordered", "type": "group", "id": "et1", "strategy": 0},
        ),
        ({"Event": "msgaudit_notify"}, None, "archive_ready", {}),
        ({"Event": "enter_agent"}, None, "other", {"event": "enter_agent"}),
        (
            {"Event": "change_external_chat", "ChangeType": "merge", "ChatId": "wr1"},
            None,
            "other",
            {"event": "change_external_chat/merge"},
        ),
    ],
)
def test_events_of_a_corp(fields: dict[str, str], person: str | None, kind: str, data: dict[str, object]) -> None:
    inbound = fact("wecom", FromUserName="sys", **fields)
    assert (inbound.kind, inbound.person, dict(inbound.data), inbound.at) == (kind, person, data, AT)


def test_events_of_a_suite_have_other_names_for_type_and_time() -> None:
    fields = {"SuiteId": "ww", "AuthCorpId": "wc", "InfoType": "change_external_contact", "TimeStamp": str(SECONDS)}
    whom = {"ChangeType": "del_follow_user", "UserID": "zhang", "ExternalUserID": "wmA"}
    inbound = normalise("wecom", fields | whom)
    assert (inbound.kind, inbound.person, inbound.at) == ("customer_removed", "wmA", AT)


@pytest.mark.parametrize(
    ("status", "expected"),
    [("send success", "success"), ("sendsuccess", "success"), ("send fail", "fail"), ("err(20008)", "err(20008)")],
)
def test_a_finished_mass_send_has_its_counts(status: str, expected: str) -> None:
    counts = (
        "<TotalCount>100</TotalCount><FilterCount>80</FilterCount><SentCount>75</SentCount><ErrorCount>5</ErrorCount>"
    )
    body = f"<Event>MASSSENDJOBFINISH</Event><MsgID>1988</MsgID><Status>{status}</Status>{counts}"
    assert told("official", body) == (
        "mass_finished",
        None,
        {
            "msg_id": 1988,
            "status": expected,
            "total": 100,
            "filtered": 80,
            "sent": 75,
            "failed": 5,
            "article_urls": (),
            "copyright_state": 0,
            "copyright": (),
        },
    )


def test_a_mass_send_tells_of_its_articles() -> None:
    def item(index: int) -> str:
        return (
            f"<item><ArticleIdx>{index}</ArticleIdx><UserDeclareState>0</UserDeclareState><AuditState>2</AuditState>"
            "<OriginalArticleUrl><![CDATA[https://o]]></OriginalArticleUrl><OriginalArticleType>1</OriginalArticleType>"
            f"<CanReprint>{index % 2}</CanReprint><NeedReplaceContent>1</NeedReplaceContent></item>"
        )

    def body(items: int) -> str:
        checked = "".join(item(index + 1) for index in range(items))
        urls = "".join(
            f"<item><ArticleIdx>{index + 1}</ArticleIdx><ArticleUrl><![CDATA[https://u/{index}]]></ArticleUrl></item>"
            for index in range(items)
        )
        return (
            "<Event>MASSSENDJOBFINISH</Event><MsgID>1</MsgID><Status>err(30003)</Status><TotalCount>1</TotalCount>"
            "<FilterCount>1</FilterCount><SentCount>0</SentCount><ErrorCount>1</ErrorCount>"
            f"<CopyrightCheckResult><Count>{items}</Count><ResultList>{checked}</ResultList><CheckState>2</CheckState>"
            f"</CopyrightCheckResult><ArticleUrlResult><Count>{items}</Count><ResultList>{urls}</ResultList>"
            "</ArticleUrlResult>"
        )

    for items in (0, 1, 8):
        data = told("official", body(items))[2]
        assert data["article_urls"] == tuple(f"https://u/{index}" for index in range(items))
        assert data["copyright_state"] == 2
        assert data["copyright"] == tuple(
            {"article": index + 1, "audit_state": 2, "can_reprint": (index + 1) % 2 == 1} for index in range(items)
        )
        assert json.loads(json.dumps(data))["msg_id"] == 1


@pytest.mark.parametrize("name", ["PUBLISHJOBFINISH", "FREEPUBLISHJOBFINISH"])
def test_a_publication_has_its_result(name: str) -> None:
    article = "<item><idx>1</idx><article_url><![CDATA[https://u]]></article_url></item>"
    info = (
        "<publish_id>2247503051</publish_id><publish_status>0</publish_status><article_id><![CDATA[b5O2]]></article_id>"
        f"<article_detail><count>1</count>{article}</article_detail>"
    )
    data = {"publish_id": "2247503051", "article_id": "b5O2", "article_urls": ("https://u",), "failed": ()}
    event = f"<Event>{name}</Event><PublishEventInfo>{info}</PublishEventInfo>"
    assert told("official", event) == ("publish_finished", None, data | {"status": "success"})
    info = "<publish_id>7</publish_id><publish_status>2</publish_status><fail_idx>1</fail_idx><fail_idx>2</fail_idx>"
    failed = told("official", f"<Event>{name}</Event><PublishEventInfo>{info}</PublishEventInfo>")[2]
    assert (failed["status"], failed["failed"], failed["article_urls"]) == ("not_original", (1, 2), ())
    info = "<publish_id>7</publish_id><publish_status>9</publish_status>"
    assert told("official", f"<Event>{name}</Event><PublishEventInfo>{info}</PublishEventInfo>")[2]["status"] == "9"


def test_answers_to_notices() -> None:
    def one(template: str, status: str) -> str:
        return (
            f"<List><TemplateId>{template}</TemplateId><SubscribeStatusString>{status}</SubscribeStatusString>"
            "<PopupScene>2</PopupScene></List>"
        )

    both = one("T1", "accept") + one("T2", "reject")
    event = f"<Event>subscribe_msg_popup_event</Event><SubscribeMsgPopupEvent>{both}</SubscribeMsgPopupEvent>"
    accepted = {"template_id": "T1", "accepted": True}
    refused = {"template_id": "T2", "accepted": False}
    assert told("official", event) == ("subscription_answered", "oA", {"templates": (accepted, refused)})
    off = one("T2", "reject")
    event = f"<Event>subscribe_msg_change_event</Event><SubscribeMsgChangeEvent>{off}</SubscribeMsgChangeEvent>"
    assert told("official", event) == ("subscription_changed", "oA", {"templates": (refused,)})
    sent = "<TemplateId>T1</TemplateId><MsgID>123</MsgID><ErrorCode>43101</ErrorCode><ErrorStatus>no</ErrorStatus>"
    event = f"<Event>subscribe_msg_sent_event</Event><SubscribeMsgSentEvent><List>{sent}</List></SubscribeMsgSentEvent>"
    result = {"template_id": "T1", "msgid": "123", "errcode": 43101, "status": "no"}
    assert told("official", event) == ("subscription_sent", "oA", {"templates": (result,)})


def test_a_scan_by_the_menu() -> None:
    info = "<ScanCodeInfo><ScanType>qrcode</ScanType><ScanResult><![CDATA[A<1>]]></ScanResult></ScanCodeInfo>"
    event = f"<Event>scancode_push</Event><EventKey>rselfmenu_0_1</EventKey>{info}"
    data = {"type": "scancode_push", "key": "rselfmenu_0_1", "scanned": "A<1>"}
    assert told("official", event) == ("menu_used", "oA", data)


@pytest.mark.parametrize(
    ("detail", "change"),
    [
        ("add_member", "joined"),
        ("del_member", "left"),
        ("change_owner", "owner"),
        ("change_name", "name"),
        ("change_notice", "notice"),
        ("something_new", "something_new"),
    ],
)
def test_changes_of_a_group_chat(detail: str, change: str) -> None:
    event = (
        "<Event>change_external_chat</Event><ChangeType>update</ChangeType><ChatId>wr1</ChatId>"
        f"<UpdateDetail>{detail}</UpdateDetail><JoinScene>1</JoinScene><QuitScene>0</QuitScene>"
        "<MemChangeCnt>2</MemChangeCnt><MemChangeList><Item>zhang</Item><Item>wmA</Item></MemChangeList>"
        "<LastMemVer>a</LastMemVer><CurMemVer>b</CurMemVer>"
    )
    assert told("wecom", event) == (
        "group_changed",
        None,
        {
            "chat": "wr1",
            "change": change,
            "members": 2,
            "people": ("zhang", "wmA"),
            "join_scene": 1,
            "quit_scene": 0,
            "version": "b",
        },
    )
    one = event.replace("<Item>wmA</Item>", "")
    assert told("wecom", one)[2]["people"] == ("zhang",)
    assert told("wecom", one.replace("<Item>zhang</Item>", ""))[2]["people"] == ()


@pytest.mark.parametrize(
    ("fields", "data"),
    [
        ({"MsgType": "text", "Content": "退订"}, {"type": "text", "text": "退订", "media_id": ""}),
        ({"MsgType": "image", "PicUrl": "https://p", "MediaId": "M"}, {"type": "image", "text": "", "media_id": "M"}),
        ({"MsgType": "voice", "MediaId": "M", "Format": "amr"}, {"type": "voice", "text": "", "media_id": "M"}),
        ({"MsgType": "shortvideo", "MediaId": "M"}, {"type": "shortvideo", "text": "", "media_id": "M"}),
        (
            {"MsgType": "link", "Title": "t", "Url": "https://a"},
            {"type": "link", "text": "https://a", "media_id": ""},
        ),
        (
            {"MsgType": "location", "Location_X": "23.1", "Location_Y": "113.3", "Label": "家"},
            {"type": "location", "text": "", "media_id": ""},
        ),
    ],
)
def test_messages(fields: dict[str, str], data: dict[str, str]) -> None:
    inbound = fact("official", MsgId="77", **fields)
    assert (inbound.kind, inbound.person, inbound.message_key) == ("message_received", "oA", "m:77")
    assert dict(inbound.data) == data
    inside = fact("wecom", MsgId="77", FromUserName="zhang", **fields)
    assert (inside.person, dict(inside.data)) == (None, data | {"employee": "zhang"})


def test_places_are_not_kept_and_the_fact_stays_the_same() -> None:
    where = {"Latitude": "23.1", "Longitude": "113.3", "Precision": "9"}
    location = fact("official", Event="LOCATION", **where)
    kept = without_places({"Event": "LOCATION", "FromUserName": "oA", **where})
    assert kept == {"Event": "LOCATION", "FromUserName": "oA"}
    assert fact("official", Event="LOCATION").message_key == location.message_key
    chosen = {"Event": "location_select", "SendLocationInfo": {"Location_X": "23", "Label": "家"}}
    assert without_places(chosen) == {"Event": "location_select"}
    message = {"MsgType": "location", "Location_X": "1", "Location_Y": "2", "Scale": "20", "Label": "家"}
    assert without_places(message) == {"MsgType": "location", "Scale": "20"}


def test_repeated_deliveries_have_the_same_key_and_different_facts_do_not() -> None:
    first = fact("official", Event="subscribe")
    assert fact("official", Event="subscribe").message_key == first.message_key
    chat = {"Event": "change_external_chat", "ChangeType": "update", "ChatId": "wr1"}
    notice = {"List": {"TemplateId": "T1", "SubscribeStatusString": "accept"}}
    others = [
        fact("official", Event="unsubscribe"),
        fact("official", Event="subscribe", FromUserName="oB"),
        fact("official", Event="subscribe", CreateTime=str(SECONDS + 1)),
        fact("official", MsgType="text", MsgId="1"),
        fact("official", MsgType="text", MsgId="2"),
        fact("official", Event="TEMPLATESENDJOBFINISH", MsgID="1", Status="success"),
        fact("official", Event="TEMPLATESENDJOBFINISH", MsgID="2", Status="success"),
        fact("official", Event="subscribe_msg_popup_event", SubscribeMsgPopupEvent=notice),
        fact("official", Event="subscribe_msg_popup_event", SubscribeMsgPopupEvent={"List": [notice["List"]] * 2}),
        fact("official", Event="PUBLISHJOBFINISH", PublishEventInfo={"publish_id": "1", "publish_status": "1"}),
        fact("official", Event="PUBLISHJOBFINISH", PublishEventInfo={"publish_id": "2", "publish_status": "1"}),
        fact("wecom", **chat, UpdateDetail="add_member"),
        fact("wecom", **chat, UpdateDetail="del_member"),
        fact("wecom", **chat, UpdateDetail="add_member", CurMemVer="b"),
        fact("wecom", **TAG, ChangeType="update", TagType="tag"),
        fact("wecom", **TAG, ChangeType="update", TagType="tag_group"),
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
        {"Event": "PUBLISHJOBFINISH"},
        {"Event": "PUBLISHJOBFINISH", "PublishEventInfo": "text"},
        {"Event": "subscribe_msg_popup_event", "SubscribeMsgPopupEvent": {"List": ["text"]}},
        {"Event": "subscribe", "EventKey": ["a", "b"]},
        {},
    ],
)
def test_a_fact_without_what_it_needs_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(BadCallback):
        fact("official", **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"Event": "change_external_contact", "UserID": ["a", "b"], "ExternalUserID": "w"},
        {"Event": "change_external_contact", "ChangeType": "add_external_contact", "UserID": "a"},
        {"Event": "change_external_chat", "ChangeType": "create"},
        {"Event": "change_external_chat", "ChangeType": "update", "ChatId": "w", "MemChangeCnt": "many"},
        {"Event": "change_external_tag", "ChangeType": "create", "StrategyId": "x"},
    ],
)
def test_a_fact_of_a_corp_without_what_it_needs_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(BadCallback):
        fact("wecom", **fields)


def deep(levels: int) -> str:
    return "<a>" * levels + "</a>" * levels


@pytest.mark.parametrize(
    ("inside", "good"),
    [
        (lambda: deep(11), True),
        (lambda: deep(12), False),
        (lambda: "<List>" + "<a>1</a>" * 1998 + "</List>", True),
        (lambda: "<List>" + "<a>1</a>" * 1999 + "</List>", False),
        (lambda: "<a>" + "x" * 65_000 + "</a>", True),
        (lambda: "<a>" + "x" * 66_000 + "</a>", False),
    ],
)
def test_nested_elements_are_bounded_in_depth_number_and_size(inside: Callable[[], str], good: bool) -> None:
    body = f"<xml>{inside()}</xml>".encode()
    if good:
        assert set(read_xml(body)) in ({"a"}, {"List"})
    else:
        with pytest.raises(BadCallback):
            read_xml(body)


def test_persons_and_codes_do_not_show() -> None:
    assert "oA" not in repr(fact("official", MsgType="text", Content="oA oA", MsgId="1"))
    added = fact("wecom", **CUSTOMER, ChangeType="add_external_contact", WelcomeCode="CODE")
    assert added.data["welcome_code"] == "CODE"
    assert "CODE" not in repr(added) + str(added)
