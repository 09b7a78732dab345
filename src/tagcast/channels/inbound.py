"""What a platform tells us, as facts that mean the same on every platform."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Literal

from tagcast.channels.crypto import BadCallback, Fields
from tagcast.channels.errors import Platform

Kind = Literal[
    "followed",
    "unfollowed",
    "mass_finished",
    "template_finished",
    "customer_added",
    "customer_removed",
    "message_received",
    "other",
]


@dataclass(frozen=True, slots=True)
class Inbound:
    """One fact.

    `person` is an openid or external_userid, None where the fact is about nobody or about a job. `message_key` is equal
    for repeated deliveries of the same fact. `data` by kind:

    - followed: `scene` (of a QR code, may be empty)
    - mass_finished: `msg_id`, `status` (`success`, `fail`, or `err(N)`), `total`, `filtered`, `sent`, `failed`
    - template_finished: `msgid`, `status` (`success`, `user_block`, `system_failed`, `failed`)
    - customer_added: `employee`, `state`, `half` (the customer added without approval)
    - customer_removed: `employee`, `by` (`employee` or `customer`)
    - message_received: `type`, `text` (of a text message)
    - other: `event`
    """

    kind: Kind
    person: str | None = field(repr=False)
    at: datetime
    message_key: str
    data: Mapping[str, str | int | bool] = field(repr=False)


def normalise(platform: Platform, fields: Fields) -> Inbound:
    """The fact in a decrypted callback. Raises `BadCallback` when a needed field is missing or no number."""
    try:
        at = datetime.fromtimestamp(int(_text(fields, "CreateTime")), UTC)
        kind, person, data = _official(fields) if platform == "official" else _wecom(fields)
    except (KeyError, ValueError, TypeError, OverflowError, OSError):
        raise BadCallback from None
    return Inbound(kind, person, at, _key(fields), MappingProxyType(data))


Fact = tuple[Kind, str | None, dict[str, str | int | bool]]


def _official(fields: Fields) -> Fact:
    person = _text(fields, "FromUserName")
    if _text(fields, "MsgType") != "event":
        return _message(fields, person)
    event = _text(fields, "Event")
    match event:
        case "subscribe":
            return "followed", person, {"scene": _text(fields, "EventKey", "").removeprefix("qrscene_")}
        case "unsubscribe":
            return "unfollowed", person, {}
        case "MASSSENDJOBFINISH":
            return "mass_finished", None, _mass(fields)
        case "TEMPLATESENDJOBFINISH":
            status = _template_status(_text(fields, "Status"))
            return "template_finished", person, {"msgid": int(_text(fields, "MsgID")), "status": status}
        case _:
            return "other", person, {"event": event}


def _mass(fields: Fields) -> dict[str, str | int | bool]:
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
    return {**counts, "status": {"sendsuccess": "success", "sendfail": "fail"}.get(status, status)}


def _template_status(status: str) -> str:
    known = {"success": "success", "failed:userblock": "user_block", "failed:systemfailed": "system_failed"}
    return known.get(status.replace(" ", ""), "failed")


def _wecom(fields: Fields) -> Fact:
    if _text(fields, "MsgType", "event") != "event":
        return _message(fields, None)
    event = _text(fields, "Event")
    change = _text(fields, "ChangeType", "")
    if event != "change_external_contact":
        return "other", None, {"event": f"{event}/{change}" if change else event}
    person, employee = _text(fields, "ExternalUserID"), _text(fields, "UserID")
    match change:
        case "add_external_contact" | "add_half_external_contact":
            half = change == "add_half_external_contact"
            return "customer_added", person, {"employee": employee, "state": _text(fields, "State", ""), "half": half}
        case "del_external_contact":
            return "customer_removed", person, {"employee": employee, "by": "employee"}
        case "del_follow_user":
            return "customer_removed", person, {"employee": employee, "by": "customer"}
        case _:
            return "other", person, {"event": f"{event}/{change}"}


def _message(fields: Fields, person: str | None) -> Fact:
    return "message_received", person, {"type": _text(fields, "MsgType"), "text": _text(fields, "Content", "")}


def _key(fields: Fields) -> str:
    """MsgId for messages; for events a digest of everything that tells two events of one second apart."""
    message_id = fields.get("MsgId")
    if isinstance(message_id, str) and message_id:
        return f"m:{message_id}"
    names = ("FromUserName", "CreateTime", "Event", "ChangeType", "UserID", "ExternalUserID", "MsgID", "EventKey", "Id")
    parts = [str(fields.get(name, "")) for name in names]
    return "e:" + sha256("\x1f".join(parts).encode()).hexdigest()[:40]


def _text(fields: Fields, name: str, default: str | None = None) -> str:
    value: Any = fields.get(name, default) if default is not None else fields[name]
    if not isinstance(value, str):
        raise TypeError(name)
    return value
