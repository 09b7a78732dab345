"""The blacklist of 公众号 and 服务号: whoever is on it is sent nothing and is not heard."""

from typing import Any

from wechat_sandbox.call import OK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.official.users import own_follower
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

_KIND = "black"


def blacklisted(world: World, account: Document, openid: str) -> bool:
    """Whether the account put this person on its blacklist."""
    return openid in world.state.members.get((_KIND, str(account["id"])), ())


def get(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/tags/members/getblacklist: pages of 1,000."""
    people = list(world.state.members.get((_KIND, str(call.account["id"])), ()))
    after = call.body.get("begin_openid") or ""
    if after and after not in people:
        raise ApiError(40003)
    start = people.index(after) + 1 if after else 0
    found = people[start : start + world.limits["blacklist_page"]]
    answer: dict[str, Any] = {"total": len(people), "count": len(found)}
    if found:
        answer["data"] = {"openid": found}
    answer["next_openid"] = found[-1] if found else ""
    return answer


def _batch(world: World, call: Call) -> list[str]:
    openids = call.texts("openid_list", 40032)
    if not openids or len(openids) > world.limits["blacklist_batch"]:
        raise ApiError(40032)
    for openid in openids:
        own_follower(world, call.account, openid)
    return openids


def add(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/tags/members/batchblacklist: at most 20."""
    for openid in _batch(world, call):
        world.state.pair(_KIND, str(call.account["id"]), openid)
    return dict(OK)


def remove(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/tags/members/batchunblacklist: at most 20."""
    for openid in _batch(world, call):
        world.state.unpair(_KIND, str(call.account["id"]), openid)
    return dict(OK)


ROUTES = [
    Route("POST", "/cgi-bin/tags/members/getblacklist", get),
    Route("POST", "/cgi-bin/tags/members/batchblacklist", add),
    Route("POST", "/cgi-bin/tags/members/batchunblacklist", remove),
]
