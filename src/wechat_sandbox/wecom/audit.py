"""企业微信 会话内容存档: who may be archived and who agreed. Messages come through a native library, not imitated."""

from typing import Any

from wechat_sandbox.call import WORK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.people import relations
from wechat_sandbox.people.population import unit
from wechat_sandbox.state import Document
from wechat_sandbox.wecom import friends, groups
from wechat_sandbox.wecom.access import visible
from wechat_sandbox.wecom.contacts import member_number
from wechat_sandbox.world import World

_ANSWERS = ((0.8, "Agree"), (0.9, "Default_Agree"), (1.0, "Disagree"))


def _agreement(world: World, account: Document, userid: str, ident: str) -> dict[str, Any]:
    """What a customer answered: drawn once per pair, or set by control."""
    stored = world.state.get("consent", f"{account['id']}:{userid}:{ident}")
    draw = unit(account["id"], userid, ident, "archive")
    drawn = next(answer for share, answer in _ANSWERS if draw < share)
    at = stored["at"] if stored else account["created"] // 1000
    return {
        "status_change_time": at,
        "userid": userid,
        "exteranalopenid": ident,
        "agree_status": stored["answer"] if stored else drawn,
    }


def check_single(world: World, call: Call) -> dict[str, Any]:
    """POST msgaudit/check_single_agree: at most 100 pairs (301060); `exteranalopenid` is misspelled by the platform."""
    asked = call.body.get("info")
    if not isinstance(asked, list) or not asked or not all(isinstance(entry, dict) for entry in asked):
        raise ApiError(40058, "info")
    if len(asked) > world.limits["consent_pairs"]:
        raise ApiError(301060)
    index, rows = world.reach_of(call.account).index, []
    for entry in asked:
        userid, ident = entry.get("userid"), entry.get("exteranalopenid")
        if userid not in visible(call.account):
            raise ApiError(301061)
        if not isinstance(ident, str) or index.get(ident) is None:
            raise ApiError(40096)
        rows.append(_agreement(world, call.account, userid, ident))
    return {"agreeinfo": rows}


def check_room(world: World, call: Call) -> dict[str, Any]:
    """POST msgaudit/check_room_agree: the customers of a chat."""
    chat = groups.chat_of(world, call.account, call.body.get("roomid"))
    rows = [_agreement(world, call.account, chat["owner"], ident) for ident in groups.customers_in(chat)]
    names = ("status_change_time", "exteranalopenid", "agree_status")
    return {"agreeinfo": [{name: row[name] for name in names} for row in rows]}


def permitted(world: World, call: Call) -> dict[str, Any]:
    """POST msgaudit/get_permit_user_list: members whose talks may be archived; all here, in any edition."""
    if call.body.get("type") not in (None, 1, 2, 3):
        raise ApiError(40058, "type")
    return {"ids": visible(call.account)}


def internal_chat(world: World, call: Call) -> dict[str, Any]:
    """POST msgaudit/groupchat/get: of internal chats only, of which there are none here (301059)."""
    raise ApiError(301059)


def agree(world: World, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
    """POST /sandbox/wecom/consent: customers answer; on Agree msg_audit_approved is sent."""
    account, answer = world.account(body.get("account")), str(body.get("answer") or "Agree")
    number, found = member_number(account, body.get("userid")), relations.indexes(world, body.get("people") or [])
    for index in found:
        key = f"{account['id']}:{body['userid']}:{world.reach_of(account).ids[index]}"
        world.state.put("consent", key, {"answer": answer, "at": world.now() // 1000})
        if answer == "Agree":
            friends.event(world, account, number, index, "msg_audit_approved")
    return 200, {"changed": len(found)}


ROUTES = [
    Route("POST", "/cgi-bin/msgaudit/check_single_agree", check_single, kinds=WORK),
    Route("POST", "/cgi-bin/msgaudit/check_room_agree", check_room, kinds=WORK),
    Route("POST", "/cgi-bin/msgaudit/get_permit_user_list", permitted, kinds=WORK, bare=True),
    Route("POST", "/cgi-bin/msgaudit/groupchat/get", internal_chat, kinds=WORK),
]
CONTROL = {("POST", "wecom/consent"): agree}
