"""企业微信: figures of chats per owner or day, and of what members did."""

from collections.abc import Iterable
from typing import Any

from wechat_sandbox.call import WORK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.limits import day_of
from wechat_sandbox.people.population import unit
from wechat_sandbox.state import Document
from wechat_sandbox.wecom import groups
from wechat_sandbox.wecom.access import employee
from wechat_sandbox.world import World

_DAY = 86_400
_ZONE = 8 * 3600
_ORDER = {1: "new_chat_cnt", 2: "chat_total", 3: "new_member_cnt", 4: "member_total"}


def span(world: World, start: int, end: int) -> tuple[int, int]:
    """First second of the first day and of the day after the last; 40058 above 30 days or before 180 days ago."""
    now = world.now() // 1000
    first, last = _floor(start), _floor(end) + _DAY
    if start < 0 or end < start or last - first > 31 * _DAY or first < _floor(now) - 180 * _DAY:
        raise ApiError(40058)
    return first, last


def _floor(at: int) -> int:
    return (at + _ZONE) // _DAY * _DAY - _ZONE


def _figures(chats: Iterable[Document], first: int, last: int) -> dict[str, int]:
    """What happened in chats from `first` until before `last`, in seconds."""
    data = dict.fromkeys(("new_chat_cnt", "chat_total", "chat_has_msg", "new_member_cnt", "member_total"), 0)
    data |= {"member_has_msg": 0, "msg_total": 0, "migrate_trainee_chat_cnt": 0}
    for chat in chats:
        if chat["create_time"] >= last:
            continue
        messages = sum(first <= at // 1000 < last for at in chat["received"])
        joined = [entry["join_time"] for entry in chat["members"] if entry["join_time"] < last]
        data["chat_total"] += 1
        data["new_chat_cnt"] += chat["create_time"] >= first
        data["chat_has_msg"] += messages > 0
        data["msg_total"] += messages
        data["member_has_msg"] += messages > 0
        data["member_total"] += len(joined)
        data["new_member_cnt"] += sum(at >= first for at in joined)
    return data


def _asked(world: World, call: Call) -> tuple[list[str], int, int]:
    start = call.number("day_begin_time", -1, 40058)
    end = call.number("day_end_time", start, 40058)
    if not isinstance(call.body.get("owner_filter"), dict):
        raise ApiError(40058, "owner_filter")
    return (groups.owners(world, call), *span(world, start, end))


def by_owner(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/groupchat/statistic: per owner, by offset."""
    names, first, last = _asked(world, call)
    order, offset = _ORDER.get(call.number("order_by", 1, 40058)), call.number("offset", 0, 40058)
    limit = call.number("limit", 500, 40058)
    if order is None or offset < 0 or not 1 <= limit <= 1000:
        raise ApiError(40058)
    chats = groups.chats(world, call.account)
    figures = {name: _figures((chat for chat in chats if chat["owner"] == name), first, last) for name in names}
    sign = 1 if call.number("order_asc", 0, 40058) else -1
    ordered = sorted(figures, key=lambda name: sign * figures[name][order])
    found = [{"owner": name, "data": figures[name]} for name in ordered[offset : offset + limit]]
    return {"total": len(ordered), "next_offset": offset + len(found), "items": found}


def by_day(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/groupchat/statistic_group_by_day: all the owners together, per day."""
    names, first, last = _asked(world, call)
    chats = [chat for chat in groups.chats(world, call.account) if chat["owner"] in names]
    days = range(first, last, _DAY)
    return {"items": [{"stat_time": day, "data": _figures(chats, day, day + _DAY)} for day in days]}


def behaviour(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/get_user_behavior_data: per day, the sum of the members; yesterday and before.

    New contacts are counted; the figures of talks are drawn, always the same for one member and day.
    """
    account, userids = call.account, call.texts("userid", 40058)
    parties = call.body.get("partyid") or []
    if (not userids and not parties) or len(userids) > 100 or not isinstance(parties, list):
        raise ApiError(40058)
    numbers = [employee(account, userid) for userid in userids] if userids else range(len(account["employees"]))
    first, last = span(world, call.number("start_time", -1, 40058), call.number("end_time", -1, 40058))
    added: dict[tuple[str, int], int] = {}
    for key, entry in world.state.documents["friend"].items():
        owner, userid, _ = key.split(":", 2)
        if owner == str(account["id"]) and entry.get("at"):
            day = _floor(entry["at"])
            added[userid, day] = added.get((userid, day), 0) + 1
    rows = []
    for day in range(first, min(last, _floor(world.now() // 1000) + _DAY), _DAY):
        names = [account["employees"][number] for number in numbers]
        rows.append(_day(account, names, day, sum(added.get((name, day), 0) for name in names)))
    return {"behavior_data": rows}


def _day(account: Document, names: list[str], day: int, fresh: int) -> dict[str, Any]:
    draws = [unit(account["id"], name, day_of(day * 1000)) for name in names]
    return {
        "stat_time": day,
        "chat_cnt": sum(int(draw * 40) for draw in draws),
        "message_cnt": sum(int(draw * 200) for draw in draws),
        "reply_percentage": round(60 + 40 * sum(draws) / len(draws), 2),
        "avg_reply_time": int(1 + 30 * sum(draws) / len(draws)),
        "negative_feedback_cnt": sum(draw > 0.98 for draw in draws),
        "new_apply_cnt": fresh,
        "new_contact_cnt": fresh,
    }


_EXTERNAL = "/cgi-bin/externalcontact"
ROUTES = [
    Route("POST", f"{_EXTERNAL}/groupchat/statistic", by_owner, kinds=WORK),
    Route("POST", f"{_EXTERNAL}/groupchat/statistic_group_by_day", by_day, kinds=WORK),
    Route("POST", f"{_EXTERNAL}/get_user_behavior_data", behaviour, kinds=WORK),
]
