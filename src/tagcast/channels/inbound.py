"""What a platform tells us, as facts that mean the same on every platform.

Sources: developers.weixin.qq.com 接收事件推送 and the pages of each event; developer.work.weixin.qq.com 客户联系 →
回调通知 (pages of 2026). Where a person is is not a fact here: coordinates stay out of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Literal

import orjson

from tagcast.channels.crypto import BadCallback, Fields
from tagcast.channels.errors import Platform

Kind = Literal[
    "followed",
    "unfollowed",
    "scanned",
    "menu_used",
    "located",
    "mass_finished",
    "template_finished",
    "publish_finished",
    "subscription_answered",
    "subscription_changed",
    "subscription_sent",
    "profile_changed",
    "authorization_revoked",
    "customer_added",
    "customer_edited",
    "customer_removed",
    "transfer_failed",
    "archive_agreed",
    "archive_ready",
    "group_created",
    "group_changed",
    "group_dismissed",
    "tag_changed",
    "message_received",
    "other",
]
Data = dict[str, Any]
Fact = tuple[Kind, str | None, Data]


@dataclass(frozen=True, slots=True)
class Inbound:
    """One fact.

    `person` is an openid or external_userid, None where the fact is about nobody or about a job. `message_key` is equal
    for repeated deliveries of the same fact and different for different facts. `data` holds texts, numbers, truth
    values, and tuples of them or of flat dicts; it is never logged. By kind:

    - followed: `scene` (of a QR code, may be empty)
    - scanned: `scene`; somebody who follows already
    - menu_used: `type` (`click`, `view`, `mini_program`, or the platform's own word), `key` (or address), `scanned`
    - mass_finished: `msg_id`, `status` (`success`, `fail`, or `err(N)`), `total`, `filtered`, `sent`, `failed`,
      `article_urls`, `copyright_state` (0: not checked), `copyright` (`article`, `audit_state`, `can_reprint`)
    - template_finished: `msgid`, `status` (`success`, `user_block`, `system_failed`, `failed`)
    - publish_finished: `publish_id`, `status` (a word of `PUBLISHED`), `article_id`, `article_urls`, `failed` (indices)
    - subscription_answered, subscription_changed: `templates` (`template_id`, `accepted`)
    - subscription_sent: `templates` (`template_id`, `msgid`, `errcode`, `status`)
    - customer_added: `employee`, `state`, `half` (the customer added without approval), `welcome_code` (may be empty)
    - customer_edited: `employee`
    - customer_removed: `employee`, `by` (`employee` or `customer`), `transferred`
    - transfer_failed: `employee`, `why` (`refused`, `limit`, or the platform's own word)
    - archive_agreed: `employee`, `welcome_code`
    - group_created, group_dismissed: `chat`
    - group_changed: `chat`, `change` (`joined`, `left`, `owner`, `name`, `notice`, or the platform's own word),
      `members` (how many), `people` (their ids), `join_scene`, `quit_scene`, `version` (of the list of members)
    - tag_changed: `change` (`created`, `updated`, `deleted`, `reordered`), `type` (`tag` or `group`), `id`, `strategy`
    - message_received: `type`, `text` (a link's address), `media_id`; of an app's message also `employee`, the writer
    - other: `event`
    """

    kind: Kind
    person: str | None = field(repr=False)
    at: datetime
    message_key: str
    data: Mapping[str, Any] = field(repr=False)


PUBLISHED = ("success", "running", "not_original", "failed", "rejected", "deleted", "banned")
"""What became of a publication, by the platform's number."""


def normalise(platform: Platform, fields: Fields) -> Inbound:
    """The fact in a decrypted callback. Raises `BadCallback` when a needed field is missing or no number."""
    try:
        at = datetime.fromtimestamp(int(_text(fields, "CreateTime", None, "TimeStamp")), UTC)
        kind, person, data = _official(fields) if platform == "official" else _wecom(fields)
    except (KeyError, ValueError, TypeError, OverflowError, OSError):
        raise BadCallback from None
    return Inbound(kind, person, at, _key(fields), MappingProxyType(data))


_PRIVATE = frozenset({"Latitude", "Longitude", "Precision", "Location_X", "Location_Y", "Label", "Poiname"})


def without_places(fields: Fields) -> Fields:
    """The fields without where somebody is: what may be kept. The fact in them, and its key, stay the same."""
    if _PRIVATE.isdisjoint(fields) and "SendLocationInfo" not in fields:
        return fields
    return {name: value for name, value in fields.items() if name not in _PRIVATE and name != "SendLocationInfo"}


def _key(fields: Fields) -> str:
    """MsgId for messages; for events a digest of all that they say but places, so that those of one second differ."""
    message_id = fields.get("MsgId")
    if isinstance(message_id, str) and message_id and fields.get("MsgType") != "event":
        return f"m:{message_id}"
    whole = orjson.dumps(without_places(fields), option=orjson.OPT_SORT_KEYS)
    return "e:" + sha256(whole).hexdigest()[:40]


# 公众号 and 服务号


def _official(fields: Fields) -> Fact:
    person = _text(fields, "FromUserName")
    if _text(fields, "MsgType") != "event":
        return "message_received", person, _message(fields)
    event = _text(fields, "Event")
    read = _OFFICIAL.get(event)
    if read is None:
        return "other", person, {"event": event}
    kind, about_person, data = read
    # The platform's own service sends what is about an authorization; the field with the person is UNCONFIRMED.
    who = _text(fields, "OpenID", person) if kind in ("authorization_revoked", "profile_changed") else person
    return kind, who if about_person else None, data(fields)


def _nothing(_fields: Fields) -> Data:
    return {}


def _scene(fields: Fields) -> Data:
    return {"scene": _text(fields, "EventKey", "").removeprefix("qrscene_")}


_MENUS = {"CLICK": "click", "VIEW": "view", "view_miniprogram": "mini_program"}


def _menu(fields: Fields) -> Data:
    event = _text(fields, "Event")
    scanned = _node(fields, "ScanCodeInfo")
    return {
        "type": _MENUS.get(event, event),
        "key": _text(fields, "EventKey", ""),
        "scanned": _text(scanned, "ScanResult", ""),
    }


def _mass(fields: Fields) -> Data:
    counts = {
        name: int(_text(fields, source))
        for name, source in (
            ("msg_id", "MsgID"),
            ("total", "TotalCount"),
            ("filtered", "FilterCount"),
            ("sent", "SentCount"),
            ("failed", "ErrorCount"),
        )
    }
    status = _text(fields, "Status").replace(" ", "")
    urls = _items(_node(_node(fields, "ArticleUrlResult"), "ResultList"), "item")
    checked = _node(fields, "CopyrightCheckResult")
    return {
        **counts,
        "status": {"sendsuccess": "success", "sendfail": "fail"}.get(status, status),
        "article_urls": tuple(filter(None, (_text(one, "ArticleUrl", "") for one in urls))),
        "copyright_state": _number(checked, "CheckState"),
        "copyright": tuple(
            {
                "article": _number(one, "ArticleIdx"),
                "audit_state": _number(one, "AuditState"),
                "can_reprint": _number(one, "CanReprint") == 1,
            }
            for one in _items(_node(checked, "ResultList"), "item")
        ),
    }


def _template(fields: Fields) -> Data:
    status = _text(fields, "Status").replace(" ", "")
    known = {"success": "success", "failed:userblock": "user_block", "failed:systemfailed": "system_failed"}
    return {"msgid": int(_text(fields, "MsgID")), "status": known.get(status, "failed")}


def _publish(fields: Fields) -> Data:
    told = _node(fields, "PublishEventInfo")
    status = _text(told, "publish_status")
    indices = told.get("fail_idx", [])
    articles = _items(_node(told, "article_detail"), "item")
    return {
        "publish_id": _text(told, "publish_id"),
        "status": PUBLISHED[int(status)] if status in map(str, range(len(PUBLISHED))) else status,
        "article_id": _text(told, "article_id", ""),
        "article_urls": tuple(filter(None, (_text(one, "article_url", "") for one in articles))),
        "failed": tuple(int(one) for one in ([indices] if isinstance(indices, str) else indices) if one),
    }


def _subscriptions(inside: str) -> Callable[[Fields], Data]:
    """`List` stands inside an element of the event's own name."""

    def read(fields: Fields) -> Data:
        return {
            "templates": tuple(
                {
                    "template_id": _text(one, "TemplateId"),
                    "accepted": _text(one, "SubscribeStatusString", "") == "accept",
                }
                for one in _items(_node(fields, inside), "List")
            )
        }

    return read


def _subscriptions_sent(fields: Fields) -> Data:
    return {
        "templates": tuple(
            {
                "template_id": _text(one, "TemplateId"),
                "msgid": _text(one, "MsgID", ""),
                "errcode": _number(one, "ErrorCode"),
                "status": _text(one, "ErrorStatus", ""),
            }
            for one in _items(_node(fields, "SubscribeMsgSentEvent"), "List")
        )
    }


# Event -> kind, whether it is about the person who sent it, what it says.
_OFFICIAL: dict[str, tuple[Kind, bool, Callable[[Fields], Data]]] = {
    "subscribe": ("followed", True, _scene),
    "unsubscribe": ("unfollowed", True, _nothing),
    "SCAN": ("scanned", True, _scene),
    "CLICK": ("menu_used", True, _menu),
    "VIEW": ("menu_used", True, _menu),
    "view_miniprogram": ("menu_used", True, _menu),
    "scancode_push": ("menu_used", True, _menu),
    "scancode_waitmsg": ("menu_used", True, _menu),
    "LOCATION": ("located", True, _nothing),
    "location_select": ("located", True, _nothing),
    "MASSSENDJOBFINISH": ("mass_finished", False, _mass),
    "TEMPLATESENDJOBFINISH": ("template_finished", True, _template),
    "PUBLISHJOBFINISH": ("publish_finished", False, _publish),
    "FREEPUBLISHJOBFINISH": ("publish_finished", False, _publish),
    "subscribe_msg_popup_event": ("subscription_answered", True, _subscriptions("SubscribeMsgPopupEvent")),
    "subscribe_msg_change_event": ("subscription_changed", True, _subscriptions("SubscribeMsgChangeEvent")),
    "subscribe_msg_sent_event": ("subscription_sent", True, _subscriptions_sent),
    "user_info_modified": ("profile_changed", True, _nothing),
    "user_authorization_revoke": ("authorization_revoked", True, _nothing),
}


# 企业微信


def _wecom(fields: Fields) -> Fact:
    if _text(fields, "MsgType", "event") != "event":
        return "message_received", None, {**_message(fields), "employee": _text(fields, "FromUserName")}
    event = _text(fields, "Event", None, "InfoType")
    change = _text(fields, "ChangeType", "")
    match event:
        case "change_external_contact":
            return _customer(fields, change)
        case "change_external_chat" if change in _CHATS:
            return _CHATS[change], None, _chat(fields, change)
        case "change_external_tag" if change in _TAG_CHANGES:
            return "tag_changed", None, _tag(fields, change)
        case "msgaudit_notify":
            return "archive_ready", None, {}
        case _:
            return "other", None, {"event": f"{event}/{change}" if change else event}


_REMOVED_BY = {"del_external_contact": "employee", "del_follow_user": "customer"}


def _customer(fields: Fields, change: str) -> Fact:
    person, employee = _text(fields, "ExternalUserID"), _text(fields, "UserID")
    data: Data = {"employee": employee}
    welcome = {"welcome_code": _text(fields, "WelcomeCode", "")}
    match change:
        case "add_external_contact" | "add_half_external_contact":
            half = change == "add_half_external_contact"
            return "customer_added", person, data | {"state": _text(fields, "State", ""), "half": half} | welcome
        case "edit_external_contact":
            return "customer_edited", person, data
        case "del_external_contact" | "del_follow_user":
            transferred = _text(fields, "Source", "") == "DELETE_BY_TRANSFER"
            return "customer_removed", person, data | {"by": _REMOVED_BY[change], "transferred": transferred}
        case "transfer_fail":
            why = _text(fields, "FailReason", "")
            known = {"customer_refused": "refused", "customer_limit_exceed": "limit"}
            return "transfer_failed", person, data | {"why": known.get(why, why)}
        case "msg_audit_approved":
            return "archive_agreed", person, data | welcome
        case _:
            return "other", person, {"event": f"change_external_contact/{change}"}


_CHATS: dict[str, Kind] = {"create": "group_created", "update": "group_changed", "dismiss": "group_dismissed"}
_CHAT_CHANGES = {
    "add_member": "joined",
    "del_member": "left",
    "change_owner": "owner",
    "change_name": "name",
    "change_notice": "notice",
}


def _chat(fields: Fields, change: str) -> Data:
    data: Data = {"chat": _text(fields, "ChatId")}
    if change != "update":
        return data
    detail = _text(fields, "UpdateDetail", "")
    people = _node(fields, "MemChangeList").get("Item", [])
    return data | {
        "change": _CHAT_CHANGES.get(detail, detail),
        "members": _number(fields, "MemChangeCnt"),
        "people": tuple(one for one in ([people] if isinstance(people, str) else people) if isinstance(one, str)),
        "join_scene": _number(fields, "JoinScene"),
        "quit_scene": _number(fields, "QuitScene"),
        "version": _text(fields, "CurMemVer", ""),
    }


_TAG_CHANGES = {"create": "created", "update": "updated", "delete": "deleted", "shuffle": "reordered"}


def _tag(fields: Fields, change: str) -> Data:
    group = _text(fields, "TagType", "tag_group" if change == "shuffle" else "tag") == "tag_group"
    return {
        "change": _TAG_CHANGES[change],
        "type": "group" if group else "tag",
        "id": _text(fields, "Id", ""),
        "strategy": _number(fields, "StrategyId"),
    }


# Both


def _message(fields: Fields) -> Data:
    kind = _text(fields, "MsgType")
    text = _text(fields, "Url" if kind == "link" else "Content", "")
    return {"type": kind, "text": text, "media_id": _text(fields, "MediaId", "")}


def _text(fields: Fields, name: str, default: str | None = None, otherwise: str = "") -> str:
    """A text. Missing, it is the text called `otherwise`, or `default`; neither is a KeyError."""
    value: Any = fields.get(name, default)
    if value is None:
        value = fields[otherwise or name]
    if not isinstance(value, str):
        raise TypeError(name)
    return value


def _number(fields: Fields, name: str) -> int:
    """A number; 0 when it is missing or empty."""
    return int(_text(fields, name, "") or 0)


def _node(fields: Fields, name: str) -> Fields:
    """A nested element; an empty one has no fields."""
    value = fields.get(name) or {}
    if not isinstance(value, dict):
        raise TypeError(name)
    return value


def _items(fields: Fields, name: str) -> tuple[Fields, ...]:
    """Elements of one name: none, one, or several, as the XML has them; empty ones say nothing."""
    value = fields.get(name) or []
    found = value if isinstance(value, list) else [value]
    if any(one and not isinstance(one, dict) for one in found):
        raise TypeError(name)
    return tuple(one for one in found if one)
