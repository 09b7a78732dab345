"""企业微信: one person's ids on other platforms: openid, unionid, pending id."""

import hashlib
from typing import Any

from wechat_sandbox.call import WORK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.state import Document
from wechat_sandbox.wecom import friends
from wechat_sandbox.wecom.access import employee, visible
from wechat_sandbox.wecom.contacts import customer
from wechat_sandbox.world import World

_DAY_MS = 86_400_000


def _openid(account: Document, ident: str) -> str:
    """The openid that this corp sees of a person or member; always the same."""
    return "oW" + hashlib.blake2b(f"{account['corpid']}|{ident}".encode(), digest_size=13).hexdigest()


def member_openid(world: World, call: Call) -> dict[str, Any]:
    """POST user/convert_to_openid; every member has linked WeChat here, so 43004 does not come."""
    userid = call.body.get("userid")
    employee(call.account, userid)
    return {"openid": _openid(call.account, str(userid))}


def customer_openid(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/convert_to_openid."""
    ident = call.body.get("external_userid")
    customer(world, call.account, ident)
    return {"openid": _openid(call.account, str(ident))}


def _person(world: World, call: Call, *, with_openid: bool) -> int:
    """Index of the person behind unionid and openid; 610014 unknown, 610018 when they are of different people."""
    unionid, openid = call.body.get("unionid"), call.body.get("openid")
    index = world.population.people.index.get(unionid) if isinstance(unionid, str) else None
    if index is None:
        raise ApiError(610014)
    if with_openid and not openid:
        raise ApiError(40058, "openid")
    others = [account for account in world.accounts() if account["kind"] != "wecom"]
    if openid and world.population.find(str(openid), others) != index:
        raise ApiError(610018)
    return int(index)


def _seen(world: World, account: Document, index: int) -> bool:
    names = visible(account)
    return any(account["employees"][number] in names for number in friends.members_of(world, account, index))


def by_unionid(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/unionid_to_external_userid: of a customer of a visible member; 84061 for another."""
    index = _person(world, call, with_openid=False)
    if not _seen(world, call.account, index):
        raise ApiError(84061)
    return {"external_userid": world.reach_of(call.account).ids[index]}


def converted(world: World, call: Call) -> dict[str, Any]:
    """POST idconvert/unionid_to_external_userid: the customer's id, or a pending id of who is none yet."""
    if call.number("subject_type", 0, 40058) not in (0, 1):
        raise ApiError(40058, "subject_type")
    subject, now = f"{call.account['corpid']}:idconvert", world.now()
    if not world.windows.take_or_block(subject, "hour", world.limits["idconvert_per_hour"], now):
        raise ApiError(45009)
    index = _person(world, call, with_openid=True)
    if _seen(world, call.account, index):
        return {"external_userid": world.reach_of(call.account).ids[index]}
    return {"pending_id": _pending(world, call.account, index)}


def _pending(world: World, account: Document, index: int) -> str:
    """The pending id of a person, the same for its 90 days (UNCONFIRMED)."""
    key, now = f"{account['id']}:{index}", world.now()
    known = world.state.get("pending", key)
    if known is None or now - known["at"] > world.limits["pending_id_days"] * _DAY_MS:
        known = world.state.put("pending", key, {"id": f"pd{world.fresh('pending', 28)}", "at": now})
    return str(known["id"])


def to_pending(world: World, call: Call) -> dict[str, Any]:
    """POST idconvert/batch/external_userid_to_pending_id: ids that are no customers' are left out."""
    idents = call.texts("external_userid", 40058)
    if not idents or len(idents) > 100:
        raise ApiError(40058, "external_userid")
    index = world.reach_of(call.account).index
    known = [(ident, index.get(ident)) for ident in idents]
    return {
        "result": [
            {"external_userid": ident, "pending_id": _pending(world, call.account, int(place))}
            for ident, place in known
            if place is not None
        ]
    }


ROUTES = [
    Route("POST", "/cgi-bin/user/convert_to_openid", member_openid, kinds=WORK),
    Route("POST", "/cgi-bin/externalcontact/convert_to_openid", customer_openid, kinds=WORK),
    Route("POST", "/cgi-bin/externalcontact/unionid_to_external_userid", by_unionid, kinds=WORK),
    Route("POST", "/cgi-bin/idconvert/unionid_to_external_userid", converted, kinds=WORK),
    Route("POST", "/cgi-bin/idconvert/batch/external_userid_to_pending_id", to_pending, kinds=WORK),
]
