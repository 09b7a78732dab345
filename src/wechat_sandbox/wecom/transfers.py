"""企业微信: customers and chats handed from one member to another, in service or resigned."""

from functools import partial
from typing import Any

from wechat_sandbox.call import WORK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.people import relations
from wechat_sandbox.state import Document
from wechat_sandbox.wecom import contacts, friends, groups, marks
from wechat_sandbox.wecom.access import employee, resigned
from wechat_sandbox.wecom.contacts import limited, member_number, page
from wechat_sandbox.world import World

_DAY_MS = 86_400_000
DONE, WAITING, REFUSED, FULL, NONE = 1, 2, 3, 4, 5


def _pair(call: Call, *, left: bool) -> tuple[int, int]:
    """Numbers of who hands over and who takes over; 40097 unless the first has resigned as the call needs."""
    body, account = call.body, call.account
    if body.get("handover_userid") not in account["employees"]:
        raise ApiError(40003)
    if left and not resigned(account, body["handover_userid"]):
        raise ApiError(40097)
    giver = account["employees"].index(body["handover_userid"])
    if not left:
        giver = employee(account, body["handover_userid"], 40003)
    taker = employee(account, body.get("takeover_userid"), 40003)
    if taker == giver:
        raise ApiError(40130)
    return giver, taker


def _hand_over(world: World, call: Call, *, left: bool) -> dict[str, Any]:
    giver, taker = _pair(call, left=left)
    chosen = call.texts("external_userid", 40096)
    if not chosen or len(chosen) > world.limits["transfer_batch"]:
        raise ApiError(40032)
    rows = [{"external_userid": ident, "errcode": _begin(world, call, ident, giver, taker)} for ident in chosen]
    return {"customer": rows}


def _begin(world: World, call: Call, ident: str, giver: int, taker: int) -> int:
    """Start one transfer; its errcode. 40128: twice within 90 days, 40129: under way."""
    account, now = call.account, world.now()
    index = world.reach_of(account).index.get(ident)
    if index is None:
        return 40096
    if giver not in friends.members_of(world, account, int(index)):
        return 84061
    earlier = [
        entry
        for entry in world.state.documents["transfer"].values()
        if (entry["account"], entry["person"]) == (account["id"], ident)
    ]
    if any(entry["status"] == WAITING for entry in earlier):
        return 40129
    recent = [entry for entry in earlier if entry["status"] == DONE and now - entry["at"] < 90 * _DAY_MS]
    if len(recent) >= world.limits["transfers_per_customer"]:
        return 40128
    number = str(world.state.next_number("transfer"))
    names = account["employees"]
    entry = {"account": account["id"], "person": ident, "giver": names[giver], "taker": names[taker]}
    world.state.put("transfer", number, {**entry, "status": WAITING, "at": now, "done": 0})
    world.later(world.limits["transfer_seconds"], partial(settle, world, number, DONE), f"transfer:{number}")
    return 0


def settle(world: World, number: str, status: int) -> bool:
    """End a transfer: the friendship moves, or the customer refuses, or the taker is at his limit."""
    entry = world.state.documents["transfer"][number]
    if entry["status"] != WAITING:
        return False
    world.cancel(f"transfer:{number}")
    account, now = world.account(entry["account"]), world.now()
    index = int(world.reach_of(account).index[entry["person"]])
    giver, taker = (account["employees"].index(entry[name]) for name in ("giver", "taker"))
    world.state.put("transfer", number, {**entry, "status": status, "done": now // 1000})
    if status != DONE:
        reason = "customer_refused" if status == REFUSED else "customer_limit_exceed"
        friends.event(world, account, taker, index, "transfer_fail", FailReason=reason)
        return True
    kept = friends.details(world, account, giver, index).get("remark")
    friends.relate(world, account, taker, index, add_way=202, **({"remark": kept} if kept else {}))
    tags = contacts.marks(world, account, entry["giver"], entry["person"])
    marks.put(world, account, entry["taker"], entry["person"], (tags, []))
    marks.forget(world, account, entry["person"], entry["giver"])
    friends.part(world, account, giver, index)
    friends.event(world, account, giver, index, "del_external_contact", Source="DELETE_BY_TRANSFER")
    friends.added(world, account, taker, index)
    return True


def transfer(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/transfer_customer: of a member in service; done after 24 hours unless refused."""
    return _hand_over(world, call, left=False)


def transfer_resigned(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/resigned/transfer_customer."""
    return _hand_over(world, call, left=True)


def _results(world: World, call: Call, *, left: bool) -> dict[str, Any]:
    giver, taker = (call.account["employees"][number] for number in _pair(call, left=left))
    found = [
        entry
        for entry in world.state.documents["transfer"].values()
        if (entry["account"], entry["giver"], entry["taker"]) == (call.account["id"], giver, taker)
    ]
    limit = limited(call, 1000, 1000)
    start, after = page(call, limit, len(found))
    rows = [
        {"external_userid": entry["person"], "status": entry["status"], "takeover_time": entry["done"]}
        for entry in found[start : start + limit]
    ]
    return {"customer": rows, "next_cursor": after}


def result(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/transfer_result."""
    return _results(world, call, left=False)


def result_resigned(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/resigned/transfer_result."""
    return _results(world, call, left=True)


def _chats(world: World, call: Call, *, left: bool) -> dict[str, Any]:
    """Move chats to another owner; those that cannot be moved with their errcode. 300 a day and owner."""
    taker = str(call.account["employees"][employee(call.account, call.body.get("new_owner"), 40003)])
    chosen, failed = call.texts("chat_id_list", 90508), []
    if not chosen or len(chosen) > world.limits["transfer_batch"]:
        raise ApiError(40032)
    for ident in chosen:
        code = _move(world, call.account, ident, taker, left=left)
        if code:
            failed.append({"chat_id": ident, "errcode": code, "errmsg": "the chat cannot be handed over"})
    return {"failed_chat_list": failed}


def _move(world: World, account: Document, ident: str, taker: str, *, left: bool) -> int:
    try:
        chat = groups.chat_of(world, account, ident)
    except ApiError as error:
        return error.code
    if chat["owner"] == taker:
        return 90507
    if left != resigned(account, chat["owner"]):
        return 90500 if left else 90502
    subject = f"{account['id']}:chats_from:{chat['owner']}"
    if not world.windows.take(subject, "day", world.limits["transfer_chats_daily"], world.now()):
        return 90506
    chat["owner"] = taker
    if all(entry["userid"] != taker for entry in chat["members"]):
        fresh = {"userid": taker, "type": 1, "join_time": world.now() // 1000, "join_scene": groups.INVITED}
        chat["members"].append(fresh)
    world.state.put("chat", ident, {**chat, "status": 3 if left else chat["status"]})
    groups.event(world, account, chat, "update", UpdateDetail="change_owner")
    return 0


def chats_resigned(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/groupchat/transfer: chats of members who resigned."""
    return _chats(world, call, left=True)


def chats(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/groupchat/onjob_transfer: chats of members in service."""
    return _chats(world, call, left=False)


def settle_now(world: World, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
    """POST /sandbox/wecom/transfers/settle: waiting transfers end now; of `refuse` and `full` they fail."""
    account = world.account(body.get("account"))
    reach = world.reach_of(account)
    chosen = {
        name: {reach.ids[index] for index in relations.indexes(world, body.get(name) or [])}
        for name in ("refuse", "full")
    }
    done = 0
    for number, entry in list(world.state.documents["transfer"].items()):
        if entry["account"] == account["id"]:
            refused, full = (entry["person"] in chosen[name] for name in ("refuse", "full"))
            done += settle(world, number, REFUSED if refused else FULL if full else DONE)
    return 200, {"settled": done}


def resign(world: World, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
    """POST /sandbox/wecom/members/resign: a member leaves the corp; his customers and chats wait for another."""
    account = world.account(body.get("account"))
    member_number(account, body.get("userid"))
    gone = sorted({*account.get("resigned", ()), body["userid"]})
    account["resigned"] = gone
    world.state.put("account", str(account["id"]), account)
    for chat in groups.chats(world, account):
        if chat["owner"] == body["userid"]:
            world.state.put("chat", chat["chat_id"], {**chat, "status": 1})
    return 200, {"resigned": gone}


def resume(world: World) -> None:
    """After a start: transfers under way go on."""
    for number, entry in world.state.documents["transfer"].items():
        if entry["status"] == WAITING:
            passed = (world.now() - entry["at"]) / 1000
            world.later(
                max(0, world.limits["transfer_seconds"] - passed),
                partial(settle, world, number, DONE),
                f"transfer:{number}",
            )


_EXTERNAL = "/cgi-bin/externalcontact"
ROUTES = [
    Route("POST", f"{_EXTERNAL}/transfer_customer", transfer, kinds=WORK),
    Route("POST", f"{_EXTERNAL}/transfer_result", result, kinds=WORK),
    Route("POST", f"{_EXTERNAL}/resigned/transfer_customer", transfer_resigned, kinds=WORK),
    Route("POST", f"{_EXTERNAL}/resigned/transfer_result", result_resigned, kinds=WORK),
    Route("POST", f"{_EXTERNAL}/groupchat/transfer", chats_resigned, kinds=WORK),
    Route("POST", f"{_EXTERNAL}/groupchat/onjob_transfer", chats, kinds=WORK),
]
CONTROL = {("POST", "wecom/transfers/settle"): settle_now, ("POST", "wecom/members/resign"): resign}
